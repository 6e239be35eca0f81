import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a function with fifty thousand locals, few calls of which would exhaust the stack",
  bytes: () => guest({ core: `(func (export "run") (local ${"i64 ".repeat(49_000)}))`, exports: { run: "" } }),
  expect: { load: ["STELE-VFY-0015", "STELE-VFY-0016"] },
} satisfies Guest
