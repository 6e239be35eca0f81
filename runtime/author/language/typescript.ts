/** TypeScript: QuickJS in a component, by the project's own `componentize-qjs` and `rolldown`. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { worldText } from "../../../schemas/wit/print.ts"
import { entryOf } from "../project.ts"
import { foundTool, toolOf } from "../tools.ts"
import { bindingsFolder, worldOf, writeBindings } from "./bindings.ts"
import type { Toolchain } from "./mod.ts"
import { typeScriptSdkFiles } from "./sdk.ts"
import { casesInterface, unitWorld, writeUnitEntry } from "./unit.ts"

const install = "npm install --save-dev componentize-qjs rolldown"
const toolNamed = (specifier: string) => ({ language: "typescript", specifier, install }) as const
const tools = ["rolldown", "componentize-qjs"].map(toolNamed)

export const typescript: Toolchain = {
  async build(project, { run }) {
    const { folder, manifest, wit } = project
    const [rolldown, componentize] = tools.map((tool) => toolOf(folder, tool)) as [string, string]
    const entry = await entryOf(project)
    await writeBindings(project, await typeScriptSdkFiles(), bindingsFolder, "keep")
    const { selected } = await worldOf(project)
    return run({ language: "typescript", entry, wit, world: manifest.world, exports: [...selected.world.exports.keys()], rolldown, componentize })
  },
  async buildUnits(project, { run }, files) {
    const { folder } = project
    const [rolldown, componentize] = tools.map((tool) => toolOf(folder, tool)) as [string, string]
    await writeBindings(project, await typeScriptSdkFiles(), bindingsFolder, "keep")
    const entry = await writeUnitEntry(project, ['export { cases } from "../bindings/sdk/test.ts"'], files, ".ts")
    const { selected } = await worldOf(project)
    const wit = join(folder, "build", "tests.wit")
    await writeFile(wit, `package stele:unit;\n\n${worldText("tests", unitWorld(selected.world))}\n`)
    const placed = Object.fromEntries(files.map((file) => [join(folder, file), file]))
    return run({ language: "typescript", entry: join(folder, entry), wit, world: "tests", exports: [casesInterface], rolldown, componentize, placed })
  },
  needs: async (folder) => tools.map((tool) => ({ what: tool.specifier, install, found: foundTool(folder, tool) })),
}
