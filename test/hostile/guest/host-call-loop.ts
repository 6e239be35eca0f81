import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "host calls in an endless loop",
  bytes: () =>
    guest({ imports: { tick: "" }, core: `(import "host" "tick" (func $tick)) (func (export "run") (loop $l (call $tick) (br $l)))`, exports: { run: "" } }),
  load: (scene) => ({ imports: { tick: (() => void scene.hostCalls++) as never }, limits: { hostCallsMax: 5_000, deadlineMs: 10_000 } }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0007"] },
  check: ({ hostCalls }) => (hostCalls === 5_000 ? [] : [`${hostCalls} host calls were made`]),
} satisfies Guest
