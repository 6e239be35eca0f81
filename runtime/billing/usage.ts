/**
 * An account's usage, a day of its zone after the other: from the roll-ups of its tenants, which are of days of UTC and cost no reading of records. Where the
 * account's days begin at another time, only what lies between the two beginnings is read.
 */
import type { Zone } from "../../schemas/wit/stele/billing.gen.ts"
import { textOf } from "../port/place.ts"
import type { UsageGroup } from "../port/usage.ts"
import { dayText } from "../port/usage.ts"
import { tenantBytes } from "../storage/usage.ts"
import { accountOf, tenantsOf } from "./account.ts"
import type { Billing, KnownZone } from "./billing.ts"
import { kinds, timeKey } from "./record.ts"
import { rowsOf } from "./rows.ts"
import { dayStart, localDay } from "./zones.ts"

/** What calls of a day, or of several, add up to, and how many single events there were. Times in ns. */
export interface DayOfUsage {
  readonly calls: bigint
  /** Calls with another outcome than `ok`. */
  readonly failed: bigint
  /** Calls that are in no other sum, since their records were dropped. */
  readonly dropped: bigint
  readonly wallNs: bigint
  readonly fuel: bigint
  readonly bytesIn: bigint
  readonly bytesOut: bigint
  readonly events: bigint
}

export interface UsageOfDays {
  /** Whose days they are. */
  readonly zone: string
  readonly days: ReadonlyArray<DayOfUsage & { readonly day: string }>
  readonly total: DayOfUsage
  /** Single events by their names, in the order of these. */
  readonly events: ReadonlyArray<{ readonly name: string; readonly count: bigint }>
}

type Sums = Omit<DayOfUsage, "events">
const fields = ["calls", "failed", "dropped", "wallNs", "fuel", "bytesIn", "bytesOut"] as const
const none: Sums = { calls: 0n, failed: 0n, dropped: 0n, wallNs: 0n, fuel: 0n, bytesIn: 0n, bytesOut: 0n }

const added = (a: Sums, b: Sums, sign = 1n): Sums => Object.fromEntries(fields.map((field) => [field, a[field] + sign * b[field]])) as unknown as Sums

/** The day of an instant in a zone, counted from 1970-01-01. */
export const dayInZone = ({ zone }: KnownZone, at: bigint): number => localDay(zone, at)

const dayUs = 86_400_000_000n
const usToMs = (us: bigint): number => Number((us + 999n) / 1_000n)

/** What a tenant's records of a time add up to, from themselves. */
async function sumsOf(billing: Billing, tenant: string, from: bigint, to: bigint): Promise<Sums> {
  const of = { tenant: tenantBytes(tenant), fromMs: usToMs(from), toMs: usToMs(to), countMax: billing.limits.pageRecords }
  let sums = none
  for (let after: Uint8Array | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
    const part = await billing.store.ask({ ask: "usageSums", ...of, ...(after === undefined ? {} : { after }) })
    for (const kind of part.kinds) sums = added(sums, { ...kind, failed: kind.outcome === "ok" ? 0n : kind.calls })
    after = part.last
  }
  return sums
}

/** Adds a tenant's calls to the days, from `fromDay` on. */
async function addCalls(billing: Billing, tenant: string, zone: Zone, fromDay: number, days: Array<Sums>): Promise<void> {
  const toDay = fromDay + days.length - 1
  const groups: ReadonlyArray<UsageGroup> = await billing.store.ask({ ask: "usage", by: "day", tenant: tenantBytes(tenant), fromDay, toDay })
  const rolled = new Map(groups.map((group) => [group.key, group]))
  const add = (day: number, sums: Sums, sign: bigint): void => {
    const place = day - fromDay
    const before = days[place]
    if (before !== undefined) days[place] = added(before, sums, sign)
  }
  for (let day = fromDay; day <= toDay; day++) add(day, rolled.get(dayText(day)) ?? none, 1n)
  for (let day = fromDay; day <= toDay + 1; day++) {
    const [here, there] = [dayStart(zone, day), BigInt(day) * dayUs]
    if (here === there) continue
    // East of UTC a day begins earlier: what lies before UTC's is rolled up with the day before.
    const [from, to] = here < there ? [here, there] : [there, here]
    const between = await sumsOf(billing, tenant, from, to)
    add(day, between, here < there ? 1n : -1n)
    add(day - 1, between, here < there ? -1n : 1n)
  }
}

/** Single events by day and by name. Read a page at a time, the names alone. */
async function countEvents(billing: Billing, account: string, zone: Zone, fromDay: number, toDay: number) {
  const byDay = new Map<number, bigint>()
  const byName = new Map<string, bigint>()
  const prefix = `${kinds.event.prefix}${account}/`
  const end = timeKey(dayStart(zone, toDay + 1))
  for await (const { key, value } of rowsOf(billing, prefix, prefix + timeKey(dayStart(zone, fromDay)))) {
    const time = textOf(key).slice(prefix.length).split("/", 1)[0] ?? ""
    if (time >= end) break
    const day = localDay(zone, BigInt(time))
    const { name } = kinds.event.decode(textOf(value))
    byDay.set(day, (byDay.get(day) ?? 0n) + 1n)
    byName.set(name, (byName.get(name) ?? 0n) + 1n)
  }
  const events = [...byName].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => ({ name, count }))
  return { byDay, events }
}

/**
 * Usage of an account by the days of its zone from `fromDay` to `toDay`, both included and counted from 1970-01-01, each of which is there; and what all
 * of them add up to. Records that retention has removed are in the sums of UTC's days, and move to no other.
 * @throws BillingError `Unknown`
 */
export async function accountUsage(
  billing: Billing,
  account: string,
  { fromDay, toDay }: { readonly fromDay: number; readonly toDay: number },
): Promise<UsageOfDays> {
  const known = await accountOf(billing, account)
  const { zone } = await billing.zone(known.zone)
  const sums: Array<Sums> = Array.from({ length: Math.max(0, toDay - fromDay + 1) }, () => none)
  for (const tenant of tenantsOf(known)) await addCalls(billing, tenant, zone, fromDay, sums)
  const { byDay, events } = await countEvents(billing, account, zone, fromDay, toDay)
  const days = sums.map((of, place) => ({ day: dayText(fromDay + place), ...of, events: byDay.get(fromDay + place) ?? 0n }))
  const total = { ...sums.reduce<Sums>((all, one) => added(all, one), none), events: events.reduce((all, { count }) => all + count, 0n) }
  return { zone: known.zone, days, total, events }
}
