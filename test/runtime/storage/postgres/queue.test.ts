import { writeFileSync } from "node:fs"
import { chmod } from "node:fs/promises"
import { join } from "node:path"
import t from "tap"
import type { Operation, Question } from "../../../../runtime/port/store.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { type Clockwork, mondayUs, type QueueCase, queueCases } from "../queue-cases.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"

t.setTimeout(600_000)

/** A database whose clock is a file: its roles find another `clock_timestamp()` before the server's own. */
async function clockwork(server: Server): Promise<{ readonly database: Database; set(us: number): void; empty(): void }> {
  const database = await migrated(server)
  const path = join(server.socket, `${database.name}.clock`)
  const set = (us: number): void => writeFileSync(path, String(Math.round(us)))
  set(mondayUs)
  await chmod(path, 0o644)
  server.sql(
    `CREATE SCHEMA clock; GRANT USAGE ON SCHEMA clock TO PUBLIC;
    CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE SECURITY DEFINER AS $$ SELECT 'epoch'::timestamptz + interval '1 microsecond' * pg_read_file('${path}')::bigint $$;
    ALTER ROLE stele_service IN DATABASE ${database.name} SET search_path = clock, pg_catalog;
    ALTER ROLE stele_worker IN DATABASE ${database.name} SET search_path = clock, pg_catalog`,
    database.name,
  )
  const names = server
    .sql("SELECT string_agg('stele.' || relname, ', ') FROM pg_class WHERE relnamespace = 'stele'::regnamespace AND relkind = 'r' AND relname <> 'format'", database.name)
  return { database, set, empty: () => void server.sql(`TRUNCATE ${names}`, database.name) }
}

function tests(server: Server): void {
  const { password } = server

  t.test("the rules of queues hold on a server", async (t) => {
    const { database, set, empty } = await clockwork(server)
    for (const { title, limits = {}, run } of queueCases) {
      await using store = await PostgresStore.open(database.service, { password, worker: database.worker, connectionsMax: 2, ...limits })
      let nowUs = mondayUs
      set(nowUs)
      const opened = {
        get nowUs() {
          return nowUs
        },
        set nowUs(us) {
          nowUs = us
          set(us)
        },
        apply: (batch: ReadonlyArray<Operation>) => store.applySync(batch),
        ask: (question: Question) => store.askSync(question),
        // The tenant's rows remember the time, not the process.
        reopen() {},
      }
      t.doesNotThrow(() => run(opened as unknown as Clockwork), title)
      t.same(await store.check(), [], title)
      empty()
    }
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  tests(server)
}
