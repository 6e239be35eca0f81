import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a division by zero",
  bytes: () =>
    guest({ core: `(func (export "run") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))`, exports: { run: `(param "n" u32) (result u32)` } }),
  call: [
    { export: "run", args: [0] },
    { export: "run", args: [1] },
  ],
  expect: { calls: ["STELE-PLG-0002", { result: 1 }] },
} satisfies Guest
