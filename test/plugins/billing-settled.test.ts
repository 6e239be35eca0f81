/** What the contract settles of what price lists leave open: one question each, answered by the rules and by the oracle. */
import t from "tap"
import type { Catalogue as Shape } from "../../schemas/billing/catalogue.ts"
import * as F from "../billing/fraction.ts"
import { linesOfPeriod, type Rating, type UsageEvent } from "../billing/oracle.ts"
import { Refused } from "../billing/oracle-problem.ts"
import { type Change, Timeline } from "../billing/oracle-time.ts"
import { found, fractionOf, oracleText, subscriptionOf, zoneOf } from "./billing/rating.ts"
import { at, decimal, instant, kindOf, Rules } from "./billing/rules.ts"

const rules = await Rules.open()
t.teardown(() => rules[Symbol.asyncDispose]())

type Meter = Shape["meters"][number]
type Plan = Shape["plans"][number]
type Charge = Plan["charges"][number]

const day = 86_400_000_000n
const january = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-02-01T00:00:00Z") }
const utc = { name: "UTC", release: "fixed", first: 0, changes: [], offsets: [] }
const month = { unit: "month", count: 1 } as const

const charged = (price: object, more: object = {}): Charge => ({ id: "c", meter: "m", price, ...more }) as unknown as Charge
const planOf = (id: string, ...charges: readonly Charge[]): Plan => ({ id, interval: month, align: "calendar", charges })
const listOf = (plans: readonly Plan[], { meter = {}, ...more }: { readonly meter?: Partial<Meter>; readonly [field: string]: unknown } = {}): Shape =>
  ({
    name: "settled",
    version: "1",
    currency: "EUR",
    units: { u: { exponent: 2 } },
    meters: [{ id: "m", unit: "u", aggregation: "sum", ...meter }],
    plans,
    ...more,
  }) as Shape
const used = (dayOfMonth: number, quantity: string, more: Partial<UsageEvent> = {}): UsageEvent => ({
  meter: 0,
  at: january.start + BigInt(dayOfMonth - 1) * day,
  id: BigInt(dayOfMonth),
  quantity,
  ...more,
})
const ratingOf = (catalogue: Shape, more: Partial<Rating> = {}, subscription: Partial<Rating["subscription"]> = {}): Rating => ({
  catalogue,
  subscription: { id: "s", plan: "p", start: instant("2025-06-15T00:00:00Z"), zone: "UTC", quantities: [], changes: [], ...subscription },
  period: january,
  zones: [utc],
  prior: { quantities: [], billed: [] },
  events: [],
  aggregates: [],
  last: true,
  ...more,
})
const on = (text: string, change: object, atPeriodEnd = false): Change => ({ at: instant(text), atPeriodEnd, ...change }) as Change

/** Amounts, or the kind of what is refused; both must say the same lines. */
function answers(rating: Rating): string {
  let want: string
  let amounts: string
  try {
    const lines = linesOfPeriod(rating)
    want = lines.map(oracleText).join("\n")
    amounts = lines.map(({ amount, attribute }) => `${attribute === undefined ? "" : `${attribute}:`}${F.text(amount)}`).join(" ")
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    want = amounts = error.kind
  }
  t.equal(found(rules, rating.catalogue, rating), want)
  return amounts
}
const unit = (price: string) => ({ model: "unit", price })
const percentage = (more: object) => ({ model: "percentage", percent: "10", ...more })

t.test("a percentage of events that came before is what it billed, and what the new ones cost after what is free", (t) => {
  const of = (price: object, modifiers: readonly object[], quantities: Rating["prior"]["quantities"], billed: string | undefined) =>
    answers(
      ratingOf(listOf([planOf("p", charged(price, { modifiers }))]), {
        events: [used(2, "100"), used(3, "50")],
        prior: { quantities, billed: billed === undefined ? [] : [{ charge: "p/c", amount: billed }] },
      }),
    )
  const before = [{ meter: 0, quantity: "70", events: 2 }]
  t.equal(of(percentage({ freeAmount: "100" }), [], before, "0"), "12", "30 of the first are left free")
  t.equal(of(percentage({ freeEvents: 3 }), [], before, "0"), "5", "one event is left free")
  t.equal(of(percentage({}), [{ modifier: "percentDiscount", percent: "50" }], before, "3.5"), "7.5", "what was billed has had its discount")
  t.equal(of(percentage({}), [{ modifier: "maximum", amount: "10" }], before, "7"), "3", "a maximum is the period's")
  t.equal(of(percentage({}), [{ modifier: "minimum", amount: "30" }], before, "7"), "23", "and so is a minimum")
  t.equal(of(percentage({}), [], before, undefined), "conflict", "what was billed must be said")
  t.equal(of(percentage({}), [{ modifier: "fixedDiscount", amount: "1" }], before, "7"), "unsupported")
  t.equal(of(percentage({}), [], [], "7"), "8", "without quantities, all of the period's events are given")
  t.end()
})

