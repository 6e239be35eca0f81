/** What changed between two price lists, and from which quantity on a charge is cheaper or dearer: held against every quantity asked for one by one. */
import fc from "../../property.ts"
import t from "tap"
import type { Catalogue } from "../../../schemas/billing/catalogue.ts"
import { compareCharges, type Side } from "../../../runtime/billing/compare.ts"
import { decimal, ratioOf } from "../../../runtime/billing/decimal.ts"
import { changesOf, changeWords } from "../../../runtime/billing/difference.ts"
import { namedPriceList } from "../../../runtime/billing/price-list.ts"
import { Rules } from "../../../runtime/billing/rules.ts"
import { Host } from "../../../runtime/mod.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(240_000)
const runs = isFull ? 150 : 25

const host = await Host.open({ upkeep: false, usage: false })
t.teardown(() => host.close())
const rules = await Rules.open(host)

type Charge = Catalogue["plans"][number]["charges"][number]
const listOf = (charge: object, more: object = {}): Catalogue =>
  ({
    name: "list",
    version: "1",
    currency: "EUR",
    units: { call: { exponent: 1 } },
    meters: [{ id: "calls", unit: "call", aggregation: (charge as Charge).price.model === "capacity" ? "max" : "sum" }],
    plans: [{ id: "p", interval: { unit: "month", count: 1 }, charges: [{ id: "c", meter: "calls", ...charge }] }],
    ...more,
  }) as unknown as Catalogue

const small = fc.integer({ min: 0, max: 30 }).map(String)
const some = fc.integer({ min: 1, max: 30 }).map(String)
const tenths = fc.integer({ min: 1, max: 300 }).map((n) => String(n / 10))
const price = fc.integer({ min: 0, max: 40 }).map((n) => String(n / 8))
const tier = fc.record({ price, flatFee: small, size: some, per: some }, { requiredKeys: ["price"] })
const tiers = fc
  .tuple(fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { maxLength: 3 }), fc.array(tier, { minLength: 4, maxLength: 4 }))
  .map(([bounds, each]) => {
    const ends = [...bounds.toSorted((a, b) => a - b).map((end) => String(end / 10)), null]
    return ends.map((upTo, i) => {
      const { size, per, ...rest } = each[i] as { readonly size?: string; readonly per?: string }
      return { upTo, ...rest, ...(size !== undefined && upTo !== null ? { size } : per === undefined ? {} : { per }) }
    })
  })
const model = fc.oneof(
  fc.record({ model: fc.constant("unit"), price, per: some }),
  fc.record({ model: fc.constant("graduated"), tiers }),
  fc.record({ model: fc.constant("volume"), tiers }),
  fc.record({ model: fc.constant("package"), size: tenths, price }),
  fc.record({ model: fc.constant("capacity"), price, committed: tenths }),
)
const outer = fc.oneof(
  fc.record({ modifier: fc.constant("percentDiscount"), percent: small }),
  fc.record({ modifier: fc.constant("fixedDiscount"), amount: small }),
  fc.record({ modifier: fc.constant("maximum"), amount: small }),
  fc.record({ modifier: fc.constant("minimum"), amount: small, base: fc.constantFrom("beforeDiscounts", "afterDiscounts") }),
)
const inner = fc.oneof(
  fc.record({ modifier: fc.constant("allowance"), quantity: tenths }),
  fc.record({ modifier: fc.constant("usageDiscount"), percent: small }),
)
const charge = fc
  .tuple(model, fc.array(inner, { maxLength: 2 }), fc.array(outer, { maxLength: 3 }))
  .map(([price, first, then]) => ({ price, modifiers: [...first, ...then] }))

const upTo = 400n

async function amounts(list: Catalogue): Promise<ReadonlyArray<ReturnType<typeof ratioOf>>> {
  const catalogue = await rules.compile(JSON.stringify(list))
  const found = []
  for (let q = 0n; q <= upTo; q++) {
    const quantities = [{ meter: 0, quantity: decimal(q, 1), events: 1n }]
    const { lines } = await rules.ask("[method]catalogue.estimate", [catalogue, "p", quantities, [], { quantities: [], billed: [] }, false])
    found.push(ratioOf((lines[0] as (typeof lines)[number]).exact))
  }
  ;(catalogue as unknown as Disposable)[Symbol.dispose]()
  return found
}

