/** `stele prices check FILE…`: does a price list hold, and what in it looks like a mistake? */
import { BillingError } from "../../schemas/error/billing.ts"
import { escapeText } from "../../host/port/log.ts"
import { problemLines } from "./author.ts"
import { type Compiled, compileList, openRules, type PlacedProblem, readList } from "./price-list.ts"
import { out, printLine } from "./terminal.ts"

export interface CheckFlags {
  readonly file: ReadonlyArray<string>
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

interface Checked {
  readonly file: string
  readonly holds: boolean
  readonly list?: { readonly name: string; readonly version: string; readonly currency: string; readonly plans: ReadonlyArray<string> }
  readonly problems: ReadonlyArray<PlacedProblem>
  readonly warnings: ReadonlyArray<PlacedProblem>
}

const held = ({ file, description: { name, version, currency, plans }, warnings }: Compiled): Checked => ({
  file,
  holds: true,
  list: { name, version, currency, plans },
  problems: [],
  warnings,
})

export async function check({ file: files, plugin, json }: CheckFlags): Promise<void> {
  await using opened = await openRules(plugin)
  const found: Array<Checked> = []
  for (const name of files) {
    const list = await readList(name)
    try {
      const compiled = await compileList(opened.rules, list)
      found.push(held(compiled))
      ;(compiled.catalogue as unknown as Disposable)[Symbol.dispose]()
    } catch (error) {
      if (!(error instanceof BillingError) || error.reason._tag !== "PriceList") throw error
      found.push({ file: list.file, holds: false, problems: error.reason.problems, warnings: [] })
    }
  }
  const failed = found.filter(({ holds }) => !holds)
  if (json) printLine(JSON.stringify({ holds: failed.length === 0, lists: found }))
  else
    for (const { file, list, problems, warnings } of found) {
      const count = `${problems.length} problem${problems.length === 1 ? "" : "s"}`
      if (list === undefined) printLine(`${out.red("FAIL")} ${escapeText(file)} ${out.dim(count)}`)
      else
        printLine(`${out.green("pass")} ${escapeText(file)} ${out.dim(escapeText(`${list.name} ${list.version}, ${list.currency}: ${list.plans.join(", ")}`))}`)
      for (const problem of problems) for (const line of problemLines(problem, out)) printLine(`  ${line}`)
      for (const warning of warnings) for (const line of problemLines({ ...warning, message: `warning: ${warning.message}` }, out)) printLine(`  ${line}`)
    }
  if (failed.length > 0) process.exitCode = 3
}
