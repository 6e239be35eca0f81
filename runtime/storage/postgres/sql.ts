/** A service's statements as what the server is sent for them, and what it answers: rows, or why not. */
import { CapabilityError } from "../../../schemas/error/capability.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { SqlLimits, SqlQuestion, SqlResults, SqlRows, SqlStatement } from "../../port/sql.ts"
import { checkStatement } from "../sql-statement.ts"
import { type Answer, type Connection, ServerError, type Statement } from "./connection.ts"
import { isContended } from "./failure.ts"
import { rowsOfSql } from "./sql-rows.ts"
import { runOf, runOfAll, rowsState } from "./sql-schema.ts"
import { parsed } from "./sql-text.ts"
import { bind, hexOf } from "./tenant.ts"

/** What a statement may begin with: it reads or writes rows. Everything else is for migrations, or for nobody. */
const words = new Set(["select", "insert", "update", "delete", "merge", "with", "values", "table"])
/** Before the transaction goes on as the store: nothing that a statement left in the session is there any more, and commits wait for the disk. */
const cleaning: ReadonlyArray<Statement> = [
  { sql: "RESET ALL" },
  { sql: "SELECT pg_advisory_unlock_all(), CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', false) END" },
  { sql: "DISCARD TEMP" },
]

/** What a statement may have taken that no rollback lets go of. */
export const unlocked: Statement = { sql: "SELECT pg_advisory_unlock_all()" }

interface Asker {
  readonly store: string
  readonly limits: SqlLimits
  readonly tenant: Uint8Array
}

/** A statement as those that the server is sent: one, or of a script some. @throws ConfigError; StorageError `Sql`, `SqlForbidden` */
function sent({ store, limits }: Omit<Asker, "tenant">, statement: SqlStatement, run: string): ReadonlyArray<Statement> {
  checkStatement(statement, limits)
  const { service, text, params = [], isScript = false } = statement
  const { statements, values, missing } = parsed(text, params)
  const refuse = (sqlState: string, detail: string): never => {
    throw new StorageError("Sql", { store, service, sqlState, detail })
  }
  if (missing !== undefined) refuse("42P02", `there is no value for ${missing}`)
  if (statements.length === 0) refuse("42601", "there is no statement")
  if (statements.length > 1 && !isScript) refuse("42601", "there are several statements")
  return statements.map(({ text, word }) => {
    if (!words.has(word))
      throw new StorageError("SqlForbidden", { store, service, detail: `it begins with "${word.slice(0, 100)}", and not with one of ${[...words].join(", ")}` })
    const { integers, numbers, texts, bytes } = values
    return {
      sql: `SELECT names, body, changes FROM ${run}($1::text, $2::bigint[], $3::double precision[], $4::text[], $5::bytea[], $6::bigint)`,
      parameters: [text, integers, numbers, texts, bytes, BigInt(limits.rowsMax)],
    }
  })
}

/** What the server's refusal means. What is no fault of the statement is given back as it is. */
export function refusalOf(store: string, { service }: Pick<SqlStatement, "service">, limits: SqlLimits, error: ServerError): Error {
  const { sqlState = "", message, isLost } = error
  if (isLost || isContended(error) || /^(53|57P|58|XX)/.test(sqlState)) return error
  // The function is not there, or the schema: no migration was run. A statement's own names are looked for in it.
  if ((sqlState === "42883" || sqlState === "3F000") && message.includes(runOf(service).slice("stele_sql.".length)))
    return new StorageError("MigrationPending", { store, service, number: 0, known: 1 }, { cause: error })
  if (sqlState === rowsState)
    return new CapabilityError("PortLimit", { port: "sql", limit: "rowsMax", unit: "rows", max: limits.rowsMax, actual: limits.rowsMax + 1 })
  if (sqlState === "57014") return new StorageError("Preempted", { store, detail: `a statement has run for ${limits.transactionMsMax} ms` }, { cause: error })
  if (sqlState === "42501") return new StorageError("SqlForbidden", { store, service, detail: message }, { cause: error })
  return new StorageError("Sql", { store, service, sqlState, detail: message }, { cause: error })
}

/** Does the server say that a statement writes in a transaction that reads? */
const isWrite = (error: ServerError): boolean => error.sqlState === "25006"

const timed = (ms: number): Statement => ({ sql: "SELECT set_config('statement_timeout', $1, true)", parameters: [String(Math.max(1, Math.ceil(ms)))] })
const bound = (tenant: Uint8Array): Statement => ({ sql: "SELECT stele_sql.bind($1)", parameters: [hexOf(tenant)] })

