// @long
import t from "tap"
import { postgresTarget, PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { conformance } from "../suite/conformance.ts"
import { sqlBackends } from "../suite/sql.ts"
import { migrated, missing, startServer } from "./server.ts"

t.setTimeout(600_000)
const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  conformance(t, [
    {
      name: "postgres",
      async open(limits) {
        const { owner, service, worker } = await migrated(server)
        const store = await PostgresStore.open(service, { password, worker, ...limits, connectionsMax: 2 })
        sqlBackends.set(store, { dialect: "postgres", target: (name) => postgresTarget(owner, name, { password }) })
        return store
      },
    },
  ])
}
