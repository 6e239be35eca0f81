import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an import of a capability that nobody granted",
  bytes: () => guest({ head: `(import "wasi:random/random@0.2.0" (instance $r (export "get-random-u64" (func (result u64)))))`, core: "" }),
  expect: { load: "STELE-CAP-0003" },
} satisfies Guest
