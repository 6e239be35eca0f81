/**
 * Random price lists that hold, subscriptions and usage of them: every model, modifier, aggregation and policy of the contract, in what
 * it says one thing about. Numbers are small enough for fractions of 128 bits.
 */
import fc from "../property.ts"
import type { Catalogue } from "../../schemas/billing/catalogue.ts"
import { engineZone } from "./engine-zone.ts"
import type { Aggregate, Billed, Rating, UsageEvent } from "./oracle.ts"
import { Refused } from "./oracle-problem.ts"
import { type Change, type Plan, type Span, type Subscription, Timeline, type Zone } from "./oracle-time.ts"

type Charge = Plan["charges"][number]
type Price = Charge["price"]
type Modifier = NonNullable<Charge["modifiers"]>[number]
type Meter = Catalogue["meters"][number]
type Interval = Plan["interval"]

/** A skipped midnight, a skipped date, a day of 25 hours, one that does not end at midnight. */
const zones: readonly Zone[] = ["Etc/UTC", "Europe/Vienna", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns"].map((name) =>
  engineZone(name, Date.UTC(2011, 5) / 1000, Date.UTC(2014) / 1000),
)
const attributes = ["", "a", "b"]

/** A decimal that is no more than `max`, of so many digits after the point. */
const decimal = (max: number, scaleMax: number, min = 0): fc.Arbitrary<string> =>
  fc.tuple(fc.integer({ min, max }), fc.integer({ min: 0, max: scaleMax }), fc.nat()).map(([whole, scale, rest]) => {
    const digits = scale === 0 ? "" : `.${String(rest % 10 ** scale).padStart(scale, "0")}`
    return `${whole}${digits}`
  })
/** The same, and not 0. */
const positive = (max: number, scaleMax: number): fc.Arbitrary<string> => decimal(max, scaleMax, 1)
const optional = <K extends string, T>(key: K, value: fc.Arbitrary<T>): fc.Arbitrary<Partial<Record<K, T>>> =>
  fc.option(value, { nil: undefined }).map((one) => (one === undefined ? {} : ({ [key]: one } as Record<K, T>)))
/** One object of the fields of several. */
const fields = (...parts: ReadonlyArray<fc.Arbitrary<object>>): fc.Arbitrary<object> => fc.tuple(...parts).map((all) => Object.assign({}, ...all) as object)
const set = <K extends string, T>(key: K, value: fc.Arbitrary<T>): fc.Arbitrary<Record<K, T>> => value.map((one) => ({ [key]: one }) as Record<K, T>)

const price = decimal(20, 4)
const percent = fc.oneof(decimal(99, 2), fc.constant("100"))

/** Rising bounds, the last of which is null, each with what `tier` makes. */
const tiers = (digits: number, tier: fc.Arbitrary<object>): fc.Arbitrary<ReadonlyArray<object>> =>
  fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), tier), { minLength: 1, maxLength: 4 }).map((all) => {
    let bound = 0
    return all.map(([width, own], i) => {
      bound += width
      const scaled =
        digits === 0
          ? String(bound)
          : `${Math.floor(bound / 4)}.${String((bound % 4) * 25)
              .padEnd(digits, "0")
              .slice(0, digits)}`
      return { ...own, upTo: i === all.length - 1 ? null : scaled }
    })
  })

const flatFee = optional("flatFee", decimal(9, 2))
const priceTier = fc.oneof(
  fields(set("price", price), optional("per", positive(9, 1)), flatFee),
  fields(set("price", price), set("size", positive(9, 1)), flatFee),
  fields(flatFee),
)
const blocks = (digits: number): fc.Arbitrary<ReadonlyArray<object>> =>
  fc
    .array(fields(set("size", positive(9, Math.min(1, digits))), set("count", fc.integer({ min: 1, max: 5 })), set("price", price)), {
      minLength: 1,
      maxLength: 3,
    })
    .map((all) => all.map((tier, i) => (i === all.length - 1 ? { ...tier, count: null } : tier)))

const model = (name: string, ...parts: ReadonlyArray<fc.Arbitrary<object>>): fc.Arbitrary<Price> =>
  fields(fc.constant({ model: name }), ...parts) as fc.Arbitrary<Price>

/** Prices of one quantity. */
const countable = (digits: number): fc.Arbitrary<Price> =>
  fc.oneof(
    model("unit", set("price", price), optional("per", positive(999, 2))),
    model("graduated", set("tiers", tiers(digits, priceTier))),
    model("volume", set("tiers", tiers(digits, priceTier))),
    model("package", set("size", positive(20, 1)), set("price", price)),
    model("blocks", set("tiers", blocks(digits)), set("mode", fc.constantFrom("through", "reached"))),
  )