function resultOf(store: string, statement: SqlStatement, answers: ReadonlyArray<Answer>): SqlResults["sql"] {
  const last = (answers.at(-1) as Answer).rows
  if (statement.isScript === true) return { rows: [], changes: 0 }
  return { rows: rowsOfSql(store, statement, last.slice(0, -1)), changes: Number(last.at(-1)?.["changes"] ?? 0) }
}

/**
 * Carries statements out, in order, in the connection's transaction, which then is the store's again and bound to the tenant.
 * @throws what one of them is refused for, after which the transaction has failed; ServerError
 */
export async function runSql(
  asker: Asker,
  connection: Connection,
  statements: ReadonlyArray<SqlStatement>,
  msMax: number = asker.limits.transactionMsMax,
): Promise<ReadonlyArray<SqlResults["sql"]>> {
  const { store, tenant, limits } = asker
  const each = statements.map((statement) => sent(asker, statement, runOf(statement.service)))
  const [before, after] = [
    [bound(tenant), timed(msMax)],
    [...cleaning, bind(tenant)],
  ]
  const answers = await connection.run(each.flatMap((own) => [...before, ...own, ...after]))
  const failed = (statement: SqlStatement, found: ReadonlyArray<Answer | ServerError>): void => {
    for (const answer of found) if (answer instanceof ServerError) throw refusalOf(store, statement, limits, answer)
  }
  let at = 0
  return statements.map((statement, i) => {
    const count = (each[i] as ReadonlyArray<Statement>).length
    const found = answers.slice(at, (at += before.length + count + after.length))
    failed(statement, found)
    return resultOf(store, statement, found.slice(before.length, before.length + count) as ReadonlyArray<Answer>)
  })
}

/**
 * Reads in a transaction of its own, of which nothing is left. Undefined: the statement writes.
 * @throws what the statement is refused for; ServerError
 */
export async function askSql(
  asker: Omit<Asker, "tenant"> & { readonly tenant?: Uint8Array },
  connection: Connection,
  question: SqlQuestion,
): Promise<SqlRows | undefined> {
  const { store, limits, tenant } = asker
  const own = sent(asker, question, tenant === undefined ? runOfAll(question.service) : runOf(question.service))
  const opening = [{ sql: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" }, ...(tenant === undefined ? [] : [bound(tenant)]), timed(limits.transactionMsMax)]
  const answers = await connection.run([...opening, ...own, { sql: "ROLLBACK" }, unlocked])
  for (const answer of answers) {
    if (!(answer instanceof ServerError)) continue
    if (isWrite(answer)) return undefined
    throw refusalOf(store, question, limits, answer)
  }
  return resultOf(store, question, answers.slice(opening.length, opening.length + own.length) as ReadonlyArray<Answer>).rows
}

/** Removes up to `countMax` of a tenant's rows from services' tables; fewer means that none is left. The transaction is bound to it. */
export async function eraseSql({ tenant }: Pick<Asker, "tenant">, connection: Connection, countMax: number): Promise<number> {
  const services = await connection.one(
    "SELECT proname::text AS name FROM pg_catalog.pg_proc WHERE pronamespace = 'stele_sql'::regnamespace AND starts_with(proname, 'erase_') ORDER BY proname",
  )
  let count = 0
  for (const { name } of services) {
    if (count >= countMax) break
    const [, found] = await connection.all([
      bound(tenant),
      { sql: `SELECT stele_sql.${name as string}($1::bigint) AS count`, parameters: [BigInt(countMax - count)] },
    ])
    count += Number(found?.rows[0]?.["count"] ?? 0)
  }
  return count
}

const quoted = (name: unknown): string => `"${String(name).replaceAll('"', '""')}"`

/** Services that have rows of any tenant, as the role that sees them. @throws ServerError */
export async function servicesWithRows(connection: Connection): Promise<ReadonlyArray<string>> {
  const tables = await connection.one(
    "SELECT substr(nspname, 11) AS service, array_agg(relname::text) AS tables FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE starts_with(nspname, 'stele_sql_') AND relkind = 'r' AND relname <> substr(nspname, 11) || '_migration' GROUP BY nspname ORDER BY nspname",
  )
  const found: Array<string> = []
  for (const { service, tables: names } of tables) {
    const any = (names as ReadonlyArray<string>).map((name) => `EXISTS (SELECT FROM ${quoted(name)})`).join(" OR ")
    const rows = await connection.one(`SELECT names FROM ${runOfAll(String(service))}($1::text, '{}', '{}', '{}', '{}', 1)`, [`SELECT 1 WHERE ${any}`])
    if (rows.length > 1) found.push(String(service))
  }
  return found
}
