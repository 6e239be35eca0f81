/**
 * A fixed set of price lists and usage, rated by the billing rules through what `stele/host` exports: every model, aggregation, rounding and modifier,
 * proration in zones, documents, credit notes, shares. Each group is one line, the SHA-256 of all that the rules answered; `bills.txt` has what they
 * were when they were last meant to change. No number here is random or a float.
 */
import type * as HostModule from "../../host/mod.ts"
import type { DocumentInput, DocumentLine, Events, Exports, Prior, Subscription, Zone } from "../../schemas/wit/stele/billing.gen.ts"

const at = "stele:billing/charging"
const instant = (iso: string): bigint => BigInt(Date.parse(iso)) * 1000n
const coefficient = (value: bigint, scale: number) => ({ high: value >> 64n, low: BigInt.asUintN(64, value), scale })
const decimal = (text: string) => {
  const [whole = "", part = ""] = text.split(".")
  return coefficient(BigInt(whole + part), part.length)
}

/** Equal answers are equal text: whole numbers of 64 bits as strings, columns as lists. */
const plain = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number | bigint>, String) : value

/** Numbers that are the same everywhere: a linear congruential generator of 32 bits. */
function numbers(seed: number): (bound: number) => number {
  let state = seed
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 65_536) % bound
  }
}

const utc: Zone = { name: "UTC", release: "fixed", first: 0, changes: new BigInt64Array(0), offsets: new Int32Array(0) }
/** Parts of real zones, of release 2026f: summer time, a date left out, a midnight that comes twice. */
const vienna: Zone = {
  ...utc,
  name: "Europe/Vienna",
  first: 7200,
  changes: BigInt64Array.of(1_792_890_000n, 1_806_195_600n),
  offsets: Int32Array.of(3600, 7200),
}
const apia: Zone = { ...utc, name: "Pacific/Apia", first: -36_000, changes: BigInt64Array.of(1_325_239_200n), offsets: Int32Array.of(50_400) }
const havana: Zone = { ...utc, name: "America/Havana", first: -14_400, changes: BigInt64Array.of(1_730_610_000n), offsets: Int32Array.of(-18_000) }

const period = { start: instant("2026-09-30T22:00:00Z"), end: instant("2026-10-31T23:00:00Z") }
const none: Prior = { quantities: [], billed: [] }
const subscriber = (plan: string, more: Partial<Subscription> = {}): Subscription => ({
  id: "s",
  plan,
  start: instant("2026-05-31T22:00:00Z"),
  zone: "Europe/Vienna",
  quantities: [],
  changes: [],
  ...more,
})

