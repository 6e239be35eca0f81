/**
 * A worked case as what rules are given: catalogue, subscription, usage, and what its lines must say. One translation for each
 * `ask`, from facts and policies alone; what `schemas/billing/README.md` has no word for is answered with the reason.
 */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import { engineZone } from "./engine-zone.ts"
import * as F from "./fraction.ts"
import type { Fraction } from "./fraction.ts"
import type { Aggregate, Billed, Rating, UsageEvent } from "./oracle.ts"
import type { Share } from "./oracle-allocation.ts"
import type { ChangeValue, Credited, CreditItem, Document, DocumentChange } from "./oracle-document.ts"
import { type Change, dayStart, type Plan, type Span, type Subscription, Timeline, type Zone } from "./oracle-time.ts"

/** A case as `cases/README.md` describes it. */
export interface Case {
  readonly id: string
  readonly area: string
  readonly given: Facts
  readonly expected: Readonly<Record<string, unknown>>
}

interface CaseTier {
  readonly upTo: string | null
  readonly unitPrice?: string
  readonly packageSize?: string
  readonly packagePrice?: string
  readonly flatFee?: string
  readonly rate?: string
}

interface CaseCharge {
  readonly model: string
  readonly tiers?: readonly CaseTier[]
  readonly term?: "advance" | "arrears"
  readonly amount?: string
  readonly unitPrice?: string
  readonly per?: string
  readonly packageSize?: string
  readonly packagePrice?: string
  readonly multiplier?: string
  readonly rate?: string
  readonly fixedFee?: string
  readonly minimumPerEvent?: string
  readonly maximumPerEvent?: string
  readonly freeEvents?: number
  readonly freeUnits?: string
  readonly minimum?: string
  readonly maximum?: string
}

interface CaseEvent {
  readonly at?: string
  readonly value?: string
  readonly key?: string
  readonly prorated?: string
  readonly properties?: Readonly<Record<string, string>>
}

interface Dates {
  readonly from: string
  readonly to: string
}

interface Priced {
  readonly price: string
  readonly quantity?: string
}

interface Facts {
  readonly ask: string
  readonly policies?: Readonly<Record<string, string | readonly string[]>>
  readonly currency?: string
  readonly smallestUnit?: string
  readonly charge?: CaseCharge
  readonly quantity?: string
  readonly fullQuantity?: string
  readonly before?: { readonly quantity: string; readonly billed?: string }
  readonly part?: "only" | "first" | "middle" | "last"
  readonly discounts?: ReadonlyArray<{ readonly percent?: string; readonly amount?: string }>
  readonly events?: readonly CaseEvent[]
  readonly aggregation?: Catalogue["meters"][number]["aggregation"]
  readonly groupBy?: readonly string[]
  readonly carried?: string
  readonly period?: Dates
  readonly reference?: Dates
  readonly periodsPerYear?: number
  readonly amount?: string
  readonly start?: string
  readonly from?: string
  readonly to?: string
  readonly zone?: string
  readonly count?: number
  readonly anchorDay?: number
  readonly interval?: { readonly unit: "day" | "week" | "month" | "year"; readonly count: number }
  readonly billedThrough?: string
  readonly price?: string
  readonly used?: Dates
  readonly trialDays?: string
  readonly share?: string
  readonly wholePeriods?: string
  readonly old?: Priced
  readonly new?: Priced
  readonly remaining?: string
  readonly at?: string
  readonly weights?: readonly string[]
  readonly keys?: readonly string[]
  readonly maxima?: readonly string[]
  readonly lines?: readonly CaseLine[]
  readonly allowances?: readonly CaseChange[]
  readonly charges?: readonly CaseChange[]
  readonly credits?: ReadonlyArray<{ readonly amount: string; readonly lines?: readonly string[] }>
  readonly paid?: string
  readonly credited?: string
  readonly discount?: string
  readonly months?: string
  readonly kept?: string
  readonly rounding?: string
}

interface CaseTax {
  readonly code: string
  readonly rate: string
  readonly included?: boolean
}
interface CaseChange {
  readonly percent?: string
  readonly amount?: string
  readonly base?: string
  readonly lines?: readonly string[]
  readonly taxes?: readonly CaseTax[]
}
interface CaseLine {
  readonly id?: string
  readonly amount?: string
  readonly quantity?: string
  readonly unitPrice?: string
  readonly per?: string
  readonly allowances?: readonly CaseChange[]
  readonly charges?: readonly CaseChange[]
  readonly taxes?: readonly CaseTax[]
}

/** What must come out: of the lines of all ratings, those of `charge` or all, added up. */
export interface Answer {
  readonly name: string
  readonly of: "amount" | "exact" | "quantity" | "minor" | "discount" | "maximum" | "minimum" | "price"
  readonly charge?: string
  readonly value: Fraction
}

export interface Calendar {
  readonly catalogue: Catalogue
  readonly subscription: Subscription
  readonly zones: readonly Zone[]
  /** What `periods` answers for this span: when they begin, or how many. */
  readonly within: Span
  readonly begins: readonly bigint[] | number
}

export interface Paper {
  readonly catalogue: Catalogue
  readonly document: Document
  /** Of its taxes, as cases say them. */
  readonly rates: readonly Fraction[]
  readonly isOfCredits: boolean
  readonly expected: Case["expected"]
}

export interface Allocation {
  readonly catalogue: Catalogue
  readonly amount: Fraction
  readonly shares: readonly Share[]
  readonly parts: readonly Fraction[]
}

export interface Note {
  readonly catalogue: Catalogue
  readonly document: Document
  readonly before: readonly Credited[]
  readonly items: readonly CreditItem[]
  /** Net and tax of what is given back. */
  readonly amount: Fraction
}

