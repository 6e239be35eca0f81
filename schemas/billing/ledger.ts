/** Transactions of a ledger as they are kept: JSON with fields in this order. A positive amount is a debit, a negative one a credit. */
import * as Schema from "effect/Schema"

export const ledgerLimits = {
  /** Characters of a transaction's id. */
  idLengthMax: 128,
  /** Characters of an account's name. */
  accountLengthMax: 200,
  /** Characters of a memo. */
  memoLengthMax: 500,
  /** Postings of one transaction. */
  postingsMax: 1_000,
  /** Digits of an amount and of a balance, in the currency's smallest unit. */
  digitsMax: 20,
}

/** Kinds of accounts by the first part of their name, the side on which they grow, and whether a name follows. */
export const chart = {
  /** What an account of a customer owes: `receivable/ACCOUNT`. */
  receivable: { side: "debit", isNamed: true },
  /** Money at a payment provider: `cash/PROVIDER`. */
  cash: { side: "debit", isNamed: true },
  /** What doing business costs: `expense/provider-fees`. */
  expense: { side: "debit", isNamed: true },
  /** What roundings of payable amounts gave and took. */
  rounding: { side: "debit", isNamed: false },
  /** What was earned: `revenue/executions`, `revenue/platform`. */
  revenue: { side: "credit", isNamed: true },
  /** Taxes to be handed on: `tax/vat-at`. */
  tax: { side: "credit", isNamed: true },
  /** What a creator is owed: `payable/CREATOR`. */
  payable: { side: "credit", isNamed: true },
  /** What a customer has paid ahead: `wallet/ACCOUNT`. */
  wallet: { side: "credit", isNamed: true },
} as const satisfies Readonly<Record<string, { readonly side: "debit" | "credit"; readonly isNamed: boolean }>>

const kinds = Object.entries(chart)
const named = (isNamed: boolean): string => kinds.flatMap(([kind, one]) => (one.isNamed === isNamed ? [kind] : [])).join("|")

const part = "[A-Za-z0-9][A-Za-z0-9._@+~-]*"
export const LedgerAccount = Schema.String.check(
  Schema.isPattern(new RegExp(`^(?:(?:${named(true)})(?:/${part}){1,4}|(?:${named(false)}))$`)),
  Schema.isMaxLength(ledgerLimits.accountLengthMax),
).annotate({ identifier: "LedgerAccount" })

/** An ISO 4217 code, or a unit of a price list. */
export const LedgerCurrency = Schema.String.check(Schema.isPattern(/^(?:[A-Z]{3}|[a-z0-9][a-z0-9-]{0,63})$/)).annotate({ identifier: "LedgerCurrency" })

/** A whole number of the currency's smallest units. */
export const MinorUnits = Schema.BigIntFromString.check(
  Schema.isBetweenBigInt({ minimum: -(10n ** BigInt(ledgerLimits.digitsMax)) + 1n, maximum: 10n ** BigInt(ledgerLimits.digitsMax) - 1n }),
).annotate({ identifier: "MinorUnits" })

/** Microseconds since 1970-01-01T00:00:00Z, up to the year 2286: 16 digits, so that texts of equal length are in its order. */
export const LedgerInstant = Schema.BigIntFromString.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 10n ** 16n - 1n })).annotate({
  identifier: "LedgerInstant",
})

export const TransactionId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._:@+~/-]*$/), Schema.isMaxLength(ledgerLimits.idLengthMax)).annotate({
  identifier: "TransactionId",
})

export const Posting = Schema.Struct({ account: LedgerAccount, currency: LedgerCurrency, amount: MinorUnits })

/** What a transaction is of. */
export const Reference = Schema.Struct({
  kind: Schema.Literals(["invoice", "credit-note", "payment", "refund", "purchase", "payout", "adjustment"]),
  id: TransactionId,
})

export const Transaction = Schema.Struct({
  id: TransactionId,
  at: LedgerInstant,
  memo: Schema.String.check(Schema.isMaxLength(ledgerLimits.memoLengthMax)),
  reference: Reference,
  postings: Schema.NonEmptyArray(Posting).check(Schema.isMaxLength(ledgerLimits.postingsMax)),
})

/** One posting as an account's statement shows it. */
export const LedgerEntry = Schema.Struct({ amount: MinorUnits, memo: Schema.String, reference: Reference })
