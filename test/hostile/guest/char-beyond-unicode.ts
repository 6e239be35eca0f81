import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a char beyond Unicode",
  bytes: () => guest({ core: `(func (export "run") (result i32) (i32.const 0x110000))`, exports: { run: "(result char)" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
