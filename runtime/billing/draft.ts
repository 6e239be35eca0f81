/**
 * Drawing up an invoice: which periods it is of, what was billed of them before, their usage rated, and the document that the rules assemble of the
 * lines. It reads and asks, and writes nothing; the same state gives the same draft on every node.
 */
import { instantText } from "../../schemas/billing/instant.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Aggregate, Line } from "../../schemas/wit/stele/billing.gen.ts"
import { tenantsOf } from "./account.ts"
import type { Billing, KnownZone } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { coefficientOf, decimal, decimalText } from "./decimal.ts"
import { lateKey } from "./event.ts"
import { fingerprintOf, type Read, readUsage } from "./meter.ts"
import { decimalIn, documentForRules, type DocumentValue, type LineValue, plainLine, plainTotals } from "./plain.ts"
import type { PriceTable } from "./price-table.ts"
import {
  type AccountValue,
  all,
  type BilledValue,
  type DraftValue,
  find,
  get,
  kinds,
  type Row,
  type SpanValue,
  type SubscriptionValue,
  textAt,
  timeKey,
} from "./record.ts"
import { removedOf } from "./removed.ts"
import { countsCalls, meterPlans } from "./source.ts"
import { Rating } from "./rating.ts"
import { dueAt, endOf, forRules, isRatedAgain, periodAt, tablesOf, zonesOf } from "./subscription.ts"
import { type Wallet, walletOf } from "./wallet.ts"

type Kind = "closing" | "opening" | "late"
type RatingValue = DraftValue["ratings"][number]

/** A period of which something has come late that is not billed: records of a tenant were removed, and what is left is less than what it was billed of. */
export interface Unrated {
  readonly period: SpanValue
  readonly tenant: string
}

export interface DrawnPeriod {
  readonly key: string
  readonly before: Row<BilledValue> | undefined
  readonly after: BilledValue
  /** Where nothing of it is on the invoice, although something came: which tenant's records were removed. */
  readonly removedOf: string | undefined
}

/** A draft, and all that it rests on: conditions of its issue. */
export interface Drawn {
  readonly draft: DraftValue
  /** The subscription's next period once it is issued; undefined where it has none. */
  readonly next: SpanValue | undefined
  /** The subscription's last period once it is issued, where it ends and late usage of it is waited for. */
  readonly last: SpanValue | undefined
  readonly subscription: Row<SubscriptionValue>
  readonly account: Row<AccountValue>
  /** Of each period that is rated, by its key: as it was read, and as it is once this is issued, but for this invoice's id. */
  readonly periods: ReadonlyArray<DrawnPeriod>
  /** The account's balance at the version it was read, where some of it is taken. */
  readonly wallet: Wallet | undefined
  /** Of the row that an event of a period that is over writes. */
  readonly late: number | undefined
}

export const invoiceIdOf = (subscription: string, period: SpanValue, sequence: number): string =>
  `${subscription}.${instantText(period.start).replaceAll(/[-:]/g, "")}.${sequence}`

export const billedKey = (subscription: string, period: SpanValue): string => `${subscription}/${timeKey(period.start)}`

interface Drawing {
  readonly billing: Billing
  readonly table: PriceTable
  readonly account: AccountValue
  readonly subscription: SubscriptionValue
  readonly zones: ReadonlyArray<KnownZone>
  readonly now: bigint
}

/** The part of a period in which the subscription is there. */
function spanOf(subscription: SubscriptionValue, period: SpanValue): SpanValue {
  const start = subscription.start > period.start ? subscription.start : period.start
  const end = endOf(subscription, period) ?? period.end
  return { start, end: end > start ? end : start }
}

/** Whether all usage of a period is of one plan, and none of a trial. */
const isWhole = ({ changes, start, trialEnd }: SubscriptionValue, period: SpanValue): boolean =>
  !(trialEnd !== undefined && trialEnd > (start > period.start ? start : period.start)) &&
  // A change at its period's end may be of an earlier instant: no sum is risked.
  !changes.some(({ at, what }) => what === "plan" && at > period.start && at < period.end)

