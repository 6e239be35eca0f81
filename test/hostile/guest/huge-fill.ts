import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a memory.fill of 4 GiB in a memory of 64 KiB",
  bytes: () => guest({ core: `(memory 1) (func (export "run") (memory.fill (i32.const 0) (i32.const 1) (i32.const -1)))`, exports: { run: "" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
