/**
 * The same smoke of embedding, the same bills to the last digit and the same bits of kernels, on every platform that is supported: Node 24 and 26, Deno, Bun, and a browser under a
 * strict policy, with and without cross-origin isolation. `npm run test:runtimes` @long
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { json } from "node:stream/consumers"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { chromium } from "playwright-core"
import { build } from "rolldown"
import t, { type Test } from "tap"
import { bin } from "../host/engine.ts"
import type { Smoke } from "./smoke.ts"

t.setTimeout(300_000)

const root = fileURLToPath(new URL("../..", import.meta.url))
const dist = join(root, "dist")
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))

const linesOf = async (name: string): Promise<ReadonlyArray<string>> => (await readFile(here(name), "utf8")).trimEnd().split("\n")
const expected = await linesOf("smoke.txt")
/** What bills come to: where this changes, invoices do. */
const expectedBills = await linesOf("bills.txt")
/** What numbers come to: where this changes, so does what others have computed. */
const expectedKernels = await linesOf("kernels.txt")

/** What a platform answers. */
type Outcome = Smoke & { readonly bills: ReadonlyArray<string>; readonly kernels: ReadonlyArray<string> }

const node24 = join(root, "test/node_modules/node-24/bin/node")
const programs: ReadonlyArray<readonly [title: string, command: string, args: ReadonlyArray<string>, stop: string]> = [
  ["Node 24", node24, ["--disable-warning=ExperimentalWarning"], "epoch"],
  ["Node 26", bin("node"), [], "epoch"],
  ["Deno", bin("deno"), ["run", "--quiet", "--allow-read", "--allow-env", "--allow-sys", "--no-lock"], "epoch"],
  ["Bun", bin("bun"), [], "fuel slices"],
]

/** Beyond a deadline: HOST.md's bound for the worst, with room for a machine that does other things. */
const lateMsMax = 500

function judge(t: Test, { lines, lateMs, stop, bills, kernels }: Outcome, mechanism: string): void {
  t.same(lines, expected)
  t.same(bills, expectedBills)
  t.same(kernels, expectedKernels)
  t.equal(stop, mechanism)
  t.ok(lateMs >= 0 && lateMs < lateMsMax, `stopped ${lateMs.toFixed(1)} ms after its deadline`)
}

for (const [title, command, args, stop] of programs) {
  void t.test(title, { skip: existsSync(command) ? false : `${title} has no package for this platform` }, async (t) => {
    const { stdout } = await promisify(execFile)(command, [...args, here("program.ts"), dist], { timeout: 60_000 })
    judge(t, JSON.parse(stdout) as Outcome, stop)
  })
}

/** What the page sends. */
type Report = Outcome & { readonly error?: string; readonly isIsolated?: boolean }

// ── A browser ─────────────────────────────────────────────────────────────────

const browsers = [process.env["STELE_CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
const browserPath = browsers.find((path) => path !== undefined && existsSync(path))

void t.test("Chromium", { skip: browserPath === undefined ? "Chromium is not installed" : false }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-page-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  // The host alone, and the whole of the package.
  for (const entry of ["host", "mod"])
    await build({
      input: { [`page-${entry}`]: here("page.ts") },
      plugins: [
        {
          name: "installed",
          resolveId: (id) => (id.endsWith("/host/mod.ts") ? join(dist, `${entry}.js`) : id.endsWith("/kernels/mod.ts") ? join(dist, "kernels.js") : null),
        },
      ],
      resolve: { conditionNames: ["browser", "import", "default"] },
      platform: "browser",
      output: { dir: folder, format: "esm" },
      // That what only servers load names modules of Node.
      logLevel: "silent",
    })
  /** By address; `browser-watchdog.js` lies beside the bundle, as a bundler that knows `new URL(…, import.meta.url)` leaves it. */
  const files: Readonly<Record<string, readonly [type: string, path: string]>> = {
    "/browser-watchdog.js": ["text/javascript", join(dist, "platform/browser-watchdog.js")],
    "/greeter.wasm": ["application/wasm", join(dist, "examples/greeter/greeter.wasm")],
    "/billing.wasm": ["application/wasm", join(dist, "plugins/billing.wasm")],
    "/spinner.wasm": ["application/wasm", join(dist, "examples/spinner/spinner.wasm")],
  }

  for (const isIsolated of [true, false]) {
    const violations: Array<string> = []
    const headers: Record<string, string> = {
      "content-security-policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'",
      ...(isIsolated ? { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" } : {}),
    }
    let report: (outcome: Report) => void
    const reported = new Promise<Report>((resolve) => (report = resolve))
    const server = createServer((request, response) => {
      if (request.method === "POST" && request.url === "/outcome") {
        void json(request).then((outcome) => report(outcome as Report))
        response.writeHead(204, headers).end()
        return
      }
      const bundled = /^\/[\w.-]+\.js$/.test(request.url ?? "") ? join(folder, request.url as string) : ""
      const file = files[request.url ?? ""] ?? (existsSync(bundled) ? (["text/javascript", bundled] as const) : undefined)
      if (request.url === "/")
        response
          .writeHead(200, { ...headers, "content-type": "text/html" })
          .end(`<!doctype html><title>Stele</title><script type="module" src="/page-${isIsolated ? "host" : "mod"}.js"></script>`)
      else if (request.url === "/favicon.ico") response.writeHead(204, headers).end()
      else if (file === undefined) response.writeHead(404, headers).end()
      else void readFile(file[1]).then((bytes) => response.writeHead(200, { ...headers, "content-type": file[0] }).end(bytes))
    })
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
    const browser = await chromium.launch({
      executablePath: browserPath as string,
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    })
    try {
      await t.test(isIsolated ? "isolated: stopped by the watchdog" : "not isolated: stopped by fuel slices", async (t) => {
        const page = await browser.newPage()
        page.on("pageerror", (error) => violations.push(error.message))
        page.on("console", (message) => {
          if (message.type() === "error") violations.push(message.text())
        })
        await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
        const outcome = await Promise.race([
          reported,
          new Promise<Report>((_, reject) => setTimeout(() => reject(new Error(`nothing came from the page: ${violations.join("; ")}`)), 60_000).unref()),
        ])
        t.equal(outcome.error, undefined)
        t.equal(outcome.isIsolated, isIsolated)
        judge(t, outcome, isIsolated ? "epoch" : "fuel slices")
        t.same(violations, [], "nothing broke the page's policy")
      })
    } finally {
      await browser.close()
      server.close()
    }
  }
})