interface Part {
  /** Undefined where it cannot be rated again, since records of a tenant were removed. */
  readonly rating: RatingValue | undefined
  readonly removedOf?: string
  readonly lines: ReadonlyArray<Line>
  readonly after: BilledValue
}

/**
 * Rates one period: undefined where there is nothing new of one that was billed. Of a price list that counts calls it is rated by all of its records or not
 * at all: what is left of them would give back what was rightly billed.
 * @throws BillingError `Removed` of one that is closed
 */
async function rate(drawing: Drawing, kind: Kind, period: SpanValue, before: BilledValue | undefined, startLevels: Levels): Promise<Part | undefined> {
  const { account, billing, subscription, table, zones } = drawing
  // Who has another account's tenant now has not been billed of it then, and who had it has.
  const tenants = before?.tenants ?? tenantsOf(account)
  const span = spanOf(subscription, period)
  const plans = meterPlans(table)
  const levels = plans.flatMap(({ id, level }, meter) => {
    const text = startLevels.get(id)
    return level === undefined || text === undefined ? [] : [{ meter, id, quantity: decimalIn(text) }]
  })
  const fingerprint = kind === "opening" || span.end <= span.start ? "" : await fingerprintOf(billing, account.id, tenants, span)
  const isLevelSame = levels.every(({ id, quantity }) => {
    const kept = before?.levels.find(({ meter }) => meter === id)
    return kept === undefined || coefficientOf(decimalIn(kept.start)) === coefficientOf(quantity)
  })
  if (kind === "late" && before?.fingerprint === fingerprint && isLevelSame) return undefined
  const rating = new Rating({
    table,
    subscription: forRules(subscription),
    period,
    zones: tablesOf(zones),
    prior: {
      quantities: levels.map(({ meter, quantity }): Aggregate => ({ meter, quantity, events: 0n })),
      billed: (before?.billed ?? []).map(({ amount, attribute, charge }) => ({
        charge,
        ...(attribute === undefined ? {} : { attribute }),
        amount: decimalIn(amount),
      })),
    },
  })
  try {
    const read: Read | undefined =
      kind === "opening" || span.end <= span.start
        ? undefined
        : await readUsage(billing, { table, account: account.id, tenants, span, isWhole: isWhole(subscription, period) }, rating)
    const isRemoved = kind === "late" && before?.records !== undefined && read !== undefined && read.records < before.records
    const removed =
      read === undefined || !plans.some((_, meter) => countsCalls(table, meter))
        ? undefined
        : ((await removedOf(billing, tenants, span)) ?? (isRemoved ? tenants.join(", ") : undefined))
    if (removed !== undefined && kind === "closing")
      throw new BillingError("Removed", { subscription: subscription.id, tenant: removed, start: instantText(span.start), end: instantText(span.end) })
    const levelsNow = plans.flatMap(({ id, level, scale }, meter): BilledValue["levels"] => {
      if (level === undefined || kind === "opening") return []
      const start = startLevels.get(id) ?? "0"
      // Of calls whose records are gone, as they were.
      if (removed !== undefined && countsCalls(table, meter))
        return (before?.levels ?? [])
          .filter((one) => one.meter === id)
          .map((one) => ({ ...one, start, end: passedOn(table, startLevels, [one]).get(id) ?? start }))
      const come = read?.levels.get(id)
      const end = level === "latest" ? (come ?? start) : decimalText(decimal(atScale(start, scale) + atScale(come ?? "0", scale), scale))
      return [{ meter: id, start, end, ...(level === "latest" && come !== undefined ? { isSet: true } : {}) }]
    })
    if (removed !== undefined && before !== undefined)
      return { rating: undefined, removedOf: removed, lines: [], after: { ...before, tenants, fingerprint, levels: levelsNow } }
    const found = await rating.finish(kind !== "opening")
    const lines = found.filter(({ amount, meter }) => {
      // What is due in advance is fixed; usage is billed when its period closes, and a late line where it changes something.
      if (kind === "opening") return meter === undefined && coefficientOf(amount) !== 0n
      return kind === "closing" || coefficientOf(amount) !== 0n
    })
    return {
      lines,
      rating: {
        period,
        kind,
        invoices: before?.invoices ?? [],
        prior: before?.billed ?? [],
        ...(read === undefined
          ? {}
          : { usage: { span, tenants, records: read.records, events: read.events, dropped: read.dropped, sums: read.sums, fingerprint } }),
      },
      after: {
        period,
        isClosed: kind !== "opening",
        billed: added(before?.billed ?? [], lines),
        invoices: before?.invoices ?? [],
        ...(kind === "opening" ? {} : { tenants, records: read?.records ?? 0 }),
        fingerprint,
        levels: levelsNow,
      },
    }
  } finally {
    rating.close()
  }
}

