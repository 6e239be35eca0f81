import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a realloc that calls itself",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func $r (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.add (i32.const 1) (call $r (local.get 0) (local.get 1) (local.get 2) (local.get 3)))) (func (export "run") (param i32 i32) (result i32) (local.get 1))`,
      exports: { run: `(param "text" string) (result u32)` },
    }),
  call: { export: "run", args: ["abc"] },
  expect: { calls: ["STELE-LIM-0003"] },
} satisfies Guest
