// wasi:http over a port in memory: grants, headers, bodies, errors; headers case by case against preview2-shim.
import { types as shim } from "@bytecodealliance/preview2-shim/http"
import fc from "../property.ts"
import t from "tap"
import { sendWhole } from "../../host/capability/http/request.ts"
import { exchangesMax } from "../../host/capability/http/outgoing.ts"
import { type HttpAnswer, type HttpLimits, type HttpRequest, memoryHttp } from "../../host/port/mod.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { codeOf, testCall, type TestCall } from "./capability-call.ts"
import { replay, seed } from "../seed.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
const ok = (val?: unknown) => ({ tag: "ok", val })
const err = (val?: unknown) => ({ tag: "err", val })

const call = (answer?: (request: HttpRequest, body: Uint8Array) => HttpAnswer, grants = ["http:*:https://example.com/*"], limits: Partial<HttpLimits> = {}) => {
  const http = memoryHttp(answer, limits)
  return Object.assign(testCall(grants, { http }), { http })
}
const types = (of: TestCall, label: string, ...args: ReadonlyArray<unknown>): unknown => of.do(`wasi:http/types#${label}`, ...args)
const valueOf = (result: unknown): unknown => {
  const { tag, val } = result as { readonly tag: string; readonly val?: unknown }
  if (tag !== "ok") throw new Error(`It answered ${JSON.stringify(val)}`)
  return val
}

interface Asked {
  readonly method?: { readonly tag: string; readonly val?: string }
  readonly scheme?: { readonly tag: string }
  readonly authority?: string | undefined
  readonly path?: string
  readonly headers?: ReadonlyArray<readonly [string, string]>
}

function request(
  of: TestCall,
  { method = { tag: "get" }, scheme = { tag: "HTTPS" }, authority = "example.com", path = "/a?b", headers = [] }: Asked = {},
): unknown {
  const fields = valueOf(
    types(
      of,
      "[static]fields.from-list",
      headers.map(([name, value]) => [name, utf8(value)]),
    ),
  )
  const made = types(of, "[constructor]outgoing-request", fields)
  valueOf(types(of, "[method]outgoing-request.set-method", made, method))
  valueOf(types(of, "[method]outgoing-request.set-scheme", made, scheme))
  valueOf(types(of, "[method]outgoing-request.set-authority", made, authority))
  valueOf(types(of, "[method]outgoing-request.set-path-with-query", made, path))
  return made
}
const send = (of: TestCall, made: unknown, options?: unknown): unknown => of.do("wasi:http/outgoing-handler#handle", made, options)

function readAll(of: TestCall, stream: unknown): string {
  let all = ""
  for (;;) {
    const chunk = of.do("wasi:io/streams#[method]input-stream.blocking-read", stream, 7n) as { tag: string; val: Uint8Array }
    if (chunk.tag === "err") return all
    all += text(chunk.val)
  }
}

function answerOf(of: TestCall, future: unknown): { readonly response: unknown; readonly status: unknown; readonly body: string } {
  const response = valueOf(valueOf(types(of, "[method]future-incoming-response.get", future)))
  const body = valueOf(types(of, "[method]incoming-response.consume", response))
  return {
    response,
    status: types(of, "[method]incoming-response.status", response),
    body: readAll(of, valueOf(types(of, "[method]incoming-body.stream", body))),
  }
}

