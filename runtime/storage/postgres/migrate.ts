/** Setting a store up, or taking it to this version's format: as the role that owns the database, and never unasked. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { parseAddress } from "./address.ts"
import { Connection, type ConnectionSettings, ServerError } from "./connection.ts"
import { storageError } from "./failure.ts"
import { format, migrations, serverMin, serviceRole, workerRole } from "./schema.ts"

const { createHash, createHmac, pbkdf2Sync, randomBytes } = process.getBuiltinModule("node:crypto")

export interface MigrateOptions {
  /** Of the role that migrates. */
  readonly password?: string
  /** For roles that are not there yet; ASCII. Without one a role cannot log in by password. */
  readonly servicePassword?: string
  readonly workerPassword?: string
  /** Say what would be done, and do nothing. */
  readonly isDryRun?: boolean
}

export interface Migrated {
  readonly from: number
  readonly to: number
  /** Roles that were made, or with `isDryRun` would be. */
  readonly roles: ReadonlyArray<string>
  /** What services use from now on. */
  readonly address: string
}

/** "Stel": nobody else on the server takes this lock. */
const lockKey = 0x5374_656cn

/** RFC 5802, section 3, in the form that PostgreSQL keeps: the password itself reaches no server and no log. */
function verifierOf(password: string): string {
  if (!/^[\x20-\x7e]+$/.test(password)) throw new StorageError("Login", { store: "", user: serviceRole, detail: "its password is not printable ASCII" })
  const salt = randomBytes(16)
  const iterations = 4_096
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256")
  const keyed = (text: string): Buffer => createHmac("sha256", salted).update(text).digest()
  const stored = createHash("sha256").update(keyed("Client Key")).digest("base64")
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${stored}:${keyed("Server Key").toString("base64")}`
}

/**
 * Makes schema, roles and tables, or what is missing of them; says from which format to which. Others that migrate wait.
 * @throws StorageError `Address`, `PasswordShown`, `Unreachable`, `Login`, `NoDatabase`, `Server`, `Newer`, `Foreign`, `Role`, `Privilege`
 */
export async function migratePostgres(address: string, { password, ...passwords }: MigrateOptions = {}): Promise<Migrated> {
  return await migrateOver({ address: parseAddress(address), password }, passwords)
}

export async function migrateOver(settings: ConnectionSettings, { isDryRun = false, ...passwords }: Omit<MigrateOptions, "password"> = {}): Promise<Migrated> {
  const { address } = settings
  let connection: Connection | undefined
  try {
    connection = await Connection.open(settings)
    const [server] = await connection.one("SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version")
    if (Number(server?.["number"]) < serverMin.number)
      throw new StorageError("Server", { store: address.name, version: String(server?.["version"]), known: serverMin.name })
    await connection.one("SELECT pg_advisory_lock($1)", [lockKey])
    const roles = await makeRoles(connection, address.name, passwords, isDryRun)
    const from = await formatOf(connection, address.name)
    if (!isDryRun) for (let next = from; next < migrations.length; next++) await migrateOne(connection, next, address.name)
    return { from, to: format, roles, address: address.name.replace(/\/\/[^@]*@/, `//${serviceRole}@`) }
  } catch (error) {
    throw storageError(address, error)
  } finally {
    await connection?.close()
  }
}

/** Missing rights are said with the statement that somebody else has to run. */
export async function permitted(connection: Connection, store: string, sql: string, shown = sql): Promise<void> {
  try {
    await connection.one(sql)
  } catch (error) {
    if (error instanceof ServerError && error.sqlState === "42501")
      throw new StorageError("Privilege", { store, detail: error.message, statement: shown }, { cause: error })
    throw error
  }
}

async function makeRoles(
  connection: Connection,
  store: string,
  passwords: Pick<MigrateOptions, "servicePassword" | "workerPassword">,
  isDryRun: boolean,
): Promise<ReadonlyArray<string>> {
  const made: Array<string> = []
  for (const [role, password] of [
    [serviceRole, passwords.servicePassword],
    [workerRole, passwords.workerPassword],
  ] as const) {
    const [found] = await connection.one("SELECT rolsuper OR rolbypassrls AS is_above FROM pg_catalog.pg_roles WHERE rolname = $1", [role])
    if (found?.["is_above"] === true)
      throw new StorageError("Role", { store, role, detail: "row-level security does not hold it", wanted: `${role}, NOSUPERUSER and NOBYPASSRLS` })
    if (isDryRun) {
      if (found === undefined) made.push(role)
    } else if (found === undefined) {
      const create = `CREATE ROLE ${role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION`
      await permitted(connection, store, password === undefined ? create : `${create} PASSWORD '${verifierOf(password)}'`, `CREATE ROLE ${role} LOGIN`)
      made.push(role)
    } else if (password !== undefined) {
      await permitted(connection, store, `ALTER ROLE ${role} PASSWORD '${verifierOf(password)}'`, `ALTER ROLE ${role} PASSWORD …`)
    }
  }
  return made
}

/** The format found; an empty database has 0. @throws StorageError `Newer`, `Foreign` */
async function formatOf(connection: Connection, store: string): Promise<number> {
  const [found] = await connection.one(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'stele') AS has_schema, EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = 'stele' AND relname = 'format') AS has_format",
  )
  if (found?.["has_format"] !== true) {
    if (found?.["has_schema"] === true) throw new StorageError("Foreign", { store })
    return 0
  }
  const number = Number((await connection.one("SELECT number FROM stele.format"))[0]?.["number"] ?? 0)
  if (number > format) throw new StorageError("Newer", { store, format: number, known: format })
  return number
}

/** One migration and its number, or nothing of it: a block is one statement, and a statement a transaction. */
async function migrateOne(connection: Connection, from: number, store: string): Promise<void> {
  const { sql, servesFrom } = migrations[from] as (typeof migrations)[number]
  const first = `CREATE SCHEMA stele; CREATE TABLE stele.format (number integer NOT NULL, serves_from integer NOT NULL, floor bigint NOT NULL DEFAULT 0, fence_to text, fence_state text CHECK ((fence_to IS NULL) = (fence_state IS NULL)), is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only)); INSERT INTO stele.format (number, serves_from) VALUES (0, 0);`
  const block = `DO $stele$ BEGIN ${from === 0 ? first : ""} ${sql} UPDATE stele.format SET number = ${from + 1}, serves_from = ${servesFrom}; END $stele$`
  await permitted(connection, store, block, "GRANT CREATE ON DATABASE … TO …, for the role that migrates")
}
