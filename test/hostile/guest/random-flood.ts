import { bumpAllocator, guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

const head = `(import "wasi:random/random@0.2.0" (instance $r (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (core module $mem ${bumpAllocator()}) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory)) (alias core export $mem "realloc" (core func $realloc))
  (core func $bytes (canon lower (func $r "get-random-bytes") (memory $memory) (realloc $realloc))) (core instance $wasi (export "bytes" (func $bytes)))`

export default {
  threat: "2^63 random bytes",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "bytes" (func $bytes (param i64 i32))) (func (export "run") (call $bytes (i64.const 0x7fffffffffffffff) (i32.const 16)))`,
      exports: { run: "" },
    }),
  load: { grants: ["random"] },
  call: { export: "run" },
  expect: { calls: [["STELE-CAP-0008", "STELE-PLG-0009", "STELE-LIM-0006"]] },
} satisfies Guest
