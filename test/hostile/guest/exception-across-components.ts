import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** An exception of the inner component must not be one the outer can catch: between components only values pass. */
export default {
  threat: "an exception thrown through the border of two components",
  bytes: () =>
    wat(`(component
      (component $child (core module $m (tag $t) (func (export "run") (throw $t))) (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))
      (instance $c (instantiate $child)) (core func $f (canon lower (func $c "run"))) (core instance $env (export "f" (func $f)))
      (core module $m (import "env" "f" (func $f)) (func (export "run") (loop $l (block $h (try_table (catch_all $h) (call $f))) (br $l))))
      (core instance $i (instantiate $m (with "env" (instance $env))))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run", options: { deadlineMs: 500 } },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
