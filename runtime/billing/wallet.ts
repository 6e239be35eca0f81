/** What an account has paid ahead: its wallet in the ledger, which grows by bookings to `wallet/ACCOUNT`. */
import type { Billing } from "./billing.ts"
import { decimal, decimalText } from "./decimal.ts"
import { balanceKey, readBalance } from "./ledger-row.ts"
import type { AccountValue } from "./record.ts"
import { rowAt } from "./rows.ts"

export interface Wallet {
  /** What is there, above 0. */
  readonly amount: string
  /** Of the balance's row: a condition for taking something of it. */
  readonly version: number
}

export const walletAccount = (account: string): string => `wallet/${account}`

/** The balance that an account may pay with; undefined where there is none. */
export async function walletOf(billing: Billing, { currency, id }: AccountValue, exponent: number): Promise<Wallet | undefined> {
  const key = balanceKey(walletAccount(id), currency)
  const found = await billing.store.ask({ ask: "get", ...rowAt(billing.entity, key) })
  if (found === undefined) return undefined
  // What is owed to a customer is a credit, which the ledger has as a negative amount.
  const owed = -readBalance(billing.entity, key, found.value)
  return owed > 0n ? { amount: decimalText(decimal(owed, exponent)), version: found.version } : undefined
}
