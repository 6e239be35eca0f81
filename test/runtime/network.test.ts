// Outgoing HTTP over real sockets on three engines, against servers that do everything wrong and names that lead home.
import { readFileSync } from "node:fs"
import fc from "../property.ts"
import t from "tap"
import { httpLimits } from "../../host/port/mod.ts"
import { ResponseReader } from "../../runtime/network/response.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { answer, engines } from "../host/engine.ts"
import type { Case, Outcome } from "./network-program.ts"
import { startServers } from "./network-servers.ts"

t.setTimeout(120_000)
const servers = await startServers()
t.teardown(() => servers.close())

const here = `http://127.0.0.1:${servers.port}`
const granted = [`http:*:${here}/*`]
const dns = { dnsServers: [`127.0.0.1:${servers.dns}`] }
const certificateAuthority = readFileSync(new URL("network-tls/authority.pem", import.meta.url), "utf8")
const at = (path: string, code: string, more: Partial<Case> = {}): readonly [Case, string] => [
  { name: path, url: `${here}/${path}`, grants: granted, ...more },
  code,
]
/** A name that everything of every host is granted for, on the canary's port. */
const home = (host: string, code = "STELE-NET-0001"): readonly [Case, string] => [
  {
    name: `to ${host}`,
    url: `http://${host}:${servers.canary}/`,
    grants: ["http:*:*", `http:GET:http://*:${servers.canary}/*`],
    network: dns,
    limits: { connectMs: 1_000 },
  },
  code,
]

/** Variables that send requests through a proxy wherever they are heeded: the canary. */
const proxies = Object.fromEntries(
  ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
    .map((name) => [name, `http://127.0.0.1:${servers.canary}`])
    .concat([["NODE_USE_ENV_PROXY", "1"]]),
) as Readonly<Record<string, string>>

/** A redirect from a server that is granted by its address, to where every name is granted. */
const led = (to: string, code: string): readonly [Case, string] => [
  {
    name: `led to ${to.replaceAll(String(servers.canary), "PORT")}`,
    url: `${here}/to?${encodeURIComponent(to)}`,
    grants: [...granted, "http:*:*", `http:GET:http://*:${servers.canary}/*`],
    network: dns,
    limits: { connectMs: 1_000 },
  },
  code,
]

const cases: ReadonlyArray<readonly [Case, string]> = [
  at("echo", "200"),
  at("echo", "200", { name: "post", method: "POST", bodyBytes: 1_000_000 }),
  at("chunked", "200"),
  at("gzip", "200"),
  at("long", "200"),
  at("moved", "200"),
  at("moved", "302", { name: "moved, as it is", follows: false }),
  at("silent", "STELE-NET-0006", { limits: { firstByteMs: 200 } }),
  at("loris", "STELE-NET-0006", { limits: { exchangeMs: 400 } }),
  at("loris", "STELE-NET-0007", { name: "loris, little room", limits: { headerBytesMax: 40 } }),
  at("stalls", "STELE-NET-0006", { limits: { betweenBytesMs: 200 } }),
  at("closes", "STELE-NET-0005"),
  at("resets", "STELE-NET-0010"),
  at("headers", "STELE-NET-0007"),
  at("line", "STELE-NET-0007"),
  at("interim", "STELE-NET-0005"),
  at("body", "STELE-NET-0007", { limits: { responseBytesMax: 1 << 20 } }),
  at("chunks", "STELE-NET-0007", { limits: { responseBytesMax: 1 << 16 } }),
  at("extension", "STELE-NET-0005"),
  at("trailers", "STELE-NET-0007"),
  at("short", "STELE-NET-0005"),
  at("huge", "STELE-NET-0007"),
  at("negative", "STELE-NET-0005"),
  at("twice", "STELE-NET-0005"),
  at("both", "STELE-NET-0005"),
  at("coding", "STELE-NET-0005"),
  at("garbage", "STELE-NET-0005"),
  at("upgrade", "STELE-NET-0005"),
  at("folded", "STELE-NET-0005"),
  at("control", "STELE-NET-0005"),
  at("bomb", "STELE-NET-0007", { limits: { decompressedBytesMax: 1 << 20 } }),
  at("brotli", "STELE-NET-0007", { limits: { decompressedBytesMax: 1 << 20 } }),
  at("damaged", "STELE-NET-0005"),
  at("double", "STELE-NET-0005"),
  at("", "404"),
  [{ name: "refused", url: "http://127.0.0.1:1/", grants: ["http:GET:http://127.0.0.1:1/*"] }, "STELE-NET-0003"],
  [
    { name: "https", url: `https://127.0.0.1:${servers.tls}/`, grants: [`http:GET:https://127.0.0.1:${servers.tls}/*`], network: { certificateAuthority } },
    "200",
  ],
  [{ name: "unknown authority", url: `https://127.0.0.1:${servers.tls}/`, grants: [`http:GET:https://127.0.0.1:${servers.tls}/*`] }, "STELE-NET-0004"],
  [
    {
      name: "another's certificate",
      url: `https://127.0.0.1:${servers.tlsName}/`,
      grants: [`http:GET:https://127.0.0.1:${servers.tlsName}/*`],
      network: { certificateAuthority },
    },
    "STELE-NET-0004",
  ],
  // A name is no grant of an address, whatever it leads to, nor is everything of all hosts.
  home("localhost"),
  ...["loop", "loop6", "private", "link", "nat", "unique", "mapped", "nat64", "sixtofour", "teredo", "zero", "any", "multicast", "broadcast", "mixed"].map(
    (name) => home(`${name}.test`),
  ),
  home("nowhere.test", "STELE-NET-0002"),
  ...["127.0.0.1", "0177.0.0.1", "0x7f.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "0", "[::]", "127.0.0.1.", "%31%32%37.0.0.1"].map(
    (host) => home(host, "STELE-CAP-0004"),
  ),
  ...["127.0.0.1", "0x7f.1", "017700000001", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "127.0.0.1."].map((host) =>
    led(`http://${host}:${servers.canary}/`, "STELE-CAP-0004"),
  ),
  ...["loop.test", "loop.test.", "mapped.test", "nat64.test", "mixed.test"].map((host) => led(`http://${host}:${servers.canary}/`, "STELE-NET-0001")),
  // A header is bytes, so other scripts in it are no host.
  led(`http://ＬＯＯＰ.test:${servers.canary}/`, "STELE-NET-0008"),
  led(`//loop.test:${servers.canary}/`, "STELE-NET-0001"),
  led(`http://a:b@loop.test:${servers.canary}/`, "STELE-NET-0008"),
  led("file:///etc/passwd", "STELE-NET-0008"),
  home("017700000001", "STELE-CAP-0004"),
  home("[64:ff9b::7f00:1]", "STELE-CAP-0004"),
  home("１２７。0。0。1", "STELE-CAP-0004"),
  home("ｌｏｏｐ.test"),
  home("loop.test."),
  home("a@127.0.0.1", "STELE-NET-0008"),
  home("[fe80::1%25lo]", "STELE-NET-0008"),
]

