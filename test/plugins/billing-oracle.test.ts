/** The billing rules against an oracle of unbounded fractions that was written apart from them: random price lists, usage, what came before. */
import fc from "../property.ts"
import t from "tap"
import type { Catalogue as Shape } from "../../schemas/billing/catalogue.ts"
import * as F from "../billing/fraction.ts"
import { type Billed, duesOf, priced, type Rating } from "../billing/oracle.ts"
import { allocated, type AllocationRule } from "../billing/oracle-allocation.ts"
import { assembled, credited, type Credited, type CreditItem } from "../billing/oracle-document.ts"
import { type Part, Timeline } from "../billing/oracle-time.ts"
import { arbitraryDocument, arbitraryItems } from "../billing/random-document.ts"
import { arbitraryRating } from "../billing/random.ts"
import type { Catalogue, Line, Problem } from "../../schemas/wit/stele/billing.gen.ts"
import { type Answered, creditedOf, oracleAnswer, ourAnswer, totalsOf } from "./billing/document.ts"
import { expected, found, fractionOf, lineText, priorOf, raterOf, subscriptionOf as subscriptionFor, sumOf, type Way, zoneOf } from "./billing/rating.ts"
import { at, decimal, instant, refusal, Rules, subscriptionOf, utc } from "./billing/rules.ts"
import { replay, runsOf } from "../seed.ts"

t.setTimeout(3_500_000)

const runs = (short: number): number => runsOf(short, 100_000)
t.comment(replay)
// One instance decides all cases, one after the other: none may leave anything to the next.
const rules = await Rules.open({ instances: { reuse: "principal" } })
t.teardown(() => rules[Symbol.asyncDispose]())

/** Holds what is to hold of random cases. */
function hold<A>(property: fc.IPropertyWithHooks<A>, numRuns: number): void {
  fc.assert(
    property.afterEach(() => rules.letGo()),
    { numRuns },
  )
}

const scaled = (coefficient: number | bigint, digits: number): string => {
  const text = String(coefficient).padStart(digits + 1, "0")
  const part = digits === 0 ? "" : text.slice(-digits).replace(/0+$/, "")
  return `${text.slice(0, text.length - digits)}${part === "" ? "" : `.${part}`}`
}
const price = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(fc.nat(100_000), fc.nat(6)).map(([coefficient, digits]) => scaled(coefficient, digits)) },
  { weight: 1, arbitrary: fc.tuple(fc.bigInt({ min: 1n, max: 10n ** 20n }), fc.nat(18)).map(([coefficient, digits]) => scaled(coefficient, digits)) },
)
const quantity = fc.nat(500_000).map((coefficient) => scaled(coefficient, 2))
const some = fc.integer({ min: 1, max: 500_000 }).map((coefficient) => scaled(coefficient, 2))
const percent = fc.nat(10_000).map((coefficient) => scaled(coefficient, 2))
const maybe = <A>(of: fc.Arbitrary<A>): fc.Arbitrary<A | undefined> => fc.option(of, { nil: undefined })
/** Without what is undefined. */
const present = (of: object): object => Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined))

const bounds = fc
  .uniqueArray(fc.integer({ min: 1, max: 300_000 }), { maxLength: 4 })
  .map((list) => [...list.toSorted((a, b) => a - b).map((bound) => scaled(bound, 2)), null])
const tiersOf = (tier: fc.Arbitrary<object>): fc.Arbitrary<ReadonlyArray<object>> =>
  bounds.chain((list) => fc.tuple(...list.map((upTo) => tier.map((rest) => ({ upTo, ...rest })))) as fc.Arbitrary<ReadonlyArray<object>>)
