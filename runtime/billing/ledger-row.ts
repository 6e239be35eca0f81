/** A ledger's rows: their keys, and their one form. Nothing here asks a store. */
import * as Schema from "effect/Schema"
import { LedgerEntry, type LedgerInstant, ledgerLimits, type Posting, type Reference, Transaction } from "../../schemas/billing/ledger.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { textOf } from "../port/place.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export type TransactionValue = typeof Transaction.Type
export type PostingValue = typeof Posting.Type
export type ReferenceValue = typeof Reference.Type
export type Instant = typeof LedgerInstant.Type

const utf8 = new TextEncoder()
/** The most that a balance and an amount may be, either way. */
export const amountMax = 10n ** BigInt(ledgerLimits.digitsMax) - 1n
export const instantDigits = 16

/** An append log: a number, from 1 on, for each transaction, which it names with its digest. */
export const journalKey = "journal"
export const transactionPrefix = "transaction/"
export const transactionKey = (id: string): string => transactionPrefix + id
export const balancePrefix = "balance/"
/** Neither an account nor a currency has a colon. */
export const balanceKey = (account: string, currency: string): string => `${balancePrefix}${account}:${currency}`
export const statementPrefix = "entry/"
export const statementKey = (account: string, currency: string): string => `${statementPrefix}${account}:${currency}/`
export const entryKey = ({ at, id }: TransactionValue, { account, currency }: PostingValue, place: number): string =>
  `${statementKey(account, currency)}${String(at).padStart(instantDigits, "0")}/${id}#${String(place).padStart(3, "0")}`

const postingJson = ({ account, currency, amount }: PostingValue) => ({ account, currency, amount: String(amount) })
const referenceJson = ({ kind, id }: ReferenceValue) => ({ kind, id })

/** The one form of a transaction: what its row holds, and what the journal has the digest of. */
export const encodeTransaction = ({ id, at, memo, reference, postings }: TransactionValue): Uint8Array =>
  utf8.encode(JSON.stringify({ id, at: String(at), memo, reference: referenceJson(reference), postings: postings.map(postingJson) }))
export const encodeEntry = ({ memo, reference }: TransactionValue, { amount }: PostingValue): Uint8Array =>
  utf8.encode(JSON.stringify({ amount: String(amount), memo, reference: referenceJson(reference) }))

export const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const digestLength = 64
export const encodeNumbered = (digest: string, id: string): Uint8Array => utf8.encode(`${digest} ${id}`)
export function decodeNumbered(payload: Uint8Array): { readonly digest: string; readonly id: string } {
  const text = textOf(payload)
  return { digest: text.slice(0, digestLength), id: text.slice(digestLength + 1) }
}

/** What a schema says of a value, in one line. */
export const detailOf = (error: unknown): string => String((error as Error).message).replaceAll(/\s*\n\s*/g, " ")

function read<A>(entity: string, key: string, value: Uint8Array, decode: (text: string) => A): A {
  try {
    return decode(textOf(value))
  } catch (error) {
    throw new BillingError("Row", { entity, key, detail: detailOf(error) }, { cause: error })
  }
}

const transactionIn = Schema.decodeUnknownSync(Schema.fromJsonString(Transaction), { onExcessProperty: "error" })
const entryIn = Schema.decodeUnknownSync(Schema.fromJsonString(LedgerEntry), { onExcessProperty: "error" })

/** Each of these throws BillingError `Row` for what is none. */
export const readTransaction = (entity: string, key: string, value: Uint8Array): TransactionValue => read(entity, key, value, transactionIn)
export const readEntry = (entity: string, key: string, value: Uint8Array): typeof LedgerEntry.Type => read(entity, key, value, entryIn)
export const readBalance = (entity: string, key: string, value: Uint8Array): bigint => read(entity, key, value, BigInt)

/** What postings, or balances, add up to. */
export function sumsOf<K, P extends { readonly amount: bigint }>(postings: Iterable<P>, keyOf: (posting: P) => K): Map<K, bigint> {
  const sums = new Map<K, bigint>()
  for (const posting of postings) sums.set(keyOf(posting), (sums.get(keyOf(posting)) ?? 0n) + posting.amount)
  return sums
}

/** Currencies of which the postings do not add up to 0, and to what they do. */
export const unbalanced = (postings: ReadonlyArray<PostingValue>): ReadonlyArray<readonly [currency: string, sum: bigint]> =>
  [...sumsOf(postings, ({ currency }) => currency)].filter(([, sum]) => sum !== 0n)

/** The account and the currency of a balance's key. */
export function accountIn(key: string): { readonly account: string; readonly currency: string } {
  const colon = key.lastIndexOf(":")
  return { account: key.slice(balancePrefix.length, colon), currency: key.slice(colon + 1) }
}