const percentage = (digits: number): fc.Arbitrary<object> =>
  fields(
    set("percent", percent),
    optional("fixedFee", decimal(2, 2)),
    optional("minimum", decimal(1, 2)),
    optional("maximum", decimal(9, 2, 3)),
    optional("freeEvents", fc.integer({ min: 1, max: 4 })),
    optional("freeAmount", decimal(30, Math.min(2, digits))),
  )

function metered(aggregation: Meter["aggregation"], digits: number): fc.Arbitrary<Price> {
  const any: Array<fc.Arbitrary<Price>> = [
    countable(digits),
    countable(digits),
    model("graduatedPercentage", set("tiers", tiers(digits, fields(set("percent", percent), flatFee)))),
    model("passThrough", set("multiplier", decimal(3, 5))),
  ]
  if (aggregation === "sum") any.push(model("percentage", fc.constant({}), percentage(digits)))
  if (aggregation === "max") any.push(model("capacity", set("price", price), optional("per", positive(9, 1)), optional("committed", decimal(20, 0))))
  return fc.oneof(...any)
}

const prorate = optional("prorate", fc.boolean())
const base = optional("base", fc.constantFrom("afterDiscounts", "beforeDiscounts"))
const modifier = (name: string, ...parts: ReadonlyArray<fc.Arbitrary<object>>): fc.Arbitrary<Modifier> =>
  fields(fc.constant({ modifier: name }), ...parts) as fc.Arbitrary<Modifier>
const ofAmounts = fc.array(
  fc.oneof(
    modifier("percentDiscount", set("percent", percent)),
    modifier("fixedDiscount", set("amount", decimal(20, 2)), prorate),
    modifier("maximum", set("amount", decimal(200, 2)), prorate),
    modifier("minimum", set("amount", decimal(50, 2)), prorate, base),
    modifier("commitment", set("amount", decimal(50, 2)), prorate, base),
  ),
  { maxLength: 3 },
)
const ofQuantities: fc.Arbitrary<Modifier[]> = fc.array(
  fc.oneof(modifier("allowance", set("quantity", decimal(20, 0)), prorate), modifier("usageDiscount", set("percent", percent))),
  { maxLength: 2 },
)

const digitsOf = (unit: string): number => Number(unit.slice(1))

const meter: fc.Arbitrary<Omit<Meter, "id">> = fc
  .tuple(
    fc.constantFrom("sum", "sum", "count", "max", "unique", "latest", "timeWeighted") as fc.Arbitrary<Meter["aggregation"]>,
    fc.constantFrom("u0", "u2", "u6"),
    fc.boolean(),
  )
  .chain(([aggregation, unit, increments]) => {
    const size = positive(9, 0)
    const own = increments ? fields(optional("firstIncrement", size), optional("increment", size)) : fc.constant({})
    return own.map((more) => ({ aggregation, unit, ...more }) as Omit<Meter, "id">)
  })

/** Whether any price within is one of these. */
const has = (price: Price, test: (one: Price) => boolean): boolean =>
  price.model === "byAttribute"
    ? [...price.cases.map((one) => one.price as Price), ...(price.otherwise === undefined ? [] : [price.otherwise as Price])].some(test)
    : test(price)
const isPercentage = (one: Price): boolean => one.model === "percentage"

function charge(meters: ReadonlyArray<Omit<Meter, "id">>): fc.Arbitrary<Omit<Charge, "id">> {
  const fixed = fc
    .tuple(fc.oneof(model("flat", set("amount", price)), countable(0), model("seat", set("price", price))), fc.constantFrom("advance", "arrears"), ofAmounts)
    .map(
      ([price, when, then]) =>
        (price.model === "flat" ? { price, when, modifiers: then } : { price, when, counted: true, modifiers: then }) as Omit<Charge, "id">,
    )
  const used = fc.nat({ max: meters.length - 1 }).chain((number) => {
    const { aggregation, unit } = meters[number] as Omit<Meter, "id">
    const one = metered(aggregation, digitsOf(unit))
    const split = fc.tuple(one, one, one).map(
      ([a, b, otherwise]) =>
        ({
          model: "byAttribute",
          cases: [
            { value: "a", price: a },
            { value: "", price: b },
          ],
          otherwise,
        }) as unknown as Price,
    )
    const overage = optional("overage", fields(set("upTo", decimal(60, 0)), set("policy", fc.constantFrom("block", "bill", "warn"))))
    return fc
      .tuple(
        aggregation !== "latest" && aggregation !== "timeWeighted" ? fc.oneof({ weight: 4, arbitrary: one }, { weight: 1, arbitrary: split }) : one,
        ofQuantities,
        ofAmounts,
        overage,
      )
      .map(([price, first, then, bound]) => {
        const single = has(price, isPercentage)
        return { meter: `m${number}`, price, modifiers: single ? then : [...first, ...then], ...(single ? {} : bound) } as Omit<Charge, "id">
      })
  })
  return fc.oneof({ weight: 1, arbitrary: fixed }, { weight: 3, arbitrary: used })
}

