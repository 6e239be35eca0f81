/**
 * Zones for the billing rules, from a table that its digest names. The one that came with this program is loaded when it is first asked for; an
 * older one, by which something was billed, is opened from its bytes.
 */
import { createHash } from "node:crypto"
import { BillingError } from "../../schemas/error/billing.ts"
import { closest } from "../../schemas/value/closest.ts"
import { fromBase64 } from "../../schemas/value/base64.ts"
import { unpackZones, type ZoneTable } from "../../schemas/billing/zone-table.ts"
import type { Span, Zone } from "../../schemas/wit/stele/billing.gen.ts"

const microseconds = 1_000_000n
/** On either side of a span, for days that begin before it and clocks that differ by up to a day. */
const slackSeconds = 3 * 86_400

export class Zones {
  /** SHA-256 of the table's bytes, in hexadecimal: what an invoice names. */
  readonly digest: string
  readonly bytes: Uint8Array
  readonly #table: ZoneTable

  /** @throws RangeError when the bytes are no table of zones */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.digest = createHash("sha256").update(bytes).digest("hex")
    this.#table = unpackZones(bytes)
  }

  /** Of the IANA database, such as `2026f`. */
  get release(): string {
    return this.#table.release
  }

  get names(): ReadonlyArray<string> {
    return this.#table.names
  }

  /**
   * A zone as the rules take it. With a span, the changes around it alone: the same answers for all that lies in it, in fewer bytes.
   * @throws BillingError `Zone` for a name that the table does not have, `ZoneSpan` for a span that it does not reach
   */
  zone(name: string, within?: Span): Zone {
    const { release, from, until } = this.#table
    const zone = this.#table.zone(name)
    if (zone === undefined) throw new BillingError("Zone", { zone: name, release, didYouMean: closest(name, this.names) })
    let [low, high] = [0, zone.changes.length]
    if (within !== undefined) {
      const [start, end] = [Number(within.start / microseconds), Number(within.end / microseconds)]
      if (start < from || end > until)
        throw new BillingError("ZoneSpan", { zone: name, release, from: day(from), until: day(until), start: day(start), end: day(end) })
      low = zone.changes.findLastIndex((change) => change < start - slackSeconds) + 1
      high = low + zone.changes.slice(low).filter((change) => change < end + slackSeconds).length
    }
    return {
      name,
      release,
      first: low === 0 ? zone.first : (zone.offsets[low - 1] as number),
      changes: BigInt64Array.from(zone.changes.slice(low, high), BigInt),
      offsets: Int32Array.from(zone.offsets.slice(low, high)),
    }
  }
}

/** Seconds east of UTC at an instant. */
function offsetAt({ changes, first, offsets }: Zone, second: bigint): number {
  let [low, high] = [0, changes.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((changes[middle] as bigint) <= second) low = middle + 1
    else high = middle
  }
  return low === 0 ? first : (offsets[low - 1] as number)
}

const daySeconds = 86_400

/** The date of an instant in a zone, as days since 1970-01-01. */
export function localDay(zone: Zone, at: bigint): number {
  const second = at / microseconds
  return Math.floor((Number(second) + offsetAt(zone, second)) / daySeconds)
}

/** The first instant of a date in a zone, as the date's day from 1970-01-01; of one that the zone left out that of the next. */
export function dayStart(zone: Zone, date: number): bigint {
  // No place is further from UTC.
  let [low, high] = [BigInt(date * daySeconds - 16 * 3_600), BigInt(date * daySeconds + 16 * 3_600)]
  while (low < high) {
    const middle = (low + high) >> 1n
    if (localDay(zone, middle * microseconds) >= date) high = middle
    else low = middle + 1n
  }
  return low * microseconds
}

const day = (second: number): string => new Date(second * 1000).toISOString().slice(0, 10)

let shipped: Promise<Zones> | undefined

/** The table that came with this program. */
export const shippedZones = (): Promise<Zones> =>
  (shipped ??= import("../../schemas/billing/zones.gen.ts").then(({ zonesBase64 }) => new Zones(fromBase64(zonesBase64) as Uint8Array)))
