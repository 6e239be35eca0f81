import { escapeText } from "../../../host/port/mod.ts"
import { guest } from "../../host/component-builder.ts"
import type { Guest } from "../kit.ts"

// What an escaped record must not hold.
// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/
const head = `(import "wasi:logging/logging@0.1.0-draft" (instance $log (type $l' (enum "trace" "debug" "info" "warn" "error" "critical")) (export "level" (type $l (eq $l'))) (export "log" (func (param "level" $l) (param "context" string) (param "message" string)))))
  (core module $mem (memory (export "memory") 2) (data (i32.const 0) "\\1b[2J\\e2\\80\\ae")) (core instance $mem (instantiate $mem)) (alias core export $mem "memory" (core memory $memory))
  (core func $write (canon lower (func $log "log") (memory $memory))) (core instance $wasi (export "log" (func $write)))`

export default {
  threat: "a hundred thousand log messages of 64 KiB",
  bytes: () =>
    guest({
      head,
      with: `(with "wasi" (instance $wasi))`,
      core: `(import "wasi" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "run") (local $i i32) (loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 65536)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000)))))`,
      exports: { run: "" },
    }),
  load: { grants: ["log"] },
  call: { export: "run", options: { deadlineMs: 3_000 } },
  expect: { calls: [["STELE-LIM-0005", "STELE-LIM-0010"]] },
  check: ({ log }) => {
    const problems: Array<string> = []
    if (log.records.length > 1_100) problems.push(`${log.records.length} records were kept`)
    if (log.records.some((record) => record.message.length > 8_192)) problems.push("a record is longer than 8,192 characters")
    if (log.records.some((record) => !record.plugin.startsWith("sha256:"))) problems.push("a record is not tagged with its plugin")
    if (log.records.some((record) => unsafe.test(escapeText(record.message)))) problems.push("an escaped record holds control characters")
    return problems
  },
} satisfies Guest
