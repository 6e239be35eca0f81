/** The store on each engine: from the sources, and from the bundle where it is built. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import t from "tap"
import { PostgresReader } from "../../../../runtime/storage/postgres/mod.ts"
import { answer, engines } from "../../../host/engine.ts"
import { migrated, missing, startServer } from "./server.ts"

t.setTimeout(300_000)
const why = await missing()
const bundle = fileURLToPath(new URL("../../../../dist/mod.js", import.meta.url))
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  const { password } = server
  for (const engine of engines)
    t.test(`PostgresStore writes, blocks and reads when ${engine} runs it`, async (t) => {
      const database = await migrated(server)
      const found = await answer(engine, "../runtime/storage/postgres/engine-program.ts", [database.service, ...(existsSync(bundle) ? [bundle] : [])], {
        env: { PGPASSWORD: password },
      })
      t.same(found, { blocking: "of a guest", keys: ["awaited", "blocking", "key 1", "key 2", "key 3"], isBundled: existsSync(bundle) })
      await using reader = await PostgresReader.open(database.worker, { password })
      t.same(await reader.check(), [])
    })
}
