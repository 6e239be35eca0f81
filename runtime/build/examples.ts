/**
 * Builds the example plugins as their authors would: `plugins/examples/NAME/build/NAME.wasm`. Those that `npm start` shows have an
 * `example.json`; they and everything a demonstration needs are copied to `dist/examples/NAME/`, which the package ships. A plugin
 * whose inputs have not changed is left alone.
 *
 *     node runtime/build/examples.ts [NAME…]
 *
 * Without names it builds those that npm alone can build, whatever compilers are here.
 */
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import type { Tools } from "../author/tools.ts"
import { fileInput } from "../author/input.ts"
import { filesIn, fingerprintOf, textOf, writeWhole } from "./inputs.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const examplesDir = join(root, "plugins/examples")
const distDir = join(root, "dist/examples")

/** What of a manifest decides how its plugin is built; the build itself reads all of it. */
interface Manifest {
  readonly name: string
  readonly language: string
}

/** The packages whose versions decide what the compilers of a language that npm has write. */
const compilers: { readonly [language: string]: ReadonlyArray<string> } = {
  assemblyscript: ["assemblyscript"],
  typescript: ["componentize-qjs", "rolldown"],
}
/** Our sources that do. */
const ours = ["plugins/sdk", "runtime/author/language", "schemas/encode", "schemas/generate", "schemas/wasm", "schemas/wit"]
/** What of a project decides nothing: what builds write, tests, and the page. */
const others = new Set(["bindings", "build", "tests", "README.md"])

/** The project, our own sources and the tools' versions. */
async function fingerprint(folder: string, language: string): Promise<string> {
  const own = (await filesIn(folder, { recursive: true })).filter((file) => !others.has(relative(folder, file).split(/[/\\]/, 1)[0] as string))
  const rooms = await Promise.all(ours.map((room) => filesIn(join(root, room), { recursive: true })))
  return fingerprintOf([...own, ...rooms.flat(), fileURLToPath(import.meta.url)], compilers[language] ?? [])
}

/** One thread for all compilers, started with the first build: most starts build nothing, and load nothing for it. */
let tools: Tools | undefined

/** The component and its WIT in one file, where they are not what the sources make. */
async function build(folder: string, { language, name }: Manifest): Promise<boolean> {
  const buildDir = join(folder, "build")
  const stampPath = join(buildDir, "inputs.sha256")
  const stamp = await fingerprint(folder, language)
  if ((await textOf(stampPath)) === stamp && (await textOf(join(buildDir, `${name}.wasm`))) !== undefined) return false
  const [{ build }, { worldOf }, { openProject }, { openTools }, { printWit }] = await Promise.all([
    import("../author/build.ts"),
    import("../author/language/bindings.ts"),
    import("../author/project.ts"),
    import("../author/tools.ts"),
    import("../../schemas/wit/parse/mod.ts"),
  ])
  tools ??= openTools()
  const project = await openProject(folder, true)
  const bytes = await build(project, tools)
  await writeWhole(join(buildDir, `${name}.wit`), printWit((await worldOf(project)).resolve))
  await writeWhole(stampPath, stamp)
  console.error(`Built ${folder.slice(root.length)}/build/${name}.wasm: ${bytes.length} bytes`)
  return true
}

/** `dist/examples/NAME`: the component, its WIT, its manifest, what is shown of it, and the files that this takes. */
async function publish(folder: string, { name }: Manifest, example: string): Promise<void> {
  const target = join(distDir, name)
  await rm(target, { recursive: true, force: true })
  await mkdir(target, { recursive: true })
  for (const extension of ["wasm", "wit"]) await copyFile(join(folder, "build", `${name}.${extension}`), join(target, `${name}.${extension}`))
  const { call } = JSON.parse(example) as { readonly call: { readonly args: ReadonlyArray<unknown> } }
  const inputs = call.args.flatMap((arg) => fileInput(arg)?.file ?? [])
  for (const file of ["plugin.json", ...inputs]) {
    await mkdir(dirname(join(target, file)), { recursive: true })
    await copyFile(join(folder, file), join(target, file))
  }
  // The last: where it is, everything is.
  await writeFile(join(target, "example.json"), example)
}

const wanted = new Set(process.argv.slice(2))
const names = (await readdir(examplesDir, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
const unknown = [...wanted].filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`Cannot build "${unknown.join(", ")}": the examples are ${names.join(", ")}`)
for (const name of names.sort()) {
  const folder = join(examplesDir, name)
  const manifest = await textOf(join(folder, "plugin.json"))
  // What is left of an example that a checkout of another time had.
  if (manifest === undefined) continue
  try {
    const about = JSON.parse(manifest) as Manifest
    if (wanted.size > 0 ? !wanted.has(name) : compilers[about.language] === undefined) continue
    const isBuilt = await build(folder, about)
    const example = await textOf(join(folder, "example.json"))
    if (example !== undefined && (isBuilt || (await textOf(join(distDir, name, "example.json"))) === undefined)) await publish(folder, about, example)
  } catch (error) {
    // For an author of plugins, to whom frames of this script say nothing.
    console.error(`Cannot build example "${name}": ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
await tools?.[Symbol.asyncDispose]()
