/** The billing rules through the host: what compiles, what things cost, and what changes nothing. */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import fc from "../property.ts"
import t from "tap"
import { openProject } from "../../runtime/author/project.ts"
import { readTests, runTest } from "../../runtime/author/test.ts"
import type { Catalogue, Events, Line, Prior, Rater, Subscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { at, coefficient, decimal, instant, kindOf, none, ratio, refusal, Rules, subscriptionOf, text, utc } from "./billing/rules.ts"
import { isFull } from "../seed.ts"

t.setTimeout(240_000)

const project = await openProject(fileURLToPath(new URL("../../plugins/billing", import.meta.url)))
const component = await readFile(fileURLToPath(new URL("../../dist/plugins/billing.wasm", import.meta.url)))
const written = await readTests(project)
const rules = await Rules.open()
t.teardown(() => rules[Symbol.asyncDispose]())
const { call } = rules

const base = {
  name: "test",
  version: "1",
  currency: "EUR",
  units: { call: { exponent: 2 } },
  meters: [{ id: "calls", unit: "call", aggregation: "sum" }],
}
const month = { unit: "month", count: 1 }
/** A plan of one charge of one meter. */
const priced = (price: object, more: object = {}, also: object = {}) => ({
  ...base,
  plans: [{ id: "p", interval: month, align: "calendar", charges: [{ id: "c", meter: "calls", price, ...more }] }],
  ...also,
})
const cents = (catalogue: Catalogue, ...quantities: ReadonlyArray<bigint>): ReadonlyArray<bigint> => [
  ...call(`${at}#[method]catalogue.rate`, [catalogue, "p", "c", BigInt64Array.from(quantities), 2]),
]

const january = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-02-01T00:00:00Z") }
const subscriber = subscriptionOf("p", "2025-06-15T00:00:00Z")
const start = (catalogue: Catalogue, prior: Prior = none, subscription: Subscription = subscriber, zones: ReadonlyArray<Zone> = [utc]): Rater =>
  call(`${at}#[static]rater.start`, [catalogue, subscription, january, zones, prior])
const finish = (rater: Rater, last = true): ReadonlyArray<Line> => call(`${at}#[method]rater.finish`, [rater, last])
interface Event {
  readonly id: number
  readonly second: number
  readonly quantity: number
  readonly attribute?: string
}
function batchOf(events: ReadonlyArray<Event>, meter = 0): Events {
  const texts = [...new Set(events.flatMap(({ attribute }) => attribute ?? []))]
  return {
    meters: new Uint32Array(events.length).fill(meter),
    at: BigInt64Array.from(events, ({ second }) => january.start + BigInt(second) * 1_000_000n),
    idsHigh: new BigUint64Array(events.length),
    idsLow: BigUint64Array.from(events, ({ id }) => BigInt(id)),
    quantities: BigInt64Array.from(events, ({ quantity }) => BigInt(quantity)),
    scale: 2,
    attributes: Uint32Array.from(events, ({ attribute }) => (attribute === undefined ? 0xffffffff : texts.indexOf(attribute))),
    keys: new Uint32Array(0),
    texts,
  }
}
const add = (rater: Rater, events: ReadonlyArray<Event>): void => call(`${at}#[method]rater.add`, [rater, batchOf(events)])
const centsOf = (line: Line | undefined): bigint => (line === undefined ? -1n : (line.amount.high << 64n) | line.amount.low)
const amounts = (lines: ReadonlyArray<Line>): ReadonlyArray<string> => lines.map(({ amount }) => text(amount))

t.test("its own tests pass as any author's", async (t) => {
  t.ok(written.length >= 2)
  for (const test of written) t.match(await runTest(component, project, test), { passed: true, problems: [] }, test.name)
})

t.test("compile() takes the named price lists", async (t) => {
  for (const name of ["executions-2025", "units-2025"]) {
    const source = await readFile(fileURLToPath(new URL(`../../schemas/billing/${name}.json`, import.meta.url)), "utf8")
    t.equal(call(`${at}#[method]catalogue.describe`, [rules.compile(source)]).name, name)
  }
})

t.test("compile() says every mistake with its place", (t) => {
  const tiers = (...list: ReadonlyArray<object>) => priced({ model: "graduated", tiers: list })
  const price = "/plans/0/charges/0/price"
  for (const [what, catalogue, expected] of [
    ["a gap", tiers({ upTo: "10" }, { from: "11", upTo: null }), [`tiers-gap ${price}/tiers/1/from`]],
    ["an overlap", tiers({ upTo: "10" }, { from: "9", upTo: null }), [`tiers-overlap ${price}/tiers/1/from`]],
    ["an unreachable tier", tiers({ upTo: "10" }, { upTo: "10" }, { upTo: null }), [`tier-unreachable ${price}/tiers/1/upTo`]],
    ["a tier behind all", tiers({ upTo: null }, { upTo: null }), [`tier-unreachable ${price}/tiers/1`]],
    ["a bounded end", tiers({ upTo: "10" }), [`tiers-gap ${price}/tiers/0/upTo`]],
    ["a finer bound than the unit", tiers({ upTo: "0.001" }, { upTo: null }), [`exponent-mismatch ${price}/tiers/0/upTo`]],
    ["a negative price", priced({ model: "unit", price: "-1" }), [`negative-price ${price}/price`]],
    ["an unknown meter", priced({ model: "unit", price: "1" }, { meter: "x" }), ["unknown-meter /plans/0/charges/0/meter"]],
    ["an unknown model", priced({ model: "auction" }), [`unsupported ${price}/model`]],
    ["an unknown currency", priced({ model: "unit", price: "1" }, {}, { currency: "XYZ" }), ["unknown-currency /currency"]],
    ["a currency of another day", priced({ model: "unit", price: "1" }, {}, { currency: "HRK", currencyOn: "2023-01-01" }), ["unknown-currency /currency"]],
    ["an unknown policy", priced({ model: "unit", price: "1" }, {}, { policies: { "rounding.mode": "luck" } }), ["unknown-policy /policies/rounding.mode"]],
    ["an unknown field", priced({ model: "unit", price: "1" }, { free: true }), ["malformed /plans/0/charges/0/free"]],
    ["a number as a number", priced({ model: "unit", price: 1 }), [`malformed ${price}/price`]],
    [
      "two mistakes",
      priced({ model: "unit", price: "x" }, { modifiers: [{ modifier: "gift" }] }),
      [`malformed ${price}/price`, "malformed /plans/0/charges/0/modifiers/0/modifier"],
    ],
  ] as const) {
    const found = rules.problems(catalogue)
    for (const problem of expected) t.ok(found.includes(problem), `${what}: ${problem} of ${found.join(", ")}`)
  }
  t.match(rules.problems("{"), [/^malformed /])
  t.end()
})

t.test("rate() prices by each model", (t) => {
  const tiers = [
    { upTo: "10", price: "1", flatFee: "2" },
    { upTo: "20", price: "0.5", flatFee: "3" },
    { upTo: null, price: "0.25" },
  ]
  for (const [price, quantity, expected] of [
    [{ model: "graduated", tiers }, 1000n, 1200n],
    [{ model: "graduated", tiers }, 1001n, 1501n],
    [{ model: "graduated", tiers }, 2500n, 2125n],
    [{ model: "graduated", tiers }, 0n, 200n],
    [{ model: "graduated", tiers }, -100n, 100n],
    [{ model: "volume", tiers }, 1000n, 1200n],
    [{ model: "volume", tiers }, 1500n, 1050n],
    [{ model: "volume", tiers }, 2500n, 625n],
    [{ model: "unit", price: "0.015" }, 100n, 2n],
    [{ model: "unit", price: "10", per: "3" }, 100n, 333n],
    [{ model: "package", size: "10", price: "1.5" }, 1001n, 300n],
    [
      {
        model: "blocks",
        mode: "through",
        tiers: [
          { size: "10", count: 2, price: "1" },
          { size: "100", count: null, price: "5" },
        ],
      },
      2100n,
      700n,
    ],
    [
      {
        model: "blocks",
        mode: "reached",
        tiers: [
          { size: "10", count: 2, price: "1" },
          { size: "100", count: null, price: "5" },
        ],
      },
      2100n,
      500n,
    ],
    [{ model: "percentage", percent: "1.5", fixedFee: "0.2" }, 10000n, 170n],
    [{ model: "percentage", percent: "1.5", minimum: "2", maximum: "3" }, 10000n, 200n],
    [{ model: "percentage", percent: "1.5", freeAmount: "40" }, 10000n, 90n],
    [
      {
        model: "graduatedPercentage",
        tiers: [
          { upTo: "100", percent: "2" },
          { upTo: null, percent: "1" },
        ],
      },
      20000n,
      300n,
    ],
    [{ model: "passThrough", multiplier: "1.2" }, 500n, 600n],
  ] as const)
    t.equal(cents(rules.compile(priced(price)), quantity)[0], expected, `${JSON.stringify(price)} of ${quantity}`)
  t.end()
})

t.test("a price of 0.00001 is exact after a million additions", (t) => {
  const rater = start(rules.compile(priced({ model: "unit", price: "0.00001" })))
  for (let from = 0; from < 1_000_000; from += 20_000) {
    const rows = 20_000
    call(`${at}#[method]rater.add`, [
      rater,
      {
        meters: new Uint32Array(rows),
        at: BigInt64Array.from({ length: rows }, (_, i) => january.start + BigInt(from + i)),
        idsHigh: new BigUint64Array(rows),
        idsLow: BigUint64Array.from({ length: rows }, (_, i) => BigInt(from + i)),
        quantities: new BigInt64Array(0),
        scale: 0,
        attributes: new Uint32Array(0),
        keys: new Uint32Array(0),
        texts: [],
      },
    ])
  }
  const [line] = finish(rater)
  t.match([text(line?.amount ?? decimal("0")), text(line?.quantity ?? decimal("0"))], ["10", "1000000"])
  t.end()
})

const events = fc.array(
  fc.record({ second: fc.nat(2_000_000), quantity: fc.integer({ min: 1, max: 100_000 }), attribute: fc.constantFrom(undefined, "eu", "us") }),
  { maxLength: 40 },
)
const numbered = events.map((list) =>
  list.map(({ second, quantity, attribute }, id): Event => ({ id, second, quantity, ...(attribute === undefined ? {} : { attribute }) })),
)
const manyTiers = {
  model: "graduated",
  tiers: [
    { upTo: "100", price: "0.37" },
    { upTo: "500", price: "0.11", flatFee: "3" },
    { upTo: null, price: "0.017" },
  ],
}
const prices = fc.constantFrom<object>(
  manyTiers,
  { model: "percentage", percent: "1.7", fixedFee: "0.05", freeEvents: 3, freeAmount: "900" },
  { model: "byAttribute", cases: [{ value: "eu", price: manyTiers }], otherwise: { model: "unit", price: "1", per: "7" } },
)
const runs = { numRuns: isFull ? 2000 : 60 }

t.test("permutation and repetition of events change nothing, and a snapshot is the rater", (t) => {
  fc.assert(
    fc.property(prices, numbered, fc.nat(), (price, list, cut) => {
      const catalogue = rules.compile(priced(price))
      const straight = start(catalogue)
      add(straight, list)
      const expected = finish(straight)
      const other = start(catalogue)
      const at2 = list.length === 0 ? 0 : cut % list.length
      add(other, [...list.slice(at2), ...list.slice(0, 3)].toReversed())
      const restored = call(`${at}#[static]rater.restore`, [catalogue, call(`${at}#[method]rater.snapshot`, [other])])
      add(restored, list)
      t.strictSame(finish(restored), expected)
    }),
    runs,
  )
  t.end()
})

t.test("however a period is billed, its lines add up to the same", (t) => {
  fc.assert(
    fc.property(numbered, fc.nat(), (list, cut) => {
      const catalogue = rules.compile(
        priced(manyTiers, {
          modifiers: [
            { modifier: "percentDiscount", percent: "7" },
            { modifier: "maximum", amount: "90" },
          ],
        }),
      )
      const whole = start(catalogue)
      add(whole, list)
      const [all] = finish(whole)
      const half = list.length === 0 ? 0 : cut % list.length
      const first = start(catalogue)
      add(first, list.slice(0, half))
      const [early] = finish(first, false)
      const quantity = list.slice(0, half).reduce((sum, one) => sum + BigInt(one.quantity), 0n)
      const prior = {
        quantities: [{ meter: 0, attribute: undefined, quantity: coefficient(quantity, 2), events: BigInt(half) }],
        billed: [{ charge: "p/c", attribute: undefined, amount: (early as Line).amount }],
      }
      for (const said of [prior, { ...prior, billed: [] }]) {
        const second = start(catalogue, said)
        add(second, list.slice(half))
        const [late] = finish(second)
        t.equal(centsOf(early) + centsOf(late), centsOf(all))
      }
    }),
    runs,
  )
  t.end()
})

t.test("modifiers apply in their order, and steps add up to the line", (t) => {
  const catalogue = rules.compile(
    priced(
      { model: "unit", price: "0.333" },
      {
        modifiers: [
          { modifier: "allowance", quantity: "10" },
          { modifier: "percentDiscount", percent: "10" },
          { modifier: "minimum", amount: "50", base: "beforeDiscounts" },
        ],
      },
    ),
  )
  const rater = start(catalogue)
  add(rater, [{ id: 1, second: 5, quantity: 11_000 }])
  const [line] = finish(rater)
  // 100 × 0.333 = 33.3, less 3.33; what 50 exceeds 33.3 by is 16.7.
  t.equal(text((line as Line).amount), "46.67")
  t.strictSame(
    (line as Line).steps.map(({ kind, amount }) => `${kind} ${ratio(amount)}`),
    ["allowance 0", "price 333/10", "discount -333/100", "minimum 167/10"],
  )
  t.equal(text((finish(rater, false)[0] as Line).amount), "29.97", "a shortfall waits for the period's end")
  t.equal(call(`${at}#[method]catalogue.explain`, [catalogue, line as Line]).at(-1), "c: 46.67 EUR")
  t.end()
})

t.test("what is wrong with usage is refused, all of its batch", (t) => {
  const rater = start(rules.compile(priced({ model: "unit", price: "1" })))
  add(rater, [{ id: 7, second: 1, quantity: 100 }])
  const id = (n: number): string => `event/${n.toString(16).padStart(32, "0")}`
  t.equal(
    kindOf(() =>
      add(rater, [
        { id: 8, second: 2, quantity: 100 },
        { id: 7, second: 1, quantity: 200 },
      ]),
    ),
    `conflict ${id(7)}`,
  )
  t.equal(
    kindOf(() => add(rater, [{ id: 9, second: 99_999_999, quantity: 1 }])),
    `outside-period ${id(9)}`,
  )
  t.equal(
    kindOf(() => call(`${at}#[method]rater.add`, [rater, { ...batchOf([{ id: 10, second: 1, quantity: 1 }]), scale: 3 }])),
    `exponent-mismatch ${id(10)}`,
  )
  t.equal(
    kindOf(() => call(`${at}#[method]rater.add`, [rater, batchOf([{ id: 11, second: 1, quantity: 1 }], 5)])),
    `unknown-meter ${id(11)}`,
  )
  t.strictSame(amounts(finish(rater)), ["1"])
  const unset = start(rules.compile(priced({ model: "unset" }, { modifiers: [{ modifier: "allowance", quantity: "5" }] })))
  add(unset, [{ id: 1, second: 1, quantity: 500 }])
  t.strictSame(amounts(finish(unset)), ["0"])
  add(unset, [{ id: 2, second: 1, quantity: 1 }])
  t.equal(
    kindOf(() => finish(unset)),
    "unpriced /plans/0/charges/0/price",
  )
  t.end()
})

t.test("periods keep their day, and days are those of a zone", (t) => {
  const plan = { id: "p", interval: month, charges: [{ id: "seats", counted: true, price: { model: "seat", price: "31" } }] }
  const catalogue = rules.compile({ ...base, plans: [plan] })
  const days = (spans: ReadonlyArray<{ readonly start: bigint }>): ReadonlyArray<string> =>
    spans.map(({ start }) => new Date(Number(start / 1000n)).toISOString())
  const within = { start: instant("2026-01-01T00:00:00Z"), end: instant("2026-05-01T00:00:00Z") }
  const from31 = subscriptionOf("p", "2026-01-31T09:00:00Z")
  t.strictSame(days(call(`${at}#[method]catalogue.periods`, [catalogue, from31, within, [utc]])), [
    "2026-01-31T00:00:00.000Z",
    "2026-02-28T00:00:00.000Z",
    "2026-03-31T00:00:00.000Z",
    "2026-04-30T00:00:00.000Z",
  ])
  // Clocks go forward from 0:00 to 1:00 on 29 March: the day begins at 1:00, an hour after 23:00.
  const beirut: Zone = {
    name: "Beirut",
    release: "test",
    first: 7200,
    changes: BigInt64Array.of(BigInt(Date.parse("2026-03-28T22:00:00Z") / 1000)),
    offsets: Int32Array.of(10800),
  }
  const inBeirut = subscriptionOf("p", "2026-01-29T12:00:00Z", { zone: "Beirut" })
  t.strictSame(days(call(`${at}#[method]catalogue.periods`, [catalogue, inBeirut, within, [beirut]])).slice(2), [
    "2026-03-28T22:00:00.000Z",
    "2026-04-28T21:00:00.000Z",
  ])
  // Two seats until the 11th, three from then on.
  const changing = subscriptionOf("p", "2026-01-01T00:00:00Z", {
    quantities: [["seats", decimal("2")]],
    changes: [{ at: instant("2026-01-11T15:00:00Z"), atPeriodEnd: false, what: { tag: "quantity", val: ["seats", decimal("3")] } }],
  })
  const segments = call(`${at}#[method]catalogue.prorate`, [catalogue, "seats", changing, january, [utc]])
  t.strictSame(
    segments.map(({ numerator, denominator, amount }) => `${numerator}/${denominator} ${ratio(amount)}`),
    ["10/31 20", "21/31 63"],
  )
  t.strictSame(amounts(finish(start(catalogue, none, changing))), ["83"])
  const paused = subscriptionOf("p", "2026-01-01T00:00:00Z", {
    changes: [
      { at: instant("2026-01-11T00:00:00Z"), atPeriodEnd: false, what: { tag: "pause" } },
      { at: instant("2026-01-21T00:00:00Z"), atPeriodEnd: false, what: { tag: "resume" } },
      { at: instant("2026-01-30T00:00:00Z"), atPeriodEnd: false, what: { tag: "cancel" } },
    ],
  })
  t.strictSame(amounts(finish(start(catalogue, none, paused))), ["19"], "10 days and 9")
  t.equal(
    kindOf(() => start(catalogue, none, subscriptionOf("x", "2026-01-01T00:00:00Z"))),
    "unknown-plan subscription/plan",
  )
  t.end()
})

t.test("no catalogue and no argument traps", async (t) => {
  const source = JSON.parse(await readFile(fileURLToPath(new URL("../../schemas/billing/executions-2025.json", import.meta.url)), "utf8")) as unknown
  const odd = fc.constantFrom<unknown>(
    "",
    "-1",
    "0",
    "99999999999999999999999999",
    "0.000000000000000001",
    null,
    true,
    [],
    {},
    0,
    -1,
    1e300,
    "\ud800",
    "unset",
    "percentage",
    "blocks",
  )
  /** The same with one value in it replaced. */
  const changed = (value: unknown, at: number, by: unknown): unknown => {
    let left = at
    const walk = (one: unknown): unknown => {
      left -= 1
      if (left < 0) {
        left = Number.POSITIVE_INFINITY
        return by
      }
      if (Array.isArray(one)) return one.map(walk)
      return typeof one === "object" && one !== null ? Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, walk(inner)])) : one
    }
    return walk(value)
  }
  let compiled = 0
  const wide = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  fc.assert(
    fc.property(fc.nat(150), odd, wide, wide, fc.nat(20), (place, by, a, b, scale) => {
      const text = JSON.stringify(changed(source, place, by))
      let catalogue: Catalogue | undefined
      refusal(() => (catalogue = rules.compile(text)))
      if (catalogue === undefined) return
      compiled += 1
      const quantity = { high: a, low: BigInt.asUintN(64, b), scale }
      const usage = [0, 1, 2, 3].map((meter) => ({ meter, attribute: undefined, quantity, events: 1n }))
      for (const plan of ["community", "professional"]) {
        refusal(() => call(`${at}#[method]catalogue.estimate`, [catalogue as Catalogue, plan, usage, [["base", quantity]], none, true]))
        refusal(() => call(`${at}#[method]catalogue.rate`, [catalogue as Catalogue, plan, "compute", BigInt64Array.of(a, b), scale]))
        const subscription = { id: "s", plan, start: a, zone: "UTC", quantities: [], changes: [{ at: b, atPeriodEnd: true, what: { tag: "cancel" as const } }] }
        refusal(() => call(`${at}#[method]catalogue.periods`, [catalogue as Catalogue, subscription, { start: a, end: b }, [utc]]))
      }
      refusal(() =>
        call(`${at}#[method]catalogue.allocate`, [
          catalogue as Catalogue,
          quantity,
          [
            { weight: quantity, key: "" },
            { weight: decimal("1"), key: "" },
          ],
        ]),
      )
    }),
    { numRuns: isFull ? 20_000 : 400 },
  )
  t.ok(compiled > 10, String(compiled))
})

