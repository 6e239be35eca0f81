/**
 * A double-entry ledger in an entity's books. A transaction becomes operations of a batch, which its caller joins with his own: the transaction, the
 * next number in the journal, what each posting adds to a balance, and a line of each account's statement. None of it rests on what was
 * read before, so transactions of different ids never conflict, whoever writes them; numbers have no gaps, since the journal is an append log.
 *
 * ```ts
 * await store.apply([...mine, ...ledgerOperations("acme", transaction)])
 * await balanceOf({ store, entity: "acme" }, "receivable/ada", "EUR") // 1999n: 19.99
 * ```
 *
 * Amounts are whole numbers of a currency's smallest unit, debits positive and credits negative. Nothing here computes an amount: a transaction whose postings
 * do not add up to 0 is refused.
 */
import * as Schema from "effect/Schema"
import { CounterError } from "../../host/port/key-value.ts"
import { chart, ledgerLimits, Transaction as TransactionSchema } from "../../schemas/billing/ledger.ts"
import { BillingError } from "../../schemas/error/billing.ts"
import { textOf } from "../port/place.ts"
import type { Operation } from "../port/store.ts"
import {
  accountIn,
  amountMax,
  balanceKey,
  balancePrefix,
  decodeNumbered,
  detailOf,
  digestOf,
  encodeEntry,
  encodeNumbered,
  encodeTransaction,
  entryKey,
  type Instant,
  instantDigits,
  journalKey,
  type PostingValue,
  readBalance,
  readEntry,
  readTransaction,
  type ReferenceValue,
  statementKey,
  sumsOf,
  transactionKey,
  type TransactionValue,
  unbalanced,
} from "./ledger-row.ts"
import { type Books, isConflict, isConflictAt, rowAt, rowsOf } from "./rows.ts"

export type Transaction = TransactionValue
export type Posting = PostingValue
export type Reference = ReferenceValue

const utf8 = new TextEncoder()
const checked = Schema.decodeUnknownSync(Schema.toType(TransactionSchema))

/** Refuses what is no transaction. @throws BillingError `Transaction` */
function checkTransaction(transaction: Transaction): void {
  const named = String(transaction.id).slice(0, ledgerLimits.idLengthMax)
  try {
    checked(transaction)
  } catch (error) {
    throw new BillingError("Transaction", { transaction: named, detail: detailOf(error) }, { cause: error })
  }
  const [found] = unbalanced(transaction.postings)
  if (found === undefined) return
  throw new BillingError("Transaction", { transaction: named, detail: `its postings in ${found[0]} add up to ${found[1]}, not 0` })
}

/**
 * What books a transaction, for a batch of the entity's tenant. The whole batch is refused with `StorageError` `Conflict` when the ledger has one of
 * its id: `isConflictOf` says so, and `isBooked` whether it is this one.
 * @throws BillingError `Transaction`
 */
export function ledgerOperations(entity: string, transaction: Transaction): ReadonlyArray<Operation> {
  checkTransaction(transaction)
  const bytes = encodeTransaction(transaction)
  const own = rowAt(entity, transactionKey(transaction.id))
  const balances = sumsOf(transaction.postings, ({ account, currency }) => balanceKey(account, currency))
  return [
    { op: "require", ...own, version: undefined },
    { op: "set", ...own, value: bytes },
    { op: "append", ...rowAt(entity, journalKey), payload: encodeNumbered(digestOf(bytes), transaction.id) },
    ...[...balances].map(([key, delta]): Operation => ({ op: "increment", ...rowAt(entity, key), delta, min: -amountMax, max: amountMax })),
    ...transaction.postings.map((posting, place): Operation => ({
      op: "set",
      ...rowAt(entity, entryKey(transaction, posting, place)),
      value: encodeEntry(transaction, posting),
    })),
  ]
}

/** Whether a batch was refused because the ledger has a transaction of this id. */
export const isConflictOf = (error: unknown, entity: string, id: string): boolean => isConflictAt(error, rowAt(entity, transactionKey(id)))

/**
 * Whether the ledger has this transaction.
 * @throws BillingError `TransactionConflict` when it has one of its id with another content
 */
export async function isBooked({ store, entity }: Books, transaction: Transaction): Promise<boolean> {
  const found = await store.ask({ ask: "get", ...rowAt(entity, transactionKey(transaction.id)) })
  if (found === undefined) return false
  if (Buffer.compare(found.value, encodeTransaction(transaction)) === 0) return true
  throw new BillingError("TransactionConflict", { transaction: transaction.id })
}

/** `isNew` is false where the ledger had the transaction: then nothing was written, and what stood beside it was written with it before. */
export type Booked = { readonly isNew: true; readonly number: bigint } | { readonly isNew: false }

/**
 * Books a transaction, in one batch with the operations `beside` it.
 * @throws BillingError `Transaction`, `TransactionConflict`, `BalanceLimit`; what `Store.apply` throws, a `Conflict` of a condition in `beside` among it
 */
