import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a post-return that traps",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)) (func (export "post-run") (param i32) unreachable)`,
      exports: { run: "(result string)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
