import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Uses its export from the start function, before the instance is complete. */
export default {
  threat: "a start function that calls through a table which is not filled yet",
  bytes: () =>
    wat(`(component
      (core module $m (type $v (func)) (table 1 funcref) (func $s (call_indirect (type $v) (i32.const 0))) (start $s) (func (export "run")))
      (core instance $i (instantiate $m))
      (func (export "run") (canon lift (core func $i "run"))))`),
  call: { export: "run" },
  expect: { calls: ["STELE-PLG-0002"] },
} satisfies Guest