export type Translated =
  | { readonly ratings: readonly Rating[]; readonly answers: readonly Answer[]; /** Answers that no line has. */ readonly left: readonly string[] }
  | { readonly calendar: Calendar }
  | { readonly document: Paper }
  | { readonly allocation: Allocation }
  | { readonly note: Note }
  | { readonly reason: string }

/** Thrown within a translation, and answered by `translate`. */
class Inexpressible extends Error {}

const cannot = (reason: string): never => {
  throw new Inexpressible(reason)
}

const instant = (text: string): bigint => BigInt(Date.parse(text)) * 1000n
const microsecondsPerDay = 86_400_000_000n
const day = (text: string): number => Number(instant(text) / microsecondsPerDay)
const at = (number: number): bigint => BigInt(number) * microsecondsPerDay
const utc: Zone = { name: "Etc/UTC", release: "", first: 0, changes: [], offsets: [] }
const digits = (text: string): number => (text.split(".")[1] ?? "").replace(/0+$/, "").length
const hundred = F.whole(100)
/** A fraction of one as the percent of a catalogue. */
const percent = (rate: string): string => F.text(F.times(F.read(rate), hundred))
const plain = (text: string): string => F.text(F.read(text))

/** Policies of cases that have a value of ours, by name and value; what is not here has no word in the contract. */
const words: Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, string>> | "default">>>> = {
  "rounding.mode": {
    halfUp: { "rounding.mode": "halfAway" },
    halfDown: { "rounding.mode": "halfDown" },
    halfEven: { "rounding.mode": "halfEven" },
    halfOdd: { "rounding.mode": "halfOdd" },
    up: { "rounding.mode": "up" },
    down: { "rounding.mode": "down" },
  },
  "tiers.zeroQuantity": { firstTierFlatFee: { "tiers.zeroQuantity": "firstTierFlatFee" }, nothing: { "tiers.zeroQuantity": "nothing" } },
  "tiers.beyondLast": { lastTier: { "tiers.beyondLast": "lastTier" } },
  "package.rounding": { up: "default" },
  "minimum.billed": { lastOfPeriod: "default" },
  "billing.timing": { advance: "default" },
  "tax.base": { afterDiscounts: "default" },
  "adjustments.order": { "usageDiscount,price,percentDiscount,minimumMaximum,tax": "default" },
  "proration.basis": { none: { "proration.unit": "none" } },
  "proration.unit": { day: { "proration.unit": "day" }, second: { "proration.unit": "second" } },
  "proration.numerator": {
    actual: "default",
    remainingAfterUsedDays: { "change.day": "old" },
    fixedMonth30: { "dayCount.convention": "30" },
    strict30: { "dayCount.convention": "30-strict" },
  },
  "change.day": { new: "default" },
  "change.credit": { prorated: "default", full: { "change.credit": "full" }, none: { "change.credit": "none" } },
  "change.charge": { prorated: "default", full: { "change.charge": "full" }, none: { "change.charge": "none" } },
  "change.negative": { dropped: { "change.negative": "dropped" } },
  "rounding.nil": { never: { "rounding.nil": "never" } },
  "anchor.stepping": { fromClamped: { "schedule.firstPeriod": "fromNext" } },
  "change.settle": { charge: "default" },
  "change.timing": { nextInvoice: "default" },
  "stub.denominator": { actualPeriod: "default", "30": { "proration.denominator": "30", "proration.whole": "one" } },
  "stub.billing": { prorate: "default", full: { "proration.unit": "none" } },
  "schedule.missingDay": Object.fromEntries(["clampKeepAnchor", "nextDay", "skip", "addDaysOfMonth"].map((value) => [value, { "schedule.missingDay": value }])),
}

/** Policies that have one name, and the same values, here and there. */
const same = new Set(
  "tax.unitScale total.rounding line.rounding tax.prices tax.inclusiveRounds tax.roundingPoint discounts.order discounts.stacking discounts.base discounts.rounding credits.base credits.unused allocation.remainder allocation.tie".split(
    " ",
  ),
)

type Read = (name: string) => string | undefined

/** The policies of a case in our words; those in `own` are read by the translation itself. */
function policiesOf(given: Facts, own: readonly string[] = []): { readonly policies: Record<string, string>; readonly read: Read } {
  const policies: Record<string, string> = { "price.negative": "allowed", "tiers.beyondLast": "lastTier" }
  for (const [name, value] of Object.entries(given.policies ?? {})) {
    if (own.includes(name)) continue
    if (name === "rounding.scale" || name === "rounding.increment" || same.has(name)) {
      policies[name] = String(value)
      continue
    }
    if (name === "tax.roundingMode") {
      const word = words["rounding.mode"]?.[String(value)] ?? cannot(`policy ${name} = ${String(value)}`)
      policies[name] = Object.values(word)[0] as string
      continue
    }
    const word = words[name]?.[String(value)] ?? cannot(`policy ${name} = ${String(value)}`)
    if (word !== "default") Object.assign(policies, word)
  }
  if (given.smallestUnit !== undefined) policies["rounding.increment"] ??= given.smallestUnit
  const read = (name: string) => {
    const value = given.policies?.[name]
    return value === undefined ? undefined : String(value)
  }
  return { policies, read }
}

interface Selling {
  readonly policies: Readonly<Record<string, string>>
  readonly currency?: string | undefined
  readonly meters?: ReadonlyArray<Omit<Catalogue["meters"][number], "unit">>
  readonly unitDigits?: number
  readonly plans: ReadonlyArray<Pick<Plan, "id" | "charges"> & Partial<Plan>>
}

const month = { unit: "month", count: 1 } as const

