// wasi:sockets: look-ups and TCP clients over real sockets, inside grants.
import { Worker } from "node:worker_threads"
import t from "tap"
import { socketsMax } from "../../host/capability/sockets/reach.ts"
import { memorySocket } from "../../host/port/mod.ts"
import { openNetwork } from "../../runtime/network/network.ts"
import { testCall, type TestCall } from "./capability-call.ts"
import { answer, engines } from "./engine.ts"

const ok = (val?: unknown) => ({ tag: "ok", val })
const err = (val: unknown) => ({ tag: "err", val })
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const valueOf = (result: unknown): unknown => {
  const { tag, val } = result as { readonly tag: string; readonly val?: unknown }
  if (tag !== "ok") throw new Error(`It answered ${JSON.stringify(val)}`)
  return val
}
const tcp = (of: TestCall, label: string, ...args: ReadonlyArray<unknown>): unknown => of.do(`wasi:sockets/tcp#[method]tcp-socket.${label}`, ...args)
const create = (of: TestCall, family = "ipv4"): unknown => of.do("wasi:sockets/tcp-create-socket#create-tcp-socket", family)
const lookUp = (of: TestCall, name: string): unknown => of.do("wasi:sockets/ip-name-lookup#resolve-addresses", {}, name)
const next = (of: TestCall, stream: unknown): unknown => of.do("wasi:sockets/ip-name-lookup#[method]resolve-address-stream.resolve-next-address", stream)
const place = (port: number, ...address: ReadonlyArray<number>) => ({ tag: "ipv4", val: { port, address } })

/** Answers each line in capitals, on a thread of its own; "bye" ends. */
const server = new Worker(
  `const { createServer } = require("node:net")
   const { parentPort } = require("node:worker_threads")
   createServer({ allowHalfOpen: true }, (socket) => {
     socket.on("error", () => {})
     socket.on("data", (bytes) => socket.write(bytes.toString().toUpperCase())).on("end", () => socket.end("bye"))
   }).listen(0, "127.0.0.1", function () { parentPort.postMessage(this.address().port) })`,
  { eval: true },
)
const port = await new Promise<number>((done) => server.once("message", done))
const network = openNetwork()
t.teardown(async () => {
  await network.close()
  await server.terminate()
})

function connected(of: TestCall): { readonly socket: unknown; readonly input: unknown; readonly output: unknown } {
  const socket = valueOf(create(of))
  valueOf(tcp(of, "start-connect", socket, {}, place(port, 127, 0, 0, 1)))
  of.do("wasi:io/poll#[method]pollable.block", tcp(of, "subscribe", socket))
  const [input, output] = valueOf(tcp(of, "finish-connect", socket)) as [unknown, unknown]
  return { socket, input, output }
}
const read = (of: TestCall, input: unknown) => of.do("wasi:io/streams#[method]input-stream.blocking-read", input, 100n) as { tag: string; val: Uint8Array }
const write = (of: TestCall, output: unknown, text: string) => of.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", output, utf8(text))

t.test("a TCP client connects to an address that is granted, writes, reads, ends its half, and is told the end", async (t) => {
  const of = testCall([`tcp:connect:127.0.0.1:${port}`], { socket: network.socket })
  const { socket, input, output } = connected(of)
  t.same(write(of, output, "hello"), ok())
  t.equal(new TextDecoder().decode(read(of, input).val), "HELLO")
  t.same(tcp(of, "remote-address", socket), ok(place(port, 127, 0, 0, 1)))
  t.match(tcp(of, "local-address", socket), { tag: "ok", val: { tag: "ipv4", val: { address: [127, 0, 0, 1] } } })
  t.same(tcp(of, "shutdown", socket, "send"), ok())
  t.equal(new TextDecoder().decode(read(of, input).val), "bye")
  t.same(read(of, input), err({ tag: "closed" }))
  t.match(of.uses.at(-1), [`tcp:connect:127.0.0.1:${port}`])
})

t.test("a grant taken back ends a connection at the next operation", async (t) => {
  const of = testCall([`tcp:connect:127.0.0.1:${port}`], { socket: network.socket })
  const { input, output } = connected(of)
  t.same(write(of, output, "a"), ok())
  of.grants.revoke("tcp:connect:127.0.0.1:*")
  t.match(write(of, output, "b"), { tag: "err", val: { tag: "last-operation-failed" } })
  t.match(read(of, input), { tag: "err", val: { tag: "last-operation-failed" } })
})