const atScale = (text: string, scale: number): bigint => {
  const value = decimalIn(text)
  return coefficientOf(value) * 10n ** BigInt(Math.max(0, scale - value.scale))
}

/** What was billed of each charge, with what these lines bill. */
function added(billed: BilledValue["billed"], lines: ReadonlyArray<Line>): BilledValue["billed"] {
  const sums = new Map<string, BilledValue["billed"][number]>()
  const keyOf = (charge: string, attribute: string | undefined): string => JSON.stringify([charge, attribute])
  for (const one of billed) sums.set(keyOf(one.charge, one.attribute), one)
  for (const { amount, attribute, charge } of lines) {
    const key = keyOf(charge, attribute)
    const before = sums.get(key)
    const text = before === undefined ? decimalText(amount) : decimalText(decimal(atScale(before.amount, amount.scale) + coefficientOf(amount), amount.scale))
    sums.set(key, { charge, ...(attribute === undefined ? {} : { attribute }), amount: text })
  }
  return [...sums.values()]
}

/** Taxes, discounts, rates and balances of an account beside its lines. */
async function documentOf(drawing: Drawing, lines: ReadonlyArray<LineValue>, period: SpanValue): Promise<DocumentValue> {
  const { account, billing, now, table } = drawing
  const { currency } = table.description
  const rates: Array<DocumentValue["rates"][number]> = []
  if (currency !== account.currency) {
    const rate = await billing.rate?.(currency, account.currency, now)
    if (rate === undefined) throw new BillingError("Rate", { source: currency, currency: account.currency, account: account.id })
    rates.push({ source: currency, value: rate.value, note: rate.note })
  }
  const taxes = account.taxes ?? []
  const discounts = (account.discounts ?? []).flatMap(({ amount, charges, id, percent, until }) => {
    if (until !== undefined && period.end > until) return []
    const places = lines.flatMap(({ charge }, place) => (charges === undefined || charges.includes(charge) ? [place] : []))
    // Of nothing: a list of no lines would be all of them.
    if (places.length === 0) return []
    return [{ id, ...(amount === undefined ? {} : { amount }), ...(percent === undefined ? {} : { percent }), lines: charges === undefined ? [] : places }]
  })
  return {
    currency: account.currency,
    lines: lines.map(({ amount, span, taxCategory, title }) => ({
      title,
      amount,
      currency,
      taxes: taxes.flatMap(({ categories }, place) => (categories === undefined || categories.includes(taxCategory) ? [place] : [])),
      span,
    })),
    discounts,
    taxes: taxes.map(({ code, neverIncluded = false, rate, treatment }) => ({ code, rate, treatment, neverIncluded })),
    rates,
    balances: [],
  }
}

