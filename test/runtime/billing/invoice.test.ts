/** From stored usage to issued invoices: both price lists over a month of calls, held against the oracle; numbers, states, what is refused. */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import t from "tap"
import { firstId, type UsageEntry } from "../../../runtime/port/usage.ts"
import { tenantBytes } from "../../../runtime/storage/usage.ts"
import {
  accountOfTenant,
  addCatalogue,
  type Billing,
  type BillingOptions,
  changeSubscription,
  documentNumbered,
  draftDigest,
  draftInvoice,
  drafts,
  instantText,
  invoiceOf,
  invoices,
  issue,
  lastNumber,
  markOverdue,
  moveAccount,
  openBilling,
  paidOperations,
  putAccount,
  record,
  runBilling,
  subscribe,
  subscriptionOf,
} from "../../../runtime/billing/mod.ts"
import { balanceOf, trialBalance } from "../../../runtime/billing/ledger.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import type { Catalogue } from "../../../schemas/billing/catalogue.ts"
import * as F from "../../billing/fraction.ts"
import { type Aggregate, linesOfPeriod } from "../../billing/oracle.ts"
import { at, calls, keep, openHost, randomFrom, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

const listOf = (name: string): Promise<string> => readFile(fileURLToPath(new URL(`../../../schemas/billing/${name}.json`, import.meta.url)), "utf8")

async function opened(time: string, options: Partial<BillingOptions> = {}) {
  const store = storeAt(time)
  const billing = openBilling({ host, store, entity: "acme", ...options })
  return { store, billing }
}

const decimalText = (over: bigint, under: bigint, scale: number): string => {
  const digits = String((over * 10n ** BigInt(scale)) / under).padStart(scale + 1, "0")
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** What calls come to, by the meters of `executions-2025`, in the plainest way. */
function metered(entries: ReadonlyArray<UsageEntry>): ReadonlyArray<Aggregate> {
  let [byteNs, bytes, hostCalls] = [0n, 0n, 0n]
  for (const { bytesIn, bytesOut, hostCalls: made, memoryPeakBytes, wallNs } of entries) {
    byteNs += BigInt(wallNs) * BigInt(memoryPeakBytes)
    bytes += BigInt(bytesIn) + BigInt(bytesOut)
    for (const count of Object.values(made)) hostCalls += BigInt(count)
  }
  const quantities = [
    String(entries.length),
    decimalText(byteNs, 3_600_000_000_000n * 1_000_000_000n, 9),
    decimalText(bytes, 1_000_000_000n, 9),
    String(hostCalls),
  ]
  return quantities.map((quantity, meter) => ({ meter, quantity, events: entries.length }))
}

function oracleLines(
  catalogue: Catalogue,
  plan: string,
  aggregates: ReadonlyArray<Aggregate>,
  billed: ReadonlyArray<readonly [string, string]>,
): ReadonlyArray<string> {
  const period = { start: at("2026-01-01"), end: at("2026-02-01") }
  return linesOfPeriod({
    catalogue,
    subscription: { id: "s", plan, start: period.start, zone: "UTC", quantities: [], changes: [] },
    period,
    zones: [{ name: "UTC", release: "fixed", first: 0, changes: [], offsets: [] }],
    prior: { quantities: [], billed: billed.map(([charge, amount]) => ({ charge, amount })) },
    events: [],
    aggregates,
    last: true,
  }).map(({ amount, charge }) => `${charge} ${F.text(amount)}`)
}

const plainAmount = (text: string): string => F.text(F.read(text))

/** The invoices of a new subscription to `plan` over January, with what was used in it. */
async function january(billing: Billing, store: ReturnType<typeof storeAt>, name: string, plan: string, record: () => Promise<void>) {
  const { digest } = await addCatalogue(billing, await listOf(name))
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD", taxes: [{ code: "vat", rate: "20", treatment: "standard" }] })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan, start: at("2026-01-01") })
  const first = await issue(billing, "s")
  store.set("2026-02-01T03:00:00Z")
  await record()
  return { first, second: await issue(billing, "s") }
}

t.test("a month of calls under `executions-2025` is invoiced as the oracle says", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const catalogue = JSON.parse(await listOf("executions-2025")) as Catalogue
  const entries = [...calls("ada", "2026-01-01", "2026-02-01", 120_000)]
  const { first, second } = await january(billing, store, "executions-2025", "professional", async () => {
    await keep(store, "ada", entries)
    // Of other months and tenants.
    await keep(store, "ada", calls("ada", "2026-02-01", "2026-02-02", 50, 2))
    await keep(store, "eve", calls("eve", "2026-01-01", "2026-02-01", 50, 3))
  })
  t.equal(first.invoice?.totals.payable, "118.80", "the base is due in advance")
  const { invoice } = second
  if (invoice === undefined) throw new Error("no invoice")
  t.strictSame(
    invoice.lines.filter(({ rating }) => rating === 0).map(({ amount, charge }) => `${charge} ${plainAmount(amount)}`),
    oracleLines(catalogue, "professional", metered(entries), [["professional/base", "99"]]),
  )
  t.match(invoice.ratings[0]?.usage, { records: 120_000, events: 0, dropped: 0 })
  t.strictSame(
    invoice.lines.filter(({ rating }) => rating === 1).map(({ amount, charge }) => `${charge} ${amount}`),
    ["professional/base 99.00"],
    "the next month's base",
  )
  t.strictSame([first.invoice?.number, invoice.number], ["INV-000001", "INV-000002"])
  t.equal(await documentNumbered(billing, "INV", 2), invoice.id)
  t.equal(await lastNumber(billing, "INV"), 2)
  t.equal(await accountOfTenant(billing, "ada"), "ada")
  t.strictSame(await checkLedger(billing), [])
  for (const sum of (await trialBalance(billing)).totals.values()) t.equal(sum, 0n)
  t.strictSame(await store.check(), [])
  await billing.close()
})

t.test("draft, issued, overdue, paid", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const { digest } = await addCatalogue(billing, await listOf("executions-2025"))
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD" })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "professional", start: at("2026-01-01") })
  const draft = await draftInvoice(billing, "s")
  await t.rejects(invoiceOf(billing, draft.id), { code: "STELE-BIL-0014" }, "a draft is no invoice")
  const { invoice } = await issue(billing, "s")
  t.match(invoice, { id: draft.id, number: "INV-000001", totals: draft.totals })
  await t.rejects(issue(billing, "s"), { code: "STELE-BIL-0026" })
  t.strictSame(await markOverdue(billing), [])
  store.set("2026-01-16")
  t.strictSame(await markOverdue(billing), [draft.id])
  t.match((await invoiceOf(billing, draft.id)).state, { status: "overdue" })
  await store.apply([...(await paidOperations(billing, draft.id, await billing.now()))])
  t.match((await invoiceOf(billing, draft.id)).state, { status: "paid" })
  await t.rejects(paidOperations(billing, draft.id, 0n), { code: "STELE-BIL-0025" })
  t.strictSame(
    (await Array.fromAsync(invoices(billing, { account: "ada" }))).map(({ invoice: { id } }) => id),
    [draft.id],
  )
  await billing.close()
})

