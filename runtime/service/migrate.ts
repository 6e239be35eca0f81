/**
 * One runner of migrations for all services, on any database that takes a batch of statements all or nothing. A migration
 * expands first (what old code does not know and is not disturbed by) and contracts later, when no old code runs any more,
 * so that versions N and N+1 serve side by side in between. Each step is one batch with its entry in the history: it is
 * there or it is not, whoever dies meanwhile, and of two who run it at once one finds it done.
 */
import { ConfigError } from "../../schemas/error/config.ts"
import { StorageError } from "../../schemas/error/storage.ts"

const { hash } = process.getBuiltinModule("node:crypto")

export type Dialect = "sqlite" | "postgres"
/** One statement each: no database prepares several. */
export type Statements = ReadonlyArray<string> | Readonly<Record<Dialect, ReadonlyArray<string>>>

export interface Migration {
  /** 1, 2, 3 … */
  readonly number: number
  readonly name: string
  readonly expand: Statements
  /** Takes away what only older code needs. Not run before it is asked for. */
  readonly contract?: Statements
  /** Takes back `expand`. Absent: there is no way back. */
  readonly down?: Statements
  /** Does `down` take away what was written since? */
  readonly losesData?: boolean
  /**
   * Tables it makes that have no tenant: on PostgreSQL any tenant's statements read them and the host's own alone change them. Every other
   * table has a column `tenant`, BLOB or bytea, NOT NULL, that begins each unique key. SQLite holds nobody to either.
   */
  readonly shared?: ReadonlyArray<string>
}

export interface MigrationStatement {
  readonly text: string
  readonly params?: ReadonlyArray<string | number>
}

export interface MigrationTarget {
  readonly name: string
  readonly dialect: Dialect
  /** All of it or nothing, as if nobody else ran. `shared`: see `Migration`. */
  batch(statements: ReadonlyArray<MigrationStatement>, shared?: ReadonlyArray<string>): Promise<void>
  rows(text: string): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>>
}

export interface MigrateOptions {
  readonly service: string
  readonly migrations: ReadonlyArray<Migration>
  /** Up or down to this one. Default: the newest. */
  readonly to?: number
  /** Also contract, up to this number: code that does not know it can no longer run. Default: none. */
  readonly contractTo?: number
  /** Say what would be done, and do nothing. */
  readonly isDryRun?: boolean
  /** Go back even where data is lost. Needs `backup`, which is done first. */
  readonly allowsLoss?: boolean
  /** Makes a backup and says where it is. */
  readonly backup?: () => Promise<string>
  /** Hears of each step before it is done. */
  readonly onStep?: (step: Step) => void
}

export interface Step {
  readonly kind: "expand" | "contract" | "down"
  readonly number: number
  readonly name: string
}

export interface MigrationReport {
  /** Newest migration before and after. */
  readonly from: number
  readonly to: number
  /** Done, or with `isDryRun` to be done. */
  readonly steps: ReadonlyArray<Step>
  /** Where the backup is that was made first. */
  readonly backup?: string
}

interface Entry {
  readonly number: number
  readonly step: "expand" | "contract"
  readonly digest: string
}

const statementsOf = (statements: Statements | undefined, dialect: Dialect): ReadonlyArray<string> =>
  statements === undefined
    ? []
    : Array.isArray(statements)
      ? (statements as ReadonlyArray<string>)
      : (statements as Readonly<Record<Dialect, ReadonlyArray<string>>>)[dialect]

const digestOf = ({ number, name, expand, contract, shared }: Migration, dialect: Dialect): string =>
  hash("sha256", JSON.stringify([number, name, statementsOf(expand, dialect), statementsOf(contract, dialect), ...(shared === undefined ? [] : [shared])]))

/** The two databases write parameters in different ways. */
const marks = (dialect: Dialect, count: number): string => Array.from({ length: count }, (_, i) => (dialect === "postgres" ? `$${i + 1}` : "?")).join(", ")

async function history({ rows, batch, dialect }: MigrationTarget, service: string, isDryRun: boolean): Promise<ReadonlyArray<Entry>> {
  // It becomes part of statements.
  if (!/^[a-z][a-z0-9]*$/.test(service))
    throw new ConfigError("Option", { option: "service", expected: "a name of lower-case letters and digits", actual: JSON.stringify(service) })
  const strict = dialect === "sqlite" ? " STRICT" : ""
  const table = `${service}_migration`
  if (!isDryRun)
    await batch([
      {
        text: `CREATE TABLE IF NOT EXISTS ${table} (number INTEGER NOT NULL, step TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, done_at TEXT NOT NULL, PRIMARY KEY (number, step))${strict}`,
      },
    ])
  const found = dialect === "sqlite" ? "sqlite_schema WHERE type = 'table' AND name" : "pg_tables WHERE schemaname = current_schema() AND tablename"
  if ((await rows(`SELECT 1 AS found FROM ${found} = '${table}'`)).length === 0) return []
  return (await rows(`SELECT number, step, digest FROM ${table} ORDER BY number, step`)).map(({ number, step, digest }) => ({
    number: Number(number),
    step: step as Entry["step"],
    digest: String(digest),
  }))
}

const newest = (entries: ReadonlyArray<Entry>, step: Entry["step"]): number =>
  Math.max(0, ...entries.filter((entry) => entry.step === step).map(({ number }) => number))

