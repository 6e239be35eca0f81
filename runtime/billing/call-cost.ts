/** What usage to come would cost on top of what a period has already: asked of the rules, before anything runs. */
import type { Aggregate, Decimal, Line, Overage } from "../../schemas/wit/stele/billing.gen.ts"
import type { PriceTable } from "./price-table.ts"

export interface CallCost {
  /** What it adds, in the price list's currency. */
  readonly total: Decimal
  /** What it adds to each charge. */
  readonly lines: ReadonlyArray<Line>
  /** Of charges that would be beyond their bounds. */
  readonly overages: ReadonlyArray<Overage>
  /** Of all of them the strictest: `block`, it must not run; `warn`, it is billed and said; `bill`, it is billed. */
  readonly verdict: "allowed" | "bill" | "warn" | "block"
}

const strictness = ["block", "warn", "bill"] as const

/**
 * Estimates what `more` costs of a plan of which `used` is used in the period: the difference that it makes, tiers and allowances as they would then be. What is due whatever
 * is used, such as a base fee, is not in it.
 * @throws BillingError `Rules`, `RulesStopped`
 */
export async function costOfCall(
  table: PriceTable,
  {
    counts = [],
    more,
    plan,
    used,
  }: {
    readonly plan: string
    readonly used: ReadonlyArray<Aggregate>
    readonly more: ReadonlyArray<Aggregate>
    /** How many there are of seats and the like. */
    readonly counts?: ReadonlyArray<readonly [charge: string, count: Decimal]>
  },
): Promise<CallCost> {
  const ask = (quantities: ReadonlyArray<Aggregate>, prior: Parameters<typeof priorOf>[0]) =>
    table.ask((catalogue) => table.rules.ask("[method]catalogue.estimate", [catalogue, plan, quantities, counts, priorOf(prior), false]))
  const before = await ask(used, { quantities: [], billed: [] })
  const billed = before.lines.map(({ amount, attribute, charge }) => ({ charge, attribute, amount }))
  const { lines, overages, total } = await ask(more, { quantities: used, billed })
  const verdict = strictness.find((policy) => overages.some((one) => one.policy === policy)) ?? "allowed"
  return { total, lines, overages, verdict }
}

const priorOf = (prior: {
  readonly quantities: ReadonlyArray<Aggregate>
  readonly billed: ReadonlyArray<{ readonly charge: string; readonly attribute: string | undefined; readonly amount: Decimal }>
}) => prior