t.test("a month of single events under `units-2025` is invoiced as the oracle says", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const catalogue = JSON.parse(await listOf("units-2025")) as Catalogue
  const random = randomFrom(7)
  let units = 0
  const { first, second } = await january(billing, store, "units-2025", "starter", async () => {
    for (let i = 0; i < 300; i++) {
      const quantity = Math.floor(random() * 100)
      units += quantity
      await record(billing, { account: "ada", id: `u${i}`, at: at("2026-01-01") + BigInt(i) * 8_000_000_000n, name: "unit", quantity: String(quantity) })
    }
    // Calls are no units.
    await keep(store, "ada", calls("ada", "2026-01-01", "2026-02-01", 50, 3))
  })
  t.equal(first.invoice?.totals.net, "99.00")
  t.ok(units > 10_000)
  t.strictSame(
    second.invoice?.lines.filter(({ rating }) => rating === 0).map(({ amount, charge }) => `${charge} ${plainAmount(amount)}`),
    oracleLines(catalogue, "starter", [{ meter: 0, quantity: String(units), events: 300 }], [["starter/base", "99"]]),
  )
  t.match(second.invoice?.ratings[0]?.usage, { events: 300, records: 50 })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("months are those of the account's zone, also after it has moved", async (t) => {
  const { billing, store } = await opened("2026-01-15")
  const { digest } = await addCatalogue(billing, await listOf("executions-2025"))
  await putAccount(billing, { id: "ada", zone: "Europe/Vienna", currency: "USD" })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "community", start: at("2026-01-15") })
  t.equal((await issue(billing, "s")).invoice, undefined, "nothing is due in advance")
  await moveAccount(billing, "ada", "America/New_York", at("2026-02-10"))
  store.set("2026-02-01T00:59:00Z")
  await t.rejects(issue(billing, "s"), { code: "STELE-BIL-0026" }, "two hours after midnight in Vienna")
  store.set("2026-02-01T01:01:00Z")
  const first = await issue(billing, "s")
  t.match(first.invoice, { period: { end: at("2026-01-31T23:00:00Z") }, zones: [{ name: "Europe/Vienna" }, { name: "America/New_York" }] })
  store.set("2026-05-02")
  const report = await runBilling(billing)
  t.strictSame(report.failed, [])
  const ends = (await Array.fromAsync(invoices(billing))).map(({ invoice: { period } }) => instantText(period.end))
  // March has begun in Vienna, and ends in New York.
  t.strictSame(ends, ["2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "2026-04-01T04:00:00Z", "2026-05-01T04:00:00Z"])
  await billing.close()
})

t.test("what is wrong is said where it is, and nothing is written", async (t) => {
  const { billing, store } = await opened("2026-01-10")
  const text = await listOf("executions-2025")
  const { digest } = await addCatalogue(billing, text)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD" })
  const charge = (one: { readonly plans: ReadonlyArray<{ readonly charges: ReadonlyArray<Record<string, unknown>> }> }): Record<string, unknown> => {
    const found = one.plans[1]?.charges[1]
    if (found === undefined) throw new Error("no charge")
    return found
  }
  const wrong = (
    change: (list: { plans: Array<{ charges: Array<Record<string, unknown>> }>; meters: Array<Record<string, unknown>> } & Record<string, unknown>) => void,
  ): string => {
    const list = JSON.parse(text) as Parameters<typeof change>[0]
    change(list)
    return JSON.stringify(list)
  }
  const before = await store.ask({ ask: "totals" })
  for (const [list, problem] of [
    [wrong((one) => void (one["currency"] = "XYZ")), { kind: "unknown-currency", path: "/currency" }],
    [wrong((one) => void (charge(one)["meter"] = "luck")), { kind: "unknown-meter", path: "/plans/1/charges/1/meter" }],
    [wrong((one) => void (charge(one)["price"] = { model: "unit", price: "-1" })), { kind: "negative-price" }],
    [wrong((one) => void ((one.meters[1] as Record<string, unknown>)["value"] = "bananas")), { kind: "malformed", path: "/meters/1/value" }],
    ["{", { kind: "malformed" }],
  ] as const)
    await t.rejects(addCatalogue(billing, list), { code: "STELE-BIL-0017", reason: { problems: [problem] } } as never, problem.kind)
  const agreement = { id: "s", account: "ada", catalogue: digest, plan: "professional", start: at("2026-01-01") }
  for (const [run, code, message] of [
    [() => putAccount(billing, { id: "eve", zone: "Europe/Wien", currency: "EUR" }), "STELE-BIL-0012", /Europe\/Wien/],
    [() => putAccount(billing, { id: "eve", zone: "UTC", currency: "euro!" }), "STELE-BIL-0016", /currency/],
    [() => putAccount(billing, { id: "eve/1", zone: "UTC", currency: "EUR" }), "STELE-BIL-0016", /id/],
    [() => putAccount(billing, { id: "eve", zone: "UTC", currency: "EUR", tenants: ["ada"] }), "STELE-BIL-0015", /billed to the account "ada"/],
    [() => subscribe(billing, { ...agreement, plan: "golden" }), "STELE-BIL-0002", /unknown-plan/],
    [() => subscribe(billing, { ...agreement, account: "eve" }), "STELE-BIL-0014", /"eve"/],
    [() => subscribe(billing, { ...agreement, catalogue: `sha256:${"0".repeat(64)}` }), "STELE-BIL-0014", /price list/],
    [() => subscribe(billing, { ...agreement, trialEnd: at("2025-12-01") }), "STELE-BIL-0002", /end-before-start/],
    [() => issue(billing, "none"), "STELE-BIL-0014", /"none"/],
    [() => draftInvoice(billing, "none"), "STELE-BIL-0014", /"none"/],
  ] as const)
    await t.rejects(run as () => Promise<unknown>, { code, message }, String(message))
  t.strictSame(await store.ask({ ask: "totals" }), before)
  await subscribe(billing, agreement)
  await subscribe(billing, agreement)
  await t.rejects(subscribe(billing, { ...agreement, plan: "community" }), { code: "STELE-BIL-0015" })
  await t.rejects(changeSubscription(billing, "s", { what: "cancel", at: at("2025-12-01") }), { code: "STELE-BIL-0002" })
  await issue(billing, "s")
  await keep(store, "ada", calls("ada", "2026-01-01", "2026-01-09", 10))
  store.set("2026-02-02")
  await issue(billing, "s")
  await t.rejects(changeSubscription(billing, "s", { what: "plan", plan: "community", at: at("2026-01-20") }), { code: "STELE-BIL-0016", message: /is billed/ })
  await billing.close()
})

t.test("usage that comes after a subscription's end is a closing invoice of its own, once it has been waited for", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  await january(billing, store, "executions-2025", "professional", async () => undefined)
  await changeSubscription(billing, "s", { what: "cancel", at: at("2026-02-15"), atPeriodEnd: true })
  store.set("2026-03-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-02-01", "2026-02-28", 40))
  const last = (await issue(billing, "s")).invoice
  t.match(last, { next: null, number: "INV-000003" })
  t.match(await subscriptionOf(billing, "s"), { next: null, last: last?.period })
  await keep(store, "ada", calls("ada", "2026-01-20", "2026-02-28", 30_000, 5))
  t.match(await record(billing, { account: "ada", id: "gone", at: at("2026-02-20"), name: "gpu-hours" }), { isNew: true })
  await t.rejects(issue(billing, "s"), { code: "STELE-BIL-0026", message: /due at 2026-04-05T02:00:00Z/ }, "35 days and the grace")
  t.strictSame((await runBilling(billing)).issued, [])
  store.set("2026-04-05T03:00:00Z")
  const draft = await draftInvoice(billing, "s")
  const report = await runBilling(billing)
  t.match(report, { issued: ["s.20260201T000000Z.3"], redrawn: [], failed: [] })
  const { invoice } = await invoiceOf(billing, report.issued[0] ?? "")
  t.match(invoice, { number: "INV-000004", next: null, totals: draft.totals })
  t.strictSame(
    invoice.ratings.map(({ invoices: of, kind, period }) => [kind, instantText(period.start).slice(0, 7), of.length]),
    [
      ["late", "2026-01", 2],
      ["late", "2026-02", 2],
    ],
    "what was open when the last period was closed stays so",
  )
  const sum = (one: typeof invoice | undefined, kind: string): number =>
    (one?.lines ?? []).reduce((all, { amount, rating }) => (one?.ratings[rating]?.kind === kind ? all + Number(amount) : all), 0)
  t.ok(sum(invoice, "late") > 0)
  t.not(await subscriptionOf(billing, "s").then(({ last: waits }) => waits !== undefined), true, "nothing more is waited for")
  await t.rejects(record(billing, { account: "ada", id: "late", at: at("2026-02-20"), name: "gpu-hours" }), { code: "STELE-BIL-0020" })
  await t.rejects(issue(billing, "s"), { code: "STELE-BIL-0026", message: /all of it is billed/ })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a subscription that has ended is closed without a document where nothing came late", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  await january(billing, store, "executions-2025", "professional", async () => undefined)
  await changeSubscription(billing, "s", { what: "cancel", at: at("2026-02-15"), atPeriodEnd: true })
  store.set("2026-03-01T03:00:00Z")
  await issue(billing, "s")
  store.set("2026-04-06")
  t.strictSame((await draftInvoice(billing, "s")).lines, [])
  t.strictSame((await runBilling(billing)).issued, [])
  t.strictSame(await Array.fromAsync(drafts(billing)), [], "nor a draft")
  t.match(await subscriptionOf(billing, "s"), { next: null, sequence: 4 })
  t.notOk("last" in (await subscriptionOf(billing, "s")))
  t.equal(await lastNumber(billing, "INV"), 3)
  await billing.close()
})

