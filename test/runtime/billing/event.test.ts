/** Single events: counted once, refused by their id; usage that comes late is a line of the next invoice. */
import t from "tap"
import {
  addCatalogue,
  type Billing,
  changeSubscription,
  type EventValue,
  issue,
  openBilling,
  putAccount,
  record,
  runBilling,
  subscribe,
  usageBehind,
} from "../../../runtime/billing/mod.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { mixed } from "./lists.ts"
import { at, calls, keep, openHost, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

async function opened(time = "2026-01-10") {
  const store = storeAt(time)
  const billing = openBilling({ host, store, entity: "acme" })
  const { digest } = await addCatalogue(billing, mixed)
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR", tenants: ["ada-web", "ada-batch"] })
  await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "small", start: at("2026-01-01"), quantities: { seats: "3" } })
  await issue(billing, "s")
  return { store, billing }
}
const gpu = (id: string, time: string, hours: string): EventValue => ({ account: "ada", id, at: at(time), name: "gpu-hours", properties: { hours } })
const amountsOf = async (billing: Billing): Promise<ReadonlyArray<string>> => {
  const { invoice } = await issue(billing, "s")
  if (invoice === undefined) throw new Error("no invoice")
  return invoice.lines.map(({ amount, attribute, charge, rating }) =>
    [invoice.ratings[rating]?.kind, charge.replace("small/", ""), ...(attribute === undefined ? [] : [attribute]), amount].join(" "),
  )
}

