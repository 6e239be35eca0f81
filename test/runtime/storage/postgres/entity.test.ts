/** Entities among three processes on a PostgreSQL. */
import t from "tap"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { course, said } from "../../service/entity-processes.ts"
import { migrated, missing, startServer } from "./server.ts"
import { isFull } from "../../../seed.ts"

t.setTimeout(600_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  const run = async (
    t: { comment(text: string): void; strictSame(found: unknown, wanted: unknown): boolean },
    mode: "KEEP" | "BLIND" | "DROP",
    entities: number,
    messages: number,
  ) => {
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const found = await course(store, service, { mode, entities, messages, environment: { PGPASSWORD: password } })
    t.comment(said(mode, found))
    t.strictSame(await store.check(), [])
    return found
  }
  t.test("of three processes on PostgreSQL each message takes effect once and in order when one is stopped past its lease and one is killed", async (t) => {
    t.strictSame((await run(t, "KEEP", isFull ? 200 : 60, isFull ? 50 : 10)).wrong, [])
  })
  t.test("the same when the one that was stopped never notices, and not without the token of its shards", async (t) => {
    t.strictSame((await run(t, "BLIND", isFull ? 100 : 40, 10)).wrong, [])
    t.ok((await run(t, "DROP", isFull ? 100 : 40, 10)).wrong.length > 0, "states that were kept in memory go over what others have written")
  })
}
