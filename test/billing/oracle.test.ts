/** The oracle of billing: worked cases that the contract has words for, and laws that hold whatever is sold and used. */
import assert from "node:assert/strict"
import { readdir, readFile } from "node:fs/promises"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import fc from "../property.ts"
import t from "tap"
import { Catalogue } from "../../schemas/billing/catalogue.ts"
import * as F from "./fraction.ts"
import { type Aggregate, type Line, linesOfPeriod, priced, roundingOf } from "./oracle.ts"
import { allocated, type AllocationRule } from "./oracle-allocation.ts"
import { differences } from "./oracle-cases.ts"
import { Timeline } from "./oracle-time.ts"
import { arbitraryRating, type Drawn } from "./random.ts"
import { type Case, translate } from "./translate.ts"
import { replay, runsOf } from "../seed.ts"

const folder = new URL("./cases/", import.meta.url)
const files = (await readdir(folder)).filter((name) => name.endsWith(".json")).toSorted()
const cases = (
  await Promise.all(files.map(async (name) => (JSON.parse(await readFile(new URL(name, folder), "utf8")) as { readonly cases: readonly Case[] }).cases))
).flat()

const decode = Schema.decodeUnknownExit(Catalogue, { onExcessProperty: "error" })
/** What is wrong with a catalogue's shape. */
const misshapen = (catalogue: Catalogue): string[] => {
  const exit = decode(catalogue)
  return Exit.isSuccess(exit) ? [] : [String(exit)]
}

/** What the contract has no word for, with how many cases ask for it. */
const inexpressible = {
  "a period that begins within a day": 1,
  "policy change.settle = extendTime": 1,
  "units that go before those came that they are of": 2,
  "something was billed of which the period's quantity before says nothing": 7,
  "time beyond its period": 1,
}

/** Answers of cases that lines do not have. */
const unanswered = {
  "change.next": 3,
  "charge.amount": 5,
  "charge.discount": 1,
  "charge.maximumDiscount": 5,
  "charge.quantity": 2,
  "charge.tierAmounts": 18,
  "charge.trueUp": 2,
  "cycles.amount": 1,
}

t.test("linesOfPeriod() answers what worked cases state, wherever the contract has words for one", async (t) => {
  const reasons = new Map<string, number>()
  const left = new Map<string, number>()
  const count = (map: Map<string, number>, name: string) => map.set(name, (map.get(name) ?? 0) + 1)
  let asked = 0
  for (const one of cases) {
    const translated = translate(one)
    if ("reason" in translated) {
      count(reasons, translated.reason)
      continue
    }
    asked += 1
    if ("left" in translated) for (const name of translated.left) count(left, `${one.given.ask}.${name}`)
    const catalogues =
      "ratings" in translated
        ? translated.ratings.map(({ catalogue }) => catalogue)
        : "calendar" in translated
          ? [translated.calendar.catalogue]
          : ["document" in translated ? translated.document.catalogue : "note" in translated ? translated.note.catalogue : translated.allocation.catalogue]
    t.strictSame([...catalogues.flatMap(misshapen), ...differences(translated)], [], one.id)
  }
  t.comment(`${asked} of ${cases.length} cases`)
  t.strictSame(Object.fromEntries(reasons), inexpressible)
  t.strictSame(Object.fromEntries(left), unanswered)
})

// The same ratings in `npm test`, new ones in the full counts.
const runs = runsOf(200, 4_000)
t.comment(`${replay} STELE_TEST_RUNS=${runs}: ${runs} ratings a law`)

const shown = (lines: readonly Line[]): string[] =>
  lines.map(({ charge, attribute, exact, amount, billed }) => `${charge} ${attribute ?? "-"}: ${F.text(amount)} of ${F.text(exact)} after ${F.text(billed)}`)
/** What lines charge, by charge and attribute; nothing where there is none. */
const amounts = (...lists: ReadonlyArray<readonly Line[]>): Map<string, F.Fraction> => {
  const found = new Map<string, F.Fraction>()
  for (const { charge, attribute, amount } of lists.flat()) {
    const name = `${charge} ${attribute ?? ""}`
    found.set(name, F.plus(found.get(name) ?? F.zero, amount))
  }
  return found
}
const texts = (map: ReadonlyMap<string, F.Fraction>): Record<string, string> =>
  Object.fromEntries([...map].filter(([, one]) => one.n !== 0n).map(([name, one]) => [name, F.text(one)]))
const hold = (drawn: fc.Arbitrary<Drawn>, law: (one: Drawn) => void): void => fc.assert(fc.property(drawn, law), { numRuns: runs })

