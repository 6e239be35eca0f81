/** The typed client against a real service; what it and the service are made of; the documents, by a validator of others. */
import { Validator } from "@seriousme/openapi-schema-validator"
import fc from "../../property.ts"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import t from "tap"
import { argumentsFromJson, toJson } from "../../../schemas/value/json.ts"
import { argumentProblems } from "../../../schemas/value/problems.ts"
import { typeDifference } from "../../../schemas/wit/equal.ts"
import { decodeTypes, encodeTypes } from "../../../schemas/wit/graph.ts"
import { client, CapabilityError, ConfigError, HttpError, LimitError, PluginError, WitError } from "../../../runtime/http/client.ts"
import { telemetry } from "../../../runtime/http/otlp.ts"
import { openapi } from "../../../runtime/http/openapi.ts"
import { addressKey, Buckets } from "../../../runtime/http/rate.ts"
import { parseTrace } from "../../../runtime/http/trace.ts"
import { arbitraryFunction, arbitraryValue } from "../../schemas/arbitrary-type.ts"
import { greeterQuery, start, token, wasm } from "./start.ts"
import { isFull, replay } from "../../seed.ts"

t.setTimeout(isFull ? 1_200_000 : 120_000)
const numRuns = isFull ? 3_000 : 200
t.comment(`${replay} replays`)
const on = await start()
t.teardown(() => on[Symbol.asyncDispose]())
const stele = client({ url: `${on.server.url}/`, token })

interface Greeter {
  readonly "acme:greeter/api#greet": (visitor: { readonly name: string }) => { readonly message: string; readonly teaPrice: string | undefined }
}

t.test("`client()` calls a plugin elsewhere as one here: host values, typed, the same errors", async (t) => {
  t.equal(await stele.isReady(), true)
  t.match(await stele.install("greeter", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] }), { name: "greeter" })
  const greeter = stele.plugin<Greeter>("greeter")
  const answer = await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }])
  t.strictSame(answer, { message: "Hello, Ada!", teaPrice: undefined }, "an absent option is undefined")
  const { usage } = await greeter.callWithUsage("acme:greeter/api#greet", [{ name: "Ada" }], { deadlineMs: 900 })
  t.match(usage, { outcome: "ok", hostCalls: { log: 1 } })
  for (const [what, work, Class, code] of [
    ["a wrong value", () => greeter.call("acme:greeter/api#greet", [{ name: 1 } as never]), WitError, "STELE-WIT-0001"],
    ["too many", () => greeter.call("acme:greeter/api#greet", [{ name: "a" }, 1] as never), WitError, "STELE-WIT-0002"],
    ["an unknown export", () => greeter.call("acme:greeter/api#gret" as never, [] as never), PluginError, "STELE-PLG-0003"],
    ["a guest's own error", () => greeter.call("acme:greeter/api#greet", [{ name: "" }]), PluginError, "STELE-PLG-0001"],
    ["no such plugin", () => stele.plugin("nobody").call("x", []), HttpError, "STELE-HTP-0014"],
    ["a grant that is missing", () => stele.install("snoop", wasm("snoop")), CapabilityError, "STELE-CAP-0003"],
    ["a wrong limit", () => stele.install("spinner", wasm("spinner"), { limits: { fuell: 1 } }), ConfigError, "STELE-CFG-0001"],
    ["a wrong token", () => client({ url: on.server.url, token: "x".repeat(40) }).plugins(), HttpError, "STELE-HTP-0001"],
    ["nobody there", () => client({ url: "http://127.0.0.1:1", token }).plugins(), HttpError, "STELE-HTP-0022"],
  ] as const) {
    const error: unknown = await work().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    t.ok(error instanceof Class, `${what}: ${String(error)}`)
    t.equal((error as HttpError).code, code, what)
  }
  const guest: unknown = await greeter.call("acme:greeter/api#greet", [{ name: "" }]).catch((error: unknown) => error)
  t.type(((guest as PluginError).reason as { readonly payload: unknown }).payload, "string", "the payload is a host value")
  await stele.install("spinner", wasm("spinner"))
  const stopped: unknown = await stele
    .plugin("spinner")
    .call("stele:example-spinner/wheel#spin", [1], { deadlineMs: 30 })
    .catch((error: unknown) => error)
  t.ok(stopped instanceof LimitError && stopped.reason._tag === "deadlineMs" && stopped.reason.limit === 30, String(stopped))
})

t.test("a client whose types are those of a replaced plugin asks anew, once", async (t) => {
  await stele.install("changing", wasm("spinner"))
  const plugin = stele.plugin("changing")
  await plugin.call("stele:example-spinner/wheel#spin", [0])
  await stele.install("changing", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] })
  t.match(await plugin.call("acme:greeter/api#greet", [{ name: "Bo" }]), { message: "Hello, Bo!" })
  await t.rejects(plugin.call("stele:example-spinner/wheel#spin", [0]), { code: "STELE-PLG-0003" })
})