const policies: fc.Arbitrary<NonNullable<Catalogue["policies"]>> = fields(
  optional("rounding.mode", fc.constantFrom("halfAway", "halfEven", "halfOdd", "halfDown", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor")),
  fc.oneof(fc.constant({}), set("rounding.increment", fc.constantFrom("0.05", "0.1", "1"))),
  optional("modifiers.rounding", fc.constantFrom("line", "each")),
  optional("tiers.zeroQuantity", fc.constantFrom("firstTierFlatFee", "nothing")),
  optional("proration.unit", fc.constantFrom("day", "second", "none")),
  fields(
    optional("proration.denominator", fc.constantFrom("period", "calendarMonth", "year", "30")),
    optional(
      "dayCount.convention",
      fc.constantFrom("actual", "30", "30-strict", "30/360", "30E/360", "30E/360-ISDA", "actual/actual-ISDA", "actual/actual-AFB"),
    ),
  ).map((own) => {
    // Fractions of a year are over no number of days.
    const { "proration.denominator": over, ...rest } = own as Record<string, string>
    return over === "30" && rest["dayCount.convention"]?.startsWith("actual/") === true ? rest : own
  }),
  optional("tiers.timeWeighted", fc.constantFrom("byMean", "byCount")),
  optional("timeWeighted.unit", fc.constantFrom("second", "day")),
  optional("proration.whole", fc.constantFrom("counted", "one")),
  optional("change.day", fc.constantFrom("new", "old")),
  optional("change.credit", fc.constantFrom("prorated", "full", "none")),
  optional("change.charge", fc.constantFrom("prorated", "full", "none")),
  optional("change.negative", fc.constantFrom("credited", "dropped")),
  optional("rounding.nil", fc.constantFrom("allowed", "never")),
  optional("schedule.firstPeriod", fc.constantFrom("fromAnchor", "fromNext")),
  optional("schedule.missingDay", fc.constantFrom("clampKeepAnchor", "nextDay", "skip", "addDaysOfMonth")),
  optional("rounding.scale", fc.constantFrom("1", "4")),
) as fc.Arbitrary<NonNullable<Catalogue["policies"]>>

/** Without what is not offered where a level reaches tiers. */
function offered(charge: Omit<Charge, "id">, meters: ReadonlyArray<Omit<Meter, "id">>, policies: NonNullable<Catalogue["policies"]>): Omit<Charge, "id"> {
  const meter = charge.meter === undefined ? undefined : meters[Number(charge.meter.slice(1))]
  const isOfTiers = ["graduated", "volume", "graduatedPercentage"].includes(charge.price.model)
  if (policies["tiers.timeWeighted"] !== "byCount" || meter?.aggregation !== "timeWeighted" || !isOfTiers) return charge
  const { overage, modifiers = [], ...rest } = charge
  const kept = modifiers.filter(({ modifier }) => modifier !== "allowance" && modifier !== "usageDiscount")
  return { ...rest, modifiers: kept, ...(overage === undefined || overage.policy === "block" ? {} : { overage }) }
}

const interval: fc.Arbitrary<Interval> = fc.oneof(
  fc.record({ unit: fc.constant("day" as const), count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ unit: fc.constant("week" as const), count: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ unit: fc.constant("month" as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ unit: fc.constantFrom("quarter" as const, "year" as const), count: fc.constant(1) }),
)

/** Catalogues that hold. */
export const arbitraryCatalogue: fc.Arbitrary<Catalogue> = fc
  .tuple(fc.constantFrom("USD", "JPY", "KWD", "u6"), policies, fc.array(meter, { minLength: 1, maxLength: 3 }))
  .chain(([currency, policies, meters]) =>
    fc
      .array(fc.tuple(interval, fc.constantFrom("calendar" as const, "anchor" as const), fc.array(charge(meters), { minLength: 1, maxLength: 4 })), {
        minLength: 1,
        maxLength: 2,
      })
      .map((plans) => ({
        name: "random",
        version: "1",
        currency,
        units: { u0: { exponent: 0 }, u2: { exponent: 2 }, u6: { exponent: 6 } },
        policies: policies,
        meters: meters.map((meter, i) => ({ id: `m${i}`, ...meter })),
        plans: plans.map(([interval, align, charges], i) => ({
          id: `p${i}`,
          interval,
          align,
          charges: charges.map((charge, i) => ({ id: `c${i}`, ...offered(charge, meters, policies) }) as Charge),
        })),
      })),
  )

const from = BigInt(Date.UTC(2011, 9, 1)) * 1000n
const hour = 3_600_000_000n

interface RawChange {
  readonly after: number
  readonly isExact: boolean
  readonly atPeriodEnd: boolean
  readonly what: Change["what"]
  readonly number: number
}

function subscriptionOf(
  catalogue: Catalogue,
  [startHours, zone, anchorDay, trial, raw]: readonly [number, number, number | undefined, number | undefined, readonly RawChange[]],
): Subscription {
  const start = from + BigInt(startHours) * hour
  const counted = catalogue.plans.flatMap(({ charges }) => charges.flatMap((charge) => (charge.counted === true ? [charge.id] : [])))
  const nameOf = (number: number) => (zones[number % zones.length] as Zone).name
  let at = start
  const changes = raw.flatMap(({ after, isExact, atPeriodEnd, what, number }): Change[] => {
    at += BigInt(after) * hour + (isExact ? 0n : 1n)
    const when = { at, atPeriodEnd }
    if (what === "plan") return [{ ...when, what, plan: (catalogue.plans[number % catalogue.plans.length] as Plan).id }]
    if (what === "zone") return [{ ...when, what, zone: nameOf(number) }]
    if (what !== "quantity") return [{ ...when, what }]
    const charge = counted[number % Math.max(1, counted.length)]
    return charge === undefined ? [] : [{ ...when, what, charge, quantity: String(number % 7) }]
  })
  return {
    id: "random",
    plan: (catalogue.plans[startHours % catalogue.plans.length] as Plan).id,
    start,
    ...(trial === undefined ? {} : { trialEnd: start + BigInt(trial) * hour }),
    ...(anchorDay === undefined ? {} : { anchorDay }),
    zone: nameOf(zone),
    quantities: counted.map((charge, i) => [charge, String((startHours + i) % 5)]),
    changes,
  }
}

const rawChange: fc.Arbitrary<RawChange> = fc.record({
  after: fc.integer({ min: 0, max: 24 * 40 }),
  isExact: fc.boolean(),
  atPeriodEnd: fc.boolean(),
  what: fc.constantFrom("plan", "quantity", "quantity", "pause", "resume", "cancel", "zone"),
  number: fc.nat({ max: 20 }),
})
const rawSubscription = fc.tuple(
  fc.integer({ min: 0, max: 24 * 120 }),
  fc.nat({ max: 4 }),
  fc.option(fc.integer({ min: 1, max: 31 }), { nil: undefined }),
  fc.option(fc.integer({ min: 0, max: 24 * 20 }), { nil: undefined }),
  fc.array(rawChange, { maxLength: 3 }),
)

/** A place between two instants. */
const between = ({ start, end }: Span, thousandth: number): bigint => start + ((end - start) * BigInt(thousandth)) / 1000n

export interface Drawn {
  readonly rating: Rating
  /** Whether one plan is in force throughout, so that aggregates say what events do. */
  readonly onePlan: boolean
}

/** One subscription's period with usage of it, or nothing where the subscription has no time in it. */
function drawn(
  catalogue: Catalogue,
  subscription: Subscription,
  place: number,
  rawEvents: ReadonlyArray<readonly [number, number, number, number, number]>,
  last: boolean,
  raw: RawPrior,
): Drawn | undefined {
  const timeline = new Timeline(catalogue, subscription, zones)
  let period: Span | undefined
  let left = place
  try {
    for (const { start, end } of timeline.walk()) {
      period = { start, end }
      if (left === 0) break
      left -= 1
    }
  } catch (error) {
    // Periods of a day that no month of theirs has.
    if (error instanceof Refused) return undefined
    throw error
  }
  if (period === undefined) return undefined
  const from = subscription.start > period.start ? subscription.start : period.start
  const open = { start: from, end: timeline.endIn(period) }
  const parts = timeline.parts(period)
  const plans = new Set(parts.map(({ plan }) => plan))
  if (open.start >= open.end) return undefined
  const events = rawEvents.map(([number, thousandth, quantity, attribute, key], i): UsageEvent => {
    const meter = number % catalogue.meters.length
    const { unit, aggregation } = catalogue.meters[meter] as Meter
    const digits = digitsOf(unit)
    const scale = 10 ** Math.min(digits, 3)
    const value = aggregation === "sum" || aggregation === "timeWeighted" || aggregation === "max" ? quantity : Math.abs(quantity)
    const text = `${value < 0 ? "-" : ""}${Math.floor(Math.abs(value) / scale)}${scale === 1 ? "" : `.${String(Math.abs(value) % scale).padStart(Math.min(digits, 3), "0")}`}`
    return {
      meter,
      at: between(open, thousandth),
      id: BigInt(i) * 7919n,
      quantity: text === "-0" ? "0" : text,
      attribute: attributes[attribute % 3],
      key: `k${key}`,
    }
  })
  const rating = {
    catalogue,
    subscription,
    period,
    zones,
    prior: { quantities: aggregatesOf(catalogue, raw.quantities, true), billed: billedOf(catalogue, raw.billed) },
    events,
    aggregates: aggregatesOf(catalogue, raw.aggregates, false),
    last,
  }
  return { rating, onePlan: plans.size === 1 }
}

const rawEvent = fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 999 }), fc.integer({ min: -9_999, max: 99_999 }), fc.nat({ max: 2 }), fc.nat({ max: 5 }))

