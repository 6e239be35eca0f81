import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a variant whose discriminant has no case",
  bytes: () =>
    guest({
      head: `(type $v' (variant (case "a") (case "b" u32))) (export $v "v" (type $v'))`,
      core: `(memory (export "memory") 1) (data (i32.const 0) "\\02") (func (export "run") (result i32) (i32.const 0))`,
      exports: { run: "(result $v)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
