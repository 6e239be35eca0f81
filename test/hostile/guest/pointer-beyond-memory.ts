import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a string whose pointer lies behind the end of memory",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\00\\00\\01\\00\\04\\00\\00\\00") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
