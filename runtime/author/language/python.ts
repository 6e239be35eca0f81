/** Python: its interpreter in a component, by componentize-py, with the interpreter's own WASI stubbed. */
import { mkdir } from "node:fs/promises"
import { basename, dirname, join, relative } from "node:path"
import { entryOf } from "../project.ts"
import { worldOf } from "./bindings.ts"
import { hideExports } from "./hide-export.ts"
import type { Toolchain } from "./mod.ts"
import { readOutput, runProgram, versionOf } from "./other.ts"
import { openStandIn } from "./stand-in.ts"

const program = "componentize-py"
const install = "pip install componentize-py==0.25.1"
/** What the interpreter is started with before the component is finished, and nobody calls afterwards. */
const started = "exports"

export const python: Toolchain = {
  async build(project) {
    const { folder, manifest, wit } = project
    const entry = await entryOf(project)
    const { selected } = await worldOf(project)
    await using standIn = await openStandIn(wit)
    await mkdir(join(folder, "build"), { recursive: true })
    const made = join("build", "python.wasm")
    const world = standIn.called(manifest.world)
    const words = [
      "-d",
      standIn.wit,
      "-w",
      world,
      "componentize",
      "--stub-wasi",
      "-p",
      relative(folder, dirname(entry)) || ".",
      "-o",
      made,
      basename(entry, ".py"),
    ]
    await runProgram("python", [program, ...words], folder, { install })
    const component = standIn.restored(await readOutput(folder, made, `what ${program} made`))
    return hideExports(component, new Set(selected.world.exports.has(started) ? [] : [started]))
  },
  async needs() {
    return [{ what: program, found: await versionOf(program, ["--version"]), install }]
  },
}
