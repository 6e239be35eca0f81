/** What the service answers, request by request, over real connections. */
import t from "tap"
import { service } from "../../../runtime/http/mod.ts"
import { Host } from "../../../runtime/mod.ts"
import { greeterQuery, start, token, wasm } from "./start.ts"

t.setTimeout(120_000)
const on = await start()
t.teardown(() => on[Symbol.asyncDispose]())
const { ask, call, put } = on
const pathsOf = (json: { readonly data?: Record<string, unknown> }): ReadonlyArray<string> =>
  ((json.data?.["problems"] ?? []) as ReadonlyArray<{ readonly path: string }>).map(({ path }) => path)

t.test("health, readiness, documents are open, and nothing else is", async (t) => {
  for (const path of ["/healthz", "/readyz", "/openapi.json", "/docs"]) t.equal((await ask("GET", path, { bare: true })).status, 200, path)
  for (const [method, path] of [
    ["GET", "/metrics"],
    ["GET", "/v1/plugins"],
    ["PUT", "/v1/plugins/x"],
    ["GET", "/v1/plugins/x"],
    ["DELETE", "/v1/plugins/x"],
    ["POST", "/v1/plugins/x/calls/y"],
    ["GET", "/nowhere"],
    ["PATCH", "/healthz"],
  ] as const) {
    const { status, json, headers } = await ask(method, path, { bare: true })
    t.equal(status, 401, `${method} ${path}`)
    t.equal(json["code"], "STELE-HTP-0001")
    t.match(headers.get("www-authenticate"), /^Bearer /)
  }
  for (const authorization of [
    "Bearer",
    "Bearer ",
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${token}`,
    token,
    `Bearer ${"x".repeat(token.length)}`,
  ])
    t.equal((await ask("GET", "/v1/plugins", { bare: true, headers: { authorization } })).status, 401, authorization)
  t.equal((await ask("GET", "/v1/plugins", { bare: true, headers: { authorization: `bearer ${token}` } })).status, 200, "schemes have no case")
})

t.test("a plugin is put, shown, called, replaced and removed", async (t) => {
  const made = await put("greeter", "greeter", greeterQuery)
  t.equal(made.status, 201, made.text)
  t.match(made.json, {
    name: "greeter",
    state: "loaded",
    source: "upload:greeter",
    grants: { granted: ["log", "kv:read:prices/*"] },
    exports: ["acme:greeter/api#greet"],
  })
  for (const name of ["greet", "api#greet", "acme:greeter/api#greet"]) {
    const { status, json, headers } = await call("greeter", name, [{ name: "Ada" }])
    t.equal(status, 200, name)
    t.strictSame(json, { result: { message: "Hello, Ada!" } })
    t.equal(headers.get("stele-digest"), made.json["digest"])
  }
  const slashed = await ask("POST", "/v1/plugins/greeter/calls/acme:greeter/api%23greet", {
    body: '[{"name":"Bo"}]',
    headers: { "content-type": "application/json; charset=utf-8" },
  })
  t.same(slashed.json, { result: { message: "Hello, Bo!" } }, "a slash may stand as it is")
  t.match((await call("greeter", "greet", [{ name: "Ada" }], "?usage=true")).json, { usage: { outcome: "ok", hostCalls: { log: 1 } } })
  const shown = (await ask("GET", "/v1/plugins/greeter")).json
  t.match(shown, { wit: /world/, imports: [{ status: "granted" }, { status: "granted" }], limits: { deadlineMs: 1000 }, types: { nodes: [] } })
  t.match(shown["exports"], [{ name: "acme:greeter/api#greet", type: /visitor/, schema: { params: { type: "array" } } }])
  const again = await put("greeter", "spinner")
  t.equal(again.status, 200, "it took the place of another")
  t.equal((await call("greeter", "greet", [])).json["code"], "STELE-PLG-0003")
  t.match((await ask("GET", "/v1/plugins")).json, { plugins: [{ name: "greeter", grants: { granted: [] } }] })
  const gone = await ask("DELETE", "/v1/plugins/greeter")
  t.equal(gone.status, 204)
  t.equal(gone.text, "")
  t.equal((await ask("DELETE", "/v1/plugins/greeter")).json["code"], "STELE-HTP-0014")
})

t.test("a refusal of a plugin says what a host would say", async (t) => {
  for (const [query, body, status, code] of [
    ["", wasm("greeter"), 403, "STELE-CAP-0003"],
    ["?grant=lgo", wasm("greeter"), 400, "STELE-CAP-0001"],
    ["", Uint8Array.of(1, 2, 3), 422, "STELE-VFY-0001"],
    ["", new Uint8Array(), 422, "STELE-VFY-0001"],
    ["?limit=memoryByteMax=1", wasm("spinner"), 400, "STELE-CFG-0001"],
    ["?tenant=", wasm("spinner"), 400, "STELE-CFG-0002"],
  ] as const) {
    const { json } = await ask("PUT", `/v1/plugins/refused${query}`, { body, headers: { "content-type": "application/wasm" } })
    t.equal(json["code"], code, `${query} ${JSON.stringify(json)}`)
    t.equal(json["status"], status)
    t.match(json, { type: `/docs#${code}`, title: String, detail: String, fix: String })
  }
  t.equal((await ask("GET", "/v1/plugins/refused")).status, 404, "nothing of it is kept")
  const { json } = await ask("PUT", "/v1/plugins/refused?limit=a&limit=memoryBytesMax=1&metering=x&metering=fuel&isolatoin=process&__proto__=1", { body: "x" })
  t.equal(json["code"], "STELE-HTP-0005")
  t.strictSame(pathsOf(json).toSorted(), ["query.__proto__", "query.isolatoin", "query.limit[0]", "query.metering"])
  for (const name of ["..", "-x", ".x", "a b", "a/b", "x".repeat(65), "é", "%00"]) {
    const { status, json } = await ask("PUT", `/v1/plugins/${encodeURIComponent(name)}`, { body: wasm("spinner") })
    // `..` is a step up for every parser of URLs, so it never gets here as a name.
    if (name === "..") t.ok(status === 404 || status === 405, name)
    else t.equal(json["code"], "STELE-HTP-0013", name)
  }
})

t.test("every mistake in arguments is listed with its path, and no 400 is empty", async (t) => {
  await put("greeter", "greeter", greeterQuery)
  await put("text", "text-stats", "?grant=log")
  const at = async (plugin: string, name: string, body: unknown): Promise<ReadonlyArray<string>> => {
    const { status, json, headers } = await call(plugin, name, body)
    t.equal(status, 400)
    t.equal(headers.get("content-type"), "application/problem+json")
    t.equal(json["code"], "STELE-HTP-0005", JSON.stringify(json))
    return pathsOf(json)
  }
  t.strictSame(await at("greeter", "greet", [{ nme: "Ada", name: 1, "a b": 2 }]), ["args[0]", "args[0]", "args[0].name"])
  t.strictSame(await at("greeter", "greet", []), ["args"])
  t.strictSame(await at("greeter", "greet", {}), ["args"])
  t.strictSame(await at("greeter", "greet", "null"), ["args"])
  t.strictSame(await at("greeter", "greet", [null]), ["args[0]"])
  t.strictSame(await at("text", "analyze", [7, { top: -1, minLetters: "4", more: true }]), ["args[0]", "args[1]", "args[1].top", "args[1].minLetters"])
  const bad: ReadonlyArray<readonly [string | Uint8Array<ArrayBuffer>, RegExp]> = [
    ["", /empty/],
    [" \n", /empty/],
    ["[", /JSON/],
    ['[{"name": Ada}]', /JSON/],
    ["[1,]", /JSON/],
    [new Uint8Array([0x5b, 0x22, 0xff, 0x22, 0x5d]), /UTF-8/],
    ["[".repeat(100_000), /JSON/],
  ]
  for (const [body, detail] of bad) {
    const { status, json } = await ask("POST", "/v1/plugins/greeter/calls/greet", { body, headers: { "content-type": "application/json" } })
    t.equal(status, 400)
    t.equal(json["code"], "STELE-HTP-0004", String(body).slice(0, 20))
    t.match(json["detail"], detail)
  }
  const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
  t.match((await call("greeter", "greet", deep)).json, { code: "STELE-HTP-0005" }, "depth alone is no danger")
  const many = await call("greeter", "greet", [Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`key${i}`, i]))])
  t.equal(pathsOf(many.json).length, 100)
  t.equal(many.json.data?.["isCut"], true)
  t.same((await call("greeter", "greet", '[{"__proto__": 1, "constructor": 2, "name": "x"}]')).status, 400)
})