const tiers = tiersOf(
  fc.oneof(
    fc.record({ price: maybe(price), flatFee: maybe(price), per: maybe(some) }).map(present),
    fc.record({ price, size: some, flatFee: maybe(price) }).map(present),
  ),
)
const plain = fc.oneof(
  fc.record({ price, per: maybe(some) }).map((one) => present({ model: "unit", ...one })),
  tiers.map((list) => ({ model: "graduated", tiers: list })),
  tiers.map((list) => ({ model: "volume", tiers: list })),
  fc.record({ size: some, price }).map((one) => ({ model: "package", ...one })),
  fc
    .tuple(
      fc.constantFrom("through", "reached"),
      fc.array(fc.record({ size: some, count: fc.integer({ min: 1, max: 9 }), price }), { minLength: 1, maxLength: 4 }),
    )
    .map(([mode, list]) => ({ model: "blocks", mode, tiers: list.map((tier, i) => (i === list.length - 1 ? { ...tier, count: null } : tier)) })),
  tiersOf(fc.record({ percent, flatFee: maybe(price) }).map(present)).map((list) => ({ model: "graduatedPercentage", tiers: list })),
  price.map((multiplier) => ({ model: "passThrough", multiplier })),
)
const percentage = fc
  .record({ percent, fixedFee: maybe(price), freeEvents: maybe(fc.integer({ min: 1, max: 5 })), freeAmount: maybe(quantity) })
  .map((one) => present({ model: "percentage", ...one }))
const byAttribute = fc
  .record({ eu: plain, otherwise: plain })
  .map(({ eu, otherwise }) => ({ model: "byAttribute", cases: [{ value: "eu", price: eu }], otherwise }))

