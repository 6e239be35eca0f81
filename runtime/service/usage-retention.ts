/**
 * Retention of usage records: what is older than `ageMsMax` goes, and the oldest of all tenants while their bytes are above
 * `bytesMax`. Sums stay. In steps, so that a call's record waits for none of it.
 */
import type { Store } from "../port/store.ts"
import { firstId, msOf, type UsageLimits, type UsageOperation, type UsageTenant } from "../port/usage.ts"

/** Records that one commit removes. */
const stepRecords = 2_000

/** What is to be removed next: of each tenant so much, and then the question again; nothing when all is within the limits. */
export function retentionOf(
  tenants: ReadonlyArray<UsageTenant>,
  { ageMsMax, bytesMax }: Pick<UsageLimits, "ageMsMax" | "bytesMax">,
  nowMs: number,
): ReadonlyArray<Extract<UsageOperation, { readonly op: "forget" }>> {
  const aged = nowMs - ageMsMax
  const oldestMs = Math.min(...tenants.flatMap(({ oldest }) => (oldest === undefined ? [] : [msOf(oldest)])))
  if (oldestMs === Infinity) return []
  const isOver = tenants.reduce((sum, { bytes }) => sum + bytes, 0) > bytesMax
  // A sixteenth of the time there is: all tenants lose what is oldest, and little more than must go.
  const cutMs = Math.max(aged, isOver ? oldestMs + Math.max(1, Math.ceil((nowMs - oldestMs) / 16)) : 0)
  const before = firstId(cutMs)
  return tenants.flatMap(({ tenant, oldest }) =>
    oldest !== undefined && Buffer.compare(oldest, before) < 0 ? [{ op: "forget" as const, tenant, beforeId: before, countMax: stepRecords }] : [],
  )
}

/** Carries out retention; answers how many records it removed. @throws what the store refuses it for */
export async function retain(store: Store, nowMs: number): Promise<number> {
  let removed = 0
  for (;;) {
    let progress = 0
    for (const operation of retentionOf(await store.ask({ ask: "usageTenants" }), store.limits.usage, nowMs)) progress += (await store.apply([operation]))[0]
    removed += progress
    if (progress === 0) return removed
  }
}
