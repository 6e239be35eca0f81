/** The ledger and an account's whole way, from a price list to a payment, on every kind of store: sealed, PGlite, PostgreSQL. @long */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { balanceOf, book, journal, statement, type Transaction, trialBalance } from "../../../runtime/billing/ledger.ts"
import {
  addCatalogue,
  cancelInvoice,
  creditInvoice,
  invoiceOf,
  issue,
  lastNumber,
  openBilling,
  openStores,
  payInvoice,
  putAccount,
  subscribe,
  subscriptionOf,
  TestPayments,
} from "../../../runtime/billing/mod.ts"
import type { Store } from "../../../runtime/port/store.ts"
import { PgliteStore } from "../../../runtime/storage/pglite/mod.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/mod.ts"
import { isFull, replay, seed } from "../../seed.ts"
import { driver } from "../storage/pglite/pglite.ts"
import { migrated, missing, startServer } from "../storage/postgres/server.ts"
import { randomFrom } from "../storage/random.ts"
import { sealedOver } from "../storage/sealed/backend.ts"
import { randomTransaction } from "./ledger-transactions.ts"
import { openHost } from "./usage.ts"

t.setTimeout(600_000)
type Test = Pick<typeof t, "comment" | "equal" | "match" | "rejects" | "strictSame">
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

/** Several writers book the same transactions; balances, statements and the journal are held against a sum. */
async function books(t: Test, store: Store): Promise<void> {
  t.comment(replay)
  const random = randomFrom(seed)
  const entity = "acme"
  const transactions = Array.from({ length: isFull ? 400 : 20 }, (_, n) => randomTransaction(random, `t${n}`))
  const answers = await Promise.all([1, 2].flatMap(() => transactions.map((one) => book({ store, entity }, one))))
  t.equal(answers.filter(({ isNew }) => isNew).length, transactions.length, "each once")
  const wanted = new Map<string, bigint>()
  for (const { postings } of transactions)
    for (const { account, amount, currency } of postings) wanted.set(`${account}:${currency}`, (wanted.get(`${account}:${currency}`) ?? 0n) + amount)
  const { balances, totals } = await trialBalance({ store, entity })
  t.strictSame(
    new Map(balances.map(({ account, amount, currency }) => [`${account}:${currency}`, amount])),
    new Map([...wanted].toSorted(([a], [b]) => (a < b ? -1 : 1))),
  )
  for (const sum of totals.values()) t.equal(sum, 0n)
  const numbers: Array<bigint> = []
  for await (const { number } of journal({ store, entity })) numbers.push(number)
  t.strictSame(
    numbers,
    transactions.map((_, n) => BigInt(n + 1)),
    "no number is left out",
  )
  let sum = 0n
  for (let after: string | undefined, isFirst = true; isFirst || after !== undefined; isFirst = false) {
    const page = await statement({ store, entity }, "cash/test", "EUR", { after, countMax: 7 })
    for (const { amount } of page.lines) sum += amount
    after = page.next
  }
  t.equal(sum, wanted.get("cash/test:EUR") ?? 0n)
  const most = 10n ** 20n - 1n
  const huge = (id: string): Transaction => ({
    ...{ id, at: 1n, memo: "", reference: { kind: "adjustment", id: "h" } },
    postings: [
      { account: "wallet/huge", currency: "EUR", amount: -most },
      { account: "cash/huge", currency: "EUR", amount: most },
    ],
  })
  await book({ store, entity }, huge("h1"))
  await t.rejects(book({ store, entity }, huge("h2")), { code: "STELE-BIL-0010" })
  t.strictSame(await checkLedger({ store, entity }), [])
}

