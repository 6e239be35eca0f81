import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "typed function references",
  bytes: () => guest({ core: `(type $f (func)) (func (export "run") (call_ref $f (ref.null $f)))`, exports: { run: "" } }),
  expect: { load: "STELE-VFY-0011" },
} satisfies Guest
