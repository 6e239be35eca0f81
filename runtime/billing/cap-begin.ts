/** A cap's first moment: what was used of its period before anybody reserved of it is read from the stored usage, once. */
import { coefficientOf } from "./decimal.ts"
import { tenantsOf } from "./account.ts"
import type { Billing } from "./billing.ts"
import { type Cap, nameOfCap, totalKey, unbounded, usedKey } from "./cap.ts"
import { readUsage } from "./meter.ts"
import type { PriceTable } from "./price-table.ts"
import type { AccountValue, SpanValue } from "./record.ts"
import { isConflict, rowAt } from "./rows.ts"

/** What a meter counts of an account's usage in a span, in whole numbers at its scale. */
async function usedOf(
  billing: Billing,
  { account, meter, span, table }: { readonly account: AccountValue; readonly table: PriceTable; readonly meter: number; readonly span: SpanValue },
): Promise<bigint> {
  const scale = table.description.meters[meter]?.scale ?? 0
  const at = (coefficient: bigint, digits: number): bigint =>
    digits <= scale ? coefficient * 10n ** BigInt(scale - digits) : coefficient / 10n ** BigInt(digits - scale)
  let used = 0n
  await readUsage(
    billing,
    { table, account: account.id, tenants: tenantsOf(account), span, isWhole: true },
    {
      add: async (rows) => {
        for (const [i, of] of rows.meters.entries())
          if (of === meter) used += rows.quantities.length === 0 ? at(1n, 0) : at(rows.quantities[i] ?? 0n, rows.scale)
      },
      addSums: async (sums) => {
        for (const { meter: of, quantity } of sums) if (of === meter) used += at(coefficientOf(quantity), quantity.scale)
      },
    },
  )
  return used
}

/**
 * Begins a cap where nobody has: with what was used of its period until now. Calls that run at that moment and were admitted without it are not in it.
 * @throws BillingError `Rules`; StorageError
 */
export async function beginCap(
  billing: Billing,
  cap: Cap,
  of: { readonly account: AccountValue; readonly table: PriceTable; readonly meter: number; readonly span: SpanValue },
): Promise<void> {
  const name = nameOfCap(cap)
  const total = rowAt(billing.entity, totalKey(name))
  if (await billing.store.ask({ ask: "has", ...total })) return
  const used = of.span.end > of.span.start ? await usedOf(billing, of) : 0n
  try {
    await billing.store.apply([
      { op: "require", ...total, version: undefined },
      { op: "increment", ...total, delta: used, min: 0n, max: unbounded },
      { op: "increment", ...rowAt(billing.entity, usedKey(name)), delta: used, min: 0n, max: unbounded },
    ])
  } catch (error) {
    // Another node has begun it.
    if (!isConflict(error)) throw error
  }
}
