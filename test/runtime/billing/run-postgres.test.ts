/** The run on a PostgreSQL: three processes that are killed at random, and one whose clock is an hour ahead. @long */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import t from "tap"
import { addCatalogue, invoices, openBilling, putAccount, subscribe } from "../../../runtime/billing/mod.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { migrated, missing, startServer } from "../storage/postgres/server.ts"
import { course } from "./run-processes.ts"
import { openHost } from "./usage.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(900_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  const host = await openHost()
  t.teardown(() => host[Symbol.asyncDispose]())

  t.test("of three processes on PostgreSQL that are killed at random moments no invoice is lost, doubled or changed", async (t) => {
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const found = await course(host, store, service, {
      environment: { PGPASSWORD: password },
      ...(isFull ? { kills: 100, subscriptions: 120 } : { kills: 4, subscriptions: 8 }),
    })
    t.comment(JSON.stringify(found))
    t.match(found, { invoices: found.expected, different: 0, numbers: [], ledger: [] })
    t.ok(found.kills > 0)
    t.strictSame(await store.check(), [])
  })

  t.test("a process whose clock is an hour ahead issues nothing before its time on the server's", async (t) => {
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const billing = openBilling({ host, store, entity: "acme" })
    const month = { unit: "month", count: 1 }
    const charges = [{ id: "base", price: { model: "flat", amount: "5" }, when: "arrears" }]
    const list = { name: "m", version: "1", currency: "EUR", meters: [], plans: [{ id: "p", interval: month, align: "calendar", charges }] }
    const { digest } = await addCatalogue(billing, JSON.stringify(list))
    await putAccount(billing, { id: "ada", zone: "UTC", currency: "EUR" })
    const now = await billing.now()
    const started = new Date(Number(now / 1_000n))
    const lastMonth = BigInt(Date.UTC(started.getUTCFullYear(), started.getUTCMonth() - 1, 1)) * 1_000n
    const thisMonth = BigInt(Date.UTC(started.getUTCFullYear(), started.getUTCMonth(), 1)) * 1_000n
    await subscribe(billing, { id: "s", account: "ada", catalogue: digest, plan: "p", start: lastMonth })
    const program = fileURLToPath(new URL("run-program.ts", import.meta.url))
    const run = (dueInMs: number, skewMs: number): string => {
      const graceMs = Number((now - thisMonth) / 1_000n) + dueInMs
      const { status, stderr, stdout } = spawnSync(process.execPath, [program, service, String(graceMs), String(skewMs)], {
        encoding: "utf8",
        env: { ...process.env, PGPASSWORD: password },
      })
      if (status !== 0) throw new Error(stderr)
      return stdout
    }
    t.equal(run(1_800_000, 3_600_000), "ready\ndone\n", "due in half an hour, which is past by its own clock")
    t.strictSame((await Array.fromAsync(invoices(billing))).length, 0)
    t.match(run(-1_000, -3_600_000), /issued s\./, "due a second ago, which is to come by its own clock")
    t.equal((await Array.fromAsync(invoices(billing))).length, 1)
    await billing.close()
  })
}
