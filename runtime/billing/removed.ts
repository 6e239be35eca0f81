/**
 * Whether a span's usage records are all there. Retention removes a tenant's oldest first, takes none as old again, and leaves the days' roll-ups: where a
 * record is left from before the span, or the first of its days has as many as were added up, none of it is gone.
 */
import { dayOf, dayText, firstId } from "../port/usage.ts"
import { tenantBytes } from "../storage/usage.ts"
import type { Billing } from "./billing.ts"
import type { SpanValue } from "./record.ts"

const dayMs = 86_400_000

/**
 * The first of the tenants of whose records of a span some were removed; undefined where all are there. Of a day that the span begins within, records of
 * before it count as well: it may be called removed where only these were, and never the other way.
 */
export async function removedOf(billing: Billing, tenants: ReadonlyArray<string>, { end, start }: SpanValue): Promise<string | undefined> {
  const [fromMs, lastMs] = [Number((start + 999n) / 1_000n), Number((end - 1n) / 1_000n)]
  const [fromDay, toDay] = [dayOf(firstId(fromMs)), dayOf(firstId(lastMs))]
  for (const name of tenants) {
    const tenant = tenantBytes(name)
    // Before the records: what comes meanwhile is among these only.
    const days = await billing.store.ask({ ask: "usage", by: "day", tenant, fromDay, toDay })
    const first = days.find(({ calls, dropped }) => calls + dropped > 0n)
    if (first === undefined) continue
    const older = await billing.store.ask({ ask: "usageRecords", tenant, fromMs: 0, toMs: fromMs, countMax: 1 })
    if (older.length > 0) continue
    let day = fromDay
    while (dayText(day) !== first.key) day++
    const of = { tenant, fromMs: day * dayMs, toMs: (day + 1) * dayMs, countMax: billing.limits.pageRecords }
    let found = 0n
    for (let after: Uint8Array | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
      const part = await billing.store.ask({ ask: "usageSums", ...of, ...(after === undefined ? {} : { after }) })
      for (const { calls, dropped } of part.kinds) found += calls + dropped
      after = part.last
    }
    if (found < first.calls + first.dropped) return name
  }
  return undefined
}
