/**
 * The catalogue of a folder: which objects there are, small ones with their bytes, and for large ones the file. An object
 * is visible when its row is committed, so a file alone is nothing yet, and no file is ever half an object.
 */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest } from "../../port/object.ts"
import { syncFolder } from "../disk.ts"
import { busyMsMax, pragma, storageError } from "../sqlite/database.ts"

const { closeSync, existsSync, mkdirSync, openSync, readdirSync } = process.getBuiltinModule("node:fs")
const { dirname, join } = process.getBuiltinModule("node:path")
const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")
const { crc32 } = process.getBuiltinModule("node:zlib")

/** `PRAGMA application_id`: "StOb". */
const applicationId = 0x5374_4f62
const format = 1

const tables = `
  CREATE TABLE commit_group (
    sequence INTEGER PRIMARY KEY,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
  ) STRICT;
  CREATE TABLE object (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    bytes INTEGER NOT NULL,
    touched_ms INTEGER NOT NULL,
    file TEXT,
    sum INTEGER NOT NULL,
    data BLOB,
    CHECK ((file IS NULL) <> (data IS NULL))
  ) STRICT;
  CREATE TABLE object_total (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    objects INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT;
  INSERT INTO object_total VALUES (1, 0, 0, 0);
`

/** Sums of rows are added up modulo this, so that the total stays an exact number. */
export const sumsMod = 2 ** 48

/** What a row says of its object; its bytes prove themselves by the digest. */
export interface ObjectRow {
  readonly digest: Buffer
  readonly bytes: number
  readonly touchedMs: number
  /** The upload that brought it, for an object in a file of its own. */
  readonly file: string | null
}

export function sumOf({ digest, bytes, touchedMs, file }: ObjectRow): number {
  const numbers = Buffer.alloc(16)
  numbers.writeDoubleLE(bytes, 0)
  numbers.writeDoubleLE(touchedMs, 8)
  return crc32(file ?? "", crc32(numbers, crc32(digest)))
}

/** What a row may call its file: an upload's id and turn. Nothing else is made part of a path. */
export const isFileName = (file: unknown): file is string => typeof file === "string" && /^[0-9a-f]{32}-\d{1,9}$/.test(file)

export const catalogueOf = (folder: string): string => join(folder, "catalogue.db")
export const stagingOf = (folder: string): string => join(folder, "staging")
export const objectsOf = (folder: string): string => join(folder, "objects")
/** The name says which object it is, and the upload, so that no two uploads ever write to one file. */
export const objectFile = (folder: string, digest: Digest, file: string): string => join(objectsOf(folder), digest.slice(0, 2), `${digest}-${file}`)

/** Makes what is missing of the folder, each entry durable in the one above. */
function makeFolders(folder: string): void {
  const parent = dirname(folder)
  if (!existsSync(parent)) throw new StorageError("Unreachable", { store: folder, detail: `there is no folder "${parent}"` })
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    syncFolder(parent)
  }
  const objects = objectsOf(folder)
  for (const path of [stagingOf(folder), objects]) mkdirSync(path, { recursive: true, mode: 0o700 })
  if (readdirSync(objects).length < 256) {
    for (let i = 0; i < 256; i++) mkdirSync(join(objects, i.toString(16).padStart(2, "0")), { recursive: true, mode: 0o700 })
    syncFolder(objects)
  }
}

/**
 * A row as it was found under `digest`. One that does not say what was written is nothing that anybody may act on; a
 * damaged page can say anything, numbers where there were bytes included.
 */
export function rowFrom(found: Readonly<Record<string, unknown>> | undefined, store: string, digest: Buffer): ObjectRow | undefined {
  if (found === undefined) return undefined
  const { bytes, touched_ms: touchedMs, file, sum } = found
  const isFit = found["digest"] instanceof Uint8Array && digest.equals(found["digest"]) && (file === null || isFileName(file))
  if (isFit && typeof bytes === "number" && typeof touchedMs === "number") {
    const row = { digest, bytes, touchedMs, file }
    if (sum === sumOf(row)) return row
  }
  throw new StorageError("Damaged", { store, digest: digest.toString("hex"), detail: "its row in the catalogue is not what was written" })
}

/** A connection that only reads. */
export function openReader(folder: string): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    database = new Database(catalogueOf(folder), { readOnly: true, timeout: busyMsMax })
    checkFormat(database, folder)
    return database
  } catch (error) {
    database?.close()
    throw storageError(folder, error)
  }
}

const isNew = (database: DatabaseSync): boolean => pragma(database, "application_id") === 0 && pragma(database, "user_version") === 0

function checkFormat(database: DatabaseSync, folder: string): void {
  if (pragma(database, "application_id") !== applicationId) throw new StorageError("Foreign", { store: folder })
  const found = pragma(database, "user_version")
  if (found !== format) throw new StorageError("Newer", { store: folder, format: found, known: format })
}

/** Opens the folder for writing, or makes it. Throws `StorageError` `Unreachable`, `Foreign`, `Newer` or `Busy`. */
export function openWriter(folder: string): DatabaseSync {
  let writer: DatabaseSync | undefined
  try {
    const path = catalogueOf(folder)
    if (existsSync(folder) && !existsSync(path) && readdirSync(folder).some((name) => name !== "staging" && name !== "objects"))
      throw new StorageError("Foreign", { store: folder })
    makeFolders(folder)
    // Closing a file drops this process's locks on it (POSIX), so only one that is new is opened beside SQLite.
    if (!existsSync(path)) {
      closeSync(openSync(path, "a", 0o600))
      // Before SQLite makes files beside it: those alone would look like somebody else's folder after a loss of power.
      syncFolder(folder)
    }
    writer = new Database(path, { timeout: busyMsMax })
    // FULL: each commit is on the disk before it is acknowledged; see the store for guests' data, which opens so too.
    // What is removed is overwritten with zeros: an object that was in the clear before its store was sealed is not in free pages.
    writer.exec(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1; PRAGMA trusted_schema = 0; PRAGMA secure_delete = ON",
    )
    if (writer.prepare("PRAGMA journal_mode").get()?.["journal_mode"] !== "wal")
      throw new StorageError("Unreachable", { store: folder, detail: "a write-ahead log is not possible there" })
    // Opening one that is made must not wait for who writes to it.
    if (isNew(writer)) {
      writer.exec("BEGIN IMMEDIATE")
      if (isNew(writer)) writer.exec(`${tables}; PRAGMA user_version = ${format}; PRAGMA application_id = ${applicationId}`)
      writer.exec("COMMIT")
    }
    checkFormat(writer, folder)
    // The names of the catalogue and its log: SQLite passes over an error of that.
    syncFolder(folder)
    return writer
  } catch (error) {
    writer?.close()
    throw storageError(folder, error)
  }
}