t.test("overflow is what 128 bits do not hold, and nothing less", (t) => {
  // A sum over a common denominator beyond 2^127 whose lowest terms are small.
  const price = (per: string, cost: string) => ({
    model: "graduated",
    tiers: [
      { upTo: "1", price: cost, per },
      { upTo: null, price: cost, per },
    ],
  })
  t.equal(answers(ratingOf(listOf([planOf("p", charged(price("999999999999999989", "1")))]), { events: [used(2, "2")] })), "0")
  const most = "170141183460469231731687303715884105727"
  t.equal(found(rules, listOf([planOf("p", charged(unit(most)))]), ratingOf(listOf([]), { events: [used(2, "2")] })), "overflow")
  const bounded = listOf([planOf("p", charged(unit("1")))], { meter: { firstIncrement: "92233720368547758.08" } })
  t.equal(found(rules, bounded, ratingOf(bounded, { events: [used(2, "1")] })), "limit", "an event is 64 bits, which is another limit")
  t.end()
})

t.test("with `each`, what a minimum before discounts looks at is rounded as the amount is", (t) => {
  const modifiers = [
    { modifier: "percentDiscount", percent: "50" },
    { modifier: "minimum", amount: "1.005" },
    { modifier: "minimum", amount: "1.52", base: "beforeDiscounts" },
  ]
  const list = listOf([planOf("p", charged(unit("1"), { modifiers }))], { policies: { "modifiers.rounding": "each", "rounding.mode": "halfEven" } })
  // 1 → 0.50; 1.005 lacks 0.505: 1.005 → 1.00 (even), and 1 + 0.505 = 1.505 → 1.50 (even); 1.52 lacks 0.02.
  t.equal(answers(ratingOf(list, { events: [used(2, "1")] })), "1.02")
  t.end()
})

t.test("an event is rounded to its unit's digits first, and then raised to its increments", (t) => {
  const list = listOf([planOf("p", charged(unit("1")))], { meter: { increment: "1" }, policies: { "input.excess": "round" } })
  t.equal(answers(ratingOf(list, { events: [used(2, "1.004")] })), "1", "1.004 is 1.00, and not raised to 2")
  t.equal(answers(ratingOf(list, { events: [used(2, "1.005")] })), "2")
  t.end()
})

t.test("a share of 0 days is malformed", (t) => {
  t.strictSame(rules.problems(listOf([], { policies: { "proration.denominator": "0" } })), ["malformed /policies/proration.denominator"])
  t.strictSame(rules.problems(listOf([], { policies: { "proration.denominator": "x" } })), ["unknown-policy /policies/proration.denominator"])
  t.end()
})

t.test("usage before the trial's end is not counted but moves a level, and usage in a pause is", (t) => {
  const trial = { start: january.start, trialEnd: instant("2026-01-11T00:00:00Z") }
  const events = [used(5, "10"), used(15, "1")]
  t.equal(answers(ratingOf(listOf([planOf("p", charged(unit("1")))]), { events }, trial)), "1")
  const level = listOf([planOf("p", charged(unit("31")))], { meter: { aggregation: "timeWeighted" } })
  t.equal(answers(ratingOf(level, { events }, trial)), "227", "10 for 21 days, and 1 for 17 of them")
  const paused = [on("2026-01-10T00:00:00Z", { what: "pause" }), on("2026-01-20T00:00:00Z", { what: "resume" })]
  t.equal(answers(ratingOf(listOf([planOf("p", charged(unit("1")))]), { events }, { changes: paused })), "11")
  t.end()
})

const flat = { id: "f", price: { model: "flat", amount: "31" } } as const

