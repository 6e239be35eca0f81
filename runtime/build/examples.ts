/**
 * Builds the example plugins: `plugins/examples/NAME/build/NAME.wasm`, and a copy with everything a demonstration
 * needs in `dist/examples/NAME/`, which the package ships. A plugin whose inputs have not changed is left alone.
 *
 *     node runtime/build/examples.ts [NAME…]
 */
import { createHash } from "node:crypto"
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { assemblyScriptComponent, mergeWit, quickJsComponent, type Source } from "./component.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const examplesDir = join(root, "plugins/examples")
const distDir = join(root, "dist/examples")

/** `example.json`: how a plugin is built, and what `npm start` does with it. */
interface Example {
  readonly name: string
  readonly summary: string
  readonly language: "AssemblyScript" | "TypeScript"
  readonly source: string
  /** The plugin's own WIT first, then the packages that it uses. */
  readonly wit: ReadonlyArray<string>
  readonly world: string
  /** AssemblyScript only: its export names → names of the component model. */
  readonly exports?: Readonly<Record<string, string>>
  readonly grants: ReadonlyArray<string>
  readonly call: { readonly export: string; readonly args: ReadonlyArray<unknown>; readonly deadlineMs?: number }
  readonly shows: "result" | "denied" | "stopped"
}

const sha256 = (parts: Iterable<string | Uint8Array>) => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part).update("\0")
  return hash.digest("hex")
}

/** Files that decide a component's bytes: the example, the SDK, the build's own code and the tools' versions. */
async function fingerprint(folder: string): Promise<string> {
  const folders = [folder, join(root, "plugins/sdk"), join(root, "plugins/sdk/wit")]
  const listed = await Promise.all(
    folders.map(async (parent) => (await readdir(parent, { withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => join(parent, entry.name))),
  )
  const require = createRequire(import.meta.url)
  const files = [...listed.flat().sort(), join(root, "asconfig.json"), join(root, "runtime/build/component.ts"), fileURLToPath(import.meta.url)]
  const parts: Array<string | Uint8Array> = []
  for (const file of files) parts.push(file.slice(root.length), await readFile(file))
  for (const tool of ["assemblyscript", "componentize-qjs", "@bytecodealliance/jco-transpile"]) {
    const manifest = require.resolve.paths(tool)?.map((parent) => join(parent, tool, "package.json")) ?? []
    parts.push(tool, (JSON.parse(await firstOf(manifest)) as { version: string }).version)
  }
  return sha256(parts)
}

/** The text of the first file that exists; packages that do not export their `package.json` are found this way. */
async function firstOf(paths: ReadonlyArray<string>): Promise<string> {
  for (const path of paths) {
    const text = await readFile(path, "utf8").catch(() => undefined)
    if (text !== undefined) return text
  }
  throw new Error(`Cannot read any of ${paths.join(", ")}`)
}

const textOf = (path: string) => readFile(path, "utf8").catch(() => undefined)

/** Written whole and then renamed: a reader in another process sees the old file or the new one, never a part. */
async function writeWhole(path: string, contents: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}`
  await writeFile(temporary, contents)
  await rename(temporary, path)
}

async function build(folder: string, example: Example): Promise<boolean> {
  const buildDir = join(folder, "build")
  const stampPath = join(buildDir, "inputs.sha256")
  const wasmPath = join(buildDir, `${example.name}.wasm`)
  const stamp = await fingerprint(folder)
  const isFresh = (await textOf(stampPath)) === stamp && (await readFile(wasmPath).catch(() => undefined)) !== undefined
  if (!isFresh) {
    await mkdir(buildDir, { recursive: true })
    const witPath = join(buildDir, `${example.name}.wit`)
    await writeWhole(witPath, await mergeWit(example.wit.map((file) => resolve(folder, file))))
    const source: Source = { path: join(folder, example.source), witPath, world: example.world }
    const bytes = example.language === "AssemblyScript" ? await assemblyScriptComponent(source, example.exports ?? {}) : await quickJsComponent(source)
    await writeWhole(wasmPath, bytes)
    await writeWhole(stampPath, stamp)
    console.error(`Built ${folder.slice(root.length)}/build/${example.name}.wasm: ${bytes.length} bytes`)
  }
  return !isFresh
}

/** `dist/examples/NAME`: the component, its WIT, its input files, and an `example.json` that names the component. */
async function publish(folder: string, example: Example): Promise<void> {
  const target = join(distDir, example.name)
  await rm(target, { recursive: true, force: true })
  await mkdir(target, { recursive: true })
  for (const extension of ["wasm", "wit"]) {
    await copyFile(join(folder, "build", `${example.name}.${extension}`), join(target, `${example.name}.${extension}`))
  }
  for (const arg of example.call.args) {
    const file = inputOf(arg)
    if (file !== undefined) await copyFile(join(folder, file), join(target, file))
  }
  const { source: _source, wit: _wit, exports: _exports, ...rest } = example
  await writeFile(join(target, "example.json"), `${JSON.stringify(rest, null, 2)}\n`)
}

/** An argument `{ "$text": FILE }` stands for the text of a file beside `example.json`. */
function inputOf(arg: unknown): string | undefined {
  const file: unknown = typeof arg === "object" && arg !== null && "$text" in arg ? arg.$text : undefined
  return typeof file === "string" ? file : undefined
}

const wanted = new Set(process.argv.slice(2))
const names = (await readdir(examplesDir, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
const unknown = [...wanted].filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`Cannot build "${unknown.join(", ")}": the examples are ${names.join(", ")}`)
for (const name of names.sort()) {
  if (wanted.size > 0 && !wanted.has(name)) continue
  const folder = join(examplesDir, name)
  try {
    const example = JSON.parse(await readFile(join(folder, "example.json"), "utf8")) as Example
    const isBuilt = await build(folder, example)
    if (isBuilt || (await textOf(join(distDir, name, "example.json"))) === undefined) await publish(folder, example)
  } catch (error) {
    // For an author of plugins, to whom frames of this script say nothing.
    console.error(`Cannot build example "${name}": ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
