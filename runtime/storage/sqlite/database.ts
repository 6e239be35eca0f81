/** Opening a SQLite file as a store: whose it is, where it lies, how it syncs, which format it has. */
import type { DatabaseSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { refuseNetwork, syncFolder } from "../disk.ts"
import { beginHistories } from "./change.ts"
import { Database } from "./engine.ts"
import { usageTables } from "./usage-schema.ts"

export { statementsOf } from "./statement.ts"

const { accessSync, closeSync, constants, existsSync, openSync, statSync } = process.getBuiltinModule("node:fs")
const { dirname } = process.getBuiltinModule("node:path")

const { pathToFileURL } = process.getBuiltinModule("node:url")

/** How long a write waits for another process's, in ms. */
export const busyMsMax = 5_000

/** `PRAGMA application_id`: "Stel". */
const applicationId = 0x5374_656c

/** Each entry takes a store from the format of its index to the next; one transaction each, with the number in it. */
const migrations: ReadonlyArray<string | ((database: DatabaseSync) => void)> = [
  `
  CREATE TABLE commit_group (
    sequence INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    committed_us INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE key_value (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (tenant, key)
  ) STRICT;
  CREATE TABLE key_value_total (
    tenant BLOB PRIMARY KEY,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE event_topic (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    key BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    UNIQUE (tenant, key)
  ) STRICT;
  CREATE TABLE event (
    topic INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (topic, sequence)
  ) STRICT;
  CREATE TABLE event_total (
    tenant BLOB PRIMARY KEY,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  (database) => {
    database.exec(`
    ALTER TABLE key_value ADD COLUMN expires_us INTEGER;
    CREATE INDEX key_value_expiry ON key_value (expires_us) WHERE expires_us IS NOT NULL;
    CREATE TABLE key_value_change (
      tenant BLOB NOT NULL,
      revision INTEGER NOT NULL,
      key BLOB NOT NULL,
      kind INTEGER NOT NULL,
      changed_us INTEGER NOT NULL,
      sum INTEGER NOT NULL,
      PRIMARY KEY (tenant, revision)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE key_value_change_total (
      tenant BLOB PRIMARY KEY,
      keys INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      sums INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE log (
      id INTEGER PRIMARY KEY,
      tenant BLOB NOT NULL,
      key BLOB NOT NULL,
      first INTEGER NOT NULL,
      last INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      sum INTEGER NOT NULL,
      UNIQUE (tenant, key)
    ) STRICT;
    CREATE TABLE log_entry (
      log INTEGER NOT NULL,
      offset INTEGER NOT NULL,
      payload BLOB NOT NULL,
      appended_us INTEGER NOT NULL,
      sum INTEGER NOT NULL,
      PRIMARY KEY (log, offset)
    ) STRICT;
    CREATE TABLE log_total (
      tenant BLOB PRIMARY KEY,
      keys INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      sums INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE blob_reference (
      tenant BLOB NOT NULL,
      key BLOB NOT NULL,
      digest BLOB NOT NULL CHECK (length(digest) = 32),
      bytes INTEGER NOT NULL,
      created_us INTEGER NOT NULL,
      revision INTEGER NOT NULL,
      sum INTEGER NOT NULL,
      PRIMARY KEY (tenant, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_reference_digest ON blob_reference (digest);
    CREATE TABLE blob_reference_total (
      tenant BLOB PRIMARY KEY,
      keys INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      sums INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    `)
    beginHistories(database)
  },
  `
  CREATE TABLE fence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('moving', 'moved'))
  ) STRICT;
  `,
  usageTables,
  `
  CREATE TABLE queue_lane (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    key BLOB NOT NULL,
    turn INTEGER NOT NULL,
    given INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    wake_us INTEGER,
    UNIQUE (tenant, key)
  ) STRICT;
  CREATE INDEX queue_ring ON queue_lane (key, turn) WHERE ready > 0;
  CREATE INDEX queue_alarm ON queue_lane (key, wake_us) WHERE ready = 0 AND wake_us IS NOT NULL;
  CREATE TABLE queue_job (
    lane INTEGER NOT NULL,
    id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    wake_us INTEGER,
    token INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    backoff_ms INTEGER NOT NULL,
    backoff_ms_max INTEGER NOT NULL,
    enqueued_us INTEGER NOT NULL,
    scheduled_us INTEGER,
    sum INTEGER NOT NULL,
    order_key TEXT,
    idempotency_key TEXT,
    error TEXT,
    payload BLOB NOT NULL,
    PRIMARY KEY (lane, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX queue_ready ON queue_job (lane, rank) WHERE state = 0;
  CREATE INDEX queue_wake ON queue_job (lane, wake_us) WHERE wake_us IS NOT NULL;
  CREATE INDEX queue_order ON queue_job (lane, order_key, id) WHERE order_key IS NOT NULL AND state < 4;
  CREATE INDEX queue_dead ON queue_job (lane, id) WHERE state = 4;
  CREATE TABLE queue_idempotency (
    lane INTEGER NOT NULL,
    key TEXT NOT NULL,
    job INTEGER NOT NULL,
    digest BLOB NOT NULL,
    until_us INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (lane, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX queue_forget ON queue_idempotency (until_us);
  CREATE TABLE queue_schedule (
    lane INTEGER NOT NULL,
    name TEXT NOT NULL,
    next_us INTEGER NOT NULL,
    spec TEXT NOT NULL,
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (lane, name)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX queue_time ON queue_schedule (lane, next_us);
  CREATE TABLE queue_total (
    tenant BLOB PRIMARY KEY,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
]

/** The format that this code writes. */
export const format = migrations.length

export const detailOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Deno says no number when a statement without a result fails. */
export const isBusy = (error: unknown): boolean =>
  [5, 6].includes(((error as { readonly errcode?: number }).errcode ?? 0) & 0xff) || detailOf(error) === "database is locked"

/**
 * After a COMMIT that failed: is it sure that nothing of it was kept? So it is where a write found no room (`SQLITE_FULL`): the log has no whole last frame of it,
 * and what is read is the commit `before`. After anything else, above all a failed sync, nobody knows.
 */
export function isUndone(database: DatabaseSync, error: unknown, before: number): boolean {
  if ((error as { readonly errcode?: number }).errcode !== 13) return false
  // SQLite has taken back the transaction by itself, or not yet.
  if (database.isTransaction) database.exec("ROLLBACK")
  return Number(database.prepare("SELECT max(sequence) AS newest FROM commit_group").get()?.["newest"] ?? 0) === before
}

/** SQLite's own finding that its pages do not fit together (`SQLITE_CORRUPT`). */
export const isDamaged = (error: unknown): boolean => (((error as { readonly errcode?: number }).errcode ?? 0) & 0xff) === 11

/** Anything that went wrong with a file as a typed error. */
export function storageError(path: string, error: unknown): SteleError {
  if (error instanceof SteleError) return error
  if (isBusy(error)) return new StorageError("Busy", { store: path, waitedMs: busyMsMax }, { cause: error })
  if (isDamaged(error)) return new StorageError("Corrupt", { store: path, table: "sqlite", key: detailOf(error) }, { cause: error })
  return new StorageError("Unreachable", { store: path, detail: detailOf(error) }, { cause: error })
}

/** Reads for a caller who knows nothing of SQLite: what it throws has a code. */
export function reading<A>(path: string, read: () => A): A {
  try {
    return read()
  } catch (error) {
    // A number that no row of ours has: its bytes are not those that were written.
    if (error instanceof RangeError) throw new StorageError("Corrupt", { store: path, table: "sqlite", key: error.message }, { cause: error })
    throw error instanceof Error && "errcode" in error ? storageError(path, error) : error
  }
}

/**
 * Where a reader finds the file. On a file system that is mounted read-only SQLite can make no index of a log, and says that it cannot open the file; without
 * a log there is nothing to index, and nobody who could write.
 */
function asMounted(path: string): string | URL {
  try {
    accessSync(dirname(path), constants.W_OK)
    return path
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EROFS" || existsSync(`${path}-wal`)) return path
    const address = pathToFileURL(path)
    address.search = "?immutable=1"
    return address
  }
}

/** A connection that only reads. Throws `StorageError` `Unreachable` when there is no file, `Foreign`, `Older`, `Newer` or `Busy`. */
export function openReader(path: string): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    if (!existsSync(path)) throw new StorageError("Unreachable", { store: path, detail: "there is no such file" })
    database = new Database(asMounted(path), { readOnly: true, timeout: busyMsMax })
    claim(database, path)
    const found = pragma(database, "user_version")
    if (found > format) throw new StorageError("Newer", { store: path, format: found, known: format })
    if (found === 0) throw new StorageError("Unreachable", { store: path, detail: "nothing has been stored in it yet" })
    // Reading makes no tables: whoever opens it for writing does, and says so.
    if (found < format) throw new StorageError("Older", { store: path, format: found, known: format })
    return database
  } catch (error) {
    database?.close()
    throw storageError(path, error)
  }
}

/** A store that is nowhere but in this process. */
export function openMemory(): DatabaseSync {
  const database = new Database(":memory:")
  database.exec("PRAGMA trusted_schema = 0")
  migrate(database, "memory")
  return database
}

/** Opens the file for writing, or makes it; `says` that it took an older one to this format. Throws `StorageError` `Unreachable`, `Foreign`, `Newer` or `Busy`. */
export function openWriter(path: string, says = true): DatabaseSync {
  let writer: DatabaseSync | undefined
  try {
    const folder = dirname(path)
    if (!existsSync(folder)) throw new StorageError("Unreachable", { store: path, detail: `there is no folder "${folder}"` })
    refuseNetwork(folder, path)
    // What plugins keep is nobody else's to read; the files beside it take over its rights.
    create(path)
    writer = new Database(path, { timeout: busyMsMax })
    claim(writer, path)
    // FULL: each commit is on the disk before it is acknowledged. macOS needs its own kind of sync for that.
    // What is deleted is overwritten with zeros: an erased tenant is not in free pages.
    writer.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1; PRAGMA trusted_schema = 0; PRAGMA secure_delete = ON",
    )
    // Without the log a commit waits for readers, and every promise made of it here would be another one.
    if (writer.prepare("PRAGMA journal_mode").get()?.["journal_mode"] !== "wal")
      throw new StorageError("Unreachable", { store: path, detail: "a write-ahead log is not possible there" })
    const from = migrate(writer, path)
    if (says && from > 0 && from < format) process.emitWarning(`The store "${path}" went from format ${from} to ${format}`, "SteleMigration")
    // The names of the file and its log. SQLite syncs them with the log's first bytes, but passes over an error of that.
    syncFolder(folder)
    return writer
  } catch (error) {
    writer?.close()
    throw storageError(path, error)
  }
}

/**
 * Takes the store in a file to this version's format, if it has another.
 * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
 */
export function migrateSqlite(path: string, isDryRun = false): { readonly from: number; readonly to: number } {
  if (!existsSync(path)) throw new StorageError("Unreachable", { store: path, detail: "there is no such file" })
  let database: DatabaseSync | undefined
  try {
    database = new Database(path, { readOnly: true, timeout: busyMsMax })
    claim(database, path)
    const from = pragma(database, "user_version")
    if (from > format) throw new StorageError("Newer", { store: path, format: from, known: format })
    if (from === 0) throw new StorageError("Unreachable", { store: path, detail: "nothing has been stored in it yet" })
    if (!isDryRun && from < format) openWriter(path, false).close()
    return { from, to: format }
  } catch (error) {
    throw storageError(path, error)
  } finally {
    database?.close()
  }
}

/** Makes the file, if it is not there. One that is there is not opened: closing it would drop this process's locks on it (POSIX). */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600))
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error
  }
}

/** Takes the lock on writing. @throws StorageError `Busy` when it cannot be had at once */
export function beginNow(database: DatabaseSync, path: string): void {
  database.exec("PRAGMA busy_timeout = 0")
  try {
    database.exec("BEGIN IMMEDIATE")
  } catch (cause) {
    throw new StorageError("Busy", { store: path, waitedMs: 0 }, { cause })
  } finally {
    database.exec(`PRAGMA busy_timeout = ${busyMsMax}`)
  }
}

/** Which file lies there now; undefined when there is none. */
export function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found && `${found.dev} ${found.ino}`
}

export const pragma = (database: DatabaseSync, name: string): number => Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0] ?? 0)

/** An empty file becomes ours; one with another program's tables is left as it is. */
function claim(database: DatabaseSync, path: string): void {
  // One statement: between two, another process may make the tables that this one then takes for a stranger's.
  const found = database.prepare("SELECT application_id AS id, (SELECT count(*) FROM sqlite_schema) AS tables FROM pragma_application_id").get()
  if (found?.["id"] === applicationId) return
  if (found?.["id"] !== 0 || found["tables"] !== 0) throw new StorageError("Foreign", { store: path })
}

/** Answers the format that it found; 0 for a new file. */
function migrate(database: DatabaseSync, path: string): number {
  const before = pragma(database, "user_version")
  // Most are as they should be, and opening one must not wait for who writes to it.
  if (before !== format) while (migrateOnce(database, path));
  return before
}

/** To the next format, all of it or nothing; false when there is none. */
function migrateOnce(database: DatabaseSync, path: string): boolean {
  // The lock first: of two processes that open a new file one makes the tables and the other finds them.
  database.exec("BEGIN IMMEDIATE")
  try {
    const found = pragma(database, "user_version")
    if (found > format) throw new StorageError("Newer", { store: path, format: found, known: format })
    const next = migrations[found]
    if (next !== undefined) {
      if (typeof next === "string") database.exec(next)
      else next(database)
      database.exec(`PRAGMA user_version = ${found + 1}; PRAGMA application_id = ${applicationId}`)
    }
    database.exec("COMMIT")
    return next !== undefined
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK")
    throw error
  }
}
