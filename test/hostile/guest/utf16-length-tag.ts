import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a string of 2^31 − 1 tagged UTF-16 units",
  bytes: () =>
    guest({
      option: "string-encoding=latin1+utf16",
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\ff\\ff\\ff\\ff") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
