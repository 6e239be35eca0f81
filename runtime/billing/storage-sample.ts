/**
 * What tenants store, as single events `storage-used`: bytes of their rows in all tables, once a day with the run. A meter of it is one of levels or peaks,
 * such as `{ "event": "storage-used", "aggregation": "max" }`.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { tenantText } from "../storage/usage.ts"
import { accountOf, accountOfTenant } from "./account.ts"
import type { Billing } from "./billing.ts"
import { priceTable } from "./catalogue.ts"
import { record } from "./event.ts"
import { subscriptionsOf } from "./subscription.ts"

const { hash } = process.getBuiltinModule("node:crypto")

const dayUs = 86_400_000_000n
const name = "storage-used"

async function isMetered(billing: Billing, id: string, tenant: string): Promise<boolean> {
  const account = await accountOf(billing, id)
  for await (const { value } of subscriptionsOf(billing, id)) {
    if (value.next === null) continue
    const table = await priceTable(billing, value.catalogue, account)
    if ((await table.match(name, [["tenant", tenant]])).length > 0) return true
  }
  return false
}

export interface Unsampled {
  readonly tenant: string
  readonly error: BillingError
}

/** Records what each account's tenants store at `now`; nothing where a store does not say (`stele_worker` alone may ask a server). Answers what could not be recorded. */
export async function sampleStorage(billing: Billing, now: bigint): Promise<ReadonlyArray<Unsampled>> {
  const bytes = new Map<string, number>()
  try {
    for (const total of await billing.store.ask({ ask: "totals" })) {
      const tenant = tenantText(total.tenant)
      bytes.set(tenant, (bytes.get(tenant) ?? 0) + total.bytes)
    }
  } catch (error) {
    if (error instanceof StorageError && (error.reason._tag === "Role" || error.reason._tag === "Unsupported")) return []
    throw error
  }
  const failed: Array<Unsampled> = []
  for (const [tenant, stored] of bytes)
    try {
      await sample(billing, tenant, stored, now)
    } catch (error) {
      if (!(error instanceof BillingError)) throw error
      // Another node has sampled the day a moment before or after, or the account has no subscription then.
      if (error.reason._tag !== "EventConflict" && error.reason._tag !== "EventTime") failed.push({ tenant, error })
    }
  return failed
}

async function sample(billing: Billing, tenant: string, stored: number, now: bigint): Promise<void> {
  const account = await accountOfTenant(billing, tenant)
  // Without a meter nobody pays for the rows.
  if (account === undefined || !(await isMetered(billing, account, tenant))) return
  const day = now - (now % dayUs)
  await record(billing, {
    account,
    id: `storage-used.${day / dayUs}.${hash("sha256", tenant, "hex")}`,
    at: day,
    name,
    quantity: String(stored),
    properties: { tenant },
  })
}
