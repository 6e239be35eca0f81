import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "state that would survive the trap of an instance that is kept",
  bytes: () =>
    guest({
      core: `(global $n (mut i32) (i32.const 0)) (func (export "count") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)) (func (export "trap") (global.set $n (i32.const 100)) unreachable)`,
      exports: { count: "(result u32)", trap: "" },
    }),
  load: { instances: { reuse: "principal" } },
  call: [{ export: "count" }, { export: "count" }, { export: "trap" }, { export: "count" }],
  expect: { calls: [{ result: 1 }, { result: 2 }, "STELE-PLG-0002", { result: 1 }] },
} satisfies Guest