t.test("`issue()` keeps to the draft that was shown, or says what a kept one had otherwise", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  await january(billing, store, "executions-2025", "professional", async () => undefined)
  store.set("2026-03-01T03:00:00Z")
  const shown = draftDigest(await draftInvoice(billing, "s"))
  await keep(store, "ada", calls("ada", "2026-02-03", "2026-02-04", 30_000))
  await t.rejects(issue(billing, "s", { draft: shown }), { code: "STELE-BIL-0037", reason: { shown, currency: "USD" } } as never)
  t.equal(await lastNumber(billing, "INV"), 2, "nothing was written")
  const report = await runBilling(billing)
  t.match(report.redrawn, [{ invoice: "s.20260201T000000Z.2", digest: shown, payable: "118.80" }])
  t.match(await Array.fromAsync(drafts(billing)), [])
  store.set("2026-04-01T03:00:00Z")
  const again = draftDigest(await draftInvoice(billing, "s"))
  const issued = await issue(billing, "s", { draft: again })
  t.match(issued, { isNew: true })
  t.notOk("drafted" in issued)
  await billing.close()
})

const perCall = JSON.stringify({
  name: "plain",
  version: "1",
  currency: "USD",
  units: { call: { exponent: 0 } },
  meters: [{ id: "calls", unit: "call", aggregation: "sum", event: "call" }],
  plans: [
    { id: "a", interval: { unit: "month", count: 1 }, align: "calendar", charges: [{ id: "calls", meter: "calls", price: { model: "unit", price: "1" } }] },
  ],
})

