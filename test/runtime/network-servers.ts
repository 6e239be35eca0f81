/** Servers that do everything wrong, a name server that lies, and canaries that nobody may touch. All on this machine's loopback. */
import { createSocket } from "node:dgram"
import { readFileSync } from "node:fs"
import { createServer, type Server, type Socket } from "node:net"
import { createServer as createTls } from "node:tls"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"

const sockets = new Set<Socket>()

function listen(answer: (socket: Socket, head: string) => void, host = "127.0.0.1", port = 0): Promise<{ readonly port: number; close(): void }> {
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket)).on("error", () => {})
    let head = ""
    socket.on("data", (bytes) => {
      if (head.includes("\r\n\r\n")) return
      head += bytes.toString("latin1")
      if (head.includes("\r\n\r\n")) answer(socket, head)
    })
  })
  return new Promise((done, fail) => {
    server.once("error", fail)
    server.listen(port, host, () => done({ port: (server.address() as { port: number }).port, close: () => server.close() }))
  })
}

/** Sends `part()` each `ms`, for ever. */
function drip(socket: Socket, ms: number, part: () => string | Uint8Array): void {
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer)
    else if (socket.writableLength < 1 << 20) socket.write(part())
  }, ms)
}
function flood(socket: Socket, part: string | Uint8Array): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(part));
  }
  socket.on("drain", more)
  more()
}