t.test("no period begins at or after `cancel`, and the one in which it lies is whole", (t) => {
  const catalogue = listOf([planOf("p", flat)])
  const ends = (cancel: string, start = "2025-12-01T00:00:00Z") => {
    const subscription = { ...ratingOf(catalogue).subscription, start: instant(start), changes: [on(cancel, { what: "cancel" })] }
    const within = { start: instant("2025-12-01T00:00:00Z"), end: instant("2027-01-01T00:00:00Z") }
    const ours = rules.call(`${at}#[method]catalogue.periods`, [rules.compile(catalogue), subscriptionOf(subscription), within, [zoneOf(utc)]])
    t.strictSame(ours, new Timeline(catalogue, subscription, [utc]).periods(within))
    return ours.map(({ end }) => new Date(Number(end / 1000n)).toISOString().slice(0, 10)).join(" ")
  }
  t.equal(ends("2026-01-01T00:00:00Z"), "2026-01-01")
  t.equal(ends("2026-01-01T00:00:01Z"), "2026-01-01 2026-02-01")
  t.equal(ends("2025-12-01T00:00:00Z"), "", "none at all")
  t.equal(ends("2025-12-02T00:00:00Z", "2025-12-02T00:00:00Z"), "2026-01-01", "the period has begun, though the subscription has no time in it")
  t.equal(answers(ratingOf(catalogue, {}, { changes: [on("2026-01-11T00:00:00Z", { what: "cancel" })] })), "10")
  t.end()
})

t.test("a change exactly at a period's start belongs to that period, decides its length and makes no empty part", (t) => {
  const weekly: Plan = { id: "w", interval: { unit: "week", count: 1 }, align: "calendar", charges: [{ id: "g", price: { model: "flat", amount: "7" } }] }
  const catalogue = listOf([planOf("p", flat), weekly])
  const changes = [on("2026-01-01T00:00:00Z", { what: "plan", plan: "w" })]
  const first = { start: january.start, end: instant("2026-01-05T00:00:00Z") }
  t.equal(answers(ratingOf(catalogue, { period: first }, { changes })), "7")
  t.equal(answers(ratingOf(catalogue, {}, { changes })), "outside-period", "and the month is no period of it")
  const ending = [on("2026-01-01T00:00:00Z", { what: "plan", plan: "w" }, true)]
  t.equal(answers(ratingOf(catalogue, {}, { changes: ending })), "31", "at period end is the end of the period that has begun")
  t.end()
})

t.test("an event without a key has the key of no characters", (t) => {
  const list = listOf([planOf("p", charged(unit("1")))], { meter: { aggregation: "unique" } })
  t.equal(answers(ratingOf(list, { events: [used(2, "1"), used(3, "1", { key: "" }), used(4, "1", { key: "a" })] })), "2")
  t.end()
})

t.test("carried levels of timeWeighted add up, of latest they contradict one another", (t) => {
  const quantities = [
    { meter: 0, quantity: "2", events: 0 },
    { meter: 0, attribute: "x", quantity: "3", events: 0 },
  ]
  const of = (aggregation: "timeWeighted" | "latest", more: Partial<Rating> = { prior: { quantities, billed: [] } }) =>
    answers(ratingOf(listOf([planOf("p", charged(unit("1")))], { meter: { aggregation } }), more))
  t.equal(of("timeWeighted"), "5")
  t.equal(of("latest"), "conflict")
  t.equal(of("latest", { prior: { quantities: quantities.slice(0, 1), billed: [] } }), "2")
  t.equal(of("latest", { aggregates: quantities.slice(0, 1) }), "conflict", "and beside `prior` a level takes no sums")
  t.end()
})

t.test("a level is billed once where the plan changes", (t) => {
  const two = (aggregation: "timeWeighted" | "latest") =>
    listOf([planOf("p", charged(unit("31"))), planOf("q", charged(unit("62")))], { meter: { aggregation } })
  const changes = [on("2026-01-11T00:00:00Z", { what: "plan", plan: "q" })]
  t.equal(answers(ratingOf(two("timeWeighted"), { events: [used(1, "1")] }, { changes })), "10 42")
  t.equal(answers(ratingOf(two("latest"), { events: [used(1, "1")] }, { changes })), "0 62", "the last quantity is the last plan's")
  t.end()
})

