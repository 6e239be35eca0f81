/**
 * What a period that is under way will have cost at its end, should it go on as it began. Quantities are carried forward here; what they cost is said by the
 * rules.
 */
import type { Aggregate, Quote } from "../../schemas/wit/stele/billing.gen.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { accountOf, tenantsOf } from "./account.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { coefficientOf, decimal, decimalText, plainText } from "./decimal.ts"
import { readUsage } from "./meter.ts"
import { decimalIn } from "./plain.ts"
import type { PriceTable } from "./price-table.ts"
import { Rating } from "./rating.ts"
import { all, kinds, type SpanValue, type SubscriptionValue } from "./record.ts"
import { meterPlans } from "./source.ts"
import { endOf, forRules, subscriptionsOf, tablesOf, termsAt, zonesOf } from "./subscription.ts"

/** How it is done, for whoever reads a figure of it. */
export const projectionMethod =
  "What was used so far, in proportion to the time of the period that is over, priced by the rules of the price list as one whole period of the plan in force (estimate). " +
  "Quantities that are no sums, such as levels, greatest values and numbers of different ones, stay as they are. " +
  "Not in it: taxes, discounts, trials, pauses, shares of a period, and corrections of earlier ones."

/** What quantities would cost, in the price list's currency. */
export interface Quoted {
  readonly total: string
  readonly lines: ReadonlyArray<{
    readonly charge: string
    readonly attribute?: string
    readonly title: string
    readonly quantity: string
    readonly amount: string
  }>
  /** What is beyond a bound of a charge. */
  readonly overages: ReadonlyArray<{ readonly charge: string; readonly policy: string; readonly upTo: string; readonly over: string }>
}

export interface Projection {
  readonly subscription: string
  /** In force now. */
  readonly plan: string
  readonly currency: string
  /** The period, as far as the subscription is there. */
  readonly span: SpanValue
  /** Up to when usage is counted. */
  readonly until: bigint
  readonly soFar: Quoted
  readonly projected: Quoted
}

/** Why one subscription has none. */
export interface NotProjected {
  readonly subscription: string
  readonly error: BillingError
}

const spanOf = (subscription: SubscriptionValue, period: SpanValue): SpanValue => ({
  start: subscription.start > period.start ? subscription.start : period.start,
  end: endOf(subscription, period) ?? period.end,
})

const plainQuote = ({ lines, overages, total }: Quote): Quoted => ({
  total: decimalText(total),
  lines: lines.map(({ amount, attribute, charge, quantity, title }) => ({
    charge,
    ...(attribute === undefined ? {} : { attribute }),
    title,
    quantity: plainText(quantity),
    amount: decimalText(amount),
  })),
  overages: overages.map(({ charge, over, policy, upto }) => ({ charge, policy, upTo: plainText(upto), over: plainText(over) })),
})

/** What was used in a span: sums, which go on, and what the other meters have come to, which stays. */
async function usedIn(
  billing: Billing,
  table: PriceTable,
  subscription: SubscriptionValue,
  period: SpanValue,
  span: SpanValue,
): Promise<{ readonly sums: ReadonlyArray<Aggregate>; readonly kept: ReadonlyArray<Aggregate> }> {
  const plans = meterPlans(table)
  let levels: ReadonlyArray<{ readonly meter: string; readonly end: string }> = []
  for await (const { value } of all(billing, kinds.billed, `${subscription.id}/`)) if (value.period.start < period.start) levels = value.levels
  const rating = new Rating({
    table,
    subscription: forRules(subscription),
    period,
    zones: tablesOf(await zonesOf(billing, subscription)),
    prior: {
      quantities: levels.map(({ end, meter }) => ({ meter: plans.findIndex(({ id }) => id === meter), quantity: decimalIn(end), events: 0n })),
      billed: [],
    },
  })
  const added: Array<Aggregate> = []
  let hasRows = levels.length > 0
  try {
    const account = await accountOf(billing, subscription.account)
    await readUsage(
      billing,
      { table, account: account.id, tenants: tenantsOf(account), span, isWhole: true },
      {
        add: async (rows, nameOf) => {
          hasRows = true
          await rating.add(rows, nameOf)
        },
        addSums: async (sums) => void added.push(...sums),
      },
    )
    const rows = new Map<string, Aggregate>()
    // A meter that several charges price has a line for each.
    if (hasRows)
      for (const { attribute, meter, quantity } of await rating.finish(true))
        if (meter !== undefined && plans[meter]?.isSummed !== true)
          rows.set(JSON.stringify([meter, attribute]), { meter, quantity, events: 1n, ...(attribute === undefined ? {} : { attribute }) })
    return {
      sums: added.filter(({ meter }) => plans[meter]?.isGreatest !== true),
      kept: [...added.filter(({ meter }) => plans[meter]?.isGreatest === true), ...rows.values()],
    }
  } finally {
    rating.close()
  }
}

async function project(billing: Billing, subscription: SubscriptionValue, period: SpanValue, at: bigint): Promise<Projection | undefined> {
  const span = spanOf(subscription, period)
  const until = at < span.end ? at : span.end
  if (until <= span.start) return undefined
  const table = await priceTable(billing, subscription.catalogue, await accountOf(billing, subscription.account))
  const { plan, quantities } = termsAt(subscription, period, at)
  const { trialEnd: _, ...agreed } = subscription
  // One plan and its numbers, as the estimate has them.
  const plain = { ...agreed, plan, quantities, changes: subscription.changes.filter(({ what }) => what === "zone") }
  const { kept, sums } = await usedIn(billing, table, plain, period, { start: span.start, end: until })
  const [over, whole] = [until - span.start, span.end - span.start]
  const forward = sums.map(({ quantity, ...rest }) => ({ ...rest, quantity: decimal((coefficientOf(quantity) * whole) / over, quantity.scale) }))
  const counts = Object.entries(quantities).map(([charge, quantity]) => [charge, decimalIn(quantity)] as const)
  const quote = async (used: ReadonlyArray<Aggregate>): Promise<Quoted> =>
    plainQuote(
      await table.ask((catalogue) => table.rules.ask("[method]catalogue.estimate", [catalogue, plan, used, counts, { quantities: [], billed: [] }, false])),
    )
  return {
    subscription: subscription.id,
    plan,
    currency: table.description.currency,
    span,
    until,
    soFar: await quote([...sums, ...kept]),
    projected: await quote([...forward, ...kept]),
  }
}

/**
 * Of each subscription of an account whose period is under way at an instant: what it would cost were the period over, and what it will at its end
 * (`projectionMethod`). Where the rules refuse one, why. Nothing is written.
 * @throws BillingError `Unknown`; StorageError
 */
export async function projectionOf(billing: Billing, account: string, at: bigint): Promise<ReadonlyArray<Projection | NotProjected>> {
  await accountOf(billing, account)
  const found: Array<Projection | NotProjected> = []
  for await (const { id, value } of subscriptionsOf(billing, account)) {
    if (value.next === null) continue
    try {
      const projection = await project(billing, value, value.next, at)
      if (projection !== undefined) found.push(projection)
    } catch (error) {
      if (!(error instanceof BillingError)) throw error
      found.push({ subscription: id, error })
    }
  }
  return found
}