function catalogueOf({ policies, currency, meters = [], unitDigits = 0, plans }: Selling): Catalogue {
  if (unitDigits > 12) cannot("a unit of more than 12 digits")
  const units = { used: { exponent: unitDigits }, ...(currency === undefined ? { money: { exponent: 2 } } : {}) }
  return {
    name: "case",
    version: "1",
    currency: currency ?? "money",
    units,
    policies: policies as NonNullable<Catalogue["policies"]>,
    meters: meters.map((meter) => ({ unit: "used", ...meter })),
    plans: plans.map((plan) => ({ interval: month, ...plan })),
  }
}

const subscribed = (start: bigint, changes: readonly Change[] = [], more: Partial<Subscription> = {}): Subscription => ({
  id: "case",
  plan: "plan",
  start,
  zone: utc.name,
  quantities: [],
  changes,
  ...more,
})

const january: Span = { start: at(day("2024-01-01T00:00:00Z")), end: at(day("2024-02-01T00:00:00Z")) }

const rating = (catalogue: Catalogue, more: Partial<Rating> = {}): Rating => ({
  catalogue,
  subscription: subscribed(more.period?.start ?? january.start),
  period: january,
  zones: [utc],
  prior: { quantities: [], billed: [] },
  events: [],
  aggregates: [],
  last: true,
  ...more,
})

/* charge */

type Price = Plan["charges"][number]["price"]
type Tiers = Extract<Price, { readonly model: "graduated" }>["tiers"]

function tiersOf(tiers: readonly CaseTier[] = []): Tiers {
  return tiers.map(({ upTo, unitPrice, packageSize, packagePrice, flatFee }) => ({
    upTo: upTo === null ? null : plain(upTo),
    ...(packagePrice === undefined ? { price: plain(unitPrice ?? "0") } : { price: plain(packagePrice), size: plain(packageSize as string) }),
    ...(flatFee === undefined ? {} : { flatFee: plain(flatFee) }),
  })) as unknown as Tiers
}

function priceOf(charge: CaseCharge, steps: string | undefined): Price {
  const { model, tiers } = charge
  switch (model) {
    case "unit":
      return { model, price: charge.unitPrice as string, ...(charge.per === undefined ? {} : { per: charge.per }) }
    case "graduated":
    case "volume":
      return { model, tiers: tiersOf(tiers) }
    case "stairstep":
      return { model: steps === "all" ? "graduated" : "volume", tiers: tiersOf(tiers) }
    case "graduatedPercentage": {
      const own = (tiers ?? []).map(({ upTo, rate = "0", flatFee = "0" }) => ({ upTo, percent: percent(rate), flatFee }))
      return { model, tiers: own } as unknown as Price
    }
    case "package":
      return { model, size: charge.packageSize as string, price: charge.packagePrice as string }
    case "dynamic":
      return { model: "passThrough", multiplier: charge.multiplier as string }
    case "percentage":
      return {
        model,
        percent: percent(charge.rate as string),
        ...(charge.fixedFee === undefined ? {} : { fixedFee: charge.fixedFee }),
        ...(charge.minimumPerEvent === undefined ? {} : { minimum: charge.minimumPerEvent }),
        ...(charge.maximumPerEvent === undefined ? {} : { maximum: charge.maximumPerEvent }),
        ...(charge.freeEvents === undefined ? {} : { freeEvents: charge.freeEvents }),
        ...(charge.freeUnits === undefined ? {} : { freeAmount: charge.freeUnits }),
      }
    default:
      return cannot(`model ${model}`)
  }
}

function modifiersOf({ charge, discounts = [] }: Facts, read: Read): NonNullable<Plan["charges"][number]["modifiers"]> {
  const base = read("minimum.base") === "beforeDiscounts" ? ({ base: "beforeDiscounts" } as const) : {}
  const { freeUnits, minimum, maximum, model } = charge as CaseCharge
  return [
    ...(freeUnits === undefined || model === "percentage" ? [] : [{ modifier: "allowance", quantity: freeUnits } as const]),
    ...discounts.map((one) =>
      one.percent === undefined
        ? ({ modifier: "fixedDiscount", amount: one.amount as string } as const)
        : ({ modifier: "percentDiscount", percent: percent(one.percent) } as const),
    ),
    ...(maximum === undefined ? [] : [{ modifier: "maximum", amount: maximum } as const]),
    ...(minimum === undefined ? [] : [{ modifier: "minimum", amount: minimum, ...base } as const]),
  ]
}

const amount = (value: unknown): Fraction => F.read(value as string)

/** Units with the part of the period for which they are there: those of events, or a quantity of which a count or a fraction says so. */
function partsOf({ events, quantity, fullQuantity, policies }: Facts): readonly CaseEvent[] | undefined {
  if (quantity?.includes("/") === true || fullQuantity !== undefined) {
    const value = fullQuantity ?? (quantity as string).split("/")[0]
    return [{ value: value as string, prorated: quantity as string }]
  }
  return policies?.["tiers.prorated"] === undefined ? undefined : (events ?? [])
}
/** The instant from which on it is there. */
function momentOf({ start, end }: Span, { value, prorated }: CaseEvent): bigint {
  const { n, d } = F.over(F.times(F.read(prorated as string), F.whole(end - start)), F.read(value as string))
  return d === 1n ? end - n : cannot("a part of a period that no instant begins")
}