t.test("addDaysOfMonth begins with the last such day up to the start", (t) => {
  const catalogue = listOf([{ id: "p", interval: month, charges: [flat] }], { policies: { "schedule.missingDay": "addDaysOfMonth" } })
  const subscription = { ...ratingOf(catalogue).subscription, start: instant("2026-03-10T00:00:00Z"), anchorDay: 31 }
  const within = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-06-01T00:00:00Z") }
  const ours = rules.call(`${at}#[method]catalogue.periods`, [rules.compile(catalogue), subscriptionOf(subscription), within, [zoneOf(utc)]])
  t.strictSame(ours, new Timeline(catalogue, subscription, [utc]).periods(within))
  const begin = ours.map(({ start }) => new Date(Number(start / 1000n)).toISOString().slice(0, 10)).join(" ")
  t.equal(begin, "2026-02-28 2026-03-28 2026-04-28 2026-05-28", "the last of February, 28 days, 31, 30")
  t.end()
})

t.test("an interval that never meets its day is a limit", (t) => {
  const catalogue = listOf([{ id: "p", interval: { unit: "year", count: 1 }, charges: [flat] }], { policies: { "schedule.missingDay": "skip" } })
  t.equal(answers(ratingOf(catalogue, {}, { start: instant("2026-02-10T00:00:00Z"), anchorDay: 31 })), "limit")
  t.end()
})

t.test("beyondLast: lastTier takes the last bound for null, after checking it", (t) => {
  const tiers = (last: string | null) => ({
    model: "graduated",
    tiers: [
      { upTo: "10", price: "1" },
      { upTo: last, price: "2" },
    ],
  })
  const of = (last: string | null) => listOf([planOf("p", charged(tiers(last)))], { policies: { "tiers.beyondLast": "lastTier" } })
  t.equal(answers(ratingOf(of("20"), { events: [used(2, "30")] })), "50")
  t.strictSame(rules.problems(of("10")), ["tier-unreachable /plans/0/charges/0/price/tiers/1/upTo"])
  t.strictSame(rules.problems(of("20.001")), ["exponent-mismatch /plans/0/charges/0/price/tiers/1/upTo"])
  t.end()
})

t.test("byAttribute bills early what is known early, attribute by attribute", (t) => {
  const price = {
    model: "byAttribute",
    cases: [{ value: "a", price: { model: "volume", tiers: [{ upTo: null, price: "1" }] } }],
    otherwise: unit("2"),
  }
  const events = [used(2, "1", { attribute: "a" }), used(3, "1", { attribute: "b" }), used(4, "1")]
  t.equal(answers(ratingOf(listOf([planOf("p", charged(price))]), { events, last: false })), ":2 b:2")
  t.equal(answers(ratingOf(listOf([planOf("p", charged(price))]), { events })), ":2 a:1 b:2")
  const billed = [{ charge: "p/c", attribute: "", amount: "1" }]
  t.equal(answers(ratingOf(listOf([planOf("p", charged(price))]), { events, prior: { quantities: [], billed } })), ":1 a:1 b:2")
  t.equal(answers(ratingOf(listOf([planOf("p", charged(unit("1")))]), { events, prior: { quantities: [], billed } })), "unknown-attribute")
  t.end()
})

t.test("amounts have the digits of the currency or of the step, whichever are more", (t) => {
  const of = (policies: object, amount: string) =>
    answers(
      ratingOf(listOf([planOf("p", charged(unit("0.3333333")))], { policies }), {
        events: [used(2, "1")],
        prior: { quantities: [], billed: [{ charge: "p/c", amount }] },
      }),
    )
  const exponent = (policies: object) => rules.call(`${at}#[method]catalogue.describe`, [rules.compile(listOf([], { policies }))]).exponent
  t.equal(of({ "rounding.scale": "4" }, "0.0001"), "0.3332")
  t.equal(exponent({ "rounding.scale": "4" }), 4)
  t.equal(of({}, "0.001"), "off-minor-unit")
  t.equal(of({ "rounding.increment": "0.5" }, "0.01"), "0.49", "what was billed may be no multiple of the step")
  t.equal(exponent({ "rounding.increment": "0.5" }), 2)
  t.end()
})

