/** Guests that wait for ever, each by another import: what to export is the way of waiting. */
import { readFileSync } from "node:fs"
import { wasiVersion } from "../../host/capability/io.ts"
import { bumpAllocator, componentOf, wat } from "./component-builder.ts"

/** A WASI package as one inside another's text. */
function nested(name: string): string {
  const path = import.meta.resolve("@bytecodealliance/jco/component").replace(/dist\/[^/]*$/, `lib/wit/builtin/${wasiVersion}/wasi-${name}/package.wit`)
  const text = readFileSync(new URL(path), "utf8").replace(/^world [^{]*\{[^}]*\}/gm, "")
  const [header, called] = /^package ([^;@]+)(?:@[^;]+)?;$/m.exec(text) as unknown as [string, string]
  return `package ${called}@${wasiVersion} {\n${text.replace(header, "")}\n}\n`
}

const from = (name: string, label: string, called: string, type: string): string =>
  `(import "wasi:${name}@${wasiVersion}" "${label}" (func $${called} ${type}))`
const i32s = (count: number): string => `(param${" i32".repeat(count)})`
const zeros = (count: number): string => "(i32.const 0) ".repeat(count)
/** `ip-socket-address` flat: the case, then eleven numbers, of which IPv4 has five. */
const ipv4 = (port: string): string => `(i32.const 0) ${port} (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1) ${zeros(6)}`

const imports = [
  from("io/poll", "[method]pollable.block", "block", i32s(1)),
  from("io/poll", "poll", "poll", i32s(3)),
  from("clocks/monotonic-clock", "subscribe-duration", "after", "(param i64) (result i32)"),
  from("clocks/monotonic-clock", "subscribe-instant", "at", "(param i64) (result i32)"),
  from("cli/stdin", "get-stdin", "stdin", "(result i32)"),
  from("cli/stdout", "get-stdout", "stdout", "(result i32)"),
  from("io/streams", "[method]input-stream.subscribe", "input-ready", "(param i32) (result i32)"),
  from("io/streams", "[method]input-stream.blocking-read", "blocking-read", "(param i32 i64 i32)"),
  from("io/streams", "[method]input-stream.blocking-skip", "blocking-skip", "(param i32 i64 i32)"),
  from("io/streams", "[method]output-stream.blocking-splice", "blocking-splice", "(param i32 i32 i64 i32)"),
  from("io/streams", "[method]output-stream.blocking-write-and-flush", "blocking-write", "(param i32 i32 i32 i32)"),
  from("io/streams", "[method]output-stream.blocking-write-zeroes-and-flush", "blocking-zeroes", "(param i32 i64 i32)"),
  from("sockets/instance-network", "instance-network", "network", "(result i32)"),
  from("sockets/ip-name-lookup", "resolve-addresses", "resolve", "(param i32 i32 i32 i32)"),
  from("sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe", "addresses-ready", "(param i32) (result i32)"),
  from("sockets/tcp-create-socket", "create-tcp-socket", "create-tcp", i32s(2)),
  from("sockets/tcp", "[method]tcp-socket.start-bind", "bind", i32s(15)),
  from("sockets/tcp", "[method]tcp-socket.finish-bind", "bound", i32s(2)),
  from("sockets/tcp", "[method]tcp-socket.start-listen", "listen", i32s(2)),
  from("sockets/tcp", "[method]tcp-socket.finish-listen", "listening", i32s(2)),
  from("sockets/tcp", "[method]tcp-socket.start-connect", "connect", i32s(15)),
  from("sockets/tcp", "[method]tcp-socket.finish-connect", "connected", i32s(2)),
  from("sockets/tcp", "[method]tcp-socket.subscribe", "tcp-ready", "(param i32) (result i32)"),
  from("sockets/udp-create-socket", "create-udp-socket", "create-udp", i32s(2)),
  from("sockets/udp", "[method]udp-socket.start-bind", "udp-bind", i32s(15)),
  from("sockets/udp", "[method]udp-socket.finish-bind", "udp-bound", i32s(2)),
  from("sockets/udp", "[method]udp-socket.subscribe", "udp-ready", "(param i32) (result i32)"),
  from("sockets/udp", "[method]udp-socket.stream", "udp-stream", i32s(15)),
  from("sockets/udp", "[method]incoming-datagram-stream.subscribe", "datagrams-ready", "(param i32) (result i32)"),
  from("http/types", "[constructor]fields", "fields", "(result i32)"),
  from("http/types", "[constructor]outgoing-request", "request", "(param i32) (result i32)"),
  from("http/types", "[method]outgoing-request.set-scheme", "scheme", "(param i32 i32 i32 i32 i32) (result i32)"),
  from("http/types", "[method]outgoing-request.set-authority", "authority", "(param i32 i32 i32 i32) (result i32)"),
  from("http/types", "[method]future-incoming-response.subscribe", "response-ready", "(param i32) (result i32)"),
  from("http/types", "[method]future-incoming-response.get", "response", i32s(2)),
  from("http/types", "[method]incoming-response.consume", "consume", i32s(2)),
  from("http/types", "[method]incoming-body.stream", "body-stream", i32s(2)),
  from("http/outgoing-handler", "handle", "handle", i32s(4)),
].join("\n    ")

