/**
 * SQL of services in the store's own database: what a statement may touch is decided when it is prepared, by SQLite's
 * authorizer, and held against the schema when it changed that. Every statement is part of the digest.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { ServicesQuestion, SqlLimits, SqlOperation, SqlQuestion, SqlResults, SqlRows, SqlStatement } from "../../port/sql.ts"
import { changeOf, checkStatement } from "../sql-statement.ts"
import { servicesWithRows } from "./sql-tenant.ts"
import type { TableContext } from "./table.ts"
import type { Group } from "./writer.ts"

/** Codes of sqlite3_set_authorizer, as the manual lists them. */
const actions = {
  createIndex: 1,
  createTable: 2,
  createTrigger: 7,
  createView: 8,
  delete: 9,
  dropIndex: 10,
  dropTable: 11,
  dropTrigger: 16,
  dropView: 17,
  insert: 18,
  pragma: 19,
  read: 20,
  select: 21,
  update: 23,
  alterTable: 26,
  reindex: 27,
  function: 31,
  savepoint: 32,
  recursive: 33,
} as const
const [allow, deny] = [0, 1]

/** Table-valued functions that read nothing but their arguments. */
const functionTables = new Set(["json_each", "json_tree"])
const schemaTables = new Set(["sqlite_master", "sqlite_schema"])
const tempSchemaTables = new Set(["sqlite_temp_master", "sqlite_temp_schema"])
const questionPragmas = new Set(["table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"])
const writes: ReadonlySet<number> = new Set([actions.insert, actions.update, actions.delete])
const changesSchema: ReadonlySet<number> = new Set([
  actions.createIndex,
  actions.createTable,
  actions.createTrigger,
  actions.createView,
  actions.dropIndex,
  actions.dropTable,
  actions.dropTrigger,
  actions.dropView,
  actions.alterTable,
  actions.reindex,
])

/** Statements of services that are kept prepared. */
const statementsMax = 256

/** SQLite's primary result codes that say something of the statement and nothing of the database. */
const refusals = new Set([1, 18, 19, 20, 21, 23, 25])

interface Seen {
  readonly service: string
  writes: boolean
  changesSchema: boolean
  denied: string | undefined
}

interface Guard {
  wake(seen: Seen): void
  sleep(): void
}

/** One for each connection: in memory a writer and a reader share theirs. Set when first needed, since it makes all statements be prepared again. */
const guards = new WeakMap<DatabaseSync, Guard>()

function guardOf(database: DatabaseSync): Guard {
  const known = guards.get(database)
  if (known !== undefined) return known
  let awake: Seen | undefined
  let isSet = false
  const guard: Guard = {
    wake(seen) {
      awake = seen
      if (isSet) return
      isSet = true
      // What is not of a service is the store's own and may do anything.
      database.setAuthorizer((action, first, second) => (awake === undefined || isAllowed(awake, action, first, second) ? allow : deny))
    },
    sleep: () => (awake = undefined),
  }
  guards.set(database, guard)
  return guard
}

function isAllowed(seen: Seen, action: number, first: string | null, second: string | null): boolean {
  const isSchema = schemaTables.has(first ?? "")
  if (writes.has(action) && !isSchema) seen.writes = true
  if (changesSchema.has(action)) seen.writes = seen.changesSchema = true
  // A reader's connection must see what is committed next.
  if (action === actions.savepoint) seen.writes = true
  if (mayDo(seen, action, first, second, isSchema)) return true
  seen.denied ??= `it reaches "${second !== null && !writes.has(action) && action !== actions.read ? second : (first ?? `action ${action}`)}"`
  return false
}

function mayDo(seen: Seen, action: number, first: string | null, second: string | null, isSchema: boolean): boolean {
  const isOwn = (name: string | null): boolean => name?.startsWith(`${seen.service}_`) === true
  // Nothing can be made there, but SQLite looks when it renames.
  if (tempSchemaTables.has(first ?? "")) return seen.changesSchema && (action === actions.read || action === actions.update)
  switch (action) {
    case actions.select:
    case actions.recursive:
      return true
    case actions.function:
      return second !== "load_extension"
    case actions.read:
      return isOwn(first) || isSchema || functionTables.has(first ?? "") || (first === "pragma_quick_check" && seen.changesSchema)
    case actions.insert:
    case actions.update:
    case actions.delete:
      // SQLite writes the schema for who may change it, and refuses a statement that does so itself.
      return isOwn(first) || isSchema
    case actions.createTable:
    case actions.dropTable:
    case actions.createView:
    case actions.dropView:
    case actions.reindex:
      return isOwn(first)
    case actions.createIndex:
    case actions.dropIndex:
    case actions.createTrigger:
    case actions.dropTrigger:
      return isOwn(second) && (isOwn(first) || first?.startsWith("sqlite_autoindex_") === true)
    case actions.alterTable:
      return isOwn(second)
    case actions.pragma:
      // SQLite checks rows by itself when a table is altered.
      return questionPragmas.has(first ?? "") || (first === "quick_check" && seen.changesSchema)
    case actions.savepoint:
      return second?.startsWith("effect_sql_") === true
    default:
      return false
  }
}

/** Space, comments and semicolons. */
const nothing = /^(?:[\s;]|--[^\n]*(?:\n|$)|\/\*[^]*?(?:\*\/|$))*$/

