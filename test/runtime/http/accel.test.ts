/** Devices over HTTP: who sees them, what asks the machine for work and what does not, and a page that holds whatever a device is called. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import type { Device, DeviceSource } from "../../../kernels/accelerate/device.ts"
import { type Accelerator, openAccelerator } from "../../../kernels/accelerate/accelerator.ts"
import { type AcceleratorServiceOptions, acceleratorService } from "../../../runtime/http/mod.ts"
import { main, root } from "../command-line.ts"
import { wellFormed } from "./well-formed.ts"

t.setTimeout(60_000)
const token = "token_of_23_letters_____"
const hostile = `<script>alert(1)</script>"'&<img src=x onerror=alert(2)>`
/** The references, which do one operation no more once they are told to break. */
function breaking() {
  const cpu = openCpu()
  let isBroken = false
  const device: Device = Object.assign(Object.create(cpu) as Device, {
    name: "breaking",
    dispatch: (list: Parameters<Device["dispatch"]>[0]) => {
      if (isBroken && list[0]?.operation.name === "sum") throw new Error(`broken ${hostile}`)
      cpu.dispatch(list)
    },
    close: () => cpu.close(),
  })
  return { device, break: () => (isBroken = true) }
}
const own: ReadonlyArray<DeviceSource> = [
  { name: `ghost ${hostile}`, kind: "gpu", open: async () => ({ state: "absent", reason: `no adapter ${hostile}` }) },
  { name: "cpu", kind: "cpu", open: async () => openCpu() },
]

/** A service over references alone, and how often it had something measured. */
async function start(options: Partial<AcceleratorServiceOptions> = {}, sources = own) {
  const accelerator = await openAccelerator({ sources })
  let measured = 0
  const benchmark = accelerator.benchmark.bind(accelerator)
  Object.assign(accelerator, { benchmark: (...args: Parameters<Accelerator["benchmark"]>) => (measured++, benchmark(...args)) })
  const http = await acceleratorService({
    ...{ accelerator, tokens: [token], operations: ["add"], log: () => undefined },
    ...options,
    limits: { sizeMs: 0, runMsMax: 1, ...options.limits },
  })
  t.teardown(async () => {
    await http.close()
    await accelerator.close()
  })
  const ask = async (
    path: string,
    { headers = {}, method = "GET" }: { readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ) => {
    const response = await http.fetch(new Request(`http://localhost${path}`, { method, headers: { authorization: `Bearer ${token}`, ...headers } }))
    const text = await response.text()
    const isJson = (response.headers.get("content-type") ?? "").endsWith("json")
    return { status: response.status, headers: response.headers, text, json: isJson && text !== "" ? (JSON.parse(text) as Record<string, unknown>) : {} }
  }
  return { accelerator, ask, http, count: () => measured }
}
const html = { accept: "text/html" }

t.test("nobody without a token sees anything, or has anything measured", async (t) => {
  const { ask, count } = await start()
  for (const authorization of ["", "Bearer wrong", `Basic ${Buffer.from(`x:${token}`).toString("base64")}`, `Bearer ${token}x`])
    for (const [path, method] of [["/"], ["/index.html"], ["/index.json"], ["/measure", "POST"], ["/nowhere"]]) {
      const { headers, json, status } = await ask(path as string, { headers: { authorization }, ...(method === undefined ? {} : { method }) })
      t.equal(status, 401, `${path} with "${authorization}"`)
      t.equal(json["code"], "STELE-HTP-0001")
      t.match(headers.get("www-authenticate"), /^Bearer/)
    }
  t.equal(count(), 0)
})

t.test("looking at it measures nothing, however often; a POST does, one at a time and with a pause", async (t) => {
  const { ask, count } = await start({ operations: ["add", "sum"] })
  const pages = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i % 2 === 0 ? "/" : "/index.json", { headers: i % 4 === 0 ? html : {} })))
  t.ok(pages.every(({ status }) => status === 200))
  t.match(pages[0]?.text, "Nothing was measured yet.")
  t.match(pages[1]?.json, { measured: null, isMeasuring: false, mode: "fast" })
  t.equal(count(), 0)

  const posts = await Promise.all(Array.from({ length: 5 }, async () => ask("/measure", { method: "POST" })))
  t.equal(count(), 2, "both operations once, whoever asked")
  const [first] = posts
  for (const { json, status } of posts) {
    t.equal(status, 200)
    t.strictSame(json, first?.json)
  }
  t.match(first?.json, { measured: { at: /^\d{4}-/, operations: [{ operation: "add" }, { operation: "sum" }] } })
  t.same((await ask("/index.json")).json["measured"], first?.json["measured"], "it is what pages show from then on")

  const soon = await ask("/measure", { method: "POST" })
  t.equal(soon.status, 429)
  t.match(soon.json, { code: "STELE-HTP-0011", data: { whose: "measurement" } })
  t.equal(soon.headers.get("retry-after"), "10")
  t.equal(count(), 2)
})

