/** The cases of stores on PostgreSQL. A short run has a third of them, and PGlite another, which is the same store over another server: all with `--full`. @long */
import t from "tap"
import { postgresTarget, PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { sampled } from "../../../seed.ts"
import { conformance, storeCases } from "../suite/conformance.ts"
import { sqlBackends } from "../suite/sql.ts"
import { migrated, missing, startServer } from "./server.ts"

t.setTimeout(600_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  const taken = new Set(sampled(storeCases, 3, 1))
  conformance(t, [
    {
      name: "postgres",
      skips: new Set(storeCases.filter((each) => !taken.has(each)).map(({ title }) => title)),
      async open(limits) {
        const { owner, service, worker } = await migrated(server)
        const store = await PostgresStore.open(service, { password, worker, ...limits, connectionsMax: 2 })
        sqlBackends.set(store, { dialect: "postgres", target: (name) => postgresTarget(owner, name, { password }) })
        return store
      },
    },
  ])
}
