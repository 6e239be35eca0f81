/**
 * `npm run bench -- billing`: a month of stored usage becomes an issued invoice, in a process of its own; and prices in the billing rules. A column of quantities through a graduated price of four tiers, in batches of 8,192, where
 * calls hardly show, and without metering (the kernel), beside BigInt of a fixed scale by the same rule; then as it is used: metered, in batches of
 * 1,000, every model; events into a rater; an estimate.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Host, type Plugin } from "../../host/mod.ts"
import type { Exports } from "../../schemas/wit/stele/billing.gen.ts"
import { bundleInto, placeWorkers } from "../../runtime/build/bundle.ts"
import { firstParty } from "../../runtime/plugins/first-party.ts"
import type { InvoiceFigures } from "./billing-invoice.ts"
import { compare, figureRow, type Row, row, type Sample } from "./measure.ts"

const at = "stele:billing/charging"
const root = new URL("../../", import.meta.url)
const batch = 1000
const column = 8192

const tiers = [
  { upTo: "1000", price: "0.0125", flatFee: "1" },
  { upTo: "10000", price: "0.011" },
  { upTo: "100000", price: "0.0095" },
  { upTo: null, price: "0.00801" },
]
/** Prices of 16 digits: amounts have 19, and do not fit 64 bits. */
const fineTiers = tiers.map((tier) => ({ ...tier, price: `${tier.price.padEnd(17, "0")}1` }))
/** All but `unset`, which is no way of pricing: whatever is asked of such a price is the problem `unpriced`. */
const models: Readonly<Record<string, object>> = {
  graduated: { model: "graduated", tiers },
  volume: { model: "volume", tiers },
  unit: { model: "unit", price: "0.0125", per: "100" },
  package: { model: "package", size: "100", price: "1.25" },
  "blocks-through": {
    model: "blocks",
    mode: "through",
    tiers: [
      { size: "100", count: 10, price: "1" },
      { size: "1000", count: null, price: "8" },
    ],
  },
  "blocks-reached": {
    model: "blocks",
    mode: "reached",
    tiers: [
      { size: "100", count: 10, price: "1" },
      { size: "1000", count: null, price: "8" },
    ],
  },
  percentage: { model: "percentage", percent: "1.3", fixedFee: "0.25", minimum: "0.30", maximum: "20" },
  "graduated-percentage": {
    model: "graduatedPercentage",
    tiers: [
      { upTo: "1000", percent: "1.5" },
      { upTo: null, percent: "1" },
    ],
  },
  "pass-through": { model: "passThrough", multiplier: "1.3333" },
  capacity: { model: "capacity", price: "0.02", committed: "500" },
  "by-attribute": { model: "byAttribute", cases: [{ value: "eu", price: { model: "unit", price: "2" } }], otherwise: { model: "graduated", tiers } },
  "graduated-128": { model: "graduated", tiers: fineTiers },
  "graduated-packages": {
    model: "graduated",
    tiers: [
      { upTo: "1000", size: "100", price: "1.25" },
      { upTo: null, size: "500", price: "5", flatFee: "2" },
    ],
  },
  flat: { model: "flat", amount: "49" },
  seat: { model: "seat", price: "14.90" },
}
/** Of no meter: they price a plan's time, or how many there are. */
const fixed: Readonly<Record<string, object>> = { flat: {}, seat: { counted: true } }

const catalogue = JSON.stringify({
  name: "bench",
  version: "1",
  currency: "EUR",
  units: { call: { exponent: 3 } },
  meters: [
    { id: "calls", unit: "call", aggregation: "sum" },
    { id: "peak", unit: "call", aggregation: "max" },
    { id: "payments", unit: "call", aggregation: "sum" },
  ],
  plans: [
    {
      id: "all",
      interval: { unit: "month", count: 1 },
      charges: Object.entries(models).map(([id, price]) => ({
        id,
        price,
        ...(fixed[id] ?? { meter: id === "capacity" ? "peak" : id === "percentage" ? "payments" : "calls" }),
      })),
    },
    { id: "one", interval: { unit: "month", count: 1 }, align: "calendar", charges: [{ id: "calls", meter: "calls", price: models["graduated"] }] },
  ],
})

