import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Host functions in a table, called with a wrong type and after the table was overwritten. */
export default {
  threat: "host functions in a table that are called as functions of another type",
  bytes: () =>
    guest({
      imports: { tick: "" },
      core: `(import "host" "tick" (func $tick)) (type $other (func (param i64) (result i64))) (type $plain (func)) (table 2 funcref) (elem (i32.const 0) func $tick)
        (func (export "good") (call_indirect (type $plain) (i32.const 0))) (func (export "odd") (drop (call_indirect (type $other) (i64.const 1) (i32.const 0)))) (func (export "null") (call_indirect (type $plain) (i32.const 1)))`,
      exports: { good: "", odd: "", null: "" },
    }),
  load: (scene) => ({ imports: { tick: (() => void scene.hostCalls++) as never } }),
  call: [{ export: "good" }, { export: "odd" }, { export: "null" }],
  expect: { calls: [{ result: undefined }, "STELE-PLG-0002", "STELE-PLG-0002"] },
  check: ({ hostCalls }) => (hostCalls === 1 ? [] : [`the host was called ${hostCalls} times`]),
} satisfies Guest
