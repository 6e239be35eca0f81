/**
 * Computes an invoice anew from its bundle and nothing else: the usage in it, rated by the rules in it, by the zones in it. No clock, no network, no
 * zone table of this machine; the rules run with nothing granted and within limits. The bundle may be a stranger's.
 */
import * as Schema from "effect/Schema"
import { BillingError } from "../../schemas/error/billing.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { SteleError } from "../../schemas/error/family.ts"
import type { Events, Exports, Line, Zone } from "../../schemas/wit/stele/billing.gen.ts"
import type { LoadOptions } from "../../host/options.ts"
import { Host } from "../mod.ts"
import { type BundleFile, type BundleLimits, bundleLimits, openBundle } from "./bundle-file.ts"
import { Ratings } from "./bundle.ts"
import { coefficientOf } from "./decimal.ts"
import { decimalIn, documentForRules, plainLine, plainTotals } from "./plain.ts"
import { PriceTable } from "./price-table.ts"
import { Rating } from "./rating.ts"
import { type InvoiceValue, kinds, detailOf } from "./record.ts"
import { Rules } from "./rules.ts"
import { forRules } from "./subscription.ts"
import { Zones } from "./zones.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export interface Verified {
  readonly invoice: InvoiceValue
  /** SHA-256 of the bundle without its seal, in hexadecimal: what names it. */
  readonly digest: string
  readonly parts: number
  /** Lines that were computed anew and are the same, to the last digit. */
  readonly lines: number
  /** Rows of usage and sums that they were computed from. */
  readonly rows: number
  readonly sums: number
  /** The component that computed them. */
  readonly rules: string
}

export interface VerifyOptions {
  readonly limits?: Partial<BundleLimits>
  /** Of the rules in the bundle; those of our own where not said. */
  readonly rulesLimits?: NonNullable<LoadOptions["limits"]>
  /** The digest that the bundle must have, in hexadecimal. */
  readonly digest?: string
}

/** As ours have them. */
const rulesLimits = { memoryBytesMax: 128 << 20, deadlineMs: 10_000 }

const utf8 = new TextDecoder("utf-8", { fatal: true })
const whole64 = Schema.BigIntFromString
const column = Schema.Array(Schema.Int)
const Rows = Schema.Struct({
  meters: column,
  at: Schema.Array(whole64),
  ids: Schema.Array(Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/))),
  quantities: Schema.Array(whole64),
  scale: Schema.Int,
  attributes: column,
  keys: column,
  texts: Schema.Array(Schema.String),
})

/**
 * @throws BillingError `Bundle`, `BundleLimit` for a file that is not as a bundle is written; `Differs` for an invoice that its rules do not make of its
 * usage; `RulesStopped` for rules that do not end; what they refuse
 */
export async function verifyBundle(file: string, { digest, limits: given, rulesLimits: within = rulesLimits }: VerifyOptions = {}): Promise<Verified> {
  const limits = { ...bundleLimits, ...given }
  await using bundle = await openBundle(file, limits)
  if (digest !== undefined && digest !== bundle.seal)
    throw new BillingError("Bundle", { file, part: "", detail: `its digest is ${bundle.seal}, and not ${digest}` })
  const refuse = (part: string, detail: string): never => {
    throw new BillingError("Bundle", { file, part, detail })
  }
  const decoded = <A>(part: string, bytes: Uint8Array, decode: (text: string) => A): A => {
    try {
      return decode(utf8.decode(bytes))
    } catch (error) {
      return refuse(part, detailOf(error))
    }
  }
  const invoice = decoded("invoice.json", await bundle.read("invoice.json"), kinds.invoice.decode)
  const catalogue = await bundle.read("catalogue")
  if (sha256(catalogue) !== invoice.catalogue.digest) refuse("catalogue", `it is not the price list ${invoice.catalogue.digest} of the invoice`)
  const component = await bundle.read("rules.wasm")
  if (sha256(component) !== invoice.rules) refuse("rules.wasm", `it is not the component ${invoice.rules} of the invoice`)
  const zones = zonesIn(await bundle.read("zones"), invoice, refuse)
  const ratings = decoded("ratings.json", await bundle.read("ratings.json"), Schema.decodeUnknownSync(Schema.fromJsonString(Ratings)))
  if (ratings.length !== invoice.ratings.length) refuse("ratings.json", `it has ${ratings.length} periods, and the invoice ${invoice.ratings.length}`)
  checkSums(invoice, ratings, refuse)
  // Nothing of this machine's configuration: no store, no replacement of the rules, no grant.
  await using host = await Host.open({ upkeep: false, usage: false })
  const started = performance.now()
  const late = (): void => {
    const spent = performance.now() - started
    if (spent > limits.verifyMsMax) throw new BillingError("BundleLimit", { file, what: "time in ms", limit: limits.verifyMsMax, actual: Math.round(spent) })
  }
  try {
    const plugin = await host.load<Exports>(component, { digest: invoice.rules, grants: [], limits: within, metering: "deadline" })
    const table = await PriceTable.open(new Rules(plugin), invoice.catalogue.digest, utf8.decode(catalogue))
    const meterIds = table.description.meters.map(({ id }) => id)
    const found: Array<ReturnType<typeof plainLine>> = []
    let rows = 0
    for (const [i, rating] of invoice.ratings.entries()) {
      late()
      const part = ratings[i] as (typeof ratings)[number]
      const rated = new Rating({
        table,
        subscription: forRules(invoice.subscription),
        period: rating.period,
        zones,
        prior: {
          quantities: part.levels.map(({ meter, quantity }) => ({ meter: numberOf(meterIds, meter, refuse), quantity: decimalIn(quantity), events: 0n })),
          billed: rating.prior.map(({ amount, attribute, charge }) => ({
            charge,
            ...(attribute === undefined ? {} : { attribute }),
            amount: decimalIn(amount),
          })),
        },
      })
      for (const name of partsUnder(bundle, `usage/${i}/`)) {
        late()
        const batch = decoded(name, await bundle.read(name), Schema.decodeUnknownSync(Schema.fromJsonString(Rows)))
        rows += batch.meters.length
        await rated.add(eventsOf(batch), () => undefined)
      }
      if (part.sums.length > 0)
        await rated.addSums(
          part.sums.map(({ attribute, events, meter, quantity }) => ({
            meter: numberOf(meterIds, meter, refuse),
            ...(attribute === undefined ? {} : { attribute }),
            quantity: decimalIn(quantity),
            events,
          })),
        )
      const isOpening = rating.kind === "opening"
      const lines = (await rated.finish(!isOpening)).filter((line) => isBilled(line, rating.kind))
      found.push(...lines.map((line) => plainLine(line, meterIds, i)))
      rated.close()
    }
    compare(invoice, "number of lines", invoice.lines.length, found.length)
    for (const [i, line] of found.entries()) compareFields(invoice, `line ${i + 1}`, invoice.lines[i] as (typeof found)[number], line)
    const document = documentForRules(invoice.document)
    for (const [i, line] of invoice.document.lines.entries()) compare(invoice, `amount of the document's line ${i + 1}`, line.amount, found[i]?.amount)
    late()
    const totals = plainTotals(await table.ask((handle) => table.rules.ask("[method]catalogue.assemble", [handle, document])))
    compareFields(invoice, "total", invoice.totals, totals)
    const sums = ratings.reduce((sum, part) => sum + part.sums.length, 0)
    return { invoice, digest: bundle.seal, parts: bundle.parts.length, lines: found.length, rows, sums, rules: invoice.rules }
  } catch (error) {
    if (error instanceof LimitError)
      throw new BillingError("RulesStopped", { digest: invoice.rules, attempts: 1, detail: `${error.code}: ${error.message}` }, { cause: error })
    if (error instanceof BillingError || !(error instanceof SteleError)) throw error
    throw new BillingError("Bundle", { file, part: "rules.wasm", detail: `${error.code}: ${error.message}` }, { cause: error })
  }
}

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Which lines of a period are on an invoice: as `draft.ts` draws it up. */
const isBilled = ({ amount, meter }: Line, kind: InvoiceValue["ratings"][number]["kind"]): boolean => {
  if (kind === "opening") return meter === undefined && coefficientOf(amount) !== 0n
  return kind === "closing" || coefficientOf(amount) !== 0n
}

