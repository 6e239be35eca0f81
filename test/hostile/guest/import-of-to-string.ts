import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an import to-string, which every object has",
  bytes: () => guest({ head: `(import "evil:host/api" (instance $api (export "to-string" (func (result u32)))))`, core: "" }),
  load: { imports: { "evil:host/api": {} } },
  expect: { load: "STELE-CFG-0002" },
} satisfies Guest
