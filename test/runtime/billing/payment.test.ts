/** Money that moves: invoices paid once whatever the provider answers, shares of purchases and their refunds, payouts once over nodes that are killed. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { priceTable } from "../../../runtime/billing/catalogue.ts"
import { balanceOf, book } from "../../../runtime/billing/ledger.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import {
  addCatalogue,
  type Billing,
  cancelInvoice,
  creditInvoice,
  invoiceOf,
  issue,
  markOverdue,
  openBilling,
  paidOperations,
  putAccount,
  subscribe,
} from "../../../runtime/billing/mod.ts"
import { chargeOf, dueOf, payInvoice } from "../../../runtime/billing/payment.ts"
import { TestPayments } from "../../../runtime/billing/payment-test.ts"
import { payOut } from "../../../runtime/billing/payout.ts"
import { purchase, refund, sharesOf } from "../../../runtime/billing/purchase.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { randomFrom } from "../storage/random.ts"
import { doneBy, moneyCourse, program, settled } from "./payment-processes.ts"
import { at, openHost, storeAt } from "./usage.ts"
import { isFull, replay, seed } from "../../seed.ts"

t.setTimeout(300_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())
const text = await readFile(fileURLToPath(new URL("../../../schemas/billing/executions-2025.json", import.meta.url)), "utf8")
const codeOf = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => "kept",
    (error: unknown) => (error as { readonly code?: string }).code ?? error,
  )

async function opened() {
  const store = storeAt("2026-01-01")
  const billing = openBilling({ host, store, entity: "acme" })
  const { digest } = await addCatalogue(billing, text)
  return { billing, digest, store, table: await priceTable(billing, digest, { id: "ada" }) }
}

async function invoiced() {
  const { billing, digest, store } = await opened()
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD" })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "professional", start: at("2026-01-01") })
  const { invoice } = await issue(billing, "s")
  if (invoice === undefined) throw new Error("nothing is due in advance")
  const status = async () => (await invoiceOf(billing, invoice.id)).state.status
  return { billing, id: invoice.id, store, payable: BigInt(invoice.totals.payable.replace(".", "")), status }
}

const sound = async (t: { strictSame(found: unknown, wanted: unknown): boolean }, billing: Billing) => {
  t.strictSame(await checkLedger(billing), [])
  t.strictSame(await billing.store.check(), [])
}

for (const next of [[], ["before"], ["after"], ["after", "before", "after"]] as const)
  t.test(`an invoice is paid once when the provider answers ${next.length === 0 ? "at once" : `"${next.join(", ")}" first`}`, async (t) => {
    const { billing, id, payable, status } = await invoiced()
    const payments = new TestPayments()
    payments.next.push(...next)
    t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: true })
    t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: false })
    t.equal(await status(), "paid")
    t.strictSame(
      payments.journal.map(({ amount }) => amount),
      [payable],
    )
    t.strictSame([await balanceOf(billing, "receivable/ada", "USD"), await balanceOf(billing, "cash/test", "USD")], [0n, payable])
    await sound(t, billing)
  })

t.test("a payment that is declined is tried anew, one without an answer goes on, and nodes at the same time charge once", async (t) => {
  const { billing, id, payable, status } = await invoiced()
  const payments = new TestPayments()
  payments.next.push("decline", "late")
  await t.rejects(payInvoice(billing, payments, id), { code: "STELE-BIL-0034", message: /declines: insufficient funds$/ })
  t.equal(await status(), "issued")
  t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0035", "nobody knows yet")
  t.equal(await status(), "issued")
  payments.next.push("after", "after", "after", "after")
  t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0035", "four times without an answer")
  const paid = await Promise.all([1, 2, 3, 4].map(() => payInvoice(billing, payments, id)))
  t.equal(paid.filter(({ isNew }) => isNew).length, 1)
  t.equal(await status(), "paid")
  t.strictSame(
    payments.journal.map(({ amount }) => amount),
    [payable],
  )
  t.equal(await balanceOf(billing, "receivable/ada", "USD"), 0n)
  await sound(t, billing)
})

t.test("what is charged for an invoice that is paid otherwise meanwhile is the customer's", async (t) => {
  const { billing, id, payable, status } = await invoiced()
  const payments = new TestPayments()
  payments.next.push("late")
  t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0035")
  await billing.store.apply([...(await paidOperations(billing, id, await billing.now()))])
  t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: true })
  t.equal(await status(), "paid")
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), -payable)
  await sound(t, billing)
})

t.test("what was asked of one provider is never asked of another", async (t) => {
  const { billing, id, payable, status } = await invoiced()
  const [bank, other] = [new TestPayments("bank-a"), new TestPayments("bank-b")]
  bank.next.push("after", "before", "before", "before")
  t.equal(await codeOf(payInvoice(billing, bank, id)), "STELE-BIL-0035")
  await t.rejects(payInvoice(billing, other, id), { code: "STELE-BIL-0039", message: /by the provider "bank-b": it was asked of "bank-a"/ })
  const { invoice, state } = await invoiceOf(billing, id)
  await t.rejects(chargeOf(billing, other, invoice, state), { code: "STELE-BIL-0039" })
  await creditInvoice(billing, gift("a", id, "30"))
  t.equal(await dueOf(billing, invoice, (await invoiceOf(billing, id)).state), payable - 3_000n)
  t.equal(await chargeOf(billing, bank, invoice, state), payable, "what is pending is of the amount that it was begun with")
  t.strictSame(await payInvoice(billing, bank, id), { invoice: id, isNew: true })
  t.strictSame([await status(), other.journal, bank.journal.length], ["paid", [], 1])
  t.strictSame(await payInvoice(billing, other, id), { invoice: id, isNew: false })
  await sound(t, billing)
})

const gift = (id: string, invoice: string, amount: string) => ({ id, invoice, reason: "gift", items: [{ line: 0, what: "amount", amount } as const] })

t.test("what is credited before a payment is not charged, and what is credited during or after one is the customer's", async (t) => {
  const { billing, id, payable, status } = await invoiced()
  const payments = new TestPayments()
  t.match(await creditInvoice(billing, gift("a", id, "10")), { settled: "10.00", wallet: "0.00" })
  payments.next.push("decline", "late")
  t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0034")
  t.match(await creditInvoice(billing, gift("b", id, "9")), { settled: "9.00" })
  t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0035", "it is pending")
  t.match(await creditInvoice(billing, gift("c", id, "5")), { settled: "5.00", wallet: "0.00" }, "nobody knows yet whether it is paid")
  t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: true })
  t.strictSame(
    payments.journal.map(({ amount }) => amount),
    [payable - 1_900n],
    "as it was asked for",
  )
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), -500n)
  t.match(await creditInvoice(billing, gift("d", id, "7")), { settled: "0.00", wallet: "7.00" }, "of what was paid")
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), -1_200n)
  t.equal(await balanceOf(billing, "receivable/ada", "USD"), 0n)
  t.equal(await status(), "paid")
  await sound(t, billing)
})

t.test("an invoice that credits leave nothing of is paid, not overdue, and charges nothing", async (t) => {
  const { billing, id, status, store } = await invoiced()
  const payments = new TestPayments()
  await creditInvoice(billing, { id: "all", invoice: id, reason: "goodwill", items: [{ line: 0, what: "rest" }] })
  t.equal(await status(), "paid")
  store.set("2026-03-01")
  t.strictSame(await markOverdue(billing), [])
  t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: false })
  t.strictSame(payments.journal, [])
  for (const account of ["receivable/ada", "wallet/ada", "revenue/sales"]) t.equal(await balanceOf(billing, account, "USD"), 0n, account)
  await sound(t, billing)
})

t.test("an overdue invoice is paid, and one that is cancelled while its payment is pending leaves the money to the customer", async (t) => {
  for (const isCancelled of [false, true]) {
    const { billing, id, payable, status, store } = await invoiced()
    const payments = new TestPayments()
    payments.next.push("late")
    t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0035")
    store.set("2026-01-20")
    t.strictSame(await markOverdue(billing), [id])
    if (isCancelled) t.match(await cancelInvoice(billing, id, "a mistake"), { settled: "99.00", wallet: "0.00" })
    t.strictSame(await payInvoice(billing, payments, id), { invoice: id, isNew: true })
    t.equal(await status(), isCancelled ? "cancelled" : "paid")
    t.equal(await balanceOf(billing, "wallet/ada", "USD"), isCancelled ? -payable : 0n)
    t.equal(await balanceOf(billing, "receivable/ada", "USD"), 0n)
    if (isCancelled) t.equal(await codeOf(payInvoice(billing, payments, id)), "STELE-BIL-0025")
    else t.equal(await codeOf(cancelInvoice(billing, id, "late")), "STELE-BIL-0025")
    await sound(t, billing)
  }
})

t.test("nodes that pay, credit and mark overdue at the same time leave nothing over and nothing out", async (t) => {
  const { billing, id, payable, store } = await invoiced()
  const payments = new TestPayments()
  store.set("2026-01-20")
  const done = await Promise.all([
    payInvoice(billing, payments, id),
    creditInvoice(billing, gift("a", id, "10")),
    markOverdue(billing),
    payInvoice(billing, payments, id),
    creditInvoice(billing, gift("b", id, "20")),
  ])
  t.equal([done[0], done[3]].filter(({ isNew }) => isNew).length, 1)
  const [charged = 0n, ...more] = payments.journal.map(({ amount }) => amount)
  t.strictSame(more, [])
  // What was charged and what was earned differ by what is the customer's.
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), payable - 3_000n - charged)
  t.equal(await balanceOf(billing, "receivable/ada", "USD"), 0n)
  await sound(t, billing)
})

const sale = (id: string, amount: bigint, shares: Parameters<typeof purchase>[3]["shares"] = sharesOf("eve")) => ({
  id,
  account: "ada",
  artifact: "acme/flow@1",
  currency: "EUR",
  exponent: 2,
  amount,
  shares,
})

t.test("a purchase is shared 70 to 30 by the rules, and refunds give back exactly what was shared", async (t) => {
  const { billing, table } = await opened()
  const payments = new TestPayments()
  payments.next.push("after")
  const sold = await purchase(billing, payments, table, sale("p1", 9_999n))
  t.strictSame(
    sold.shares.map(({ amount }) => amount),
    [6_999n, 3_000n],
  )
  t.strictSame(await purchase(billing, payments, table, sale("p1", 9_999n)), sold, "the same again is known")
  t.equal(await codeOf(purchase(billing, payments, table, sale("p1", 1n))), "STELE-BIL-0015")
  payments.next.push("after")
  t.match(await refund(billing, payments, table, { purchase: "p1", id: "r1", amount: 3_333n }), { status: "done", amount: 3_333n })
  t.equal(await codeOf(refund(billing, payments, table, { purchase: "p1", id: "r2", amount: 6_667n })), "STELE-BIL-0036")
  t.equal((await refund(billing, payments, table, { purchase: "p1", id: "r1" })).amount, 3_333n, "the same again is known")
  t.equal((await refund(billing, payments, table, { purchase: "p1", id: "r2" })).amount, 6_666n, "what is left")
  for (const account of ["payable/eve", "revenue/platform", "cash/test"]) t.equal(await balanceOf(billing, account, "EUR"), 0n, account)
  t.strictSame(
    payments.journal.map(({ kind, amount }) => [kind, amount]),
    [
      ["charge", 9_999n],
      ["refund", 3_333n],
      ["refund", 6_666n],
    ],
  )
  payments.next.push("decline")
  t.equal(await codeOf(purchase(billing, payments, table, sale("p2", 100n))), "STELE-BIL-0034")
  t.equal(await codeOf(refund(billing, payments, table, { purchase: "p2", id: "r" })), "STELE-BIL-0025", "it was never paid")
  await sound(t, billing)
})

t.test("random shares and refunds: parts add up, none is ever below 0, and all of it comes back in the end", async (t) => {
  t.comment(replay)
  const random = randomFrom(seed)
  const { billing, table } = await opened()
  const payments = new TestPayments()
  for (let n = 0; n < (isFull ? 300 : 20); n++) {
    const [first, ...rest] = Array.from({ length: random(4) + 1 }, (_, i) => ({
      account: i === 0 ? "revenue/platform" : `payable/c${random(3)}-${i}`,
      weight: String(random(100) + 1),
    }))
    if (first === undefined) throw new Error("no shares")
    let left = BigInt(random(100_000) + 1)
    const sold = await purchase(billing, payments, table, sale(`p${n}`, left, [first, ...rest]))
    const parts = sold.shares.map(({ amount }) => amount)
    for (let r = 0; left > 0n; r++) {
      const amount = r > 4 ? left : BigInt(random(Number(left))) + 1n
      const back = await refund(billing, payments, table, { purchase: `p${n}`, id: `r${r}`, amount })
      left -= amount
      back.parts.forEach((part, i) => (parts[i] = (parts[i] ?? 0n) - part))
      t.ok(back.parts.every((part) => part >= 0n) && parts.every((part) => part >= 0n), `${sold.amount}: ${parts.join(", ")}`)
    }
    t.ok(parts.every((part) => part === 0n))
  }
  await sound(t, billing)
})

t.test("creators are paid from the threshold on, and what one owes after a refund comes off what he earns next", async (t) => {
  const { billing, table } = await opened()
  const payments = new TestPayments()
  const run = () => payOut(billing, payments, { currency: "EUR", exponent: 2 })
  await purchase(billing, payments, table, sale("p1", 14_284n))
  t.equal(await balanceOf(billing, "payable/eve", "EUR"), -9_999n)
  t.strictSame(await run(), [], "99.99 are owed")
  await purchase(billing, payments, table, sale("p2", 1n))
  t.strictSame(await run(), [{ creator: "eve", amount: 10_000n, status: "done", detail: "payout-3" }])
  t.strictSame(await run(), [], "once")
  await refund(billing, payments, table, { purchase: "p1", id: "r1" })
  t.equal(await balanceOf(billing, "payable/eve", "EUR"), 9_999n, "she owes it")
  await purchase(billing, payments, table, sale("p3", 20_000n))
  t.strictSame(await run(), [], "14,000 earned less 9,999 owed")
  await purchase(billing, payments, table, sale("p4", 20_000n))
  payments.next.push("decline")
  t.match(await run(), [{ creator: "eve", amount: 18_001n, status: "declined" }])
  payments.next.push("late")
  t.match(await run(), [{ creator: "eve", status: "unconfirmed" }])
  await purchase(billing, payments, table, sale("p5", 20_000n))
  payments.next.push("after")
  t.match(await run(), [{ creator: "eve", amount: 18_001n, status: "done" }], "what was begun is of the amount that it was begun with")
  t.strictSame(await payOut(billing, payments, { currency: "EUR", exponent: 2, threshold: "140.01" }), [])
  t.match(await payOut(billing, payments, { currency: "EUR", exponent: 2, threshold: "140.00" }), [{ amount: 14_000n, status: "done" }])
  t.equal(await balanceOf(billing, "payable/eve", "EUR"), 0n)
  await sound(t, billing)
})

t.test("a purchase, its refunds and a payout stay with the provider that they were asked of", async (t) => {
  const { billing, table } = await opened()
  const [bank, other] = [new TestPayments("bank-a"), new TestPayments("bank-b")]
  bank.next.push("late")
  t.equal(await codeOf(purchase(billing, bank, table, sale("p1", 20_000n))), "STELE-BIL-0035")
  t.equal(await codeOf(purchase(billing, other, table, sale("p1", 20_000n))), "STELE-BIL-0039")
  await purchase(billing, bank, table, sale("p1", 20_000n))
  t.equal((await purchase(billing, other, table, sale("p1", 20_000n))).status, "done")
  t.equal(await codeOf(refund(billing, other, table, { purchase: "p1", id: "r1", amount: 100n })), "STELE-BIL-0039")
  t.match(await refund(billing, bank, table, { purchase: "p1", id: "r1", amount: 100n }), { status: "done" })
  await purchase(billing, other, table, sale("p2", 20_000n, sharesOf("joe")))
  const run = (payments: TestPayments) => payOut(billing, payments, { currency: "EUR", exponent: 2 })
  bank.next.push("late", "late")
  t.match(await run(bank), [{ status: "unconfirmed" }, { status: "unconfirmed" }])
  await purchase(billing, other, table, sale("p3", 20_000n, sharesOf("zoe")))
  t.match(
    (await run(other)).toSorted((a, b) => (a.creator < b.creator ? -1 : 1)),
    [
      { creator: "eve", status: "unconfirmed", detail: /asked of "bank-a"/ },
      { creator: "joe", status: "unconfirmed" },
      { creator: "zoe", status: "done" },
    ],
    "others are paid all the same",
  )
  t.match(await run(bank), [{ status: "done" }, { status: "done" }])
  await sound(t, billing)
})

t.test("three nodes that pay out at the same time, one of which is killed again and again, pay each creator once", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-payout-"))
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, "provider"))
  const path = join(folder, "books.db")
  await using store = await SqliteStore.open(path)
  const count = isFull ? 200 : 20
  const books = { store, entity: "acme" }
  for (let n = 0; n < count; n++) {
    const amount = 9_990n + BigInt(n)
    const postings = [
      { account: "cash/file", currency: "EUR", amount },
      { account: `payable/c${n}`, currency: "EUR", amount: -amount },
    ] as const
    await book(books, { id: `t${n}`, at: BigInt(n), memo: "", reference: { kind: "adjustment", id: "t" }, postings })
  }
  const provider = join(folder, "provider")
  const begin = (): ChildProcess => spawn(process.execPath, [program, path, provider, "payout"], { stdio: ["ignore", "ignore", "inherit"] })
  const journal = async (): Promise<ReadonlyArray<string>> => (await doneBy(provider)).map(({ amount, creator }) => `${creator} ${amount}`)
  for (let kills = 0; kills < (isFull ? 20 : 2); kills++) {
    const child = begin()
    const before = (await journal()).length
    for (const until = performance.now() + 20_000; (await journal()).length === before && performance.now() < until;)
      await new Promise((resume) => setTimeout(resume, 5))
    child.kill("SIGKILL")
    await once(child, "exit")
  }
  await Promise.all([begin(), begin(), begin()].map((child) => once(child, "exit")))
  const wanted = Array.from({ length: count }, (_, n) => ({ creator: `c${n}`, amount: 9_990n + BigInt(n) })).filter(({ amount }) => amount >= 10_000n)
  t.strictSame((await journal()).toSorted(), wanted.map(({ amount, creator }) => `${creator} ${amount}`).toSorted(), "what the provider did")
  for (const { creator } of wanted) t.equal(await balanceOf(books, `payable/${creator}`, "EUR"), 0n)
  t.equal(await balanceOf(books, "payable/c0", "EUR"), -9_990n, "less than the threshold stays")
  t.strictSame(await checkLedger(books), [])
})

t.test("nodes that are killed while they pay, sell and refund do each once, and the books agree with the provider", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-money-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, "books.db")
  await using store = await SqliteStore.open(path)
  const { done, kills, wanted, ...found } = await moneyCourse(host, store, path, folder, isFull ? { kills: 60, count: 120 } : { kills: 2, count: 6 })
  t.comment(`${kills} kills`)
  t.ok(kills > 0)
  t.strictSame(done, wanted, "what the provider did")
  t.strictSame(found, settled)
  t.strictSame(await store.check(), [])
})
