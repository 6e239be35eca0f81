import { bumpAllocator, wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Each level of three components passes each string of a list on as two. */
export default {
  threat: "copies between components that double at each step",
  bytes: () =>
    wat(`(component
      (component $sink (core module $m ${bumpAllocator()} (func (export "take") (param i32 i32))) (core instance $i (instantiate $m))
        (func (export "take") (param "texts" (list string)) (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
      (instance $c (instantiate $sink))
      (core module $mem (memory (export "memory") 16)) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory))
      (core func $take (canon lower (func $c "take") (memory $memory))) (core instance $env (export "take" (func $take)) (export "memory" (memory $memory)))
      (core module $m (import "env" "take" (func $take (param i32 i32))) (import "env" "memory" (memory 16))
        (func (export "run") (local $i i32)
          (loop $l (i32.store (i32.shl (local.get $i) (i32.const 3)) (i32.const 900000)) (i32.store (i32.add (i32.const 4) (i32.shl (local.get $i) (i32.const 3))) (i32.const 60000)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
          (call $take (i32.const 0) (i32.const 100000))))
      (core instance $i (instantiate $m (with "env" (instance $env))))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0006"] },
} satisfies Guest
