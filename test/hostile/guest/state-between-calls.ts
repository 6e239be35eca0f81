import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "state that would reach the next caller of an instance that is not kept",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "count") (result i32) (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (i32.load (i32.const 0)))`,
      exports: { count: "(result u32)" },
    }),
  call: [{ export: "count" }, { export: "count" }],
  expect: { calls: [{ result: 1 }, { result: 1 }] },
} satisfies Guest
