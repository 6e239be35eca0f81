import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a handle dropped twice, inside a handler",
  bytes: () =>
    guest({
      head: `(type $r' (resource (rep i32))) (core func $new (canon resource.new $r')) (core func $drop (canon resource.drop $r')) (core instance $res (export "new" (func $new)) (export "drop" (func $drop)))`,
      with: `(with "res" (instance $res))`,
      core: `(import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32)))
        (func (export "run") (local $h i32) (local.set $h (call $new (i32.const 1))) (call $drop (local.get $h)) (loop $l (block $c (try_table (catch_all $c) (call $drop (local.get $h)))) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0011"] },
} satisfies Guest
