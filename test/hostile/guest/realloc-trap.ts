import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that traps",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable) (func (export "run") (param i32 i32) (result i32) (local.get 1))`,
      exports: { run: `(param "text" string) (result u32)` },
    }),
  call: { export: "run", args: ["abc"] },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
