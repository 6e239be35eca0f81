/** The end of a service under load: every request is answered or refused, none hangs, none is cut off; a second signal ends at once. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm, stat } from "node:fs/promises"
import { Agent, request as open } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { client } from "../../../runtime/http/client.ts"
import { main, root } from "../command-line.ts"
import { greeterQuery, raw, start, token, wasm } from "./start.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-drain-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

/** `stele up` with nobody at its input. */
async function up(name: string, flags: ReadonlyArray<string> = []) {
  const data = join(folder, name)
  const child = spawn(process.execPath, [main, "up", "--json", "--storage", `sqlite:${join(folder, `${name}.db`)}`, "--port", "0", ...flags], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, XDG_DATA_HOME: data, NODE_COMPILE_CACHE: join(root, ".cache/compiled"), STELE_STORAGE: "", STELE_PORT: "" },
  })
  let text = ""
  let errors = ""
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk))
  const ended = once(child, "close") as Promise<[number | null, string | null]>
  for await (const chunk of child.stdout.setEncoding("utf8")) {
    text += String(chunk)
    if (text.includes("\n")) break
  }
  child.stdout.resume()
  if (!text.includes("\n")) throw new Error(`Cannot start: ${errors}`)
  const { service } = JSON.parse(text) as { readonly service: { readonly url: string; readonly tokenFile: string } }
  const token = (await readFile(service.tokenFile, "utf8")).trim()
  return { child, ended, url: service.url, tokenFile: service.tokenFile, token, errors: () => errors }
}

type Outcome = { readonly kind: "answered" | "refused" | "closed"; readonly status?: number } | { readonly kind: "cut off"; readonly why: string }

/** One request on an agent's connection. A connection that nobody listens for any more is a refusal; one that breaks is not. */
function post(agent: Agent, url: string, token: string, body: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const asked = open(`${url}/v1/plugins/greeter/calls/greet`, {
      method: "POST",
      agent,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": body.length },
    })
    asked.on("response", (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => {
        const status = response.statusCode ?? 0
        const isRefused = status === 503 && text.includes("STELE-HTP-0012") && response.headers["retry-after"] !== undefined
        const isAnswered = status === 200 && text === '{"result":{"message":"Hello, Ada!","teaPrice":"2.80 €"}}'
        resolve(isAnswered ? { kind: "answered" } : isRefused ? { kind: "refused", status } : { kind: "cut off", why: `${status} ${text}` })
      })
      response.on("error", (error) => resolve({ kind: "cut off", why: String(error) }))
    })
    asked.on("error", (error: NodeJS.ErrnoException) =>
      resolve(error.code === "ECONNREFUSED" ? { kind: "closed" } : { kind: "cut off", why: `${error.code} ${error.message}` }),
    )
    asked.end(body)
  })
}

t.test("SIGTERM under load: every request is answered or refused, and the process ends with 0", async (t) => {
  const { child, ended, url, token, errors } = await up("load")
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  t.teardown(() => agent.destroy())
  const outcomes: Array<Outcome> = []
  let isClosed = false
  const lanes = Array.from({ length: 16 }, async () => {
    while (!isClosed) {
      const outcome = await post(agent, url, token, '[{"name":"Ada"}]')
      outcomes.push(outcome)
      if (outcome.kind === "closed") isClosed = true
      // As `retry-after` asks for, though sooner, so that the end is seen.
      if (outcome.kind === "refused") await new Promise((next) => setTimeout(next, 100))
      if (outcome.kind === "cut off") break
    }
  })
  while (outcomes.length < 300) await new Promise((next) => setTimeout(next, 5))
  const signalledMs = performance.now()
  child.kill("SIGTERM")
  await Promise.all(lanes)
  const [code, signal] = await ended
  t.strictSame([code, signal], [0, null], errors())
  t.ok(performance.now() - signalledMs < 15_000, "within its bound")
  const count = (kind: Outcome["kind"]): number => outcomes.filter((outcome) => outcome.kind === kind).length
  t.comment(`${count("answered")} answered, ${count("refused")} refused, ${count("closed")} found nobody`)
  t.strictSame(
    outcomes.filter(({ kind }) => kind === "cut off"),
    [],
    "none hangs, none is cut off",
  )
  t.ok(count("refused") > 0, "who asked meanwhile was told")
})

t.test("a service that drains says so, ends what it has begun, and nothing new", async (t) => {
  await using on = await start({}, { noticeMs: 300, graceMs: 5_000 })
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
      quietMs: 20_000,
    },
  )
  while (on.http.requests === 0) await new Promise((next) => setTimeout(next, 5))
  const startedMs = performance.now()
  t.equal(await on.server.close(), false)
  t.ok(performance.now() - startedMs < 4_000)
  t.equal(await hung, "")
})

t.test("a second signal ends the process at once", async (t) => {
  const { child, ended, url, token } = await up("twice")
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
  const first = await up("kept")
  t.equal((await stat(first.tokenFile)).mode & 0o777, 0o600)
  const { token } = first
  const a = client({ url: first.url, token })
  await a.install("mine", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] })
  await a.install("gone", wasm("spinner"))
  await a.remove("gone")
  first.child.kill("SIGKILL")
  await first.ended
  const [second, third] = [await up("kept"), await up("kept")]
  t.equal(second.token, token, "the token stays")
  const [b, c] = [client({ url: second.url, token }), client({ url: third.url, token })]
  t.same(await b.plugin("mine").call("acme:greeter/api#greet", [{ name: "Di" }]), { message: "Hello, Di!", teaPrice: "2.80 €" })
  await t.rejects(b.plugin("gone").describe(), { code: "STELE-HTP-0014" })
  await b.install("fresh", wasm("spinner"))
  t.equal((await c.plugin("fresh").describe()).state, "loaded", "as soon as somebody asks")
  await b.install("fresh", wasm("greeter"), { grants: ["log", "kv:read:prices/*"] })
  await b.remove("mine")
  for (let i = 0; i < 100; i++) {
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
