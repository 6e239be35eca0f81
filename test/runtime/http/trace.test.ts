/** The trace of a request in what its plugin is recorded to have done, and in what it asks of others. */
import t from "tap"
import { openExchange } from "../../../host/capability/http/outgoing.ts"
import { type HttpField, type HttpPort, memoryLog, memoryObserver } from "../../../host/port/mod.ts"
import { testCall } from "../../host/capability-call.ts"
import { greeterQuery, start } from "./start.ts"

const traceId = "0af7651916cd43dd8448eb211c80319c"
const spanId = "b7ad6b7169203331"
const traceparent = `00-${traceId}-${spanId}-01`
const trace = { traceId, spanId, isSampled: true }

for (const isolation of ["inline", "worker", "process"])
  t.test(`usage, logs, denials and stops of a call carry the trace of its request (${isolation})`, async (t) => {
    const observer = memoryObserver()
    const log = memoryLog()
    await using on = await start({}, {}, { ports: { observer, log } })
    t.equal((await on.put("greeter", "greeter", `${greeterQuery}&isolation=${isolation}&missing=trap`)).status, 201)
    const greet = (headers: Record<string, string>) =>
      on.ask("POST", "/v1/plugins/greeter/calls/greet", {
        body: JSON.stringify([{ name: "Ada" }]),
        headers: { "content-type": "application/json", ...headers },
      })
    t.equal((await greet({ traceparent })).status, 200)
    t.equal((await greet({})).status, 200)
    t.equal((await greet({ traceparent: traceparent.toUpperCase() })).status, 200)
    const usage = observer.drain().flatMap((event) => (event.type === "usage" ? [event.record.trace] : []))
    t.strictSame(usage, [trace, undefined, undefined], "what is malformed is nobody's trace")
    const logged = log.records.map((record) => record.trace)
    t.ok(logged.length >= 3)
    t.strictSame(new Set(logged.slice(0, logged.length / 3)), new Set([trace]))
    t.strictSame(new Set(logged.slice(logged.length / 3)), new Set([undefined]))
    await on.ask("DELETE", "/v1/plugins/greeter")
    await on.put("greeter", "greeter", `?grant=log&isolation=${isolation}&missing=trap`)
    observer.drain()
    await greet({ traceparent })
    const denied = observer.drain().filter((event) => event.type === "denial")
    for (const event of denied) t.strictSame(event.trace, trace)
    await on.ask("POST", "/v1/plugins/greeter/calls/greet?deadlineMs=0.000001", {
      body: JSON.stringify([{ name: "Ada" }]),
      headers: { "content-type": "application/json", traceparent },
    })
    for (const event of observer.drain()) if (event.type === "stop") t.strictSame(event.trace, trace)
  })

t.test("a request of a plugin carries the trace of its call, unless it names one itself", async (t) => {
  const sent: Array<ReadonlyArray<HttpField>> = []
  const http = {
    limits: { headerBytesMax: 10_000, headersMax: 10, exchangeMs: 1_000 },
    waker: undefined,
    open(request: { readonly headers: ReadonlyArray<HttpField> }) {
      sent.push(request.headers)
      return { close() {} }
    },
  } as unknown as HttpPort
  const call = testCall(["http:GET:https://example.com/*"], { http })
  const send = (headers: ReadonlyArray<HttpField>, url = "https://example.com/a") =>
    openExchange(call, { method: "GET", url, headers, bodyBytes: undefined, decompress: false, limits: {} })
  send([["Accept", "*/*"]])
  Object.assign(call, { trace })
  send([["Accept", "*/*"]])
  send([["TraceParent", "00-mine"]])
  t.throws(() => send([], "https://elsewhere.example/"), { code: "STELE-CAP-0004" })
  t.strictSame(sent, [
    [["accept", "*/*"]],
    [
      ["accept", "*/*"],
      ["traceparent", traceparent],
    ],
    [["traceparent", "00-mine"]],
  ])
})
