/** Leases among three processes on a PostgreSQL. */
import t from "tap"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { course } from "../../service/lease-processes.ts"
import { migrated, missing, startServer } from "./server.ts"

t.setTimeout(300_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  const run = async (t: { comment(text: string): void; strictSame(found: unknown, wanted: unknown): boolean }, fence: "KEEP" | "DROP") => {
    const { service, worker } = await migrated(server)
    await using store = await PostgresStore.open(service, { password, worker, connectionsMax: 2 })
    const found = await course(store, service, fence, { PGPASSWORD: password })
    t.strictSame(await store.check(), [])
    t.comment(
      `${fence}: ${found.tokens.length} writes of ${found.leaders} leaders, ${found.refused} refused, ${found.stale} stale, takeover ${found.takeoverMs.toFixed(0)} ms`,
    )
    return found
  }
  t.test("of three processes on PostgreSQL no two write under the lease at a time when one is stopped past it and one is killed", async (t) => {
    const found = await run(t, "KEEP")
    t.equal(found.stale, 0, "none of a token that is not the newest")
    t.ok(found.refused >= 1, "the one that was stopped was refused")
    t.ok(found.leaders >= 2 && new Set(found.tokens).size >= 3)
    t.ok((await run(t, "DROP")).stale > 0, "without the fence the one that was stopped writes after the next")
  })
}