/** What is at 1024 is the last answer: its case, and what it is of. An error is a trap, so that no case passes by it. */
const ok = "(if (i32.load8_u (i32.const 1024)) (then unreachable))"
const got = "(i32.load (i32.const 1028))"
const answer = "(i32.const 1024)"
const connection = `
  (call $create-tcp (i32.const 0) ${answer}) ${ok} (local.set $s ${got})
  (call $connect (local.get $s) (call $network) ${ipv4("(local.get 0)")} ${answer}) ${ok}
  (call $block (call $tcp-ready (local.get $s)))
  (call $connected (local.get $s) ${answer}) ${ok}`
/** `127.0.0.1:PORT`, the port written in five digits by the caller's number. */
const asking = `
  (local.set $n (local.get 0))
  (local.set $i (i32.const 14))
  (loop $digits
    (i32.store8 (i32.add (i32.const 16) (local.get $i)) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
    (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
    (local.set $i (i32.sub (local.get $i) (i32.const 1)))
    (br_if $digits (i32.gt_u (local.get $i) (i32.const 9))))
  (local.set $s (call $request (call $fields)))
  (drop (call $scheme (local.get $s) (i32.const 1) ${zeros(3)}))
  (drop (call $authority (local.get $s) (i32.const 1) (i32.const 16) (i32.const 15)))
  (call $handle (local.get $s) ${zeros(2)} ${answer}) ${ok}
  (local.set $s (i32.load (i32.const 1032)))
  (call $block (call $response-ready (local.get $s)))`

/** The body of each export `func(port: u32)`. */
const ways: Readonly<Record<string, string>> = {
  "pollable-block": `(call $block (call $after (i64.const 3600000000000)))`,
  "poll-of-a-list": `(i32.store (i32.const 64) (call $at (i64.const 0x7fffffffffffffff))) (i32.store (i32.const 68) (call $after (i64.const 3600000000000)))
    (call $poll (i32.const 64) (i32.const 2) ${answer})`,
  "stdin-read": `(call $blocking-read (call $stdin) (i64.const 10) ${answer})`,
  "stdin-skip": `(call $blocking-skip (call $stdin) (i64.const 10) ${answer})`,
  "stdin-splice": `(call $blocking-splice (call $stdout) (call $stdin) (i64.const 10) ${answer})`,
  "stdin-subscribe": `(call $block (call $input-ready (call $stdin)))`,
  "tcp-read": `${connection} (call $blocking-read (i32.load (i32.const 1028)) (i64.const 10) ${answer})`,
  "tcp-write": `${connection} (local.set $s (i32.load (i32.const 1032)))
    (loop $more (call $blocking-write (local.get $s) (i32.const 0) (i32.const 4096) ${answer}) ${ok} (br $more))`,
  "tcp-zeroes": `${connection} (local.set $s (i32.load (i32.const 1032)))
    (loop $more (call $blocking-zeroes (local.get $s) (i64.const 4096) ${answer}) ${ok} (br $more))`,
  "tcp-accept": `(call $create-tcp (i32.const 0) ${answer}) ${ok} (local.set $s ${got})
    (call $bind (local.get $s) (call $network) ${ipv4("(i32.const 0)")} ${answer}) ${ok}
    (call $block (call $tcp-ready (local.get $s))) (call $bound (local.get $s) ${answer}) ${ok}
    (call $listen (local.get $s) ${answer}) ${ok} (call $listening (local.get $s) ${answer}) ${ok}
    (call $block (call $tcp-ready (local.get $s)))`,
  "udp-receive": `(call $create-udp (i32.const 0) ${answer}) ${ok} (local.set $s ${got})
    (call $udp-bind (local.get $s) (call $network) ${ipv4("(i32.const 0)")} ${answer}) ${ok}
    (call $block (call $udp-ready (local.get $s))) (call $udp-bound (local.get $s) ${answer}) ${ok}
    (call $udp-stream (local.get $s) ${zeros(13)} ${answer}) ${ok}
    (call $block (call $datagrams-ready ${got}))`,
  "name-look-up": `(call $resolve (call $network) (i32.const 48) (i32.const 11) ${answer}) ${ok} (call $block (call $addresses-ready ${got}))`,
  "http-response": asking,
  "http-body": `${asking}
    (call $response (local.get $s) ${answer})
    (call $consume (i32.load (i32.const 1048)) (i32.const 1088))
    (call $body-stream (i32.load (i32.const 1092)) (i32.const 1088))
    (local.set $s (i32.load (i32.const 1092)))
    (loop $more (call $blocking-read (local.get $s) (i64.const 10) ${answer}) ${ok} (br $more))`,
}
export const waysOfWaiting: ReadonlyArray<string> = Object.keys(ways)

