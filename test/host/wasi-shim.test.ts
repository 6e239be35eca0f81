/**
 * `wasi:cli`, `clocks`, `random`, `io` and `sockets` beside `preview2-shim`, call by call: the same answer, or why not. Files
 * are in `wasi-oracle.test.ts`, fields of HTTP in `http.test.ts`.
 */
import t from "tap"
import * as shim from "@bytecodealliance/preview2-shim"
import { openNetwork } from "../../runtime/network/network.ts"
import { testCall } from "./capability-call.ts"

type Callable = (...args: ReadonlyArray<unknown>) => unknown
// Its types are for guests; what is called here is plain JavaScript.
const peer = shim as unknown as Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, Callable>>>>>>
const network = openNetwork()
const of = testCall(["clock:monotonic:fine", "clock:wall", "random", "tcp:listen:127.0.0.1:*", "tcp:connect:127.0.0.1:*", "udp:bind:127.0.0.1:*"], {
  socket: network.socket,
})

/** Of an answer what can be equal: values as JSON, an error as its word. */
function plain(act: () => unknown): string {
  try {
    const value = act()
    const { tag, val } = (typeof value === "object" && value !== null && "tag" in value ? value : { tag: "ok", val: value }) as { tag: string; val: unknown }
    if (tag === "err") return `err ${typeof val === "string" ? val : ((val as { readonly tag?: string }).tag ?? "?")}`
    if (val instanceof Uint8Array || val instanceof Uint32Array) return `bytes or numbers: ${val.length}`
    if (typeof val === "bigint") return "a bigint"
    return typeof val === "object" && val !== null && !Array.isArray(val) ? `{${Object.keys(val).sort().join()}}` : (JSON.stringify(val) ?? "nothing")
  } catch (error) {
    if (typeof error === "string") return `err ${error}`
    const { payload } = error as { readonly payload?: unknown }
    return payload === undefined ? "trap" : `err ${typeof payload === "string" ? payload : ((payload as { readonly tag?: string }).tag ?? "?")}`
  }
}

const camel = (name: string): string => name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
/** A free function of both, by its names in WIT. */
const both = (name: string, label: string, ...args: ReadonlyArray<unknown>): readonly [() => unknown, () => unknown] => {
  const [group = "", part = ""] = name.split("/")
  return [() => of.do(`wasi:${name}#${label}`, ...args), () => peer[group]?.[camel(part)]?.[camel(label)]?.(...args)]
}
const okOf = (value: unknown): unknown => (value as { readonly val?: unknown }).val

const ours = okOf(of.do("wasi:sockets/tcp-create-socket#create-tcp-socket", "ipv4"))
const theirs = peer["sockets"]?.["tcpCreateSocket"]?.["createTcpSocket"]?.("ipv4") as Readonly<Record<string, Callable>>
const oursUdp = okOf(of.do("wasi:sockets/udp-create-socket#create-udp-socket", "ipv4"))
const theirsUdp = peer["sockets"]?.["udpCreateSocket"]?.["createUdpSocket"]?.("ipv4") as Readonly<Record<string, Callable>>
const tcp = (label: string, ...args: ReadonlyArray<unknown>): readonly [() => unknown, () => unknown] => [
  () => of.do(`wasi:sockets/tcp#[method]tcp-socket.${label}`, ours, ...args),
  () => theirs[camel(label)]?.(...args),
]
const udp = (label: string, ...args: ReadonlyArray<unknown>): readonly [() => unknown, () => unknown] => [
  () => of.do(`wasi:sockets/udp#[method]udp-socket.${label}`, oursUdp, ...args),
  () => theirsUdp[camel(label)]?.(...args),
]
const pollables = [of.do("wasi:clocks/monotonic-clock#subscribe-duration", 0n), peer["clocks"]?.["monotonicClock"]?.["subscribeDuration"]?.(0n)] as const
const method = (name: string, label: string): readonly [() => unknown, () => unknown] => [
  () => of.do(`wasi:${name}.${label}`, pollables[0]),
  () => (pollables[1] as Readonly<Record<string, Callable>>)[label]?.(),
]

