/**
 * The oracle: what a catalogue makes of usage, in exact fractions, written from `schemas/billing/README.md` alone and apart from
 * `plugins/billing`, which it judges. Plain where the rules are fast: it sorts and adds everything anew for each line.
 */
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import * as F from "./fraction.ts"
import type { Fraction, RoundingMode } from "./fraction.ts"
import { ofEach, refuse, Unspecified } from "./oracle-problem.ts"
import { dayOf, numberOf, type Part, type Plan, type Span, type Subscription, Timeline, type Zone } from "./oracle-time.ts"

export interface UsageEvent {
  readonly meter: number
  readonly at: bigint
  readonly id: bigint
  readonly quantity: string
  readonly attribute?: string | undefined
  readonly key?: string | undefined
}

export interface Aggregate {
  readonly meter: number
  readonly attribute?: string | undefined
  readonly quantity: string
  readonly events: number
}

export interface Billed {
  /** `PLAN/CHARGE`. */
  readonly charge: string
  readonly attribute?: string | undefined
  readonly amount: string
}

/** All that the lines of one period depend on. */
export interface Rating {
  readonly catalogue: Catalogue
  readonly subscription: Subscription
  readonly period: Span
  readonly zones: readonly Zone[]
  readonly prior: { readonly quantities: readonly Aggregate[]; readonly billed: readonly Billed[] }
  readonly events: readonly UsageEvent[]
  readonly aggregates: readonly Aggregate[]
  readonly last: boolean
}

export interface Line {
  readonly charge: string
  readonly attribute?: string | undefined
  readonly meter?: number | undefined
  /** Of the period, before modifiers; of a fixed charge the sum of shares × numbers. */
  readonly quantity: Fraction
  /** What of it is priced. */
  readonly charged: Fraction
  /** Of the whole period, unrounded. */
  readonly exact: Fraction
  readonly billed: Fraction
  /** Rounded, without what was billed. */
  readonly amount: Fraction
  /** What each kind of step adds to `exact`; what rounding adds at last is not here. */
  readonly steps: Readonly<Record<StepKind, Fraction>>
}

export type StepKind = "price" | "discount" | "maximum" | "minimum" | "commitment" | "rounding"
type Meter = Catalogue["meters"][number]
type Charge = Plan["charges"][number]
type Price = Charge["price"]
type Of<M extends Price["model"]> = Extract<Price, { readonly model: M }>
type Modifier = NonNullable<Charge["modifiers"]>[number]