const ofQuantity = fc.oneof(
  quantity.map((one) => ({ modifier: "allowance", quantity: one })),
  percent.map((one) => ({ modifier: "usageDiscount", percent: one })),
)
const ofAmount = fc.oneof(
  percent.map((one) => ({ modifier: "percentDiscount", percent: one })),
  fc.tuple(fc.constantFrom("fixedDiscount", "maximum"), price).map(([modifier, amount]) => ({ modifier, amount })),
  fc
    .tuple(fc.constantFrom("minimum", "commitment"), price, fc.constantFrom("afterDiscounts", "beforeDiscounts"))
    .map(([modifier, amount, base]) => ({ modifier, amount, base })),
)
const charge = fc.oneof(
  { weight: 4, arbitrary: fc.record({ price: plain, before: fc.array(ofQuantity, { maxLength: 2 }), after: fc.array(ofAmount, { maxLength: 3 }) }) },
  { weight: 1, arbitrary: fc.record({ price: percentage, before: fc.constant([]), after: fc.array(ofAmount, { maxLength: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ price: byAttribute, before: fc.array(ofQuantity, { maxLength: 1 }), after: fc.array(ofAmount, { maxLength: 2 }) }) },
)
const policies = fc
  .record({
    "rounding.mode": maybe(fc.constantFrom("halfAway", "halfEven", "halfOdd", "halfDown", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor")),
    "rounding.increment": maybe(fc.constantFrom("0.05", "0.01", "1")),
    "modifiers.rounding": maybe(fc.constantFrom("line", "each")),
    "tiers.zeroQuantity": maybe(fc.constantFrom("firstTierFlatFee", "nothing")),
    "rounding.nil": maybe(fc.constantFrom("allowed", "never")),
  })
  .map(present)
const catalogues = fc.record({ policies, charges: fc.array(charge, { minLength: 1, maxLength: 3 }) }).map(
  ({ policies: own, charges }) =>
    ({
      name: "random",
      version: "1",
      currency: "EUR",
      units: { u: { exponent: 2 } },
      policies: own,
      meters: [{ id: "m", unit: "u", aggregation: "sum" }],
      plans: [
        {
          id: "p",
          interval: { unit: "month", count: 1 },
          align: "calendar",
          charges: charges.map(({ price: model, before, after }, i) => ({ id: `c${i}`, meter: "m", price: model, modifiers: [...before, ...after] })),
        },
      ],
    }) as unknown as Shape,
)
const usage = fc.array(
  fc.record({ second: fc.nat(2_000_000), coefficient: fc.integer({ min: -1000, max: 200_000 }), attribute: fc.constantFrom(undefined, "eu", "us") }),
  { maxLength: 12 },
)

const period = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-02-01T00:00:00Z") }
type Usage = typeof usage extends fc.Arbitrary<infer A> ? A : never

const ratingOf = (catalogue: Shape, events: Usage, last: boolean, coefficientOf: (one: number) => bigint): Rating => ({
  catalogue,
  subscription: { id: "s", plan: "p", start: instant("2025-06-15T00:00:00Z"), zone: "UTC", quantities: [], changes: [] },
  period,
  zones: [{ name: "UTC", release: "fixed", first: 0, changes: [], offsets: [] }],
  prior: { quantities: [], billed: [] },
  events: events.map(({ second, coefficient, attribute }, i) => ({
    meter: 0,
    at: period.start + BigInt(second) * 1_000_000n,
    id: BigInt(i),
    quantity: F.text(F.fraction(coefficientOf(coefficient), 100n)),
    attribute,
  })),
  aggregates: [],
  last,
})

/** How often each answer was seen, and that they are seldom anything but lines. */
class Seen {
  readonly counts: Record<string, number> = {}
  /** Throws where the two differ. */
  compare(rating: Rating, way?: Way): void {
    const want = expected(rating)
    const count = (what: string) => (this.counts[what] = (this.counts[what] ?? 0) + 1)
    if (want === undefined) {
      count("open")
      return
    }
    const got = found(rules, rating.catalogue, rating, way)
    count(/^[a-z-]+$/.test(got) ? got : "lines")
    if (got === "overflow") {
      // What 128 bits do not hold may be said, where it is so, and nowhere else.
      if (!want.wide) throw new Error(`overflow, where nothing exceeds 128 bits: ${want.answer}`)
      return
    }
    if (got !== want.answer && !want.kinds.has(got)) throw new Error(`ours:\n${got}\noracle:\n${want.answer}`)
  }
}

t.test("lines of large and fine numbers are the oracle's, and overflow is said only of what 128 bits do not hold", (t) => {
  const seen = new Seen()
  hold(
    fc.property(catalogues, usage, fc.boolean(), fc.integer({ min: 0, max: 12 }), (catalogue, events, last, zeros) => {
      seen.compare(ratingOf(catalogue, events, last, (one) => BigInt(one) * 10n ** BigInt(zeros)))
    }),
    runs(500),
  )
  t.comment(JSON.stringify(seen.counts))
  t.ok((seen.counts["lines"] ?? 0) > 10 * (seen.counts["overflow"] ?? 0) && (seen.counts["overflow"] ?? 0) > 0)
  t.end()
})

t.test("whatever is sold and however it changes, lines are the oracle's, in any order of events and through snapshots", (t) => {
  const seen = new Seen()
  const way = fc.record({ cut: fc.nat(12), reversed: fc.boolean() })
  hold(
    fc.property(arbitraryRating({ before: true }), way, ({ rating }, how) => seen.compare(rating, how)),
    runs(600),
  )
  t.comment(JSON.stringify(seen.counts))
  const { lines = 0, ...others } = seen.counts
  t.ok(lines > 3 * Object.values(others).reduce((sum, one) => sum + one, 0), "most ratings have lines")
  t.end()
})

/** Lines of the rules; undefined where they refuse. */
function linesOf(rating: Rating): ReadonlyArray<Line> | undefined {
  let lines: ReadonlyArray<Line> | undefined
  refusal(() => {
    lines = rules.call(`${at}#[method]rater.finish`, [raterOf(rules, rules.compile(rating.catalogue), rating), rating.last])
  })
  return lines
}
const nameOf = ({ charge, attribute }: Billed): string => `${charge} ${attribute ?? ""}`
/** What was billed with some lines more. */
function billedWith(billed: readonly Billed[], lines: ReadonlyArray<Line>): readonly Billed[] {
  const all = new Map(billed.map((one) => [nameOf(one), one]))
  for (const { charge, attribute, amount } of lines) {
    const before = all.get(nameOf({ charge, attribute, amount: "" }))
    const sum = F.plus(fractionOf(amount), F.read(before?.amount ?? "0"))
    all.set(nameOf({ charge, attribute, amount: "" }), { charge, attribute, amount: F.text(sum) })
  }
  return [...all.values()]
}
const billText = (billed: readonly Billed[]): string =>
  billed
    .filter(({ amount }) => F.read(amount).n !== 0n)
    .map((one) => `${nameOf(one)}: ${one.amount}`)
    .toSorted()
    .join("\n")
const modelsOf = ({ price }: Shape["plans"][number]["charges"][number]): readonly string[] =>
  price.model === "byAttribute" ? [price.model, ...price.cases.map((one) => one.price.model)] : [price.model]

/** The same with meters and prices of which sums say all. */
function summedOf(rating: Rating): Rating {
  const meters = rating.catalogue.meters.map(({ firstIncrement: _first, increment: _next, ...meter }) =>
    ["sum", "count", "max"].includes(meter.aggregation) ? meter : { ...meter, aggregation: "sum" as const },
  )
  const plans = JSON.parse(JSON.stringify(rating.catalogue.plans), (_, value: { readonly model?: string }) =>
    value?.model === "percentage" ? { model: "unit", price: "1.005" } : value,
  ) as Shape["plans"]
  return { ...rating, catalogue: { ...rating.catalogue, meters, plans }, subscription: { ...rating.subscription, trialEnd: undefined } }
}

t.test("however often a period is billed, early, at its end and late, it comes to one bill's amounts, by every model", (t) => {
  const byUsage: Record<string, number> = {}
  const bySums: Record<string, number> = {}
  const cuts = fc.array(fc.record({ at: fc.nat(12), last: fc.boolean() }), { minLength: 1, maxLength: 3 })
  hold(
    fc.property(arbitraryRating(), cuts, ({ rating, onePlan }, drawn) => {
      const { catalogue, events } = rating
      const whole = linesOf({ ...rating, last: true })
      if (whole === undefined) return
      const wanted = billText(billedWith([], whole))
      const count = (seen: Record<string, number>) => {
        for (const { charges } of catalogue.plans.filter(({ id }) => whole.some(({ charge }) => charge.startsWith(`${id}/`))))
          for (const model of charges.flatMap(modelsOf)) seen[model] = (seen[model] ?? 0) + 1
      }
      // Early bills come before the end's, which late usage follows.
      const bills = [...drawn.filter(({ last }) => !last), ...drawn.filter(({ last }) => last)].map((one, i, all) => ({
        ...one,
        at: all.map((other) => other.at).toSorted((a, b) => a - b)[i] as number,
      }))
      let billed: readonly Billed[] = []
      for (const { at: cut, last } of [...bills, { at: events.length, last: true }]) {
        const lines = linesOf({ ...rating, events: events.slice(0, cut), last, prior: { quantities: [], billed } })
        if (lines === undefined) return
        billed = billedWith(billed, lines)
      }
      if (billText(billed) !== wanted) throw new Error(`all usage again:\n${billText(billed)}\nin one bill:\n${wanted}`)
      count(byUsage)
      // The same where the sums of what was billed are kept in place of its events.
      const summed = summedOf(rating)
      if (!onePlan) return
      const single = linesOf({ ...summed, last: true })
      if (single === undefined) return
      const wantedOfSums = billText(billedWith([], single))
      let since = 0
      billed = []
      for (const { at: cut, last } of [...bills, { at: events.length, last: true }]) {
        const quantities = events.slice(0, since).map(({ meter, attribute, quantity: one }) => ({ meter, attribute, quantity: one, events: 1 }))
        const lines = linesOf({ ...summed, events: events.slice(since, cut), last, prior: { quantities, billed } })
        if (lines === undefined) return
        billed = billedWith(billed, lines)
        since = Math.max(since, cut)
      }
      if (billText(billed) !== wantedOfSums) throw new Error(`sums:\n${billText(billed)}\nin one bill:\n${wantedOfSums}`)
      count(bySums)
    }),
    // Up to nine bills each: 20,000 are as long as the other counts.
    Math.min(runs(150), 20_000),
  )
  t.comment(JSON.stringify({ byUsage, bySums }))
  const models = "flat seat unit graduated volume package blocks graduatedPercentage passThrough capacity byAttribute".split(" ")
  t.strictSame(
    [...models, "percentage"].filter((model) => byUsage[model] === undefined),
    [],
  )
  t.strictSame(
    models.filter((model) => bySums[model] === undefined),
    [],
  )
  t.end()
})

t.test("periods(), assign() and prorate() are the oracle's", (t) => {
  let compared = 0
  hold(
    fc.property(arbitraryRating(), ({ rating }) => {
      const { subscription, zones, period } = rating
      const compiled = rules.compile(rating.catalogue)
      const timeline = new Timeline(rating.catalogue, subscription, zones)
      const [asked, places] = [subscriptionFor(subscription), zones.map(zoneOf)]
      const within = { start: subscription.start - 40n * 86_400_000_000n, end: period.end }
      const periods = () => rules.call(`${at}#[method]catalogue.periods`, [compiled, asked, within, places])
      // Such as of years from the 31st of a month that has none.
      if (oracleAnswer(() => timeline.periods(within)).answer === "limit") {
        const ours = ourAnswer(periods)
        if (ours !== "limit") throw new Error(`periods ${ours}, not a refusal`)
        return
      }
      const spans = periods()
      const texts = (list: ReadonlyArray<{ readonly start: bigint; readonly end: bigint }>) => list.map(({ start, end }) => `${start} ${end}`).join()
      const wanted = timeline.periods(within)
      if (texts(spans) !== texts(wanted)) throw new Error(`periods ${texts(spans)}, not ${texts(wanted)}`)
      for (const instant of [period.start, period.end - 1n]) {
        const assigned = rules.call(`${at}#[method]catalogue.assign`, [compiled, asked, instant, places])
        if (texts([assigned]) !== texts([period])) throw new Error(`${instant} is in ${texts([assigned])}, not ${texts([period])}`)
      }
      const parts = timeline.parts(period)
      const plan = timeline.plan(parts[0]?.plan ?? subscription.plan)
      for (const charge of plan.charges) {
        if (charge.meter !== undefined) continue
        // Another plan may have a charge of this id, of usage or of another price.
        const own = parts
          .map((part) => ({ part, charge: timeline.plan(part.plan).charges.find(({ id }) => id === charge.id) }))
          .filter((one) => one.charge !== undefined)
        const dueOf = (part: Part, sold: typeof charge) =>
          duesOf(parts, part.plan, sold, rating.catalogue.policies ?? {}).find((one) => one.part === part) as ReturnType<typeof duesOf>[number]
        if (own.some((one) => one.charge?.meter !== undefined)) continue
        const amounts = own.map(({ part, charge: sold }) => {
          const { due, number: count } = dueOf(part, sold as typeof charge)
          const whole = priced((sold as typeof charge).price, count, rating.catalogue.policies?.["tiers.zeroQuantity"] === "nothing")
          return `${part.span.start} ${part.span.end} ${part.plan} ${F.text(count)} ${F.text(due)} ${F.text(F.times(due, whole))}`
        })
        const segments = rules.call(`${at}#[method]catalogue.prorate`, [compiled, charge.id, asked, period, places])
        const ours = segments.map(({ span, plan: id, quantity: count, numerator, denominator, amount }) => {
          const share = F.fraction(numerator, denominator)
          const whole = F.over(fractionOf(amount.numerator), fractionOf(amount.denominator))
          return `${span.start} ${span.end} ${id} ${F.text(fractionOf(count))} ${F.text(share)} ${F.text(whole)}`
        })
        if (ours.join() !== amounts.join()) throw new Error(`parts ${ours.join()}, not ${amounts.join()}`)
        compared += 1
      }
    }),
    runs(300),
  )
  t.ok(compared > 50, `${compared} charges compared`)
  t.end()
})

t.test("estimate() is the oracle's line of a whole period", (t) => {
  const describe = (catalogue: Catalogue) => rules.call(`${at}#[method]catalogue.describe`, [catalogue]).meters
  let compared = 0
  hold(
    fc.property(arbitraryRating({ before: true }), ({ rating }) => {
      // A whole period is one, whatever its days are shared by.
      const catalogue = { ...rating.catalogue, policies: { ...rating.catalogue.policies, "proration.denominator": "period" as const } }
      const subscription = { ...rating.subscription, trialEnd: undefined, changes: [] }
      const [, second] = new Timeline(catalogue, subscription, rating.zones).periods({
        start: subscription.start - 10n ** 14n,
        end: subscription.start + 10n ** 15n,
      })
      if (second === undefined) return
      const isSum = ({ meter }: { readonly meter: number }) => ["sum", "count", "max"].includes(catalogue.meters[meter]?.aggregation ?? "")
      const quantities = rating.prior.quantities.filter(isSum)
      const whole: Rating = { ...rating, catalogue, subscription, period: second, events: [], last: true, prior: { ...rating.prior, quantities } }
      const want = expected({
        ...whole,
        prior: { ...whole.prior, billed: whole.prior.billed.filter(({ charge }) => charge.startsWith(`${subscription.plan}/`)) },
      })
      if (want === undefined || want.wide || /^[a-z-]+$/.test(want.answer)) return
      const compiled = rules.compile(catalogue)
      const asked =
        quantities.length > 0 && catalogue.meters.some((_, i) => describe(compiled)[i]?.needsEvents === true && quantities.some(({ meter }) => meter === i))
      if (asked) return
      const counts = subscription.quantities.map(([id, count]) => [id, decimal(count)] as const)
      const [given, before] = [whole.aggregates.map(sumOf), priorOf(whole.prior)]
      const quote = rules.call(`${at}#[method]catalogue.estimate`, [compiled, subscription.plan, given, counts, before, true])
      const ours = quote.lines.map(lineText).join("\n")
      if (ours !== want.answer) throw new Error(`ours:\n${ours}\noracle:\n${want.answer}`)
      const bare = rules.call(`${at}#[method]catalogue.estimate`, [compiled, subscription.plan, given, counts, before, false])
      if (!F.same(fractionOf(bare.total), F.total(quote.lines.map(({ amount }) => fractionOf(amount))))) throw new Error("the total is not that of its lines")
      compared += 1
    }),
    runs(300),
  )
  t.ok(compared > 100, `${compared} compared`)
  t.end()
})

/** Compares two answers; an overflow where one is due is no difference. */
function compare(seen: Record<string, number>, { answer, wide }: Answered, ours: string): boolean {
  const kind = /^[a-z-]+$/.test(ours) ? ours : "answered"
  seen[kind] = (seen[kind] ?? 0) + 1
  if (ours === "overflow" && wide) return false
  if (ours !== answer) throw new Error(`ours:\n${ours}\noracle:\n${answer}`)
  return kind === "answered"
}

t.test("documents are the oracle's, and add up", (t) => {
  const seen: Record<string, number> = {}
  hold(
    fc.property(arbitraryDocument, ({ catalogue, document }) => {
      const compiled = rules.compile(catalogue)
      if (
        !compare(
          seen,
          oracleAnswer(() => assembled(catalogue, document)),
          ourAnswer(() => totalsOf(rules, compiled, document)),
        )
      )
        return
      const { net, tax, gross, taxes } = totalsOf(rules, compiled, document)
      if (catalogue.policies?.["total.rounding"] !== "exact" || catalogue.policies["tax.prices"] === "inclusive") {
        if (catalogue.policies?.["total.rounding"] !== "exact" && !F.same(F.plus(net, tax), gross)) throw new Error("net and tax are not gross")
      }
      if (!F.same(F.total(taxes.map(({ amount }) => amount)), tax)) throw new Error("the taxes are not the tax")
    }),
    runs(600),
  )
  t.comment(JSON.stringify(seen))
  t.ok((seen["answered"] ?? 0) > 200)
  t.end()
})

t.test("credit() is the oracle's, and gives back no more than there was, to the last of it", (t) => {
  const seen: Record<string, number> = {}
  hold(
    fc.property(arbitraryDocument, arbitraryItems, arbitraryItems, ({ catalogue, document }, earlier, items) => {
      const compiled = rules.compile(catalogue)
      const ask = (before: readonly Credited[], all: readonly CreditItem[]): boolean =>
        compare(
          seen,
          oracleAnswer(() => credited(catalogue, document, before, all)),
          ourAnswer(() => creditedOf(rules, compiled, document, before, all)),
        )
      if (!ask([], earlier)) return
      const before = credited(catalogue, document, [], earlier)
      ask(before, items)
      // What is left of each line and what was given back are the line.
      const rests = document.lines.map((_, line) => ({ line, what: "rest" as const }))
      if (!ask([], rests) || !ask(before, rests)) return
      const sum = (list: readonly Credited[]) => [F.total(list.map(({ net }) => net)), F.total(list.map(({ tax }) => tax))].map(F.text).join()
      const split = sum([...before, ...creditedOf(rules, compiled, document, before, rests)])
      if (split !== sum(creditedOf(rules, compiled, document, [], rests))) throw new Error(`in parts ${split}`)
    }),
    runs(300),
  )
  t.comment(JSON.stringify(seen))
  t.ok((seen["answered"] ?? 0) > 100)
  t.end()
})

t.test("allocate() is the oracle's, and loses nothing", (t) => {
  const seen: Record<string, number> = {}
  const cents = (n: number): F.Fraction => F.fraction(BigInt(n), 100n)
  const share = fc.record({ weight: fc.nat({ max: 99 }), key: fc.constantFrom("a", "b", "c"), atMost: fc.option(fc.nat({ max: 9_999 }), { nil: undefined }) })
  const choice = fc.record({ remainder: fc.constantFrom("first", "last", "largestFraction", "cascadeFromEnd"), tie: fc.constantFrom("order", "key") })
  hold(
    fc.property(fc.integer({ min: -99_999, max: 99_999 }), fc.array(share, { minLength: 1, maxLength: 6 }), choice, (amount, drawn, rule) => {
      const shares = drawn.map(({ weight, key, atMost }) => ({ key, weight: F.whole(weight), atMost: atMost === undefined ? undefined : cents(atMost) }))
      const catalogue = rules.compile({
        name: "a",
        version: "1",
        currency: "EUR",
        policies: { "allocation.remainder": rule.remainder, "allocation.tie": rule.tie },
        meters: [],
        plans: [],
      })
      const ours = ourAnswer(() =>
        rules
          .call(`${at}#[method]catalogue.allocate`, [
            catalogue,
            decimal(F.text(cents(amount))),
            shares.map(({ key, weight, atMost }) => ({
              key,
              weight: decimal(F.text(weight)),
              atMost: atMost === undefined ? undefined : decimal(F.text(atMost)),
            })),
          ])
          .map((one) => fractionOf(one.amount)),
      )
      compare(
        seen,
        oracleAnswer(() => allocated(cents(amount), F.fraction(1n, 100n), shares, rule as AllocationRule)),
        ours,
      )
    }),
    runs(300),
  )
  t.comment(JSON.stringify(seen))
  t.ok((seen["answered"] ?? 0) > 100)
  t.end()
})

t.test("rate() is the oracle's of each quantity alone", (t) => {
  hold(
    fc.property(plain, policies, fc.array(fc.bigInt({ min: -1000n, max: 10n ** 13n }), { minLength: 1, maxLength: 8 }), (model, own, quantities) => {
      const catalogue = {
        name: "r",
        version: "1",
        currency: "EUR",
        units: { u: { exponent: 2 } },
        policies: own,
        meters: [{ id: "m", unit: "u", aggregation: "sum" }],
        plans: [{ id: "p", interval: { unit: "month", count: 1 }, align: "calendar", charges: [{ id: "c", meter: "m", price: model }] }],
      } as unknown as Shape
      const compiled = rules.compile(catalogue)
      let found: ReadonlyArray<bigint> = []
      const refused = refusal(() => (found = [...rules.call(`${at}#[method]catalogue.rate`, [compiled, "p", "c", BigInt64Array.from(quantities), 2])])) as
        | Problem
        | undefined
      if (refused?.kind === "overflow") return
      for (const [i, coefficient] of quantities.entries()) {
        const sum = { meter: 0, attribute: undefined, quantity: { high: coefficient >> 64n, low: BigInt.asUintN(64, coefficient), scale: 2 }, events: 1n }
        const rater = rules.call(`${at}#[static]rater.start`, [
          compiled,
          subscriptionOf("p", "2025-06-15T00:00:00Z"),
          period,
          [utc],
          { quantities: [], billed: [] },
        ])
        rules.call(`${at}#[method]rater.add-aggregates`, [rater, [sum]])
        const [line] = rules.call(`${at}#[method]rater.finish`, [rater, true])
        const amount = F.times(fractionOf((line as Line).amount), F.whole(100))
        if (found[i] !== amount.n) throw new Error(`${coefficient}: ${found[i]}, as a line ${F.text(amount)}`)
      }
    }),
    runs(250),
  )
  t.pass("kernel and fractions agree")
  t.end()
})