/** The zones of the invoice, from the table in the bundle. */
function zonesIn(bytes: Uint8Array, { zones }: InvoiceValue, refuse: (part: string, detail: string) => never): ReadonlyArray<Zone> {
  for (const { digest } of zones) if (digest !== sha256(bytes)) refuse("zones", `it is not the table ${digest} of the invoice`)
  let table: Zones
  try {
    table = new Zones(bytes)
  } catch (error) {
    return refuse("zones", detailOf(error))
  }
  return zones.map(({ name }) => table.zone(name))
}

const eventsOf = ({ at, attributes, ids, keys, meters, quantities, scale, texts }: typeof Rows.Type): Events => ({
  meters: Uint32Array.from(meters),
  at: BigInt64Array.from(at),
  idsHigh: BigUint64Array.from(ids, (id) => BigInt(`0x${id.slice(0, 16)}`)),
  idsLow: BigUint64Array.from(ids, (id) => BigInt(`0x${id.slice(16)}`)),
  quantities: BigInt64Array.from(quantities),
  scale,
  attributes: Uint32Array.from(attributes),
  keys: Uint32Array.from(keys),
  texts,
})

const partsUnder = (bundle: BundleFile, prefix: string): ReadonlyArray<string> =>
  bundle.parts.filter(({ name }) => name.startsWith(prefix)).map(({ name }) => name)

function numberOf(meterIds: ReadonlyArray<string>, id: string, refuse: (part: string, detail: string) => never): number {
  const found = meterIds.indexOf(id)
  return found < 0 ? refuse("ratings.json", `the price list has no meter ${JSON.stringify(id).slice(0, 80)}`) : found
}

/** The sums that are rated are those that the invoice states. */
function checkSums(invoice: InvoiceValue, ratings: typeof Ratings.Type, refuse: (part: string, detail: string) => never): void {
  const text = (sums: (typeof ratings)[number]["sums"]): string =>
    JSON.stringify(sums.map(({ attribute, events, meter, quantity }) => [meter, attribute ?? null, quantity, String(events)]))
  for (const [i, { sums }] of ratings.entries())
    if (text(sums) !== text(invoice.ratings[i]?.usage?.sums ?? [])) refuse("ratings.json", `the sums of period ${i + 1} are not those of the invoice`)
}

function compare(invoice: InvoiceValue, what: string, stated: unknown, computed: unknown): void {
  const text = (value: unknown): string =>
    typeof value === "string" ? value : (JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner)) ?? "nothing")
  const [a, b] = [text(stated), text(computed)]
  if (a !== b) throw new BillingError("Differs", { invoice: invoice.id, what, stated: a.slice(0, 200), computed: b.slice(0, 200) })
}

function compareFields<A extends object>(invoice: InvoiceValue, what: string, stated: A, computed: A): void {
  for (const field of new Set([...Object.keys(stated), ...Object.keys(computed)]) as Set<keyof A & string>)
    compare(invoice, `${field} of ${what}`, stated[field], computed[field])
}