t.test("queries of calls are checked, and their limits hold", async (t) => {
  await put("spinner", "spinner", "?limit=deadlineMs=5000")
  const stopped = await call("spinner", "spin", [1], "?deadlineMs=30")
  t.equal(stopped.json["code"], "STELE-LIM-0010")
  t.equal(stopped.status, 504)
  t.match(stopped.json.data, { limit: 30 })
  t.equal((await call("spinner", "spin", [0], "?deadlineMs=30")).status, 200, "the next call works")
  t.equal((await call("spinner", "spin", [0], "?fuel=10")).json["code"], "STELE-CFG-0002", "it is not metered by fuel")
  t.strictSame(pathsOf((await call("spinner", "spin", [0], "?deadlineMs=soon&fuel=-1&usage=yes&x=1")).json).toSorted(), [
    "query.deadlineMs",
    "query.fuel",
    "query.usage",
    "query.x",
  ])
  await put("fuelled", "spinner", "?metering=fuel")
  t.match((await call("fuelled", "spin", [0], "?usage=true")).json, { usage: { fuel: /^\d+$/ } })
  t.equal((await call("fuelled", "spin", [1], "?fuel=10000")).json["code"], "STELE-LIM-0009")
})

t.test("a guest's own error carries its payload in its type's JSON", async (t) => {
  await put("greeter", "greeter", greeterQuery)
  const { json, status } = await call("greeter", "greet", [{ name: "" }])
  t.equal(status, 422, JSON.stringify(json))
  t.match(json, { code: "STELE-PLG-0001", data: { payload: String } })
})