t.test("`handle()` sends what the guest made under its grant, and the answer is read as streams", async (t) => {
  const of = call((_request, body) => ({ status: 201, headers: [["x-a", "é"]], body: `got ${text(body)}`, trailers: [["x-end", "1"]] }))
  const made = request(of, { method: { tag: "post" }, headers: [["X-Question", "1"]] })
  const body = valueOf(types(of, "[method]outgoing-request.body", made))
  t.same(types(of, "[method]outgoing-request.body", made), err(), "once")
  const future = valueOf(send(of, made))
  t.equal(types(of, "[method]future-incoming-response.get", future), undefined, "nothing before the body is whole")
  const stream = valueOf(types(of, "[method]outgoing-body.write", body))
  t.same(types(of, "[method]outgoing-body.write", body), err(), "once")
  t.same(of.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", stream, utf8("hello")), ok())
  t.same(types(of, "[static]outgoing-body.finish", body, undefined), ok())
  of.do("wasi:io/poll#poll", [types(of, "[method]future-incoming-response.subscribe", future)])
  const { response, status, body: answer } = answerOf(of, future)
  t.same([status, answer], [201, "got hello"])
  const headers = types(of, "[method]incoming-response.headers", response)
  t.same(types(of, "[method]fields.get", headers, "X-A"), [Uint8Array.of(0xe9)])
  t.same(types(of, "[method]fields.append", headers, "x-b", utf8("1")), err({ tag: "immutable" }))
  t.same(types(of, "[method]incoming-response.consume", response), err(), "once")
  t.same(types(of, "[method]future-incoming-response.get", future), err(), "once")
  t.match(of.http.requests, [{ method: "POST", url: "https://example.com/a?b", isAddress: false, headers: [["x-question", "1"]], bodyBytes: undefined }])
  t.same(
    of.uses.filter(([, bytes]) => bytes > 0).map(([grant]) => grant),
    of.uses.filter(([, bytes]) => bytes > 0).map(() => "http:*:https://example.com/*"),
  )
})

t.test("trailers come after the body, also when nobody read it", async (t) => {
  const of = call(() => ({ body: "unread", trailers: [["x-end", "1"]] }))
  const response = valueOf(valueOf(types(of, "[method]future-incoming-response.get", valueOf(send(of, request(of))))))
  const body = valueOf(types(of, "[method]incoming-response.consume", response))
  const future = types(of, "[static]incoming-body.finish", body)
  of.do("wasi:io/poll#[method]pollable.block", types(of, "[method]future-trailers.subscribe", future))
  const trailers = valueOf(valueOf(types(of, "[method]future-trailers.get", future)))
  t.same(types(of, "[method]fields.entries", trailers), [["x-end", utf8("1")]])
  t.same(types(of, "[method]future-trailers.get", future), err())
})

t.test("`handle()` answers with the interface's own errors for what is not granted or cannot be sent", async (t) => {
  const of = call(() => ({}), ["http:GET:https://example.com/v1/*"])
  const codeFor = (asked: Asked): unknown => (send(of, request(of, asked)) as { val: unknown }).val
  t.same(codeFor({ path: "/v2/a" }), { tag: "HTTP-request-denied" })
  t.same(codeFor({ path: "/v1/a", method: { tag: "post" } }), { tag: "HTTP-request-denied" })
  t.same(codeFor({ path: "/v1/a", scheme: { tag: "HTTP" } }), { tag: "HTTP-request-denied" })
  t.same(codeFor({ path: "/v1/..%2fv2/a" }), { tag: "HTTP-request-denied" })
  t.same(codeFor({ authority: "127.0.0.1", path: "/v1/a" }), { tag: "HTTP-request-denied" })
  t.same(of.denials, [
    "http:GET:https://example.com/v2/a",
    "http:POST:https://example.com/v1/a",
    "http:GET:http://example.com/v1/a",
    "http:GET:https://example.com/v1/..%2fv2/a",
    "http:GET:https://127.0.0.1/v1/a",
  ])
  t.same(codeFor({ method: { tag: "connect" } }), { tag: "HTTP-request-method-invalid" })
  t.same(codeFor({ path: `/v1/${"x".repeat(9_000)}` }), { tag: "HTTP-request-URI-too-long" })
  t.same(codeFor({ path: "/v1/a", headers: [["content-length", "1x"]] }), {
    tag: "HTTP-request-header-size",
    val: { fieldName: "content-length", fieldSize: undefined },
  })
  const bare = types(of, "[constructor]outgoing-request", types(of, "[constructor]fields"))
  t.same(send(of, bare), err({ tag: "HTTP-request-URI-invalid" }))
  t.equal(of.http.requests.length, 0, "nothing was sent")
})

t.test("failures of the network are error codes of the interface, for the future and for `http-error-code`", async (t) => {
  const host = "example.com"
  for (const [error, code] of [
    [new NetworkError("Prohibited", { host, address: "10.0.0.1", kind: "private" }), { tag: "destination-IP-prohibited" }],
    [new NetworkError("Unresolved", { host, detail: "ENOTFOUND" }), { tag: "DNS-error", val: { rcode: "ENOTFOUND", infoCode: undefined } }],
    [new NetworkError("Unreachable", { host, detail: "x", isRefused: true }), { tag: "connection-refused" }],
    [new NetworkError("Unreachable", { host, detail: "x" }), { tag: "destination-unavailable" }],
    [new NetworkError("Tls", { host, detail: "x", isCertificate: true }), { tag: "TLS-certificate-error" }],
    [new NetworkError("Tls", { host, detail: "x", isCertificate: false }), { tag: "TLS-protocol-error" }],
    [new NetworkError("Protocol", { host, detail: "x" }), { tag: "HTTP-protocol-error" }],
    [new NetworkError("Protocol", { host, detail: "x", kind: "incomplete" }), { tag: "HTTP-response-incomplete" }],
    [new NetworkError("Protocol", { host, detail: "x", kind: "transfer-coding" }), { tag: "HTTP-response-transfer-coding", val: undefined }],
    [new NetworkError("Timeout", { host, limit: "connectMs", ms: 1 }), { tag: "connection-timeout" }],
    [new NetworkError("Timeout", { host, limit: "betweenBytesMs", ms: 1 }), { tag: "connection-read-timeout" }],
    [new NetworkError("Timeout", { host, limit: "exchangeMs", ms: 1 }), { tag: "HTTP-response-timeout" }],
    [new NetworkError("Limit", { host, limit: "headerBytesMax", unit: "bytes", max: 9 }), { tag: "HTTP-response-header-section-size", val: 9 }],
    [new NetworkError("Limit", { host, limit: "responseBytesMax", unit: "bytes", max: 9 }), { tag: "HTTP-response-body-size", val: 9n }],
    [new NetworkError("Broken", { host, detail: "x" }), { tag: "connection-terminated" }],
  ] as const) {
    const of = call(() => {
      throw error
    })
    t.same(valueOf(types(of, "[method]future-incoming-response.get", valueOf(send(of, request(of))))), err(code), code.tag)
  }
})

t.test("a body is as long as its header says and never longer than the port takes", async (t) => {
  const write = (of: TestCall, stream: unknown, bytes: number): unknown =>
    of.do("wasi:io/streams#[method]output-stream.blocking-write-and-flush", stream, new Uint8Array(bytes))
  const start = (of: TestCall, headers: ReadonlyArray<readonly [string, string]>) => {
    const made = request(of, { method: { tag: "put" }, headers })
    const body = valueOf(types(of, "[method]outgoing-request.body", made))
    return { made, body, stream: valueOf(types(of, "[method]outgoing-body.write", body)) }
  }
  {
    const of = call()
    const { body, stream } = start(of, [["content-length", "5"]])
    t.same(write(of, stream, 3), ok())
    t.same(types(of, "[static]outgoing-body.finish", body, undefined), err({ tag: "HTTP-request-body-size", val: 3n }))
  }
  {
    const of = call(undefined, undefined, { requestBytesMax: 10 })
    const { made, stream } = start(of, [])
    const future = valueOf(send(of, made))
    t.same(write(of, stream, 10), ok())
    const failed = write(of, stream, 1) as { val: { tag: string; val: unknown } }
    t.equal(failed.val.tag, "last-operation-failed")
    t.same(types(of, "http-error-code", failed.val.val), { tag: "HTTP-request-body-size", val: 10n })
    t.match(valueOf(types(of, "[method]future-incoming-response.get", future)), { tag: "err" }, "the exchange was given up")
  }
  {
    // Written before it is sent: what fits is kept, and then the stream is full.
    const of = call()
    const { made, body, stream } = start(of, [])
    const permit = of.do("wasi:io/streams#[method]output-stream.check-write", stream) as { val: bigint }
    t.same(of.do("wasi:io/streams#[method]output-stream.write", stream, new Uint8Array(Number(permit.val))), ok())
    t.same(of.do("wasi:io/streams#[method]output-stream.check-write", stream), ok(0n))
    t.same(types(of, "[static]outgoing-body.finish", body, undefined), ok())
    send(of, made)
    t.equal(of.http.requests[0]?.bodyBytes, Number(permit.val), "its length is known")
  }
})

t.test("a grant taken back ends an exchange that is open", async (t) => {
  const of = call(() => ({ body: "x".repeat(100) }))
  const response = valueOf(valueOf(types(of, "[method]future-incoming-response.get", valueOf(send(of, request(of))))))
  const stream = valueOf(types(of, "[method]incoming-body.stream", valueOf(types(of, "[method]incoming-response.consume", response))))
  t.match(of.do("wasi:io/streams#[method]input-stream.read", stream, 5n), { tag: "ok" })
  of.grants.revoke("http:GET:https://example.com/a*")
  t.match(of.do("wasi:io/streams#[method]input-stream.read", stream, 5n), { tag: "err", val: { tag: "last-operation-failed" } })
  t.same(of.denials, ["http:GET:https://example.com/a?b"])
})

t.test("an instance has so many exchanges at once, and each ends when its handle is dropped", async (t) => {
  const of = call(() => ({ body: "x" }))
  const futures = Array.from({ length: exchangesMax }, () => valueOf(send(of, request(of))))
  t.same(send(of, request(of)), err({ tag: "connection-limit-reached" }))
  of.drop("wasi:http/types", "future-incoming-response", futures[0])
  t.match(send(of, request(of)), { tag: "ok" })
  const response = valueOf(valueOf(types(of, "[method]future-incoming-response.get", futures[1])))
  of.drop("wasi:http/types", "incoming-response", response)
  of.drop("wasi:http/types", "future-incoming-response", futures[1])
  t.match(send(of, request(of)), { tag: "ok" })
  t.same(send(of, request(of)), err({ tag: "connection-limit-reached" }))
  t.match(of.again().do("wasi:http/outgoing-handler#handle", request(of.again()), undefined), { tag: "ok" }, "another instance has its own")
})

t.test("headers are bounded in bytes and number", async (t) => {
  const of = call(undefined, undefined, { headerBytesMax: 100, headersMax: 3 })
  const fields = types(of, "[constructor]fields")
  t.same(types(of, "[method]fields.append", fields, "a", new Uint8Array(80).fill(65)), ok())
  t.equal(
    codeOf(() => types(of, "[method]fields.append", fields, "b", new Uint8Array(20).fill(65))),
    "STELE-CAP-0008",
  )
  const many = types(of, "[constructor]fields")
  for (const name of ["a", "b", "c"]) types(of, "[method]fields.append", many, name, utf8("1"))
  t.equal(
    codeOf(() => types(of, "[method]fields.append", many, "d", utf8("1"))),
    "STELE-CAP-0008",
  )
})

t.test("headers of the connection are the host's to write", async (t) => {
  const of = call()
  const fields = types(of, "[constructor]fields")
  for (const name of ["Host", "connection", "Transfer-Encoding", "upgrade", "proxy-authorization", "te", "keep-alive", "expect"]) {
    t.same(types(of, "[method]fields.append", fields, name, utf8("x")), err({ tag: "forbidden" }), name)
    t.same(types(of, "[static]fields.from-list", [[name, utf8("x")]]), err({ tag: "forbidden" }), name)
  }
  for (const value of ["a\r\nb: c", "a\nb", "a\0b", "\u007f"])
    t.same(types(of, "[method]fields.append", fields, "a", utf8(value)), err({ tag: "invalid-syntax" }))
})

t.comment(`${replay} replays`)

/** What the shim throws, as a result. */
function shimmed(act: () => unknown): unknown {
  try {
    return { tag: "ok", val: act() }
  } catch (error) {
    return { tag: "err", val: error }
  }
}

t.test("`fields` does what preview2-shim's does in any order of operations", async (t) => {
  // The shim keeps capitals in `entries` and says that a name set to nothing is there: compared without both.
  const name = fc.constantFrom("a", "A", "b", "x-Y", "host", "connection", "", "a b", "a:", "ä")
  const value = fc.constantFrom("", "1", "2", "a\tb", "a\nb", "a\0")
  const step = fc.oneof(
    fc.record({ op: fc.constant("append" as const), name, value }),
    fc.record({ op: fc.constant("set" as const), name, values: fc.array(value, { minLength: 1, maxLength: 3 }) }),
    fc.record({ op: fc.constant("delete" as const), name }),
    fc.record({ op: fc.constant("get" as const), name }),
    fc.record({ op: fc.constant("has" as const), name }),
    fc.record({ op: fc.constant("clone" as const) }),
  )
  const plain = (entries: unknown) => (entries as ReadonlyArray<[string, Uint8Array]>).map(([n, v]) => [n.toLowerCase(), text(v)])
  const { failed, counterexample } = fc.check(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const of = call()
      let ours = types(of, "[constructor]fields")
      let theirs = new shim.Fields()
      for (const one of steps) {
        switch (one.op) {
          case "append": {
            const [a, b] = [types(of, "[method]fields.append", ours, one.name, utf8(one.value)), shimmed(() => theirs.append(one.name, utf8(one.value)))]
            if (JSON.stringify(a) !== JSON.stringify(b)) return false
            break
          }
          case "set": {
            const values = one.values.map(utf8)
            const [a, b] = [types(of, "[method]fields.set", ours, one.name, values), shimmed(() => theirs.set(one.name, values))]
            if (JSON.stringify(a) !== JSON.stringify(b)) return false
            break
          }
          case "delete":
            // The shim lets a guest try to delete what is no name.
            if (/^[!-9;-~]+$/.test(one.name) && !["host", "connection"].includes(one.name.toLowerCase())) {
              types(of, "[method]fields.delete", ours, one.name)
              theirs.delete(one.name)
            }
            break
          case "get":
            if (
              JSON.stringify((types(of, "[method]fields.get", ours, one.name) as Array<Uint8Array>).map(text)) !==
              JSON.stringify(theirs.get(one.name).map(text))
            )
              return false
            break
          case "has":
            if (types(of, "[method]fields.has", ours, one.name) !== theirs.has(one.name)) return false
            break
          case "clone":
            ours = types(of, "[method]fields.clone", ours)
            theirs = theirs.clone()
        }
        if (JSON.stringify(plain(types(of, "[method]fields.entries", ours))) !== JSON.stringify(plain(theirs.entries()))) return false
      }
      return true
    }),
    { numRuns: 300 },
  )
  t.notOk(failed, `seed ${seed}: ${JSON.stringify(counterexample)}`)
})

