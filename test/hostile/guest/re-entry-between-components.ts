import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The parent's function, given to the child, calls back into the child through a table that is filled later. */
export default {
  threat: "a component that is entered again while it runs",
  bytes: () =>
    wat(`(component
      (component $child
        (import "f" (func $f))
        (core func $cf (canon lower (func $f)))
        (core instance $env (export "f" (func $cf)))
        (core module $m (import "env" "f" (func $f)) (func (export "run") (call $f)) (func (export "again")))
        (core instance $i (instantiate $m (with "env" (instance $env))))
        (func (export "run") (canon lift (core func $i "run")))
        (func (export "again") (canon lift (core func $i "again"))))
      (core module $shim (type $v (func)) (table (export "t") 1 1 funcref) (func (export "call") (call_indirect (type $v) (i32.const 0))))
      (core instance $s (instantiate $shim))
      (func $f (canon lift (core func $s "call")))
      (instance $c (instantiate $child (with "f" (func $f))))
      (alias core export $s "t" (core table $t))
      (core func $again (canon lower (func $c "again")))
      (core instance $fix (export "t" (table $t)) (export "f" (func $again)))
      (core module $fixer (import "" "t" (table 1 1 funcref)) (import "" "f" (func $f)) (elem (i32.const 0) func $f))
      (core instance (instantiate $fixer (with "" (instance $fix))))
      (export "run" (func $c "run")))`),
  call: [{ export: "run" }, { export: "run" }],
  expect: { calls: ["STELE-PLG-0011", "STELE-PLG-0011"] },
} satisfies Guest
