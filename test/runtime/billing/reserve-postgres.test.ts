/** Hard caps and the ledger among three processes on a PostgreSQL. */
import t from "tap"
import { checkCaps } from "../../../runtime/billing/reserve.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { migrated, missing, startServer } from "../storage/postgres/server.ts"
import { capOf } from "./cap.ts"
import { course } from "./reserve-processes.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(300_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  t.test("three processes on PostgreSQL never pass a cap, though one's clock is an hour ahead and one was killed before", async (t) => {
    const { password } = server
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const cap = capOf(isFull ? 5_000n : 600n)
    const { drift, held, lost, said, used } = await course(store, service, cap, { PGPASSWORD: password })
    t.comment(`${used} of ${cap.upTo} used, ${lost} were held by the one that was killed, ${held} are held`)
    t.equal(used, BigInt(said), "what the nodes say that their calls used")
    t.ok(used <= cap.upTo)
    t.ok(used > cap.upTo - lost, "what the dead one held has come back")
    t.strictSame(drift, [])
    t.strictSame(await checkCaps({ store, entity: "acme" }), [])
  })
}
