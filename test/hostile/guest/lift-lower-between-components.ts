import { bumpAllocator, wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** The child takes a string from the parent; the parent's pointer is a lie. */
export default {
  threat: "a lying pointer between two components of one plugin",
  bytes: () =>
    wat(`(component
      (component $child
        (core module $m ${bumpAllocator()} (func (export "take") (param i32 i32) (result i32) (local.get 1)))
        (core instance $i (instantiate $m))
        (func (export "take") (param "text" string) (result u32) (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
      (instance $c (instantiate $child))
      (core module $mem (memory (export "memory") 1) (data (i32.const 16) "hello")) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory))
      (core func $take (canon lower (func $c "take") (memory $memory)))
      (core instance $env (export "take" (func $take)))
      (core module $m (import "env" "take" (func $take (param i32 i32) (result i32)))
        (func (export "good") (result i32) (call $take (i32.const 16) (i32.const 5)))
        (func (export "lie") (result i32) (call $take (i32.const 65530) (i32.const 100)))
        (func (export "all") (result i32) (call $take (i32.const 0) (i32.const -1))))
      (core instance $i (instantiate $m (with "env" (instance $env))))
      (func (export "good") (result u32) (canon lift (core func $i "good")))
      (func (export "lie") (result u32) (canon lift (core func $i "lie")))
      (func (export "all") (result u32) (canon lift (core func $i "all"))))`),
  call: [{ export: "good" }, { export: "lie" }, { export: "all" }, { export: "good" }],
  expect: { calls: [{ result: 5 }, "STELE-PLG-0011", "STELE-PLG-0011", { result: 5 }] },
} satisfies Guest
