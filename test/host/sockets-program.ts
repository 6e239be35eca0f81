// Guests that listen, connect to each other and send datagrams, over real sockets: what each step answered, as JSON.
import { backlogMax } from "../../host/capability/sockets/tcp.ts"
import type { SocketPort } from "../../host/port/mod.ts"
import { openNetwork } from "../../runtime/network/network.ts"
import { testCall } from "./capability-call.ts"

interface Answer {
  readonly tag: string
  readonly val?: unknown
}
type Place = { readonly tag: "ipv4" | "ipv6"; readonly val: { readonly port: number; readonly address: ReadonlyArray<number> } }

const network = openNetwork()
const seen: Record<string, unknown> = {}
/** What a step answered: its word, or `ok`; anything else of it is told apart. */
const word = (answer: unknown): string => {
  const { tag, val } = answer as Answer
  return tag === "ok" ? "ok" : typeof val === "string" ? val : ((val as Answer).tag ?? JSON.stringify(val))
}
const note = (name: string, value: unknown): void => void (seen[name] = value)
const valueOf = (answer: unknown): unknown => {
  if ((answer as Answer).tag !== "ok") throw new Error(`It answered ${word(answer)}`)
  return (answer as Answer).val
}
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const utf8 = (of: string): Uint8Array => new TextEncoder().encode(of)

const loopback: Readonly<Record<string, ReadonlyArray<number>>> = { ipv4: [127, 0, 0, 1], ipv6: [0, 0, 0, 0, 0, 0, 0, 1] }
const any: Readonly<Record<string, ReadonlyArray<number>>> = { ipv4: [0, 0, 0, 0], ipv6: [0, 0, 0, 0, 0, 0, 0, 0] }
function at(tag: Place["tag"], port: number, address = loopback[tag] as ReadonlyArray<number>): Place {
  return { tag, val: { port, address, ...(tag === "ipv6" ? { flowInfo: 0, scopeId: 0 } : {}) } } as Place
}
const portOf = (answer: unknown): number => (valueOf(answer) as Place).val.port

function guest(grants: ReadonlyArray<string>, socket: SocketPort = network.socket) {
  const of = testCall(grants, { socket })
  const untilMs = performance.now() + 20_000
  of.remainingMs = () => Math.max(0, untilMs - performance.now())
  return {
    of,
    tcp: (label: string, ...args: ReadonlyArray<unknown>) => of.do(`wasi:sockets/tcp#[method]tcp-socket.${label}`, ...args),
    udp: (label: string, ...args: ReadonlyArray<unknown>) => of.do(`wasi:sockets/udp#[method]${label}`, ...args),
    createTcp: (family = "ipv4") => valueOf(of.do("wasi:sockets/tcp-create-socket#create-tcp-socket", family)) as object,
    createUdp: (family = "ipv4") => valueOf(of.do("wasi:sockets/udp-create-socket#create-udp-socket", family)) as object,
    block: (pollable: unknown) => void of.do("wasi:io/poll#[method]pollable.block", pollable),
    write: (output: unknown, said: string) => of.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", output, utf8(said)),
    read: (input: unknown) => of.do("wasi:io/streams#[method]input-stream.blocking-read", input, 100n) as Answer,
    dropTcp: (socket: unknown) => of.drop("wasi:sockets/tcp", "tcp-socket", socket),
    dropUdp: (socket: unknown) => of.drop("wasi:sockets/udp", "udp-socket", socket),
  }
}
type Guest = ReturnType<typeof guest>

function bindTcp(by: Guest, socket: object, place: Place): string {
  const started = word(by.tcp("start-bind", socket, {}, place))
  if (started !== "ok") return started
  by.block(by.tcp("subscribe", socket))
  return word(by.tcp("finish-bind", socket))
}
function listening(by: Guest, place: Place): object {
  const socket = by.createTcp(place.tag)
  if (bindTcp(by, socket, place) !== "ok") throw new Error("It is not bound")
  valueOf(by.tcp("start-listen", socket))
  valueOf(by.tcp("finish-listen", socket))
  return socket
}
function connect(by: Guest, place: Place, socket = by.createTcp(place.tag)): readonly [object, unknown, unknown] {
  valueOf(by.tcp("start-connect", socket, {}, place))
  by.block(by.tcp("subscribe", socket))
  return [socket, ...(valueOf(by.tcp("finish-connect", socket)) as [unknown, unknown])]
}
function accepted(by: Guest, socket: object): [object, unknown, unknown] {
  by.block(by.tcp("subscribe", socket))
  return valueOf(by.tcp("accept", socket)) as [object, unknown, unknown]
}

