import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "exceptions thrown and caught in an endless loop",
  bytes: () => guest({ core: `(tag $t) (func (export "run") (loop $l (block $h (try_table (catch $t $h) (throw $t))) (br $l)))`, exports: { run: "" } }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 2_000,
} satisfies Guest