t.test("a guest that waits for bytes that never come is stopped at its deadline", async (t) => {
  const of = testCall([`tcp:connect:127.0.0.1:${port}`], { socket: network.socket })
  const { input } = connected(of)
  const untilMs = performance.now() + 200
  of.remainingMs = () => Math.max(0, untilMs - performance.now())
  t.throws(() => read(of, input), { code: "STELE-LIM-0010" })
  t.ok(performance.now() >= untilMs - 5 && performance.now() < untilMs + 1_000)
})

t.test("nothing is connected to that no grant names, and no name leads home", async (t) => {
  const of = testCall(["tcp:connect:*", `tcp:connect:localhost:${port}`], { socket: network.socket })
  const socket = valueOf(create(of))
  t.same(tcp(of, "start-connect", socket, {}, place(port, 127, 0, 0, 1)), err("access-denied"))
  t.same(tcp(of, "start-connect", socket, {}, place(443, 192, 0, 43, 7)), err("access-denied"), "an address that no look-up found")
  t.same(of.denials, [`tcp:connect:127.0.0.1:${port}`, "tcp:connect:192.0.43.7:443"])
  const stream = valueOf(lookUp(of, "localhost"))
  of.do("wasi:io/poll#[method]pollable.block", of.do("wasi:sockets/ip-name-lookup#[method]resolve-address-stream.subscribe", stream))
  t.same(next(of, stream), err("access-denied"))
  for (const [address, code] of [
    [place(port, 0, 0, 0, 0), "invalid-argument"],
    [place(0, 127, 0, 0, 1), "invalid-argument"],
    [{ tag: "ipv6", val: { port, flowInfo: 0, address: [0, 0, 0, 0, 0, 0, 0, 1], scopeId: 0 } }, "invalid-argument"],
  ] as const)
    t.same(tcp(of, "start-connect", socket, {}, address), err(code))
  const six = valueOf(create(of, "ipv6"))
  const mapped = { tag: "ipv6", val: { port, flowInfo: 0, address: [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1], scopeId: 0 } }
  t.same(tcp(of, "start-connect", six, {}, mapped), err("invalid-argument"))
})

t.test("what a look-up found under a granted name may be connected to on the granted port, and on no other", async (t) => {
  const world = Uint8Array.of(192, 0, 43, 7)
  const socket = memorySocket({ "db.example.com": [world] })
  const of = testCall(["tcp:connect:db.example.com:5432"], { socket })
  t.same(lookUp(of, "other.example.com"), err("access-denied"))
  t.same(lookUp(of, "a b"), err("invalid-argument"))
  const stream = valueOf(lookUp(of, "DB.Example.com."))
  t.same(next(of, stream), ok({ tag: "ipv4", val: [...world] }))
  t.same(next(of, stream), ok(undefined))
  t.same(tcp(of, "start-connect", valueOf(create(of)), {}, place(5433, ...world)), err("access-denied"))
  t.same(tcp(of, "start-connect", valueOf(create(of)), {}, place(5432, ...world)), ok())
  t.same(tcp(of.again(), "start-connect", valueOf(create(of.again())), {}, place(5432, ...world)), err("access-denied"), "another instance looked nothing up")
  t.same(next(of, valueOf(lookUp(of, "10.0.0.1"))), ok({ tag: "ipv4", val: [10, 0, 0, 1] }), "an address is told back, and is no grant")
})

t.test("sockets are bounded, unconnected ones know nothing, and what is not there says so", async (t) => {
  const of = testCall([], { socket: network.socket })
  const sockets = Array.from({ length: socketsMax }, () => valueOf(create(of)))
  t.same(create(of), err("new-socket-limit"))
  t.same(of.do("wasi:sockets/udp-create-socket#create-udp-socket", "ipv4"), err("new-socket-limit"), "of both kinds together")
  of.drop("wasi:sockets/tcp", "tcp-socket", sockets.pop())
  t.match(create(of), { tag: "ok" })
  const [socket] = sockets
  t.same(tcp(of, "finish-connect", socket), err("not-in-progress"))
  t.same(tcp(of, "remote-address", socket), err("invalid-state"))
  t.same(tcp(of, "local-address", socket), err("invalid-state"))
  t.same(tcp(of, "shutdown", socket, "both"), err("invalid-state"))
  t.same(tcp(of, "finish-bind", socket), err("not-in-progress"))
  t.same(tcp(of, "finish-listen", socket), err("not-in-progress"))
  t.same(tcp(of, "accept", socket), err("invalid-state"))
  t.same(tcp(of, "set-keep-alive-count", socket, 0), err("invalid-argument"))
  for (const label of ["keep-alive-interval", "keep-alive-count", "hop-limit"]) t.same(tcp(of, label, socket), err("not-supported"), label)
  t.same(tcp(of, "start-bind", socket, {}, place(80, 127, 0, 0, 1)), err("access-denied"))
  t.same(of.denials, ["tcp:listen:127.0.0.1:80"])
  t.same(tcp(of, "start-bind", socket, {}, place(0, 0, 0, 0, 0)), ok())
  t.same(tcp(of, "finish-bind", socket), ok())
})

