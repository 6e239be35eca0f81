/**
 * A PostgreSQL database as something whose services' tables can be migrated: by the role that owns it, over a session of its own.
 * Each step is a transaction, in which everything in the service's schema is held against the rules before it is committed.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Store } from "../../port/store.ts"
import type { MigrationTarget, MigrationStatement } from "../../service/migrate.ts"
import { checkService } from "../sql-statement.ts"
import { type Address, parseAddress } from "./address.ts"
import { Connection, type ConnectionSettings, type Row, ServerError } from "./connection.ts"
import { isContended, storageError } from "./failure.ts"
import { permitted } from "./migrate.ts"
import { pause } from "./pool.ts"
import { format } from "./schema.ts"
import { policiesSql, refusedState, seeingRole, settleSql, spaceOf, spaceSql } from "./sql-schema.ts"

/** "sqlm": one migrates at a time, whatever the service: roles and functions are shared. */
const lockKey = 0x7371_6c6dn
/** How often a step is tried that could not have a table's lock, since services use it. */
const attemptsMax = 20
/** How long one statement of a migration may take, ms: a table is filled anew. */
const statementMsMax = 4 * 3_600_000

export interface OwnedTarget extends MigrationTarget, AsyncDisposable {
  close(): Promise<void>
}

/** Makes roles, schema and functions of a service, or brings them to this version. @throws StorageError `Older`, `Privilege` */
async function makeSpace(connection: Connection, store: string, service: string): Promise<void> {
  const [found] = await connection.one("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'stele_sql') AS is_there")
  if (found?.["is_there"] !== true) throw new StorageError("Older", { store, format: 0, known: format })
  for (const role of [spaceOf(service), seeingRole(service)]) {
    const [is] = await connection.one(
      "SELECT pg_has_role(current_user, oid, 'MEMBER') AS is_member, rolsuper OR rolbypassrls OR rolcanlogin AS is_more FROM pg_catalog.pg_roles WHERE rolname = $1",
      [role],
    )
    if (is?.["is_more"] === true)
      throw new StorageError("Role", {
        store,
        role,
        detail: "a service's statements would run with its rights",
        wanted: `${role} without LOGIN, SUPERUSER and BYPASSRLS`,
      })
    if (is === undefined) await makeRole(connection, store, role)
    if (is?.["is_member"] !== true) await permitted(connection, store, `GRANT ${role} TO CURRENT_USER`)
  }
  await permitted(connection, store, spaceSql(service), "GRANT CREATE ON DATABASE … TO …, for the role that migrates")
}

/** Roles are the server's: another database may make it at the same moment. */
async function makeRole(connection: Connection, store: string, role: string): Promise<void> {
  try {
    await permitted(connection, store, `CREATE ROLE ${role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION`)
  } catch (error) {
    if (!(error instanceof ServerError && (error.sqlState === "42710" || error.sqlState === "23505"))) throw error
  }
}

/** Everything in one transaction, which leaves the schema as the rules want it. @throws ServerError; StorageError `SqlForbidden` */
async function step(
  connection: Connection,
  store: string,
  service: string,
  statements: ReadonlyArray<MigrationStatement>,
  shared: ReadonlyArray<string>,
): Promise<void> {
  const begin = [
    { sql: "BEGIN ISOLATION LEVEL READ COMMITTED" },
    { sql: "SELECT pg_advisory_xact_lock($1)", parameters: [lockKey] },
    { sql: `SELECT set_config('search_path', '${spaceOf(service)}', true)` },
    { sql: policiesSql(service) },
  ]
  try {
    const before = new Set((await connection.all(begin)).at(-1)?.rows.map(({ policy }) => policy))
    const after = await connection.all([...statements.map(({ text, params = [] }) => ({ sql: text, parameters: params })), { sql: policiesSql(service) }])
    const changed = after.at(-1)?.rows.find(({ policy }) => !before.has(policy))
    if (changed !== undefined)
      throw new StorageError("SqlForbidden", { store, service, detail: `a policy of "${changed["relname"] as string}" was made or changed` })
    await connection.one(settleSql(service, shared))
    const [answer] = await connection.all([{ sql: "COMMIT" }])
    if (answer?.command !== "COMMIT") throw new StorageError("Failed", { store, detail: "the server rolled the step back" })
  } catch (error) {
    if (!connection.isDead) await connection.run([{ sql: "ROLLBACK" }, { sql: "RESET ALL" }])
    if (error instanceof ServerError && error.sqlState === refusedState)
      throw new StorageError("SqlForbidden", { store, service, detail: error.message }, { cause: error })
    throw error
  }
}