type RawSum = readonly [meter: number, quantity: number, events: number, attribute: number]
interface RawPrior {
  readonly quantities: readonly RawSum[]
  readonly billed: ReadonlyArray<readonly [charge: number, amount: number, attribute: number]>
  readonly aggregates: readonly RawSum[]
}
const nothingBefore: RawPrior = { quantities: [], billed: [], aggregates: [] }

/** Sums of meters that take some: of a level only what is carried, of single events only what came before. */
function aggregatesOf(catalogue: Catalogue, raw: readonly RawSum[], isPrior: boolean): Aggregate[] {
  const byEvent = new Set(catalogue.plans.flatMap(({ charges }) => charges.flatMap(({ meter, price }) => (has(price, isPercentage) ? [meter] : []))))
  return raw.flatMap(([number, quantity, events, attribute]) => {
    const meter = number % catalogue.meters.length
    const { id, aggregation } = catalogue.meters[meter] as Meter
    const isSum = aggregation === "sum" || aggregation === "count" || aggregation === "max"
    if (isPrior ? aggregation === "unique" : !isSum || byEvent.has(id)) return []
    return [{ meter, quantity: String(quantity), events, ...(attribute === 0 ? {} : { attribute: attributes[attribute % 3] }) }]
  })
}

function billedOf(catalogue: Catalogue, raw: RawPrior["billed"]): Billed[] {
  const charges = catalogue.plans.flatMap(({ id, charges }) => charges.map(({ id: charge, price }) => ({ name: `${id}/${charge}`, price })))
  return raw.flatMap(([number, amount, attribute]) => {
    const charge = charges[number % charges.length]
    if (charge === undefined) return []
    const own = charge.price.model === "byAttribute" && attribute > 0 ? { attribute: attributes[attribute % 3] } : {}
    return [{ charge: charge.name, amount: String(amount), ...own }]
  })
}