t.test("a port that cannot listen or bind says so, whatever is granted", async (t) => {
  const of = testCall(["tcp:listen:127.0.0.1:*", "udp:bind:127.0.0.1:*"], { socket: memorySocket() })
  t.same(tcp(of, "start-bind", valueOf(create(of)), {}, place(0, 127, 0, 0, 1)), err("not-supported"))
  const udp = valueOf(of.do("wasi:sockets/udp-create-socket#create-udp-socket", "ipv4"))
  t.same(of.do("wasi:sockets/udp#[method]udp-socket.start-bind", udp, {}, place(0, 127, 0, 0, 1)), err("not-supported"))
})

/** What `sockets-program.ts` saw, less what has a port of the moment in it. */
const both = (tag: "ipv4" | "ipv6", host: string): Readonly<Record<string, unknown>> => ({
  [`${tag} is listening`]: true,
  [`${tag} accepts nobody`]: "would-block",
  [`${tag} peer`]: true,
  [`${tag} question`]: "question",
  [`${tag} answer`]: "answer",
  [`${tag} uses`]: [`tcp:listen:${host}:*`],
  [`${tag} keep-alive`]: ["ok", { tag: "ok", val: true }],
  [`${tag} idle`]: ["invalid-argument", "ok", "2000000000"],
  [`${tag} buffers`]: ["invalid-argument", "ok", "262144"],
  [`${tag} revoked`]: ["access-denied", "last-operation-failed"],
  [`${tag} revoked client`]: "closed",
  [`${tag} nothing yet`]: 0,
  [`${tag} send`]: "1 sent",
  [`${tag} heard`]: ["ping", true],
  [`${tag} reply`]: "1 sent",
  [`${tag} replied`]: ["pong"],
  [`${tag} large`]: ["1 sent", "datagram-too-large"],
  [`${tag} large heard`]: ["60000 bytes"],
  [`${tag} hops`]: ["invalid-argument", "ok", 3],
  [`${tag} revoked send`]: "access-denied",
  [`${tag} revoked bind`]: ["access-denied", "access-denied"],
})
const expected: Readonly<Record<string, unknown>> = {
  ...both("ipv4", "127.0.0.1"),
  ...both("ipv6", "[::1]"),
  "in use": "address-in-use",
  "again after": "ok",
  "other address": "access-denied",
  foreign: "address-not-bindable",
  "free bind": "ok",
  "free listen": "access-denied",
  denials: [/^tcp:listen:127\.0\.0\.2:\d+$/, "tcp:listen:0.0.0.0:*"],
  mapped: "invalid-argument",
  family: "invalid-argument",
  "unbound listen": "invalid-state",
  backlog: ["invalid-argument", "ok", "not-supported"],
  "before listen": "closed",
  "beyond the backlog": "closed",
  from: true,
  stranger: "1 sent",
  "service hears": ["to the service"],
  "client hears nothing": 0,
  "no answer into the network": ["access-denied", true],
  "to nobody": ["invalid-argument", "invalid-argument", "invalid-argument", "access-denied", "access-denied", "invalid-argument"],
  named: "access-denied",
  unbound: "invalid-state",
  twice: "invalid-state",
  "too many": "STELE-CAP-0008",
  "no place": ["access-denied", "access-denied"],
  "in use by another": "address-in-use",
  connected: [true, "1 sent", "invalid-argument"],
  "connected hears": ["from the one"],
}

for (const engine of engines)
  t.test(`guests listen, accept, and send datagrams where a grant names the place, and nowhere else, on ${engine}`, async (t) => {
    const seen = await answer<Record<string, unknown>>(engine, "sockets-program.ts")
    t.same(Object.keys(seen).toSorted(), Object.keys(expected).toSorted())
    for (const [step, value] of Object.entries(expected)) t.match(seen[step], value, step)
  })