t.test("`sendWhole()` follows redirects by grant, changes methods as clients do, and keeps credentials to their origin", async (t) => {
  const routes: Record<string, HttpAnswer> = {
    "https://example.com/start": { status: 302, headers: [["location", "/next"]] },
    "https://example.com/next": { status: 307, headers: [["location", "https://other.example/end"]] },
    "https://other.example/end": { body: "there" },
    "https://example.com/secret": { status: 301, headers: [["location", "https://denied.example/"]] },
    "https://example.com/inside": { status: 302, headers: [["location", "http://127.0.0.1/"]] },
    "https://example.com/loop": { status: 302, headers: [["location", "/loop"]] },
    "https://example.com/file": { status: 302, headers: [["location", "file:///etc/passwd"]] },
    "https://example.com/user": { status: 302, headers: [["location", "https://a:b@other.example/"]] },
  }
  const of = call((request) => routes[request.url] ?? { status: 404 }, ["http:*:https://example.com/*", "http:*:https://other.example/*"])
  const options = { import: "test" }
  const headers = [
    ["authorization", "secret"],
    ["cookie", "c"],
    ["content-type", "a/b"],
    ["x-keep", "1"],
  ] as const
  const got = sendWhole(of, { method: "POST", url: "https://example.com/start", headers, body: utf8("body") }, options)
  t.same([got.status, text(got.body), got.url], [200, "there", "https://other.example/end"])
  t.same(
    of.http.requests.map(({ method, url, headers: sent, bodyBytes }) => [method, url, sent.map(([name]) => name), bodyBytes]),
    [
      ["POST", "https://example.com/start", ["authorization", "cookie", "content-type", "x-keep"], 4],
      ["GET", "https://example.com/next", ["authorization", "cookie", "x-keep"], 0],
      ["GET", "https://other.example/end", ["x-keep"], 0],
    ],
  )
  const get = (url: string, more = {}) => codeOf(() => sendWhole(of, { method: "GET", url, headers: [], body: new Uint8Array() }, { ...options, ...more }))
  t.equal(get("https://example.com/secret"), "STELE-CAP-0004", "the new URL is not granted")
  t.equal(get("https://example.com/inside"), "STELE-NET-0008", "from https to http")
  t.equal(get("https://example.com/loop"), "STELE-NET-0007")
  t.equal(get("https://example.com/file"), "STELE-NET-0008")
  t.equal(get("https://example.com/user"), "STELE-NET-0008")
  t.equal(get("https://example.com/loop", { follows: false }), "none", "handed on as it is")
  t.equal(of.http.requests.filter(({ url }) => url.includes("127.0.0.1") || url.includes("denied")).length, 0)
})