export async function book(books: Books, transaction: Transaction, beside: ReadonlyArray<Operation> = []): Promise<Booked> {
  const operations = ledgerOperations(books.entity, transaction)
  const append = beside.length + operations.findIndex(({ op }) => op === "append")
  try {
    const answers: ReadonlyArray<unknown> = await books.store.apply([...beside, ...operations])
    return { isNew: true, number: answers[append] as bigint }
  } catch (error) {
    if (error instanceof CounterError)
      throw new BillingError("BalanceLimit", { transaction: transaction.id, digitsMax: ledgerLimits.digitsMax }, { cause: error })
    // Where this very batch was kept before, any of its conditions may be the first that fails.
    if (isConflict(error) && (await isBooked(books, transaction))) return { isNew: false }
    throw error
  }
}

/** A transaction by its id; undefined if there is none. */
export async function transactionOf({ store, entity }: Books, id: string): Promise<Transaction | undefined> {
  const key = transactionKey(id)
  const found = await store.ask({ ask: "get", ...rowAt(entity, key) })
  return found === undefined ? undefined : readTransaction(entity, key, found.value)
}

/** What an account holds, in the currency's smallest unit, debits less credits: 0 where nothing was booked. */
export async function balanceOf({ store, entity }: Books, account: string, currency: string): Promise<bigint> {
  const key = balanceKey(account, currency)
  const found = await store.ask({ ask: "get", ...rowAt(entity, key) })
  return found === undefined ? 0n : readBalance(entity, key, found.value)
}

export interface StatementLine {
  readonly at: Instant
  /** Of the transaction. */
  readonly id: string
  readonly amount: bigint
  readonly memo: string
  readonly reference: Reference
}

export interface StatementPage {
  readonly lines: ReadonlyArray<StatementLine>
  /** What to ask `after` for the next page; undefined when there is no more. */
  readonly next: string | undefined
}

/** What was booked to an account, by its instant and then by its id: at most `countMax` lines (default 100) after a page's `next`. */
export async function statement(
  { store, entity }: Books,
  account: string,
  currency: string,
  { after, countMax = 100 }: { readonly after?: string | undefined; readonly countMax?: number } = {},
): Promise<StatementPage> {
  const prefix = statementKey(account, currency)
  const beyond = after === undefined ? undefined : utf8.encode(prefix + after)
  const page = await store.ask({ ask: "entries", ...rowAt(entity, prefix), beyond, countMax, bytesMax: 1 << 20 })
  const lines = page.entries.map(({ key, value }): StatementLine => {
    const rest = textOf(key).slice(prefix.length)
    const { amount, memo, reference } = readEntry(entity, textOf(key), value)
    return { at: BigInt(rest.slice(0, instantDigits)), id: rest.slice(instantDigits + 1, rest.lastIndexOf("#")), amount, memo, reference }
  })
  const last = page.entries.at(-1)
  return { lines, next: page.isComplete || last === undefined ? undefined : textOf(last.key).slice(prefix.length) }
}

export interface Numbered {
  readonly number: bigint
  /** SHA-256 of the transaction's row, in hexadecimal. */
  readonly digest: string
  readonly id: string
}

/** What the journal numbers, in the order of its numbers, after `after`. */
export async function* numbered({ store, entity }: Books, after = 0n): AsyncGenerator<Numbered> {
  for (let last = after; ;) {
    const { entries } = await store.ask({ ask: "log", ...rowAt(entity, journalKey), after: last, countMax: 1_000, bytesMax: 1 << 20 })
    for (const { offset, payload } of entries) yield { number: offset, ...decodeNumbered(payload) }
    const newest = entries.at(-1)
    if (newest === undefined) return
    last = newest.offset
  }
}

/** Transactions in the order of their numbers, after `after`. @throws BillingError `Row` for one that is not there */
export async function* journal(books: Books, after = 0n): AsyncGenerator<{ readonly number: bigint; readonly transaction: Transaction }> {
  for await (const { number, id } of numbered(books, after)) {
    const transaction = await transactionOf(books, id)
    if (transaction === undefined)
      throw new BillingError("Row", { entity: books.entity, key: transactionKey(id), detail: `the journal has it as number ${number}, and it is not there` })
    yield { number, transaction }
  }
}

export interface Balance {
  readonly account: string
  readonly currency: string
  /** Debits less credits. */
  readonly amount: bigint
}

export interface TrialBalance {
  /** By account and currency. */
  readonly balances: ReadonlyArray<Balance>
  /** What all balances of a currency add up to: 0 each, or something is wrong. */
  readonly totals: ReadonlyMap<string, bigint>
}

/** Balances of all accounts. While others book they may be of several moments, and then need not add up. */
export async function trialBalance(books: Books): Promise<TrialBalance> {
  const balances: Array<Balance> = []
  for await (const { key, value } of rowsOf(books, balancePrefix))
    balances.push({ ...accountIn(textOf(key)), amount: readBalance(books.entity, textOf(key), value) })
  return { balances, totals: sumsOf(balances, ({ currency }) => currency) }
}

/** The side on which an account grows. */
export const sideOf = (account: string): "debit" | "credit" => chart[account.split("/", 1)[0] as keyof typeof chart].side
