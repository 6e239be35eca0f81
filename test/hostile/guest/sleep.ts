import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const head = `(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource))) (export "[method]pollable.block" (func (param "self" (borrow 0))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (alias outer 1 $pollable (type $p')) (export "pollable" (type $p (eq $p'))) (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (core func $block (canon lower (func $poll "[method]pollable.block"))) (core func $after (canon lower (func $clock "subscribe-duration"))) (core instance $wasi (export "block" (func $block)) (export "after" (func $after)))`

export default {
  threat: "a sleep of 584 years in a call of 50 ms",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "block" (func $block (param i32))) (import "wasi" "after" (func $after (param i64) (result i32))) (func (export "run") (call $block (call $after (i64.const -1))))`,
      exports: { run: "" },
    }),
  load: { grants: ["clock:monotonic"] },
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: [["STELE-CAP-0007", "STELE-LIM-0010"]] },
  msMax: 2_000,
} satisfies Guest
