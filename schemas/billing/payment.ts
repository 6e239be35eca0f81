/** Payments, purchases with their shares, refunds and payouts as they are kept. Amounts are whole numbers of the currency's smallest unit, as texts. */
import * as Schema from "effect/Schema"
import { Decimal } from "./catalogue.ts"
import { LedgerAccount, LedgerCurrency, LedgerInstant, MinorUnits, TransactionId } from "./ledger.ts"

/** `asked`: it is to be done, or was, and nobody knows yet. */
const Status = Schema.Literals(["asked", "done", "declined"])
/** What the provider named it, or why it declined; empty before. */
const Answer = Schema.String

/** Whom it was asked of, by the port's name: nobody else goes on with it. Rows that were written before there was this are anybody's. */
const Provider = Schema.optionalKey(Schema.String)

/** The newest attempt to have an invoice paid. */
export const Payment = Schema.Struct({
  invoice: TransactionId,
  attempt: Schema.Int,
  amount: MinorUnits,
  currency: LedgerCurrency,
  at: LedgerInstant,
  status: Status,
  answer: Answer,
  provider: Provider,
})

/** Who has a part of what an artifact was sold for: `payable/CREATOR`, `revenue/platform`. */
export const SoldShare = Schema.Struct({ account: LedgerAccount, weight: Decimal, amount: MinorUnits })

export const Refund = Schema.Struct({
  id: TransactionId,
  amount: MinorUnits,
  /** In the order of the shares. */
  parts: Schema.Array(MinorUnits),
  at: LedgerInstant,
  status: Status,
  answer: Answer,
})

export const Purchase = Schema.Struct({
  id: TransactionId,
  account: TransactionId,
  artifact: Schema.String,
  currency: LedgerCurrency,
  exponent: Schema.Int,
  amount: MinorUnits,
  shares: Schema.NonEmptyArray(SoldShare),
  at: LedgerInstant,
  status: Status,
  answer: Answer,
  provider: Provider,
  refunds: Schema.Array(Refund),
})

/** The newest payout of a creator in a currency. */
export const Payout = Schema.Struct({
  creator: Schema.String,
  currency: LedgerCurrency,
  sequence: Schema.Int,
  amount: MinorUnits,
  at: LedgerInstant,
  status: Status,
  answer: Answer,
  provider: Provider,
})
