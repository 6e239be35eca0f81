import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "handles made in an endless loop",
  bytes: () =>
    guest({
      head: `(type $r' (resource (rep i32))) (core func $new (canon resource.new $r')) (core instance $res (export "new" (func $new)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "new" (func $new (param i32) (result i32))) (func (export "run") (loop $l (drop (call $new (i32.const 1))) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run", options: { deadlineMs: 5_000 } },
  expect: { calls: ["STELE-LIM-0008"] },
} satisfies Guest