/** ISO 4217, table A.1: currencies whose minor unit is not a hundredth. */
const exponents: Readonly<Record<string, number>> = {
  ...Object.fromEntries("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(" ").map((code) => [code, 0])),
  ...Object.fromEntries("BHD IQD JOD KWD LYD OMR TND".split(" ").map((code) => [code, 3])),
  ...Object.fromEntries("CLF UYW".split(" ").map((code) => [code, 4])),
}

/** Digits after the point of a catalogue's amounts. */
export function exponentOf({ currency, currencyOn, units }: Catalogue): number {
  const unit = units?.[currency]
  if (unit !== undefined) return unit.exponent
  if (currencyOn !== undefined) throw new Unspecified("currencies of a day: the oracle knows today's")
  return exponents[currency] ?? 2
}

interface Rounding {
  readonly step: Fraction
  readonly mode: RoundingMode
  /** What is something is not rounded to nothing. */
  readonly keeps: boolean
}

export function roundingOf(catalogue: Catalogue): Rounding {
  const policies = catalogue.policies ?? {}
  const increment = policies["rounding.increment"]
  const scale = policies["rounding.scale"] ?? exponentOf(catalogue)
  return {
    step: increment === undefined ? F.fraction(1n, 10n ** BigInt(scale)) : F.read(increment),
    mode: policies["rounding.mode"] ?? "halfAway",
    keeps: policies["rounding.nil"] === "never",
  }
}

export function round(amount: Fraction, { step, mode, keeps }: Rounding): Fraction {
  const rounded = F.rounded(amount, step, mode)
  if (!keeps || rounded.n !== 0n || amount.n === 0n) return rounded
  return F.isNegative(amount) ? F.negated(step) : step
}
const percentOf = (percent: string): Fraction => F.over(F.read(percent), F.whole(100))
const started = (quantity: Fraction, size: string): Fraction => F.whole(F.ceiling(F.over(quantity, F.read(size))))

/* Models. */

interface TierLike {
  readonly upTo: string | null
  readonly flatFee?: string
}

/** A quantity's tiers: each that is reached with its units, or the one that it lies in with all of them. */
function tiersOf<T extends TierLike>(tiers: readonly T[], quantity: Fraction, all: boolean): Array<{ readonly tier: T; readonly units: Fraction }> {
  const reached: Array<{ tier: T; units: Fraction }> = []
  let from = F.zero
  for (const [i, tier] of tiers.entries()) {
    const isLast = i === tiers.length - 1 || tier.upTo === null
    const within = isLast || F.compare(quantity, F.read(tier.upTo as string)) <= 0
    if (within && all) return [{ tier, units: quantity }]
    if (within) return [...reached, { tier, units: F.minus(quantity, from) }]
    reached.push({ tier, units: F.minus(F.read(tier.upTo as string), from) })
    from = F.read(tier.upTo as string)
  }
  return reached
}

/** What tiers make, each of its units by `makes`, with the flat fees that are due. */
function tiered<T extends TierLike>(
  tiers: readonly T[],
  quantity: Fraction,
  all: boolean,
  zeroIsNothing: boolean,
  makes: (tier: T, units: Fraction) => Fraction,
  hasFees = true,
): Fraction {
  const fee = ({ flatFee = "0" }: T) => (!hasFees || (zeroIsNothing && !F.isPositive(quantity)) ? F.zero : F.read(flatFee))
  return F.total(tiersOf(tiers, quantity, all).map(({ tier, units }) => F.plus(makes(tier, units), fee(tier))))
}

function ofTier(tier: Of<"graduated">["tiers"][number], units: Fraction): Fraction {
  const price = F.read(tier.price ?? "0")
  if (tier.size !== undefined) return F.times(started(units, tier.size), price)
  return F.over(F.times(units, price), F.read(tier.per ?? "1"))
}

function ofBlocks({ tiers, mode }: Of<"blocks">, quantity: Fraction): Fraction {
  if (!F.isPositive(quantity)) return F.zero
  let left = quantity
  let amount = F.zero
  for (const { size, count, price } of tiers) {
    const room = count === null ? undefined : F.times(F.whole(count), F.read(size))
    const within = room === undefined || F.compare(left, room) <= 0
    if (within && mode === "reached") return F.times(started(quantity, size), F.read(price))
    amount = F.plus(amount, F.times(started(within ? left : room, size), F.read(price)))
    if (within) return amount
    left = F.minus(left, room)
  }
  throw new Unspecified("blocks whose last count is not null")
}

/** Events of `percentage`, in order; answers also what of their quantity is not free. */
function ofEvents(
  price: Of<"percentage">,
  quantities: readonly Fraction[],
  before: ReadonlyArray<{ readonly quantity: Fraction; readonly events: number }>,
): { readonly amount: Fraction; readonly paid: Fraction } {
  let events = price.freeEvents
  let free = price.freeAmount === undefined ? undefined : F.read(price.freeAmount)
  for (const used of before) {
    if (events !== undefined) events = Math.max(0, events - used.events)
    if (free !== undefined) free = F.greater(F.zero, F.minus(free, used.quantity))
  }
  let amount = F.zero
  let paid = F.zero
  for (const quantity of quantities) {
    const mayBeFree = (events !== undefined || free !== undefined) && (events === undefined || events > 0) && (free === undefined || F.isPositive(free))
    let ofIt = F.zero
    if (mayBeFree) {
      ofIt = free === undefined ? quantity : F.isNegative(quantity) ? F.zero : F.smaller(quantity, free)
      if (events !== undefined) events -= 1
      if (free !== undefined) free = F.minus(free, ofIt)
      if (F.same(ofIt, quantity)) continue
    }
    const rest = F.minus(quantity, ofIt)
    let due = F.plus(F.times(percentOf(price.percent), rest), F.read(price.fixedFee ?? "0"))
    if (price.minimum !== undefined) due = F.greater(due, F.read(price.minimum))
    if (price.maximum !== undefined) due = F.smaller(due, F.read(price.maximum))
    amount = F.plus(amount, due)
    paid = F.plus(paid, rest)
  }
  return { amount, paid }
}

/** What a model makes of a quantity. */
export function priced(price: Price, quantity: Fraction, zeroIsNothing: boolean): Fraction {
  switch (price.model) {
    case "flat":
      return F.read(price.amount)
    case "unit":
      return F.over(F.times(quantity, F.read(price.price)), F.read(price.per ?? "1"))
    case "seat":
      return F.times(quantity, F.read(price.price))
    case "graduated":
    case "volume":
      return tiered(price.tiers, quantity, price.model === "volume", zeroIsNothing, ofTier)
    case "graduatedPercentage":
      return tiered(price.tiers, quantity, false, zeroIsNothing, ({ percent }, units) => F.times(units, percentOf(percent)))
    case "package":
      return F.times(started(quantity, price.size), F.read(price.price))
    case "blocks":
      return ofBlocks(price, quantity)
    case "passThrough":
      return F.times(quantity, F.read(price.multiplier))
    case "capacity":
      return F.over(F.times(F.greater(quantity, F.read(price.committed ?? "0")), F.read(price.price)), F.read(price.per ?? "1"))
    case "unset":
      return quantity.n === 0n ? F.zero : refuse("unpriced", "a price to be agreed upon")
    case "percentage":
    case "byAttribute":
      throw new TypeError(`${price.model} prices no single quantity`)
  }
}

/* Modifiers. */

/** What the modifiers of quantities leave of one. */
function allowed(modifiers: readonly Modifier[], quantity: Fraction, share: Fraction): Fraction {
  let left = quantity
  for (const modifier of modifiers) {
    if (modifier.modifier === "usageDiscount") left = F.times(left, F.minus(F.one, percentOf(modifier.percent)))
    if (modifier.modifier !== "allowance" || F.isNegative(left)) continue
    left = F.greater(F.zero, F.minus(left, F.times(F.read(modifier.quantity), modifier.prorate === true ? share : F.one)))
  }
  return left
}

/** What the other modifiers make of an amount, in order; of it `billed` was billed before and has had its discounts. */
function modified(modifiers: readonly Modifier[], price: Fraction, share: Fraction, last: boolean, each: Rounding | undefined, billed = F.zero) {
  const steps: Record<StepKind, Fraction> = { price, discount: F.zero, maximum: F.zero, minimum: F.zero, commitment: F.zero, rounding: F.zero }
  const settle = (amount: Fraction): Fraction => {
    if (each === undefined) return amount
    const settled = round(amount, each)
    steps.rounding = F.plus(steps.rounding, F.minus(settled, amount))
    return settled
  }
  let amount = price
  let undiscounted = price
  let begun = false
  for (const modifier of modifiers) {
    if (modifier.modifier === "allowance" || modifier.modifier === "usageDiscount") continue
    if (!last && (modifier.modifier === "minimum" || modifier.modifier === "commitment")) continue
    if (!begun) {
      amount = settle(amount)
      undiscounted = amount
      begun = true
    }
    const isDiscount = modifier.modifier === "percentDiscount" || modifier.modifier === "fixedDiscount"
    const changed = changedBy(modifier, amount, undiscounted, share, billed)
    const kind = isDiscount ? "discount" : modifier.modifier
    steps[kind] = F.plus(steps[kind], F.minus(changed, amount))
    const settled = settle(changed)
    if (!isDiscount) undiscounted = F.plus(undiscounted, F.minus(changed, amount))
    if (each !== undefined) undiscounted = round(undiscounted, each)
    amount = settled
  }
  return { amount, steps }
}

function changedBy(
  modifier: Exclude<Modifier, { readonly modifier: "allowance" | "usageDiscount" }>,
  amount: Fraction,
  undiscounted: Fraction,
  share: Fraction,
  billed: Fraction,
): Fraction {
  if (modifier.modifier === "percentDiscount") return F.plus(billed, F.times(F.minus(amount, billed), F.minus(F.one, percentOf(modifier.percent))))
  const own = F.times(F.read(modifier.amount), modifier.prorate === true ? share : F.one)
  if (modifier.modifier === "fixedDiscount") return F.isNegative(amount) ? amount : F.greater(F.zero, F.minus(amount, own))
  if (modifier.modifier === "maximum") return F.smaller(amount, own)
  return F.plus(amount, F.greater(F.zero, F.minus(own, modifier.base === "beforeDiscounts" ? undiscounted : amount)))
}

/* Meters. */

/** Events in order, each once. */
function eventsOf(rating: Rating, timeline: Timeline): UsageEvent[] {
  const { period, subscription } = rating
  const known = new Map<string, UsageEvent>()
  for (const event of rating.events) {
    const { id, at, meter } = event
    if (rating.catalogue.meters[meter] === undefined) refuse("unknown-meter", `${meter}`)
    if (at < period.start || at < subscription.start || at >= timeline.endIn(period)) refuse("outside-period", `event/${id}`)
    const key = `${id} ${at} ${meter}`
    const before = known.get(key)
    const isSame =
      before === undefined ||
      (F.same(F.read(before.quantity), F.read(event.quantity)) &&
        (before.attribute ?? "") === (event.attribute ?? "") &&
        (before.key ?? "") === (event.key ?? ""))
    if (!isSame) refuse("conflict", `event/${id}`)
    known.set(key, event)
  }
  return [...known.values()].toSorted((a, b) => (a.at !== b.at ? (a.at < b.at ? -1 : 1) : a.id !== b.id ? (a.id < b.id ? -1 : 1) : a.meter - b.meter))
}

/** A quantity as its meter's unit has it. */
function settled(meter: Meter, catalogue: Catalogue, text: string): Fraction {
  const quantity = F.read(text)
  const step = F.fraction(1n, 10n ** BigInt((catalogue.units?.[meter.unit] ?? refuse("unknown-unit", meter.unit)).exponent))
  if (step.d % quantity.d === 0n) return quantity
  if (catalogue.policies?.["input.excess"] !== "round") refuse("exponent-mismatch", text)
  return F.rounded(quantity, step, roundingOf(catalogue).mode)
}

/** An event's quantity, raised to its meter's increments. */
function metered(meter: Meter, catalogue: Catalogue, text: string): Fraction {
  const quantity = settled(meter, catalogue, text)
  if (!F.isPositive(quantity)) return quantity
  const first = F.read(meter.firstIncrement ?? "0")
  if (F.compare(quantity, first) <= 0) return first
  if (meter.increment === undefined) return quantity
  return F.plus(first, F.times(started(F.minus(quantity, first), meter.increment), F.read(meter.increment)))
}

/** What a charge's line is about: usage of one plan, meter and attribute; of a level all of the period's. */
interface Usage {
  readonly events: readonly UsageEvent[]
  readonly prior: readonly Aggregate[]
  readonly added: readonly Aggregate[]
}

const isLevel = ({ aggregation }: Meter): boolean => aggregation === "latest" || aggregation === "timeWeighted"

/** What refuses aggregates where they say less than is needed. */
function checksOfAggregates({ catalogue, aggregates, prior }: Rating, hasTimes: boolean): Array<() => Line[]> {
  const meterOf = ({ meter, quantity }: Aggregate): Meter => {
    const found = catalogue.meters[meter] ?? refuse("unknown-meter", `${meter}`)
    settled(found, catalogue, quantity)
    return found
  }
  const ofPrior = prior.quantities.map((one) => () => {
    const meter = meterOf(one)
    if (meter.aggregation === "unique") refuse("conflict", `aggregates of ${meter.aggregation}`)
    if (hasTimes && !isLevel(meter)) refuse("conflict", "aggregates in a period of a trial or of two plans")
    if (meter.aggregation === "latest" && prior.quantities.filter((other) => other.meter === one.meter).length > 1) refuse("conflict", "two levels")
    return []
  })
  const ofAdded = aggregates.map((one) => () => {
    const meter = meterOf(one)
    const byEvent = catalogue.plans.some(({ charges }) => charges.some(({ meter: id, price }) => id === meter.id && isOfEvents(price)))
    if (byEvent || isLevel(meter) || meter.aggregation === "unique") refuse("conflict", `aggregates where single events decide`)
    if (hasTimes) refuse("conflict", "aggregates in a period of a trial or of two plans")
    return []
  })
  return [...ofPrior, ...ofAdded]
}

const isOfEvents = (price: Price): boolean =>
  price.model === "byAttribute"
    ? [...price.cases.map((one) => one.price), price.otherwise].some((one) => one?.model === "percentage")
    : price.model === "percentage"

/** A level within the time of a plan. */
interface Levels {
  /** How long it was at what, where that is some time. */
  readonly held: ReadonlyArray<{ readonly level: Fraction; readonly time: Fraction }>
  readonly whole: Fraction
  readonly ending: Fraction
}

/** A level from change to change, in microseconds or in dates. */
function levelsOf(meter: Meter, { rating, parts, timeline }: Sale, usage: Usage): Levels {
  const { catalogue, period } = rating
  const zone = timeline.zoneIn(period)
  const moment = (at: bigint): bigint => (catalogue.policies?.["timeWeighted.unit"] === "day" ? BigInt(dayOf(zone, at)) : at)
  const carried = F.total(usage.prior.map(({ quantity }) => settled(meter, catalogue, quantity)))
  const changes = usage.events.map(({ at, quantity }) => ({ at: moment(at), by: metered(meter, catalogue, quantity) }))
  const after = (at: bigint): Fraction => F.total([carried, ...changes.filter((one) => one.at <= at).map(({ by }) => by)])
  let ending = F.zero
  const held = parts.flatMap(({ span, trial }) => {
    const [start, end] = [moment(span.start), moment(span.end)]
    if (trial || start === end) return []
    const times = [...new Set([start, ...changes.map(({ at }) => at).filter((at) => at > start && at < end)])].toSorted((a, b) => (a < b ? -1 : 1))
    ending = after(times.at(-1) as bigint)
    return times.map((at, i) => ({ level: after(at), time: F.whole((times[i + 1] ?? end) - at) }))
  })
  return { held, whole: F.whole(moment(period.end) - moment(period.start)), ending }
}
const meanOf = ({ held, whole }: Levels, of: (level: Fraction) => Fraction): Fraction =>
  F.over(F.total(held.map(({ level, time }) => F.times(of(level), time))), whole)

/** What tiers make of a level that reaches them at each time, with the fees of those that it reached. */
function ofLevels(price: Of<"graduated"> | Of<"volume"> | Of<"graduatedPercentage">, levels: Levels, zeroIsNothing: boolean): Fraction {
  const most = levels.held.reduce((greatest, { level }) => F.greater(greatest, level), F.zero)
  const reached = price.model === "volume" ? levels.ending : most
  const all = price.model === "volume"
  const feesDue = tiered<TierLike>(price.tiers, reached, all, zeroIsNothing, () => F.zero)
  if (price.model === "graduatedPercentage") {
    const units = (level: Fraction) => tiered(price.tiers, level, false, true, ({ percent }, own) => F.times(own, percentOf(percent)), false)
    return F.plus(F.greater(F.zero, meanOf(levels, units)), feesDue)
  }
  if (price.model === "volume") {
    const mean = meanOf(levels, (level) => level)
    const units = F.total(tiersOf(price.tiers, reached, true).map(({ tier }) => ofTier(tier, mean)))
    return F.plus(F.greater(F.zero, units), feesDue)
  }
  const units = (level: Fraction) => tiered(price.tiers, level, false, true, ofTier, false)
  return F.plus(F.greater(F.zero, meanOf(levels, units)), feesDue)
}
const isOfTiers = (price: Price): price is Of<"graduated"> | Of<"volume"> | Of<"graduatedPercentage"> =>
  price.model === "graduated" || price.model === "volume" || price.model === "graduatedPercentage"

function quantityOf(meter: Meter, sale: Sale, usage: Usage): Fraction {
  const { catalogue } = sale.rating
  const { isLast } = sale
  const own = (text: string) => metered(meter, catalogue, text)
  const sums = [...usage.prior, ...usage.added]
  const carried = F.total(usage.prior.map(({ quantity }) => settled(meter, catalogue, quantity)))
  switch (meter.aggregation) {
    case "sum":
      return F.total([...usage.events.map(({ quantity }) => own(quantity)), ...sums.map(({ quantity }) => settled(meter, catalogue, quantity))])
    case "count":
      return F.total([F.whole(usage.events.length), ...sums.map(({ events }) => F.whole(events))])
    case "max":
      return [...usage.events.map(({ quantity }) => own(quantity)), ...sums.map(({ quantity }) => settled(meter, catalogue, quantity))].reduce(
        F.greater,
        F.zero,
      )
    case "unique":
      return F.whole(new Set(usage.events.map(({ key = "" }) => key)).size)
    case "latest": {
      const event = usage.events.at(-1)
      if (!isLast) return F.zero
      return event === undefined ? carried : own(event.quantity)
    }
    case "timeWeighted":
      return meanOf(levelsOf(meter, sale, usage), (level) => level)
  }
}

/* Lines. */

const isKnownOnlyAtEnd = (price: Price, meter: Meter | undefined): boolean =>
  price.model === "volume" ||
  price.model === "capacity" ||
  (price.model === "blocks" && price.mode === "reached") ||
  meter?.aggregation === "latest" ||
  meter?.aggregation === "timeWeighted"

/** One charge of one plan within a period. */
interface Sale {
  readonly rating: Rating
  readonly plan: Plan
  readonly charge: Charge
  readonly parts: readonly Part[]
  readonly share: Fraction
  readonly timeline: Timeline
  /** Whether its plan is in force when the period, or the subscription, ends, and that is not in the trial. */
  readonly isLast: boolean
}

const nothing: Usage = { events: [], prior: [], added: [] }

/** What of a fixed charge is due in each part of its plan, and how many of it count. */
export function duesOf(all: readonly Part[], plan: string, charge: Charge, policies: NonNullable<Catalogue["policies"]>) {
  const zeroIsNothing = policies["tiers.zeroQuantity"] === "nothing"
  const isDue = (part: Part | undefined): boolean => part !== undefined && !part.trial && !part.paused
  const dues: Array<{ readonly part: Part; readonly number: Fraction; readonly stretch: number; due: Fraction }> = []
  for (const [i, part] of all.entries()) {
    if (part.plan !== plan) continue
    const before = all[i - 1]
    const last = before !== undefined && before.plan === plan && isDue(before) && isDue(part) ? dues.at(-1) : undefined
    let number = charge.counted === true ? numberOf(part, charge.id) : F.one
    const isDropped = policies["change.negative"] === "dropped" && charge.counted === true && last !== undefined
    if (isDropped && F.compare(priced(charge.price, number, zeroIsNothing), priced(charge.price, last.number, zeroIsNothing)) < 0) number = last.number
    const stretch = last !== undefined && F.same(last.number, number) ? last.stretch : i
    dues.push({ part, number, stretch, due: part.share })
  }
  if (policies["proration.unit"] === "none") return dues
  for (const first of new Set(dues.map(({ stretch }) => stretch))) {
    const own = dues.filter(({ stretch, part }) => stretch === first && isDue(part))
    const [head, tail] = [own[0], own.at(-1)]
    if (head === undefined || tail === undefined) continue
    const begun = isDue(all[all.indexOf(head.part) - 1]) ? (policies["change.charge"] ?? "prorated") : "prorated"
    const ended = isDue(all[all.indexOf(tail.part) + 1]) ? (policies["change.credit"] ?? "prorated") : "prorated"
    if (begun === "none" || ended === "full") for (const one of own) one.due = F.zero
    else {
      if (begun === "full") head.due = F.plus(head.due, head.part.past)
      if (ended === "none") tail.due = F.plus(tail.due, tail.part.rest)
    }
  }
  return dues
}

/** The amount of usage after modifiers. */
function amountOf(sale: Sale, price: Price, usage: Usage, last: boolean, said: Fraction | undefined) {
  const { rating, charge, share } = sale
  const { catalogue } = rating
  const modifiers = charge.modifiers ?? []
  const zeroIsNothing = catalogue.policies?.["tiers.zeroQuantity"] === "nothing"
  const each = catalogue.policies?.["modifiers.rounding"] === "each" ? roundingOf(catalogue) : undefined
  const meter = catalogue.meters.find(({ id }) => id === charge.meter)
  if (meter === undefined) {
    const dues = duesOf(sale.timeline.parts(rating.period), sale.plan.id, charge, catalogue.policies ?? {})
    const prices = dues.map(({ due, number }) => F.times(due, priced(price, number, zeroIsNothing)))
    const quantity = F.total(dues.map(({ due, number }) => F.times(due, number)))
    return { quantity, charged: quantity, ...modified(modifiers, F.total(prices), share, last, each) }
  }
  const quantity = quantityOf(meter, sale, usage)
  if (price.model === "percentage") {
    const before = usage.prior.length > 0
    if (before && modifiers.some(({ modifier }) => modifier === "fixedDiscount")) refuse("unsupported", "fixedDiscount of events that came before")
    if (before && said === undefined) refuse("conflict", "what was billed of events is not said")
    const { amount, paid } = ofEvents(
      price,
      usage.events.map((event) => metered(meter, catalogue, event.quantity)),
      usage.prior.map(({ quantity, events }) => ({ quantity: settled(meter, catalogue, quantity), events })),
    )
    const billed = before ? (said as Fraction) : F.zero
    return { quantity, charged: paid, ...modified(modifiers, F.plus(billed, amount), share, last, each, billed) }
  }
  if (catalogue.policies?.["tiers.timeWeighted"] === "byCount" && meter.aggregation === "timeWeighted" && isOfTiers(price))
    return { quantity, charged: quantity, ...modified(modifiers, ofLevels(price, levelsOf(meter, sale, usage), zeroIsNothing), share, last, each) }
  const bounded = charge.overage?.policy === "block" ? F.smaller(quantity, F.read(charge.overage.upTo)) : quantity
  const charged = allowed(modifiers, bounded, share)
  return { quantity, charged, ...modified(modifiers, priced(price, charged, zeroIsNothing), share, last, each) }
}

function line(sale: Sale, price: Price, usage: Usage, attribute: string | undefined): Line | undefined {
  const { rating, charge, plan } = sale
  const { catalogue, prior, last } = rating
  const meterNumber = charge.meter === undefined ? undefined : catalogue.meters.findIndex(({ id }) => id === charge.meter)
  const meter = meterNumber === undefined ? undefined : catalogue.meters[meterNumber]
  const waits = meter === undefined ? charge.when === "arrears" : isKnownOnlyAtEnd(price, meter)
  if (waits && !last) return undefined
  const name = `${plan.id}/${charge.id}`
  const rounding = roundingOf(catalogue)
  const found = prior.billed.filter((billed) => billed.charge === name && (attribute === undefined || (billed.attribute ?? "") === attribute))
  const said = found.length > 0 ? F.total(found.map((one) => F.read(one.amount))) : undefined
  // What nobody says was billed is what lines made from those quantities alone, before the period was over, would have come to.
  const before: Usage = { ...nothing, prior: usage.prior }
  const implied = () => {
    if (meter === undefined || waits || isLevel(meter) || quantityOf(meter, sale, before).n === 0n) return F.zero
    return round(amountOf(sale, price, before, false, undefined).amount, rounding)
  }
  const { amount: exact, quantity, charged, steps } = amountOf(sale, price, usage, last, said)
  const billed = said ?? implied()
  return { charge: name, attribute, meter: meterNumber, quantity, charged, exact, billed, amount: F.minus(round(exact, rounding), billed), steps }
}

function linesOfCharge(sale: Sale, usage: Usage): Line[] {
  const { charge, plan, rating } = sale
  const { price } = charge
  if (price.model !== "byAttribute") return [line(sale, price, usage, undefined)].filter((one) => one !== undefined)
  const billed = rating.prior.billed.filter((one) => one.charge === `${plan.id}/${charge.id}`)
  const all = [...usage.events, ...usage.prior, ...usage.added, ...billed]
  const attributes = [...new Set(all.map(({ attribute }) => attribute ?? ""))].toSorted()
  return ofEach(attributes, (attribute) => {
    const own = price.cases.find(({ value }) => value === attribute)?.price ?? price.otherwise ?? refuse("unknown-attribute", attribute)
    const ofIt = <T extends { readonly attribute?: string | undefined }>(list: readonly T[]): T[] => list.filter((one) => (one.attribute ?? "") === attribute)
    const found = line(sale, own, { events: ofIt(usage.events), prior: ofIt(usage.prior), added: ofIt(usage.added) }, attribute)
    return found === undefined ? [] : [found]
  })
}

/** The lines of a period. */
export function linesOfPeriod(rating: Rating): Line[] {
  const { catalogue, period, prior, subscription } = rating
  const timeline = new Timeline(catalogue, subscription, rating.zones)
  const parts = timeline.parts(period)
  const plans = [...new Set(parts.map(({ plan }) => plan))]
  const checks = [
    ...prior.billed.map((one) => () => checkBilled(catalogue, one)),
    ...checksOfAggregates(rating, plans.length > 1 || parts.some(({ trial }) => trial)),
  ]
  // Whatever is wrong, lines may have problems of their own.
  return ofEach([...checks, () => linesOfPlans(rating, timeline, parts, plans)], (made) => made())
}

function linesOfPlans(rating: Rating, timeline: Timeline, parts: readonly Part[], plans: readonly string[]): Line[] {
  const { catalogue, period, prior, aggregates, subscription } = rating
  const at = timeline.during(period)
  const events = eventsOf(rating, timeline)
  return ofEach(plans, (id) => {
    const plan = timeline.plan(id)
    const own = parts.filter((part) => part.plan === id)
    const share = F.total(own.map((part) => part.share))
    const final = parts.at(-1)
    const isLast = final !== undefined && final.plan === id && !final.trial
    return ofEach(plan.charges, (charge) => {
      const number = catalogue.meters.findIndex((meter) => meter.id === charge.meter)
      const meter = catalogue.meters[number]
      const ofMeter = <T extends { readonly meter: number }>(list: readonly T[]): T[] => list.filter((one) => one.meter === number)
      // Usage is of the plan in force, and not before the trial's end; a level goes on.
      const isOwn = (event: UsageEvent) => at(event.at).plan === id && event.at >= (subscription.trialEnd ?? subscription.start)
      const used = ofMeter(events).filter((event) => meter === undefined || isLevel(meter) || isOwn(event))
      const usage = { events: used, prior: ofMeter(prior.quantities), added: ofMeter(aggregates) }
      return linesOfCharge({ rating, timeline, plan, charge, parts: own, share, isLast }, meter === undefined ? nothing : usage)
    })
  })
}

function checkBilled(catalogue: Catalogue, { charge: name, attribute, amount }: Rating["prior"]["billed"][number]): Line[] {
  const charge = catalogue.plans.flatMap(({ id, charges }) => charges.filter((one) => `${id}/${one.id}` === name))[0] ?? refuse("unknown-charge", name)
  if (charge.price.model !== "byAttribute" && attribute !== undefined) refuse("unknown-attribute", name)
  const { step } = roundingOf(catalogue)
  const unit = F.fraction(1n, 10n ** BigInt(exponentOf(catalogue)))
  // Digits of the currency or of the step, whichever are more.
  const finest = F.compare(step, unit) < 0 || unit.d % step.d !== 0n ? 10n ** BigInt(F.text(step).split(".")[1]?.length ?? 0) : unit.d
  if (finest % F.read(amount).d !== 0n) refuse("off-minor-unit", amount)
  return []
}
