import { wat } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Exports under the names of what the host injects, and overwrites its own; spins afterwards. */
export default {
  threat: "a module that exports and imports the names of the meter",
  bytes: () =>
    wat(`(component
      (core module $fake
        (global (export "epoch") (mut i32) (i32.const 0)) (global (export "fuel") (mut i64) (i64.const 9223372036854775807))
        (global (export "stack") (mut i32) (i32.const 2147483647)) (global (export "pages") (mut i32) (i32.const 65536)) (global (export "elements") (mut i32) (i32.const 65536))
        (func (export "tick") (result i32) (i32.const 0)) (memory (export "memory") 1))
      (core instance $f (instantiate $fake))
      (core module $m
        (import "stele" "epoch" (global $e (mut i32))) (import "stele" "fuel" (global $g (mut i64))) (import "stele" "stack" (global $s (mut i32)))
        (import "stele" "pages" (global $p (mut i32))) (import "stele" "tick" (func $tick (result i32)))
        (func (export "fuel") (export "epoch") (export "stack") (export "tick") (export "t") (export "__proto__")
          (loop $l (global.set $e (i32.const 0)) (global.set $g (i64.const 9223372036854775807)) (global.set $s (i32.const 2147483647)) (drop (call $tick)) (br $l))))
      (core instance $i (instantiate $m (with "stele" (instance $f))))
      (func (export "run") (canon lift (core func $i "__proto__"))))`),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: ["STELE-LIM-0010"] },
} satisfies Guest
