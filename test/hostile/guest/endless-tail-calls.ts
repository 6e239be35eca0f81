import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an endless row of tail calls, which needs no stack",
  bytes: () => guest({ core: `(func $f (export "run") (return_call $g)) (func $g (return_call $f))`, exports: { run: "" } }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
