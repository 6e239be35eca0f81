/**
 * Builds what is published into `dist/`:
 * - `mod.js effect.js host.js schemas.js http.js client.js billing.js kernels.js accel.js` and the chunks they share, so that a class is the same one whichever entry
 *   it came from; `effect` stays an import, because its services must be the application's;
 * - `platform/browser-watchdog.js`, a thread's program for pages whose policy allows files of the site only;
 * - `platform/*.js`, chosen by the conditions of `#platform` in `dist/package.json` (the nearest `package.json` decides
 *   what `#…` means), so that a browser bundle holds no server code and the other way round;
 * - `…-worker.js`, the threads that write stores;
 * - `cli-main.js`, one file with the whole command line in it, because it is started often and imports cost time, and
 *   `cli.js`, which starts it with the engine's code cache on;
 * - `types/`, the declarations of all rooms;
 * - `templates/`, what `stele new` copies, and `sdk/`, what builds copy into projects;
 * - `fpga/`, the Verilog that simulators are built of;
 * - `examples/`, by `examples.ts`, and `plugins/`, by `plugins.ts`.
 *
 *     node runtime/build/build.ts [--if-stale]
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { chmod, cp, glob, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { gzipSync } from "node:zlib"
import { type InputOptions, type OutputOptions, type Plugin, rolldown } from "rolldown"
import { watchdogSource } from "../../host/call/watchdog-thread.ts"
import { browserWatchdog } from "../../host/platform/browser.ts"
import { bundleInto, minify, placeWorkers, root, workers } from "./bundle.ts"

const dist = join(root, "dist")
/** Built here and moved into place at the end: a reader never sees half a build. */
const staging = join(root, `dist.${process.pid}`)
const platforms = ["node", "deno", "bun", "browser"] as const

const entries = {
  mod: "runtime/mod.ts",
  effect: "host/effect.ts",
  host: "host/mod.ts",
  schemas: "schemas/mod.ts",
  http: "runtime/http/mod.ts",
  client: "runtime/http/client.ts",
  billing: "runtime/billing/mod.ts",
  kernels: "kernels/mod.ts",
  accel: "runtime/accel/mod.ts",
} as const
const cli = "runtime/cli"

