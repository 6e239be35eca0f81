import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an import declared with another type than the host serves, so that a number would be read as a pointer",
  bytes: () => guest({ head: `(import "wasi:random/random@0.2.0" (instance $r (export "get-random-u64" (func (result string)))))`, core: "" }),
  load: { grants: ["random"] },
  expect: { load: "STELE-CAP-0005" },
} satisfies Guest