async function account(t: Test, store: Store): Promise<void> {
  await using billing = openBilling({ host, store, entity: "shop" })
  const charges = [{ id: "base", price: { model: "flat", amount: "10" } }]
  const plans = [{ id: "p", interval: { unit: "month", count: 1 }, align: "calendar", charges }]
  const { digest } = await addCatalogue(billing, JSON.stringify({ name: "m", version: "1", currency: "EUR", meters: [], plans }))
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", taxes: [{ code: "vat", rate: "20", treatment: "standard" }] })
  const now = new Date(Number((await billing.now()) / 1_000n))
  const start = BigInt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)) * 1_000n
  const payments = new TestPayments()
  payments.next.push("after")
  const ids: Array<string> = []
  for (const id of ["a", "b"]) {
    await subscribe(billing, { id, account: "ada", catalogue: digest, plan: "p", start })
    ids.push((await issue(billing, id)).invoice?.id ?? "")
  }
  const [first = "", second = ""] = ids
  await payInvoice(billing, payments, first)
  t.match(await creditInvoice(billing, { id: "c", invoice: first, reason: "x", items: [{ line: 0, what: "amount", amount: "2" }] }), { wallet: "2.40" })
  await cancelInvoice(billing, second, "x")
  t.strictSame([(await invoiceOf(billing, first)).state.status, (await invoiceOf(billing, second)).state.status], ["paid", "cancelled"])
  t.strictSame([await balanceOf(billing, "wallet/ada", "EUR"), await balanceOf(billing, "receivable/ada", "EUR")], [-240n, 0n])
  t.strictSame(await checkLedger(billing), [])
}

async function all(t: Test, store: Store): Promise<void> {
  await books(t, store)
  await account(t, store)
  t.strictSame(await store.check(), [])
}

t.test("books in a sealed store are those in an open one", async (t) => {
  await using below = new MemoryStore()
  const { store } = await sealedOver(below)
  await all(t, store)
})

t.test("books in PGlite are those in SQLite", async (t) => {
  await using store = await PgliteStore.open(undefined, { driver })
  await all(t, store)
})

t.test("books on a PostgreSQL are those in SQLite", async (t) => {
  const why = await missing()
  if (why !== undefined) {
    t.comment(`skipped: ${why}`)
    return
  }
  const server = await startServer()
  t.teardown(() => server.close())
  const { service, worker } = await migrated(server)
  await using store = await PostgresStore.open(service, { password: server.password, worker, connectionsMax: 2 })
  await all(t, store)
})

t.test("books that are full name the limit, and nothing is half billed; opened with more they go on", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-books-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const address = `sqlite:${join(folder, "books.db")}`
  const charges = [{ id: "base", price: { model: "flat", amount: "10" } }]
  const plans = [{ id: "p", interval: { unit: "month", count: 1 }, align: "calendar", charges }]
  const list = JSON.stringify({ name: "m", version: "1", currency: "EUR", meters: [], plans })
  const full = await openStores(address, { limits: { keyValue: { tenantKeysMax: 48 } } })
  const billing = openBilling({ host, store: full.store, entity: "shop" })
  const { digest } = await addCatalogue(billing, list)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR" })
  const now = new Date(Number((await billing.now()) / 1_000n))
  const start = BigInt(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)) * 1_000n
  let [refused, last]: [unknown, string] = [undefined, ""]
  for (let n = 0; refused === undefined && n < 20; n++) {
    last = `s${n}`
    await subscribe(billing, { id: last, account: "ada", catalogue: digest, plan: "p", start })
    const before = await trialBalance(billing)
    refused = await issue(billing, last).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (refused === undefined) continue
    t.strictSame(await trialBalance(billing), before, "nothing of it is there")
    t.match(await subscriptionOf(billing, last), { sequence: 0 })
    t.equal(await lastNumber(billing, "INV"), n, "no number is gone")
  }
  t.match(refused, { reason: { _tag: "PortLimit", port: "keyValue", limit: "tenantKeysMax", max: 48 } })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
  await full.close()
  const more = await openStores(address, { limits: { keyValue: { tenantKeysMax: 1_000 } } })
  await using again = openBilling({ host, store: more.store, entity: "shop" })
  t.match(await issue(again, last), { isNew: true })
  await more.close()
})
