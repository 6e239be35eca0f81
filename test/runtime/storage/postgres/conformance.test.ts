import t from "tap"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { conformance } from "../suite/conformance.ts"
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
        const { service, worker } = await migrated(server)
        return await PostgresStore.open(service, { password, worker, ...limits, connectionsMax: 2 })
      },
    },
  ])
}
