import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a list of 2^32 − 1 booleans",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\00\\00\\00\\00\\ff\\ff\\ff\\ff") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result (list bool))" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