t.test("a page shows each device, and each operation's charts and figures", async (t) => {
  const { ask, http } = await start()
  await http.measure()
  const { headers, status, text } = await ask("/", { headers: html })
  t.equal(status, 200)
  t.equal(headers.get("content-type"), "text/html; charset=utf-8")
  const { attributes, names } = wellFormed(text.replace("<!doctype html>", ""), new Set(["meta"]))
  for (const name of ["script", "img", "link", "iframe", "object", "base"]) t.notOk(names.has(name), `no <${name}>`)
  t.notOk([...attributes].some((name) => name.startsWith("on") || name === "style" || name === "src"))
  const [, css = ""] = /<style>([\s\S]*?)<\/style>/.exec(text) ?? []
  t.equal(text.match(/<style/g)?.length, 1)
  t.equal(
    headers.get("content-security-policy"),
    `default-src 'none'; style-src 'sha256-${createHash("sha256").update(css).digest("base64")}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  )
  t.equal(headers.get("cache-control"), "no-store")
  t.match(text, '<html lang="en">')
  t.equal(text.match(/<svg /g)?.length, 2)
  const ids = [...text.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
  t.equal(new Set(ids).size, ids.length, "no id twice")
  for (const [, of = ""] of text.matchAll(/aria-labelledby="([^"]+)"/g)) for (const id of of.split(" ")) t.ok(ids.includes(id), `${id} is there`)
  t.match(text, /<td>ghost &lt;script&gt;/)
  t.match(text, /<td>no adapter &lt;script&gt;/)
  t.match(text, /<td>cpu<\/td><td>cpu<\/td><td>ready<\/td>/)
  t.match(text, /<li>from size 1 on: cpu<\/li>/)
  t.match(text, /<td class="number">256<\/td><td>cpu<\/td>/)
  t.match(text, '<form method="post" action="/measure"><button>')
})

t.test("the form of another page is refused, and its own leads back", async (t) => {
  const { ask, count } = await start({ basePath: "/devices/", limits: { pauseMs: 0 } })
  for (const origin of ["https://elsewhere.example", "null", "http://localhost:81"]) {
    const { json, status } = await ask("/measure", { method: "POST", headers: { origin, "sec-fetch-site": "cross-site" } })
    t.equal(status, 403, origin)
    t.match(json, { code: "STELE-HTP-0015", fix: /the service's own page/ })
  }
  t.equal(count(), 0)
  for (const headers of [{ origin: "http://localhost" }, { origin: "https://behind.a.proxy", "sec-fetch-site": "same-origin" }]) {
    const own = await ask("/measure", { method: "POST", headers: { ...headers, accept: "text/html,*/*;q=0.8" } })
    t.equal(own.status, 303)
    t.equal(own.headers.get("location"), "/devices/")
  }
  t.equal(count(), 2)
  t.match((await ask("/", { headers: html })).text, 'action="/devices/measure"')
})

t.test("other methods and paths are refused in words", async (t) => {
  const { ask } = await start()
  const put = await ask("/", { method: "PUT" })
  t.equal(put.status, 405)
  t.equal(put.headers.get("allow"), "GET, HEAD")
  const get = await ask("/measure")
  t.equal(get.status, 405)
  t.equal(get.headers.get("allow"), "POST")
  t.match((await ask("/nowhere")).json, { status: 404, code: "STELE-HTP-0002", fix: /index\.json/ })
  t.match((await ask("/", { headers: { cookie: "x".repeat(20_000) } })).json, { status: 431, data: { limit: 16_384 } })
})

t.test("a device that breaks is told at its operation, and the others are shown", async (t) => {
  const { break: end, device } = breaking()
  const { ask, http } = await start({ operations: ["add", "sum"] }, [{ name: "breaking", kind: "cpu", open: async () => device }])
  end()
  await http.measure()
  const { json } = await ask("/index.json")
  t.match(json, {
    measured: {
      operations: [
        { operation: "add", measurements: [{ device: "breaking" }] },
        { operation: "sum", error: { message: /^broken/ } },
      ],
    },
  })
  const { text } = await ask("/", { headers: html })
  t.match(text, /It could not be measured: broken &lt;script&gt;/)
  wellFormed(text.replace("<!doctype html>", ""), new Set(["meta"]))
})

t.test("the end refuses requests, and ends a measurement between operations", async (t) => {
  const { ask, count, http } = await start({ operations: ["add", "sum", "mul"] })
  const round = http.measure()
  await http.close()
  t.equal(await round, undefined, "half a round is none")
  t.equal(count(), 1)
  await http.drain(1_000)
  t.equal((await ask("/")).status, 503)
})

t.test("options that mean nothing are refused where it is made", async (t) => {
  const { accelerator } = await start()
  const made = (options: object) => acceleratorService({ accelerator, tokens: [token], ...options })
  await t.rejects(made({ pots: 3 }), { code: "STELE-CFG-0001" })
  await t.rejects(made({ operations: ["matmull"] }), { code: "STELE-KRN-0006", message: /"matmull"/ })
  await t.rejects(made({ operations: [] }), { code: "STELE-CFG-0002", message: /from 1 to 16/ })
  await t.rejects(made({ operations: ["add", "sub"], limits: { operationsMax: 1 } }), { code: "STELE-CFG-0002", message: /operationsMax/ })
  await t.rejects(made({ mode: "quick" }), { code: "STELE-KRN-0006", message: /mode "quick"/ })
  await t.rejects(made({ tokens: ["short"] }), { code: "STELE-CFG-0002", message: /"tokens"/ })
  await t.rejects(made({ limits: { pause: 3 } }), { code: "STELE-CFG-0001" })
})

t.test("`stele accel serve` listens at once, takes its token as a password, and ends when it is told to", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "stele-accel-serve-"))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const child = spawn(process.execPath, [...process.execArgv, main, "accel", "serve", "--port", "0", "--operations", "add", "--json"], {
    cwd: root,
    env: { ...process.env, XDG_DATA_HOME: folder, STELE_TOKEN_FILE: "" },
    stdio: ["ignore", "pipe", "pipe"],
  })
  t.teardown(() => child.kill("SIGKILL"))
  const [line] = (await child.stdout.take(1).toArray()) as ReadonlyArray<Buffer>
  const { tokenFile, url } = JSON.parse(String(line)) as { readonly url: string; readonly tokenFile: string }
  const asked = await fetch(url)
  t.equal(asked.status, 401)
  t.match(asked.headers.get("www-authenticate"), /^Basic/)
  const password = Buffer.from(`me:${readFileSync(tokenFile, "utf8").trim()}`).toString("base64")
  const page = await fetch(url, { headers: { authorization: `Basic ${password}`, ...html } })
  t.equal(page.status, 200)
  t.match(await page.text(), "<h1>Devices that compute</h1>")
  const ended = new Promise((done) => child.on("exit", done))
  child.kill("SIGTERM")
  t.equal(await ended, 0)
})
