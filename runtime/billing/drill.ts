/** From a line of an invoice to the usage behind it: the very records and events that its meter counted. */
import type { UsageEntry } from "../port/usage.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { countedOf, eventStream, recordStream } from "./meter.ts"
import { type DraftValue, type EventValue, timeKey } from "./record.ts"
import { meterPlans, Sources } from "./source.ts"

export type Behind = { readonly record: UsageEntry } | { readonly event: EventValue }

/** Where a reading of usage is: in which of its streams, after which record's id, or which event's time and id. */
interface Position {
  readonly stream: number
  readonly after: string
}

const positionPattern = /^(\d{1,3})\.((?:[0-9a-f]{2}){1,512})$/
const textOfPosition = ({ after, stream }: Position): string => `${stream}.${after}`

/** @throws BillingError `Input` */
function readPosition(text: string, tenants: number): Position {
  const [, stream = "", after = ""] = positionPattern.exec(text) ?? []
  const place = Number(stream)
  if (after === "" || place > tenants || (place < tenants && after.length !== 32))
    throw new BillingError("Input", { what: "place in the usage", detail: "it is none that a page before has named" })
  return { stream: place, after }
}

/** What is read of a line's usage, whether it counts for the line or not, with where that is. */
async function* walk(
  billing: Billing,
  invoice: DraftValue,
  place: number,
  from: string | undefined,
): AsyncGenerator<{ readonly found: Behind | undefined; readonly at: Position }> {
  const line = invoice.lines[place]
  if (line === undefined) throw new BillingError("Unknown", { what: "line", id: `${invoice.id}#${place}`, entity: billing.entity })
  const usage = invoice.ratings[line.rating]?.usage
  const tenants = usage?.tenants ?? []
  const begin = from === undefined ? undefined : readPosition(from, tenants.length)
  if (line.meter === undefined || usage === undefined) return
  const afterOf = (stream: number): Buffer | undefined => (begin?.stream === stream ? Buffer.from(begin.after, "hex") : undefined)
  const table = await priceTable(billing, invoice.catalogue.digest, invoice.account)
  const plans = meterPlans(table)
  const meter = plans.findIndex(({ id }) => id === line.meter)
  const sources = new Sources(table, plans)
  // A meter that is priced by attribute has a line for each; without a price of its own an attribute is of the one line.
  const isOf = (attribute: string | undefined): boolean => line.attribute === undefined || line.attribute === (attribute ?? "")
  for (const [number, tenant] of tenants.entries()) {
    if (number < (begin?.stream ?? 0)) continue
    const stream = recordStream(billing, tenant, usage.span, afterOf(number))
    for (await stream.refill(); stream.next() !== undefined; await stream.refill()) {
      const record = stream.take() as UsageEntry
      const at = { stream: number, after: Buffer.from(record.id).toString("hex") }
      if (record.dropped !== undefined) {
        yield { found: undefined, at }
        continue
      }
      if (sources.of(record) === undefined) await sources.learn(record)
      const counts = sources.of(record)?.some((one) => one.meter === meter && isOf(one.attribute === undefined ? undefined : record[one.attribute])) === true
      yield { found: counts ? { record } : undefined, at }
    }
  }
  const stream = eventStream(billing, invoice.account.id, usage.span, afterOf(tenants.length)?.toString("utf8"))
  for (await stream.refill(); stream.next() !== undefined; await stream.refill()) {
    const event = stream.take() as EventValue
    const counts = (await countedOf(table, plans, event)).some((one) => one.meter === meter && isOf(one.attribute))
    yield {
      found: counts ? { event } : undefined,
      at: { stream: tenants.length, after: Buffer.from(`${timeKey(event.at)}/${event.id}`).toString("hex") },
    }
  }
}

/**
 * Records, a tenant after the other in the order of their time, then events, that count for the line at a place of an invoice or a draft. Nothing for a fixed
 * charge. What retention has removed is not there any more; the invoice has its sum.
 * @throws BillingError `Unknown` for a place without a line
 */
export async function* usageBehind(billing: Billing, invoice: DraftValue, place: number): AsyncGenerator<Behind> {
  for await (const { found } of walk(billing, invoice, place, undefined)) if (found !== undefined) yield found
}

/** A line that counts few of many records is found with not too many questions. */
const pageRecordsMin = 256

export interface BehindPart {
  readonly found: ReadonlyArray<Behind>
  /** Where the next part begins; undefined at the end. */
  readonly next: string | undefined
}

/**
 * The same in parts: at most `countMax` of them, after reading at most `readMax`, so that a part takes a bounded time; it may be empty and not the last.
 * `after` is the `next` of the part before.
 * @throws BillingError `Unknown` for a place without a line, `Input` for an `after` that is none
 */
export async function usageBehindPart(
  billing: Billing,
  invoice: DraftValue,
  place: number,
  { after, countMax, readMax = 100_000 }: { readonly after?: string | undefined; readonly countMax: number; readonly readMax?: number },
): Promise<BehindPart> {
  const all: Array<Behind> = []
  let [last, read]: [Position | undefined, number] = [undefined, 0]
  // What is read beyond the part is read again for the next one.
  const pageRecords = Math.min(billing.limits.pageRecords, Math.max(pageRecordsMin, countMax + 1))
  const few: Billing = { ...billing, limits: { ...billing.limits, pageRecords } }
  for await (const { at, found } of walk(few, invoice, place, after)) {
    // One more than is shown says that there is more.
    if (last !== undefined && (read >= readMax || (all.length >= countMax && found !== undefined))) return { found: all, next: textOfPosition(last) }
    read++
    last = at
    if (found !== undefined) all.push(found)
  }
  return { found: all, next: undefined }
}
