import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a static method named apply, which every class has",
  bytes: () =>
    guest({
      head: `(import "evil:host/api" (instance $api (export "thing" (type $thing (sub resource))) (export "[static]thing.apply" (func (result u32)))))`,
      core: "",
    }),
  load: { imports: { "evil:host/api": { Thing: class {} } } },
  expect: { load: "STELE-CFG-0002" },
} satisfies Guest