export class SqlTable {
  static readonly operations = ["sql"] as const
  static readonly questions = ["sql", "services"] as const
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: SqlLimits
  readonly #known = new Map<string, { readonly statement: StatementSync; readonly writes: boolean; readonly changesSchema: boolean }>()
  readonly #guard: Guard

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#store = store
    this.#limits = limits.sql
    this.#guard = guardOf(database)
  }

  /** Runs with the authorizer awake; what SQLite says of the statement is a refusal of it. */
  #guarded<A>(service: string, run: (seen: Seen) => A, isSchema = false): A {
    const seen: Seen = { service, writes: isSchema, changesSchema: isSchema, denied: undefined }
    this.#guard.wake(seen)
    try {
      return run(seen)
    } catch (error) {
      const { errcode, code, message } = error as { readonly errcode?: number; readonly code?: string; readonly message?: string }
      if (seen.denied !== undefined) throw new StorageError("SqlForbidden", { store: this.#store, service, detail: seen.denied })
      // Values that SQLite does not take are Node's own errors.
      if (errcode === undefined && code?.startsWith("ERR_") !== true) throw error
      if (errcode !== undefined && (!refusals.has(errcode & 0xff) || this.#isLostTransaction(seen))) throw error
      throw new StorageError("Sql", { store: this.#store, service, sqlite: errcode ?? 1, detail: message ?? "" })
    } finally {
      this.#guard.sleep()
    }
  }

  /** `ON CONFLICT ROLLBACK` takes everybody's transaction away: then the group has failed, and not the statement alone. */
  #isLostTransaction({ writes }: Seen): boolean {
    return writes && !this.#database.isTransaction
  }

  #prepared({ service, text }: SqlStatement): { readonly statement: StatementSync; readonly writes: boolean; readonly changesSchema: boolean } {
    const name = `${service} ${text}`
    const old = this.#known.get(name)
    if (old !== undefined) return old
    // Engines differ in what they make of it.
    if (nothing.test(text)) throw new StorageError("Sql", { store: this.#store, service, sqlite: 1, detail: "there is no statement in it" })
    const found = this.#guarded(service, (seen) => {
      const statement = this.#database.prepare(text)
      return { statement, writes: seen.writes, changesSchema: seen.changesSchema }
    })
    if (found.changesSchema) return found
    const [oldest] = this.#known.keys()
    if (this.#known.size >= statementsMax && oldest !== undefined) this.#known.delete(oldest)
    this.#known.set(name, found)
    return found
  }

  /** What changes the schema prepares more while it runs. */
  #rows(given: SqlStatement, statement: StatementSync, isSchema = false): SqlRows {
    statement.setReadBigInts(given.isSafe === true)
    statement.setReturnArrays(given.isArrays === true)
    return this.#guarded(
      given.service,
      () => {
        const rows: Array<SqlRows[number]> = []
        const found = statement.iterate(...(given.params ?? []))
        try {
          for (let row = found.next(); row.done !== true; row = found.next()) {
            rows.push(row.value as SqlRows[number])
            checkLimit("sql", "rowsMax", "rows", this.#limits.rowsMax, rows.length)
          }
          return rows
        } finally {
          // One that is left in the middle would hold this connection at what it sees now.
          found.return?.()
        }
      },
      isSchema,
    )
  }

  ask(question: SqlQuestion | ServicesQuestion): SqlRows | ReadonlyArray<string> | undefined {
    if (question.ask === "services") return servicesWithRows(this.#database)
    checkStatement(question, this.#limits)
    const { statement, writes } = this.#prepared(question)
    return writes ? undefined : this.#rows(question, statement)
  }

  apply(group: Group, operation: SqlOperation): SqlResults["sql"] {
    checkStatement(operation, this.#limits)
    const { service, text } = operation
    group.change(...changeOf(operation))
    if (operation.isScript === true) {
      const names = this.#names()
      const isChanged = this.#guarded(service, (seen) => {
        this.#database.exec(text)
        return seen.changesSchema
      })
      if (isChanged) this.#verify(service, names)
      return { rows: [], changes: 0 }
    }
    const before = this.#changes()
    const { statement, changesSchema: isChanged } = this.#prepared(operation)
    const names = isChanged ? this.#names() : new Set<string>()
    const rows = this.#rows(operation, statement, isChanged)
    if (isChanged) this.#verify(service, names)
    return { rows, changes: this.#changes() - before }
  }

  #changes(): number {
    this.#total ??= this.#database.prepare("SELECT total_changes() AS n")
    return Number(this.#total.get()?.["n"])
  }
  #total: StatementSync | undefined

  #names(): ReadonlySet<string> {
    this.#schema ??= this.#database.prepare("SELECT name FROM sqlite_schema")
    return new Set(this.#schema.all().map(({ name }) => String(name)))
  }
  #schema: StatementSync | undefined

  /** What the authorizer cannot see: how strict a table is, a new name, where a foreign key leads. */
  #verify(service: string, before: ReadonlySet<string>): void {
    const prefix = `${service}_`
    const refuse = (detail: string): never => {
      throw new StorageError("SqlForbidden", { store: this.#store, service, detail })
    }
    for (const name of this.#names())
      if (!before.has(name) && !name.startsWith(prefix) && !name.startsWith(`sqlite_autoindex_${prefix}`)) refuse(`it makes "${name}"`)
    const tables = this.#database.prepare("SELECT name, type, strict FROM pragma_table_list WHERE schema = 'main'").all()
    for (const { name, type, strict } of tables as unknown as ReadonlyArray<{ readonly name: string; readonly type: string; readonly strict: number }>) {
      if (!name.startsWith(prefix)) continue
      if (type === "table" && strict !== 1) refuse(`its table "${name}" is not STRICT`)
      const keys = this.#database.prepare('SELECT "table" AS parent FROM pragma_foreign_key_list(?)').all(name)
      for (const { parent } of keys as unknown as ReadonlyArray<{ readonly parent: string }>)
        if (!parent.startsWith(prefix)) refuse(`its table "${name}" refers to "${parent}"`)
    }
  }
}