const bomb = gzipSync(new Uint8Array(32 << 20))
const brotliBomb = brotliCompressSync(new Uint8Array(32 << 20), { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
const coded = (coding: string, body: Uint8Array) => [`HTTP/1.1 200 OK\r\ncontent-encoding: ${coding}\r\ncontent-length: ${body.length}\r\n\r\n`, body] as const

/** What each path answers; "echo" is the one that behaves. */
const answers: Readonly<Record<string, (socket: Socket, head: string) => void>> = {
  echo(socket, head) {
    const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
    const end = (): void => {
      const body = `${head.split("\r\n", 1)[0]} ${length}`
      socket.end(`HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
    }
    let have = head.length - head.indexOf("\r\n\r\n") - 4
    if (have >= length) return end()
    socket.on("data", (bytes) => {
      have += bytes.length
      if (have >= length) end()
    })
  },
  silent() {},
  closes: (socket) => void socket.end(),
  resets: (socket) => void socket.resetAndDestroy(),
  loris(socket) {
    socket.write("HTTP/1.1 200 OK\r\nx-slow: ")
    drip(socket, 20, () => "a")
  },
  stalls: (socket) => void socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
  headers(socket) {
    socket.write("HTTP/1.1 200 OK\r\n")
    flood(socket, `x-more: ${"y".repeat(100)}\r\n`)
  },
  line(socket) {
    socket.write("HTTP/1.1 200 OK\r\nx-long: ")
    flood(socket, "z".repeat(65_536))
  },
  interim: (socket) => flood(socket, "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"),
  body(socket) {
    socket.write("HTTP/1.1 200 OK\r\n\r\n")
    flood(socket, new Uint8Array(65_536))
  },
  chunks(socket) {
    socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    flood(socket, "1\r\na\r\n".repeat(10_000))
  },
  extension(socket) {
    socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;")
    flood(socket, "e".repeat(65_536))
  },
  trailers(socket) {
    socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    flood(socket, "x-t: y\r\n".repeat(1_000))
  },
  short: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"),
  long: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlonger than it says"),
  huge: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n"),
  negative: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
  twice: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
  both: (socket) => void socket.end("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
  coding: (socket) => void socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
  garbage: (socket) => void socket.end("SSH-2.0-OpenSSH_9.6\r\n"),
  upgrade: (socket) => void socket.end("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
  folded: (socket) => void socket.end("HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\n\r\n"),
  control: (socket) => void socket.end("HTTP/1.1 200 OK\r\nx-a: b\u0000c\r\n\r\n"),
  bomb: (socket) => coded("gzip", bomb).forEach((part) => socket.write(part)),
  brotli: (socket) => coded("br", brotliBomb).forEach((part) => socket.write(part)),
  damaged: (socket) => coded("gzip", Uint8Array.of(1, 2, 3)).forEach((part) => socket.write(part)),
  double: (socket) => coded("gzip, br", Uint8Array.of(1, 2, 3)).forEach((part) => socket.write(part)),
  gzip: (socket) => coded("gzip", gzipSync("unpacked")).forEach((part) => socket.write(part)),
  chunked: (socket) => void socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: u\r\n\r\n"),
  moved: (socket) => void socket.end("HTTP/1.1 302 Found\r\nlocation: /echo\r\n\r\n"),
  /** To wherever the query says. */
  to: (socket, head) => void socket.end(`HTTP/1.1 307 Moved\r\nlocation: ${decodeURIComponent(/\?(\S*)/.exec(head)?.[1] ?? "")}\r\n\r\n`),
}

export interface Servers {
  readonly port: number
  readonly tls: number
  readonly tlsName: number
  readonly dns: number
  /** A port on 127.0.0.1 and ::1 that nobody may connect to. */
  readonly canary: number
  touched(): number
  /** Questions the name server was asked, by name. */
  readonly asked: Map<string, number>
  close(): void
}

/** What names lead to: one list for each time they are asked, the last for all further times. */
const zones: Readonly<Record<string, ReadonlyArray<ReadonlyArray<string>>>> = {
  "loop.test": [["127.0.0.1"]],
  "loop6.test": [["::1"]],
  "private.test": [["10.1.2.3"]],
  "link.test": [["169.254.169.254"]],
  "nat.test": [["100.64.0.1"]],
  "unique.test": [["fd00::1"]],
  "mapped.test": [["::ffff:127.0.0.1"]],
  "nat64.test": [["64:ff9b::7f00:1"]],
  "sixtofour.test": [["2002:7f00:1::"]],
  "teredo.test": [["2001:0:7f00:1::1"]],
  "zero.test": [["0.0.0.0"]],
  "any.test": [["::"]],
  "multicast.test": [["224.0.0.1"]],
  "broadcast.test": [["255.255.255.255"]],
  "mixed.test": [["192.0.43.7", "127.0.0.1"]],
  // First an address of the world, from then on this machine.
  "rebind.test": [["192.0.43.7"], ["127.0.0.1"]],
}

function dnsAnswer(question: Buffer, asked: Map<string, number>): Buffer {
  let at = 12
  const labels: Array<string> = []
  for (let length = question[at] as number; length > 0; length = question[at] as number) {
    labels.push(question.toString("latin1", at + 1, at + 1 + length))
    at += 1 + length
  }
  const type = question.readUInt16BE(at + 1)
  const name = labels.join(".").toLowerCase()
  const key = `${name} ${type}`
  const times = asked.get(key) ?? 0
  asked.set(key, times + 1)
  const zone = zones[name]
  const found = (zone?.[Math.min(times, zone.length - 1)] ?? []).filter((text) => text.includes(":") === (type === 28))
  const records = found.map((text) => {
    const data = text.includes(":") ? v6(text) : Buffer.from(text.split(".").map(Number))
    return Buffer.concat([Buffer.from([0xc0, 0x0c, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]), data])
  })
  const header = Buffer.from([question[0] as number, question[1] as number, 0x81, zone === undefined ? 0x83 : 0x80, 0, 1, 0, records.length, 0, 0, 0, 0])
  return Buffer.concat([header, question.subarray(12, at + 5), ...records])
}

function v6(text: string): Buffer {
  const hostname = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const [head, tail = ""] = hostname.split("::") as [string, string?]
  const groups = (half: string): Array<number> => (half === "" ? [] : half.split(":").map((group) => Number.parseInt(group, 16)))
  const [front, back] = [groups(head), groups(tail)]
  const all = [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back]
  return Buffer.from(all.flatMap((group) => [group >> 8, group & 0xff]))
}

export async function startServers(): Promise<Servers> {
  const pem = (name: string): Buffer => readFileSync(new URL(`network-tls/${name}`, import.meta.url))
  const main = await listen((socket, head) => {
    const path = /^\S+ \/([a-z0-9]*)/.exec(head)?.[1] ?? ""
    ;(answers[path] ?? ((one: Socket) => one.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")))(socket, head)
  })
  const secure = (name: string): Promise<{ readonly port: number; close(): void }> =>
    new Promise((done) => {
      const server = createTls({ key: pem(`${name}.key`), cert: pem(`${name}.pem`) }, (socket) => {
        socket.on("error", () => {})
        socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret"))
      }).on("tlsClientError", () => {})
      server.listen(0, "127.0.0.1", () => done({ port: (server.address() as { port: number }).port, close: () => server.close() }))
    })
  const [tls, tlsName] = [await secure("address"), await secure("name")]
  let touches = 0
  const touch = (socket: Socket): void => {
    touches++
    socket.destroy()
  }
  const canary = createServer(touch)
  await new Promise<void>((done) => canary.listen(0, "127.0.0.1", done))
  const port = (canary.address() as { port: number }).port
  const canary6 = createServer(touch)
  await new Promise<void>((done) => canary6.once("error", () => done()).listen(port, "::1", done))
  const asked = new Map<string, number>()
  const dns = createSocket("udp4")
  dns.on("message", (question, from) => dns.send(dnsAnswer(question, asked), from.port, from.address))
  await new Promise<void>((done) => dns.bind(0, "127.0.0.1", done))
  return {
    port: main.port,
    tls: tls.port,
    tlsName: tlsName.port,
    dns: dns.address().port,
    canary: port,
    touched: () => touches,
    asked,
    close() {
      for (const socket of sockets) socket.destroy()
      main.close()
      tls.close()
      tlsName.close()
      canary.close()
      canary6.close()
      dns.close()
    },
  }
}
