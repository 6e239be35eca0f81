/**
 * An invoice with all that it rests on, in one file (ADR 0052): the price list, what was rated of it and what that was read from, zones, the component
 * that decided, the invoice itself. `verify.ts` computes it anew from that alone.
 */
import * as Schema from "effect/Schema"
import { Decimal } from "../../schemas/billing/catalogue.ts"
import { Metered } from "../../schemas/billing/invoice.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Events } from "../../schemas/wit/stele/billing.gen.ts"
import { contentKey } from "../../host/port/port.ts"
import { textOf } from "../port/place.ts"
import { firstId, msOf, type UsageEntry } from "../port/usage.ts"
import { tenantBytes, uuidText } from "../storage/usage.ts"
import { pluginsFolder } from "../plugins/shipped.ts"
import type { Billing } from "./billing.ts"
import { BundleWriter } from "./bundle-file.ts"
import { catalogueText, priceTable } from "./catalogue.ts"
import { billedKey } from "./draft.ts"
import { fingerprintOf, readUsage } from "./meter.ts"
import { find, get, type InvoiceValue, kinds, timeKey } from "./record.ts"
import { rowsOf } from "./rows.ts"
import { shippedZones, type Zones } from "./zones.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const { readFile } = process.getBuiltinModule("node:fs/promises")
const { join } = process.getBuiltinModule("node:path")

export const bundleFormat = "stele bundle 1"

/** Beside what the invoice says of each period: levels of its meters at its start, and sums that stood for events. */
export const Ratings = Schema.Array(
  Schema.Struct({ levels: Schema.Array(Schema.Struct({ meter: Schema.String, quantity: Decimal })), sums: Schema.Array(Metered) }),
)
export const ratingsText = Schema.encodeSync(Schema.fromJsonString(Ratings))

/** A batch of rows as it was given to the rules: columns, whole numbers of 64 bits as texts. */
export const rowsText = (rows: Events): string =>
  `${JSON.stringify({
    meters: Array.from(rows.meters),
    at: Array.from(rows.at, String),
    ids: Array.from(rows.idsHigh, (high, i) => ((high << 64n) | (rows.idsLow[i] as bigint)).toString(16).padStart(32, "0")),
    quantities: Array.from(rows.quantities, String),
    scale: rows.scale,
    attributes: Array.from(rows.attributes),
    keys: Array.from(rows.keys),
    texts: rows.texts,
  })}\n`

/** A period's part of a bundle, as it comes: what was given to the rules, and what that was read from. */
export interface RatingSource {
  readonly levels: ReadonlyArray<{ readonly meter: string; readonly quantity: string }>
  readonly sums: ReadonlyArray<typeof Metered.Type>
  rows(): AsyncIterable<Events>
  /** JSON lines, a page at a time. */
  records(): AsyncIterable<string>
}

export interface BundleSource {
  readonly invoice: InvoiceValue
  readonly catalogue: string
  readonly rules: Uint8Array
  /** A table of zones, as its digest names it. */
  readonly zones: Uint8Array
  /** One for each of the invoice's. */
  readonly ratings: ReadonlyArray<RatingSource>
}

const place = (n: number): string => String(n).padStart(6, "0")

/** Writes a bundle. @returns its digest, without what says it in the file */
export async function writeBundle({ catalogue, invoice, ratings, rules, zones }: BundleSource, write: (bytes: Uint8Array) => Promise<void>): Promise<string> {
  const writer = new BundleWriter(write)
  await writer.part("invoice.json", kinds.invoice.encode(invoice))
  await writer.part("catalogue", catalogue)
  await writer.part("rules.wasm", rules)
  await writer.part("zones", zones)
  await writer.part("ratings.json", `${ratingsText(ratings.map(({ levels, sums }) => ({ levels, sums })))}\n`)
  for (const [i, rating] of ratings.entries()) {
    let n = 0
    for await (const rows of rating.rows()) await writer.part(`usage/${i}/${place(n++)}.json`, rowsText(rows))
    n = 0
    for await (const lines of rating.records()) await writer.part(`records/${i}/${place(n++)}.jsonl`, lines)
  }
  return writer.finish({ format: bundleFormat, invoice: { id: invoice.id, number: invoice.number } })
}

export const recordLine = ({
  dropped,
  export: name,
  fuel,
  hostCalls,
  id,
  memoryPeakBytes,
  bytesIn,
  bytesOut,
  outcome,
  plugin,
  tenant,
  wallNs,
}: UsageEntry): string =>
  JSON.stringify({
    id: uuidText(id),
    at: new Date(msOf(id)).toISOString(),
    tenant,
    plugin,
    export: name,
    outcome,
    wallNs,
    ...(fuel === undefined ? {} : { fuel: String(fuel) }),
    memoryPeakBytes,
    bytesIn,
    bytesOut,
    hostCalls,
    ...(dropped === undefined ? {} : { dropped }),
  })

const usToMs = (us: bigint): number => Number((us + 999n) / 1_000n)

type RatingValue = InvoiceValue["ratings"][number]