function charge({ given, expected }: Case): Translated {
  const own = ["rounding.point", "minimum.base", "progressive.method", "stairstep.steps", "adjustments.order", "usage.ratingGroup", "tiers.prorated"]
  const { policies, read } = policiesOf(given, own)
  const { charge, before, part = "only", quantity } = given as Facts & { readonly charge: CaseCharge }
  if (before !== undefined && before.quantity !== "0" && F.read(before.quantity).n !== 0n && read("progressive.method") === "minusBilled")
    cannot("minusBilled with a quantity before")
  if (
    before?.billed !== undefined &&
    read("progressive.method") !== "minusBilled" &&
    F.read(before.quantity).n === 0n &&
    F.read(before.billed).n !== 0n &&
    charge.model === "unit"
  ) {
    cannot("something was billed of which the period's quantity before says nothing")
  }
  const isLast = part === "only" || part === "last"
  const exact = read("rounding.point") === "none"
  const answered: Array<[name: string, of: Answer["of"]]> = [["total", exact ? "exact" : "amount"]]
  // What a case answers of a part of a period, a line has of the whole.
  if (before === undefined || F.read(before.quantity).n === 0n) answered.push(["quantity", "quantity"])
  if (before === undefined) answered.push(["amount", "price"], ["discount", "discount"], ["maximumDiscount", "maximum"], ["trueUp", "minimum"])
  const answers = answered.flatMap(([name, of]) => {
    if (expected[name] === undefined) return []
    const value = amount(expected[name])
    return [{ name, of, value: of === "discount" || of === "maximum" ? F.negated(value) : value }]
  })
  const left = Object.keys(expected).filter((name) => !answers.some((answer) => answer.name === name))
  if (answers.length === 0) cannot(`only ${left.join(", ")} asked, beside what was billed before`)
  if (charge.model === "flat") {
    const when = charge.term === "arrears" ? "arrears" : "advance"
    const catalogue = catalogueOf({
      policies,
      currency: given.currency,
      plans: [{ id: "plan", charges: [{ id: "charge", price: { model: "flat", amount: charge.amount as string }, when }] }],
    })
    const wasBilled = when === "advance" && (part === "middle" || part === "last")
    const billed: Billed[] = wasBilled ? [{ charge: "plan/charge", amount: charge.amount as string }] : []
    return { ratings: [rating(catalogue, { prior: { quantities: [], billed }, last: isLast })], answers, left }
  }
  const price = priceOf(charge, read("stairstep.steps"))
  const group = read("usage.ratingGroup") ?? "period"
  // What reaches its tier together has one attribute: a property, the day, or what only this event has.
  const attributeOf = ({ at: time, properties }: CaseEvent, i: number): string => {
    if (group === "event") return String(i)
    return group === "day" ? (time as string).slice(0, 10) : (properties?.[group.slice("property:".length)] ?? "")
  }
  const period = given.period === undefined ? january : { start: instant(given.period.from), end: instant(given.period.to) }
  // What is there for a part of the period is a level from some instant on.
  const parts = partsOf(given)
  if (read("tiers.prorated") === "unitsByTimeTiersByCount") policies["tiers.timeWeighted"] = "byCount"
  const events = (parts ?? given.events ?? []).map((event, i): UsageEvent => ({
    meter: 0,
    at: parts === undefined ? (event.at === undefined ? period.start + BigInt(i) : instant(event.at)) : momentOf(period, event),
    id: BigInt(i),
    quantity: event.value as string,
    ...(group === "period" ? {} : { attribute: attributeOf(event, i) }),
  }))
  if (parts !== undefined && events.some(({ at }, i) => i > 0 && at < (events[i - 1] as UsageEvent).at))
    cannot("units that go before those came that they are of")
  const within = events.filter((event) => event.at >= period.start && event.at < period.end)
  const bounds = (charge.tiers ?? []).flatMap(({ upTo }) => (upTo === null ? [] : [upTo]))
  const unitDigits = Math.max(
    ...[
      parts === undefined ? (quantity ?? "0") : "0",
      before?.quantity ?? "0",
      charge.freeUnits ?? "0",
      ...bounds,
      ...events.map((event) => event.quantity),
    ].map(digits),
  )
  const modifiers = modifiersOf(given, read)
  const whole = group === "period" ? price : ({ model: "byAttribute", cases: [], otherwise: price } as unknown as Price)
  const catalogue = catalogueOf({
    policies,
    currency: given.currency,
    meters: [{ id: "meter", aggregation: parts === undefined ? "sum" : "timeWeighted" }],
    unitDigits,
    plans: [{ id: "plan", interval: intervalOf(period), charges: [{ id: "charge", meter: "meter", price: whole, modifiers }] }],
  })
  const quantities: Aggregate[] = before === undefined || F.read(before.quantity).n === 0n ? [] : [{ meter: 0, quantity: before.quantity, events: 1 }]
  const billed: Billed[] = before?.billed === undefined ? [] : [{ charge: "plan/charge", amount: before.billed }]
  const aggregates: Aggregate[] = quantity === undefined || parts !== undefined ? [] : [{ meter: 0, quantity, events: 1 }]
  return { ratings: [rating(catalogue, { period, prior: { quantities, billed }, events: within, aggregates, last: isLast })], answers, left }
}

/* meters */

const quantityPlan = (attribute: boolean, period: Span): Pick<Plan, "id" | "charges" | "interval"> => {
  const price = { model: "unit", price: "1" } as const
  const all = attribute ? ({ model: "byAttribute", cases: [], otherwise: price } as const) : price
  return { id: "plan", interval: intervalOf(period), charges: [{ id: "charge", meter: "meter", price: all }] }
}