/** What was done must be what is known; what is not known may only have been added. */
function verify(target: MigrationTarget, service: string, migrations: ReadonlyArray<Migration>, entries: ReadonlyArray<Entry>): void {
  for (const [i, { number }] of migrations.entries())
    if (number !== i + 1) throw new ConfigError("Option", { option: "migrations", expected: "numbers 1, 2, 3 …", actual: `${number} in place ${i + 1}` })
  for (const { number, step, digest } of entries) {
    const known = migrations[number - 1]
    if (known !== undefined && digestOf(known, target.dialect) !== digest)
      throw new StorageError("MigrationChanged", { store: target.name, service, number, name: known.name })
    if (known === undefined && step === "contract") throw new StorageError("MigrationNewer", { store: target.name, service, number, known: migrations.length })
  }
}

/**
 * May this version serve? Asked by a service when it starts: it never migrates by itself.
 * @throws StorageError `MigrationPending` when the store lacks something, `MigrationNewer` when it has taken away what this version needs, `MigrationChanged`
 */
export async function ensureMigrated(target: MigrationTarget, { service, migrations }: Pick<MigrateOptions, "service" | "migrations">): Promise<void> {
  const entries = await history(target, service, true)
  verify(target, service, migrations, entries)
  const found = newest(entries, "expand")
  if (found < migrations.length) throw new StorageError("MigrationPending", { store: target.name, service, number: found, known: migrations.length })
}

/** What has to be done, in order. */
function plan(
  migrations: ReadonlyArray<Migration>,
  entries: ReadonlyArray<Entry>,
  to: number,
  contractTo: number,
): ReadonlyArray<Step & { readonly migration: Migration }> {
  const done = (step: Entry["step"]): ReadonlySet<number> => new Set(entries.filter((entry) => entry.step === step).map(({ number }) => number))
  const [expanded, contracted] = [done("expand"), done("contract")]
  const stepOf = (kind: Step["kind"]) => (migration: Migration) => ({ kind, number: migration.number, name: migration.name, migration })
  const back = migrations.filter(({ number }) => number > to && expanded.has(number)).toReversed()
  const on = migrations.filter(({ number }) => number <= to && !expanded.has(number))
  const rest = migrations.filter(({ number, contract }) => number <= Math.min(to, contractTo) && contract !== undefined && !contracted.has(number))
  return [...back.map(stepOf("down")), ...on.map(stepOf("expand")), ...rest.map(stepOf("contract"))]
}

/**
 * Brings a service's tables to a number, one batch for each step. May be run again after any failure, and by several at once.
 * @throws StorageError `MigrationChanged`, `MigrationNewer`, `MigrationFailed`, `MigrationLoses`; ConfigError
 */
export async function migrate(target: MigrationTarget, options: MigrateOptions): Promise<MigrationReport> {
  const { service, migrations, to = migrations.length, contractTo = 0, isDryRun = false, allowsLoss = false, onStep } = options
  if (!Number.isSafeInteger(to) || to < 0 || to > migrations.length)
    throw new ConfigError("Option", { option: "to", expected: `a migration from 0 to ${migrations.length}`, actual: String(to) })
  let entries = await history(target, service, isDryRun)
  verify(target, service, migrations, entries)
  const from = newest(entries, "expand")
  const steps = plan(migrations, entries, to, contractTo)
  const contracted = new Set(entries.filter(({ step }) => step === "contract").map(({ number }) => number))
  for (const { kind, migration } of steps) {
    if (kind !== "down") continue
    const { number, name, down, losesData } = migration
    const refuse = (detail: string): never => {
      throw new StorageError("MigrationLoses", { store: target.name, service, number, name, detail })
    }
    if (down === undefined) refuse("it has no way back")
    if (contracted.has(number)) refuse("what it replaced has been taken away")
    if (losesData === true && !allowsLoss) refuse("what was written since would be lost")
    if (losesData === true && options.backup === undefined) refuse("there is no backup")
  }
  const done = steps.map(({ kind, number, name }): Step => ({ kind, number, name }))
  if (isDryRun) return { from, to: steps.length === 0 ? from : to, steps: done }
  const backup = steps.some(({ kind, migration }) => kind === "down" && migration.losesData === true) ? await options.backup?.() : undefined
  const carriedOut: Array<Step> = []
  for (const [i, { kind, number, name, migration }] of steps.entries()) {
    onStep?.(done[i] as Step)
    try {
      await target.batch(batchOf(target.dialect, service, kind, migration), migration.shared)
      carriedOut.push(done[i] as Step)
    } catch (error) {
      // Somebody else may have done it at the same moment.
      entries = await history(target, service, false)
      const isThere = entries.some((entry) => entry.number === number && entry.step === (kind === "down" ? "expand" : kind))
      if (isThere === (kind === "down"))
        throw new StorageError(
          "MigrationFailed",
          { store: target.name, service, number, name, detail: error instanceof Error ? error.message : String(error) },
          { cause: error },
        )
    }
  }
  const after = newest(await history(target, service, false), "expand")
  return { from, to: after, steps: carriedOut, ...(backup === undefined ? {} : { backup }) }
}

/** The history first: who comes second fails there, before anything else of it. */
function batchOf(dialect: Dialect, service: string, kind: Step["kind"], migration: Migration): ReadonlyArray<MigrationStatement> {
  const table = `${service}_migration`
  if (kind === "down")
    return [
      ...statementsOf(migration.down, dialect).map((text) => ({ text })),
      { text: `DELETE FROM ${table} WHERE number = ${marks(dialect, 1)}`, params: [migration.number] },
    ]
  const { number, name } = migration
  const params = [number, kind, name, digestOf(migration, dialect), new Date().toISOString()]
  return [
    { text: `INSERT INTO ${table} (number, step, name, digest, done_at) VALUES (${marks(dialect, 5)})`, params },
    ...statementsOf(migration[kind], dialect).map((text) => ({ text })),
  ]
}