t.test("what changes the quantity stands before what changes the amount", (t) => {
  const modifiers = [
    { modifier: "percentDiscount", percent: "1" },
    { modifier: "allowance", quantity: "1" },
  ]
  t.strictSame(rules.problems(listOf([planOf("p", charged(unit("1"), { modifiers }))])), ["malformed /plans/0/charges/0/modifiers/1"])
  t.end()
})

t.test("sums of a meter that counts single events are a conflict", (t) => {
  const sum = [{ meter: 0, quantity: "1", events: 1 }]
  const of = (aggregation: Meter["aggregation"], price: object) =>
    answers(ratingOf(listOf([planOf("p", charged(price))], { meter: { aggregation } }), { aggregates: sum }))
  t.equal(of("unique", unit("1")), "conflict")
  t.equal(of("timeWeighted", unit("1")), "conflict")
  t.equal(of("sum", percentage({})), "conflict")
  t.equal(of("sum", unit("1")), "1")
  t.end()
})

t.test("estimate() takes what a meter came to, whatever its aggregation", (t) => {
  const catalogue = rules.compile(listOf([planOf("p", charged(unit("1")))], { meter: { aggregation: "unique" } }))
  const sum = (quantity: string, attribute?: string) => ({ meter: 0, attribute, quantity: decimal(quantity), events: 1n })
  const total = (now: ReadonlyArray<ReturnType<typeof sum>>, before: ReadonlyArray<ReturnType<typeof sum>>) => {
    const { low, scale } = rules.call(`${at}#[method]catalogue.estimate`, [catalogue, "p", now, [], { quantities: before, billed: [] }, true]).total
    return Number(low) / 10 ** scale
  }
  t.equal(total([sum("2"), sum("3", "x")], []), 5)
  t.equal(total([], []), 0)
  t.end()
})

t.test("dates are counted by the convention above the line and below it", (t) => {
  const share = (policies: object, from: string, to?: string) => {
    const flat = { id: "c", price: { model: "flat", amount: "360" } } as unknown as Charge
    const changes = to === undefined ? [] : [on(`${to}T00:00:00Z`, { what: "cancel" })]
    return answers(ratingOf(listOf([planOf("p", flat)], { policies }), {}, { start: instant(`${from}T00:00:00Z`), changes }))
  }
  t.equal(share({ "dayCount.convention": "30" }, "2026-01-16"), "180", "15 of 30, where 16 of 31 are left")
  t.equal(share({ "dayCount.convention": "30" }, "2026-01-31"), "0", "a 31st has no days of its own")
  t.equal(share({ "dayCount.convention": "30-strict" }, "2026-01-31"), "12", "one of 30: the last day is the 30th")
  t.equal(share({ "dayCount.convention": "30/360", "proration.denominator": "year" }, "2026-01-16"), "15")
  t.equal(share({ "dayCount.convention": "actual/actual-ISDA", "proration.denominator": "year" }, "2026-01-02", "2026-01-03"), "0.99", "a 365th of 360")
  t.equal(share({ "proration.denominator": "year" }, "2026-01-02", "2026-01-03"), "0.99")
  t.equal(share({ "proration.denominator": "30" }, "2025-06-15"), "372", "31 over 30")
  t.equal(share({ "proration.denominator": "30", "proration.whole": "one" }, "2025-06-15"), "360")
  t.equal(share({ "proration.denominator": "30", "proration.whole": "one" }, "2026-01-02"), "360", "30 over 30, and no whole period")
  t.end()
})

t.test("a 31st alone, of which months of 30 days count nothing, is counted by its dates", (t) => {
  const daily = { ...planOf("p", { id: "c", price: { model: "flat", amount: "1" } } as unknown as Charge), interval: { unit: "day", count: 1 } as const }
  const rating = ratingOf(listOf([daily], { policies: { "dayCount.convention": "30" } }))
  t.equal(answers({ ...rating, period: { start: january.end - day, end: january.end } }), "1")
  t.end()
})

