import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an endless recursion",
  bytes: () => guest({ core: `(func $f (export "run") (result i32) (i32.add (call $f) (i32.const 1)))`, exports: { run: "(result u32)" } }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0003"] },
} satisfies Guest
