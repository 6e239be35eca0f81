import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a start function that calls the host for ever",
  bytes: () =>
    guest({
      imports: { tick: "" },
      core: `(import "host" "tick" (func $tick)) (func $s (loop $l (call $tick) (br $l))) (start $s) (func (export "run"))`,
      exports: { run: "" },
    }),
  load: { imports: { tick: (() => undefined) as never } },
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: [["STELE-LIM-0010", "STELE-LIM-0007"]] },
} satisfies Guest