/** What is behind a period's lines, a page of JSON lines at a time: usage records of its tenants, then its single events. */
export async function* recordsBehind(billing: Billing, account: string, { usage }: RatingValue): AsyncGenerator<string> {
  if (usage === undefined) return
  const { end, start } = usage.span
  const [fromMs, toMs] = [usToMs(start), usToMs(end)]
  for (const tenant of usage.tenants) {
    let after: Uint8Array | undefined
    for (;;) {
      const page: ReadonlyArray<UsageEntry> = await billing.store.ask({
        ask: "usageRecords",
        tenant: tenantBytes(tenant),
        fromMs,
        toMs,
        ...(after === undefined ? {} : { after }),
        countMax: billing.limits.pageRecords,
      })
      if (page.length === 0) break
      yield `${page.map(recordLine).join("\n")}\n`
      after = page.at(-1)?.id ?? firstId(toMs)
    }
  }
  let lines: Array<string> = []
  for await (const { key, value } of rowsOf(billing, `${kinds.event.prefix}${account}/`)) {
    const at = textOf(key).slice(`${kinds.event.prefix}${account}/`.length).split("/", 1)[0] ?? ""
    if (at < timeKey(start) || at >= timeKey(end)) continue
    lines.push(textOf(value))
    if (lines.length < billing.limits.pageRecords) continue
    yield `${lines.join("\n")}\n`
    lines = []
  }
  if (lines.length > 0) yield `${lines.join("\n")}\n`
}

/** The component that decided: ours, where it is still the same, or what `rulesOf` finds. */
async function rulesBytes(invoice: InvoiceValue, rulesOf: RulesOf | undefined): Promise<Uint8Array> {
  const found = (await rulesOf?.(invoice.rules)) ?? new Uint8Array(await readFile(join(pluginsFolder(), "billing.wasm")))
  if (`sha256:${createHash("sha256").update(found).digest("hex")}` === invoice.rules) return found
  throw new BillingError("BundleSource", {
    invoice: invoice.id,
    detail: `the rules ${invoice.rules} that decided are not those of this program, and nobody has them`,
  })
}

/** Components of accounts are in the host's content store. */
async function storedRules({ host }: Billing, digest: string): Promise<Uint8Array | undefined> {
  const found = await host.ports.blob.get(contentKey(digest))
  return found === undefined ? undefined : Uint8Array.from(found)
}

/** The table of zones that an invoice names: the one of this program, or one of those given. */
async function zonesFor(invoice: InvoiceValue, given: ReadonlyArray<Zones>): Promise<Uint8Array> {
  const digests = new Set(invoice.zones.map(({ digest }) => digest))
  const found = [...given, await shippedZones()].find(({ digest }) => digests.has(`sha256:${digest}`))
  if (found !== undefined && digests.size === 1) return found.bytes
  throw new BillingError("BundleSource", {
    invoice: invoice.id,
    detail: `the table of zones ${[...digests].join(", ")} is not that of this program, and nobody has it`,
  })
}

/** Finds a component by its digest, `sha256:…`. */
export type RulesOf = (digest: string) => Promise<Uint8Array | undefined>

/**
 * Makes the bundle of an issued invoice from the books.
 * @throws BillingError `BundleSource` when usage has come since, or the rules are gone; `Unknown`
 */
export async function bundleOf(
  billing: Billing,
  id: string,
  write: (bytes: Uint8Array) => Promise<void>,
  { rulesOf = (digest) => storedRules(billing, digest), zoneTables = [] }: { readonly rulesOf?: RulesOf; readonly zoneTables?: ReadonlyArray<Zones> } = {},
): Promise<string> {
  const { value: invoice } = await get(billing, kinds.invoice, id)
  const table = await priceTable(billing, invoice.catalogue.digest, invoice.account)
  const zones = await zonesFor(invoice, zoneTables)
  const ratings: Array<RatingSource> = []
  for (const rating of invoice.ratings) {
    const { period, usage } = rating
    const row = usage === undefined ? undefined : await find(billing, kinds.billed, billedKey(invoice.subscription.id, period))
    const levels = (row?.value.levels ?? []).map(({ meter, start }) => ({ meter, quantity: start }))
    if (usage === undefined) {
      ratings.push({ levels: [], sums: [], rows: nothing, records: nothing })
      continue
    }
    const { span, tenants } = usage
    if ((await fingerprintOf(billing, invoice.account.id, tenants, span)) !== usage.fingerprint)
      throw new BillingError("BundleSource", { invoice: id, detail: "usage of its time has come since it was issued" })
    const isWhole = usage.sums.length > 0
    ratings.push({
      levels,
      sums: usage.sums,
      rows: () => batches((add) => readUsage(billing, { table, account: invoice.account.id, tenants, span, isWhole }, { add, addSums: noSums })),
      records: () => recordsBehind(billing, invoice.account.id, rating),
    })
  }
  return writeBundle(
    {
      invoice,
      catalogue: await catalogueText(billing, invoice.catalogue.digest),
      rules: await rulesBytes(invoice, rulesOf),
      zones,
      ratings,
    },
    write,
  )
}

// eslint-disable-next-line require-yield
async function* nothing(): AsyncGenerator<never> {}

/** The invoice has them. */
const noSums = async (): Promise<void> => {}

/** What a reader hands over, one at a time: it goes on when the last one was taken. */
async function* batches(read: (add: (rows: Events) => Promise<void>) => Promise<unknown>): AsyncGenerator<Events> {
  let hand: ((rows: Events | undefined) => void) | undefined
  let resume: (() => void) | undefined
  let next = new Promise<Events | undefined>((resolve) => (hand = resolve))
  const reading = read(async (rows) => {
    hand?.(rows)
    await new Promise<void>((resolve) => (resume = resolve))
  })
  const ended = reading.then(
    () => hand?.(undefined),
    (error: unknown) => {
      hand?.(undefined)
      throw error
    },
  )
  for (;;) {
    const rows = await next
    if (rows === undefined) break
    next = new Promise((resolve) => (hand = resolve))
    yield rows
    resume?.()
  }
  await ended
}
