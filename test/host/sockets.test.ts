// wasi:sockets: look-ups and TCP clients over real sockets, inside grants.
import { Worker } from "node:worker_threads"
import t from "tap"
import { socketsMax } from "../../host/capability/sockets/tcp.ts"
import { memorySocket } from "../../host/port/mod.ts"
import { openNetwork } from "../../runtime/network/network.ts"
import { testCall, type TestCall } from "./capability-call.ts"

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

t.test("sockets are bounded, unconnected ones know nothing, and what is not built says so", async (t) => {
  const of = testCall([], { socket: network.socket })
  const sockets = Array.from({ length: socketsMax }, () => valueOf(create(of)))
  t.same(create(of), err("new-socket-limit"))
  of.drop("wasi:sockets/tcp", "tcp-socket", sockets.pop())
  t.match(create(of), { tag: "ok" })
  const [socket] = sockets
  t.same(tcp(of, "finish-connect", socket), err("not-in-progress"))
  t.same(tcp(of, "remote-address", socket), err("invalid-state"))
  t.same(tcp(of, "shutdown", socket, "both"), err("invalid-state"))
  t.same(tcp(of, "start-listen", socket), err("not-supported"))
  t.same(tcp(of, "set-keep-alive-count", socket, 0), err("invalid-argument"))
  t.same(tcp(of, "hop-limit", socket), err("not-supported"))
  t.same(tcp(of, "start-bind", socket, {}, place(80, 127, 0, 0, 1)), err("access-denied"))
  t.same(tcp(of, "start-bind", socket, {}, place(0, 0, 0, 0, 0)), ok())
  t.same(tcp(of, "finish-bind", socket), ok())
  t.same(of.do("wasi:sockets/udp-create-socket#create-udp-socket", "ipv4"), err("not-supported"))
})
