// A real component of StarlingMonkey: `fetch` under grants, requests answered by its fetch event, and `stele serve`.
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host, httpHandler } from "../../runtime/mod.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { networkGuest } from "../host/network-component.ts"
import { example } from "./command-line.ts"
import { Worker } from "node:worker_threads"

t.setTimeout(180_000)
const file = await networkGuest()
const base = ["clock:wall", "clock:monotonic", "random"]
const deadlineMs = 10_000
const limits = { loadMs: 60_000, deadlineMs }

/** A server on a thread of its own: the guest blocks ours. */
const server = new Worker(
  `const { createServer } = require("node:http")
   const { parentPort } = require("node:worker_threads")
   createServer((request, response) => {
     if (request.url === "/silent") return
     let body = ""
     request.on("data", (part) => (body += part)).on("end", () => {
       response.setHeader("x-a", "b")
       response.end([request.method, request.url, body, request.headers["x-question"]].join(" "))
     })
   }).listen(0, "127.0.0.1", function () { parentPort.postMessage(this.address().port) })`,
  { eval: true },
)
const port = await new Promise<number>((done) => server.once("message", done))
t.teardown(() => server.terminate())
const there = `http://127.0.0.1:${port}`

t.test("a guest's `fetch` reaches what it was granted by address, and nothing else", async (t) => {
  await using host = await Host.open()
  await using plugin = await host.load(file, { grants: [...base, `http:*:${there}/*`, "http:GET:*", `http:GET:http://*:${port}/*`], limits })
  const ask = (method: string, url: string, body?: string) => plugin.call("test:network/guest#request", [method, url, body])
  t.equal(await ask("GET", `${there}/a?b`), "200 x-a=b GET /a?b  1")
  t.equal(await ask("POST", `${there}/`, "the body"), "200 x-a=b POST / the body 1")
  t.match(await ask("GET", `http://localhost:${port}/`), /^error /, "a name that leads home")
  t.match(await ask("GET", "http://127.0.0.1:1/"), /^error /, "an address of another port")
  t.match(await ask("POST", "https://example.com/"), /^error /, "a method that was not granted")
  const { grants } = plugin.describe()
  t.match(
    grants.denied.map(({ grant }) => grant),
    ["http:GET:http://127.0.0.1:1/", "http:POST:https://example.com/"],
  )
  t.ok(grants.used.some(({ grant, bytes }) => grant === `http:*:${there}/*` && bytes > 0))
  plugin.revoke(`http:*:${there}/*`)
  t.match(await ask("GET", `${there}/a`), /^error /)
})

t.test("a guest that waits for an answer that never comes is stopped at its deadline", async (t) => {
  await using host = await Host.open()
  await using plugin = await host.load(file, { grants: [...base, `http:*:${there}/*`], limits })
  await plugin.call("test:network/guest#request", ["GET", `${there}/`, undefined])
  const startedMs = performance.now()
  await t.rejects(plugin.call("test:network/guest#request", ["GET", `${there}/silent`, undefined], { deadlineMs: 500 }), { code: "STELE-LIM-0010" })
  const tookMs = performance.now() - startedMs
  t.ok(tookMs >= 450 && tookMs < 2_000, `${tookMs.toFixed(0)} ms`)
  t.equal(await plugin.call("test:network/guest#request", ["GET", `${there}/`, undefined]), "200 x-a=b GET /  1", "the next call works")
})