t.test("what is no Stele service is told apart, and is not followed", async (t) => {
  const bodies: ReadonlyArray<readonly [number, string, Record<string, string>]> = [
    [200, "<html>", {}],
    [500, "oops", {}],
    [400, '{"code":"STELE-XYZ-0001","family":"Other","reason":"x","data":{},"detail":"d"}', {}],
    [400, '{"code":"STELE-HTP-0001","family":"HttpError","reason":"NoSuch","data":{}}', {}],
    [302, "", { location: "http://127.0.0.1:1/" }],
  ]
  let at = 0
  const other = createServer((_request, response) => {
    const [status, body, headers] = bodies[at++ % bodies.length] as (typeof bodies)[number]
    response.writeHead(status, headers).end(body)
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => other.once("listening", resolve))
  t.teardown(() => other.close())
  const wrong = client({ url: `http://127.0.0.1:${(other.address() as AddressInfo).port}`, token })
  for (let i = 0; i < bodies.length; i++) await t.rejects(wrong.plugins(), { code: "STELE-HTP-0023" })
  for (const options of [
    { url: "ftp://x", token },
    { url: "x", token },
    { url: "http://x", token: "" },
    { url: "http://x", token, timeout: 1 },
  ])
    t.throws(() => client(options as never), { name: "ConfigError" })
})

t.test("/openapi.json is valid by OpenAPI 3.1's own schema, and describes what there is", async (t) => {
  const { json } = await on.ask("GET", "/openapi.json", { bare: true })
  const { valid, errors } = await new Validator().validate(structuredClone(json) as never)
  t.ok(valid, JSON.stringify(errors))
  t.notOk((await new Validator().validate({ ...structuredClone(json), paths: { x: 1 } } as never)).valid, "the validator can fail")
  t.strictSame(Object.keys(openapi("")["paths"] as object), [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/plugins",
    "/v1/plugins/{name}",
    "/v1/plugins/{name}/calls/{export}",
  ])
  const schemas = (json["components"] as { readonly schemas: Record<string, unknown> }).schemas
  for (const [, name = ""] of JSON.stringify(json).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) t.ok(name in schemas, name)
})

t.test("/docs needs no script and nothing from elsewhere", async (t) => {
  const { text, headers } = await on.ask("GET", "/docs", { bare: true })
  t.notMatch(text, /<script|<link|<img|<iframe|@import|url\(|https?:\/\/(?!127\.0\.0\.1)/)
  t.match(headers.get("content-security-policy"), /default-src 'none'; style-src 'sha256-/)
  for (const id of ["STELE-HTP-0005", "STELE-CAP-0003", "call", "errors"]) t.match(text, `id="${id}"`)
})

t.test("trace context is taken by the letter of the recommendation", async (t) => {
  const trace = "0af7651916cd43dd8448eb211c80319c"
  const span = "b7ad6b7169203331"
  t.strictSame(parseTrace(`00-${trace}-${span}-01`, "a=1, b@c=2"), { traceId: trace, parentId: span, isSampled: true, state: "a=1, b@c=2" })
  t.match(parseTrace(`cc-${trace}-${span}-00-what-comes`, null), { isSampled: false })
  for (const bad of [
    `ff-${trace}-${span}-01`,
    `00-${trace}-${span}-01-x`,
    `00-${"0".repeat(32)}-${span}-01`,
    `00-${trace}-${"0".repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${span}-01`,
    `00-${trace}-${span}`,
    `00-${trace}-${span}-1`,
    "",
    `0-${trace}-${span}-01`,
    ` 00-${trace}-${span}-01`,
  ])
    t.equal(parseTrace(bad, null), undefined, bad)
  for (const state of ["A=1", "a", "a=", "a=1,a=2", "a=b=c", Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(), `a=${"x".repeat(600)}`, ","])
    t.equal(parseTrace(`00-${trace}-${span}-01`, state)?.state, undefined, state.slice(0, 20))
})

t.test("spans and times go out by OTLP where an endpoint is named, as part of the caller's trace", async (t) => {
  t.equal(await telemetry({}), undefined)
  await t.rejects(telemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: "nowhere" }), { name: "ConfigError" })
  await t.rejects(telemetry({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://x", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }), { name: "ConfigError" })
  const got = new Map<string, string>()
  const collector = createServer((request, response) => {
    let text = ""
    request.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    request.on("end", () => {
      got.set(request.url ?? "", `${String(request.headers["x-key"])} ${got.get(request.url ?? "") ?? ""}${text}`)
      response.end("{}")
    })
  }).listen(0, "127.0.0.1")
  await new Promise((resolve) => collector.once("listening", resolve))
  t.teardown(() => collector.close())
  const sending = await telemetry({
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_EXPORTER_OTLP_HEADERS: "x-key=a%20b",
    OTEL_SERVICE_NAME: "mine",
  })
  await using traced = await start({ telemetry: sending })
  await traced.put("greeter", "greeter", greeterQuery)
  const { headers } = await traced.ask("GET", "/v1/plugins", { headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" } })
  t.match(headers.get("traceresponse"), /^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/)
  await traced.call("greeter", "greet", [{ name: "Ada" }], "?deadlineMs=1000")
  t.match((await traced.ask("GET", "/nowhere", { headers: { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" } })).json, {
    traceId: "0af7651916cd43dd8448eb211c80319c",
  })
  await sending?.close()
  const traces = got.get("/v1/traces") ?? ""
  for (const part of [
    "a b",
    '"mine"',
    "0af7651916cd43dd8448eb211c80319c",
    "b7ad6b7169203331",
    "GET /v1/plugins",
    "PUT /v1/plugins/{name}",
    "http.response.status_code",
    "stele.export",
  ])
    t.match(traces, part)
  const spans = [...traces.matchAll(/\{"resourceSpans".*?\}(?=\{"resourceSpans"|$)/g)].flatMap(([text]) => JSON.parse(text) as never)
  t.ok(spans.length > 0)
  const all = JSON.stringify(spans)
  const call = /"traceId":"(\w+)","spanId":"(\w+)","parentSpanId":"(\w+)","name":"call greeter"/.exec(all)
  const post = new RegExp(`"traceId":"${call?.[1]}","spanId":"${call?.[3]}"[^{}]*"name":"POST /v1/plugins/{name}/calls/{export}"`)
  t.match(all, post, "a call is a child of its request")
  t.match(got.get("/v1/metrics") ?? "", "http.server.request.duration")
})

t.test("`Buckets` lets through what its rate says, and forgets whom it must", async (t) => {
  const buckets = new Buckets({ perSecond: 10, burst: 2 }, 3)
  t.strictSame(
    [0, 0, 0].map(() => buckets.take("a", 0)),
    [0, 0, 100],
  )
  t.equal(buckets.take("a", 100), 0)
  t.equal(buckets.take("a", 50), 100, "a clock that goes back gives nothing")
  for (const key of ["b", "c", "d", "e"]) buckets.take(key, 0)
  t.equal(buckets.size, 3)
  t.equal(addressKey("::ffff:10.0.0.1"), "10.0.0.1")
  t.equal(addressKey("2001:db8:0:1::5"), addressKey("2001:0DB8:0000:0001:ffff::6"))
  t.not(addressKey("2001:db8:0:1::5"), addressKey("2001:db8:0:2::5"))
})

// Last: they hold the thread for longer than an idle connection is kept.
t.test("`argumentProblems()` finds something exactly where `argumentsFromJson()` refuses, and the same first", async () => {
  const spoiled = fc.constantFrom<unknown>(null, 1, -1, 1.5, "x", true, [], {}, [1], { tag: "x" }, { a: 1 }, { tag: "some" })
  fc.assert(
    fc.property(
      arbitraryFunction({ levels: 3 }).chain((func) =>
        fc.tuple(fc.constant(func), fc.tuple(...func.params.map(({ type }) => arbitraryValue(type))), fc.array(fc.tuple(fc.nat(), spoiled), { maxLength: 3 })),
      ),
      ([func, values, changes]) => {
        const json = func.params.map(({ type }, i) => toJson(type, (values as ReadonlyArray<unknown>)[i])) as Array<unknown>
        // Somewhere inside, whatever is there.
        for (const [where, what] of changes) {
          const places: Array<() => void> = []
          const walk = (holder: Record<string, unknown>): void => {
            for (const key of Object.keys(holder)) {
              places.push(() => void (holder[key] = structuredClone(what)))
              const inner = holder[key]
              if (typeof inner === "object" && inner !== null) walk(inner as Record<string, unknown>)
            }
          }
          walk(json as unknown as Record<string, unknown>)
          places[where % Math.max(1, places.length)]?.()
        }
        let first: unknown
        try {
          argumentsFromJson("f", func, json)
        } catch (error) {
          if (!(error instanceof WitError)) throw error
          const { reason } = error
          first = reason._tag === "Value" ? reason.path : "args"
        }
        const { problems } = argumentProblems("f", func, json)
        return first === undefined ? problems.length === 0 : problems[0]?.path === first
      },
    ),
    { numRuns },
  )
})

t.test("`decodeTypes()` gives back what `encodeTypes()` was given, and refuses what is none", async (t) => {
  fc.assert(
    fc.property(arbitraryFunction({ levels: 4 }), (type) => {
      const back = decodeTypes(JSON.parse(JSON.stringify(encodeTypes([{ name: "f", type }])))).get("f")
      return (
        back !== undefined &&
        type.params.every(
          (param, i) => param.label === back.params[i]?.label && typeDifference(param.type, (back.params[i] as typeof param).type) === undefined,
        ) &&
        (type.result === undefined ? back.result === undefined : typeDifference(type.result, back.result as typeof type.result) === undefined)
      )
    }),
    { numRuns },
  )
  for (const json of [
    null,
    {},
    { nodes: [["list", 0]], functions: {} },
    { nodes: ["u9"], functions: {} },
    { nodes: [["record", 1]], functions: {} },
    { nodes: [], functions: { f: { params: [["a", 0]] } } },
    { nodes: ["constructor"], functions: {} },
  ])
    t.throws(() => decodeTypes(json), { name: "ConfigError" }, JSON.stringify(json))
})
