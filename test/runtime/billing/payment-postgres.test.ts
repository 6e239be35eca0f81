/** Invoices paid, sales and refunds on a PostgreSQL by nodes that are killed at random moments. @long */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { isFull } from "../../seed.ts"
import { migrated, missing, startServer } from "../storage/postgres/server.ts"
import { moneyCourse, settled } from "./payment-processes.ts"
import { openHost } from "./usage.ts"

t.setTimeout(600_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const host = await openHost()
  t.teardown(() => host[Symbol.asyncDispose]())

  t.test("nodes on PostgreSQL that are killed while they pay, sell and refund do each once, and the books agree with the provider", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "stele-money-"))
    t.teardown(() => rm(folder, { recursive: true }))
    const { password } = server
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const terms = { environment: { PGPASSWORD: password }, ...(isFull ? { kills: 60, count: 120 } : { kills: 2, count: 6 }) }
    const { done, kills, wanted, ...found } = await moneyCourse(host, store, service, folder, terms)
    t.comment(`${kills} kills`)
    t.ok(kills > 0)
    t.strictSame(done, wanted, "what the provider did")
    t.strictSame(found, settled)
    t.strictSame(await store.check(), [])
  })
}