t.test("describe() warns of what holds and looks like a mistake, with its place", async (t) => {
  const warned = (catalogue: object | string): ReadonlyArray<string> =>
    call(`${at}#[method]catalogue.describe`, [rules.compile(catalogue)]).warnings.map(({ kind, path }) => `${kind} ${path}`)
  const one = "/plans/0/charges/0"
  const tiers = [
    { upTo: "10", price: "1" },
    { upTo: "20", price: "2" },
    { upTo: null, price: "1.5" },
  ]
  const fixed = (...modifiers: ReadonlyArray<object>) => ({
    ...base,
    meters: [],
    plans: [{ id: "p", interval: month, charges: [{ id: "c", price: { model: "flat", amount: "10" }, modifiers }] }],
  })
  const meters = (...list: ReadonlyArray<object>) =>
    priced({ model: "unit", price: "1" }, {}, { meters: list.map((meter, i) => ({ ...base.meters[0], id: i === 0 ? "calls" : `m${i}`, ...meter })) })
  for (const [what, catalogue, expected] of [
    ["nothing", priced({ model: "unit", price: "1" }), []],
    ["a meter that nobody prices", meters({}, {}), ["unpriced /meters/1"]],
    ["a dearer tier", priced({ model: "graduated", tiers }), [`conflict ${one}/price/tiers/1/price`]],
    [
      "a price of 0 with a discount",
      priced({ model: "unit", price: "0" }, { modifiers: [{ modifier: "percentDiscount", percent: "5" }] }),
      [`conflict ${one}/price`],
    ],
    ["a price of 0 with a minimum", priced({ model: "unit", price: "0" }, { modifiers: [{ modifier: "minimum", amount: "5" }] }), []],
    [
      "a tier beyond the block",
      priced({ model: "graduated", tiers: [tiers[0], tiers[2]] }, { overage: { upTo: "10", policy: "block" } }),
      [`conflict ${one}/price/tiers/1/price`, `tier-unreachable ${one}/price/tiers/1`],
    ],
    [
      "all that is not blocked is free",
      priced({ model: "unit", price: "1" }, { overage: { upTo: "10", policy: "block" }, modifiers: [{ modifier: "allowance", quantity: "10" }] }),
      [`conflict ${one}/modifiers/0`],
    ],
    [
      "a minimum that takes a discount back",
      fixed({ modifier: "percentDiscount", percent: "20" }, { modifier: "minimum", amount: "10" }),
      [`conflict ${one}/modifiers/1`],
    ],
    ["a minimum below the price", fixed({ modifier: "percentDiscount", percent: "20" }, { modifier: "minimum", amount: "9" }), []],
    ["a minimum before discounts", fixed({ modifier: "percentDiscount", percent: "20" }, { modifier: "minimum", amount: "10", base: "beforeDiscounts" }), []],
    [
      "a minimum after all is given away",
      priced(
        { model: "unit", price: "1" },
        {
          modifiers: [
            { modifier: "percentDiscount", percent: "100" },
            { modifier: "commitment", amount: "1" },
          ],
        },
      ),
      [`conflict ${one}/modifiers/1`],
    ],
    ["a minimum above the maximum", fixed({ modifier: "maximum", amount: "5" }, { modifier: "minimum", amount: "6" }), [`conflict ${one}/modifiers/1`]],
    [
      "attributes without a price",
      priced({ model: "byAttribute", cases: [{ value: "eu", price: { model: "unit", price: "1" } }] }),
      [`unknown-attribute ${one}/price`],
    ],
    ["a gap in where", meters({ event: "call", where: { region: "eu" } }), ["unknown-meter /meters/0/where"]],
    ["where with no value", meters({ event: "call", where: { region: [] } }), ["conflict /meters/0/where", "unknown-meter /meters/0/where"]],
  ] as const)
    t.strictSame(warned(catalogue), expected, what)
  for (const name of ["executions-2025", "units-2025"]) {
    const source = await readFile(fileURLToPath(new URL(`../../schemas/billing/${name}.json`, import.meta.url)), "utf8")
    t.strictSame(warned(source), [], name)
  }
})

