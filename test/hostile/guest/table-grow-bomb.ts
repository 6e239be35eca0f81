import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "growing a table until it is refused, and then by 2^32 − 1",
  bytes: () =>
    guest({
      core: `(table $t 1 externref) (func (export "run") (result i32) (loop $l (br_if $l (i32.ne (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const -1)))) (drop (table.grow $t (ref.null extern) (i32.const -1))) (table.size $t))`,
      exports: { run: "(result u32)" },
    }),
  load: { limits: { tableElementsMax: 5_500 } },
  call: { export: "run" },
  expect: { calls: [{ result: 5_001 }] },
} satisfies Guest
