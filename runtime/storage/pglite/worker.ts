/** The thread that PGlite runs in: it computes while it answers, and its caller's thread goes on. */
import { serve } from "../bridge.ts"
import type { Address } from "../postgres/address.ts"
import type { Connection } from "../postgres/connection.ts"
import type { MigrationStatement } from "../../service/migrate.ts"
import { faultOf, migrateRows, migrateSpace, migrateStep } from "../postgres/migration-target.ts"
import { Overseer } from "../postgres/overseer.ts"
import type { Pool } from "../postgres/pool.ts"
import { Ring } from "../postgres/queue-ring.ts"
import { serviceRole, workerRole } from "../postgres/schema.ts"
import { type Opening as OpeningOfServer, serveStore } from "../postgres/worker.ts"
import { type Cluster, openCluster } from "./cluster.ts"
import { streamsOver } from "./stream.ts"

const { isMainThread, workerData } = process.getBuiltinModule("node:worker_threads")

/** What the thread is started with. */
export interface Opening extends Pick<OpeningOfServer, "limits" | "pendingMax" | "line"> {
  readonly kind: "stele-pglite"
  readonly address: Address
  /** Undefined: in memory. */
  readonly path: string | undefined
  /** URL of the package, where it is not found by its name. */
  readonly driver: string | undefined
}

/** There is one session: it acts as another role for as long as it is lent. */
const actingAsWorker = (pool: Pool): ConstructorParameters<typeof Overseer>[0] => ({
  address: pool.address,
  use: <A>(use: (connection: Connection) => Promise<A>) =>
    pool.use(async (connection) => {
      await connection.one(`SET ROLE ${workerRole}`)
      try {
        return await use(connection)
      } finally {
        // A session that might still be the worker serves no tenant.
        await connection.one(`SET ROLE ${serviceRole}`).catch(() => connection.abandon())
      }
    }),
  close: () => pool.close(),
})

interface Migrating {
  readonly service: string
}

/** The owner is whom the session is of. */
const migrating = (pool: Pool) => {
  const asOwner = <A>(service: string, run: (connection: Connection) => Promise<A>): Promise<A> =>
    pool.use(async (connection) => {
      await connection.one("RESET ROLE")
      try {
        return await run(connection)
      } catch (error) {
        throw faultOf(pool.address, service, error)
      } finally {
        await connection.all([{ sql: "RESET ALL" }, { sql: `SET ROLE ${serviceRole}` }]).catch(() => connection.abandon())
      }
    })
  return {
    migrate: ({
      service,
      statements,
      shared,
    }: Migrating & { readonly statements: ReadonlyArray<MigrationStatement>; readonly shared: ReadonlyArray<string> }) =>
      asOwner(service, async (connection) => {
        await migrateSpace(connection, pool.address.name, service)
        await migrateStep(connection, pool.address.name, service, statements, shared)
      }),
    migrated: ({ service, text }: Migrating & { readonly text: string }) => asOwner(service, (connection) => migrateRows(connection, service, text)),
  }
}

async function run(opening: Opening): Promise<void> {
  const { address, path, driver, line } = opening
  let cluster: Cluster
  try {
    cluster = await openCluster(address, path, driver)
  } catch (error) {
    return serve(line, { open: () => Promise.reject(error as Error) }, async () => {})
  }
  serveStore(
    { ...opening, worker: undefined, connectionsMax: 1 },
    { address, password: undefined, stream: streamsOver(cluster.instance), role: serviceRole },
    {
      overseer: (pool) => new Overseer(actingAsWorker(pool), opening.limits),
      ring: (pool, writer) => new Ring(actingAsWorker(pool), opening.limits.queue, (batch) => writer.apply(batch)),
      more: migrating,
      after: () => cluster.close(),
    },
  )
}

const opening = workerData as Opening | null
if (!isMainThread && opening?.kind === "stele-pglite") await run(opening)
