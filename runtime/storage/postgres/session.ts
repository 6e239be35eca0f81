/** What must be so before a session is used: the server's version, the format of the tables, and a role that is held to its tenant. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Address } from "./address.ts"
import type { Connection, Row } from "./connection.ts"
import { format, serverMin, serviceRole, workerRole } from "./schema.ts"

/** Schemas of the store's tables and of services'. */
const ours = "(nspname = 'stele' OR starts_with(nspname, 'stele_sql'))"

/** Membership counts as much as being it: a role can be taken on. */
const question = `
  SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version, current_user::text AS role,
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolsuper AND pg_has_role(current_user, oid, 'MEMBER')) AS is_superuser,
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolbypassrls AND pg_has_role(current_user, oid, 'MEMBER')) AS is_bypassing,
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${serviceRole}' AND pg_has_role(current_user, oid, 'USAGE')) AS is_service,
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '${workerRole}' AND pg_has_role(current_user, oid, 'MEMBER')) AS is_worker,
    EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
      WHERE ${ours} AND (pg_has_role(current_user, relowner, 'MEMBER') OR pg_has_role(current_user, nspowner, 'MEMBER'))) AS is_owner,
    EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = 'stele' AND relname = 'format') AS is_set_up,
    (SELECT min(relname::text) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
      WHERE ${ours} AND relkind IN ('r', 'p') AND relname <> 'format' AND NOT (relrowsecurity AND relforcerowsecurity)) AS open_table,
    CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END AS made_durable`

/** @throws StorageError `Server` */
function checkServer({ name }: Address, row: Row): void {
  if (Number(row["number"]) < serverMin.number) throw new StorageError("Server", { store: name, version: String(row["version"]), known: serverMin.name })
}

/** @throws StorageError `Older`, `Newer` */
async function checkFormat(connection: Connection, { name }: Address, row: Row): Promise<void> {
  if (row["is_set_up"] !== true) throw new StorageError("Older", { store: name, format: 0, known: format })
  const [found] = await connection.one("SELECT number, serves_from FROM stele.format")
  const [number, servesFrom] = [Number(found?.["number"] ?? 0), Number(found?.["serves_from"] ?? 0)]
  if (number < format) throw new StorageError("Older", { store: name, format: number, known: format })
  // The version after this one may have added what this one need not know of.
  if (servesFrom > format) throw new StorageError("Newer", { store: name, format: number, known: format })
}

/**
 * A session for services: its role goes past no policy, and has no way to.
 * @throws StorageError `Server`, `Older`, `Newer`, `Role`
 */
export async function checkService(connection: Connection, address: Address): Promise<void> {
  const [row = {}] = await connection.one(question)
  checkServer(address, row)
  const role = String(row["role"])
  const refuse = (detail: string): never => {
    throw new StorageError("Role", { store: address.name, role, detail, wanted: serviceRole })
  }
  // Before the format: whoever may see everything is told so, whatever the tables are.
  if (row["is_superuser"] === true) refuse("it is, or can act as, a superuser, whom row-level security does not hold")
  if (row["is_bypassing"] === true) refuse("it has, or can act as one that has, BYPASSRLS: row-level security does not hold it")
  if (row["is_owner"] === true) refuse("it is, or can act as, the owner of the tables, who may change what keeps tenants apart")
  if (row["is_worker"] === true) refuse(`it is, or can act as, "${workerRole}", which sees all tenants`)
  await checkServiceTables(connection, address, row, refuse)
}

async function checkServiceTables(connection: Connection, address: Address, row: Row, refuse: (detail: string) => never): Promise<void> {
  if (row["is_set_up"] === true && row["is_service"] !== true) refuse("it has no rights on the tables")
  await checkFormat(connection, address, row)
  if (row["open_table"] !== null) refuse(`row-level security is not forced on the table "${row["open_table"] as string}"`)
}

/**
 * A session for what concerns all tenants.
 * @throws StorageError `Server`, `Older`, `Newer`, `Role`
 */
export async function checkWorker(connection: Connection, address: Address): Promise<void> {
  const [row = {}] = await connection.one(question)
  checkServer(address, row)
  const sees = row["is_worker"] === true || row["is_superuser"] === true || row["is_bypassing"] === true
  if (!sees && row["is_set_up"] === true)
    throw new StorageError("Role", { store: address.name, role: String(row["role"]), detail: "it sees one tenant at a time", wanted: workerRole })
  await checkFormat(connection, address, row)
}
