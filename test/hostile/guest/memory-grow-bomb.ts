import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "growing memory until it is refused, and then for ever",
  bytes: () =>
    guest({
      core: `(memory 1) (func (export "run") (result i32) (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (drop (memory.grow (i32.const 65535))) (memory.size))`,
      exports: { run: "(result u32)" },
    }),
  load: { limits: { memoryBytesMax: 2 << 20 } },
  call: [{ export: "run" }, { export: "run" }],
  expect: { calls: [{ result: 32 }, { result: 32 }] },
} satisfies Guest
