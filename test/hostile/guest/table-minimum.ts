import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a table that begins with ten million elements, which aborts engines",
  bytes: () => guest({ core: `(table 10000000 funcref) (func (export "run"))`, exports: { run: "" } }),
  expect: { load: "STELE-LIM-0002" },
} satisfies Guest