t.test("compareCharges() says of every quantity what asking for each says", async (t) => {
  let met = 0
  await fc.assert(
    fc.asyncProperty(charge, charge, async (first, second) => {
      const [before, after] = [listOf(first), listOf(second)]
      const [found] = await compareCharges(rules, before, after)
      if (found?.reason !== undefined) throw new Error(found.reason)
      const [a, b] = [await amounts(before), await amounts(after)]
      const last = found?.comparedTo ?? upTo
      for (let q = 0n; q <= upTo && q <= last; q++) {
        const [x, y] = [a[Number(q)], b[Number(q)]] as [ReturnType<typeof ratioOf>, ReturnType<typeof ratioOf>]
        const difference = y.n * x.d - x.n * y.d
        const side: Side = difference === 0n ? "same" : difference < 0n ? "cheaper" : "dearer"
        const said = found?.stretches.find(({ from, to }) => from <= q && (to === undefined || q <= to))?.side
        if (said !== side) throw new Error(`at ${q} tenths: ${said}, and it is ${side}`)
      }
      if ((found?.stretches.length ?? 0) > 1) met++
    }),
    { numRuns: runs },
  )
  t.ok(met > runs / 4, `${met} of ${runs} change sides`)
})

t.test("compareCharges() joins neighbours, and says where it stops and why it does not compare", async (t) => {
  const unit = (price: string, more: object = {}) => listOf({ price: { model: "unit", price }, ...more })
  const sides = async (before: Catalogue, after: Catalogue) => {
    const [found] = await compareCharges(rules, before, after)
    return (
      found?.reason ?? [
        ...(found?.stretches.map(({ from, to, side }) => `${from}-${to ?? ""} ${side}`) ?? []),
        ...(found?.comparedTo === undefined ? [] : [`to ${found.comparedTo}`]),
      ]
    )
  }
  t.strictSame(await sides(unit("1"), unit("2")), ["0-0 same", "1- dearer"])
  t.strictSame(await sides(unit("1"), unit("1")), ["0- same"])
  t.strictSame(await sides(unit("1"), unit("0.5", { modifiers: [{ modifier: "minimum", amount: "10" }] })), ["0-99 dearer", "100-100 same", "101- cheaper"])
  t.strictSame(
    await sides(unit("0"), listOf({ price: { model: "package", size: "10", price: "1" } })),
    ["0-0 same", "1-20000 dearer", "to 20000"],
    "packages without end are looked at to a bound",
  )
  t.match(await sides(unit("1"), listOf({ price: { model: "percentage", percent: "1" } })), /event/)
  t.equal(await sides(unit("1"), listOf({ price: { model: "unit", price: "1" } }, { currency: "USD" })), "EUR and USD are two currencies")
  t.match(await sides(unit("1"), listOf({ price: { model: "unset" } })), /never set/)
  const region = (west: string) => listOf({ price: { model: "byAttribute", cases: [{ value: "west", price: { model: "unit", price: west } }] } })
  const byValue = await compareCharges(rules, region("1"), region("0.5"))
  t.match(byValue, [{ attribute: "west", stretches: [{ side: "same" }, { side: "cheaper" }] }])
})

t.test("changesOf() names everything that differs, and its words say what to what", async (t) => {
  const before = JSON.parse((await namedPriceList("executions-2025")) as string) as Catalogue
  const after = structuredClone(before) as unknown as Record<string, never> & Catalogue
  const plans = after.plans as unknown as Array<Record<string, never>>
  Object.assign(((after.plans[1] as Catalogue["plans"][number]).charges[1] as Charge).price, { price: "0.02" })
  Object.assign(after, { version: "2", policies: { "rounding.mode": "halfEven" } })
  plans.splice(2, 1)
  t.strictSame(changesOf(before, after).map(changeWords), [
    "version 1 → 2",
    "policies.rounding.mode halfAway → halfEven",
    'plan "professional", charge "executions": price 0.01 → 0.02',
    'plan "enterprise" is taken away',
  ])
  t.strictSame(changesOf(before, before), [])
  const turned = { ...before, plans: before.plans.toReversed() }
  t.match(changesOf(before, turned).map(changeWords), ["order of plans community, professional, enterprise → enterprise, professional, community"])
  const tiered = (price: string) =>
    listOf({
      price: {
        model: "graduated",
        tiers: [
          { upTo: "10", price: "1" },
          { upTo: null, price },
        ],
      },
    })
  t.strictSame(
    changesOf(tiered("0.5"), tiered("0.4")).map(({ path, what }) => `${what} ${path}`),
    ["changed /plans/0/charges/0/price/tiers/1/price"],
  )
  t.match(changesOf(tiered("0.5"), listOf({ price: { model: "unit", price: "1" } })).map(changeWords), [
    /graduated; up to 10: price 1; all above: price 0.5 → unit; price 1/,
  ])
})