/** Periods that are closed, oldest first. */
async function earlier(billing: Billing, { id, next }: SubscriptionValue): Promise<ReadonlyArray<Row<BilledValue> & { readonly id: string }>> {
  const found: Array<Row<BilledValue> & { readonly id: string }> = []
  for await (const row of all(billing, kinds.billed, `${id}/`)) if (next === null || row.value.period.start < next.start) found.push(row)
  return found
}

type Levels = ReadonlyMap<string, string>

const endsOf = ({ levels }: Pick<BilledValue, "levels">): Levels => new Map(levels.map(({ end, meter }) => [meter, end]))

/** Levels at the end of a period that is not rated again, where it began with others than it was billed with: what it changed is changed still. */
function passedOn(table: PriceTable, levels: Levels, kept: BilledValue["levels"]): Levels {
  const found = new Map(levels)
  for (const { id, level, scale } of meterPlans(table)) {
    const own = kept.find(({ meter }) => meter === id)
    if (level === undefined || own === undefined) continue
    const start = levels.get(id) ?? "0"
    const isSet = own.isSet === true || own.end !== own.start
    if (level === "latest") found.set(id, isSet ? own.end : start)
    else found.set(id, decimalText(decimal(atScale(own.end, scale) + atScale(start, scale) - atScale(own.start, scale), scale)))
  }
  return found
}

/** Rates periods again, as long as they are, and answers with the levels that they end with. */
async function rateAgain(
  drawing: Drawing,
  rows: ReadonlyArray<Row<BilledValue>>,
  from: Levels,
  take: (part: Part, row: Row<BilledValue>) => void,
): Promise<Levels> {
  let levels = from
  for (const row of rows) {
    const { period } = row.value
    const part = isRatedAgain(drawing.billing, drawing.subscription, period) ? await rate(drawing, "late", period, row.value, levels) : undefined
    if (part !== undefined) take(part, row)
    levels = part === undefined ? passedOn(drawing.table, levels, row.value.levels) : endsOf(part.after)
  }
  return levels
}

/**
 * Levels of meters at a subscription's start: where its predecessor ended, which is therefore billed before it. What has come late of that one and is billed
 * by its last invoice counts here already: this one's first periods may be rated no more by then.
 * @throws BillingError `NotDue`, and as `draw`
 */
async function inherited({ account, billing, now, subscription: { id, predecessor } }: Drawing): Promise<Levels> {
  if (predecessor === undefined) return new Map()
  const before = await find(billing, kinds.subscription, predecessor)
  if (before === undefined) return new Map()
  if (before.value.next !== null) throw new BillingError("NotDue", { subscription: id, detail: `"${predecessor}", which it goes on from, is billed before it` })
  const drawing = await drawingOf(billing, account, before.value, now)
  return rateAgain(drawing, await earlier(billing, before.value), await inherited(drawing), () => undefined)
}

/** @throws BillingError `Unknown`, `Rules`, `Zone` */
async function drawingOf(billing: Billing, account: AccountValue, subscription: SubscriptionValue, now: bigint): Promise<Drawing> {
  const table = await priceTable(billing, subscription.catalogue, account)
  return { billing, table, account, subscription, zones: await zonesOf(billing, subscription), now }
}

/** A period that has not begun is no invoice's, however early one is wanted: asked for once more it would be the next period's. */
async function notBegun(billing: Billing, subscription: SubscriptionValue, next: SpanValue): Promise<BillingError> {
  const last = (await earlier(billing, subscription)).at(-1)?.value.invoices.at(-1)
  const number = last === undefined ? undefined : (await find(billing, kinds.invoice, last))?.value.number
  const before = number === undefined ? "" : `, and what was before is billed by ${number}`
  return new BillingError("NotDue", { subscription: subscription.id, detail: `its next period begins at ${instantText(next.start)}${before}` })
}

/**
 * Draws up the next invoice of a subscription.
 * @throws BillingError `Unknown`, `NotDue` before the period's end and the grace after it (early: before its start), `Rules`, `RulesStopped`, `Rate`, `Zone`
 */