/** What the target asks of a connection that acts as the owner. */
export async function migrateStep(
  connection: Connection,
  store: string,
  service: string,
  statements: ReadonlyArray<MigrationStatement>,
  shared: ReadonlyArray<string>,
): Promise<void> {
  checkService(service)
  for (let attempt = 1; ; attempt++) {
    try {
      return await step(connection, store, service, statements, shared)
    } catch (error) {
      if (!isContended(error) || attempt >= attemptsMax) throw error
      await pause(attempt)
    }
  }
}

export async function migrateSpace(connection: Connection, store: string, service: string): Promise<void> {
  checkService(service)
  await connection.one("SELECT pg_advisory_lock($1)", [lockKey])
  try {
    await makeSpace(connection, store, service)
  } finally {
    if (!connection.isDead) await connection.run([{ sql: "SELECT pg_advisory_unlock($1)", parameters: [lockKey] }])
  }
}

/** What the server says of a statement, or what went wrong with the server. */
export function faultOf(address: Address, service: string, error: unknown): Error {
  if (error instanceof ServerError && error.sqlState !== undefined && !error.isLost)
    return new StorageError("Sql", { store: address.name, service, sqlState: error.sqlState, detail: error.message }, { cause: error })
  return storageError(address, error)
}

/** Reads as the owner, of this service's schema. */
export async function migrateRows(connection: Connection, service: string, text: string): Promise<ReadonlyArray<Row>> {
  checkService(service)
  await connection.one(`SELECT set_config('search_path', '${spaceOf(service)}', false)`)
  return await connection.one(text)
}

/**
 * Opens a session as the owner of the database that `migratePostgres` has set up.
 * @throws ConfigError for the service's name; StorageError `Address`, `PasswordShown`, `Unreachable`, `Login`, `NoDatabase`, `Older`, `Role`, `Privilege`
 */
export async function postgresTarget(address: string, service: string, { password }: { readonly password?: string } = {}): Promise<OwnedTarget> {
  return await targetOver({ address: parseAddress(address), password, statementMsMax }, service)
}

async function targetOver(settings: ConnectionSettings, service: string): Promise<OwnedTarget> {
  checkService(service)
  const { address } = settings
  let connection: Connection | undefined
  const known = async <A>(run: (connection: Connection) => Promise<A>): Promise<A> => {
    try {
      // A step after one whose session was lost finds out what became of it, over another.
      if (connection === undefined || connection.isDead) connection = await Connection.open(settings)
      return await run(connection)
    } catch (error) {
      throw faultOf(address, service, error)
    }
  }
  const close = async (): Promise<void> => connection?.close()
  let isMade = false
  return {
    name: address.name,
    dialect: "postgres",
    batch: (statements, shared = []) =>
      known(async (connection) => {
        if (!isMade) await migrateSpace(connection, address.name, service)
        isMade = true
        await migrateStep(connection, address.name, service, statements, shared)
      }),
    rows: (text) => known((connection) => migrateRows(connection, service, text)),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** The same database as a service sees it: what was migrated can be asked, and nothing migrated. For `ensureMigrated`. */
export const servedTarget = (store: Store, service: string): MigrationTarget => ({
  name: store.name,
  dialect: "postgres",
  batch() {
    throw new StorageError("Role", {
      store: store.name,
      role: spaceOf(service),
      detail: "it makes no tables",
      wanted: "the owner of the database, by postgresTarget",
    })
  },
  async rows(text) {
    try {
      return ((await store.ask({ ask: "sql", service, text })) ?? []) as ReadonlyArray<Readonly<Record<string, unknown>>>
    } catch (error) {
      // No migration was ever run.
      if (error instanceof StorageError && error.reason._tag === "MigrationPending") return []
      throw error
    }
  },
})
