/**
 * Holds a ledger against itself: every transaction is as it was numbered, balances, and has its lines; every balance is what the
 * transactions add up to; and there is nothing beside them. That rows are as they were written is what `Store.check` says: this finds what was written by
 * something else than the ledger.
 */
import { BillingError } from "../../schemas/error/billing.ts"
import { textOf } from "../port/place.ts"
import { numbered, type Numbered } from "./ledger.ts"
import {
  balanceKey,
  balancePrefix,
  digestOf,
  encodeEntry,
  entryKey,
  journalKey,
  readBalance,
  readTransaction,
  statementPrefix,
  transactionKey,
  transactionPrefix,
  type TransactionValue,
  unbalanced,
} from "./ledger-row.ts"
import { type Books, rowAt, rowsOf } from "./rows.ts"

export interface LedgerFinding {
  /**
   * `gap`: numbers that the journal does not have any more. `missing`: a transaction that is numbered and not there. `changed`: one with another content than it was
   * numbered with. `unbalanced`: one whose postings do not add up to 0. `unnumbered`: one, or a line of a statement, that the journal knows nothing of. `balance`,
   * `statement`: what an account is said to hold, or its lines, are not those of the transactions.
   */
  readonly kind: "gap" | "missing" | "changed" | "unbalanced" | "unnumbered" | "balance" | "statement"
  /** The row, or the account. */
  readonly key: string
  readonly detail: string
}

/** Transactions that are asked for at once. */
const batch = 256

/** What lines of a statement come to, in whatever order they are seen: how many, and the sum of their digests. */
interface Lines {
  count: number
  digests: bigint
}

class Replay {
  readonly findings: Array<LedgerFinding> = []
  readonly #balances = new Map<string, bigint>()
  readonly #lines = new Map<string, Lines>()
  readonly #seen = new Set<string>()
  readonly #books: Books
  last = 0n

  constructor(books: Books) {
    this.#books = books
  }

  find(kind: LedgerFinding["kind"], key: string, detail: string): void {
    this.findings.push({ kind, key, detail })
  }

  /** A journal whose first numbers are gone. */
  begin(first: bigint): void {
    this.find("gap", journalKey, `it begins with number ${first}`)
    this.last = first - 1n
  }

  /** Reads what the journal has numbered since. */
  async goOn(): Promise<void> {
    let next: Array<Numbered> = []
    for await (const one of numbered(this.#books, this.last)) {
      if (next.push(one) < batch) continue
      await this.#take(next)
      next = []
    }
    await this.#take(next)
  }

  async #take(entries: ReadonlyArray<Numbered>): Promise<void> {
    const { store, entity } = this.#books
    const rows = await Promise.all(entries.map(({ id }) => store.ask({ ask: "get", ...rowAt(entity, transactionKey(id)) })))
    entries.forEach((entry, at) => this.#one(entry, rows[at]?.value))
    this.last = entries.at(-1)?.number ?? this.last
  }

  #one({ digest, id, number }: Numbered, value: Uint8Array | undefined): void {
    const key = transactionKey(id)
    if (this.#seen.has(id)) return this.find("unnumbered", key, `number ${number} names it again`)
    this.#seen.add(id)
    if (value === undefined) return this.find("missing", key, `it is number ${number} of the journal, and is not there`)
    if (digestOf(value) !== digest) this.find("changed", key, `number ${number} of the journal has the digest ${digest}, and the row ${digestOf(value)}`)
    let transaction: TransactionValue
    try {
      transaction = readTransaction(this.#books.entity, key, value)
    } catch (error) {
      return this.find("changed", key, (error as Error).message)
    }
    for (const [currency, sum] of unbalanced(transaction.postings)) this.find("unbalanced", key, `its postings in ${currency} add up to ${sum}`)
    transaction.postings.forEach((posting, place) => {
      const balance = balanceKey(posting.account, posting.currency)
      this.#balances.set(balance, (this.#balances.get(balance) ?? 0n) + posting.amount)
      count(this.#lines, entryKey(transaction, posting, place), encodeEntry(transaction, posting), 1)
    })
  }

  /** What departs now from the transactions that were read. */
  async *compare(): AsyncGenerator<LedgerFinding> {
    const { entity } = this.#books
    const balances = new Map(this.#balances)
    const lines = new Map([...this.#lines].map(([account, one]) => [account, { ...one }]))
    for await (const { key } of rowsOf(this.#books, transactionPrefix)) {
      const text = textOf(key)
      if (!this.#seen.has(text.slice(transactionPrefix.length))) yield { kind: "unnumbered", key: text, detail: "the journal does not have it" }
    }
    for await (const { key, value } of rowsOf(this.#books, balancePrefix)) {
      const text = textOf(key)
      yield* differing(text, readBalance(entity, text, value), balances.get(text) ?? 0n)
      balances.delete(text)
    }
    for (const [key, sum] of balances) yield* differing(key, 0n, sum)
    for await (const { key, value } of rowsOf(this.#books, statementPrefix)) count(lines, textOf(key), value, -1)
    for (const [account, { count, digests }] of lines) {
      if (count === 0 && digests === 0n) continue
      const detail = count === 0 ? "a line is not as it was booked" : `it has ${Math.abs(count)} lines too ${count > 0 ? "few" : "many"}`
      yield { kind: "statement", key: account, detail }
    }
  }
}

function* differing(key: string, is: bigint, sum: bigint): Generator<LedgerFinding> {
  if (is !== sum) yield { kind: "balance", key, detail: `it is ${is}, and its postings add up to ${sum}` }
}

/** Counts a line in, or out again. */
function count(lines: Map<string, Lines>, key: string, value: Uint8Array, sign: 1 | -1): void {
  const account = key.slice(statementPrefix.length, key.indexOf("/", key.indexOf(":")))
  const digest = BigInt(`0x${digestOf(Buffer.concat([Buffer.from(`${key}\n`), value]))}`)
  const found = lines.get(account) ?? { count: 0, digests: 0n }
  lines.set(account, { count: found.count + sign, digests: found.digests + BigInt(sign) * digest })
}

const attemptsMax = 20

/**
 * What is wrong with a ledger; nothing where it holds. Others may book meanwhile, as long as there is a moment in which nobody does: what is compared is of one
 * moment. The ids of its transactions are kept in memory.
 * @throws BillingError `LedgerBusy` when there was no such moment, `Row` for a balance that is no number; StorageError `Corrupt`
 */
export async function checkLedger(books: Books): Promise<ReadonlyArray<LedgerFinding>> {
  const { store, entity } = books
  const head = () => store.ask({ ask: "log", ...rowAt(entity, journalKey), after: BigInt(Number.MAX_SAFE_INTEGER), countMax: 0, bytesMax: 0 })
  const replay = new Replay(books)
  const { first } = await head()
  if (first > 1n) replay.begin(first)
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    await replay.goOn()
    const found: Array<LedgerFinding> = []
    for await (const one of replay.compare()) found.push(one)
    if ((await head()).last === replay.last) return [...replay.findings, ...found]
  }
  throw new BillingError("LedgerBusy", { entity, attempts: attemptsMax })
}
