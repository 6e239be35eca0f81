/**
 * What a page loads of Stele to open a host, load an inline component and call it under a deadline, in gzipped bytes. Nobody says which
 * modules those are: the bundle runs, and every chunk that is evaluated counts.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { gzipSync } from "node:zlib"
import { type OutputOptions, rolldown } from "rolldown"
import { watchdogSource } from "../../host/call/watchdog-thread.ts"
import { browserWatchdog } from "../../host/platform/browser.ts"
import { component, coreWat } from "./guest/echo.ts"

const root = join(import.meta.dirname, "../..")

export interface PageSize {
  /** In one piece: how a bundler cuts what is loaded together anyway is the application's choice. */
  readonly gzippedBytes: number
  /** Of the sources, relative to the repository. */
  readonly modules: ReadonlyArray<string>
}

/** Is a page cross-origin isolated, it has the watchdog, and a thread's program is loaded besides; else guests stop by fuel slices. */
export interface Page {
  readonly isIsolated: boolean
  /** Modules that do not count are left outside. */
  readonly keep?: (path: string) => boolean
}

async function bundle(entry: string, keep: (path: string) => boolean, options: OutputOptions) {
  const built = await rolldown({
    cwd: root,
    input: { entry },
    platform: "browser",
    external: (id, _importer, isResolved) => isResolved && id.startsWith(root) && !keep(id),
    plugins: [
      {
        name: "browser-platform",
        async resolveId(specifier, importer) {
          if (importer === undefined || !specifier.endsWith("platform/mod.ts")) return null
          return join(root, "host/platform/browser.ts")
        },
      },
    ],
    logLevel: "silent",
  })
  const { output } = await built.generate({ format: "esm", ...options })
  await built.close()
  return output.filter((chunk) => "code" in chunk)
}

/** Runs the page's work and answers with the modules of every chunk that was evaluated. */
async function evaluated(entry: string, isIsolated: boolean): Promise<ReadonlySet<string>> {
  const folder = mkdtempSync(join(tmpdir(), "stele-page-"))
  try {
    const intro = ({ fileName }: { readonly fileName: string }) => `(globalThis.evaluated ??= []).push(${JSON.stringify(fileName)});`
    const chunks = await bundle(entry, () => true, { intro, entryFileNames: "[name].mjs", chunkFileNames: "[name]-[hash].mjs" })
    for (const { fileName, code } of chunks) writeFileSync(join(folder, fileName), code.replaceAll("[hash]", ""))
    writeFileSync(join(folder, "echo.wasm"), await component(coreWat.replace("salt0000", "x".repeat(4_096))))
    writeFileSync(
      join(folder, "page.mjs"),
      `import { readFileSync } from "node:fs"
const bytes = readFileSync(${JSON.stringify(join(folder, "echo.wasm"))})
// What a page has and what it has not; its thread never says that it is ready.
globalThis.crossOriginIsolated = ${isIsolated}
if (!crossOriginIsolated) delete globalThis.SharedArrayBuffer
globalThis.Worker = class { postMessage() {} terminate() {} }
const write = process.stdout.write.bind(process.stdout)
const exit = process.exit
delete globalThis.process
const { Host } = await import(${JSON.stringify(pathToFileURL(join(folder, "entry.mjs")).href)})
const host = await Host.open()
const plugin = await host.load(new Uint8Array(bytes), { imports: { "stele:bench/host": { note: () => undefined, size: () => 0 } } })
if ((await plugin.call("stele:bench/api#echo", ["page"])) !== "page") throw new Error("The page's call has another answer")
write(JSON.stringify(evaluated), () => exit(0))`,
    )
    const names = new Set(JSON.parse(execFileSync(process.execPath, [join(folder, "page.mjs")], { encoding: "utf8" })) as ReadonlyArray<string>)
    return new Set(chunks.flatMap(({ fileName, moduleIds }) => (names.has(fileName) ? moduleIds : [])))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export async function pageSize(entry: string, { isIsolated, keep = () => true }: Page): Promise<PageSize> {
  const modules = await evaluated(entry, isIsolated)
  const chunks = await bundle(entry, keep, { minify: true, codeSplitting: { groups: [{ name: "loaded", test: (id) => modules.has(id) }] } })
  const counted = chunks.filter(({ isEntry, moduleIds }) => isEntry || moduleIds.some((id) => modules.has(id)))
  const program = isIsolated ? [browserWatchdog(watchdogSource)] : []
  return {
    gzippedBytes: gzipSync([...counted.map(({ code }) => code), ...program].join("\n"), { level: 9 }).length,
    modules: [...modules].filter(keep).map((id) => id.slice(root.length + 1)),
  }
}