/** What is called, on both, and where they differ what each answers and why. */
const cases: ReadonlyArray<
  readonly [name: string, calls: readonly [() => unknown, () => unknown], difference?: readonly [ours: string, shim: string, why: string]]
> = [
  ["environment", both("cli/environment", "get-environment"), ["[]", "*", "it hands out the process's own variables; here a program has what it is given"]],
  ["arguments", both("cli/environment", "get-arguments"), ["[]", "*", "and the process's own arguments"]],
  ["cwd", both("cli/environment", "initial-cwd"), ["nothing", "*", "and its directory"]],
  ["monotonic now", both("clocks/monotonic-clock", "now")],
  ["monotonic resolution", both("clocks/monotonic-clock", "resolution")],
  ["wall now", both("clocks/wall-clock", "now")],
  ["wall resolution", both("clocks/wall-clock", "resolution")],
  ["ready of a timer that is due", method("io/poll#[method]pollable", "ready")],
  ["block on one", method("io/poll#[method]pollable", "block")],
  ["poll of one", [() => of.do("wasi:io/poll#poll", [pollables[0]]), () => peer["io"]?.["poll"]?.["poll"]?.([pollables[1]])]],
  ["poll of none", both("io/poll", "poll", [])],
  ["random bytes", both("random/random", "get-random-bytes", 7n)],
  ["no random bytes", both("random/random", "get-random-bytes", 0n)],
  ["a random number", both("random/random", "get-random-u64")],
  ["insecure bytes", both("random/insecure", "get-insecure-random-bytes", 7n)],
  ["an insecure number", both("random/insecure", "get-insecure-random-u64")],
  ...["finish-connect", "finish-bind", "local-address", "remote-address", "is-listening", "address-family", "keep-alive-enabled", "keep-alive-idle-time"].map(
    (label) => [`tcp ${label}`, tcp(label)] as const,
  ),
  ...["receive-buffer-size", "send-buffer-size", "accept", "start-listen"].map((label) => [`tcp ${label}`, tcp(label)] as const),
  ["tcp finish-listen", tcp("finish-listen")],
  ["tcp hop-limit", tcp("hop-limit"), ["err not-supported", "1", "no engine sets it; the shim remembers a number"]],
  ["tcp keep-alive-count", tcp("keep-alive-count"), ["err not-supported", "10", "no engine sets it; the shim remembers a number"]],
  ["tcp shutdown", tcp("shutdown", "both")],
  ["tcp set-listen-backlog-size 0", tcp("set-listen-backlog-size", 0n)],
  ["tcp set-keep-alive-idle-time 0", tcp("set-keep-alive-idle-time", 0n)],
  ["tcp set-receive-buffer-size 0", tcp("set-receive-buffer-size", 0n)],
  ["tcp set-hop-limit 0", tcp("set-hop-limit", 0)],
  ...["finish-bind", "local-address", "remote-address", "address-family", "unicast-hop-limit", "receive-buffer-size"].map(
    (label) => [`udp ${label}`, udp(label)] as const,
  ),
  ["udp set-unicast-hop-limit 0", udp("set-unicast-hop-limit", 0)],
  ["udp stream, not bound", udp("stream", undefined)],
]

t.test("what both serve they answer alike, but where the table says why not", async (t) => {
  for (const [name, [mine, other], difference] of cases) {
    const [here, there] = [plain(mine), plain(other)]
    if (difference === undefined) t.equal(here, there, name)
    else {
      t.equal(here, difference[0], `${name}: ${difference[2]}`)
      if (difference[1] === "*") t.not(there, here, name)
      else t.equal(there, difference[1], name)
    }
  }
  t.comment(`${cases.length} calls, ${cases.filter(([, , difference]) => difference !== undefined).length} differ`)
  await network.close()
  // It has a thread of its own, which nobody ends.
  setTimeout(() => process.exit(), 100)
})
