import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a lift whose core function has another signature, so that a number would be called as a pointer",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "run") (param f64) (result f32) (f32.const 0))`,
      exports: { run: `(param "text" string) (result string)` },
    }),
  expect: { load: "STELE-VFY-0003" },
} satisfies Guest
