import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a function body of three megabytes",
  bytes: () => guest({ core: `(func (export "run") ${"nop ".repeat(3 << 20)})`, exports: { run: "" } }),
  expect: { load: "STELE-LIM-0017" },
} satisfies Guest
