import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an endless loop",
  bytes: () => guest({ core: `(func (export "run") (loop $l (br $l)))`, exports: { run: "" } }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 2_000,
} satisfies Guest