t.test("media types, methods and paths are taken by the letter", async (t) => {
  for (const type of ["text/plain", "application/json; charset=latin1", "application/jsonx", "multipart/form-data", ""]) {
    const { status, json } = await ask("POST", "/v1/plugins/greeter/calls/greet", { body: new TextEncoder().encode("[]"), headers: { "content-type": type } })
    t.equal(status, 415, type)
    t.equal(json["code"], "STELE-HTP-0006")
  }
  const { json } = await ask("POST", "/v1/plugins/greeter/calls/greet", {
    body: "[]",
    headers: { "content-type": "application/json", "content-encoding": "gzip" },
  })
  t.equal(json["code"], "STELE-HTP-0006", "compressed")
  t.equal((await ask("PUT", "/v1/plugins/x", { body: "x", headers: { "content-type": "text/html" } })).status, 415)
  for (const [method, path, allow] of [
    ["POST", "/v1/plugins", "GET, HEAD"],
    ["PATCH", "/v1/plugins/greeter", "PUT, GET, DELETE, HEAD"],
    ["GET", "/v1/plugins/greeter/calls/greet", "POST"],
    ["DELETE", "/healthz", "GET, HEAD"],
    ["OPTIONS", "/v1/plugins", "GET, HEAD"],
  ] as const) {
    const { status, json, headers } = await ask(method, path)
    t.equal(status, 405, `${method} ${path}`)
    t.equal(json["code"], "STELE-HTP-0003")
    t.equal(headers.get("allow"), allow)
  }
  const head = await ask("HEAD", "/v1/plugins")
  t.equal(head.status, 200)
  t.equal(head.text, "")
  for (const path of [
    "/",
    "/v1",
    "/v1/plugin",
    "/v1/plugins/",
    "/V1/plugins",
    "//healthz",
    "/healthz/",
    "/healthz%00",
    "/v1/plugins/greeter/calls",
    "/v1/plugins/greeter/calls/",
  ])
    t.equal((await ask("GET", path)).json["code"], "STELE-HTP-0002", path)
  for (const path of [
    "/v1/plugins/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/v1/plugins/..%2fgreeter",
    "/v1/plugins/greeter%00",
    "/v1/plugins/%252e%252e",
    "/v1/plugins/%ff",
    "/v1/plugins/%zz",
    "/v1/plugins/__proto__",
    "/v1/plugins/constructor",
  ])
    t.equal((await ask("GET", path)).json["code"], "STELE-HTP-0014", path)
  t.match((await ask("GET", "/v1/plugins/greter")).json, { fix: 'did you mean "greeter"' })
  for (const name of ["__proto__", "constructor", "toString", "greet#greet", "#", "%00", "../greet", "x".repeat(5_000)])
    t.equal((await call("greeter", name, [{ name: "x" }])).json["code"], "STELE-PLG-0003", name.slice(0, 20))
})