for (const engine of engines) {
  t.test(`requests end as they should, and within their times, on ${engine}`, async (t) => {
    // The system's resolver knows `localhost`; the others ask ours.
    const asked = cases.map(([one]) => (one.url.includes("//localhost") ? { ...one, network: {} } : one))
    const outcomes = await answer<Record<string, Outcome>>(engine, "../runtime/network-program.ts", [JSON.stringify(asked)], { env: proxies })
    for (const [{ name }, expected] of cases) t.equal(outcomes[name]?.answer, expected, `${name}: ${outcomes[name]?.detail}`)
    t.equal(outcomes["chunked"]?.detail, "hello world")
    t.equal(outcomes["gzip"]?.detail, "unpacked")
    t.equal(outcomes["long"]?.detail, "long")
    t.equal(outcomes["post"]?.detail, "POST /echo HTTP/1.1 1000000")
    t.equal(outcomes["https"]?.detail, "secret")
    for (const [name, { ms }] of Object.entries(outcomes)) t.ok(ms < 5_000, `${name} took ${ms.toFixed(0)} ms`)
    t.equal(servers.touched(), 0, "no canary was touched")
  })
}

t.test("a name is resolved once for a request, and another answer afterwards changes nothing", async (t) => {
  servers.asked.clear()
  const one = home("rebind.test", "")[0]
  const outcomes = await answer<Record<string, Outcome>>("node", "../runtime/network-program.ts", [JSON.stringify([{ ...one, limits: { connectMs: 500 } }])])
  // The first answer is an address of the world, where nothing of ours listens: it fails there and goes nowhere else.
  t.match(outcomes["to rebind.test"]?.answer, /^STELE-NET-000[36]$/)
  t.equal(servers.asked.get("rebind.test 1"), 1)
  const again = await answer<Record<string, Outcome>>("node", "../runtime/network-program.ts", [JSON.stringify([one])])
  t.equal(again["to rebind.test"]?.answer, "STELE-NET-0001", "the next request resolves and judges anew")
  t.equal(servers.touched(), 0)
})

/** Everything a reader tells of bytes that come in these parts. */
function readOf(parts: ReadonlyArray<Uint8Array>): unknown {
  const told: Array<unknown> = []
  let body = ""
  const reader = new ResponseReader(
    "test",
    false,
    { ...httpLimits, headerBytesMax: 200, responseBytesMax: 300 },
    {
      head: (head) => told.push(head),
      data: (bytes) => (body += Buffer.from(bytes).toString("latin1")),
      end: (trailers) => told.push(trailers),
    },
  )
  try {
    for (const part of parts) reader.push(part)
    reader.close()
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error
    told.push(error.code)
  }
  return [told, body]
}

t.test("`ResponseReader` reads the same however its bytes are cut, and nothing but its errors comes of any bytes", async () => {
  const line = fc.constantFrom(
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.0 200\n",
    "content-length: 5\r\n",
    "content-length: 400\r\n",
    "transfer-encoding: chunked\r\n",
    "x: y\r\n",
    "\r\n",
    "5\r\nhello\r\n",
    "0\r\n",
    "hello",
    "\u0000",
    ": \r\n",
  )
  const bytes = fc.oneof(
    fc.array(line, { maxLength: 12 }).map((parts) => Buffer.from(parts.join(""), "latin1")),
    fc.uint8Array({ maxLength: 100 }).map((raw) => Buffer.from(raw)),
  )
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(120), { maxLength: 6 }), (whole, cuts) => {
      const places = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).toSorted((a, b) => a - b), whole.length]
      const parts = places.slice(1).map((end, i) => whole.subarray(places[i], end))
      return JSON.stringify(readOf([whole])) === JSON.stringify(readOf(parts))
    }),
    { numRuns: 2_000 },
  )
})
