import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a shared memory, which could race the host's reads",
  bytes: () => guest({ core: `(memory (export "memory") 1 2 shared)` }),
  expect: { load: "STELE-VFY-0006" },
} satisfies Guest
