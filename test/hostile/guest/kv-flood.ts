import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const head = `(import "wasi:keyvalue/store@0.2.0-draft" (instance $kv
    (type $e' (variant (case "no-such-store") (case "access-denied") (case "other" string))) (export "error" (type $e (eq $e'))) (export "bucket" (type $b (sub resource)))
    (export "open" (func (param "identifier" string) (result (result (own $b) (error $e)))))
    (export "[method]bucket.set" (func (param "self" (borrow $b)) (param "key" string) (param "value" (list u8)) (result (result (error $e)))))))
  (core module $mem ${bumpAllocator(40)} (data (i32.const 0) "defaultnote/0000")) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory)) (alias core export $mem "realloc" (core func $realloc))
  (core func $open (canon lower (func $kv "open") (memory $memory) (realloc $realloc))) (core func $set (canon lower (func $kv "[method]bucket.set") (memory $memory) (realloc $realloc)))
  (core instance $wasi (export "open" (func $open)) (export "set" (func $set)) (export "memory" (memory $memory)))`

export default {
  threat: "values of a mebibyte written under ever new keys",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "open" (func $open (param i32 i32 i32))) (import "wasi" "set" (func $set (param i32 i32 i32 i32 i32 i32))) (import "wasi" "memory" (memory 1))
        (func (export "run") (result i32) (local $i i32)
          (call $open (i32.const 0) (i32.const 0) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (return (i32.const 1000000))))
          (loop $l
            (i32.store (i32.const 12) (local.get $i))
            (call $set (i32.load (i32.const 68)) (i32.const 7) (i32.const 9) (i32.const 65536) (i32.const 1048576) (i32.const 128))
            (br_if $l (i32.and (i32.eqz (i32.load8_u (i32.const 128))) (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000)))))
          (local.get $i))`,
      exports: { run: "(result u32)" },
    }),
  load: { grants: ["kv:write:note/*"], limits: { liftBytesMax: 2_000_000_000 } },
  call: { export: "run", options: { deadlineMs: 3_000 } },
  // A tenant has 64 MiB, keys included: the sixty-fourth value is the interface's error.
  expect: { calls: [{ result: 64 }] },
} satisfies Guest
