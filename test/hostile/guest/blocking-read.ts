import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

/** Reads a gigabyte of standard input, which is closed. */
const head = `(import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource))))) (alias export $error "error" (type $err))
  (import "wasi:io/streams@0.2.0" (instance $streams (alias outer 1 $err (type $e')) (export "error" (type $e (eq $e'))) (export "input-stream" (type $in (sub resource)))
    (type $se' (variant (case "last-operation-failed" (own $e)) (case "closed"))) (export "stream-error" (type $se (eq $se')))
    (export "[method]input-stream.blocking-read" (func (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $se)))))))
  (alias export $streams "input-stream" (type $input))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin (alias outer 1 $input (type $i')) (export "input-stream" (type $i (eq $i'))) (export "get-stdin" (func (result (own $i))))))
  (core module $mem ${bumpAllocator()}) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory)) (alias core export $mem "realloc" (core func $realloc))
  (core func $stdin (canon lower (func $stdin "get-stdin"))) (core func $read (canon lower (func $streams "[method]input-stream.blocking-read") (memory $memory) (realloc $realloc)))
  (core instance $wasi (export "stdin" (func $stdin)) (export "read" (func $read)) (export "memory" (memory $memory)))`

export default {
  threat: "a blocking read of an input that never comes",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "stdin" (func $stdin (result i32))) (import "wasi" "read" (func $read (param i32 i64 i32))) (import "wasi" "memory" (memory 1))
        (func (export "run") (result i32) (call $read (call $stdin) (i64.const 1073741824) (i32.const 64)) (i32.add (i32.mul (i32.const 16) (i32.load8_u (i32.const 64))) (i32.load8_u (i32.const 68))))`,
      exports: { run: "(result u32)" },
    }),
  call: { export: "run" },
  // The error case (1), "closed" (1).
  expect: { calls: [{ result: 17 }] },
  msMax: 2_000,
} satisfies Guest