t.test("policies that contradict each other are a conflict, and one without effect is warned of", (t) => {
  t.strictSame(rules.problems(listOf([], { policies: { "dayCount.convention": "actual/actual-ISDA", "proration.denominator": "30" } })), [
    "conflict /policies/proration.denominator",
  ])
  t.strictSame(rules.problems(listOf([], { policies: { "dayCount.convention": "31" } })), ["unknown-policy /policies/dayCount.convention"])
  const warnings = (policies: object) =>
    rules.call(`${at}#[method]catalogue.describe`, [rules.compile(listOf([planOf("p", charged(unit("1")))], { policies }))]).warnings.map(({ path }) => path)
  t.strictSame(warnings({ "dayCount.convention": "30", "proration.whole": "one" }), [])
  t.strictSame(warnings({ "dayCount.convention": "30", "proration.unit": "second" }), ["/policies/dayCount.convention"])
  t.strictSame(warnings({ "change.credit": "none", "change.charge": "full", "change.negative": "dropped", "proration.unit": "none" }), [
    "/policies/change.negative",
    "/policies/change.credit",
    "/policies/change.charge",
  ])
  t.strictSame(warnings({ "schedule.firstPeriod": "fromNext", "schedule.missingDay": "skip" }), ["/policies/schedule.firstPeriod"])
  t.strictSame(warnings({ "proration.whole": "one", "change.day": "old", "proration.unit": "none" }), ["/policies/change.day", "/policies/proration.whole"])
  t.end()
})

t.test("of quantities that are 0 nothing was billed, to estimate() as to a line", (t) => {
  const fee = { model: "graduated", tiers: [{ upTo: null, price: "1", flatFee: "2" }] }
  const catalogue = listOf([planOf("p", charged(fee))])
  const prior = { quantities: [{ meter: 0, quantity: "0", events: 0 }], billed: [] }
  t.equal(answers(ratingOf(catalogue, { prior })), "2")
  const before = { quantities: [{ meter: 0, attribute: undefined, quantity: decimal("0"), events: 0n }], billed: [] }
  t.match(rules.call(`${at}#[method]catalogue.estimate`, [rules.compile(catalogue), "p", [], [], before, false]).total, { low: 200n, scale: 2 })
  t.end()
})

t.test("what follows only from a number beyond 128 bits is an overflow, not what it looks like", (t) => {
  const catalogue = rules.compile(listOf([], { policies: { "line.rounding": "none", "credits.unused": "error" } }))
  const line = (price: string, per: string) => ({
    title: "",
    value: { tag: "priced" as const, val: [decimal("1"), decimal(price), decimal(per)] as const },
    currency: "",
    adjustments: [],
    taxes: new Uint32Array(0),
    span: undefined,
  })
  const document = (lines: ReadonlyArray<ReturnType<typeof line>>) => ({
    ...{ currency: "EUR", discounts: [], adjustments: [], taxes: [], rates: [] },
    lines,
    balances: [{ id: "b", amount: decimal("1"), lines: new Uint32Array(0) }],
    paid: decimal("0"),
    rounding: decimal("0"),
  })
  const assembled = (...lines: ReadonlyArray<ReturnType<typeof line>>) =>
    kindOf(() => rules.call(`${at}#[method]catalogue.assemble`, [catalogue, document(lines)]))
  // Denominators without a common divisor: their product has more than 128 bits.
  const wide = ["1000000000000000003", "1000000000000000009", "1000000000000000021"].map((per) => line("1000000000000000000", per))
  t.equal(assembled(...wide), "overflow balances/0")
  t.equal(assembled(line("0.5", "1")), "conflict balances/0")
  t.end()
})

t.test("tiers are reached by a level at each time, and fees by the greatest that held for some time", (t) => {
  const tiers = [
    { upTo: "5", price: "31", flatFee: "100" },
    { upTo: null, price: "62", flatFee: "50" },
  ]
  const of = (model: string, events: readonly UsageEvent[], policies: object = {}) =>
    answers(
      ratingOf(
        listOf([planOf("p", charged({ model, tiers }))], {
          meter: { aggregation: "timeWeighted" },
          policies: { "tiers.timeWeighted": "byCount", ...policies },
        }),
        {
          events,
        },
      ),
    )
  // 8 from the 30th to the 31st, then 3: a mean of 11 days' units over 31.
  const events = [used(30, "8"), used(31, "-5")]
  t.equal(of("graduated", events), "164", "5 + 3 units at 1 a day, 3 more at 2, both fees")
  t.equal(of("graduated", events, { "tiers.timeWeighted": "byMean" }), "111")
  t.equal(of("volume", events), "111", "3 are left at the end")
  t.equal(of("graduated", [used(30, "8"), used(30, "-8", { id: 99n })]), "100", "what held for no time reached nothing")
  t.equal(of("graduated", [], { "tiers.zeroQuantity": "nothing" }), "0")
  t.equal(of("graduated", [used(30, "-8")]), "100", "never below nothing")
  const noon = instant("2026-01-31T12:00:00Z")
  t.equal(of("graduated", [used(31, "1", { at: noon })]), "100.5", "half a day")
  t.equal(of("graduated", [used(31, "1", { at: noon })], { "timeWeighted.unit": "day" }), "101", "a day that has begun")
  t.strictSame(
    rules.problems(
      listOf(
        [
          planOf(
            "p",
            charged({ model: "graduated", tiers }, { modifiers: [{ modifier: "allowance", quantity: "1" }], overage: { upTo: "9", policy: "block" } }),
          ),
        ],
        {
          meter: { aggregation: "timeWeighted" },
          policies: { "tiers.timeWeighted": "byCount" },
        },
      ),
    ),
    ["unsupported /plans/0/charges/0/modifiers/0", "unsupported /plans/0/charges/0/overage/policy"],
  )
  t.end()
})