t.test("arbitraryRating() draws catalogues of the schema's shape, and all of its models, modifiers and aggregations", async (t) => {
  const seen = new Set<string>()
  const drawn = fc.sample(arbitraryRating(), { numRuns: runs })
  for (const { rating } of drawn) {
    const { catalogue } = rating
    const wrong = misshapen(catalogue)
    if (wrong.length > 0) t.strictSame(wrong, [], JSON.stringify(catalogue))
    for (const { aggregation } of catalogue.meters) seen.add(aggregation)
    for (const { charges } of catalogue.plans) {
      for (const { price, modifiers = [] } of charges) {
        seen.add(price.model)
        for (const { modifier } of modifiers) seen.add(modifier)
      }
    }
  }
  const all =
    "allowance blocks byAttribute capacity commitment count fixedDiscount flat graduated graduatedPercentage latest max maximum minimum package passThrough percentDiscount percentage seat sum timeWeighted unique unit usageDiscount volume"
  t.strictSame(
    all.split(" ").filter((name) => !seen.has(name)),
    [],
  )
  t.notOk(
    drawn.some(({ rating }) => F.watched(() => linesOfPeriod(rating)).wide),
    "all within 128 bits",
  )
})

t.test("the order of events and their repetition change nothing", async (t) => {
  hold(arbitraryRating(), ({ rating }) => {
    const again = { ...rating, events: [...rating.events.toReversed(), ...rating.events.slice(0, 3)] }
    assert.deepEqual(shown(linesOfPeriod(again)), shown(linesOfPeriod(rating)))
  })
  t.pass()
})

t.test("however usage is split, the lines of a period add up to the same", async (t) => {
  hold(arbitraryRating(), ({ rating }) => {
    const whole = { ...rating, last: true }
    // What was added up to some event is billed before the period is over, and all of it once it is.
    const first = linesOfPeriod({ ...rating, events: rating.events.slice(0, 4), last: false })
    const billed = first.map(({ charge, attribute, amount }) => ({ charge, attribute, amount: F.text(amount) }))
    const rest = linesOfPeriod({ ...whole, prior: { quantities: [], billed } })
    assert.deepEqual(texts(amounts(first, rest)), texts(amounts(linesOfPeriod(whole))))
  })
  t.pass()
})

t.test("quantities that were rated before count as billed, even where nobody says what was", async (t) => {
  let compared = 0
  hold(arbitraryRating(), ({ rating, onePlan }) => {
    const { catalogue } = rating
    const isSum = catalogue.meters.every(
      ({ aggregation, firstIncrement, increment }) =>
        (aggregation === "sum" || aggregation === "count" || aggregation === "max") && firstIncrement === undefined && increment === undefined,
    )
    const single = catalogue.plans.some(({ charges }) => charges.some(({ price }) => JSON.stringify(price).includes('"percentage"')))
    if (!onePlan || !isSum || single || rating.subscription.trialEnd !== undefined) return
    compared += 1
    const early = rating.events.slice(0, 4)
    const quantities = early.map(({ meter, attribute, quantity }): Aggregate => ({ meter, attribute, quantity, events: 1 }))
    const first = linesOfPeriod({ ...rating, events: early, last: false })
    const rest = linesOfPeriod({ ...rating, last: true, events: rating.events.slice(4), prior: { quantities, billed: [] } })
    const used = (lines: readonly Line[]) => lines.filter(({ meter }) => meter !== undefined)
    const whole = linesOfPeriod({ ...rating, last: true })
    assert.deepEqual(texts(amounts(used(first), used(rest))), texts(amounts(used(whole))))
    const asAggregates = linesOfPeriod({ ...rating, last: true, events: rating.events.slice(4), aggregates: quantities })
    assert.deepEqual(shown(asAggregates), shown(whole), "aggregates are what events come to")
  })
  t.ok(compared > 0, `${compared} compared`)
})

t.test("a line is the nearest multiple that its mode allows", async (t) => {
  hold(arbitraryRating(), ({ rating }) => {
    const { step, mode } = roundingOf(rating.catalogue)
    for (const { exact, amount } of linesOfPeriod(rating)) {
      if (rating.catalogue.policies?.["rounding.nil"] === "never" && F.rounded(exact, step, mode).n === 0n) {
        const smallest = exact.n === 0n ? F.zero : F.isNegative(exact) ? F.negated(step) : step
        assert.ok(F.same(amount, smallest), "something is not nothing")
        continue
      }
      const away = F.minus(amount, exact)
      assert.equal(F.over(amount, step).d, 1n, "a multiple")
      const distance = F.isNegative(away) ? F.negated(away) : away
      if (mode.startsWith("half")) assert.ok(F.compare(F.times(distance, F.whole(2)), step) <= 0, mode)
      else assert.ok(F.compare(distance, step) < 0, mode)
      if (mode === "ceiling") assert.ok(!F.isNegative(away))
      if (mode === "floor") assert.ok(!F.isPositive(away))
      const mirrored = F.rounded(F.negated(exact), step, mode)
      if (["halfAway", "halfEven", "halfOdd", "halfDown", "up", "down"].includes(mode)) assert.ok(F.same(mirrored, F.negated(amount)), `${mode} is symmetric`)
    }
  })
  t.pass()
})

