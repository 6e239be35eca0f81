/** The end of a service under load: every request is answered or refused, none hangs, none is cut off; a second signal ends at once. */
import { mkdtemp, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { client } from "../../../runtime/http/client.ts"
import { greeterQuery, raw, start, token, wasm } from "./start.ts"
import { endUnderLoad, up } from "./up.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-drain-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

t.test("SIGTERM under load: every request is answered or refused, and the process ends with 0", async (t) => {
  const on = await up(folder, "load")
  const { exit, tookMs, cutOff, answered, refused, closed } = await endUnderLoad(on)
  t.strictSame(exit, [0, null], on.errors())
  // Its `graceMs` is 10 s, and what has not ended then is cut off.
  t.ok(tookMs < 60_000, "within its bound")
  t.comment(`${answered} answered, ${refused} refused, ${closed} found nobody`)
  t.strictSame(cutOff, [], "none hangs, none is cut off")
  t.ok(refused > 0, "who asked meanwhile was told")
})

t.test("a service that drains says so, ends what it has begun, and nothing new", async (t) => {
  await using on = await start({}, { noticeMs: 3_000, graceMs: 60_000 })
  await on.put("greeter", "greeter", greeterQuery)
  const { promise: body, resolve: send } = Promise.withResolvers<void>()
  const slow = on.ask("POST", "/v1/plugins/greeter/calls/greet", {
    headers: { "content-type": "application/json" },
    duplex: "half",
    body: new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("["))
        await body
        controller.enqueue(new TextEncoder().encode('{"name":"Cy"}]'))
        controller.close()
      },
    }),
  } as RequestInit)
  while (on.http.requests === 0) await new Promise((next) => setTimeout(next, 5))
  const closing = on.server.close()
  const ready = await on.ask("GET", "/readyz", { bare: true })
  t.equal(ready.json["code"], "STELE-HTP-0012")
  t.equal(ready.headers.get("retry-after"), "1")
  t.same((await on.ask("GET", "/healthz", { bare: true })).json, { status: "draining" })
  const refused = await on.ask("GET", "/v1/plugins")
  t.equal(refused.status, 503)
  t.equal(refused.headers.get("connection"), "close")
  send()
  t.same((await slow).json, { result: { message: "Hello, Cy!" } })
  t.equal(await closing, true)
  await t.rejects(on.ask("GET", "/healthz"), "nobody listens any more")
})

t.test("what does not end is cut off at the bound", async (t) => {
  await using on = await start({}, { noticeMs: 0, graceMs: 300 })
  const hung = raw(
    on.server.port,
    [`POST /v1/plugins/x/calls/y HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n`],
    {
      quietMs: 60_000,
    },
  )
  while (on.http.requests === 0) await new Promise((next) => setTimeout(next, 5))
  const startedMs = performance.now()
  t.equal(await on.server.close(), false)
  t.ok(performance.now() - startedMs < 30_000, "what is asked for waits as long as it may")
  t.equal(await hung, "")
})

t.test("a second signal ends the process at once", async (t) => {
  const { child, ended, url, token } = await up(folder, "twice")
  const held = client({ url, token, timeoutMs: 30_000 })
    .plugin("spinner")
    .call("stele:example-spinner/wheel#spin", [1], { deadlineMs: 400 })
    .catch(() => {})
  await new Promise((next) => setTimeout(next, 50))
  child.kill("SIGTERM")
  child.kill("SIGTERM")
  const againMs = setInterval(() => child.kill("SIGTERM"), 50)
  const [code] = await ended
  clearInterval(againMs)
  t.ok(code === 143 || code === 0, `${code}`)
  await held
})

t.test("what was put is there after kill -9, the token is its user's alone, and two processes see each other's plugins", async (t) => {
  const first = await up(folder, "kept")
  t.equal((await stat(first.tokenFile)).mode & 0o777, 0o600)
  const { token } = first
  const a = client({ url: first.url, token })
  await a.install("mine", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] })
  await a.install("gone", wasm("spinner"))
  await a.remove("gone")
  first.child.kill("SIGKILL")
  await first.ended
  const [second, third] = [await up(folder, "kept"), await up(folder, "kept")]
  t.equal(second.token, token, "the token stays")
  const [b, c] = [client({ url: second.url, token }), client({ url: third.url, token })]
  t.same(await b.plugin("mine").call("acme:greeter/api#greet", [{ name: "Di" }]), { message: "Hello, Di!", teaPrice: "2.80 €" })
  await t.rejects(b.plugin("gone").describe(), { code: "STELE-HTP-0014" })
  await b.install("fresh", wasm("spinner"))
  t.equal((await c.plugin("fresh").describe()).state, "loaded", "as soon as somebody asks")
  await b.install("fresh", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] })
  await b.remove("mine")
  for (const endMs = performance.now() + 60_000; performance.now() < endMs;) {
    const [fresh] = (await c.plugins()).filter(({ name }) => name === "fresh")
    if (fresh?.exports[0]?.startsWith("acme:") === true && !(await c.plugins()).some(({ name }) => name === "mine")) break
    await new Promise((next) => setTimeout(next, 50))
  }
  t.same((await c.plugins()).map(({ name }) => name).includes("mine"), false)
  for (const each of [second, third]) each.child.kill("SIGTERM")
  t.strictSame(
    (await Promise.all([second.ended, third.ended])).map(([code]) => code),
    [0, 0],
    second.errors() + third.errors(),
  )
})

t.test("`token` of another user's making is not used", async (t) => {
  const { keepToken, readToken } = await import("../../../runtime/http/token.ts")
  const { chmod, writeFile } = await import("node:fs/promises")
  const file = join(folder, "token")
  const made = keepToken(file)
  t.equal(made.isNew, true)
  t.strictSame(keepToken(file), { token: made.token, isNew: false })
  await chmod(file, 0o644)
  t.throws(() => readToken(file), { code: "STELE-HTP-0021" })
  await chmod(file, 0o600)
  await writeFile(file, "something else\n")
  t.throws(() => keepToken(file), { code: "STELE-HTP-0021" })
  t.throws(() => keepToken(join(folder, "no/such/folder/token")), { code: "STELE-HTP-0021" })
})