// A server and a client.
for (const tag of ["ipv4", "ipv6"] as const) {
  const host = tag === "ipv4" ? "127.0.0.1" : "[::1]"
  const server = guest([`tcp:listen:${host}:*`])
  const client = guest([`tcp:connect:${host}:*`])
  const listener = listening(server, at(tag, 0))
  note(`${tag} is listening`, server.tcp("is-listening", listener))
  note(`${tag} accepts nobody`, word(server.tcp("accept", listener)))
  const port = portOf(server.tcp("local-address", listener))
  const [socket, input, output] = connect(client, at(tag, port))
  const [peer, peerInput, peerOutput] = accepted(server, listener)
  note(`${tag} peer`, portOf(server.tcp("remote-address", peer)) === portOf(client.tcp("local-address", socket)))
  valueOf(client.write(output, "question"))
  note(`${tag} question`, text(server.read(peerInput).val as Uint8Array))
  valueOf(server.write(peerOutput, "answer"))
  note(`${tag} answer`, text(client.read(input).val as Uint8Array))
  note(`${tag} uses`, [...new Set(server.of.uses.map(([grant]) => grant))])
  // Options: of a socket that is connected.
  note(`${tag} keep-alive`, [word(client.tcp("set-keep-alive-enabled", socket, true)), client.tcp("keep-alive-enabled", socket)])
  note(`${tag} idle`, [
    word(client.tcp("set-keep-alive-idle-time", socket, 0n)),
    word(client.tcp("set-keep-alive-idle-time", socket, 1_500_000_000n)),
    String(valueOf(client.tcp("keep-alive-idle-time", socket))),
  ])
  note(`${tag} buffers`, [
    word(client.tcp("set-send-buffer-size", socket, 0n)),
    word(client.tcp("set-send-buffer-size", socket, 1n)),
    String(valueOf(client.tcp("receive-buffer-size", socket))),
  ])
  // A grant that is taken back ends the listener and what it has accepted.
  server.of.grants.revoke(`tcp:listen:${host}:*`)
  note(`${tag} revoked`, [word(server.tcp("accept", listener)), word(server.write(peerOutput, "more"))])
  note(`${tag} revoked client`, word(client.read(input)))
  for (const one of [listener, peer]) server.dropTcp(one)
  client.dropTcp(socket)
}

// What may be taken, and how it is refused.
{
  const server = guest(["tcp:listen:127.0.0.1:*", "tcp:connect:127.0.0.1:*"])
  const listener = listening(server, at("ipv4", 0))
  const port = portOf(server.tcp("local-address", listener))
  note("in use", bindTcp(server, server.createTcp(), at("ipv4", port)))
  note("again after", bindTcp(server, server.createTcp(), at("ipv4", 0)))
  note("other address", bindTcp(server, server.createTcp(), at("ipv4", port, [127, 0, 0, 2])))
  note("foreign", bindTcp(guest(["tcp:listen:192.0.2.1:*"]), guest([]).createTcp(), at("ipv4", 0, [192, 0, 2, 1])))
  const free = server.createTcp()
  note("free bind", bindTcp(server, free, at("ipv4", 0, any["ipv4"])))
  note("free listen", word(server.tcp("start-listen", free)))
  note("denials", server.of.denials)
  note("mapped", word(server.tcp("start-bind", server.createTcp("ipv6"), {}, at("ipv6", 0, [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]))))
  note("family", word(server.tcp("start-bind", server.createTcp(), {}, at("ipv6", 0))))
  note("unbound listen", word(server.tcp("start-listen", server.createTcp())))
  note("backlog", [
    word(server.tcp("set-listen-backlog-size", free, 0n)),
    word(server.tcp("set-listen-backlog-size", free, BigInt(backlogMax) * 2n)),
    word(server.tcp("set-listen-backlog-size", listener, 1n)),
  ])
  server.of.discard()
}