t.test("digits of currencies are those of ISO 4217's list one", async (t) => {
  // SIX Financial Information, ISO 4217 list one, published 2026-01-01: all that are neither funds nor without minor units.
  const two =
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
  const listed = new Map([
    ...two.split(" ").map((code) => [code, 2] as const),
    ..."BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(" ").map((code) => [code, 0] as const),
    ..."BHD IQD JOD KWD LYD OMR TND".split(" ").map((code) => [code, 3] as const),
    ..."CLF UYW".split(" ").map((code) => [code, 4] as const),
  ])
  const exponentOf = (currency: string, currencyOn?: string): number | undefined => {
    const list = { ...base, currency, meters: [], plans: [], ...(currencyOn === undefined ? {} : { currencyOn }) }
    return rules.problems(list).length > 0 ? undefined : call(`${at}#[method]catalogue.describe`, [rules.compile(list)]).exponent
  }
  const letters = [...listed.keys(), ...Intl.supportedValuesOf("currency")]
  for (const code of new Set(letters)) t.equal(exponentOf(code), listed.get(code), code)
  // Where Debian's iso-codes is installed, it has no code that the list lacks but funds, metals and what is for no money.
  const debian = await readFile("/usr/share/iso-codes/json/iso_4217.json", "utf8").catch(() => undefined)
  if (debian !== undefined) {
    const codes = (JSON.parse(debian) as { readonly "4217": ReadonlyArray<{ readonly alpha_3: string }> })["4217"].map(({ alpha_3 }) => alpha_3)
    const without = new Set("BOV CHE CHW COU MXV USN XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX".split(" "))
    // Its release may be older than the list: what has been withdrawn is known on its days.
    for (const code of codes) if (!without.has(code)) t.ok(exponentOf(code) !== undefined || exponentOf(code, "2020-06-01") !== undefined, code)
  }
  // Days as the Unicode CLDR's supplemental data has them.
  for (const [code, day, digits] of [
    ["HRK", "2022-12-31", 2],
    ["HRK", "2023-01-01", undefined],
    ["GHS", "2007-07-02", undefined],
    ["GHS", "2007-07-03", 2],
    ["SSP", "2011-07-17", undefined],
    ["TMM", "2008-12-31", 2],
    ["TMT", "2009-01-01", 2],
    ["ZWL", "2024-08-31", 2],
    ["ISK", "2006-12-31", 2],
    ["ISK", "2007-01-01", 0],
    ["BGN", "2025-12-31", 2],
  ] as const)
    t.equal(exponentOf(code, day), digits, `${code} on ${day}`)
})

