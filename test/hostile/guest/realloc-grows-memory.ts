import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that grows the memory under the host's views, each time",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.shl (memory.grow (i32.const 1)) (i32.const 16)))
        (func (export "run") (param i32 i32) (result i32) (drop (memory.grow (i32.const 1))) (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))`,
      exports: { run: `(param "texts" (list string)) (result (list string))` },
    }),
  call: { export: "run", args: [["a", "bc", "défg", "𝄞".repeat(5_000)]] },
  expect: { calls: [{ result: ["a", "bc", "défg", "𝄞".repeat(5_000)] }] },
} satisfies Guest
