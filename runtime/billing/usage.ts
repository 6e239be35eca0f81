/** An account's usage, a day after the other: from the roll-ups of its tenants, which cost no reading of records. */
import type { UsageGroup } from "../port/usage.ts"
import { dayText } from "../port/usage.ts"
import { tenantBytes } from "../storage/usage.ts"
import { accountOf, tenantsOf } from "./account.ts"
import type { Billing } from "./billing.ts"

/** What calls of a day, or of several, add up to. Times in ns. */
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
}

const fields = ["calls", "failed", "dropped", "wallNs", "fuel", "bytesIn", "bytesOut"] as const
const none: DayOfUsage = { calls: 0n, failed: 0n, dropped: 0n, wallNs: 0n, fuel: 0n, bytesIn: 0n, bytesOut: 0n }

const added = (a: DayOfUsage, b: DayOfUsage): DayOfUsage => Object.fromEntries(fields.map((field) => [field, a[field] + b[field]])) as unknown as DayOfUsage

/**
 * Calls of an account's tenants by the days of UTC from `fromDay` to `toDay`, both included and counted from 1970-01-01, each of which is there; and what all
 * of them add up to. Single events are no calls.
 * @throws BillingError `Unknown`
 */
export async function accountUsage(
  billing: Billing,
  account: string,
  { fromDay, toDay }: { readonly fromDay: number; readonly toDay: number },
): Promise<{ readonly days: ReadonlyArray<DayOfUsage & { readonly day: string }>; readonly total: DayOfUsage }> {
  const byDay = new Map<string, DayOfUsage>()
  for (let day = fromDay; day <= toDay; day++) byDay.set(dayText(day), none)
  for (const tenant of tenantsOf(await accountOf(billing, account))) {
    const groups: ReadonlyArray<UsageGroup> = await billing.store.ask({ ask: "usage", by: "day", tenant: tenantBytes(tenant), fromDay, toDay })
    for (const group of groups) byDay.set(group.key, added(byDay.get(group.key) ?? none, group))
  }
  const days = Array.from(byDay, ([day, sums]) => ({ day, ...sums }))
  return { days, total: days.reduce<DayOfUsage>(added, none) }
}