t.test("no page of another origin is let in, unless it is named", async (t) => {
  const other = { origin: "https://evil.example" }
  for (const path of ["/healthz", "/v1/plugins", "/docs"]) t.equal((await ask("GET", path, { headers: other })).json["code"], "STELE-HTP-0015", path)
  t.equal((await ask("OPTIONS", "/v1/plugins", { bare: true, headers: { ...other, "access-control-request-method": "GET" } })).status, 403)
  t.equal((await ask("GET", "/v1/plugins", { headers: { origin: on.server.url } })).status, 200, "its own")
  await using open = await start({ origins: ["https://admin.example"] })
  const named = { origin: "https://admin.example" }
  const preflight = await open.ask("OPTIONS", "/v1/plugins/x", { bare: true, headers: { ...named, "access-control-request-method": "PUT" } })
  t.equal(preflight.status, 204)
  t.match(preflight.headers.get("access-control-allow-methods"), /PUT/)
  const answered = await open.ask("GET", "/v1/plugins", { headers: named })
  t.equal(answered.headers.get("access-control-allow-origin"), "https://admin.example")
  t.equal(answered.headers.get("vary"), "origin")
  t.equal((await open.ask("GET", "/v1/plugins", { headers: other })).status, 403)
  t.equal((await open.ask("GET", "/v1/plugins")).headers.get("access-control-allow-origin"), null)
})

t.test("every answer says that it is nobody else's", async (t) => {
  for (const path of ["/healthz", "/v1/plugins", "/nowhere", "/metrics"]) {
    const { headers } = await ask("GET", path)
    t.equal(headers.get("x-content-type-options"), "nosniff", path)
    t.equal(headers.get("cache-control"), "no-store")
    t.match(headers.get("content-security-policy"), /default-src 'none'/)
  }
})

t.test("what fails in the service is an incident: its text is in the log and not in the answer", async (t) => {
  const lines: Array<string> = []
  await using host = await Host.open()
  await using http = await service(host, { token, log: (line) => void lines.push(line), syncMs: 0 })
  const { keyValue } = host.ports
  keyValue.list = () => {
    throw new Error("secret path /var/lib/secret")
  }
  const response = await http.fetch(new Request("http://localhost/v1/plugins/x", { headers: { authorization: `Bearer ${token}` } }))
  const text = await response.text()
  t.equal(response.status, 500)
  t.notMatch(text, /secret/)
  const { data } = JSON.parse(text) as { readonly data: { readonly incident: string } }
  t.match(lines[0], data.incident)
  t.match(lines[0], /secret/)
})

t.test("what is put runs in a process of its own unless something else is said", async (t) => {
  await using host = await Host.open()
  await using http = await service(host, { token })
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/wasm" }
  const put = async (query: string): Promise<unknown> => {
    const response = await http.fetch(new Request(`http://localhost/v1/plugins/spinner${query}`, { method: "PUT", headers, body: wasm("spinner") }))
    return ((await response.json()) as { readonly isolation?: string }).isolation
  }
  t.equal(await put("?isolation=inline"), "inline")
  t.equal(await put("?limit=deadlineMs=20000"), "process")
  const called = await http.fetch(
    new Request("http://localhost/v1/plugins/spinner/calls/spin", { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: "[0]" }),
  )
  t.equal(called.status, 200, await called.text())
})

