import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Dropping a handle runs the destructor, which drops the next handle, and so on: a stack of host and guest frames. */
export default {
  threat: "a row of ten thousand destructors, each dropping the next handle",
  bytes: () =>
    wat(`(component
      (core module $shim (type $v (func (param i32))) (table (export "t") 1 1 funcref) (func (export "dtor") (param i32) (if (local.get 0) (then (call_indirect (type $v) (local.get 0) (i32.const 0))))))
      (core instance $s (instantiate $shim)) (alias core export $s "dtor" (core func $dtor)) (alias core export $s "t" (core table $t))
      (type $r (resource (rep i32) (dtor (core func $dtor)))) (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
      (core instance $fix (export "t" (table $t)) (export "f" (func $drop)))
      (core module $fixer (import "" "t" (table 1 1 funcref)) (import "" "f" (func $f (param i32))) (elem (i32.const 0) func $f))
      (core instance (instantiate $fixer (with "" (instance $fix))))
      (core instance $res (export "new" (func $new)) (export "drop" (func $drop)))
      (core module $m (import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32)))
        (func (export "run") (local $i i32) (local $h i32) (loop $l (local.set $h (call $new (local.get $h))) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 9000)))) (call $drop (local.get $h))))
      (core instance $i (instantiate $m (with "res" (instance $res))))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