function aggregate({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["proration.unit", "proration.startedDay"])
  if (read("proration.startedDay") === "used") policies["timeWeighted.unit"] = "day"
  else if (given.aggregation === "timeWeighted" && (read("proration.unit") ?? "second") !== "second") cannot("timeWeighted by days")
  const all = given.events ?? []
  const year = new Date(all[0]?.at ?? "2024-01-01T00:00:00Z").getUTCFullYear()
  const dates = given.period ?? { from: `${year}-01-01T00:00:00Z`, to: `${year + 1}-01-01T00:00:00Z` }
  const period = { start: instant(dates.from), end: instant(dates.to) }
  const events = all.map((event, i): UsageEvent => ({
    meter: 0,
    at: instant(event.at as string),
    id: BigInt(i),
    quantity: event.value ?? "1",
    ...(event.key === undefined ? {} : { key: event.key }),
    ...(given.groupBy === undefined ? {} : { attribute: given.groupBy.map((name) => event.properties?.[name] ?? "").join("/") }),
  }))
  const catalogue = catalogueOf({
    policies,
    meters: [{ id: "meter", aggregation: given.aggregation as "sum" }],
    unitDigits: Math.max(0, ...events.map(({ quantity }) => digits(quantity))),
    plans: [quantityPlan(given.groupBy !== undefined, period)],
  })
  const quantities: Aggregate[] = given.carried === undefined ? [] : [{ meter: 0, quantity: given.carried, events: 0 }]
  return {
    ratings: [rating(catalogue, { period, events, prior: { quantities, billed: [] } })],
    // At a price of 1, which is exact where a mean has no end.
    answers: [{ name: "quantity", of: "exact", value: amount(expected["quantity"]) }],
    left: [],
  }
}

function meter({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["usage.firstIncrement", "usage.increment"])
  const first = read("usage.firstIncrement") as string
  const increment = read("usage.increment") as string
  const events = (given.events ?? []).map((event, i): UsageEvent => ({ meter: 0, at: january.start, id: BigInt(i), quantity: event.value as string }))
  const unitDigits = Math.max(...[first, increment, ...events.map(({ quantity }) => quantity)].map(digits))
  const meters = [{ id: "meter", aggregation: "sum", firstIncrement: first, increment } as const]
  const catalogue = catalogueOf({ policies, meters, unitDigits, plans: [quantityPlan(false, january)] })
  return { ratings: [rating(catalogue, { events })], answers: [{ name: "quantity", of: "quantity", value: amount(expected["quantity"]) }], left: [] }
}

/* money */

function round({ given, expected }: Case, of: "amount" | "minor" = "amount"): Translated {
  const { policies } = policiesOf(given)
  // A fraction is a price of one for several.
  const [price, per = "1"] = (given.amount as string).split("/") as [string, string?]
  if (digits(price) > 18) cannot("an amount of more than 18 digits")
  const charges: Plan["charges"] = [{ id: "charge", counted: true, price: { model: "unit", price: plain(price), per: plain(per) } }]
  const catalogue = catalogueOf({ policies, currency: given.currency, plans: [{ id: "plan", charges }] })
  return { ratings: [rating(catalogue)], answers: [{ name: of, of, value: amount(expected[of]) }], left: [] }
}

/* dates */

const intervalPlan = (interval: Plan["interval"], charges: Plan["charges"] = []): Pick<Plan, "id" | "charges" | "interval"> => ({
  id: "plan",
  interval,
  charges,
})

function calendar({ given, expected }: Case): Translated {
  const { policies } = policiesOf(given)
  const start = instant((given.start ?? given.from) as string)
  const catalogue = catalogueOf({ policies, plans: [intervalPlan(given.interval as Plan["interval"])] })
  const subscription = subscribed(start, [], given.anchorDay === undefined ? {} : { anchorDay: given.anchorDay })
  const of = (within: Span, begins: readonly bigint[]): Translated => ({ calendar: { catalogue, subscription, zones: [utc], within, begins } })
  if (given.ask === "schedule") {
    const dates = (expected["dates"] as readonly string[]).map(instant)
    return of({ start, end: (dates.at(-1) as bigint) + 1n }, dates)
  }
  if (given.ask === "firstAnchor") {
    const date = instant(expected["date"] as string)
    return of({ start, end: date + 1n }, [date])
  }
  return cannot(`ask ${given.ask}`)
}

function counted({ given, expected }: Case): Translated {
  const { policies } = policiesOf(given)
  const start = instant(given.from as string)
  const { unit, count } = given.interval as Plan["interval"]
  const times = given.ask === "periodEnd" ? (given.count as number) : 1
  const catalogue = catalogueOf({ policies, plans: [intervalPlan({ unit, count: count * times })] })
  const end = instant((given.ask === "periodEnd" ? expected["date"] : given.to) as string)
  const begins = given.ask === "periodEnd" ? [end] : Number(expected["periods"])
  return { calendar: { catalogue, subscription: subscribed(start), zones: [utc], within: { start: start + 1n, end: end + 1n }, begins } }
}

function cycles({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["cycles.scale"])
  const scale = read("cycles.scale")
  if (scale !== undefined) policies["rounding.scale"] = scale
  const catalogue = catalogueOf({
    policies,
    plans: [intervalPlan(given.interval as Plan["interval"], [{ id: "charge", price: { model: "flat", amount: "1" } }])],
  })
  const from = instant(given.from as string)
  const end = given.to === undefined ? undefined : instant(given.to)
  const subscription = subscribed(from, end === undefined ? [] : [{ at: end, atPeriodEnd: false, what: "cancel" }], { anchorDay: given.anchorDay })
  const through = given.billedThrough === undefined ? (end as bigint) : instant(given.billedThrough) + 1n
  const periods = new Timeline(catalogue, subscription, [utc]).periods({ start: from - at(4000), end: through }).filter(() => through > from)
  const answers: Answer[] = [{ name: "cycles", of: scale === undefined ? "exact" : "amount", value: amount(expected["cycles"]) }]
  return { ratings: periods.map((period) => rating(catalogue, { period, subscription })), answers, left: expected["amount"] === undefined ? [] : ["amount"] }
}