// Connections come from the place that was bound; those beyond the backlog are ended, those before `listen` as well.
{
  const server = guest(["tcp:listen:127.0.0.1:*", "tcp:connect:127.0.0.1:*"])
  const socket = server.createTcp()
  bindTcp(server, socket, at("ipv4", 0))
  const port = portOf(server.tcp("local-address", socket))
  valueOf(server.tcp("set-listen-backlog-size", socket, 1n))
  const [early, earlyInput] = connect(server, at("ipv4", port))
  note("before listen", word(server.read(earlyInput)))
  server.dropTcp(early)
  valueOf(server.tcp("start-listen", socket))
  valueOf(server.tcp("finish-listen", socket))
  const from = server.createTcp()
  bindTcp(server, from, at("ipv4", 0))
  const fromPort = portOf(server.tcp("local-address", from))
  connect(server, at("ipv4", port), from)
  server.block(server.tcp("subscribe", socket))
  const [second, secondInput] = connect(server, at("ipv4", port))
  note("beyond the backlog", word(server.read(secondInput)))
  server.dropTcp(second)
  const [peer] = accepted(server, socket)
  note("from", portOf(server.tcp("remote-address", peer)) === fromPort)
}

// Datagrams.
function bindUdp(by: Guest, socket: object, place: Place): string {
  const started = word(by.udp("udp-socket.start-bind", socket, {}, place))
  if (started !== "ok") return started
  by.block(by.udp("udp-socket.subscribe", socket))
  return word(by.udp("udp-socket.finish-bind", socket))
}
interface Halves {
  readonly socket: object
  readonly port: number
  readonly incoming: unknown
  readonly outgoing: unknown
}
function open(by: Guest, place: Place, remote?: Place): Halves {
  const socket = by.createUdp(place.tag)
  const bound = bindUdp(by, socket, place)
  if (bound !== "ok") throw new Error(`It is not bound: ${bound}`)
  const [incoming, outgoing] = valueOf(by.udp("udp-socket.stream", socket, remote)) as [unknown, unknown]
  return { socket, port: portOf(by.udp("udp-socket.local-address", socket)), incoming, outgoing }
}
const send = (by: Guest, { outgoing }: Halves, said: string | Uint8Array, remoteAddress?: Place): string => {
  by.block(by.udp("outgoing-datagram-stream.subscribe", outgoing))
  const answer = by.udp("outgoing-datagram-stream.send", outgoing, [{ data: typeof said === "string" ? utf8(said) : said, remoteAddress }]) as Answer
  return answer.tag === "ok" ? `${String(answer.val)} sent` : word(answer)
}
const receive = (by: Guest, { incoming }: Halves): ReadonlyArray<{ readonly data: Uint8Array; readonly remoteAddress: Place }> =>
  valueOf(by.udp("incoming-datagram-stream.receive", incoming, 10n)) as ReadonlyArray<{ readonly data: Uint8Array; readonly remoteAddress: Place }>
const heard = (by: Guest, halves: Halves): ReadonlyArray<string> => {
  by.block(by.udp("incoming-datagram-stream.subscribe", halves.incoming))
  return receive(by, halves).map(({ data }) => (data.length > 100 ? `${data.length} bytes` : text(data)))
}

for (const tag of ["ipv4", "ipv6"] as const) {
  const host = tag === "ipv4" ? "127.0.0.1" : "[::1]"
  const server = guest([`udp:bind:${host}:*`, `udp:send:${host}:*`])
  const service = open(server, at(tag, 0))
  const client = guest([`udp:send:${host}:${service.port}`])
  const own = open(client, at(tag, 0, any[tag]))
  note(`${tag} nothing yet`, receive(server, service).length)
  note(`${tag} send`, send(client, own, "ping", at(tag, service.port)))
  server.block(server.udp("incoming-datagram-stream.subscribe", service.incoming))
  const [first] = receive(server, service)
  note(`${tag} heard`, [text(first?.data as Uint8Array), first?.remoteAddress.val.port === own.port])
  note(`${tag} reply`, send(server, service, "pong", first?.remoteAddress))
  note(`${tag} replied`, heard(client, own))
  note(`${tag} large`, [send(client, own, new Uint8Array(60_000), at(tag, service.port)), send(client, own, new Uint8Array(70_000), at(tag, service.port))])
  note(`${tag} large heard`, heard(server, service))
  note(`${tag} hops`, [
    word(client.udp("udp-socket.set-unicast-hop-limit", own.socket, 0)),
    word(client.udp("udp-socket.set-unicast-hop-limit", own.socket, 3)),
    valueOf(client.udp("udp-socket.unicast-hop-limit", own.socket)),
  ])
  client.of.grants.revoke(`udp:send:${host}:*`)
  note(`${tag} revoked send`, send(client, own, "x", at(tag, service.port)))
  server.of.grants.revoke(`udp:bind:${host}:*`)
  note(`${tag} revoked bind`, [word(server.udp("incoming-datagram-stream.receive", service.incoming, 1n)), send(server, service, "x", at(tag, own.port))])
  server.dropUdp(service.socket)
  client.dropUdp(own.socket)
}

