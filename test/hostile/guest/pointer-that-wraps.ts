import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a list whose end wraps around 2^32",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\f0\\ff\\ff\\ff\\20\\00\\00\\00") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result (list u8))" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
