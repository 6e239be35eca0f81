/** One tenant's file: whose it is stands in it, and is read before anything else of it is believed. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { StoreClock } from "../clock.ts"
import { sumOf } from "../row.ts"
import { migrateSqlite, openReader, openWriter, storageError } from "../sqlite/database.ts"
import { type Commit, lossOf } from "../sqlite/mark.ts"
import { SqliteReader } from "../sqlite/reader.ts"
import { type Control, fileName, filesOf, type Registered } from "./control.ts"
import { counted, type Measure, type Slots, totalsOf } from "./slots.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const { existsSync, rmSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

const none = new Uint8Array(0)
const sumOfName = (tenant: Uint8Array, generation: number): number => sumOf({ tenant, key: none }, none, generation)

export interface Named {
  readonly tenant: Uint8Array
  readonly generation: number
}

/** Whose file it is; undefined where none is named. Throws `StorageError` `TenantFile` when the name is not what was written. */
export function nameIn(database: DatabaseSync, store: string, file: string): Named | undefined {
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'stele_tenant'").get() === undefined) return undefined
  const row = database.prepare("SELECT tenant, generation, sum FROM stele_tenant").get() as (Named & { readonly sum: number }) | undefined
  if (row === undefined) return undefined
  const { sum, ...named } = row
  if (sumOfName(named.tenant, named.generation) !== sum) throw new StorageError("TenantFile", { store, file, detail: "the name in it is not what was written" })
  return named
}

const isNamed = ({ tenant, generation }: Named, registered: Registered): boolean =>
  generation === registered.generation && Buffer.compare(tenant, registered.tenant) === 0

export const pathOf = (control: Control, { tenant, generation }: Registered): string => join(filesOf(control.folder), fileName(tenant, generation))

/** @throws StorageError `TenantFile` */
function verify(database: DatabaseSync, control: Control, registered: Registered): void {
  const file = fileName(registered.tenant, registered.generation)
  const named = nameIn(database, control.store, file)
  if (named !== undefined && isNamed(named, registered)) return
  const whose = `it should be that of the tenant "${Buffer.from(registered.tenant).toString()}"`
  const detail = named === undefined ? `${whose}, and names nobody` : `${whose}, and is that of "${Buffer.from(named.tenant).toString()}" (${named.generation})`
  throw new StorageError("TenantFile", { store: control.store, file, detail })
}

const lost = (control: Control, slots: Pick<Slots, "read"> | undefined, registered: Registered): StorageError =>
  new StorageError("Lost", {
    store: pathOf(control, registered),
    found: 0,
    known: slots?.read(registered.slot, registered.generation)?.sequence ?? 1,
  })

/** Gives a new file its name and a first commit, from whose revision on the tenant counts: numbers of an erased one are not used again. */
function make(database: DatabaseSync, { tenant, generation }: Registered, floor: number, nowUs: number): void {
  database.exec("BEGIN IMMEDIATE")
  try {
    const commits = Number(database.prepare("SELECT count(*) AS n FROM commit_group").get()?.["n"])
    database.exec(
      "CREATE TABLE IF NOT EXISTS stele_tenant (id INTEGER PRIMARY KEY CHECK (id = 1), tenant BLOB NOT NULL, generation INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT",
    )
    if (commits === 0) {
      database.prepare("INSERT INTO stele_tenant VALUES (1, ?, ?, ?)").run(tenant, generation, sumOfName(tenant, generation))
      const digest = hash("sha256", Buffer.concat([tenant, Buffer.from(`\0${generation} ${floor} ${nowUs}`)]), "buffer")
      database.prepare("INSERT INTO commit_group (sequence, revision, digest, committed_us) VALUES (1, ?, ?, ?)").run(floor, digest, nowUs)
    }
    database.exec("COMMIT")
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}

/** Removes a tenant's file and what SQLite has beside it; false where the system does not let go of a file that somebody has open. */
export function unlink(path: string): boolean {
  try {
    for (const each of [path, `${path}-wal`, `${path}-shm`]) rmSync(each, { force: true })
    return true
  } catch {
    return false
  }
}

/** Has the tenant got this file no more? Numbers are not used again: then it is nobody's, and whoever finds it may remove it. */
export const isGone = (control: Control, { tenant, generation }: Registered): boolean => control.find(tenant)?.generation !== generation

/**
 * A connection for writing to a tenant's file, which is made if it is new; undefined when the tenant was erased meanwhile, and with it the file.
 * @throws StorageError `Lost` when it should be there and is not, `TenantFile` when it is another's, and those of opening
 */
export function openFile(control: Control, slots: Slots, registered: Registered, floor: number, clock: StoreClock): DatabaseSync | undefined {
  const path = pathOf(control, registered)
  if (registered.isMade && !existsSync(path)) {
    if (isGone(control, registered)) return undefined
    throw lost(control, slots, registered)
  }
  const database = openWriter(path)
  try {
    if (!registered.isMade) make(database, registered, floor, clock())
    verify(database, control, registered)
    if (!registered.isMade) control.made(registered)
    return database
  } catch (error) {
    database.close()
    if (!isGone(control, registered)) throw storageError(path, error)
    // Opening it has made it again.
    unlink(path)
    return undefined
  }
}

/** What the file has now. */
export function measureOf(database: DatabaseSync): () => Measure {
  const bytes = counted.map((port) => `SELECT coalesce((SELECT bytes FROM ${totalsOf[port]} WHERE tenant = x'ff'), 0) AS n`)
  const all = database.prepare([...bytes, "SELECT coalesce(max(revision), 0) FROM commit_group"].join(" UNION ALL "))
  return () => {
    const found = all.all().map((row) => Number(row["n"]))
    return { revision: found.pop() as number, bytes: found }
  }
}

export interface FileReader extends Disposable {
  readonly generation: number
  readonly reader: SqliteReader
  /** As `lossOf`, against what is known now. */
  loss(known: Commit | undefined): ReturnType<typeof lossOf>
}

/** With `isMigrating`, a file that was not written to since an older version made it gets this one's format first: nobody else would, as long as its tenant only reads. */
function openAnyFormat(path: string, isMigrating: boolean): DatabaseSync {
  try {
    return openReader(path)
  } catch (error) {
    if (!isMigrating || !(error instanceof StorageError) || error.reason._tag !== "Older") throw error
    migrateSqlite(path)
    return openReader(path)
  }
}

/**
 * A tenant's file for reading. What went back in time can be read, as in a store of one file.
 * @throws StorageError `Lost` when it should be there and is not, `TenantFile` when it is another's, and those of opening
 */
export function readFile(
  control: Control,
  slots: Slots | undefined,
  registered: Registered,
  { clock, limits, isMigrating }: { readonly clock: StoreClock; readonly limits: StoreLimits; readonly isMigrating: boolean },
): FileReader {
  const path = pathOf(control, registered)
  if (!existsSync(path)) throw lost(control, slots, registered)
  const database = openAnyFormat(path, isMigrating)
  try {
    verify(database, control, registered)
    const reader = new SqliteReader(path, clock, database, limits)
    return {
      generation: registered.generation,
      reader,
      loss: (known) => lossOf(database, known),
      [Symbol.dispose]() {
        reader.close()
        database.close()
      },
    }
  } catch (error) {
    database.close()
    throw storageError(path, error)
  }
}