const rawSums = fc.array(fc.tuple(fc.nat({ max: 5 }), fc.integer({ min: -9, max: 90 }), fc.nat({ max: 5 }), fc.nat({ max: 3 })), { maxLength: 3 })
const rawPrior: fc.Arbitrary<RawPrior> = fc.record({
  quantities: rawSums,
  billed: fc.array(fc.tuple(fc.nat({ max: 9 }), fc.integer({ min: -9, max: 90 }), fc.nat({ max: 3 })), { maxLength: 4 }),
  aggregates: rawSums,
})

/** Options of what is drawn. */
export interface Drawing {
  /** 0 draws no negative usage. */
  readonly quantityMin?: number
  /** Whether there is something before, and sums beside events. */
  readonly before?: boolean
}

/** Ratings of which the contract says one thing. */
export const arbitraryRating = ({ quantityMin = -9_999, before = false }: Drawing = {}): fc.Arbitrary<Drawn> =>
  fc
    .tuple(
      arbitraryCatalogue,
      rawSubscription,
      fc.nat({ max: 2 }),
      fc.array(rawEvent, { maxLength: 12 }),
      fc.boolean(),
      before ? fc.oneof({ weight: 2, arbitrary: fc.constant(nothingBefore) }, { weight: 1, arbitrary: rawPrior }) : fc.constant(nothingBefore),
    )
    .map(([catalogue, raw, place, events, last, prior]) => {
      const usage = events.map(([meter, at, quantity, ...rest]) => [meter, at, Math.max(quantityMin, quantity), ...rest] as const)
      return drawn(catalogue, subscriptionOf(catalogue, raw), place, usage, last, prior)
    })
    .filter((one) => one !== undefined)