/** Conventions of cases in our words; ICMA's is a part of a period, which is what is shared out anyway. */
const dayCounts: Readonly<Record<string, string>> = {
  actual: "actual",
  "30/360 bond": "30/360",
  "30E/360": "30E/360",
  "30E/360 ISDA": "30E/360-ISDA",
  "actual/actual ISDA": "actual/actual-ISDA",
  "actual/actual AFB": "actual/actual-AFB",
}

function dayCount({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["dayCount.convention", "dayCount.scale"])
  const convention = read("dayCount.convention")
  const scale = read("dayCount.scale")
  if (scale !== undefined) policies["rounding.scale"] = scale
  const [from, to] = [instant(given.from as string), instant(given.to as string)]
  const answer = (name: string): readonly Answer[] => [{ name, of: "amount", value: amount(expected[name]) }]
  if (convention === "actual/actual ICMA") {
    const period = { start: instant((given.reference as Dates).from), end: instant((given.reference as Dates).to) }
    const price = { model: "unit", price: "1", per: String(given.periodsPerYear) } as const
    const used = forAWhile(policies, undefined, [{ id: "charge", counted: true, price }], period, { start: from, end: to })
    return { ratings: [used], answers: answer("decimal"), left: [] }
  }
  policies["dayCount.convention"] = dayCounts[convention ?? ""] ?? cannot(`policy dayCount.convention = ${convention}`)
  policies["proration.denominator"] = expected["days"] === undefined ? "year" : "1"
  const zone = engineZone(given.zone ?? "Etc/UTC", Date.parse(given.from as string) / 1000 - 86_400 * 400, Date.parse(given.to as string) / 1000 + 86_400 * 400)
  const charges: Plan["charges"] = [{ id: "charge", price: { model: "flat", amount: "1" } }]
  // A period that holds whatever the cases ask for: sixty years from 1970.
  const interval = { unit: "year", count: 60 } as const
  const catalogue = catalogueOf({ policies, plans: [{ ...intervalPlan(interval, charges), align: "calendar" }] })
  const period = { start: dayStart(zone, 0), end: dayStart(zone, day("2030-01-01T00:00:00Z")) }
  const subscription = subscribed(from, [{ at: to, atPeriodEnd: false, what: "cancel" }], { zone: zone.name })
  return {
    ratings: [rating(catalogue, { subscription, zones: [zone], period })],
    answers: answer(expected["days"] === undefined ? "decimal" : "days"),
    left: [],
  }
}

/* parts of periods */

/** A date so many intervals later. */
function later(from: number, { unit, count }: { readonly unit: string; readonly count: number }): number {
  if (unit === "day" || unit === "week") return from + count * (unit === "week" ? 7 : 1)
  const months = count * (unit === "year" ? 12 : 1)
  const date = new Date(from * 86_400_000)
  const first = Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1)
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months + 1, 0)).getUTCDate()
  return first / 86_400_000 + Math.min(date.getUTCDate(), last) - 1
}

/** The interval that leads from one date to another: months where it does, else days. */
function intervalOf({ start, end }: Span): Plan["interval"] {
  const [from, to] = [Number(start / microsecondsPerDay), Number(end / microsecondsPerDay)]
  for (let count = 1; count <= 120; count += 1) if (later(from, { unit: "month", count }) === to) return { unit: "month", count }
  return { unit: "day", count: to - from }
}

/** One period of a plan without charges in which another is in force for a while. */
function forAWhile(
  policies: Readonly<Record<string, string>>,
  currency: string | undefined,
  charges: Plan["charges"],
  period: Span,
  used: Span,
  trialDays = "0",
  quantities: Subscription["quantities"] = [],
): Rating {
  const interval = intervalOf(period)
  const catalogue = catalogueOf({ policies, currency, plans: [{ ...intervalPlan(interval), id: "none" }, intervalPlan(interval, charges)] })
  const changes: Change[] = []
  if (used.start > period.start) changes.push({ at: used.start, atPeriodEnd: false, what: "plan", plan: "plan" })
  if (used.end < period.end) changes.push({ at: used.end, atPeriodEnd: false, what: "cancel" })
  const subscription = subscribed(period.start, changes, { plan: changes[0]?.what === "plan" ? "none" : "plan", quantities })
  const trial = BigInt(trialDays) * microsecondsPerDay
  return rating(catalogue, { period, subscription: trial === 0n ? subscription : { ...subscription, trialEnd: used.start + trial } })
}

function proration({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["proration.denominator", "proration.scale"])
  // A share a/b is a days of b.
  const [days, ofDays] = given.share?.split("/") ?? []
  const { from, to } = given.used ?? { from: "2024-01-01T00:00:00Z", to: new Date(Date.UTC(2024, 0, 1 + Number(days))).toISOString() }
  const used = { start: instant(from), end: instant(to) }
  const of = ofDays ?? read("proration.denominator") ?? "period"
  let period = given.period === undefined ? undefined : { start: instant(given.period.from), end: instant(given.period.to) }
  if (of === "fromStart") period = { start: used.start, end: at(later(day(from), given.interval as Plan["interval"])) }
  else if (of === "beforeEnd") {
    const { unit, count } = given.interval as Plan["interval"]
    period = { start: at(later(day(to), { unit, count: -count })), end: used.end }
  } else if (of !== "period") {
    policies["proration.denominator"] = of
    period ??= { start: used.start, end: used.end }
  }
  if (period === undefined) return cannot("no period")
  if (period.start % microsecondsPerDay !== 0n) return cannot("a period that begins within a day")
  if (used.start < period.start || used.end > period.end) return cannot("time beyond its period")
  const ratings: Rating[] = []
  const answers: Answer[] = []
  const scale = read("proration.scale")
  if (expected["fraction"] !== undefined) {
    const own = { ...policies, ...(scale === undefined ? {} : { "rounding.scale": scale }) }
    ratings.push(forAWhile(own, undefined, [{ id: "share", price: { model: "flat", amount: "1" } }], period, used, given.trialDays))
    answers.push({ name: "fraction", of: scale === undefined ? "exact" : "amount", charge: "plan/share", value: amount(expected["fraction"]) })
  }
  if (expected["amount"] !== undefined) {
    const price = given.price as string
    const charges: Plan["charges"] = [{ id: "charge", counted: true, price: { model: "unit", price } }]
    ratings.push(forAWhile(policies, given.currency, charges, period, used, given.trialDays, [["charge", given.quantity ?? "1"]]))
    const before = F.times(F.read(price), F.read(given.wholePeriods ?? "0"))
    answers.push({ name: "amount", of: "amount", charge: "plan/charge", value: F.minus(amount(expected["amount"]), before) })
  }
  return { ratings, answers, left: [] }
}

