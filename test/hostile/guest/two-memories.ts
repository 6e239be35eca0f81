import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a second memory, where the stop cell stands",
  bytes: () => guest({ core: `(memory 1) (memory 1)` }),
  expect: { load: "STELE-VFY-0008" },
} satisfies Guest
