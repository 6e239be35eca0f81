import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "pages of one byte, so that a count of pages would mean nothing",
  bytes: () => guest({ core: `(memory (export "memory") 1 (pagesize 1))` }),
  expect: { load: ["STELE-VFY-0014", "STELE-VFY-0003"] },
} satisfies Guest