const tiers = [
  { upTo: "100", price: "0.0125", flatFee: "1" },
  { upTo: "1000", price: "0.011", per: "3" },
  { upTo: null, price: "0.00801" },
]
const blocks = [
  { size: "100", count: 3, price: "1.25" },
  { size: "250", count: null, price: "2.5" },
]
const models: Readonly<Record<string, object>> = {
  unit: { model: "unit", price: "0.0125", per: "7" },
  graduated: { model: "graduated", tiers },
  volume: { model: "volume", tiers },
  package: { model: "package", size: "100", price: "1.25" },
  "blocks-through": { model: "blocks", mode: "through", tiers: blocks },
  "blocks-reached": { model: "blocks", mode: "reached", tiers: blocks },
  percentage: { model: "percentage", percent: "1.3", fixedFee: "0.25", minimum: "0.30", maximum: "2", freeEvents: 5, freeAmount: "40" },
  "graduated-percentage": {
    model: "graduatedPercentage",
    tiers: [
      { upTo: "250", percent: "1.5", flatFee: "0.5" },
      { upTo: null, percent: "0.333" },
    ],
  },
  "pass-through": { model: "passThrough", multiplier: "1.3333" },
  capacity: { model: "capacity", price: "0.02", per: "3", committed: "50" },
  "by-attribute": {
    model: "byAttribute",
    cases: [
      { value: "eu", price: { model: "unit", price: "2" } },
      { value: "us", price: { model: "package", size: "9", price: "3.1" } },
    ],
    otherwise: { model: "volume", tiers },
  },
}
const aggregations = ["sum", "count", "max", "unique", "latest", "timeWeighted"]
const modes = ["halfAway", "halfEven", "halfOdd", "halfDown", "halfCeiling", "halfFloor", "up", "down", "ceiling", "floor"]
const base = { name: "bills", version: "1", currency: "EUR", units: { piece: { exponent: 2 } } }
const month = { unit: "month", count: 1 }
const modified = [
  { modifier: "percentDiscount", percent: "7.5" },
  { modifier: "minimum", amount: "3.33", prorate: true, base: "beforeDiscounts" },
  { modifier: "maximum", amount: "900" },
  { modifier: "commitment", amount: "5" },
]
const meterOf = (id: string) => (id === "capacity" ? "max" : "sum")
const rated = {
  ...base,
  meters: aggregations.map((aggregation) => ({
    id: aggregation.toLowerCase(),
    unit: "piece",
    aggregation,
    ...(aggregation === "sum" ? { increment: "0.25" } : {}),
  })),
  plans: [
    {
      id: "models",
      interval: month,
      align: "calendar",
      charges: Object.entries(models).flatMap(([id, price]) => [
        { id, meter: meterOf(id), price },
        {
          id: `${id}-modified`,
          meter: meterOf(id),
          price,
          modifiers: [
            ...(id === "percentage"
              ? []
              : [
                  { modifier: "allowance", quantity: "12.5" },
                  { modifier: "usageDiscount", percent: "3" },
                ]),
            ...modified,
          ],
        },
      ]),
    },
    {
      id: "meters",
      interval: month,
      align: "calendar",
      charges: aggregations.map((aggregation) => ({ id: aggregation.toLowerCase(), meter: aggregation.toLowerCase(), price: { model: "graduated", tiers } })),
    },
    {
      id: "fixed",
      interval: month,
      align: "calendar",
      charges: [
        { id: "fee", price: { model: "flat", amount: "49" } },
        { id: "after", price: { model: "flat", amount: "9.99" }, when: "arrears" },
        { id: "seats", counted: true, price: { model: "seat", price: "14.90" } },
        {
          id: "desks",
          counted: true,
          price: {
            model: "volume",
            tiers: [
              { upTo: "3", price: "10" },
              { upTo: null, price: "8.5" },
            ],
          },
        },
      ],
    },
    ...["day", "week", "month", "quarter", "year"].flatMap((unit) =>
      ["calendar", "anchor"].map((align) => ({
        id: `${unit}-${align}`,
        interval: { unit, count: 2 },
        align,
        charges: [{ id: "fee", price: { model: "flat", amount: "1" } }],
      })),
    ),
  ],
}

/** Events of a period for meters by their numbers, in no order. */
function eventsOf(count: number, meters: number, seed: number): Events {
  const next = numbers(seed)
  const texts = ["eu", "us", "asia", "a", "b", "c"]
  const seconds = Number((period.end - period.start) / 1_000_000n)
  return {
    meters: Uint32Array.from({ length: count }, () => next(meters)),
    at: BigInt64Array.from({ length: count }, () => period.start + BigInt(next(seconds)) * 1_000_000n),
    idsHigh: BigUint64Array.from({ length: count }, () => BigInt(next(9))),
    idsLow: BigUint64Array.from({ length: count }, (_, i) => BigInt(i)),
    quantities: BigInt64Array.from({ length: count }, () => BigInt(next(9000) - 300)),
    scale: 2,
    attributes: Uint32Array.from({ length: count }, () => (next(4) === 3 ? 0xffffffff : next(3))),
    keys: Uint32Array.from({ length: count }, () => 3 + next(3)),
    texts,
  }
}

const line = (title: string, amount: string, taxes: ReadonlyArray<number>, more: Partial<DocumentLine> = {}): DocumentLine => ({
  title,
  value: { tag: "amount", val: decimal(amount) },
  currency: "",
  adjustments: [],
  taxes: Uint32Array.from(taxes),
  ...more,
})
const invoice: DocumentInput = {
  currency: "EUR",
  lines: [
    line("a", "100", [0], { span: period }),
    line("b", "33.33", [0], { value: { tag: "priced", val: [decimal("7"), decimal("14.2857"), decimal("3")] } }),
    line("c", "19.99", [1], {
      adjustments: [{ id: "off", isCharge: false, value: { tag: "percent", val: decimal("12.5") }, lines: new Uint32Array(0), taxes: new Uint32Array(0) }],
    }),
    line("d", "0.05", [0, 1]),
  ],
  discounts: [{ id: "autumn", isCharge: false, value: { tag: "percent", val: decimal("3.3") }, lines: Uint32Array.of(0, 1), taxes: new Uint32Array(0) }],
  adjustments: [{ id: "post", isCharge: true, value: { tag: "amount", val: decimal("4.90") }, lines: new Uint32Array(0), taxes: Uint32Array.of(0) }],
  taxes: [
    { code: "standard", rate: decimal("20"), treatment: "standard", neverIncluded: false },
    { code: "reduced", rate: decimal("7.7"), treatment: "standard", neverIncluded: false },
  ],
  rates: [{ source: "USD", value: decimal("0.9137"), note: "stored" }],
  balances: [{ id: "wallet", amount: decimal("12.34"), lines: new Uint32Array(0) }],
  paid: decimal("10"),
  rounding: decimal("0"),
}
const documents: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  plain: {},
  document: { "tax.roundingPoint": "document", "rounding.mode": "halfEven" },
  line: { "tax.roundingPoint": "line", "line.rounding": "none", "total.rounding": "exact" },
  unit: { "tax.roundingPoint": "unit", "discounts.stacking": "additive" },
  cash: { "payable.increment": "0.05", "discounts.order": "amountFirst", "discounts.base": "afterTax" },
  wallet: { "credits.base": "beforeTax", "tax.roundingMode": "up" },
}
const inclusive = ["net", "tax", "lineNet", "unit"]

