/** A subscription that moves to another price list: each bills its own time, what was paid ahead comes back, levels, numbers and days go on. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { bundleOf } from "../../../runtime/billing/bundle.ts"
import {
  addCatalogue,
  changePriceList,
  changeSubscription,
  instantText,
  invoiceOf,
  issue,
  type Issued,
  moveAccount,
  openBilling,
  projectionOf,
  putAccount,
  record,
  runBilling,
  subscribe,
  subscriptionOf,
} from "../../../runtime/billing/mod.ts"
import { balanceOf } from "../../../runtime/billing/ledger.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { verifyBundle } from "../../../runtime/billing/verify.ts"
import { at, openHost, storeAt } from "./usage.ts"

t.setTimeout(240_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

const folder = await mkdtemp(join(tmpdir(), "stele-succession-"))
t.teardown(() => rm(folder, { recursive: true }))

const list = (version: string, base: string, gpu: string, align: "calendar" | "anchor" = "calendar"): string =>
  JSON.stringify({
    name: "team",
    version,
    currency: "EUR",
    units: { gpu: { exponent: 0 }, gb: { exponent: 3 } },
    meters: [
      { id: "gpu", unit: "gpu", aggregation: "sum", event: "gpu-hours" },
      { id: "stored", unit: "gb", aggregation: "timeWeighted", event: "stored" },
    ],
    plans: [
      {
        id: "team",
        interval: { unit: "month", count: 1 },
        align,
        charges: [
          { id: "base", price: { model: "flat", amount: base } },
          { id: "seats", price: { model: "seat", price: "1" }, counted: true },
          { id: "gpu", meter: "gpu", price: { model: "unit", price: gpu } },
          { id: "stored", meter: "stored", price: { model: "unit", price: "31" } },
        ],
      },
    ],
  })

async function opened(start: string, align: "calendar" | "anchor" = "calendar") {
  const store = storeAt(start)
  const billing = openBilling({ host, store, entity: "acme" })
  const [old, fresh] = [await addCatalogue(billing, list("1", "31", "1", align)), await addCatalogue(billing, list("2", "62", "3", align))]
  await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR" })
  await subscribe(billing, { id: "s", account: "ada", catalogue: old.digest, plan: "team", start: at(start), quantities: { seats: "0" } })
  const gpu = (id: string, time: string, quantity: string) => record(billing, { account: "ada", id, at: at(time), name: "gpu-hours", quantity })
  const run = async () => {
    const { failed, issued } = await runBilling(billing)
    t.strictSame(failed, [])
    return Promise.all(
      // By id: which of them is written first is chance.
      issued
        .toSorted((a, b) => (a < b ? -1 : 1))
        .map(async (id) => {
          const { invoice } = await invoiceOf(billing, id)
          const lines = invoice.lines.filter(({ amount }) => Number(amount) !== 0).map(({ amount, charge }) => `${charge} ${amount}`)
          return [id.replace(/T000000Z/, ""), invoice.totals.payable, ...lines]
        }),
    )
  }
  return { billing, store, old, fresh, gpu, run }
}

t.test("an upgrade at once bills each list's own time, and what was paid ahead comes off the first invoice", async (t) => {
  const { billing, fresh, gpu, run, store } = await opened("2026-01-01")
  t.strictSame(await run(), [["s.20260101.0", "31.00", "team/base 31.00"]])
  await gpu("a", "2026-01-01", "5")
  const order = { catalogue: fresh.digest, plan: "team", at: at("2026-01-16") }
  const tried = await changePriceList(billing, "s", order, { isTried: true })
  t.match(tried, { ended: { successor: "s.2" }, successor: { id: "s.2", predecessor: "s", start: at("2026-01-16") } })
  t.notOk((await subscriptionOf(billing, "s")).successor, "nothing was written")
  t.strictSame(await changePriceList(billing, "s", order), tried)
  t.strictSame(await changePriceList(billing, "s", order), tried, "the same again is known")
  await t.rejects(changePriceList(billing, "s", { ...order, plan: "other" }), { code: "STELE-BIL-0015", message: /"s\.2" goes on from it/ })
  store.set("2026-01-16T01:00:00Z")
  t.strictSame(await run(), [], "usage under way is waited for")
  store.set("2026-01-16T03:00:00Z")
  t.match(await gpu("b", "2026-01-16", "7"), { meters: [{ subscription: "s.2", meter: "gpu" }] })
  // 15 and 16 of 31 days; of 16.00 that come back, 5.00 are used up.
  t.strictSame(await run(), [
    ["s.2.20260101.0", "21.00", "team/base 32.00"],
    ["s.20260101.1", "-11.00", "team/base -16.00", "team/gpu 5.00"],
  ])
  t.equal(await balanceOf(billing, "wallet/ada", "EUR"), 0n)
  store.set("2026-02-01T03:00:00Z")
  t.strictSame(await run(), [["s.2.20260101.1", "83.00", "team/gpu 21.00", "team/base 62.00"]])
  t.match(await gpu("c", "2026-01-15T23:00:00Z", "2"), { meters: [{ subscription: "s" }] }, "late, of the one that has ended")
  store.set("2026-03-09")
  t.strictSame(
    (await run()).filter(([id]) => id === "s.20260101.2"),
    [["s.20260101.2", "2.00", "team/gpu 2.00"]],
  )
  t.match(await subscriptionOf(billing, "s"), { next: null })
  // What ended before its period did, what is late, and what began within one are computed anew from their bundles.
  for (const id of ["s.20260101T000000Z.2", "s.2.20260101T000000Z.1"]) {
    const file = join(folder, `${id}.bundle`)
    const parts: Array<Uint8Array> = []
    const isThere = await bundleOf(billing, id, async (bytes) => void parts.push(bytes)).then(() => true)
    await writeFile(file, Buffer.concat(parts))
    t.match([isThere, await verifyBundle(file)], [true, { invoice: { id } }])
  }
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a downgrade at the period's end is prorated by nothing, and takes numbers with it", async (t) => {
  const { billing, fresh, old, run, store } = await opened("2026-01-01")
  await run()
  await changePriceList(billing, "s", { catalogue: fresh.digest, plan: "team", at: at("2026-01-01"), atPeriodEnd: true })
  await t.rejects(changeSubscription(billing, "s", { what: "resume", at: at("2026-02-03") }), { code: "STELE-BIL-0016", message: /goes on as "s\.2"/ })
  await changeSubscription(billing, "s.2", { what: "quantity", charge: "seats", quantity: "4", at: at("2026-02-10"), atPeriodEnd: true })
  store.set("2026-02-02")
  t.strictSame(await run(), [
    ["s.2.20260201.0", "62.00", "team/base 62.00"],
    ["s.20260101.1", "0.00"],
  ])
  await changePriceList(billing, "s.2", { catalogue: old.digest, plan: "team", at: at("2026-02-15"), atPeriodEnd: true })
  store.set("2026-03-02")
  t.strictSame(await run(), [
    ["s.2.20260201.1", "0.00"],
    ["s.3.20260301.0", "35.00", "team/base 31.00", "team/seats 4.00"],
  ])
  await billing.close()
})

t.test("an anchored plan keeps its day, a pause stays one, and a level goes on where the old list left it", async (t) => {
  const { billing, fresh, run, store } = await opened("2026-01-10", "anchor")
  await run()
  await record(billing, { account: "ada", id: "l", at: at("2026-01-10"), name: "stored", quantity: "2" })
  await changePriceList(billing, "s", { catalogue: fresh.digest, plan: "team", at: at("2026-01-20"), as: "t" })
  const { anchorDay, next } = await subscriptionOf(billing, "t")
  t.strictSame([anchorDay, instantText(next?.start ?? 0n), instantText(next?.end ?? 0n)], [10, "2026-01-10T00:00:00Z", "2026-02-10T00:00:00Z"])
  store.set("2026-01-20T00:30:00Z")
  await t.rejects(
    issue(billing, "t", { isEarly: true }).then(() => issue(billing, "t", { isEarly: true })),
    { code: "STELE-BIL-0026", message: /"s", which it goes on from/ },
  )
  await changeSubscription(billing, "t", { what: "pause", at: at("2026-01-25") })
  await changePriceList(billing, "t", { catalogue: fresh.digest, plan: "team", at: at("2026-02-01"), atPeriodEnd: true, as: "u" })
  t.match((await subscriptionOf(billing, "u")).changes, [{ what: "pause", at: at("2026-02-10") }])
  store.set("2026-02-10T03:00:00Z")
  const found = await run()
  // 2 GB for 10 of 31 days, then for 21.
  t.ok(found.find(([id]) => id === "s.20260110.1")?.includes("team/stored 20.00"), JSON.stringify(found))
  t.ok(found.find(([id]) => id === "t.20260110.1")?.includes("team/stored 42.00"), JSON.stringify(found))
  t.strictSame(
    (await projectionOf(billing, "ada", at("2026-02-12"))).map(({ subscription }) => subscription),
    ["u"],
  )
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("a level that comes late, before a price list changed at once, is billed by both lists as one in time is", async (t) => {
  const stored = async (lateAt: string) => {
    const { billing, fresh, run, store } = await opened("2026-01-01")
    await run()
    store.set("2026-01-11")
    await changePriceList(billing, "s", { catalogue: fresh.digest, plan: "team", at: at("2026-01-16") })
    const found: Array<string> = []
    for (const time of [
      "2026-01-11",
      "2026-01-16T03:00:00Z",
      "2026-02-01T03:00:00Z",
      "2026-03-01T03:00:00Z",
      "2026-03-09",
      "2026-04-01T03:00:00Z",
      "2026-05-01T03:00:00Z",
    ]) {
      store.set(time)
      for (const [id, , ...lines] of await run()) for (const line of lines) if (line.startsWith("team/stored")) found.push(`${id} ${line.slice(12)}`)
      if (time === lateAt) await record(billing, { account: "ada", id: "l", at: at("2026-01-10"), name: "stored", quantity: "2" })
    }
    await billing.close()
    return found
  }
  // 2 GB for 6 and 16 of 31 days, then for months.
  const months = ["s.2.20260301.3 62.00", "s.2.20260401.4 62.00"]
  t.strictSame(await stored("2026-01-11"), ["s.20260101.1 12.00", "s.2.20260101.1 32.00", "s.2.20260201.2 62.00", ...months])
  t.strictSame(await stored("2026-01-16T03:00:00Z"), ["s.2.20260101.1 32.00", "s.2.20260201.2 62.00", "s.20260101.2 12.00", ...months])
  t.strictSame(await stored("2026-02-01T03:00:00Z"), ["s.2.20260201.2 32.00", "s.2.20260201.2 62.00", "s.20260101.2 12.00", ...months])
  t.strictSame(
    await stored("2026-03-01T03:00:00Z"),
    ["s.20260101.2 12.00", "s.2.20260301.3 62.00", ...months],
    "the list that follows rates its January no more, and February again",
  )
})

t.test("a level that came too late to cost anything on its own list goes on in the next one", async (t) => {
  const { billing, fresh, run, store } = await opened("2026-01-01")
  await run()
  store.set("2026-01-20")
  await changePriceList(billing, "s", { catalogue: fresh.digest, plan: "team", at: at("2026-01-20"), atPeriodEnd: true })
  store.set("2026-02-01T03:00:00Z")
  await run()
  await record(billing, { account: "ada", id: "l", at: at("2026-01-31T23:59:59Z"), name: "stored", quantity: "2" })
  store.set("2026-03-09")
  // No document of a second of it; 2 GB for all of February.
  t.strictSame(await run(), [["s.2.20260201.1", "124.00", "team/stored 62.00", "team/base 62.00"]])
  t.notOk((await subscriptionOf(billing, "s")).last)
  store.set("2026-04-01T03:00:00Z")
  t.strictSame(await run(), [["s.2.20260301.2", "124.00", "team/stored 62.00", "team/base 62.00"]])
  await billing.close()
})

t.test("what cannot be moved is refused, and nothing is half made", async (t) => {
  const { billing, fresh, store } = await opened("2026-01-01")
  await issue(billing, "s")
  const move = (change: object = {}) => changePriceList(billing, "s", { catalogue: fresh.digest, plan: "team", at: at("2026-01-16"), ...change })
  for (const [run, code, message] of [
    [() => move({ plan: "golden" }), "STELE-BIL-0002", /unknown-plan/],
    [() => move({ catalogue: `sha256:${"0".repeat(64)}` }), "STELE-BIL-0014", /price list/],
    [() => move({ as: "a/b" }), "STELE-BIL-0016", /as/],
    [() => changePriceList(billing, "none", { catalogue: fresh.digest, plan: "team", at: at("2026-01-16") }), "STELE-BIL-0014", /"none"/],
    [() => move({ as: "s" }), "STELE-BIL-0015", /there is one of this id/],
  ] as const)
    await t.rejects(run as () => Promise<unknown>, { code, message }, String(message))
  await changeSubscription(billing, "s", { what: "quantity", charge: "seats", quantity: "2", at: at("2026-01-20") })
  await t.rejects(move(), { code: "STELE-BIL-0016", message: /has changes from 2026-01-16/ })
  store.set("2026-02-02")
  await issue(billing, "s")
  await t.rejects(move({ at: at("2026-01-25") }), { code: "STELE-BIL-0016", message: /is billed/ })
  t.notOk((await subscriptionOf(billing, "s")).successor)
  await t.rejects(subscriptionOf(billing, "s.2"), { code: "STELE-BIL-0014" })
  await billing.close()
})

t.test("terms are not lost beside a move: what has a successor is changed as that, and what waits for a period's end is waited for", async (t) => {
  const { billing, fresh, run, store } = await opened("2026-01-01")
  await run()
  const seats = (quantity: string, time: string, atPeriodEnd = false) =>
    ({ what: "quantity", charge: "seats", quantity, at: at(time), ...(atPeriodEnd ? { atPeriodEnd } : {}) }) as const
  await changeSubscription(billing, "s", seats("5", "2026-01-10", true))
  const move = { catalogue: fresh.digest, plan: "team", at: at("2026-01-16") }
  await t.rejects(changePriceList(billing, "s", move), { code: "STELE-BIL-0016", message: /a change \(quantity\) waits for .*2026-02-01/ })
  await changePriceList(billing, "s", { ...move, atPeriodEnd: true })
  for (const change of [seats("10", "2026-01-20"), { what: "pause", at: at("2026-01-20") }, { what: "cancel", at: at("2026-01-20") }] as const)
    for (const isTried of [true, false])
      await t.rejects(changeSubscription(billing, "s", change, { isTried }), { code: "STELE-BIL-0016", message: /from 2026-02-01.* goes on as "s\.2"/ })
  const before = await subscriptionOf(billing, "s")
  t.strictSame(await changeSubscription(billing, "s", seats("5", "2026-01-10", true)), before, "one that it had is the same again")
  // Zones are the account's: both live in them, and afterwards the successor alone.
  await moveAccount(billing, "ada", "Europe/Vienna", at("2026-01-20"))
  await moveAccount(billing, "ada", "UTC", at("2026-02-20"))
  const zonesIn = async (id: string) => (await subscriptionOf(billing, id)).changes.flatMap((one) => (one.what === "zone" ? [one.zone] : []))
  t.strictSame([await zonesIn("s"), await zonesIn("s.2")], [["Europe/Vienna"], ["Europe/Vienna", "UTC"]])
  await changeSubscription(billing, "s.2", seats("7", "2026-02-10", true))
  store.set("2026-02-02")
  t.strictSame(await run(), [
    ["s.2.20260201.0", "67.00", "team/base 62.00", "team/seats 5.00"],
    ["s.20260101.1", "0.00"],
  ])
  store.set("2026-03-02")
  t.strictSame(await run(), [["s.2.20260201.1", "69.00", "team/base 62.00", "team/seats 7.00"]])
  t.strictSame(await checkLedger(billing), [])
  await billing.close()
})

t.test("an early invoice closes the period that runs, once, and what is to end with that period ends", async (t) => {
  const early = async () => {
    const { billing, fresh } = await opened("2026-01-01")
    await issue(billing, "s")
    const issueEarly = (): Promise<Issued> => issue(billing, "s", { isEarly: true })
    t.match(await issueEarly(), { isNew: true, invoice: { number: "INV-000002", totals: { payable: "31.00" } } })
    await t.rejects(issueEarly(), {
      code: "STELE-BIL-0026",
      message: /next period begins at 2026-02-01T00:00:00Z, and what was before is billed by INV-000002$/,
    })
    t.equal((await subscriptionOf(billing, "s")).sequence, 2, "nothing is billed ahead")
    return { billing, fresh }
  }
  const now = at("2026-01-01T00:01:00Z")
  const [cancelled, moved, upgraded] = [await early(), await early(), await early()]
  await t.rejects(changeSubscription(cancelled.billing, "s", { what: "cancel", at: now }), {
    code: "STELE-BIL-0016",
    reason: { fix: "the earliest that is not billed is --at 2026-02-01T00:00:00Z" },
  })
  const end = at("2026-02-01T00:00:00.000001Z")
  const ended = await changeSubscription(cancelled.billing, "s", { what: "cancel", at: now, atPeriodEnd: true })
  t.strictSame(ended.changes, [{ what: "cancel", at: end }])
  t.strictSame(await changeSubscription(cancelled.billing, "s", { what: "cancel", at: now, atPeriodEnd: true }), ended, "the same again is known")
  t.strictSame(await changeSubscription(cancelled.billing, "s", { what: "cancel", at: at("2026-02-01") }), ended, "as it begins")
  const order = { catalogue: moved.fresh.digest, plan: "team", at: now, atPeriodEnd: true }
  const both = await changePriceList(moved.billing, "s", order)
  t.match(both, { ended: { changes: [{ what: "cancel", at: end }] }, successor: { id: "s.2", start: end } })
  t.strictSame(await changePriceList(moved.billing, "s", order), both)
  const more = await changeSubscription(upgraded.billing, "s", { what: "quantity", charge: "seats", quantity: "3", at: now, atPeriodEnd: true })
  t.strictSame(more.changes, [{ what: "quantity", charge: "seats", quantity: "3", at: at("2026-02-01") }])
  for (const [of, payable] of [
    [cancelled, ["-31.00"]],
    [moved, ["31.00", "62.00", "-31.00"]],
    [upgraded, ["37.00"]],
  ] as const) {
    const store = of.billing.store as ReturnType<typeof storeAt>
    store.set("2026-03-01T03:00:00Z")
    const { failed, issued } = await runBilling(of.billing)
    const found = await Promise.all(issued.toSorted().map(async (id) => (await invoiceOf(of.billing, id)).invoice.totals.payable))
    t.strictSame([failed, found], [[], payable], "what was billed ahead comes back")
    await of.billing.close()
  }
})

t.test("a subscription to a price list in another currency is refused where no rates were given", async (t) => {
  const { billing, old } = await opened("2026-01-01")
  await putAccount(billing, { id: "eve", zone: "UTC", currency: "USD" })
  const agreement = { id: "e", account: "eve", catalogue: old.digest, plan: "team", start: at("2026-01-01") }
  await t.rejects(subscribe(billing, agreement), { code: "STELE-BIL-0027", message: /"eve" in USD: the price list is in EUR/ })
  const rated = openBilling({ host, store: billing.store, entity: "acme", rates: async () => undefined })
  t.match(await subscribe(rated, agreement), { id: "e" }, "a rate may be there when it is billed")
  await rated.close()
  await billing.close()
})
