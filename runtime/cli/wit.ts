/** `stele wit PATH`: whether WIT is right, and its canonical form. */
import { WitSourceError } from "../../schemas/error/wit-source.ts"
import { checkWit, printWit, type Resolve, selectWorld } from "../../schemas/wit/parse/mod.ts"
import { readWit } from "../wit/read.ts"
import { errorLines } from "./report.ts"
import { columns, err, noteLine, printLine } from "./terminal.ts"

export interface WitFlags {
  readonly path: string
  readonly world?: string | undefined
  readonly feature: ReadonlyArray<string>
  readonly json: boolean
}

const summary = ({ main, packages }: Resolve): unknown => ({
  main: main.name,
  packages: [...packages.values()].map(({ name, interfaces, worlds }) => ({
    name,
    interfaces: [...interfaces.values()].map((one) => ({ name: one.name, uses: one.uses, exports: [...one.type.exports.keys()] })),
    worlds: [...worlds.values()].map(({ name: label, world }) => ({ name: label, imports: [...world.imports.keys()], exports: [...world.exports.keys()] })),
  })),
})

export async function wit({ path, world, feature, json }: WitFlags): Promise<void> {
  const input = await readWit(path)
  const { resolve, problems } = checkWit(input, { features: feature.includes("all") ? "all" : feature })
  if (resolve === undefined) {
    const [first] = problems
    if (problems.length === 1 && first !== undefined) throw first
    if (!json) for (const problem of problems) for (const line of errorLines(problem, err, columns(process.stderr))) noteLine(line)
    throw new WitSourceError("Several", { path, problems: problems.map((problem) => problem.toJSON()) })
  }
  if (world !== undefined) selectWorld(resolve, world)
  const text = printWit(resolve)
  printLine(json ? JSON.stringify({ ...(summary(resolve) as object), text }) : text.trimEnd())
}