t.test("a period is rated again of the tenants that it was billed of", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const of = (id: string, tenants?: readonly [string]) =>
    putAccount(billing, { id, zone: "UTC", currency: "USD", ...(tenants === undefined ? {} : { tenants }) })
  await of("ada", ["ta"])
  await of("bob")
  const { digest } = await addCatalogue(billing, perCall)
  for (const account of ["ada", "bob"]) await subscribe(billing, { id: `${account}-s`, account, catalogue: digest, plan: "a", start: at("2026-01-01") })
  const run = async () => {
    const { failed, issued } = await runBilling(billing)
    t.strictSame(failed, [])
    const all = await Promise.all(issued.toSorted().map((one) => invoiceOf(billing, one)))
    return all.map(({ invoice }) => [invoice.subscription.id, ...invoice.lines.map(({ amount, rating }) => `${invoice.ratings[rating]?.kind} ${amount}`)])
  }
  await run()
  store.set("2026-02-01T03:00:00Z")
  await keep(store, "ta", calls("ta", "2026-01-05", "2026-01-10", 100))
  t.strictSame(await run(), [
    ["ada-s", "closing 100.00"],
    ["bob-s", "closing 0.00"],
  ])
  await of("ada")
  await of("bob", ["ta"])
  await keep(store, "ta", calls("ta", "2026-01-11", "2026-01-12", 5, 2))
  store.set("2026-03-01T03:00:00Z")
  await keep(store, "ta", calls("ta", "2026-02-11", "2026-02-12", 7, 3))
  t.strictSame(await run(), [
    ["ada-s", "late 5.00", "closing 0.00"],
    ["bob-s", "closing 7.00"],
  ])
  await billing.close()
})

