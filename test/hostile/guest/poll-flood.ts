import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const head = `(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource))) (export "poll" (func (param "in" (list (borrow 0))) (result (list u32))))))
  (core module $mem ${bumpAllocator()}) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory)) (alias core export $mem "realloc" (core func $realloc))
  (core func $p (canon lower (func $poll "poll") (memory $memory) (realloc $realloc))) (core instance $wasi (export "poll" (func $p)))`

export default {
  threat: "a poll of an empty list, which would never be ready",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "poll" (func $poll (param i32 i32 i32))) (func (export "run") (loop $l (call $poll (i32.const 0) (i32.const 0) (i32.const 16)) (br $l)))`,
      exports: { run: "" },
    }),
  call: { export: "run", options: { deadlineMs: 50 } },
  expect: { calls: [["STELE-CAP-0007", "STELE-PLG-0002", "STELE-PLG-0009", "STELE-LIM-0010", "STELE-PLG-0011"]] },
  msMax: 2_000,
} satisfies Guest