/** The same rule in BigInt of a fixed scale: quantities in thousandths, prices of so many digits. */
function byBigInt(list: ReadonlyArray<{ readonly upTo: string | null; readonly price: string; readonly flatFee?: string }>, digits: number) {
  const scaled = (text: string): bigint => {
    const [whole = "", part = ""] = text.split(".")
    return BigInt(whole + part.padEnd(digits, "0"))
  }
  const divisor = 10n ** BigInt(digits + 1)
  const half = divisor / 2n
  const bounds = list.map(({ upTo }) => (upTo === null ? 2n ** 63n : BigInt(upTo) * 1000n))
  const lowers = [0n, ...bounds]
  const prices = list.map(({ price }) => scaled(price))
  const bases: Array<bigint> = []
  let base = 0n
  for (const [i, { flatFee = "0" }] of list.entries()) {
    base += scaled(flatFee) * 1000n
    bases.push(base)
    base += ((bounds[i] as bigint) - (lowers[i] as bigint)) * (prices[i] as bigint)
  }
  return (quantities: BigInt64Array): BigInt64Array => {
    const out = new BigInt64Array(quantities.length)
    for (let i = 0; i < quantities.length; i += 1) {
      const q = quantities[i] as bigint
      let tier = 0
      while (q > (bounds[tier] as bigint)) tier += 1
      out[i] = ((bases[tier] as bigint) + (q - (lowers[tier] as bigint)) * (prices[tier] as bigint) + half) / divisor
    }
    return out
  }
}

/** Quantities of all tiers, in thousandths. */
function quantitiesOf(length: number): BigInt64Array {
  let seed = 0x2545f491
  return BigInt64Array.from({ length }, () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return BigInt(Math.floor(10 ** (3 + (seed / 2 ** 32) * 5.5)))
  })
}

const millions = (perCallUs: number, rows: number): number => rows / perCallUs

const decimal = (low: bigint, scale = 0) => ({ high: 0n, low, scale })
const none = { quantities: [], billed: [] }
const subscription = { id: "s", plan: "one", start: 0n, trialEnd: undefined, anchorDay: undefined, zone: "UTC", quantities: [], changes: [] }
const utc = { name: "UTC", release: "2026b", first: 0, changes: new BigInt64Array(0), offsets: new Int32Array(0) }
const period = { start: 0n, end: 2_678_400_000_000n }

/** Of so many records; the time is that of one issue, from the subscription to the row of its invoice. */
const stored = [1_000_000, 5_000_000]
const megabytes = 1_048_576

/** The program as it would be shipped: bundled, since reading TypeScript takes memory of its own. */
async function bundled(folder: string): Promise<string> {
  const address = (name: string) => `new URL(${JSON.stringify(new URL(`dist/${name}.js`, root).href)})`
  await bundleInto(
    folder,
    {
      input: { "billing-invoice": fileURLToPath(new URL("billing-invoice.ts", import.meta.url)) },
      platform: "node",
      external: [/^@effect\/sql-pg/, /^@electric-sql/, /^@aws-sdk/],
      plugins: [placeWorkers(address)],
      logLevel: "silent",
    },
    { minify: true },
  )
  await cp(new URL("dist/plugins", root), join(folder, "plugins"), { recursive: true })
  return join(folder, "billing-invoice.js")
}