t.test("more usage never costs less, where no tier prices all of it and no fraction is due twice", async (t) => {
  const rises = new Set(["unit", "package", "passThrough", "capacity", "flat", "seat"])
  let compared = 0
  hold(arbitraryRating({ quantityMin: 0 }), ({ rating }) => {
    if (rating.catalogue.meters.some(({ aggregation }) => aggregation === "latest" || aggregation === "timeWeighted")) return
    const prices = new Map(rating.catalogue.plans.flatMap(({ id, charges }) => charges.map((charge) => [`${id}/${charge.id}`, charge.price.model])))
    const more = new Map(linesOfPeriod(rating).map((line) => [`${line.charge} ${line.attribute ?? ""}`, line]))
    // A shortfall from before discounts shrinks by more than a discounted unit adds.
    const shrinks = new Set(
      rating.catalogue.plans.flatMap(({ id, charges }) =>
        charges.flatMap((charge) => ((charge.modifiers ?? []).some((one) => "base" in one && one.base === "beforeDiscounts") ? [`${id}/${charge.id}`] : [])),
      ),
    )
    for (const line of linesOfPeriod({ ...rating, events: rating.events.slice(1) })) {
      if (!rises.has(prices.get(line.charge) as string) || shrinks.has(line.charge)) continue
      compared += 1
      assert.ok(F.compare(line.exact, (more.get(`${line.charge} ${line.attribute ?? ""}`) as Line).exact) <= 0, line.charge)
    }
  })
  t.ok(compared > 0, `${compared} compared`)
})

t.test("a price of each unit adds up, and a tier in two of the same price is one", async (t) => {
  const quantity = fc.integer({ min: 0, max: 100_000 }).map((n) => F.fraction(BigInt(n), 100n))
  const bound = fc.integer({ min: 1, max: 500 })
  fc.assert(
    fc.property(quantity, quantity, bound, bound, (a, b, low, more) => {
      const unit = { model: "unit", price: "0.07", per: "3" } as const
      assert.ok(F.same(priced(unit, F.plus(a, b), false), F.plus(priced(unit, a, false), priced(unit, b, false))))
      const last = { upTo: null, price: "1.5" }
      const two = { model: "graduated", tiers: [{ upTo: `${low}`, price: "2.25" }, { upTo: `${low + more}`, price: "2.25" }, last] } as const
      const one = { model: "graduated", tiers: [{ upTo: `${low + more}`, price: "2.25" }, last] } as const
      assert.ok(F.same(priced(two, a, false), priced(one, a, false)))
    }),
    { numRuns: runs },
  )
  t.pass()
})

t.test("periods follow one another, and the shares of one that is in force throughout add up to 1", async (t) => {
  hold(arbitraryRating(), ({ rating }) => {
    const { catalogue, zones, subscription } = rating
    const changes = subscription.changes.filter(({ what }) => what === "plan" || what === "quantity")
    // Of the others, parts do not add up to their whole.
    const counts = catalogue.policies?.["dayCount.convention"]
    const convention = counts === "30" || counts === "actual/actual-ISDA" ? counts : "actual"
    const policies = { ...catalogue.policies, "proration.denominator": "period", "dayCount.convention": convention } as const
    const timeline = new Timeline({ ...catalogue, policies }, { ...subscription, trialEnd: undefined, changes }, zones)
    let before: bigint | undefined
    let walked = 0
    for (const period of timeline.walk()) {
      assert.ok(period.start < period.end)
      if (before === undefined) assert.ok(period.start <= subscription.start && subscription.start < period.end, "the first holds the start")
      else {
        assert.equal(period.start, before)
        assert.ok(F.same(F.total(timeline.parts(period).map(({ share }) => share)), F.one), "1 in all")
      }
      before = period.end
      walked += 1
      if (walked === 5) break
    }
  })
  t.pass()
})

t.test("allocated() makes parts that add up", async (t) => {
  const weights = fc.array(fc.nat({ max: 99 }), { minLength: 1, maxLength: 6 }).filter((all) => all.some((one) => one > 0))
  const rules = fc.record<AllocationRule>({
    remainder: fc.constantFrom("first", "last", "largestFraction", "cascadeFromEnd"),
    tie: fc.constantFrom("order", "key"),
  })
  const law = fc.property(fc.integer({ min: -9_999, max: 9_999 }), weights, rules, (cents, all, rule) => {
    const step = F.fraction(1n, 100n)
    const shares = all.map((weight, i) => ({ weight: F.whole(weight), key: `k${(i * 7) % 5}` }))
    const amount = F.times(F.whole(cents), step)
    const parts = allocated(amount, step, shares, rule)
    assert.ok(F.same(F.total(parts), amount), "in all")
    for (const [i, part] of parts.entries()) {
      assert.equal(F.over(part, step).d, 1n, "a multiple")
      const away = F.minus(part, F.over(F.times(amount, F.whole(all[i] as number)), F.whole(all.reduce((a, b) => a + b))))
      if (rule.remainder !== "cascadeFromEnd") assert.ok(F.compare(F.times(away, away), F.times(step, step)) <= 0, "within a step of its share")
    }
    const mirrored = allocated(F.negated(amount), step, shares, rule).map((part) => F.text(F.negated(part)))
    assert.deepEqual(mirrored, parts.map(F.text), "a negative amount is the mirror")
  })
  fc.assert(law, { numRuns: runs })
  t.pass()
})