export async function draw(billing: Billing, id: string, { isEarly = false }: { readonly isEarly?: boolean } = {}): Promise<Drawn> {
  const subscription = await get(billing, kinds.subscription, id)
  const { last, next, sequence } = subscription.value
  // Of one that has ended, what came late of its last periods.
  const of = next ?? last
  const due = dueAt(billing, subscription.value)
  if (of === undefined || due === undefined) throw new BillingError("NotDue", { subscription: id, detail: "it has ended, and all of it is billed" })
  const now = await billing.now()
  if (!isEarly && now < due)
    throw new BillingError("NotDue", { subscription: id, detail: `it is due at ${instantText(due)}, and now it is ${instantText(now)}` })
  if (next !== null && next.start > now) throw await notBegun(billing, subscription.value, next)
  const account = await get(billing, kinds.account, subscription.value.account)
  // Before any usage is read.
  const late = await textAt(billing, lateKey(account.value.id))
  const drawing = await drawingOf(billing, account.value, subscription.value, now)
  const { table, zones } = drawing
  const periods: Array<DrawnPeriod> = []
  const parts: Array<{ readonly rating: RatingValue; readonly lines: ReadonlyArray<Line> }> = []
  const take = (part: Part | undefined, before: Row<BilledValue> | undefined): void => {
    if (part === undefined) return
    const { after, lines, rating } = part
    if (rating !== undefined) parts.push({ rating, lines })
    periods.push({ key: billedKey(id, after.period), before, after, removedOf: part.removedOf })
  }
  let following: SpanValue | undefined
  if (next !== null && sequence === 0) {
    following = next
    take(await rate(drawing, "opening", next, undefined, new Map()), undefined)
  } else {
    const levels = await rateAgain(drawing, await earlier(billing, subscription.value), await inherited(drawing), take)
    if (next !== null) {
      const own = await findBilled(billing, id, next)
      take(await rate(drawing, "closing", next, own?.value, levels), own)
      following = await periodAt(billing, table, subscription.value, next.end)
    }
    if (following !== undefined) {
      const row = await findBilled(billing, id, following)
      take(await rate(drawing, "opening", following, row?.value, new Map()), row)
    }
  }
  const meterIds = table.description.meters.map(({ id: meter }) => meter)
  const lines = parts.flatMap(({ lines: of }, place) => of.map((line) => plainLine(line, meterIds, place)))
  const assemble = async (of: DocumentValue) =>
    plainTotals(await table.ask((catalogue) => table.rules.ask("[method]catalogue.assemble", [catalogue, documentForRules(of)])))
  const plain = await documentOf(drawing, lines, of)
  const gross = await assemble(plain)
  const exponent = decimalIn(gross.payable).scale
  const wallet = await walletOf(billing, account.value, exponent)
  const document = wallet === undefined ? plain : { ...plain, balances: [{ id: "wallet", amount: wallet.amount }] }
  const totals = wallet === undefined ? gross : await assemble(document)
  const invoice = invoiceIdOf(id, of, sequence)
  return {
    subscription,
    account,
    next: following,
    last: next !== null && following === undefined ? next : undefined,
    periods,
    wallet,
    late: late?.version,
    draft: {
      id: invoice,
      entity: billing.entity,
      account: account.value,
      subscription: subscription.value,
      period: of,
      sequence,
      currency: account.value.currency,
      exponent,
      catalogue: { digest: table.digest, name: table.description.name, version: table.description.version },
      rules: table.rules.plugin.digest,
      zones: zones.map(({ digest, zone }) => ({ name: zone.name, release: zone.release, digest })),
      ratings: parts.map(({ rating }) => rating),
      lines,
      document,
      totals,
    },
  }
}

const findBilled = (billing: Billing, id: string, period: SpanValue): Promise<Row<BilledValue> | undefined> =>
  find(billing, kinds.billed, billedKey(id, period))
