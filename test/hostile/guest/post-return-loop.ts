import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a post-return that loops",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)) (func (export "post-run") (param i32) (loop $l (br $l)))`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
