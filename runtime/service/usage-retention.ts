/**
 * Retention of usage records: what is older than `ageMsMax` goes, and the oldest of all tenants while their bytes are above
 * `bytesMax`. Sums stay. In steps, so that a call's record waits for none of it.
 */
import { StorageError } from "../../schemas/error/storage.ts"
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

/**
 * Whose records there are. A database tells only those who may see all tenants: to others the tenants that they wrote for, whose records can go by
 * their age, and not by what all tenants have.
 */
async function tenantsOf(store: Store, written: ReadonlyArray<Uint8Array>): Promise<ReadonlyArray<UsageTenant>> {
  try {
    return await store.ask({ ask: "usageTenants" })
  } catch (error) {
    if (!(error instanceof StorageError && error.reason._tag === "Role")) throw error
    return await Promise.all(
      written.map(async (tenant) => {
        const [oldest] = await store.ask({ ask: "usageRecords", tenant, fromMs: 0, toMs: Infinity, countMax: 1 })
        return { tenant, records: oldest === undefined ? 0 : 1, bytes: 0, oldest: oldest?.id }
      }),
    )
  }
}

/**
 * Carries out retention; answers how many records it removed. `written`: the tenants that the caller knows of, for a store that does not tell.
 * `pause` is called between steps, and may end it.
 * @throws what the store refuses it for
 */
export async function retain(store: Store, nowMs: number, written: Iterable<Uint8Array> = [], pause: () => Promise<void> = async () => {}): Promise<number> {
  const own = [...written]
  let removed = 0
  for (; ; await pause()) {
    let progress = 0
    for (const operation of retentionOf(await tenantsOf(store, own), store.limits.usage, nowMs)) progress += (await store.apply([operation]))[0]
    removed += progress
    if (progress === 0) return removed
  }
}
