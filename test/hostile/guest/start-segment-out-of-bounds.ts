import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a data segment behind the end of its memory, which fails while instances are made",
  bytes: () => guest({ core: `(memory 1) (data (i32.const 65530) "0123456789") (func (export "run"))`, exports: { run: "" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
