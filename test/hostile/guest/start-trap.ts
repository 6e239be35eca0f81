import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a start function that traps",
  bytes: () => guest({ core: `(func $s unreachable) (start $s) (func (export "run"))`, exports: { run: "" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
