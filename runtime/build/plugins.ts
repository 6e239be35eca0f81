/**
 * Builds the first-party plugins (ADR 0047), each an ordinary author's project in `plugins/NAME` whose world is in
 * `schemas/wit/stele/NAME.wit`: `dist/plugins/NAME.wasm`, its WIT, and `index.json` with what each may do, which the package ships.
 * What has not changed is left alone.
 *
 *     node runtime/build/plugins.ts [NAME…] [--types] [--in FOLDER]
 *
 * `--types` writes `schemas/wit/stele/NAME.gen.ts` instead, by which rims call them. `--in` works on another tree of the same layout.
 */
import { createHash } from "node:crypto"
import { mkdir, readdir, readFile, rm } from "node:fs/promises"
import { join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { SteleError } from "../../schemas/error/family.ts"
import { parseWit, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { declarations } from "../../schemas/wit/typescript.ts"
import { build } from "../author/build.ts"
import { openProject, type Project } from "../author/project.ts"
import { openTools, type Tools } from "../author/tools.ts"
import { withoutVersion } from "../plugins/contract.ts"
import type { Shipped } from "../plugins/shipped.ts"
import { filesIn, fingerprintOf, textOf, writeChanged, writeWhole } from "./inputs.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Folders of a project that its component is not made from. */
const made = new Set(["build", "bindings", "tests"])

/** Files that decide a component's bytes, and the tools' versions. */
async function fingerprint({ folder, wit, house = root }: Project): Promise<string> {
  const own = (await filesIn(folder, { recursive: true })).filter((file) => !made.has(relative(folder, file).split(/[/\\]/, 1)[0] as string))
  const guests = (await Promise.all(["plugins/sdk", "kernels"].map((room) => filesIn(join(house, room), { recursive: true })))).flat()
  const rooms = [
    "schemas/encode",
    "schemas/wasm",
    "schemas/wit",
    "schemas/wit/parse",
    "schemas/generate/assemblyscript",
    "runtime/author/language",
    "plugins/sdk",
  ]
  const ours = (await Promise.all(rooms.map((room) => filesIn(join(root, room))))).flat()
  const files = [...own, wit, ...guests.filter((file) => file.endsWith(".as.ts")), ...ours, fileURLToPath(import.meta.url)]
  return fingerprintOf([...new Set(files)], ["assemblyscript"])
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** One plugin's component, WIT and line of the index. */
async function publish(project: Project, tools: Tools, out: string): Promise<Shipped> {
  const { folder, manifest } = project
  const { name, version, description, world, capabilities = [], limits = {}, metering = "deadline" } = manifest
  const stampPath = join(folder, "build/inputs.sha256")
  const stamp = await fingerprint(project)
  let bytes: Uint8Array | undefined
  if ((await textOf(stampPath)) === stamp) bytes = await readFile(project.component).catch(() => undefined)
  if (bytes === undefined) {
    bytes = await build(project, tools)
    await writeWhole(stampPath, stamp)
    console.error(`Built ${relative(root, project.component)}: ${bytes.length} bytes`)
  }
  for (const [file, contents] of [
    [`${name}.wasm`, bytes],
    [`${name}.wit`, await readFile(project.wit)],
  ] as const)
    if (!(await readFile(join(out, file)).catch(() => undefined))?.equals(contents)) await writeWhole(join(out, file), contents)
  return { name, version, description, world, grants: capabilities.map(({ grant }) => grant), limits, metering, digest: digestOf(bytes) }
}

/** The types of a plugin's exports, by the names that a rim calls: without version. */
async function typesOf({ wit, manifest: { world: name } }: Project, command: string): Promise<string> {
  const { world } = selectWorld(parseWit(await readFile(wit, "utf8")), name)
  const exports = new Map([...world.exports].map(([full, extern]) => [withoutVersion(full), extern]))
  return declarations({ ...world, exports }, `Do not edit, run \`${command}\``)
}

/** Projects in the order of their names. */
async function projectsIn(tree: string): Promise<ReadonlyArray<Project>> {
  const folder = join(tree, "plugins")
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => name)
  const found: Array<Project> = []
  for (const name of entries.toSorted()) {
    const place = join(folder, name)
    if ((await textOf(join(place, "plugin.json"))) === undefined) continue
    const project = await openProject(place)
    const expected = new RegExp(`^stele:${name}/[a-z][a-z0-9-]*@`)
    if (project.manifest.name !== name || project.house === undefined || !expected.test(project.manifest.world))
      throw new Error(`Cannot build ${relative(root, place)}: its name is not "${name}", or its world not stele:${name}/… of schemas/wit/stele/${name}.wit`)
    found.push(project)
  }
  return found
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({ allowPositionals: true, options: { types: { type: "boolean", default: false }, in: { type: "string" } } })
  const tree = values.in === undefined ? root : resolve(values.in)
  const projects = await projectsIn(tree)
  const names = projects.map(({ manifest }) => manifest.name)
  const unknown = positionals.filter((name) => !names.includes(name))
  if (unknown.length > 0) throw new Error(`Cannot build "${unknown.join(", ")}": the plugins are ${names.join(", ") || "none"}`)
  const wanted = projects.filter(({ manifest: { name } }) => positionals.length === 0 || positionals.includes(name))
  if (values.types) {
    const command = ["node runtime/build/plugins.ts --types", ...(values.in === undefined ? [] : [`--in ${values.in}`])].join(" ")
    for (const project of wanted) await writeChanged(project.wit.replace(/\.wit$/, ".gen.ts"), await typesOf(project, command))
    return
  }
  const out = join(tree, "dist/plugins")
  await mkdir(out, { recursive: true })
  await using tools = openTools()
  const before = JSON.parse((await textOf(join(out, "index.json"))) ?? '{"plugins":[]}') as { readonly plugins: ReadonlyArray<Shipped> }
  const index = new Map(before.plugins.filter(({ name }) => names.includes(name)).map((one) => [one.name, one]))
  for (const project of wanted) index.set(project.manifest.name, await publish(project, tools, out))
  const text = `${JSON.stringify({ plugins: [...index.values()].sort((a, b) => (a.name < b.name ? -1 : 1)) }, undefined, 2)}\n`
  await writeChanged(join(out, "index.json"), text)
  for (const file of await readdir(out)) if (file !== "index.json" && !index.has(file.replace(/\.\w+$/, ""))) await rm(join(out, file))
}

try {
  await main()
} catch (error) {
  // For an author of plugins, to whom frames of this script say nothing.
  console.error(error instanceof SteleError ? `${error.message}\n  fix: ${error.fix}` : error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
