/** Price lists as commands read them: a file, standard input or a name; compiled by the rules in force; what is wrong where it is. */
import { access } from "node:fs/promises"
import { AuthorError, type Problem as Place } from "../../schemas/error/author.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"
import type { Catalogue, Description, Problem } from "../../schemas/wit/stele/billing.gen.ts"
import { type Located, locate } from "../author/located.ts"
import { namedPriceList, namedPriceLists } from "../billing/price-list.ts"
import type { shapeOf } from "../billing/price-table.ts"
import { Mistakes, Rules } from "../billing/rules.ts"
import { Host } from "../mod.ts"
import { configuredPlugins } from "../plugins/configuration.ts"
import { readInput } from "./argument.ts"
import { problemLines } from "./author.ts"
import { err, noteLine } from "./terminal.ts"

/** A problem of the rules with its place in the file. */
export type PlacedProblem = Place & { readonly kind: string; readonly path: string }

export interface ListText {
  /** As it was named. */
  readonly file: string
  readonly text: string
}

export interface Compiled extends ListText {
  readonly catalogue: Catalogue
  readonly description: Description
  /** What is allowed and looks like a mistake. */
  readonly warnings: ReadonlyArray<PlacedProblem>
}

/** The rules in force, by flag, environment or `stele.json`; the host is closed with them. */
export async function openRules(plugin: ReadonlyArray<string>): Promise<{ readonly rules: Rules; readonly host: Host } & AsyncDisposable> {
  const host = await Host.open({ plugins: await configuredPlugins(plugin), upkeep: false, usage: false })
  try {
    return { rules: await Rules.open(host), host, [Symbol.asyncDispose]: () => host.close() }
  } catch (error) {
    await host.close()
    throw error
  }
}

/** A file; a name of one that came with the program, where there is no such file; standard input for `-`. */
export async function readList(file: string): Promise<ListText> {
  const isThere =
    file === "-" ||
    (await access(file).then(
      () => true,
      () => false,
    ))
  if (!isThere) {
    const named = await namedPriceList(file)
    if (named !== undefined) return { file, text: named }
    // What looks like a path is one.
    if (!/[./\\]/.test(file)) throw new BillingError("PriceListName", { name: file, known: namedPriceLists })
  }
  try {
    return { file: file === "-" ? "standard input" : file, text: new TextDecoder("utf-8", { fatal: true }).decode(await readInput(file)) }
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new PluginError("Unreadable", { source: file, detail: "it is not UTF-8" }, { cause })
  }
}

/** The steps of a JSON pointer (RFC 6901). */
const stepsOf = (pointer: string): ReadonlyArray<string> =>
  pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))

/** What the rules said, where it is in the text. Rules of somebody's own may read what is no JSON: then all is at its start. */
export function placed({ file, text }: ListText, problems: ReadonlyArray<Problem>): ReadonlyArray<PlacedProblem> {
  if (problems.length === 0) return []
  let located: Located | undefined
  try {
    located = locate(text, file)
  } catch (error) {
    if (!(error instanceof AuthorError) || error.reason._tag !== "File") throw error
    // It is no JSON at all: our rules say so in their way, and here it is shown where.
    if (problems.every(({ kind, path }) => kind === "malformed" && path === ""))
      return error.reason.problems.map((problem) => ({ ...problem, kind: "malformed", path: "" }))
  }
  const first = text.split("\n", 1)[0] ?? ""
  return problems.map(({ kind, path, message }) => {
    const place = located?.problem(stepsOf(path), message) ?? { file, line: 1, column: 1, message, excerpt: `  ${first.slice(0, 60)}\n  ^` }
    return { ...place, kind, path }
  })
}

/** @throws BillingError `PriceList` */
export async function compileList(rules: Rules, list: ListText): Promise<Compiled> {
  try {
    const catalogue = await rules.compile(list.text)
    const description = await rules.describe(catalogue)
    return { ...list, catalogue, description, warnings: placed(list, description.warnings) }
  } catch (error) {
    if (!(error instanceof Mistakes)) throw error
    throw new BillingError("PriceList", { file: list.file, problems: placed(list, error.problems) }, { cause: error })
  }
}

/** @throws BillingError `Rules` of the kind `unknown-plan`, with the plans that there are */
export function checkPlan(plan: string, plans: ReadonlyArray<string>): void {
  if (!plans.includes(plan))
    throw new BillingError("Rules", { kind: "unknown-plan", path: "plan", detail: `There is no plan ${quote(plan, 64)}, but ${plans.join(", ")}` })
}

/** Numbers are of charges that have one: those that no meter counts. What rules of somebody's own read, they know alone. @throws ConfigError `Usage` */
export function checkCharges(names: ReadonlyArray<string>, shape: ReturnType<typeof shapeOf>, plan: string): void {
  const charges = shape?.plans.find(({ id }) => id === plan)?.charges.flatMap(({ id, meter }) => (meter === undefined ? [id] : []))
  const unknown = names.find((name) => charges?.includes(name) === false)
  if (charges === undefined || unknown === undefined) return
  const [near] = closest(unknown, charges)
  throw new ConfigError("Usage", {
    detail: `The plan ${quote(plan, 64)} has no charge ${quote(unknown, 64)} with a number`,
    advice: near !== undefined ? `did you mean "${near}"` : charges.length === 0 ? "leave out --quantity" : `it has ${charges.join(", ")}`,
  })
}

/** Shows the places of a refusal before the error itself is shown. */
export async function withListPlaces<A>(json: boolean, work: () => Promise<A>): Promise<A> {
  try {
    return await work()
  } catch (error) {
    if (!json && error instanceof BillingError && (error.reason._tag === "PriceList" || error.reason._tag === "Inconvertible"))
      for (const problem of error.reason.problems) for (const line of problemLines(problem, err)) noteLine(line)
    throw error
  }
}