/** `wasm`: the billing rules. @returns a line for each group: its name and the digest of its answers */
export async function bills({ Host }: Pick<typeof HostModule, "Host">, wasm: Uint8Array): Promise<ReadonlyArray<string>> {
  const host = await Host.open({ cache: false })
  const plugin = await host.load<Exports>(wasm)
  const call = plugin.callSync.bind(plugin) as typeof plugin.callSync
  const compile = (source: object) => call(`${at}#[static]catalogue.compile`, [JSON.stringify(source)])
  const lines: Array<string> = []
  const group = async (name: string, answers: ReadonlyArray<unknown>): Promise<void> => {
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(answers.map((each) => JSON.stringify(each, plain)).join("\n"))),
    )
    lines.push(`${name} ${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`)
  }

  const catalogue = compile(rated)
  const finished = (plan: string, batches: ReadonlyArray<Events>, prior = none, more: Partial<Subscription> = {}): ReadonlyArray<unknown> => {
    const rater = call(`${at}#[static]rater.start`, [catalogue, subscriber(plan, more), period, [vienna], prior])
    for (const batch of batches) call(`${at}#[method]rater.add`, [rater, batch])
    const open = call(`${at}#[method]rater.finish`, [rater, false])
    const again = call(`${at}#[static]rater.restore`, [catalogue, call(`${at}#[method]rater.snapshot`, [rater])])
    const last = call(`${at}#[method]rater.finish`, [again, true])
    return [open, last, last.map((each) => call(`${at}#[method]catalogue.explain`, [catalogue, each]))]
  }
  await group("described", [call(`${at}#[method]catalogue.describe`, [catalogue])])
  await group(
    "models",
    finished(
      "models",
      [eventsOf(500, 3, 1), eventsOf(500, 3, 2)].map((each, i) => ({ ...each, idsHigh: each.idsHigh.map((id) => id + BigInt(100 * i)) })),
    ),
  )
  await group("meters", finished("meters", [eventsOf(900, aggregations.length, 3)]))
  const columns = BigInt64Array.from({ length: 64 }, (_, i) => BigInt(i * i * i * 7))
  await group(
    "columns",
    Object.keys(models).map((id) => [id, call(`${at}#[method]catalogue.rate`, [catalogue, "models", id, columns, 2])]),
  )
  await group(
    "roundings",
    modes.map((mode) => {
      const rounding = compile({ ...rated, policies: { "rounding.mode": mode, "rounding.increment": "0.05", "price.negative": "allowed" } })
      return [mode, call(`${at}#[method]catalogue.rate`, [rounding, "models", "unit", columns.map((each, i) => (i % 2 === 0 ? each : -each)), 2])]
    }),
  )
  const moving: Partial<Subscription> = {
    trialEnd: instant("2026-10-04T22:00:00Z"),
    quantities: [
      ["seats", decimal("3")],
      ["desks", decimal("5")],
    ],
    changes: [
      { at: instant("2026-10-09T10:00:00Z"), atPeriodEnd: false, what: { tag: "quantity", val: ["seats", decimal("4.5")] } },
      { at: instant("2026-10-12T10:00:00Z"), atPeriodEnd: false, what: { tag: "pause" } },
      { at: instant("2026-10-15T10:00:00Z"), atPeriodEnd: false, what: { tag: "resume" } },
      { at: instant("2026-10-25T10:00:00Z"), atPeriodEnd: true, what: { tag: "cancel" } },
    ],
  }
  await group("fixed", finished("fixed", [], none, moving))
  const shares: Array<unknown> = []
  for (const unit of ["day", "second", "none"])
    for (const denominator of ["period", "calendarMonth", "30"])
      for (const day of unit === "day" ? ["new", "old"] : ["new"]) {
        const prorating = compile({ ...rated, policies: { "proration.unit": unit, "proration.denominator": denominator, "change.day": day } })
        for (const charge of ["seats", "desks"])
          shares.push(call(`${at}#[method]catalogue.prorate`, [prorating, charge, subscriber("fixed", moving), period, [vienna]]))
      }
  await group("shares", shares)
  const spans: Array<unknown> = []
  for (const missingDay of ["clampKeepAnchor", "nextDay", "skip", "addDaysOfMonth"]) {
    const scheduling = compile({ ...rated, policies: { "schedule.missingDay": missingDay } })
    for (const [zone, from] of [
      [vienna, "2026-08-31"],
      [apia, "2011-10-30"],
      [havana, "2024-08-31"],
      [utc, "2000-01-31"],
    ] as const)
      for (const { id } of rated.plans.slice(3)) {
        const within = { start: instant(`${from}T00:00:00Z`), end: instant(`${from}T00:00:00Z`) + 200n * 86_400_000_000n }
        spans.push(call(`${at}#[method]catalogue.periods`, [scheduling, { ...subscriber(id), start: within.start, zone: zone.name }, within, [zone]]))
      }
  }
  await group("periods", spans)
  const usage = [0, 2].map((meter) => ({ meter, attribute: "eu", quantity: decimal("12345.67"), events: 0n }))
  await group(
    "telescoped",
    finished("meters", [eventsOf(50, 2, 5)], {
      quantities: [{ meter: 0, quantity: decimal("77.7"), events: 3n }],
      billed: [{ charge: "meters/sum", amount: decimal("4.44") }],
    }),
  )
  const estimated = compile({ ...rated, plans: [{ ...rated.plans[0], charges: rated.plans[0]?.charges.filter(({ id }) => !id.startsWith("percentage")) }] })
  await group(
    "estimates",
    [false, true].map((steps) => call(`${at}#[method]catalogue.estimate`, [estimated, "models", usage, [], none, steps])),
  )
  const ofWhole = { ...invoice, discounts: invoice.discounts.map((one) => ({ ...one, lines: new Uint32Array(0) })) }
  const totals = Object.entries(documents).map(([name, policies]) => [
    name,
    call(`${at}#[method]catalogue.assemble`, [compile({ ...rated, policies }), policies["discounts.base"] === "afterTax" ? ofWhole : invoice]),
  ])
  const prices = { ...invoice, adjustments: [] }
  for (const rounds of inclusive)
    totals.push([
      rounds,
      call(`${at}#[method]catalogue.assemble`, [compile({ ...rated, policies: { "tax.prices": "inclusive", "tax.inclusiveRounds": rounds } }), prices]),
    ])
  await group("documents", totals)
  const given = call(`${at}#[method]catalogue.credit`, [
    catalogue,
    invoice,
    [],
    [
      { line: 0, what: { tag: "unused-from", val: instant("2026-10-20T00:00:00Z") } },
      { line: 1, what: { tag: "quantity", val: decimal("2") } },
      { line: 2, what: { tag: "amount", val: decimal("5") } },
    ],
  ])
  await group("credits", [
    given,
    call(`${at}#[method]catalogue.credit`, [catalogue, invoice, given, [0, 1, 2, 3].map((each) => ({ line: each, what: { tag: "rest" } as const }))]),
  ])
  const parts = [
    ["3", "c"],
    ["3", "a"],
    ["0", "z"],
    ["1.5", "b"],
    ["7", "a"],
  ].map(([weight = "", key = ""], i) => ({ weight: decimal(weight), key, ...(i === 4 ? { atMost: decimal("20.01") } : {}) }))
  const allocations: Array<unknown> = []
  for (const remainder of ["largestFraction", "first", "last", "cascadeFromEnd"])
    for (const tie of ["order", "key"])
      for (const amount of ["100", "0.07", "-33.34"]) {
        const allocating = compile({ ...rated, policies: { "allocation.remainder": remainder, "allocation.tie": tie } })
        allocations.push(
          call(`${at}#[method]catalogue.allocate`, [
            allocating,
            decimal(amount),
            remainder === "cascadeFromEnd" ? parts.map(({ weight, key }) => ({ weight, key })) : parts,
          ]),
        )
      }
  await group("allocations", allocations)
  await host.close()
  return lines
}