/** A change of how many there are at one price. */
function recounted(given: Facts, expected: Case["expected"], policies: Readonly<Record<string, string>>, period: Span, moment: bigint): Translated {
  const [old, next] = [given.old as Priced, given.new as Priced]
  const charges: Plan["charges"] = [{ id: "units", counted: true, price: { model: "unit", price: old.price } }]
  const catalogue = catalogueOf({ policies, currency: given.currency, plans: [intervalPlan(intervalOf(period), charges)] })
  const changes: readonly Change[] = [{ at: moment, atPeriodEnd: false, what: "quantity", charge: "units", quantity: next.quantity ?? "1" }]
  const subscription = subscribed(period.start, changes, { quantities: [["units", old.quantity ?? "1"]] })
  const billed = [{ charge: "plan/units", amount: F.text(F.times(F.read(old.price), F.read(old.quantity ?? "1"))) }]
  return {
    ratings: [rating(catalogue, { period, subscription, prior: { quantities: [], billed } })],
    answers: [{ name: "total", of: "amount", value: amount(expected["total"]) }],
    left: Object.keys(expected).filter((name) => name !== "total"),
  }
}

function change({ given, expected }: Case): Translated {
  const { policies } = policiesOf(given)
  policies["proration.unit"] ??= "second"
  let period = given.period === undefined ? january : { start: instant(given.period.from), end: instant(given.period.to) }
  let moment = given.at === undefined ? period.start : instant(given.at)
  if (given.remaining !== undefined) {
    const { n, d } = F.read(given.remaining)
    period = { start: january.start, end: january.start + d * microsecondsPerDay }
    moment = period.end - n * microsecondsPerDay
  }
  const interval = intervalOf(period)
  const [old, next] = [given.old as Priced, given.new as Priced]
  const of = (id: string, { price }: Priced): Plan["charges"] => [{ id, counted: true, price: { model: "unit", price } }]
  const catalogue = catalogueOf({
    policies,
    currency: given.currency,
    plans: [intervalPlan(interval, of("old", old)), { ...intervalPlan(interval, of("new", next)), id: "next" }],
  })
  const quantities: Subscription["quantities"] = [
    ["old", old.quantity ?? "1"],
    ["new", next.quantity ?? "1"],
  ]
  const subscription = subscribed(period.start, [{ at: moment, atPeriodEnd: false, what: "plan", plan: "next" }], { quantities })
  // Only lines of one charge are set off against each other.
  if (given.policies?.["change.negative"] !== undefined) return recounted(given, expected, policies, period, moment)
  const billed = [{ charge: "plan/old", amount: F.text(F.times(F.read(old.price), F.read(old.quantity ?? "1"))) }]
  const names = { credit: "plan/old", charge: "next/new", total: undefined } as const
  const answers = Object.entries(names).flatMap(([name, charge]): Answer[] =>
    expected[name] === undefined ? [] : [{ name, of: "amount", ...(charge === undefined ? {} : { charge }), value: amount(expected[name]) }],
  )
  if (answers.length === 0) cannot("only the next invoice is asked for")
  return {
    ratings: [rating(catalogue, { period, subscription, prior: { quantities: [], billed } })],
    answers,
    left: Object.keys(expected).filter((name) => !(name in names)),
  }
}

/* documents */

function allocation({ given, expected }: Case): Translated {
  const { policies } = policiesOf(given)
  const { weights = [], keys, maxima } = given
  // Where there are bounds, they are the weights.
  const read = weights.map((weight, i) => F.read(maxima?.[i] ?? weight))
  // Weights that no decimal holds are multiplied alike until they are whole.
  const common = F.whole(read.some((weight) => F.text(weight).includes("/")) ? read.reduce((all, { d }) => all * d, 1n) : 1n)
  const shares = read.map((weight, i): Share => ({
    weight: F.times(weight, common),
    key: keys?.[i],
    atMost: maxima?.[i] === undefined ? undefined : F.read(maxima[i]),
  }))
  const catalogue = catalogueOf({ policies, currency: given.currency ?? "EUR", plans: [] })
  return { allocation: { catalogue, amount: F.read(given.amount as string), shares, parts: (expected["parts"] as readonly string[]).map(F.read) } }
}

