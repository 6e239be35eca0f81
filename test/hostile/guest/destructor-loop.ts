import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

export default {
  threat: "a destructor that loops",
  bytes: () =>
    wat(`(component
      (core module $d (func (export "dtor") (param i32) (loop $l (br $l)))) (core instance $d (instantiate $d))
      (alias core export $d "dtor" (core func $dtor))
      (type $r (resource (rep i32) (dtor (core func $dtor)))) (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
      (core instance $res (export "new" (func $new)) (export "drop" (func $drop)))
      (core module $m (import "res" "new" (func $new (param i32) (result i32))) (import "res" "drop" (func $drop (param i32))) (func (export "run") (call $drop (call $new (i32.const 1)))))
      (core instance $i (instantiate $m (with "res" (instance $res))))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
