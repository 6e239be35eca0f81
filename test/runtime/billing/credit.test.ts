/** Credit notes and cancellation; taxes, discounts, rates and a wallet on an invoice. */
import t from "tap"
import {
  addCatalogue,
  type Billing,
  cancelInvoice,
  changeSubscription,
  creditInvoice,
  creditNotes,
  documentNumbered,
  invoiceOf,
  type InvoiceValue,
  issue,
  openBilling,
  type BillingOptions,
  paidOperations,
  putAccount,
  subscribe,
} from "../../../runtime/billing/mod.ts"
import { balanceOf, book } from "../../../runtime/billing/ledger.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { mixed } from "./lists.ts"
import { at, openHost, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

async function opened(account: Partial<Parameters<typeof putAccount>[1]> = {}, options: Partial<BillingOptions> = {}, list: string = mixed) {
  const store = storeAt("2026-01-01T00:00:01Z")
  const billing = openBilling({ host, store, entity: "acme", ...options })
  const { digest } = await addCatalogue(billing, list)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", ...account })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "3" } })
  return { store, billing }
}
async function issued(billing: Billing): Promise<InvoiceValue> {
  const { invoice } = await issue(billing, "s")
  if (invoice === undefined) throw new Error("no invoice")
  return invoice
}
const vat = { code: "vat", rate: "20", treatment: "standard" } as const
const city = { code: "city", rate: "2.5", treatment: "standard" } as const

t.test("`creditInvoice()` gives back parts of lines with their taxes, never more than is left, under numbers of its own", async (t) => {
  const { billing } = await opened({ taxes: [vat, city] })
  const invoice = await issued(billing)
  t.match(invoice.totals, { net: "19.00", tax: "4.28", payable: "23.28" })
  const order = { id: "half", invoice: invoice.id, reason: "closed early", items: [{ line: 0, what: "unused", from: at("2026-01-16T12:00:00Z") } as const] }
  const note = await creditInvoice(billing, order)
  t.match(note, { number: "CN-INV-000001", invoiceNumber: "INV-000001", net: "5.00", lines: [{ line: 0, net: "5" }] })
  t.strictSame(await creditInvoice(billing, order), note, "asked for again it is the same")
  t.equal(await documentNumbered(billing, "CN-INV", 1), note.id)
  await t.rejects(creditInvoice(billing, { ...order, reason: "another" }), { code: "STELE-BIL-0015" })
  await t.rejects(creditInvoice(billing, { ...order, id: "more", items: [{ line: 0, what: "amount", amount: "5.01" }] }), {
    code: "STELE-BIL-0002",
    message: /over-credited/,
  })
  await t.rejects(creditInvoice(billing, { ...order, id: "fine", items: [{ line: 0, what: "amount", amount: "0.001" }] }), {
    code: "STELE-BIL-0002",
    message: /off-minor-unit/,
  })
  await t.rejects(creditInvoice(billing, { ...order, id: "none", invoice: "s.none" }), { code: "STELE-BIL-0014" })
  t.match((await invoiceOf(billing, invoice.id)).state, { status: "issued", credits: [note.id] })
  t.strictSame((await invoiceOf(billing, invoice.id)).invoice, invoice, "the invoice is as it was issued")
  t.equal(await balanceOf(billing, "receivable/ada", "EUR"), 2328n - BigInt(note.total.replace(".", "")))
  t.equal(await balanceOf(billing, "revenue/sales", "EUR"), -1400n)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("`cancelInvoice()` credits all that is left; what is paid or cancelled stays so", async (t) => {
  const { billing, store } = await opened({ taxes: [vat] })
  const invoice = await issued(billing)
  await creditInvoice(billing, { id: "a", invoice: invoice.id, reason: "gift", items: [{ line: 0, what: "amount", amount: "1" }] })
  const note = await cancelInvoice(billing, invoice.id, "never used")
  t.match(note, { number: "CN-INV-000002", net: "18.00", tax: "3.60" })
  t.equal((await invoiceOf(billing, invoice.id)).state.status, "cancelled")
  t.equal((await creditNotes(billing, invoice.id)).length, 2)
  for (const account of ["receivable/ada", "revenue/sales", "tax/vat"]) t.equal(await balanceOf(billing, account, "EUR"), 0n, account)
  await t.rejects(paidOperations(billing, invoice.id, 0n), { code: "STELE-BIL-0025" })
  await t.rejects(creditInvoice(billing, { id: "b", invoice: invoice.id, reason: "x", items: [] }), { code: "STELE-BIL-0025" })
  t.strictSame(await cancelInvoice(billing, invoice.id, "never used"), note)
  store.set("2026-02-01T03:00:00Z")
  const second = await issued(billing)
  await store.apply([...(await paidOperations(billing, second.id, await billing.now()))])
  await t.rejects(cancelInvoice(billing, second.id, "late"), { code: "STELE-BIL-0025", message: /it is paid/ })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("what rounding left of an invoice is not given back, and what a wallet paid goes there again", async (t) => {
  const list = JSON.parse(mixed) as Record<string, unknown>
  list["policies"] = { "payable.increment": "0.05", "payable.mode": "down" }
  for (const isPaid of [false, true]) {
    const { billing } = await opened()
    await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", taxes: [vat] })
    const { digest } = await addCatalogue(billing, JSON.stringify(list))
    await subscribe(billing, { id: "d", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "1.01" } })
    const paidAhead = [
      { account: "cash/test", currency: "EUR", amount: 300n },
      { account: "wallet/ada", currency: "EUR", amount: -300n },
    ] as const
    await book(billing, { id: "ahead", at: await billing.now(), memo: "", reference: { kind: "payment", id: "p" }, postings: paidAhead })
    const { invoice } = await issue(billing, "d")
    if (invoice === undefined) throw new Error("no invoice")
    // 10.00 and 3.03 with tax, less 3.00 of the wallet, down to a multiple of 0.05.
    t.match(invoice.totals, { gross: "15.64", payable: "12.60" })
    t.equal(await balanceOf(billing, "wallet/ada", "EUR"), 0n)
    if (isPaid) await billing.store.apply([...(await paidOperations(billing, invoice.id, await billing.now()))])
    const part = (id: string, line: number) => creditInvoice(billing, { id, invoice: invoice.id, reason: "x", items: [{ line, what: "rest" }] })
    t.match(await part("base", 0), isPaid ? { total: "12.00", settled: "0.00", wallet: "12.00" } : { total: "12.00", settled: "12.00", wallet: "0.00" })
    t.match(await part("seats", 1), isPaid ? { total: "3.64", wallet: "3.60" } : { total: "3.64", settled: "0.60", wallet: "3.00" })
    t.equal(await balanceOf(billing, "wallet/ada", "EUR"), isPaid ? -1_560n : -300n, "what was given is given back, to the cent")
    t.equal(await balanceOf(billing, "rounding", "EUR"), 0n)
    t.equal((await invoiceOf(billing, invoice.id)).state.status, "paid")
    t.strictSame(await checkLedger(billing), [])
    await billing.close()
  }
})

t.test("an invoice that is cancelled leaves its buyer as he was, with a discount after tax, too", async (t) => {
  const list = JSON.parse(mixed) as Record<string, unknown>
  list["policies"] = { "discounts.base": "afterTax" }
  const { billing } = await opened()
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", taxes: [vat], discounts: [{ id: "five", amount: "5" }] })
  const { digest } = await addCatalogue(billing, JSON.stringify(list))
  await subscribe(billing, { id: "d", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "3" } })
  const ahead = [
    { account: "cash/test", currency: "EUR", amount: 300n },
    { account: "wallet/ada", currency: "EUR", amount: -300n },
  ] as const
  await book(billing, { id: "ahead", at: await billing.now(), memo: "", reference: { kind: "payment", id: "p" }, postings: ahead })
  const { invoice } = await issue(billing, "d")
  t.match(invoice?.totals, { gross: "22.80", payable: "14.80" })
  t.match(await cancelInvoice(billing, invoice?.id ?? "", "x"), { settled: "14.80", wallet: "3.00" })
  t.equal(await balanceOf(billing, "receivable/ada", "EUR"), 0n)
  t.equal(await balanceOf(billing, "wallet/ada", "EUR"), -300n)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("an invoice that was rounded up is cancelled to nothing owed", async (t) => {
  const list = JSON.parse(mixed) as Record<string, unknown>
  list["policies"] = { "payable.increment": "0.05", "payable.mode": "up" }
  const { billing } = await opened()
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", taxes: [vat] })
  const { digest } = await addCatalogue(billing, JSON.stringify(list))
  await subscribe(billing, { id: "d", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "1.01" } })
  const { invoice } = await issue(billing, "d")
  t.match(invoice?.totals, { gross: "15.64", payable: "15.65" })
  t.match(await cancelInvoice(billing, invoice?.id ?? "", "x"), { total: "15.64", settled: "15.65", wallet: "0.00" })
  for (const name of ["receivable/ada", "wallet/ada", "rounding", "revenue/sales", "tax/vat"]) t.equal(await balanceOf(billing, name, "EUR"), 0n, name)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("an invoice that was rounded up and is credited line by line is paid: the last gives back what rounding took", async (t) => {
  const list = JSON.parse(mixed) as Record<string, unknown>
  list["policies"] = { "payable.increment": "0.05", "payable.mode": "up" }
  const { billing } = await opened({ taxes: [vat] }, {}, JSON.stringify(list))
  const { digest } = await addCatalogue(billing, JSON.stringify(list))
  await subscribe(billing, { id: "d", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "1.01" } })
  const { invoice } = await issue(billing, "d")
  const id = invoice?.id ?? ""
  t.match(invoice?.totals, { gross: "15.64", payable: "15.65" })
  const part = (line: number) => creditInvoice(billing, { id: `line-${line}`, invoice: id, reason: "x", items: [{ line, what: "rest" }] })
  t.match(await part(0), { total: "12.00", settled: "12.00" })
  t.match(await part(1), { total: "3.64", settled: "3.65", wallet: "0.00" })
  t.equal((await invoiceOf(billing, id)).state.status, "paid")
  for (const name of ["receivable/ada", "wallet/ada", "rounding", "revenue/sales", "tax/vat"]) t.equal(await balanceOf(billing, name, "EUR"), 0n, name)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("an invoice with a line below 0 is credited by its other lines, and cancelled with it", async (t) => {
  const accounts = ["receivable/ada", "wallet/ada", "revenue/sales", "tax/vat"] as const
  for (const how of ["cancelled", "cancelled after a part", "line by line"] as const) {
    const { billing, store } = await opened({ taxes: [vat] })
    const first = await issued(billing)
    await store.apply([...(await paidOperations(billing, first.id, await billing.now()))])
    const before = await Promise.all(accounts.map((name) => balanceOf(billing, name, "EUR")))
    await changeSubscription(billing, "s", { what: "quantity", charge: "seats", quantity: "1", at: at("2026-01-16T12:00:00Z") })
    store.set("2026-02-01T03:00:00Z")
    const invoice = await issued(billing)
    const below = invoice.lines.findIndex(({ amount }) => amount.startsWith("-"))
    t.match([invoice.lines[below]?.amount, invoice.totals], ["-3.10", { net: "9.90", tax: "1.98", payable: "11.88" }])
    const give = (id: string, line: number, amount?: string) =>
      creditInvoice(billing, {
        ...{ id, invoice: invoice.id, reason: "x" },
        items: [amount === undefined ? { line, what: "rest" } : { line, what: "amount", amount }],
      })
    const above = invoice.lines.flatMap(({ amount }, line) => (Number(amount) > 0 ? [line] : []))
    await t.rejects(give("below", below), { code: "STELE-BIL-0002", message: /not negative/ })
    if (how === "line by line") {
      const notes = []
      for (const line of above) notes.push(await give(`line-${line}`, line))
      // 15.60 of lines above 0: 11.88 are owed, and 3.72 were the buyer's before.
      t.match(
        notes.map(({ settled, total, wallet }) => [total, settled, wallet]),
        [
          ["12.00", "11.88", "0.12"],
          ["3.60", "0.00", "3.60"],
        ],
      )
      t.equal((await invoiceOf(billing, invoice.id)).state.status, "paid")
      t.equal(await balanceOf(billing, "wallet/ada", "EUR"), -372n)
    } else {
      if (how === "cancelled after a part") t.match(await give("part", above[0] ?? 0, "4"), { total: "4.80", settled: "4.80" })
      const note = await cancelInvoice(billing, invoice.id, "never used")
      const total = how === "cancelled" ? "11.88" : "7.08"
      t.match(note, { total, settled: total, wallet: "0.00" })
      t.match(
        note.lines.find(({ line }) => line === below),
        { net: "-3.1", tax: "-0.62" },
      )
      t.strictSame(await Promise.all(accounts.map((name) => balanceOf(billing, name, "EUR"))), before)
    }
    t.strictSame(await checkLedger(billing), [])
    await billing.close()
  }
})

t.test("a tax that is withheld is given back with its sign", async (t) => {
  const { billing } = await opened({ taxes: [vat, { code: "withheld", rate: "-10", treatment: "standard" }] })
  const invoice = await issued(billing)
  t.match(invoice.totals, { net: "19.00", tax: "1.90" })
  await creditInvoice(billing, { id: "a", invoice: invoice.id, reason: "x", items: [{ line: 0, what: "amount", amount: "4" }] })
  t.strictSame([await balanceOf(billing, "tax/vat", "EUR"), await balanceOf(billing, "tax/withheld", "EUR")], [-300n, 150n])
  await creditInvoice(billing, { id: "b", invoice: invoice.id, reason: "x", items: invoice.lines.map((_, line) => ({ line, what: "rest" }) as const) })
  for (const name of ["receivable/ada", "revenue/sales", "tax/vat", "tax/withheld"]) t.equal(await balanceOf(billing, name, "EUR"), 0n, name)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a price list may bound what is given back by what was paid, and what cancels the rest is not bounded", async (t) => {
  const known = JSON.parse(mixed) as { readonly policies?: object }
  const list = JSON.stringify({ ...known, policies: { ...known.policies, "creditNote.limit": "paid", "creditNote.excess": "cut" } })
  const { billing, store } = await opened({ taxes: [vat] }, {}, list)
  const lineOf = ({ document }: InvoiceValue) => document.lines.findIndex(({ amount }) => Number(amount) > 1)
  const give = (id: string, invoice: InvoiceValue, amount: string) =>
    creditInvoice(billing, { id, invoice: invoice.id, reason: "gift", items: [{ line: lineOf(invoice), what: "amount", amount }] })
  const unpaid = await issued(billing)
  t.match(await give("a", unpaid, "1"), { net: "0.00", tax: "0.00" }, "nothing was paid")
  t.match(await cancelInvoice(billing, unpaid.id, "never used"), { net: "19.00", tax: "3.80" })
  store.set("2026-02-01T03:00:00Z")
  const invoice = await issued(billing)
  await store.apply([...(await paidOperations(billing, invoice.id, await billing.now()))])
  t.match(await give("b", invoice, "1"), { net: "1.00", tax: "0.20" })
  t.match(await give("c", invoice, "1000"), { net: `${Number(invoice.document.lines[lineOf(invoice)]?.amount) - 1}.00` }, "what its line has left")
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a wallet pays first, and two invoices cannot take the same of it", async (t) => {
  const { billing, store } = await opened()
  await subscribe(billing, {
    id: "s2",
    account: "ada",
    catalogue: (await issued(billing)).catalogue.digest,
    plan: "large",
    start: at("2026-01-01"),
  })
  await book(billing, {
    id: "prepaid/1",
    at: await billing.now(),
    memo: "Paid ahead",
    reference: { kind: "payment", id: "p1" },
    postings: [
      { account: "cash/test", currency: "EUR", amount: 11_000n },
      { account: "wallet/ada", currency: "EUR", amount: -11_000n },
    ],
  })
  store.set("2026-02-01T03:00:00Z")
  const [one, two] = await Promise.all([issue(billing, "s"), issue(billing, "s2")])
  const [a, b] = [one.invoice, two.invoice]
  const taken = [a, b].flatMap((invoice) => invoice?.totals.taken.flat() ?? []).map(Number)
  t.equal(
    taken.reduce((sum, amount) => sum + amount, 0),
    110,
  )
  t.equal(await balanceOf(billing, "wallet/ada", "EUR"), 0n)
  t.match([await invoiceOf(billing, a?.id ?? ""), await invoiceOf(billing, b?.id ?? "")].map(({ state }) => state.status).toSorted(), ["issued", "paid"])
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("discounts, tax categories and a stored rate are on the document as the rules assemble it", async (t) => {
  const rates: BillingOptions["rates"] = async (source, currency) =>
    source === "EUR" && currency === "USD" ? { value: "1.10", note: "a bank's, of 2026-01-01" } : undefined
  const { billing } = await opened(
    {
      currency: "USD",
      taxes: [vat, { code: "books", rate: "5", treatment: "standard", categories: ["books"] }],
      discounts: [
        { id: "half", percent: "50", charges: ["small/base"] },
        { id: "coupon", amount: "1.00", until: at("2026-02-01") },
        { id: "past", amount: "9.00", until: at("2026-01-01") },
      ],
    },
    { rates },
  )
  const invoice = await issued(billing)
  // 10.00 and 9.00 in EUR are 11.00 and 9.90; less 5.50 and 1.00.
  t.match(invoice.totals, { net: "14.40", discount: "6.50", tax: "2.88", payable: "17.28" })
  t.strictSame(invoice.document.rates, [{ source: "EUR", value: "1.10", note: "a bank's, of 2026-01-01" }])
  t.strictSame(invoice.document.lines[0]?.taxes, [0], "of another category")
  t.equal(await balanceOf(billing, "receivable/ada", "USD"), 1728n)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "CHF" })
  await t.rejects(
    billing.now().then(() => issue(openBilling({ host, store: billing.store, entity: "acme", clock: () => at("2026-03-01") }), "s")),
    {
      code: "STELE-BIL-0027",
      message: /CHF/,
    },
  )
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})
