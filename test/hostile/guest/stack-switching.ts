import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "continuations, which would leave the stack that is counted",
  bytes: () => guest({ core: `(type $f (func)) (type $k (cont $f)) (func (export "run"))`, exports: { run: "" } }),
  expect: { load: ["STELE-VFY-0012", "STELE-VFY-0003"] },
} satisfies Guest
