import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a UTF-16 string with a lone surrogate, which no JavaScript caller may meet",
  bytes: () =>
    guest({
      option: "string-encoding=utf16",
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\02\\00\\00\\00") (data (i32.const 16) "\\00\\d8a\\00") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run" },
  expect: { calls: [{ result: "\ufffda" }] },
} satisfies Guest
