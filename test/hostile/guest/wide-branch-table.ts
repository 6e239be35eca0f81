import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a branch table of three hundred thousand labels",
  bytes: () =>
    guest({
      core: `(func (export "run") (param i32) (result i32) (block (block (br_table ${"0 1 ".repeat(30_000)} 0 (local.get 0))) (return (i32.const 1))) (i32.const 2))`,
      exports: { run: `(param "n" u32) (result u32)` },
    }),
  call: { export: "run", args: [1] },
  expect: { calls: [{ result: 2 }] },
} satisfies Guest
