import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a result area that begins in memory and ends behind it",
  bytes: () => guest({ core: `(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 65532))`, exports: { run: "(result string)" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