function document({ given, expected }: Case): Translated {
  const isOfCredits = given.ask === "applyCredits"
  const { policies } = policiesOf(given)
  if (isOfCredits) policies["credits.base"] ??= "beforeTax"
  const lines = given.lines ?? []
  const ids = lines.map(({ id }, i) => id ?? String(i))
  const places = (names: readonly string[] = []) => names.map((id) => ids.indexOf(id))
  const taxes: CaseTax[] = []
  const taxesOf = (own: readonly CaseTax[] = []) =>
    own.map((tax) => {
      const found = taxes.findIndex((one) => one.code === tax.code && one.rate === tax.rate && one.included === tax.included)
      return found >= 0 ? found : taxes.push(tax) - 1
    })
  const valueOf = ({ percent: share, amount: money, base }: CaseChange): ChangeValue => {
    if (share === undefined) return { amount: F.read(money as string) }
    const of = F.times(F.read(share), hundred)
    return base === undefined ? { percent: of } : { percent: of, of: F.read(base) }
  }
  const changeOf = (isCharge: boolean, one: CaseChange): DocumentChange => ({
    isCharge,
    value: valueOf(one),
    lines: places(one.lines),
    taxes: taxesOf(one.taxes),
  })
  const changes = ({ allowances = [], charges = [] }: Pick<CaseLine, "allowances" | "charges">) => [
    ...allowances.map((one) => changeOf(false, one)),
    ...charges.map((one) => changeOf(true, one)),
  ]
  const made: Document = {
    currency: given.currency ?? "EUR",
    lines: lines.map((line) => ({
      value:
        line.amount === undefined
          ? { quantity: F.read(line.quantity ?? "1"), price: F.read(line.unitPrice as string), per: F.read(line.per ?? "1") }
          : { amount: F.read(line.amount) },
      adjustments: changes(line),
      taxes: taxesOf(line.taxes),
    })),
    discounts: (given.discounts ?? []).map((one) => changeOf(false, one)),
    adjustments: changes(given),
    taxes: [],
    rates: [],
    balances: (given.credits ?? []).map((credit) => ({ amount: F.read(credit.amount), lines: places(credit.lines) })),
    paid: F.read(given.paid ?? "0"),
    rounding: F.read(given.rounding ?? "0"),
  }
  const rates = taxes.map(({ rate }) => F.read(rate))
  const due = taxes.map(({ included }, i) => ({
    rate: F.times(rates[i] as Fraction, hundred),
    treatment: "standard" as const,
    neverIncluded: included === false,
  }))
  const catalogue = catalogueOf({ policies, currency: made.currency, plans: [] })
  return { document: { catalogue, document: { ...made, taxes: due }, rates, isOfCredits, expected } }
}

/** A term of which some months are kept, over months of 30 days, of which each is the same part. */
function shorten({ given, expected }: Case): Translated {
  const { policies, read } = policiesOf(given, ["discounts.onShorten"])
  policies["dayCount.convention"] = "30"
  const months = { unit: "month", count: Number(given.months) } as const
  const price = given.price as string
  const discount = given.discount as string
  const modifiers = [{ modifier: "fixedDiscount", amount: discount, ...(read("discounts.onShorten") === "prorated" ? { prorate: true } : {}) } as const]
  const charges: Plan["charges"] = [{ id: "term", price: { model: "flat", amount: price }, modifiers }]
  const catalogue = catalogueOf({ policies, currency: given.currency, plans: [intervalPlan(months, charges)] })
  const end = at(later(Number(january.start / microsecondsPerDay), { unit: "month", count: Number(given.kept) }))
  const period = { start: january.start, end: at(later(Number(january.start / microsecondsPerDay), months)) }
  const subscription = subscribed(period.start, [{ at: end, atPeriodEnd: false, what: "cancel" }])
  const billed = [{ charge: "plan/term", amount: F.text(F.minus(F.read(price), F.read(discount))) }]
  // A line's steps are of what is kept; a case says what the whole term's become.
  const answers: Answer[] = [
    { name: "regular", of: "price", value: F.plus(amount(expected["regular"]), F.read(price)) },
    { name: "discount", of: "discount", value: F.minus(amount(expected["discount"]), F.read(discount)) },
    { name: "total", of: "amount", value: amount(expected["total"]) },
  ]
  return { ratings: [rating(catalogue, { period, subscription, prior: { quantities: [], billed } })], answers, left: [] }
}

/** One line, of which more was invoiced than is given back. */
function creditLimit({ given, expected }: Case): Translated {
  const [asked, paid, credited] = [given.amount, given.paid, given.credited].map((text) => F.read(text ?? "0")) as [Fraction, Fraction, Fraction]
  const currency = given.currency ?? "EUR"
  const catalogue = catalogueOf({ policies: { "creditNote.limit": "paid", "creditNote.excess": "cut" }, currency, plans: [] })
  const value = { amount: F.total([F.greater(F.zero, asked), paid, credited]) }
  const document: Document = {
    currency,
    lines: [{ value, adjustments: [], taxes: [] }],
    discounts: [],
    adjustments: [],
    taxes: [],
    rates: [],
    balances: [],
    paid,
    rounding: F.zero,
  }
  const before = credited.n === 0n ? [] : [{ line: 0, net: credited, tax: F.zero }]
  return { note: { catalogue, document, before, items: [{ line: 0, what: { amount: asked } }], amount: amount(expected["amount"]) } }
}

const asks: Readonly<Record<string, (one: Case) => Translated>> = {
  charge,
  aggregate,
  meter,
  round: (one) => round(one),
  minorUnits: (one) => round(one, "minor"),
  schedule: calendar,
  firstAnchor: calendar,
  wholePeriods: counted,
  periodEnd: counted,
  dayCount,
  proration,
  change,
  cycles,
  allocate: allocation,
  invoice: document,
  applyCredits: document,
  creditLimit,
  shorten,
}

/** A case as what rules are given, or why it cannot be. */
export function translate(one: Case): Translated {
  const ask = asks[one.given.ask]
  if (ask === undefined) return { reason: `${one.given.ask} answers no lines` }
  try {
    return ask(one)
  } catch (error) {
    if (error instanceof Inexpressible) return { reason: error.message }
    throw error
  }
}
