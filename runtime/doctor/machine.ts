/** What this machine and engine let a host do: stop guests, let them wait, keep them apart, run other engines, build plugins. Nothing is changed. */
import { mkdtemp, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { cacheFolder } from "../../host/platform/server.ts"
import { sandboxReport } from "../../host/platform/isolate/process/sandbox.ts"
import { platform } from "../../host/platform/mod.ts"
import { languageNames } from "../../schemas/manifest/plugin.ts"
import { built, toolchainOf } from "../author/language/mod.ts"
import { findWasmtime } from "../engine/wasmtime.ts"
import { type Diagnosis, fail, ok, option, warn } from "./diagnosis.ts"

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
async function isolation(): Promise<ReadonlyArray<Diagnosis>> {
  const { bubblewrap, descriptors, permissions, prlimit, residentMemory, setpriv } = await sandboxReport()
  const permitted = permissions ? "the engine's permissions" : "no permissions, which this engine does not have"
  return [
    bubblewrap
      ? ok(
          "isolation",
          `processes of plugins run in namespaces of their own (bubblewrap): no network, no capability, nothing but libraries to read; with ${permitted}`,
        )
      : option(
          "isolation",
          setpriv
            ? `processes of plugins run without capabilities (setpriv) and with ${permitted}: no bubblewrap that works`
            : `no bubblewrap and no setpriv that work: processes of plugins have ${permitted}`,
          "run hostile tenants on Linux with bubblewrap, and unprivileged user namespaces allowed: apt-get install bubblewrap",
        ),
    prlimit
      ? ok("isolation limits", "processes of plugins run under prlimit: no core files, 64 descriptors, on Node and Bun no file written")
      : option("isolation limits", "no prlimit that works: processes of plugins have the host's limits", "apt-get install util-linux"),
    descriptors
      ? ok("descriptors", "descriptors that this program was started with are closed before a plugin's process begins")
      : option(
          "descriptors",
          "no shell that can close descriptors: a host that was started with more than three starts no process for a plugin",
          "install bash, or start hosts with their descriptors closed",
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

/** What each language needs that plugins are written in: what a project brings itself is asked of the project. */
async function languages(): Promise<ReadonlyArray<Diagnosis>> {
  return Promise.all(
    built
      .filter((language) => language !== "other")
      .map(async (language) => {
        const about = `plugins in ${languageNames[language]}`
        const needs = await (await toolchainOf(language)).needs(undefined)
        const missing = needs.filter(({ found }) => found === undefined)
        if (missing.length === 0) return ok(about, needs.map(({ found }) => found).join("; "))
        const install = [...new Set(missing.map((need) => need.install))].join("; ")
        if (install.startsWith("npm ")) return ok(about, `the compiler is each project's own: ${install}`)
        return option(about, `not here: ${missing.map(({ what }) => what).join(", ")}`, install)
      }),
  )
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
  [features(), ...(await Promise.all([isolation(), engines(), languages(), gpu(), cache()]))].flat()
