import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an exception that nobody catches",
  bytes: () => guest({ core: `(tag $t (param i32)) (func (export "run") (throw $t (i32.const 1)))`, exports: { run: "" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
