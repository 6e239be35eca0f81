import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a result of millions of booleans, which takes longer to lift than its deadline",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 200) (func (export "run") (result i32) (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 12000000)) (i32.const 0))`,
      exports: { run: "(result (list bool))" },
    }),
  load: { limits: { outputBytesMax: 4_000_000_000, liftBytesMax: 4_000_000_000 } },
  call: { export: "run", options: { deadlineMs: 10 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 2_000,
} satisfies Guest