async function invoices(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-billing-"))
  try {
    const program = await bundled(folder)
    const run = async (...args: ReadonlyArray<string>): Promise<string> => (await promisify(execFile)(process.execPath, [program, ...args])).stdout
    const rows: Array<Row> = []
    for (const count of stored) {
      const path = join(folder, `${count}.db`)
      say(`billing: writing ${count} usage records…`)
      await run("fill", path, String(count))
      for (const [list, what] of [
        ["executions-2025", ""],
        ["single-events", ", by prices of single events"],
      ] as const) {
        const { cpuMs, ms, peakBytes, records } = JSON.parse(await run("issue", path, list, "professional")) as InvoiceFigures
        if (records !== count) throw new Error(`Cannot compare: ${records} records were billed`)
        const peak = peakBytes / megabytes
        const isTarget = count === 1_000_000
        rows.push(
          figureRow(
            `${count.toLocaleString("en")} stored usage records → issued invoice${what}`,
            "ms",
            ms,
            {},
            isTarget ? [{ name: "ms", ratio: ms, atMost: 2_000 }] : [],
            `${cpuMs.toFixed(0)} ms of processor time`,
          ),
          figureRow(`the same: most memory of the process`, "MiB", peak, {}, [{ name: "MiB", ratio: peak, atMost: 150 }]),
        )
      }
      await rm(path)
    }
    return rows
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export async function bench(say: (line: string) => void): Promise<ReadonlyArray<Row>> {
  const issued = await invoices(say)
  await using host = await Host.open()
  const metered = await firstParty<Exports>(host, "billing")
  const bytes = await readFile(new URL("dist/plugins/billing.wasm", root))
  const bare: Plugin<Exports> = await host.load<Exports>(bytes, { metering: "off" })
  const inMetered = metered.callSync(`${at}#[static]catalogue.compile`, [catalogue])
  const inBare = bare.callSync(`${at}#[static]catalogue.compile`, [catalogue])
  const many = quantitiesOf(column)
  const few = quantitiesOf(batch)
  const rows: Array<Row> = [...issued]

  const rate = (charge: string, quantities: BigInt64Array) => bare.callSync(`${at}#[method]catalogue.rate`, [inBare, "all", charge, quantities, 3])
  for (const [charge, list, digits, figure] of [
    ["graduated-128", fineTiers, 16, "kernel: four tiers, rounded, in 128 bits"],
    ["graduated", tiers, 5, "kernel: the same with amounts that 64 bits hold"],
  ] as const) {
    const peer = byBigInt(list, digits)
    const expected = peer(many)
    if (rate(charge, many).some((amount, i) => amount !== expected[i])) throw new Error("Cannot compare: the two disagree")
    const { ours, bigint } = compare({ ours: () => rate(charge, many), bigint: () => peer(many) }) as Readonly<Record<"ours" | "bigint", Sample>>
    const [mine, theirs] = [millions(ours.median, column), millions(bigint.median, column)]
    const targets = [{ name: "M ratings/s", ratio: mine, atLeast: 30 }]
    if (charge === "graduated-128") targets.push({ name: "times BigInt", ratio: mine / theirs, atLeast: 5 })
    rows.push(figureRow(figure, "M ratings/s", mine, { bigint: theirs }, targets))
  }

  for (const charge of Object.keys(models)) {
    const each = compare({ each: () => metered.callSync(`${at}#[method]catalogue.rate`, [inMetered, "all", charge, few, 3]) }, { rounds: 6 })["each"] as Sample
    const figure = millions(each.median, batch)
    rows.push(figureRow(`metered, batches of ${batch}: ${charge}`, "M ratings/s", figure, {}, [{ name: "M ratings/s", ratio: figure, atLeast: 5 }]))
  }

  const ids = new BigUint64Array(batch)
  let next = 0n
  const columns = {
    meters: new Uint32Array(batch),
    at: new BigInt64Array(batch),
    idsHigh: new BigUint64Array(batch),
    idsLow: ids,
    quantities: few,
    scale: 3,
    attributes: new Uint32Array(0),
    keys: new Uint32Array(0),
    texts: [],
  }
  const rater = metered.callSync(`${at}#[static]rater.start`, [inMetered, subscription, period, [utc], none])
  const events = compare({
    events: () => {
      for (let i = 0; i < batch; i += 1) {
        next += 1n
        ids[i] = next
        columns.at[i] = next
      }
      metered.callSync(`${at}#[method]rater.add`, [rater, columns])
    },
  })["events"] as Sample
  rows.push(figureRow(`events into a rater, in order, batches of ${batch}, with making them`, "M events/s", millions(events.median, batch), {}, []))

  const price = await readFile(new URL("schemas/billing/executions-2025.json", root), "utf8")
  const list = metered.callSync(`${at}#[static]catalogue.compile`, [price])
  const usage = [0, 1, 2, 3].map((meter) => ({ meter, attribute: undefined, quantity: decimal(123_456n), events: 1n }))
  let seed = 1
  // Tens of thousands of single calls, compiled by the engine before; beside them what this machine makes of as much work that allocates nothing.
  const estimate = compare(
    {
      ours: () => metered.callSync(`${at}#[method]catalogue.estimate`, [list, "professional", usage, [], none, false]),
      machine: () => {
        for (let i = 0; i < 3_000; i += 1) seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
        return seed
      },
    },
    { batchUs: 0, rounds: 40, warmMs: 1_000 },
  )
  const { p99 } = estimate["ours"] as Sample
  rows.push(row("estimate: five charges, each call timed", "µs", estimate, [{ name: "p99 µs", ratio: p99, atMost: 50 }]))
  return rows
}
