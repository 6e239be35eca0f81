/** `stele prices diff A B`: what changed between two price lists, and from which quantity on each charge is cheaper or dearer. */
import * as Schema from "effect/Schema"
import { Catalogue } from "../../schemas/billing/catalogue.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { escapeText } from "../../host/port/log.ts"
import { type Comparison, compareCharges, type Side, type Stretch } from "../billing/compare.ts"
import { decimal, groupedText, plainText } from "../billing/decimal.ts"
import { changesOf, changeWords } from "../billing/difference.ts"
import { compileList, openRules, readList, withListPlaces } from "./price-list.ts"
import { columns, out, printLine, table, wrap } from "./terminal.ts"

export interface DiffFlags {
  readonly before: string
  readonly after: string
  readonly plugin: ReadonlyArray<string>
  readonly json: boolean
}

const decode = Schema.decodeUnknownSync(Catalogue)

/** A list that holds, in our own format: rules in force may read others, of which nobody else can say what changed. */
export function ownFormat(file: string, text: string): Catalogue {
  try {
    return decode(JSON.parse(text), { onExcessProperty: "error" })
  } catch (error) {
    const detail = error instanceof SyntaxError ? "it is no JSON" : `it is not in our format: ${(error as Error).message.split("\n", 1)[0]}`
    throw new BillingError("Format", { file, detail }, { cause: error })
  }
}

const quantityText = (quantity: bigint, scale: number): string => groupedText(plainText(decimal(quantity, scale)))

const paint: Readonly<Record<Side, (text: string) => string>> = { same: out.dim, cheaper: out.green, dearer: out.red }

/** `the same up to 100,000, dearer from 100,001 on`. */
function stretchWords({ stretches, scale }: Comparison): string {
  const words = ({ from, to, side }: Stretch, i: number): string => {
    const name = side === "same" ? "the same" : side
    if (stretches.length === 1) return name
    const [first, last] = [quantityText(from, scale), to === undefined ? undefined : quantityText(to, scale)]
    const where = first === last ? `at ${first}` : i === 0 ? `up to ${last}` : last === undefined ? `from ${first} on` : `from ${first} to ${last}`
    return `${name} ${where}`
  }
  return stretches.map((stretch, i) => paint[stretch.side](words(stretch, i))).join(", ")
}

function comparisonWords(comparison: Comparison): string {
  const { comparedTo, reason, scale } = comparison
  if (reason !== undefined) return out.dim(`not compared: ${escapeText(reason)}`)
  const limit = comparedTo === undefined ? "" : out.dim(` (compared up to ${quantityText(comparedTo, scale)})`)
  return stretchWords(comparison) + limit
}

const nameOf = ({ plan, charge, attribute }: Comparison): string =>
  `${plan}/${charge}${attribute === undefined ? "" : attribute === null ? ", other values" : `, "${escapeText(attribute)}"`}`

const comparisonJson = ({ plan, charge, attribute, scale, stretches, comparedTo, reason }: Comparison): object => ({
  plan,
  charge,
  ...(attribute === undefined ? {} : { attribute }),
  ...(reason === undefined
    ? {
        quantities: stretches.map(({ from, to, side }) => ({
          from: plainText(decimal(from, scale)),
          to: to === undefined ? null : plainText(decimal(to, scale)),
          is: side,
        })),
      }
    : { notCompared: reason }),
  ...(comparedTo === undefined ? {} : { comparedTo: plainText(decimal(comparedTo, scale)) }),
})

export const diff = ({ before, after, plugin, json }: DiffFlags): Promise<void> =>
  withListPlaces(json, async () => {
    await using opened = await openRules(plugin)
    const [old, now] = [await readList(before), await readList(after)]
    // What does not hold is told so before it is compared.
    for (const list of [old, now]) ((await compileList(opened.rules, list)).catalogue as unknown as Disposable)[Symbol.dispose]()
    const [first, second] = [ownFormat(old.file, old.text), ownFormat(now.file, now.text)]
    const changes = changesOf(first, second)
    const charges = await compareCharges(opened.rules, first, second)
    if (json) {
      printLine(
        JSON.stringify({
          before: { file: old.file, name: first.name, version: first.version },
          after: { file: now.file, name: second.name, version: second.version },
          changes: changes.map((change) => ({ ...change, words: changeWords(change) })),
          charges: charges.map(comparisonJson),
        }),
      )
      return
    }
    if (changes.length === 0) return printLine("Nothing changed")
    const width = columns(process.stdout)
    const signs = { added: out.green("+"), removed: out.red("-"), changed: out.yellow("~") }
    for (const change of changes)
      wrap(escapeText(changeWords(change)), width - 2).forEach((line, i) => printLine(`${i === 0 ? signs[change.what] : " "} ${line}`))
    const shown = charges.filter(({ reason, stretches }) => reason !== undefined || stretches.some(({ side }) => side !== "same"))
    if (shown.length === 0) return
    printLine("")
    printLine(out.bold(`What each charge costs by ${escapeText(now.file)}, beside ${escapeText(old.file)}`))
    for (const line of table(
      shown.map((comparison) => [nameOf(comparison), comparisonWords(comparison)]),
      out.isColoured ? Number.MAX_SAFE_INTEGER : width,
    ))
      printLine(line)
  })
