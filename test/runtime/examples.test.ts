/** The applications of `runtime/examples`, each on its platform, with the package found where an installation has it. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { extname, join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"
import { build } from "rolldown"
import t from "tap"
import { bin } from "../host/engine.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = await mkdtemp(join(tmpdir(), "stele-applications-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await cp(join(root, "runtime/examples"), folder, { recursive: true })
await mkdir(join(folder, "node_modules"))
await symlink(root, join(folder, "node_modules/stele"))
await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module", dependencies: { stele: "*" } }))

t.test("each application is at most 100 lines", async (t) => {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".ts"))
  t.same(names.toSorted(), ["browser.ts", "bun.ts", "deno.ts", "node.ts"])
  for (const name of names) t.ok((await readFile(join(folder, name), "utf8")).split("\n").length <= 100, name)
})

const servers = [
  ["node", []],
  ["deno", ["run", "--no-prompt", "--quiet", "--no-lock", "--node-modules-dir=manual", "--allow-read", "--allow-env", "--allow-sys", "--allow-net=127.0.0.1"]],
  ["bun", []],
] as const
for (const [name, flags] of servers)
  t.test(`${name}.ts answers with what the plugin says, refuses what it refuses, and ends when it is told`, async (t) => {
    const child: ChildProcess = spawn(bin(name), [...flags, `${name}.ts`, "0"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
    const ended = once(child, "exit")
    t.teardown(() => child.kill("SIGKILL"))
    let said = ""
    child.stderr?.on("data", (text: Buffer) => (said += text.toString()))
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    const url = await Promise.race([once(lines, "line").then(([line]) => line as string), ended.then(() => Promise.reject(new Error(said)))])
    const ask = async (body: string): Promise<readonly [number, unknown]> => {
      const response = await fetch(url, { method: "POST", body, headers: { connection: "close" } })
      return [response.status, await response.json()]
    }
    t.match(await ask('{"name":"Ada"}'), [200, { message: "Hello, Ada!" }])
    t.match(await ask('{"name":""}'), [422, { code: "STELE-PLG-0001" }])
    t.match(await ask('{"names":1}'), [/^4/, { code: /^STELE-WIT-/ }])
    t.match(await ask("{"), [400, { message: /JSON/ }])
    t.match(await ask('{"name":"Grace"}'), [200, { message: "Hello, Grace!" }], "it goes on")
    child.kill("SIGTERM")
    const [code] = (await ended) as [number | null]
    t.equal(code, 0, said)
  })

const browsers = [process.env["STELE_CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
const browserPath = browsers.find((path) => path !== undefined && existsSync(path))
t.test("browser.ts runs the plugin in the page", { skip: browserPath === undefined ? "Chromium is not installed" : false }, async (t) => {
  const out = join(folder, "page")
  await build({ cwd: folder, input: { page: join(folder, "browser.ts") }, platform: "browser", output: { dir: out, format: "esm" }, logLevel: "silent" })
  await cp(join(root, "dist/examples/greeter/greeter.wasm"), join(out, "greeter.wasm"))
  const page =
    '<!doctype html><title>Greeter</title><form><input name="name"><button>Greet</button></form><output></output><script type="module" src="page.js"></script>'
  const types: Readonly<Record<string, string>> = { ".js": "text/javascript", ".wasm": "application/wasm" }
  const server = createServer((request, response) => {
    const path = request.url ?? "/"
    if (path === "/") return void response.writeHead(200, { "content-type": "text/html" }).end(page)
    const type = types[extname(path)]
    if (type === undefined || !/^\/[\w./-]+$/.test(path) || path.includes("..")) return void response.writeHead(404).end()
    readFile(join(out, path)).then(
      (bytes) => response.writeHead(200, { "content-type": type }).end(bytes),
      () => response.writeHead(404).end(),
    )
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  t.teardown(() => server.close())
  const browser = await chromium.launch({
    executablePath: browserPath as string,
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  })
  t.teardown(() => browser.close())
  const tab = await browser.newPage()
  const errors: Array<string> = []
  tab.on("pageerror", (error) => errors.push(error.message))
  await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  const says = (text: string): Promise<unknown> => tab.locator("output", { hasText: text }).waitFor({ timeout: 20_000 })
  await says("Ready")
  await tab.fill("input", "Ada")
  await tab.click("button")
  await says("Hello, Ada!")
  await tab.fill("input", "")
  await tab.click("button")
  await says("STELE-PLG-0001")
  t.same(errors, [])
})
