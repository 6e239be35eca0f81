import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a memory that begins with 4 GiB",
  bytes: () => guest({ core: `(memory (export "memory") 65536) (func (export "run"))`, exports: { run: "" } }),
  expect: { load: "STELE-LIM-0001" },
} satisfies Guest