t.test("`record()` counts an event once, and says which meters count it", async (t) => {
  const { billing, store } = await opened()
  t.strictSame(await record(billing, gpu("e1", "2026-01-05T10:00:00Z", "4.25")), { isNew: true, meters: [{ subscription: "s", meter: "gpu" }] })
  t.strictSame(await record(billing, gpu("e1", "2026-01-05T10:00:00Z", "4.25")), { isNew: false, meters: [{ subscription: "s", meter: "gpu" }] })
  t.strictSame(await record(billing, { account: "ada", id: "e2", at: at("2026-01-06"), name: "storage-used", quantity: "7" }), { isNew: true, meters: [] })
  const same = await Promise.all(Array.from({ length: 20 }, () => record(billing, gpu("e3", "2026-01-07", "8"))))
  t.equal(same.filter(({ isNew }) => isNew).length, 1, "of twenty at once")
  store.set("2026-02-01T03:00:00Z")
  const lines = await amountsOf(billing)
  t.ok(lines.includes("closing gpu 22.25"), "10 hours at 2 and 2.25 at 1")
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("what no invoice could have is refused by the event's id, and nothing is kept of it", async (t) => {
  const { billing, store } = await opened()
  await record(billing, gpu("e1", "2026-01-05", "1"))
  const keys = async (): Promise<number> =>
    (await store.ask({ ask: "list", tenant: Buffer.from("billing.acme"), key: Buffer.from("event"), beyond: undefined, countMax: 100 })).length
  const before = await keys()
  for (const [event, code, about] of [
    [gpu("e1", "2026-01-05", "2"), "STELE-BIL-0018", /"e1"/],
    [gpu("e1", "2026-01-06", "1"), "STELE-BIL-0018", /"e1"/],
    [{ ...gpu("e9", "2026-01-05", "1"), name: "gpu-huors" }, "STELE-BIL-0019", /"e9".*gpu-huors/],
    [gpu("e9", "2025-12-31T23:59:59Z", "1"), "STELE-BIL-0020", /"e9".*no subscription/],
    [gpu("e9", "2026-03-01", "1"), "STELE-BIL-0020", /"e9".*ahead/],
    [gpu("e9", "2026-01-05", "1.005"), "STELE-BIL-0021", /"e9".*2 digits/],
    [gpu("e9", "2026-01-05", "one"), "STELE-BIL-0021", /"e9".*no decimal/],
    [gpu("e9", "2026-01-05", "99999999999999999999"), "STELE-BIL-0021", /"e9".*64 bits/],
    [{ ...gpu("e9", "2026-01-05", "1"), account: "eve" }, "STELE-BIL-0014", /"eve"/],
    [{ ...gpu("x".repeat(201), "2026-01-05", "1") }, "STELE-BIL-0016", /200 bytes/],
    [{ ...gpu("e9", "2026-01-05", "1"), colour: "red" } as EventValue, "STELE-BIL-0016", /colour/],
  ] as const)
    await t.rejects(record(billing, event), { code, message: about }, `${event.id.slice(0, 9)} ${code}`)
  t.equal(await keys(), before)
  await billing.close()
})

t.test("usage that comes after its invoice is a line of the next one, linked to it", async (t) => {
  const { billing, store } = await opened()
  store.set("2026-02-01T01:00:00Z")
  await keep(store, "ada-web", calls("ada-web", "2026-01-02", "2026-02-01", 500, 1))
  await keep(store, "ada-batch", calls("ada-batch", "2026-01-02", "2026-02-01", 300, 2))
  await record(billing, gpu("e1", "2026-01-05", "4"))
  for (const [i, quantity] of ["100", "50", "200"].entries())
    await record(billing, { account: "ada", id: `p${i}`, at: at(`2026-01-0${i + 2}`), name: "payment", quantity })
  await record(billing, { account: "ada", id: "l1", at: at("2026-01-16T12:00:00Z"), name: "stored", quantity: "31" })
  store.set("2026-02-01T03:00:00Z")
  const first = await amountsOf(billing)
  t.ok(first.includes("closing payments 3.10"), "two are free, the third is 1.5 percent and a fee")
  t.ok(first.includes("closing gpu 8.00"))
  t.ok(first.includes("closing stored 4.65"), "31 GB for half the month")
  t.ok(first.includes("opening seats 9.00"))
  // Late, and in the new month.
  await keep(
    store,
    "ada-web",
    calls("ada-web", "2026-01-20", "2026-01-21", 100, 3).map((entry) => ({
      ...entry,
      id: Uint8Array.from(entry.id, (byte, i) => (i === 15 ? byte ^ 0x80 : byte)),
    })),
  )
  await record(billing, gpu("late", "2026-01-31T23:00:00Z", "8"))
  store.set("2026-03-01T03:00:00Z")
  const { invoice } = await issue(billing, "s")
  if (invoice === undefined) throw new Error("no invoice")
  const late = invoice.lines.filter(({ rating }) => invoice.ratings[rating]?.kind === "late")
  t.match(invoice.ratings[0], { kind: "late", invoices: ["s.20260101T000000Z.0", "s.20260101T000000Z.1"], usage: { records: 900 } })
  t.equal(late.find(({ charge }) => charge === "small/gpu")?.amount, "14.00", "12 hours are 22.00, of which 8.00 are billed")
  t.ok(late.some(({ charge }) => charge === "small/calls"))
  t.notOk(
    late.some(({ charge }) => charge === "small/payments" || charge === "small/base"),
    "what has not changed has no line",
  )
  t.equal(
    invoice.lines.find(({ charge, rating }) => charge === "small/stored" && invoice.ratings[rating]?.kind === "closing")?.amount,
    "9.30",
    "the level goes on",
  )
  const behind = async (charge: string, kind: string, attribute?: string) =>
    Array.fromAsync(
      usageBehind(
        billing,
        invoice,
        invoice.lines.findIndex((line) => line.charge === charge && line.attribute === attribute && invoice.ratings[line.rating]?.kind === kind),
      ),
    )
  t.strictSame(
    (await behind("small/gpu", "late")).map((one) => ("event" in one ? one.event.id : "")),
    ["e1", "late"],
  )
  const found = await behind("small/calls", "late", "ok")
  t.equal(
    String(found.length),
    invoice.lines.find(({ charge, attribute }) => charge === "small/calls" && attribute === "ok")?.quantity,
    "the calls are those that were counted",
  )
  t.ok(found.every((one) => "record" in one && one.record.outcome === "ok"))
  t.strictSame(await behind("small/base", "opening"), [])
  // Nothing has come since.
  store.set("2026-04-01T03:00:00Z")
  const third = await amountsOf(billing)
  t.notOk(third.some((line) => line.startsWith("late")))
  await t.rejects(record(billing, gpu("too late", "2026-01-31T23:00:00Z", "8")), { code: "STELE-BIL-0020", message: /"too late".*not billed any more/ })
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a plan that changes within a month bills each plan's own usage, and a pause and an end are kept", async (t) => {
  const { billing, store } = await opened()
  await changeSubscription(billing, "s", { what: "plan", plan: "large", at: at("2026-01-16") })
  await record(billing, gpu("before", "2026-01-05", "3"))
  store.set("2026-01-20")
  await record(billing, gpu("after", "2026-01-18", "5"))
  await changeSubscription(billing, "s", { what: "cancel", at: at("2026-01-25"), atPeriodEnd: true })
  store.set("2026-02-02")
  await keep(store, "ada-web", calls("ada-web", "2026-01-02", "2026-01-31", 200, 1))
  const { invoice } = await issue(billing, "s")
  t.equal(invoice?.lines.find(({ charge }) => charge === "small/gpu")?.amount, "6.00", "3 hours while the plan was small")
  t.equal(invoice?.lines.find(({ charge }) => charge === "large/base")?.amount, "51.61", "16 days of 31")
  t.equal(invoice?.lines.find(({ charge }) => charge === "small/base")?.amount, "-5.16", "of 10.00 that were billed, 15 days of 31 are due")
  t.strictSame(invoice?.next, null)
  t.strictSame((await runBilling(billing)).issued, [])
  await t.rejects(changeSubscription(billing, "s", { what: "resume", at: at("2026-03-01") }), { code: "STELE-BIL-0016" })
  await billing.close()
})

t.test("what tenants store is measured by the run, once a day, where a price list has a meter of it", async (t) => {
  const { billing, store } = await opened()
  const month = { unit: "month", count: 1 }
  const list = {
    name: "storage",
    version: "1",
    currency: "EUR",
    units: { byte: { exponent: 0 } },
    meters: [{ id: "stored", unit: "byte", aggregation: "max", event: "storage-used" }],
    plans: [{ id: "p", interval: month, align: "calendar", charges: [{ id: "stored", meter: "stored", price: { model: "capacity", price: "0.001" } }] }],
  }
  const { digest } = await addCatalogue(billing, JSON.stringify(list))
  await putAccount(billing, { id: "eve", zone: "UTC", currency: "EUR" })
  await subscribe(billing, { id: "e", account: "eve", catalogue: digest, plan: "p", start: at("2026-01-01") })
  const hold = (bytes: number) => store.apply([{ op: "set", tenant: Buffer.from("eve"), key: Buffer.from("a"), value: new Uint8Array(bytes) }])
  for (const [time, bytes] of [
    ["2026-01-12", 10_000],
    ["2026-01-13", 50_000],
    ["2026-01-14", 20_000],
  ] as const) {
    store.set(time)
    await hold(bytes)
    await runBilling(billing)
    t.strictSame((await runBilling(billing)).unsampled, [])
  }
  store.set("2026-02-01T03:00:00Z")
  const { invoice } = await issue(billing, "e")
  t.match(invoice?.ratings[0]?.usage, { events: 3 })
  const quantity = Number(invoice?.lines[0]?.quantity)
  t.ok(quantity >= 50_000 && quantity < 50_200, `${quantity} bytes with keys`)
  await billing.close()
})
