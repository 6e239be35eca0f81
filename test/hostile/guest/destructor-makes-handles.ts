import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The destructor makes a handle of its own type; it reaches `resource.new` through a table filled later. */
export default {
  threat: "a destructor that calls out of its component",
  bytes: () =>
    wat(`(component
      (core module $shim (type $v (func (param i32) (result i32))) (table (export "t") 1 1 funcref) (func (export "dtor") (param i32) (drop (call_indirect (type $v) (local.get 0) (i32.const 0)))))
      (core instance $s (instantiate $shim)) (alias core export $s "dtor" (core func $dtor)) (alias core export $s "t" (core table $t))
      (type $r (resource (rep i32) (dtor (core func $dtor)))) (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
      (core instance $fix (export "t" (table $t)) (export "f" (func $new)))
      (core module $fixer (import "" "t" (table 1 1 funcref)) (import "" "f" (func $f (param i32) (result i32))) (elem (i32.const 0) func $f))
      (core instance (instantiate $fixer (with "" (instance $fix))))
      (core instance $res (export "new" (func $new)) (export "drop" (func $drop)))
      (core module $m (import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32))) (func (export "run") (call $drop (call $new (i32.const 1)))))
      (core instance $i (instantiate $m (with "res" (instance $res))))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
