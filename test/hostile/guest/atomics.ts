import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "atomic waiting, which would park the host's thread",
  bytes: () =>
    guest({ core: `(memory 1) (func (export "run") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))`, exports: { run: "" } }),
  expect: { load: ["STELE-VFY-0009", "STELE-VFY-0003"] },
} satisfies Guest
