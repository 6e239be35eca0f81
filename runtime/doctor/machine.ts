/** What this machine and engine let a host do: stop guests, let them wait, keep them apart, run other engines, build plugins. Nothing is changed. */
import { execFile } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { cacheFolder } from "../../host/platform/server.ts"
import { sandboxReport } from "../../host/platform/isolate/process/sandbox.ts"
import { platform } from "../../host/platform/mod.ts"
import { findWasmtime } from "../engine/wasmtime.ts"
import { type Diagnosis, fail, ok, option, warn } from "./diagnosis.ts"

/** Longest wait for a program to say its version. */
const programMsMax = 5_000

/** The first line that a program says, or undefined where there is none. */
function said(program: string, args: ReadonlyArray<string>): Promise<string | undefined> {
  return new Promise((resolve) =>
    execFile(program, args, { timeout: programMsMax, windowsHide: true }, (error, stdout, stderr) =>
      resolve(error === null ? (`${stdout}${stderr}`.trim().split("\n")[0] ?? "") : undefined),
    ),
  )
}

function features(): ReadonlyArray<Diagnosis> {
  const wasm = WebAssembly as unknown as { readonly Suspending?: unknown; readonly promising?: unknown }
  const suspends = typeof wasm.Suspending === "function" && typeof wasm.promising === "function"
  return [
    ok(
      "stopping",
      platform.stop === "epoch"
        ? "a guest is stopped by the watchdog's epoch cell: next to no cost"
        : "a guest is stopped by fuel slices, which cost less than an epoch cell on this engine",
    ),
    suspends
      ? ok("waiting", 'guests can be suspended (JSPI): ports may answer later, metering "yield" works')
      : option(
          "waiting",
          'this engine cannot suspend a guest: ports must answer at once, there is no metering "yield"',
          "use Node or Deno where a guest must wait for an asynchronous port",
        ),
  ]
}

/** What a plugin in a process of its own has around it besides the engine's permissions: what the host itself has tried. */
function isolation(): ReadonlyArray<Diagnosis> {
  const { prlimit, residentMemory } = sandboxReport()
  const isNode = process.versions["bun"] === undefined && process.versions["deno"] === undefined
  return [
    prlimit
      ? ok("isolation", "processes of plugins run under prlimit: no core files, no file written, 64 descriptors")
      : option(
          "isolation",
          isNode ? "no prlimit that works: processes of plugins have the engine's permissions alone" : "processes of plugins run under prlimit on Node only",
          isNode ? "run hostile tenants on Linux with util-linux: apt-get install util-linux" : "use Node for hostile tenants",
        ),
    residentMemory
      ? ok("memory control", "the memory of a plugin's process is looked at while it runs (residentBytesMax)")
      : option("memory control", "no procfs: residentBytesMax is not kept here", "run hostile tenants on Linux with /proc mounted"),
  ]
}

async function engines(): Promise<Diagnosis> {
  const wasmtime = await findWasmtime()
  return wasmtime === undefined
    ? option("wasmtime", 'not installed: engine "wasmtime" is refused', "pip install wasmtime, and name that Python in STELE_WASMTIME_PYTHON")
    : ok("wasmtime", `${wasmtime.version}, through ${wasmtime.python}`)
}

/** Compilers that make plugins: what they are asked, and what to do without. */
const toolchains: ReadonlyArray<readonly [name: string, program: string, args: ReadonlyArray<string>, treatment: string]> = [
  ["Rust", "rustc", ["--version"], "install rustup, then rustup target add wasm32-wasip2"],
  ["C", "clang", ["--version"], "apt-get install clang lld wasi-libc"],
  ["Go", "go", ["version"], "install Go 1.24 or later: GOOS=wasip1 GOARCH=wasm go build"],
  ["TinyGo", "tinygo", ["version"], "install TinyGo: tinygo build -target=wasip2"],
  ["Python", "componentize-py", ["--version"], "pip install componentize-py"],
]

async function compilers(): Promise<Diagnosis> {
  const found = await Promise.all(toolchains.map(async ([name, program, args, treatment]) => ({ name, treatment, version: await said(program, args) })))
  const there = found.filter(({ version }) => version !== undefined).map(({ version }) => version)
  const missing = found.filter(({ version }) => version === undefined)
  const text = `${there.join("; ") || "none"}${missing.length > 0 ? `; not here: ${missing.map(({ name }) => name).join(", ")}` : ""}`
  return missing.length === 0 ? ok("toolchains", text) : option("toolchains", text, missing.map(({ name, treatment }) => `${name}: ${treatment}`).join(". "))
}

async function gpu(): Promise<Diagnosis> {
  const api = (globalThis as { readonly navigator?: { readonly gpu?: { requestAdapter(): Promise<unknown> } } }).navigator?.gpu
  if (api === undefined) return option("GPU", "this engine has no WebGPU: everything runs on the processor", "use Deno, which has it")
  const adapter = await api.requestAdapter().catch(() => null)
  return adapter === null
    ? option("GPU", "WebGPU is there, and no adapter: everything runs on the processor", "install the GPU's Vulkan driver")
    : ok("GPU", "WebGPU has an adapter")
}

async function cache(): Promise<Diagnosis> {
  const folder = cacheFolder(process.env)
  if (folder === undefined) return warn("cache", "there is no folder for rewritten modules: each start makes them anew", "set STELE_CACHE to a folder of yours")
  // The folder is made when it is first needed: what counts is whether it can be.
  for (let at = folder; ; at = dirname(at)) {
    try {
      const probe = await mkdtemp(join(at, ".stele-doctor-"))
      await rm(probe, { recursive: true })
      return ok("cache", folder)
    } catch (error) {
      const { code } = error as { readonly code?: string }
      if (code === "ENOENT" && dirname(at) !== at) continue
      return fail("cache", `${folder} cannot be written to (${code ?? "unknown"})`, `make it yours: chown -R "$(id -un)" ${at}, or set STELE_CACHE`)
    }
  }
}

/** The machine, apart from any store. */
export const diagnoseMachine = async (): Promise<ReadonlyArray<Diagnosis>> =>
  [features(), isolation(), ...(await Promise.all([engines(), compilers(), gpu(), cache()]))].flat()