t.test("what retention has left of a period gives nothing back, and is not billed for all of it", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD" })
  const { digest } = await addCatalogue(billing, perCall)
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "a", start: at("2026-01-01") })
  const forget = (time: string) => store.apply([{ op: "forget", tenant: tenantBytes("ada"), beforeId: firstId(Number(at(time) / 1_000n)), countMax: 10_000 }])
  const run = async () => {
    const { failed, issued, unrated } = await runBilling(billing)
    const all = await Promise.all(issued.map((one) => invoiceOf(billing, one)))
    const lines = all.flatMap(({ invoice }) => invoice.lines.map(({ amount, rating }) => `${invoice.ratings[rating]?.kind} ${amount}`))
    return {
      lines,
      failed: failed.map(({ error }) => error.code),
      unrated: unrated.map(({ period, tenant }) => `${tenant} ${instantText(period.start).slice(0, 10)}`),
    }
  }
  await run()
  store.set("2026-02-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-01-05", "2026-01-10", 100))
  t.strictSame(await run(), { lines: ["closing 100.00"], failed: [], unrated: [] })
  store.set("2026-03-01T03:00:00Z")
  await forget("2026-01-08")
  await keep(store, "ada", calls("ada", "2026-01-20", "2026-01-21", 2, 2))
  await keep(store, "ada", calls("ada", "2026-02-02", "2026-02-21", 30, 3))
  t.strictSame(await run(), { lines: ["closing 30.00"], failed: [], unrated: ["ada 2026-01-01"] }, "60 calls are gone, and 2 have come")
  t.strictSame(
    (await invoiceOf(billing, "s.20260201T000000Z.2")).invoice.ratings.map(({ kind }) => kind),
    ["closing", "opening"],
  )
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), 0n)
  store.set("2026-04-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-03-02", "2026-03-21", 40, 4))
  await keep(store, "ada", calls("ada", "2026-02-22", "2026-02-23", 3, 5))
  await forget("2026-02-01")
  t.strictSame(await run(), { lines: ["late 3.00", "closing 40.00"], failed: [], unrated: [] }, "what was removed is before it")
  store.set("2026-05-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-04-02", "2026-04-21", 50, 6))
  await forget("2026-04-10")
  t.strictSame(await run(), { lines: [], failed: ["STELE-BIL-0038"], unrated: [] })
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD", tenants: ["by-hand"] })
  t.strictSame(await run(), { lines: ["closing 0.00"], failed: [], unrated: [] })
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "USD" })
  store.set("2026-06-01T03:00:00Z")
  await keep(store, "ada", calls("ada", "2026-05-02", "2026-05-21", 60, 7))
  t.strictSame(await run(), { lines: ["closing 60.00"], failed: [], unrated: [] })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("an invoice of less than nothing is credit, which the next one takes", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const { first } = await january(billing, store, "executions-2025", "professional", async () => undefined)
  t.equal(first.invoice?.totals.payable, "118.80")
  await changeSubscription(billing, "s", { what: "cancel", at: at("2026-02-15") })
  store.set("2026-03-01T03:00:00Z")
  const { invoice } = await issue(billing, "s")
  t.equal(invoice?.totals.payable, "-59.40", "half of February's base was paid for and not used")
  t.equal((await invoiceOf(billing, invoice?.id ?? "")).state.status, "paid", "nothing is owed")
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), -5_940n)
  t.equal(await balanceOf(billing, "receivable/ada", "USD"), 2n * 11_880n)
  await subscribe(billing, { id: "t", account: "ada", catalogue: invoice?.catalogue.digest ?? "", plan: "professional", start: at("2026-03-01") })
  const next = (await issue(billing, "t")).invoice
  t.match(next?.totals, { gross: "118.80", payable: "59.40", taken: [["59.4"]] })
  t.equal(await balanceOf(billing, "wallet/ada", "USD"), 0n)
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("usage of a price that nobody has set bills nothing until one is agreed upon", async (t) => {
  const { billing, store } = await opened("2026-01-01")
  const { second } = await january(billing, store, "executions-2025", "professional", async () => undefined)
  await subscribe(billing, { id: "e", account: "ada", catalogue: second.invoice?.catalogue.digest ?? "", plan: "enterprise", start: at("2026-01-01") })
  await keep(store, "ada", calls("ada", "2026-01-05", "2026-01-06", 10))
  const report = await runBilling(billing)
  t.match(report.failed, [{ subscription: "e", error: { code: "STELE-BIL-0002", reason: { kind: "unpriced" } } }])
  t.equal(await lastNumber(billing, "INV"), 3, "the base of it, which is due in advance")
  await billing.close()
})
