import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a string that is not UTF-8",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\03\\00\\00\\00") (data (i32.const 16) "\\ed\\a0\\80") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
