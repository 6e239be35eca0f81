import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a 64-bit memory",
  bytes: () => guest({ core: `(memory (export "memory") i64 1)` }),
  expect: { load: "STELE-VFY-0007" },
} satisfies Guest
