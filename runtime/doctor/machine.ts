/** What this machine and engine let a host do: stop guests, let them wait, keep them apart, run other engines, build plugins. Nothing is changed. */
import { execFile } from "node:child_process"
import { constants } from "node:fs"
import { access, mkdtemp, rm, stat } from "node:fs/promises"
import { delimiter, dirname, join } from "node:path"
import { cacheFolder } from "../../host/platform/server.ts"
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

async function isOnPath(name: string): Promise<boolean> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter))
    if (
      folder !== "" &&
      (await access(join(folder, name), constants.X_OK).then(
        () => true,
        () => false,
      ))
    )
      return true
  return false
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

async function isolation(): Promise<ReadonlyArray<Diagnosis>> {
  const found: Array<Diagnosis> = []
  if (process.platform !== "linux")
    return [option("isolation", `the memory of processes is polled on ${process.platform}`, "run hostile tenants on Linux, or in virtual machines")]
  const helpers = (await Promise.all(["bwrap", "prlimit", "systemd-run"].map(async (name) => ((await isOnPath(name)) ? name : "")))).filter(Boolean)
  found.push(
    helpers.includes("bwrap")
      ? ok("isolation", `bubblewrap is installed (${helpers.join(", ")})`)
      : option(
          "isolation",
          helpers.length > 0 ? `no bubblewrap; there is ${helpers.join(", ")}` : "no bubblewrap",
          "apt-get install bubblewrap, for a second wall around what runs in a service's processes",
        ),
  )
  const cgroup = await stat("/sys/fs/cgroup/cgroup.controllers").then(
    () => true,
    () => false,
  )
  found.push(
    cgroup
      ? ok("memory control", "cgroup v2")
      : option(
          "memory control",
          "no cgroup v2: memory of processes is polled",
          "boot with systemd.unified_cgroup_hierarchy=1 to have the kernel hold a service's memory",
        ),
  )
  return found
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
  [features(), ...(await Promise.all([isolation(), engines(), compilers(), gpu(), cache()]))].flat()