t.test("a change gives back and charges what its policies say, up to the next change", (t) => {
  const seats = (id: string, price: string) => planOf(id, { id: "c", counted: true, price: unit(price) } as unknown as Charge)
  const of = (policies: object, ...changes: readonly Change[]) =>
    answers(ratingOf(listOf([seats("p", "31"), seats("q", "62")], { policies }), {}, { quantities: [["c", "2"]], changes }))
  const count = (text: string, quantity: string) => on(text, { what: "quantity", charge: "c", quantity })
  const plan = on("2026-01-11T00:00:00Z", { what: "plan", plan: "q" })
  t.equal(of({}, plan), "20 84", "2 at 31 for 10 days, 2 at 62 for 21")
  t.equal(of({ "change.credit": "none" }, plan), "62 84")
  t.equal(of({ "change.credit": "full" }, plan), "0 84")
  t.equal(of({ "change.charge": "full" }, plan), "20 124")
  t.equal(of({ "change.charge": "none" }, plan), "20 0")
  t.equal(
    of({ "change.charge": "none", "change.credit": "none" }, plan, count("2026-01-21T00:00:00Z", "3")),
    "62 0",
    "what was never charged has no rest that is kept",
  )
  t.equal(
    of({ "change.charge": "full" }, on("2026-01-11T00:00:00Z", { what: "pause" }), on("2026-01-12T00:00:00Z", { what: "resume" })),
    "60",
    "a pause is no change",
  )
  const fewer = [count("2026-01-11T00:00:00Z", "1"), count("2026-01-21T00:00:00Z", "3")]
  t.equal(of({}, ...fewer), "63", "2 for 10 days, 1 for 10, 3 for 11")
  t.equal(of({ "change.negative": "dropped" }, ...fewer), "73", "2 for 20 days")
  t.equal(of({ "change.negative": "dropped", "change.credit": "full", "change.charge": "full" }, ...fewer), "93", "3 for all of it")
  t.end()
})

t.test("what is not 0 is a step at least, and nothing stays nothing", (t) => {
  const of = (price: string, quantity: string) =>
    answers(
      ratingOf(listOf([planOf("p", charged(unit(price)))], { policies: { "rounding.nil": "never" } }), { events: quantity === "" ? [] : [used(2, quantity)] }),
    )
  t.equal(of("0.001", "1"), "0.01")
  t.equal(of("0.001", "-1"), "-0.01")
  t.equal(of("0.001", ""), "0")
  t.equal(of("0.016", "1"), "0.02")
  t.end()
})

t.test("the first period may be an interval before the next clamped anchor", (t) => {
  const list = (policies: object) => listOf([{ ...planOf("p"), align: "anchor" }], { policies })
  const begins = (policies: object) => {
    const subscription = { ...ratingOf(list({})).subscription, start: instant("2026-02-14T00:00:00Z"), anchorDay: 31 }
    const within = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-04-01T00:00:00Z") }
    const wanted = new Timeline(list(policies), subscription, [utc]).periods(within)
    const spans = rules.call(`${at}#[method]catalogue.periods`, [rules.compile(list(policies)), subscriptionOf(subscription), within, [zoneOf(utc)]])
    t.strictSame(
      spans.map(({ start, end }) => ({ start, end })),
      wanted,
    )
    return wanted.map(({ start }) => new Date(Number(start / 1000n)).toISOString().slice(5, 10))
  }
  t.strictSame(begins({}), ["01-31", "02-28", "03-31"])
  t.strictSame(begins({ "schedule.firstPeriod": "fromNext" }), ["01-28", "02-28", "03-31"])
  t.end()
})

