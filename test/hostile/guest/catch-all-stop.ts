import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handler around an endless loop that calls the host, to swallow the stop",
  bytes: () =>
    guest({
      imports: { tick: "" },
      core: `(import "host" "tick" (func $tick)) (func (export "run") (loop $o (block $h (try_table (catch_all $h) (loop $l (call $tick) (br $l)))) (br $o)))`,
      exports: { run: "" },
    }),
  load: { imports: { tick: (() => undefined) as never }, limits: { hostCallsMax: 1_000_000_000 } },
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
  msMax: 2_000,
} satisfies Guest