t.test("a PUT says which instance a call gets, which is shown and kept, in bounds", async (t) => {
  t.equal((await put("pooled", "spinner", "?isolation=process&reuse=principal&instances=2&ready=2&queue=5")).status, 201)
  t.same((await ask("GET", "/v1/plugins/pooled")).json["instances"], { reuse: "principal", max: 2, ready: 2, queue: 5 })
  t.equal((await call("pooled", "spin", [0])).status, 200)
  t.same((await on.http.plugins.kept("pooled")).options.instances, { reuse: "principal", max: 2, ready: 2, queue: 5 })
  t.strictSame(pathsOf((await put("pooled", "spinner", "?reuse=always&instances=65&ready=0&queue=-1")).json).toSorted(), [
    "query.instances",
    "query.queue",
    "query.ready",
    "query.reuse",
  ])
  t.equal((await put("pooled", "spinner", "?reuse=principal&ready=2")).status, 400, "more ready than there may be")
  await ask("DELETE", "/v1/plugins/pooled")
})

t.test("`service()` refuses options that it does not know, and tokens that are none", async (t) => {
  await using host = await Host.open()
  for (const options of [
    { token: "" },
    { token: "short" },
    { token: [] },
    { token, orgins: [] },
    { token, origins: ["example.com"] },
    { token, limits: { bodyByteMax: 1 } },
    { token, grantable: ["lgo:"] },
    { token, pluginsMax: -1 },
  ])
    await t.rejects(service(host, options as never), { name: /ConfigError|CapabilityError/ }, JSON.stringify(options))
})

t.test("`grantable` bounds what a plugin that is put may do, and `pluginsMax` how many there are", async (t) => {
  await using few = await start({ grantable: ["log", "kv:read:prices/*"], pluginsMax: 1 })
  t.equal((await few.put("a", "greeter", "?grant=log&grant=kv:read:*")).json["code"], "STELE-CAP-0004")
  t.equal((await few.put("a", "greeter", "?grant=log&grant=kv:read:prices/tea")).status, 201)
  t.equal((await few.put("b", "spinner")).json["code"], "STELE-HTP-0018")
  t.equal((await few.put("a", "spinner")).status, 200, "the same name is no more of them")
})

t.test("the service is a web-standard function, mounted where one likes", async (t) => {
  await using host = await Host.open()
  await using http = await service(host, { token, basePath: "/stele" })
  const { Hono } = await import("hono")
  const headers = { authorization: `Bearer ${token}` }
  const mounted = new Hono().mount("/stele", (request: Request) => http.fetch(request))
  const routed = new Hono().route("/stele", http.app)
  for (const app of [mounted, routed]) {
    t.equal((await app.request("/stele/healthz")).status, 200)
    t.equal((await app.request("/stele/v1/plugins")).status, 401)
    t.equal((await app.request("/stele/v1/plugins", { headers })).status, 200)
    const { type } = (await (await app.request("/stele/v1/plugins/x", { headers })).json()) as { readonly type: string }
    t.equal(type, "/stele/docs#STELE-HTP-0014")
  }
})

t.test("/metrics counts by route and plugin, in the format of Prometheus", async (t) => {
  const { text, headers } = await ask("GET", "/metrics")
  t.match(headers.get("content-type"), "text/plain; version=0.0.4")
  t.match(text, /^stele_plugin_calls_total\{plugin="greeter",outcome="ok"\} [1-9]/m)
  t.match(text, /^stele_http_requests_total\{route="call",method="POST",status="200"\} [1-9]/m)
  t.match(text, /^stele_http_request_seconds_bucket\{route="call",le="\+Inf"\} [1-9]/m)
  for (const line of text.trimEnd().split("\n"))
    t.match(line, /^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)*\})? [0-9.e+-]+)$/, line)
})
