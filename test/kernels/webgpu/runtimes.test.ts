/** The same WGSL by other engines: naga in Deno, dawn in Bun and in Chromium. */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { chromium } from "playwright-core"
import { build } from "rolldown"
import t, { type Test } from "tap"
import { operations } from "../../../kernels/accelerate/operation.ts"
import type { Absent } from "../../../kernels/accelerate/device.ts"
import { bin } from "../../host/engine.ts"
import { isFull } from "../../seed.ts"
import type { Outcome } from "./outcome.ts"

t.setTimeout(300_000)

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

function judge(t: Test, { description, differences, passed }: Outcome): void {
  t.same(differences, {}, description)
  t.same(passed, expected)
}

/** Software compiles what has much of a workgroup's memory in seconds, Deno in half a minute: a short run has the others. */
const names = isFull ? [] : ["add", "gelu", "erf", "sum", "softmax"]
const expected = [...operations.keys()].filter((name) => names.length === 0 || names.includes(name))
const programs = [
  ["Deno", bin("deno"), ["run", "--quiet", "--allow-all", "--no-lock", "--no-config"]],
  ["Bun", bin("bun"), []],
] as const

for (const [name, command, args] of programs)
  t.test(name, { skip: existsSync(command) ? false : `${name} has no package for this platform` }, async (t) => {
    const { stdout } = await promisify(execFile)(command, [...args, here("program.ts"), import.meta.resolve("webgpu"), ...names], {
      env: { ...process.env, EGL_PLATFORM: "surfaceless" },
      timeout: 250_000,
    })
    const outcome = JSON.parse(stdout) as Outcome | Absent
    if ("state" in outcome) t.pass(`no adapter: ${outcome.reason}`, { skip: true })
    else judge(t, outcome)
  })

const browserPath = [process.env["STELE_CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => path !== undefined && existsSync(path),
)

t.test("Chromium", { skip: browserPath === undefined ? "Chromium is not installed" : false }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-webgpu-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await build({ input: here("page.ts"), platform: "browser", output: { file: join(folder, "page.js"), format: "iife" }, logLevel: "silent" })
  const server = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Stele</title>"))
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const browser = await chromium.launch({
    executablePath: browserPath as string,
    args: ["--no-sandbox", "--no-first-run", "--disable-background-networking", "--headless=new", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
  })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await page.addScriptTag({ path: join(folder, "page.js") })
    const outcome = await page.evaluate((given) => globalThis.outcomeHere(given), names)
    if (typeof outcome === "string") t.pass(outcome, { skip: true })
    else judge(t, outcome)
  } finally {
    await browser.close()
    server.close()
  }
})
