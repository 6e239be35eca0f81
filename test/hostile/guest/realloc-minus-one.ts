import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that returns −1",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const -1)) (func (export "run") (param i32 i32) (result i32) (local.get 1))`,
      exports: { run: `(param "text" string) (result u32)` },
    }),
  call: { export: "run", args: ["abc"] },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