t.test("what is given back of an invoice may be bounded by what was paid", (t) => {
  const credit = (policies: object, rate: string, paid: string, amount: string, before: ReadonlyArray<readonly [net: string, tax: string]> = []) => {
    const line = { title: "", value: { tag: "amount" as const, val: decimal("100") }, currency: "", adjustments: [], taxes: Uint32Array.of(0), span: undefined }
    const tax = { code: "t", rate: decimal(rate), treatment: "standard" as const, neverIncluded: false }
    const document = { currency: "EUR", lines: [line], discounts: [], adjustments: [], taxes: [tax], rates: [], balances: [], rounding: decimal("0") }
    const items = [{ line: 0, what: { tag: "amount" as const, val: decimal(amount) } }]
    const earlier = before.map(([net, own]) => ({ line: 0, title: "", net: decimal(net), tax: decimal(own) }))
    const asked = [rules.compile(listOf([], { policies })), { ...document, paid: decimal(paid) }, earlier, items] as const
    let given = ""
    const run = () => {
      const [one] = rules.call(`${at}#[method]catalogue.credit`, [...asked])
      given = one === undefined ? "" : `${F.text(fractionOf(one.net))} + ${F.text(fractionOf(one.tax))}`
    }
    const kind = kindOf(run)
    return kind === "accepted" ? given : kind
  }
  const paid = { "creditNote.limit": "paid" }
  const cut = { ...paid, "creditNote.excess": "cut" }
  t.equal(credit({}, "20", "0", "50"), "50 + 10")
  t.equal(credit(paid, "20", "60", "50"), "50 + 10")
  t.equal(credit(paid, "20", "59.99", "50"), "over-credited items/0")
  t.equal(credit(cut, "20", "30", "50"), "25 + 5")
  t.equal(credit(cut, "20", "60", "50", [["25", "5"]]), "25 + 5", "what is left of 60 after 30")
  t.equal(credit(cut, "20", "30", "50", [["25", "5"]]), "0 + 0")
  t.equal(credit(cut, "20", "1000", "500"), "100 + 20", "what the line has left")
  t.equal(credit(cut, "20", "1000", "-1"), "0 + 0")
  t.equal(credit({}, "20", "1000", "-1"), "malformed items/0/what")
  t.equal(credit(cut, "-100", "-10", "99", [["1", "-99"]]), "99 + -11", "a tax that takes all back")
  t.end()
})

t.test("taxes that are in a price and take all of it back leave no price", (t) => {
  for (const rounds of ["net", "tax", "lineNet", "unit"])
    for (const [rate, refused] of [
      ["-99.99", false],
      ["-100", true],
      ["-120", true],
    ] as const) {
      const line = {
        title: "",
        value: { tag: "priced" as const, val: [decimal("2"), decimal("50"), decimal("1")] as const },
        currency: "",
        adjustments: [],
        taxes: Uint32Array.of(0),
        span: undefined,
      }
      const tax = { code: "t", rate: decimal(rate), treatment: "standard" as const, neverIncluded: false }
      const document = {
        currency: "EUR",
        lines: [line],
        discounts: [],
        adjustments: [],
        taxes: [tax],
        rates: [],
        balances: [],
        rounding: decimal("0"),
        paid: decimal("0"),
      }
      const compiled = rules.compile(listOf([], { policies: { "tax.prices": "inclusive", "tax.inclusiveRounds": rounds } }))
      const wanted = refused ? "malformed lines/0/taxes" : "accepted"
      t.equal(
        kindOf(() => rules.call(`${at}#[method]catalogue.assemble`, [compiled, document] as never)),
        wanted,
        `${rounds}, ${rate} %`,
      )
      t.equal(
        kindOf(() => rules.call(`${at}#[method]catalogue.credit`, [compiled, document, [], [{ line: 0, what: { tag: "rest" } }]] as never)),
        wanted,
        `credit, ${rounds}, ${rate} %`,
      )
    }
  t.end()
})
