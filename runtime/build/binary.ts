/**
 * Builds single-file programs for the platform this runs on: `dist/stele` on Node (a single executable application) and
 * `dist/stele-bun` on Bun. Each holds the whole command line, the programs of its threads and the example plugins,
 * stripped; it needs nothing else on the machine.
 *
 *     node runtime/build/binary.ts [node] [bun] [--release URL]
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
const target = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`
const extension = process.platform === "win32" ? ".exe" : ""
const nameOf: Readonly<Record<Engine, string>> = { node: `stele${extension}`, bun: `stele-bun${extension}` }
const entry = "stele:binary"

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

function run(command: string, args: ReadonlyArray<string>): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 64 << 20 })
  if (status !== 0) throw new Error(`Cannot build: "${command} ${args[0] ?? ""}" failed: ${error?.message ?? `${stdout}${stderr}`}`)
  return stdout
}

/** What is carried, by name, whole; `examples/NAME/FILE` and `NAME-worker.js`. */
async function files(staging: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>()
  for (const name of (await readdir(join(dist, "examples"))).sort())
    for (const file of (await readdir(join(dist, "examples", name))).sort()) {
      const bytes = await readFile(join(dist, "examples", name, file))
      found.set(`examples/${name}/${file}`, file.endsWith(".wasm") ? stripped(bytes) : bytes)
    }
  for (const [file, name] of Object.entries(workers)) {
    await bundleInto(staging, { input: { [name]: join(dirname(file), "worker.ts") }, ...bundling }, { entryFileNames: "[name].js", ...oneFile })
    found.set(`${name}.js`, await readFile(join(staging, `${name}.js`)))
  }
  return found
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

async function build(engine: Engine, staging: string, carriedFiles: ReadonlyMap<string, Uint8Array>, sources: string): Promise<string> {
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
  const packed = new Map<string, string>()
  for (const [name, bytes] of carriedFiles) {
    const path = `./${name.replaceAll("/", "_")}.br`
    await writeFile(join(staging, path), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }))
    packed.set(name, path)
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
  const output = join(staging, nameOf[engine])
  if (engine === "bun") {
    run(program, ["build", "--compile", `--outfile=${output}`, join(staging, "bun.mjs")])
  } else {
    const settings = {
      main: join(staging, "node.mjs"),
      mainFormat: "module",
      output,
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      assets: Object.fromEntries([...packed].map(([name, path]) => [name, join(staging, path)])),
    }
    await writeFile(join(staging, "sea.json"), JSON.stringify(settings))
    run(program, [`--build-sea=${join(staging, "sea.json")}`])
    // Whoever changed one byte of a signed program must sign it anew, or macOS ends it.
    if (process.platform === "darwin") run("codesign", ["--sign", "-", "--force", output])
  }
  await chmod(output, 0o755)
  const place = join(dist, nameOf[engine])
  await rename(output, place)
  return place
}

/** What a download server serves. */
async function release(address: string, programs: ReadonlyMap<Engine, string>): Promise<void> {
  const folder = join(dist, "release")
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const sums: Array<string> = []
  for (const [engine, path] of programs) {
    const name = `${engine === "node" ? "stele" : "stele-bun"}-${target}${extension}.gz`
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

const { positionals, values } = parseArgs({ allowPositionals: true, options: { release: { type: "string" } } })
const wanted = positionals.length === 0 ? (["node", "bun"] as const) : positionals
if (!wanted.every((name): name is Engine => name === "node" || name === "bun")) {
  console.error("Cannot build: the engines are node and bun")
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
  const programs = new Map<Engine, string>()
  for (const engine of wanted) {
    const path = await build(engine, staging, carriedFiles, sources)
    programs.set(engine, path)
    const { size } = await stat(path)
    console.error(`Built ${relative(root, path)}: ${(size / 1e6).toFixed(1)} MB, ${run(path, ["build-info"]).trim().split("\n")[0] ?? ""}`)
  }
  if (values.release !== undefined) await release(values.release, programs)
} finally {
  await rm(staging, { recursive: true, force: true })
}