/** Every source file a build depends on, and the settings it is built with. */
async function fingerprint(): Promise<string> {
  const hash = createHash("sha256")
  const files = await Array.fromAsync(glob("{schemas,kernels,host,runtime}/**/*.{ts,json}", { cwd: root, exclude: (path) => path.endsWith(".as.ts") }))
  const templates = (await readdir(join(root, "plugins/templates"), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
  const copied = [...templates, ...(await Array.fromAsync(glob([sdkSources, `${verilog}/*`], { cwd: root })))]
  for (const file of [...files, ...copied, "package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"].sort()) {
    hash
      .update(file)
      .update("\0")
      .update(await readFile(join(root, file)))
      .update("\0")
  }
  return hash.digest("hex")
}

/** In the library the platform is chosen by package conditions, not by `host/platform/mod.ts` at run time. */
const platformByCondition: Plugin = {
  name: "platform-by-condition",
  async resolveId(specifier, importer) {
    if (importer === undefined || !specifier.endsWith("mod.ts")) return null
    const resolved = await this.resolve(specifier, importer, { skipSelf: true })
    return resolved?.id === join(root, "host/platform/mod.ts") ? { id: "#platform", external: true } : null
  },
}

/**
 * Threads whose file has everything in it that they need, and nothing else: started from the library's chunks the writer of a SQLite file loaded
 * the host, too, which was half of the time and memory of its start. Errors cross as data, so nothing asks for classes of the library.
 */
const alone: ReadonlySet<string> = new Set(["sqlite-worker", "folder-worker", "tenants-worker", "network-worker", "isolate-worker", "isolate-process"])

/** Programs that import nothing and are also run from their text (`host/platform/isolate/process/code.ts`). */
const scripts: ReadonlySet<string> = new Set(["isolate-process"])

/** Where the files of threads lie, as seen from the bundle that starts them. */
const workersIn = (folder: string): Plugin => placeWorkers((name) => `new URL(${JSON.stringify(`${folder}/${name}.js`)}, import.meta.url)`)

/** `effect`, its PostgreSQL client and hono are the only dependencies; whatever else is not part of the platform would be missing after installation. */
const isExternal = (id: string) => /^(node:|bun(:|$)|(effect|@effect\/sql-pg|hono|@hono\/node-server)($|\/))/.test(id)

const bundle = (input: InputOptions, output: OutputOptions): Promise<void> => bundleInto(staging, input, output)

const workerInput = (isAlone: boolean): Record<string, string> =>
  Object.fromEntries(Object.entries(workers).flatMap(([file, name]) => (alone.has(name) === isAlone ? [[name, join(dirname(file), "worker.ts")]] : [])))

/** Modules that `stele` and `stele/host` load before anything is asked of them. */
async function loadedAtOnce(): Promise<ReadonlySet<string>> {
  const imports = new Map<string, ReadonlyArray<string>>()
  const graph: Plugin = { name: "graph", moduleParsed: ({ id, importedIds }) => void imports.set(id, importedIds) }
  const input = [entries.mod, entries.host].map((path) => join(root, path))
  const built = await rolldown({ cwd: root, input, platform: "neutral", external: isExternal, plugins: [platformByCondition, graph] })
  await built.generate()
  await built.close()
  const early = new Set(input)
  // A set goes on over what is added to it.
  for (const id of early) for (const imported of imports.get(id) ?? []) early.add(imported)
  for (const id of input) early.delete(id)
  return early
}

async function bundleLibrary(): Promise<void> {
  const atOnce = await loadedAtOnce()
  const input = {
    ...entries,
    ...workerInput(false),
    ...Object.fromEntries(platforms.map((name) => [`platform/${name}`, `host/platform/${name}.ts`])),
  }
  await bundle(
    {
      input,
      external: isExternal,
      plugins: [platformByCondition, workersIn("..")],
      // Families of errors are known once they are defined; everything else that nobody uses may go, instead of being loaded for the order's sake.
      treeshake: { moduleSideEffects: (id) => id.includes("/schemas/error/") },
    },
    {
      entryFileNames: "[name].js",
      chunkFileNames: "chunk/[name]-[hash].js",
      comments: false,
      minify,
      codeSplitting: {
        groups: [
          // One file for what is loaded at once, since each costs the start-up 0.5 ms, and another for what every server needs and no page ever.
          { name: "stele", test: (id) => atOnce.has(id), priority: 3 },
          {
            name: "server",
            test: /[/]host[/](platform[/](server|cache-folder|isolate[/]load)|call[/]watchdog(-thread)?|meter[/](cache|digests|sealed))[.]/,
            priority: 2,
          },
          // What several of the parts share that are loaded when they are needed; what only the rewriter or a service needs is loaded with it.
          {
            name: "late",
            test: /[/](host|schemas)[/](?!platform[/](?!read)|effect|.*layer|.*effect-schema|meter[/](rewrite|body|call-graph|injected|writer|op|flag)[.]|harden[/](opcodes|immediate|float)[.]|error[/](http|network|pool)[.]|wit[/]graph[.])/,
            minShareCount: 2,
          },
          // What a store is opened with, for the same reason: it was 22 files. Nothing of it is loaded for a host in memory.
          {
            name: "storage",
            test: /[/]runtime[/](port|service|storage)[/](?!storage[.]|default[.]|disk[.]|bridge[.]|archive[/]|move[/](?!journal)|pglite[/]|postgres[/]|s3[/]|sealed[/](?!refuse|place))/,
          },
        ],
      },
    },
  )
  await writeFile(join(staging, "platform/browser-watchdog.js"), `${browserWatchdog(watchdogSource)}\n`)
  const conditions = Object.fromEntries([
    ...["deno", "bun", "browser", "node"].map((name) => [name, `./platform/${name}.js`]),
    ["default", "./platform/browser.js"],
  ])
  await writeFile(join(staging, "package.json"), `${JSON.stringify({ type: "module", imports: { "#platform": conditions } }, null, 2)}\n`)
}

async function bundleWorkers(): Promise<void> {
  for (const [name, file] of Object.entries(workerInput(true)))
    await bundle(
      { input: { [name]: file }, external: isExternal },
      { entryFileNames: "[name].js", codeSplitting: false, comments: false, ...(scripts.has(name) ? { format: "iife", minify: true } : { minify }) },
    )
}

async function bundleCli(): Promise<void> {
  const options = { resolve: { conditionNames: ["node", "import", "default"] } }
  const isExternal = (id: string) => /^(node:|bun(:|$))/.test(id)
  await bundle(
    { input: { "cli-main": `${cli}/main.ts` }, external: isExternal, plugins: [workersIn(".")], ...options },
    { entryFileNames: "[name].js", codeSplitting: false, minify: true, comments: false },
  )
  await bundle(
    { input: { cli: `${cli}/launch.ts` }, external: (id) => isExternal(id) || id.endsWith("main.ts"), ...options },
    { entryFileNames: "[name].js", codeSplitting: false, minify: true, comments: false, banner: "#!/usr/bin/env node" },
  )
  const path = join(staging, "cli.js")
  const launcher = (await readFile(path, "utf8")).replace(/(["'`])[^"'`]*main\.ts\1/, '"./cli-main.js"')
  if (!launcher.includes("./cli-main.js")) throw new Error("Cannot bundle the command line: its launcher does not start it")
  await writeFile(path, launcher)
  await chmod(path, 0o755)
}

/** A program of `node_modules/.bin`, run on this Node. */
function declarations(): void {
  const compiler = join(root, "node_modules/typescript/bin/tsc")
  const { status, stdout } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json", "--outDir", join(staging, "types")], {
    cwd: root,
    encoding: "utf8",
  })
  if (status !== 0) throw new Error(`Cannot emit declarations:\n${stdout}`)
}

/** Moves the new build into place; what is not in it, except plugins and examples, goes. */
async function publish(): Promise<void> {
  await mkdir(dist, { recursive: true })
  const fresh = new Set(await readdir(staging))
  for (const name of fresh) {
    await rm(join(dist, name), { recursive: true, force: true })
    await rename(join(staging, name), join(dist, name))
  }
  // Made by `examples.ts`, `plugins.ts` and `binary.ts`.
  const others = ["examples", "plugins", "release"]
  for (const name of await readdir(dist)) {
    if (!fresh.has(name) && !others.includes(name) && !/^stele(-|[.]exe$|$)/.test(name)) await rm(join(dist, name), { recursive: true, force: true })
  }
}

/** The templates as they are; npm leaves `.gitignore` out of packages, so theirs has no dot. */
const templates = (): Promise<void> => cp(join(root, "plugins/templates"), join(staging, "templates"), { recursive: true })

/** The FPGA's design and what drives it in a simulator, as they are. */
const verilog = "runtime/accel/fpga/rtl"

/** What builds copy into projects; the SDK's WIT stays here, since a project has its own. */
const sdkSources = "plugins/sdk/{*.as.ts,typescript/*.ts}"

async function sdk(): Promise<void> {
  for await (const path of glob(sdkSources, { cwd: root })) {
    const to = join(staging, relative("plugins", path))
    await mkdir(dirname(to), { recursive: true })
    await cp(join(root, path), to)
  }
}

async function sizes(): Promise<void> {
  const files = await Array.fromAsync(glob("{*.js,chunk/*.js,platform/*.js}", { cwd: dist }))
  for (const file of files.sort()) {
    const bytes = await readFile(join(dist, file))
    console.error(`dist/${file}: ${(bytes.length / 1024).toFixed(1)} KiB, ${(gzipSync(bytes).length / 1024).toFixed(1)} KiB gzipped`)
  }
}

async function main(): Promise<void> {
  const isAsked = process.argv.includes("--if-stale")
  const stamp = await fingerprint()
  const stampPath = join(dist, "inputs.sha256")
  if (isAsked && (await readFile(stampPath, "utf8").catch(() => "")) === stamp) return
  const missing = Object.values(entries).filter((path) => !existsSync(join(root, path)))
  if (missing.length > 0) throw new Error(`Cannot build: there is no ${missing.join(", ")}`)
  console.error("Building dist")
  try {
    await mkdir(staging, { recursive: true })
    await Promise.all([bundleLibrary(), bundleWorkers(), bundleCli()])
    declarations()
    await templates()
    await sdk()
    await cp(join(root, verilog), join(staging, "fpga"), { recursive: true })
    await writeFile(join(staging, "inputs.sha256"), stamp)
    await publish()
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  if (!isAsked) await sizes()
}

await main()
