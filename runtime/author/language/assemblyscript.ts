/** AssemblyScript: bindings from the world, the project's own `asc`, an encoder of ours. */
import { readFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { encodeComponent } from "../../../schemas/encode/mod.ts"
import { pascal } from "../../../schemas/generate/file.ts"
import { assemblyScriptBindings, type AssemblyScriptBindings } from "../../../schemas/generate/assemblyscript/mod.ts"
import { entryOf, type Project } from "../project.ts"
import { foundTool, toolOf } from "../tools.ts"
import { bindingsFolder, type ProjectWorld, worldOf, writeBindings } from "./bindings.ts"
import type { Toolchain } from "./mod.ts"
import { sdkFiles } from "./sdk.ts"
import { casesInterface, unitWorld, writeUnitEntry } from "./unit.ts"

const install = "npm install --save-dev assemblyscript"
const ascTool = { language: "assemblyscript", specifier: "assemblyscript/asc", install } as const
/** What a plugin is compiled with unless the project's asconfig.json says otherwise. */
const usual: Readonly<Record<string, string>> = { runtime: "incremental", optimizeLevel: "3", shrinkLevel: "1" }
/** What it is compiled with whatever that says: bindings and the encoder count on it. */
const fixed = "--exportStart _initialize --disableWarning 906,233,210"
const configName = "asconfig.json"

/** The compiler's arguments. To asc a flag means more than its file, so that what the file says is left out of the flags. */
async function flagsOf(folder: string, abort: string): Promise<ReadonlyArray<string>> {
  const said = await readFile(join(folder, configName), "utf8").catch(() => undefined)
  const own = said === undefined ? [] : Object.keys(optionsIn(said))
  const flags = Object.entries(usual).flatMap(([name, value]) => (own.includes(name) ? [] : [`--${name}`, value]))
  return [...flags, ...fixed.split(" "), "--use", `abort=${bindingsFolder}/${abort}`, ...(said === undefined ? [] : ["--config", configName])]
}

/** What an asconfig.json sets for every target; what is no JSON is asc's to refuse. */
function optionsIn(text: string): object {
  try {
    const { options } = JSON.parse(text) as { readonly options?: unknown }
    return typeof options === "object" && options !== null ? options : {}
  } catch {
    return {}
  }
}

/** What a plugin of the house may be made of besides its own files. */
const reachOf = (house: string | undefined): ReadonlyArray<string> | undefined =>
  house === undefined ? undefined : ["plugins/sdk", "kernels"].map((place) => join(house, place))

/** Bindings of the project's world, and the SDK beside them, written into it. */
export async function generate(project: Project): Promise<{ readonly bindings: AssemblyScriptBindings; readonly selected: ProjectWorld["selected"] }> {
  const { entry = "", folder } = project
  const { resolve, selected } = await worldOf(project)
  const plugin = relative(join(folder, bindingsFolder), entry).replaceAll("\\", "/").replace(/\.ts$/, "")
  const bindings = assemblyScriptBindings({ world: selected.world, name: selected.full, notes: resolve.notes, plugin })
  await writeBindings(project, [...bindings.files, ...(await sdkFiles())])
  return { bindings, selected }
}

export const assemblyscript: Toolchain = {
  async build(project, { run }) {
    const { folder, house } = project
    const asc = toolOf(folder, ascTool)
    await entryOf(project)
    const { bindings, selected } = await generate(project)
    const core = await run({
      language: "assemblyscript",
      folder,
      entry: `${bindingsFolder}/${bindings.entry}`,
      exports: bindings.exports,
      flags: ["--noAssert", ...(await flagsOf(folder, "runtime/abort"))],
      asc,
      reach: reachOf(house),
    })
    return encodeComponent(selected.world, core, { encoding: "utf16" })
  },
  async buildUnits(project, { run }, files) {
    const { folder, house } = project
    const asc = toolOf(folder, ascTool)
    const { selected } = await generate(project)
    const entry = await writeUnitEntry(
      project,
      ['export { cabiRealloc } from "../bindings/runtime"', 'export { testCount, testName, testPlace, testRun } from "../bindings/sdk/test"'],
      files,
      "",
    )
    const core = await run({
      language: "assemblyscript",
      folder,
      entry,
      exports: {
        cabiRealloc: "cabi_realloc",
        ...Object.fromEntries(["count", "name", "place", "run"].map((label) => [`test${pascal(label)}`, `${casesInterface}#${label}`])),
      },
      // As the plugin is compiled, with its assertions and the names of its functions.
      flags: ["--debug", ...(await flagsOf(folder, "sdk/test/abort"))],
      asc,
      reach: reachOf(house),
      placed: files,
    })
    return encodeComponent(unitWorld(selected.world), core, { encoding: "utf16" })
  },
  async needs(folder) {
    return [{ what: "assemblyscript", install, found: foundTool(folder, ascTool) }]
  },
}
