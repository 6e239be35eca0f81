/** The ledger: what a transaction must be, what is asked of it, many writers in one process and in three, and what its check finds. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import {
  balanceOf,
  book,
  isBooked,
  isConflictOf,
  journal,
  ledgerOperations,
  numbered,
  sideOf,
  statement,
  type StatementLine,
  type Transaction,
  transactionOf,
  trialBalance,
} from "../../../runtime/billing/ledger.ts"
import { type Books, rowAt } from "../../../runtime/billing/rows.ts"
import type { Operation, Store } from "../../../runtime/port/store.ts"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { randomFrom } from "../storage/random.ts"
import { randomTransaction } from "./ledger-transactions.ts"
import { isFull, replay, seed } from "../../seed.ts"

t.setTimeout(300_000)
const entity = "acme"
const at = 1_796_083_200_000_000n
const issue: Transaction = {
  id: "invoice/7/issued",
  at,
  memo: "Invoice 7",
  reference: { kind: "invoice", id: "7" },
  postings: [
    { account: "receivable/ada", currency: "EUR", amount: 2_399n },
    { account: "revenue/executions", currency: "EUR", amount: -1_999n },
    { account: "tax/vat-at", currency: "EUR", amount: -400n },
  ],
}
const pay: Transaction = {
  id: "payment/1",
  at: at + 1n,
  memo: "Paid",
  reference: { kind: "payment", id: "1" },
  postings: [
    { account: "cash/test", currency: "EUR", amount: 2_399n },
    { account: "receivable/ada", currency: "EUR", amount: -2_399n },
  ],
}
const codeOf = (run: Promise<unknown> | (() => unknown)): Promise<unknown> =>
  (typeof run === "function" ? (async () => run())() : run).then(
    () => "kept",
    (error: unknown) => (error as { readonly reason?: { readonly _tag: string } }).reason?._tag ?? error,
  )
const all = async <A>(items: AsyncIterable<A>): Promise<Array<A>> => {
  const found: Array<A> = []
  for await (const one of items) found.push(one)
  return found
}

t.test("`book()` books a transaction once, and balances, statements and the journal say so", async (t) => {
  await using store = new MemoryStore()
  const books: Books = { store, entity }
  t.strictSame(await book(books, issue), { isNew: true, number: 1n })
  t.equal(await balanceOf(books, "receivable/ada", "EUR"), 2_399n)
  t.strictSame(await book(books, pay), { isNew: true, number: 2n })
  t.strictSame(await book(books, issue), { isNew: false }, "the same again is known")
  t.equal(await balanceOf(books, "receivable/ada", "EUR"), 0n)
  t.equal(await balanceOf(books, "receivable/ada", "USD"), 0n, "nothing was booked")
  t.equal(await codeOf(book(books, { ...issue, memo: "Invoice 8" })), "TransactionConflict")
  t.strictSame(await transactionOf(books, issue.id), issue)
  t.equal(await transactionOf(books, "payment/2"), undefined)
  t.strictSame(await all(journal(books)), [
    { number: 1n, transaction: issue },
    { number: 2n, transaction: pay },
  ])
  t.strictSame((await statement(books, "receivable/ada", "EUR")).lines, [
    { at, id: issue.id, amount: 2_399n, memo: "Invoice 7", reference: issue.reference },
    { at: at + 1n, id: pay.id, amount: -2_399n, memo: "Paid", reference: pay.reference },
  ])
  t.strictSame(await trialBalance(books), {
    balances: [
      { account: "cash/test", currency: "EUR", amount: 2_399n },
      { account: "receivable/ada", currency: "EUR", amount: 0n },
      { account: "revenue/executions", currency: "EUR", amount: -1_999n },
      { account: "tax/vat-at", currency: "EUR", amount: -400n },
    ],
    totals: new Map([["EUR", 0n]]),
  })
  t.strictSame(["receivable/ada", "wallet/ada", "rounding"].map(sideOf), ["debit", "credit", "debit"])
  t.strictSame(await all(numbered({ store, entity: "other" })), [], "another entity's books are others")
  t.strictSame(await checkLedger(books), [])
  t.strictSame(await checkLedger({ store, entity: "other" }), [])
})

t.test("a transaction that is none is refused before anything is asked", async (t) => {
  const postings = (...amounts: ReadonlyArray<bigint>) => amounts.map((amount) => ({ account: "cash/test", currency: "EUR", amount })) as never
  const refused: ReadonlyArray<readonly [Partial<Transaction>, RegExp]> = [
    [{ postings: postings(1n) }, /postings in EUR add up to 1, not 0/],
    [{ postings: [...postings(5n, -5n), { account: "cash/test", currency: "USD", amount: -3n }] as never }, /postings in USD add up to -3/],
    [{ postings: [] as never }, /postings/],
    [{ postings: postings(10n ** 20n, -(10n ** 20n)) }, /amount/],
    [{ postings: [{ account: "cash", currency: "EUR", amount: 0n }] }, /account/],
    [{ postings: [{ account: "rounding/up", currency: "EUR", amount: 0n }] }, /account/],
    [{ postings: [{ account: "debt/ada", currency: "EUR", amount: 0n }] }, /account/],
    [{ postings: [{ account: "cash/a:b", currency: "EUR", amount: 0n }] }, /account/],
    [{ postings: [{ account: "cash/test", currency: "eu:r", amount: 0n }] }, /currency/],
    [{ id: "a#1" }, /id/],
    [{ id: "a".repeat(129) }, /id/],
    [{ at: -1n }, /at/],
    [{ at: 10n ** 16n }, /at/],
    [{ memo: "m".repeat(501) }, /memo/],
    [{ reference: { kind: "gift" as "invoice", id: "1" } }, /reference/],
  ]
  for (const [change, message] of refused)
    t.throws(() => ledgerOperations(entity, { ...issue, ...change }), { code: /^STELE-BIL-/, reason: { _tag: "Transaction" }, message })
  t.ok(ledgerOperations(entity, { ...issue, postings: postings(10n ** 20n - 1n, 1n - 10n ** 20n) }).length > 0, "the greatest amount there is")
})

t.test("what stands beside a transaction is kept with it or not at all", async (t) => {
  await using store = new MemoryStore()
  const books: Books = { store, entity }
  const row = rowAt(entity, "invoice/7")
  const mine: ReadonlyArray<Operation> = [
    { op: "require", ...row, version: undefined },
    { op: "set", ...row, value: Buffer.from("issued") },
  ]
  t.strictSame(await book(books, issue, mine), { isNew: true, number: 1n })
  t.strictSame(await book(books, issue, mine), { isNew: false }, "its own condition fails, and it is known all the same")
  t.equal(await codeOf(book(books, pay, mine)), "Conflict", "somebody else's condition")
  t.equal(await isBooked(books, pay), false)
  const twice = await store.apply([...ledgerOperations(entity, issue)]).catch((error: unknown) => error)
  t.equal(isConflictOf(twice, entity, issue.id), true)
  t.equal(isConflictOf(twice, entity, pay.id), false)
  await book(books, pay, [])
  t.strictSame(await checkLedger(books), [])
})

t.test("a balance beyond its digits is refused, and nothing of it is kept", async (t) => {
  await using store = new MemoryStore()
  const books: Books = { store, entity }
  const large = (id: string): Transaction => ({
    ...pay,
    id,
    postings: [
      { account: "cash/test", currency: "EUR", amount: 6n * 10n ** 19n },
      { account: "wallet/ada", currency: "EUR", amount: -6n * 10n ** 19n },
    ],
  })
  await book(books, large("a"))
  t.equal(await codeOf(book(books, large("b"))), "BalanceLimit")
  t.equal(await transactionOf(books, "b"), undefined)
  t.equal(await balanceOf(books, "wallet/ada", "EUR"), -6n * 10n ** 19n)
  t.strictSame(await checkLedger(books), [])
})

t.test("random transactions add up to what a model says, and pages of statements to the whole", async (t) => {
  t.comment(replay)
  const random = randomFrom(seed)
  await using store = new MemoryStore()
  const books: Books = { store, entity }
  const model = new Map<string, { balance: bigint; lines: Array<StatementLine> }>()
  const count = isFull ? 3_000 : 300
  const made: Array<Transaction> = []
  for (let n = 0; n < count; n++) {
    const transaction = n > 0 && random(10) === 0 ? (made[random(made.length)] as Transaction) : randomTransaction(random, `t/${n}`)
    const isNew = !made.includes(transaction)
    t.equal((await book(books, transaction)).isNew, isNew)
    if (!isNew) continue
    made.push(transaction)
    for (const { account, amount, currency } of transaction.postings) {
      const found = model.get(`${account}:${currency}`) ?? { balance: 0n, lines: [] }
      const { id, memo, reference } = transaction
      found.lines.push({ at: transaction.at, id, amount, memo, reference })
      model.set(`${account}:${currency}`, { balance: found.balance + amount, lines: found.lines })
    }
  }
  const order = (a: StatementLine, b: StatementLine): number => Number(a.at - b.at) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  for (const [name, { balance, lines }] of model) {
    const [account = "", currency = ""] = name.split(":")
    t.equal(await balanceOf(books, account, currency), balance, name)
    const found: Array<StatementLine> = []
    let next: string | undefined
    do {
      const page = await statement(books, account, currency, { after: next, countMax: random(20) + 1 })
      found.push(...page.lines)
      next = page.next
    } while (next !== undefined)
    t.strictSame(found, lines.toSorted(order), name)
  }
  const { totals } = await trialBalance(books)
  t.strictSame(
    [...totals.values()],
    [...totals.values()].map(() => 0n),
  )
  t.strictSame(
    (await all(journal(books))).map(({ number, transaction }) => [number, transaction]),
    made.map((transaction, n) => [BigInt(n + 1), transaction]),
  )
  t.strictSame(await checkLedger(books), [])
  t.strictSame(await store.check(), [])
})

t.test("`checkLedger()` finds whatever something else has written", async (t) => {
  const json = (transaction: Transaction): Uint8Array =>
    Buffer.from(
      JSON.stringify({ ...transaction, at: String(transaction.at), postings: transaction.postings.map((one) => ({ ...one, amount: String(one.amount) })) }),
    )
  const set = (key: string, value: Uint8Array | string): Operation => ({ op: "set", ...rowAt(entity, key), value: Buffer.from(value) })
  const line = `entry/receivable/ada:EUR/${at}/${issue.id}#000`
  const harm: ReadonlyArray<readonly [string, Operation, ReadonlyArray<string>]> = [
    ["another balance", set("balance/cash/test:EUR", "2400"), ["balance balance/cash/test:EUR"]],
    ["a balance of nobody's", set("balance/cash/test:USD", "1"), ["balance balance/cash/test:USD"]],
    ["a balance gone", { op: "delete", ...rowAt(entity, "balance/cash/test:EUR") }, ["balance balance/cash/test:EUR"]],
    [
      "another memo",
      set(`transaction/${pay.id}`, json({ ...pay, memo: "Payd" })),
      [`changed transaction/${pay.id}`, "statement cash/test:EUR", "statement receivable/ada:EUR"],
    ],
    [
      "another amount",
      set(`transaction/${pay.id}`, json({ ...pay, postings: [{ account: "cash/test", currency: "EUR", amount: 2_400n }] })),
      [
        `changed transaction/${pay.id}`,
        `unbalanced transaction/${pay.id}`,
        "balance balance/cash/test:EUR",
        "balance balance/receivable/ada:EUR",
        "statement cash/test:EUR",
        "statement receivable/ada:EUR",
      ],
    ],
    [
      "no transaction",
      set(`transaction/${pay.id}`, "{}"),
      [
        `changed transaction/${pay.id}`,
        `changed transaction/${pay.id}`,
        "balance balance/cash/test:EUR",
        "balance balance/receivable/ada:EUR",
        "statement cash/test:EUR",
        "statement receivable/ada:EUR",
      ],
    ],
    [
      "a transaction gone",
      { op: "delete", ...rowAt(entity, `transaction/${pay.id}`) },
      [
        `missing transaction/${pay.id}`,
        "balance balance/cash/test:EUR",
        "balance balance/receivable/ada:EUR",
        "statement cash/test:EUR",
        "statement receivable/ada:EUR",
      ],
    ],
    ["a transaction beside", set("transaction/x", json({ ...pay, id: "x" })), ["unnumbered transaction/x"]],
    ["another line", set(line, JSON.stringify({ amount: "2398", memo: "Invoice 7", reference: issue.reference })), ["statement receivable/ada:EUR"]],
    ["a line gone", { op: "delete", ...rowAt(entity, line) }, ["statement receivable/ada:EUR"]],
    ["a line beside", set(`${line}1`, "{}"), ["statement receivable/ada:EUR"]],
    ["a number beside", { op: "append", ...rowAt(entity, "journal"), payload: Buffer.from(`${"0".repeat(64)} gone`) }, ["missing transaction/gone"]],
    [
      "numbers gone",
      { op: "trim", ...rowAt(entity, "journal"), before: 2n },
      [
        "gap journal",
        `unnumbered transaction/${issue.id}`,
        "balance balance/receivable/ada:EUR",
        "balance balance/revenue/executions:EUR",
        "balance balance/tax/vat-at:EUR",
        "statement receivable/ada:EUR",
        "statement revenue/executions:EUR",
        "statement tax/vat-at:EUR",
      ],
    ],
  ]
  for (const [what, operation, found] of harm) {
    await using store = new MemoryStore()
    const books: Books = { store, entity }
    await book(books, issue)
    await book(books, pay)
    t.strictSame(await checkLedger(books), [])
    await store.apply([operation])
    t.strictSame((await checkLedger(books)).map(({ kind, key }) => `${kind} ${key}`).toSorted(), found.toSorted(), what)
    t.strictSame(await store.check(), [], "which the store itself cannot know")
  }
})

t.test("writers at the same time lose nothing, and a check meanwhile is of one moment", async (t) => {
  await using store = new MemoryStore()
  const books: Books = { store, entity }
  const random = randomFrom(7)
  const transactions = Array.from({ length: 200 }, (_, n) => randomTransaction(random, `t/${n}`))
  const writing = Promise.all(transactions.map((transaction) => book(books, transaction)))
  const found = await checkLedger(books).catch((error: unknown) => (error as { readonly code: string }).code)
  t.ok(found === "STELE-BIL-0011" || found.length === 0, JSON.stringify(found))
  t.strictSame(
    (await writing).map((booked) => (booked.isNew ? booked.number : 0n)).toSorted((a, b) => Number(a - b)),
    transactions.map((_, n) => BigInt(n + 1)),
  )
  t.strictSame(await checkLedger(books), [])
})

t.test("three processes book the same transactions, each once", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-ledger-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, "books.db")
  await using store: Store = await SqliteStore.open(path)
  const count = isFull ? 1_000 : 60
  const program = fileURLToPath(new URL("ledger-program.ts", import.meta.url))
  const written = await Promise.all(
    [1, 2, 3].map(async () => {
      const child = spawn(process.execPath, [program, path, "42", String(count)], { stdio: ["ignore", "pipe", "inherit"] })
      let said = ""
      child.stdout.on("data", (data: Buffer) => (said += data.toString()))
      const [code] = (await once(child, "exit")) as [number]
      t.equal(code, 0)
      return Number(said)
    }),
  )
  t.comment(`written by each: ${written.join(", ")}`)
  t.equal(
    written.reduce((sum, n) => sum + n, 0),
    count,
    "each transaction was new to one of them",
  )
  const books: Books = { store, entity }
  t.equal((await all(numbered(books))).length, count)
  t.strictSame(await checkLedger(books), [])
  t.strictSame(await store.check(), [])
})
