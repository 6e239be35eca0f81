import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a start function that loops",
  bytes: () => guest({ core: `(func $s (loop $l (br $l))) (start $s) (func (export "run"))`, exports: { run: "" } }),
  call: [
    { export: "run", options: { deadlineMs: 50 } },
    { export: "run", options: { deadlineMs: 50 } },
  ],
  expect: { calls: ["STELE-LIM-0010", "STELE-LIM-0010"] },
} satisfies Guest
