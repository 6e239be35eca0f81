import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "core functions of a thousand parameters in an endless recursion",
  bytes: () =>
    guest({
      core: `(type $t (func (param ${"i64 ".repeat(990)}))) (func $f (type $t) (call $f ${"(i64.const 1) ".repeat(990)})) (func (export "run") (call $f ${"(i64.const 1) ".repeat(990)}))`,
      exports: { run: "" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-LIM-0003"] },
} satisfies Guest
