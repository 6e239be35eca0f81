import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a result area that is not aligned",
  bytes: () => guest({ core: `(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 2))`, exports: { run: "(result string)" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
