/** The run: months at once, several nodes, and three processes on SQLite that are killed at random. @long */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { invoices, openBilling, runBilling, serveBilling } from "../../../runtime/billing/mod.ts"
import { checkLedger } from "../../../runtime/billing/ledger-check.ts"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { course, setUp } from "./run-processes.ts"
import { openHost } from "./usage.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(600_000)
const host = await openHost()
t.teardown(() => host[Symbol.asyncDispose]())

t.test("three runs at once over one store issue each invoice once", async (t) => {
  await using store = new MemoryStore()
  const billing = await setUp(host, store, 6)
  const others = [1, 2].map(() => openBilling({ host, store, entity: "acme", limits: { graceMs: 3_600_000 } }))
  const reports = await Promise.all([billing, ...others].map((one) => runBilling(one)))
  t.strictSame(
    reports.flatMap(({ failed }) => failed),
    [],
  )
  const issued = reports.flatMap((report) => report.issued)
  t.equal(new Set(issued).size, issued.length)
  t.equal(issued.length, 30)
  t.equal((await Array.fromAsync(invoices(billing))).length, 30)
  t.strictSame(await checkLedger(billing), [])
  t.strictSame((await runBilling(billing)).issued, [], "nothing is left")
  for (const one of [billing, ...others]) await one.close()
})

t.test("`serveBilling()` runs once a day in one of those that serve", async (t) => {
  await using store = new MemoryStore()
  const billing = await setUp(host, store, 1)
  const end = new AbortController()
  let runs = 0
  const serve = (): Promise<void> =>
    serveBilling(billing, { signal: end.signal, lookMs: 5, onRun: () => void (runs++ === 0 && setTimeout(() => end.abort(), 300)) })
  await Promise.all([serve(), serve()])
  t.equal(runs, 1)
  t.equal((await Array.fromAsync(invoices(billing))).length, 5)
  await billing.close()
})

t.test("of three processes on SQLite that are killed at random moments no invoice is lost, doubled or changed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-billing-"))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, "store.db")
  await using store = await SqliteStore.open(path)
  const found = await course(host, store, path, isFull ? { kills: 100, subscriptions: 120 } : { kills: 5, subscriptions: 12 })
  t.comment(JSON.stringify(found))
  t.match(found, { invoices: found.expected, different: 0, numbers: [], ledger: [] })
  t.ok(found.kills > 0)
  t.strictSame(await store.check(), [])
})
