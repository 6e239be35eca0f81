import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a result of 512 MiB",
  bytes: () =>
    guest({
      core: `(memory (export "memory") 8193) (func (export "run") (result i32) (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const 536870912)) (i32.const 0))`,
      exports: { run: "(result (list u8))" },
    }),
  load: { limits: { memoryBytesMax: 600 << 20 } },
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0004"] },
} satisfies Guest