export const sleepingGuest = (): Promise<Uint8Array> =>
  componentOf(
    `package test:sleeping;
world all {
${[
  "io/poll",
  "io/streams",
  "clocks/monotonic-clock",
  "cli/stdin",
  "cli/stdout",
  "sockets/instance-network",
  "sockets/ip-name-lookup",
  "sockets/tcp",
  "sockets/tcp-create-socket",
  "sockets/udp",
  "sockets/udp-create-socket",
  "http/types",
  "http/outgoing-handler",
]
  .map((name) => `  import wasi:${name}@${wasiVersion};`)
  .join("\n")}
${waysOfWaiting.map((name) => `  export ${name}: func(port: u32);`).join("\n")}
}
${["io", "clocks", "random", "filesystem", "cli", "sockets", "http"].map(nested).join("")}`,
    `(module
    ${imports}
    ${bumpAllocator(2)} (export "cabi_realloc" (func $realloc))
    (data (i32.const 16) "127.0.0.1:00000") (data (i32.const 48) "silent.test")
    ${Object.entries(ways)
      .map(([name, body]) => `(func (export "${name}") (param i32) (local $s i32) (local $n i32) (local $i i32) ${body})`)
      .join("\n    ")})`,
    { world: "all" },
  )

/** Programs of preview 1, as a reactor: each export waits by another call. */
export const sleepingReactor = (): Promise<Uint8Array> =>
  wat(`(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    ;; Subscriptions of 48 bytes: an hour of the monotonic clock, the wall clock's end of time, and input.
    (data (i32.const 1040) "\\01") (data (i32.const 1048) "\\00\\a0\\b8\\30\\46\\03\\00\\00")
    (data (i32.const 1096) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\7f") (data (i32.const 1112) "\\01")
    (data (i32.const 1128) "\\01")
    (data (i32.const 256) "\\00\\10\\00\\00\\0a\\00\\00\\00")
    (func (export "sleep") (result i32) (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 512)))
    (func (export "until-the-end-of-time") (result i32) (call $poll (i32.const 1072) (i32.const 2048) (i32.const 1) (i32.const 512)))
    (func (export "poll-input") (result i32) (call $poll (i32.const 1120) (i32.const 2048) (i32.const 1) (i32.const 512)))
    (func (export "poll-all") (result i32) (call $poll (i32.const 1024) (i32.const 2048) (i32.const 3) (i32.const 512)))
    (func (export "read-input") (result i32) (call $read (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512))))`)
export const reactorWays = ["sleep", "until-the-end-of-time", "poll-input", "poll-all", "read-input"] as const

/** Values of a store that never answers. */
export const storeWays = ["get", "set", "keys", "many", "increment"] as const
export const waitingForStores = (keyValueWit: string): Promise<Uint8Array> =>
  componentOf(
    `package test:stores;
world all {
  import wasi:keyvalue/store@0.2.0-draft2;
  import wasi:keyvalue/batch@0.2.0-draft2;
  import wasi:keyvalue/atomics@0.2.0-draft2;
${storeWays.map((name) => `  export ${name}: func();`).join("\n")}
}
${keyValueWit.replace(/package ([^;]+);/, "package $1 {")}\n}\n`,
    `(module
    (import "wasi:keyvalue/store@0.2.0-draft2" "open" (func $open (param i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft2" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft2" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:keyvalue/store@0.2.0-draft2" "[method]bucket.list-keys" (func $keys (param i32 i32 i32 i32 i32)))
    (import "wasi:keyvalue/batch@0.2.0-draft2" "get-many" (func $many (param i32 i32 i32 i32)))
    (import "wasi:keyvalue/atomics@0.2.0-draft2" "increment" (func $increment (param i32 i32 i32 i64 i32)))
    ${bumpAllocator(2)} (export "cabi_realloc" (func $realloc))
    (data (i32.const 16) "prices")
    (func $bucket (result i32) (call $open (i32.const 16) (i32.const 6) ${answer}) ${ok} ${got})
    (func (export "get") (call $get (call $bucket) (i32.const 16) (i32.const 6) ${answer}))
    (func (export "set") (call $set (call $bucket) (i32.const 16) (i32.const 6) (i32.const 16) (i32.const 6) ${answer}))
    (func (export "keys") (call $keys (call $bucket) ${zeros(3)} ${answer}))
    (func (export "many") (i32.store (i32.const 64) (i32.const 16)) (i32.store (i32.const 68) (i32.const 6)) (call $many (call $bucket) (i32.const 64) (i32.const 1) ${answer}))
    (func (export "increment") (call $increment (call $bucket) (i32.const 16) (i32.const 6) (i64.const 1) ${answer})))`,
    { world: "all" },
  )
