import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "an endless recursion through a table",
  bytes: () =>
    guest({
      core: `(type $t (func (param i64 i64 i64 i64) (result i64))) (table 1 1 funcref) (elem (i32.const 0) func $f)
      (func $f (param i64 i64 i64 i64) (result i64) (i64.add (call_indirect (type $t) (local.get 1) (local.get 2) (local.get 3) (local.get 0) (i32.const 0)) (i64.const 1)))
      (func (export "run") (result i64) (call $f (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))`,
      exports: { run: "(result u64)" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0003"] },
} satisfies Guest