t.test("allocate() loses nothing", (t) => {
  const catalogue = rules.compile(priced({ model: "unit", price: "1" }))
  fc.assert(
    fc.property(
      fc.bigInt({ min: -1_000_000_000_000n, max: 1_000_000_000_000n }),
      fc.array(fc.nat(1000), { minLength: 1, maxLength: 20 }),
      (amount, weights) => {
        if (weights.every((weight) => weight === 0)) return
        const shares = weights.map((weight) => ({ weight: decimal(String(weight)), key: "" }))
        const parts = call(`${at}#[method]catalogue.allocate`, [catalogue, coefficient(amount, 2), shares])
        t.equal(
          parts.reduce((sum, { amount: part }) => sum + ((part.high << 64n) | part.low), 0n),
          amount,
        )
      },
    ),
    runs,
  )
  t.end()
})

t.test("assemble() and credit(): taxes, discounts, what is left", (t) => {
  const catalogue = rules.compile(priced({ model: "unit", price: "1" }))
  const line = (amount: string) => ({
    title: "x",
    value: { tag: "amount" as const, val: decimal(amount) },
    currency: "",
    adjustments: [],
    taxes: Uint32Array.of(0),
  })
  const document = {
    currency: "EUR",
    lines: [line("33.33"), line("66.67")],
    discounts: [{ id: "d", isCharge: false, value: { tag: "percent" as const, val: decimal("10") }, lines: new Uint32Array(0), taxes: new Uint32Array(0) }],
    adjustments: [],
    taxes: [{ code: "VAT", rate: decimal("19"), treatment: "standard" as const, neverIncluded: false }],
    rates: [],
    balances: [{ id: "w", amount: decimal("7"), lines: new Uint32Array(0) }],
    paid: decimal("0"),
    rounding: decimal("0"),
  }
  const totals = call(`${at}#[method]catalogue.assemble`, [catalogue, document])
  t.strictSame([totals.net, totals.tax, totals.gross, totals.payable].map(text), ["90", "17.1", "107.1", "100.1"])
  const [first] = call(`${at}#[method]catalogue.credit`, [catalogue, document, [], [{ line: 0, what: { tag: "amount", val: decimal("10") } }]])
  t.strictSame([text(first?.net ?? decimal("0")), text(first?.tax ?? decimal("0"))], ["10", "1.9"])
  const rest = call(`${at}#[method]catalogue.credit`, [catalogue, document, [first as NonNullable<typeof first>], [{ line: 0, what: { tag: "rest" } }]])
  t.strictSame(
    rest.map(({ net, tax }) => [text(net), text(tax)]),
    [["20", "3.8"]],
  )
  t.equal(
    kindOf(() => call(`${at}#[method]catalogue.credit`, [catalogue, document, rest, [{ line: 0, what: { tag: "amount", val: decimal("10.01") } }]])),
    "over-credited items/0",
  )
  t.end()
})