// Who hears whom, and who is refused.
{
  const server = guest(["udp:bind:127.0.0.1:*"])
  const service = open(server, at("ipv4", 0))
  const stranger = guest(["udp:bind:127.0.0.1:*", "udp:send:127.0.0.1:*"])
  const loud = open(stranger, at("ipv4", 0))
  const client = guest([`udp:send:127.0.0.1:${service.port}`])
  const own = open(client, at("ipv4", 0, any["ipv4"]))
  // A socket without a place of its own hears nobody it may not send to.
  note("stranger", send(stranger, loud, "unasked", at("ipv4", own.port)))
  send(stranger, loud, "to the service", at("ipv4", service.port))
  note("service hears", heard(server, service))
  note("client hears nothing", receive(client, own).length)
  note("no answer into the network", [send(server, service, "x", at("ipv4", loud.port)), server.of.denials.at(-1) === `udp:send:127.0.0.1:${loud.port}`])
  note("to nobody", [
    send(client, own, "x"),
    send(client, own, "x", at("ipv4", 0)),
    send(client, own, "x", at("ipv4", 9, [0, 0, 0, 0])),
    send(client, own, "x", at("ipv4", 9, [255, 255, 255, 255])),
    send(client, own, "x", at("ipv4", 53, [10, 0, 0, 1])),
    send(client, own, "x", at("ipv6", 53)),
  ])
  note("named", send(guestOf(["udp:send:*"]), open(guestOf(["udp:send:*"]), at("ipv4", 0, any["ipv4"])), "x", at("ipv4", 53, [127, 0, 0, 1])))
  note("unbound", word(client.udp("udp-socket.stream", client.createUdp(), undefined)))
  note("twice", word(client.udp("udp-socket.stream", own.socket, undefined)))
  note(
    "too many",
    codeOf(() =>
      client.udp(
        "outgoing-datagram-stream.send",
        own.outgoing,
        Array.from({ length: 17 }, () => ({ data: utf8("x") })),
      ),
    ),
  )
  note("no place", [
    word(client.udp("udp-socket.start-bind", client.createUdp(), {}, at("ipv4", 0))),
    word(guest([]).udp("udp-socket.start-bind", client.createUdp(), {}, at("ipv4", 0, any["ipv4"]))),
  ])
  note("in use by another", bindUdp(stranger, stranger.createUdp(), at("ipv4", service.port)))

  // Between two alone.
  const pair = guest(["udp:send:127.0.0.1:*"])
  const to = open(pair, at("ipv4", 0, any["ipv4"]), at("ipv4", loud.port))
  note("connected", [
    portOf(pair.udp("udp-socket.remote-address", to.socket)) === loud.port,
    send(pair, to, "hello"),
    send(pair, to, "elsewhere", at("ipv4", service.port)),
  ])
  heard(stranger, loud)
  const other = open(stranger, at("ipv4", 0))
  send(stranger, other, "from elsewhere", at("ipv4", to.port))
  send(stranger, loud, "from the one", at("ipv4", to.port))
  const got: Array<string> = []
  while (got.length === 0) got.push(...heard(pair, to))
  note("connected hears", got)
}
function guestOf(grants: ReadonlyArray<string>): Guest {
  return guest(grants)
}
function codeOf(act: () => unknown): string {
  try {
    act()
    return "none"
  } catch (error) {
    return String((error as { readonly code?: unknown }).code)
  }
}

await network.close()
console.log(JSON.stringify(seen))
