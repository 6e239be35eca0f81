/**
 * SQL for services, as data: statements over tables of their own in the same store, so that what a service writes shares
 * batches with everything else (`sql` with a job's `complete`: exactly once) and one backup holds it all. Each service
 * has the tables whose names begin with its own and an underscore, and reaches no others.
 */

export type SqlValue = null | number | bigint | string | Uint8Array

export interface SqlStatement {
  /** `[a-z][a-z0-9]*`, of at most 31 characters: whose tables are meant. */
  readonly service: string
  /**
   * Whose rows. A server's row-level security holds the statement to them; SQLite does not, so a statement names the tenant on
   * both. Default: the tenant of the batch it is in, or the host's own.
   */
  readonly tenant?: Uint8Array | undefined
  /** One statement, or with `isScript` several without parameters. SQLite marks values as `?`, PostgreSQL as `$1`. */
  readonly text: string
  /** Text is well-formed and has no U+0000, which a server's text cannot hold. */
  readonly params?: ReadonlyArray<SqlValue>
  readonly isScript?: boolean
  /** Integers as bigint; without it one beyond 2^53 is refused. */
  readonly isSafe?: boolean
  /** Rows as lists of values in the order of the columns. */
  readonly isArrays?: boolean
}

export type SqlRows = ReadonlyArray<Readonly<Record<string, SqlValue>> | ReadonlyArray<SqlValue>>

export type SqlOperation = SqlStatement & { readonly op: "sql" }

export interface SqlResults {
  /** Rows, as of `RETURNING`; how many rows were changed. */
  readonly sql: { readonly rows: SqlRows; readonly changes: number }
}

export type SqlQuestion = SqlStatement & {
  readonly ask: "sql"
  /** Rows of all tenants: for services that hold the role for it, out of reach of guests. */
  readonly isOfAll?: true | undefined
}

/** Services that have rows, in whatever tables but the histories of their migrations. */
export interface ServicesQuestion {
  readonly ask: "services"
}

export interface SqlAnswers {
  /** Undefined when the statement writes: it is for `apply`. */
  readonly sql: SqlRows | undefined
  readonly services: ReadonlyArray<string>
}

/** A transaction that stays open while its owner decides. Whoever else writes waits for it. */
export interface SqlTransaction {
  /** @throws StorageError `Sql`, `Preempted` */
  run(statement: SqlStatement): Promise<SqlResults["sql"]>
  /** Durable on return. @throws StorageError `Preempted`, `Failed`, `Unknown` */
  commit(): Promise<void>
  /** Also of one that has ended. */
  rollback(): Promise<void>
}

export const sqlLimits = {
  /** How long a transaction may stay open, and on a server also a statement may take, ms: below the time that another process waits for the store. */
  transactionMsMax: 2_000,
  /** Bytes of one statement. */
  textBytesMax: 1 << 20,
  /** Rows of one answer. */
  rowsMax: 100_000,
}
export type SqlLimits = typeof sqlLimits
