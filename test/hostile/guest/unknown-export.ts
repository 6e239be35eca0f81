import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "calls of names that every object has",
  bytes: () => guest({ core: `(func (export "run"))`, exports: { run: "" } }),
  call: ["__proto__", "constructor", "toString", "run#run", "#", ""].map((name) => ({ export: name })),
  expect: { calls: Array.from({ length: 6 }, () => "STELE-PLG-0003") },
} satisfies Guest