for (const isolation of ["inline", "worker", "process"] as const)
  t.test(`httpHandler() answers by the guest, and tells who asked nothing but a code when that fails (${isolation})`, async (t) => {
    await using host = await Host.open()
    await using plugin = await host.load(file, { grants: [...base, "http:GET:*"], limits, isolation })
    const errors: Array<unknown> = []
    const options = { onError: (error: unknown) => errors.push(error), requestBytesMax: 1_000, bodyMs: 200, headerBytesMax: 1_000 }
    // What follows a loop waits for a new guest, which takes a busy machine longer than the loop may take.
    const [patient, impatient] = [httpHandler(plugin, { ...options, deadlineMs }), httpHandler(plugin, { ...options, deadlineMs: 1_000 })]
    const ask = (path: string, init: RequestInit = {}) => (path === "/loop" ? impatient : patient)(new Request(`http://plugin.test${path}`, init))
    const good = await ask("/a?b", { method: "POST", body: "hello", headers: { "x-question": "why" } })
    t.same([good.status, good.headers.get("x-from"), await good.text()], [200, "guest", "POST /a hello why"])
    t.equal((await ask("/teapot")).status, 418)
    t.equal((await (await ask("/long")).text()).length, 200_000)
    const head = await ask("/a", { method: "HEAD" })
    t.same([head.status, await head.text()], [200, ""])
    for (const [path, init, status, code] of [
      ["/throw", {}, 502, "STELE-NET-0012"],
      ["/loop", {}, 504, "STELE-LIM-0010"],
      ["/a", { method: "POST", body: "x".repeat(1_001) }, 413, "STELE-NET-0007"],
      ["/a", { headers: { "x-long": "y".repeat(1_000) } }, 431, "STELE-NET-0007"],
      ["/a", { method: "POST", body: new ReadableStream({}), duplex: "half" } as RequestInit, 408, "STELE-NET-0006"],
    ] as const) {
      const refused = await ask(path, init)
      t.equal(refused.status, status, path)
      t.equal(refused.headers.get("content-type"), "application/problem+json")
      const body = (await refused.json()) as Record<string, unknown>
      t.same(Object.keys(body), ["type", "title", "status", "code"])
      t.equal(body["code"], code)
      t.notMatch(JSON.stringify(body), /secret|guest's own/)
    }
    t.equal(errors.length, 5, "the embedder is told of each")
    t.equal((await ask("/a")).status, 200, "the next request is answered")
    const many = await Promise.all(Array.from({ length: 8 }, async (_, i) => (await ask(`/n${i}`)).text()))
    t.same(
      many,
      Array.from({ length: 8 }, (_, i) => `GET /n${i}  null`),
    )
  })

for (const isolation of ["inline", "worker", "process"] as const)
  t.test(`bodies move while the guest runs, and each end waits for the other (${isolation})`, async (t) => {
    await using host = await Host.open()
    await using plugin = await host.load(file, { grants: [...base, "http:GET:*"], limits, isolation })
    const errors: Array<unknown> = []
    const answer = httpHandler(plugin, { onError: (error) => errors.push(error), requestBytesMax: 4 << 20, deadlineMs: 8_000 })
    // The guest answers with each part as it comes: the second is sent when the answer to the first is there.
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const asked = answer(new Request("http://plugin.test/echo", { method: "POST", body: readable, duplex: "half" } as RequestInit))
    void writer.write(new TextEncoder().encode("one"))
    const response = await asked
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    t.equal(new TextDecoder().decode((await reader.read()).value), "one")
    void writer.write(new TextEncoder().encode("two"))
    t.equal(new TextDecoder().decode((await reader.read()).value), "two")
    void writer.close()
    t.equal((await reader.read()).done, true)
    // Nobody reads: what is taken from the sender is bounded by the windows on the way.
    let taken = 0
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        taken += 16_384
        controller.enqueue(new Uint8Array(16_384))
      },
    })
    const stuck = await answer(new Request("http://plugin.test/echo", { method: "POST", body: endless, duplex: "half" } as RequestInit))
    await new Promise((next) => setTimeout(next, 500))
    t.ok(taken < 1 << 20, `${taken} bytes were taken`)
    await stuck.body?.cancel()
    t.same(
      errors.filter((error) => !(error instanceof NetworkError) && (error as { code?: string }).code !== "STELE-PLG-0002"),
      [],
    )
  })

t.test("`httpHandler()` refuses a component without a handler, and options that it does not know", async (t) => {
  await using host = await Host.open()
  await using plugin = await host.load(example("spinner"))
  t.throws(() => httpHandler(plugin), NetworkError)
  await using fit = await host.load(file, { grants: [...base, "http:GET:*"], limits })
  t.throws(() => httpHandler(fit, { deadline: 5 } as never), { code: "STELE-CFG-0001" })
  t.throws(() => httpHandler(fit, { deadlineMs: -5 }), { code: "STELE-CFG-0002" })
})

t.test("`stele serve` answers on its port, logs what failed, and ends when it is told to, answering what it has begun", async (t) => {
  const main = fileURLToPath(new URL("../../runtime/cli/main.ts", import.meta.url))
  const grants = [...base, "http:GET:*"].flatMap((grant) => ["--grant", grant])
  const child = spawn(process.execPath, [main, "serve", file, "--port", "0", "--json", "--limit", "loadMs=60000", "--deadline", "5s", ...grants], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let stderr = ""
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()))
  const ended = new Promise<number | null>((done) => child.once("exit", done))
  const line = await new Promise<string>((done, fail) => {
    let text = ""
    child.stdout.on("data", (part: Buffer) => {
      text += part.toString()
      if (text.includes("\n")) done(text)
    })
    child.once("exit", () => fail(new Error(stderr)))
  })
  const { url } = JSON.parse(line) as { readonly url: string }
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  const response = await fetch(`${url}/a`, { method: "POST", body: "x", headers: { "x-question": "1" } })
  t.same([response.status, await response.text()], [200, "POST /a x 1"])
  t.equal((await fetch(`${url}/throw`)).status, 502)
  const last = fetch(`${url}/long`).then((answered) => answered.text())
  await fetch(`${url}/a`)
  child.kill("SIGTERM")
  t.equal((await last).length, 200_000)
  t.equal(await ended, 0, stderr)
  t.match(stderr, /GET \/throw STELE-NET-0012/)
  await t.rejects(fetch(`${url}/a`))
})
