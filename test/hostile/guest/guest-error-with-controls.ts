import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an answer that is an error with control characters",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\01\\00\\00\\00\\10\\00\\00\\00\\04\\00\\00\\00") (data (i32.const 16) "\\1b[2J") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result (result (error string)))" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0001"] },
} satisfies Guest
