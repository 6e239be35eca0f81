import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "two modules that each grow to the cap of both",
  bytes: () =>
    wat(`(component
      (core module $a (memory 1) (func (export "grow") (result i32) (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)))
      (core instance $x (instantiate $a)) (core instance $y (instantiate $a))
      (core module $b (import "x" "grow" (func $x (result i32))) (import "y" "grow" (func $y (result i32))) (func (export "run") (result i32) (i32.add (call $x) (call $y))))
      (core instance $i (instantiate $b (with "x" (instance $x)) (with "y" (instance $y))))
      (func (export "run") (result u32) (canon lift (core func $i "run"))))`),
  load: { limits: { memoryBytesMax: 2 << 20 } },
  call: { export: "run" },
  expect: { calls: [{ result: 32 }] },
} satisfies Guest
