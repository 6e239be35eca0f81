/**
 * Where an archive keeps its objects: names and bytes, put once and never changed. Narrow on purpose, so that an object
 * store can stand behind it. Here: a folder.
 */
import type { FileHandle } from "node:fs/promises"
import type { DatabaseSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")
const { access, link, mkdir, open, readdir, stat, unlink } = process.getBuiltinModule("node:fs/promises")
const { dirname, join } = process.getBuiltinModule("node:path")

export interface ArchiveObject {
  readonly name: string
  readonly bytes: number
}

/** Names are parts of `a-z 0-9 . -` with slashes between. Whatever fails is a `StorageError` `ArchiveUnreachable`, or what a method names. */
export interface ArchiveFiles {
  /** For messages. */
  readonly place: string
  /** Whole and durable, or not there at all. False when the name is taken: what is there stays. */
  putIfAbsent(name: string, bytes: AsyncIterable<Uint8Array>): Promise<boolean>
  has(name: string): Promise<boolean>
  /** The bytes from `from` on. */
  get(name: string, from?: number): AsyncIterable<Uint8Array>
  /** Everything whole, sorted by name. */
  list(): Promise<ReadonlyArray<ArchiveObject>>
  delete(name: string): Promise<void>
  /** Keeps other writers out until the answer is called, or the process is gone. Throws `ArchiveBusy`. */
  lock(): Promise<() => void>
}

const stagedPrefix = ".staged-"
const lockName = "archiver.lock"
const readBytes = 1 << 20

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** An archive in a folder: each object is staged, synced, linked to its name, and the folder synced. */
export function folderFiles(place: string): ArchiveFiles {
  const at = (name: string): string => join(place, name)
  const fail = (error: unknown): SteleError =>
    error instanceof SteleError
      ? error
      : new StorageError("ArchiveUnreachable", { archive: place, detail: error instanceof Error ? error.message : String(error) }, { cause: error })

  /** The archive's own folder is made when it is opened, and never again: a disk that is not mounted is no empty archive. */
  async function makeFolder(name: string): Promise<void> {
    if (name !== place && dirname(name) !== place) await makeFolder(dirname(name))
    try {
      await mkdir(name, { mode: 0o700 })
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error
      return
    }
    await syncFolder(dirname(name))
  }

  return {
    place,
    async putIfAbsent(name, bytes) {
      const path = at(name)
      const folder = dirname(path)
      let staged: FileHandle | undefined
      const stagedPath = join(folder, `${stagedPrefix}${randomBytes(8).toString("hex")}`)
      try {
        if (folder !== place) await makeFolder(folder)
        staged = await open(stagedPath, "wx", 0o600)
        for await (const part of bytes) for (let done = 0; done < part.length;) done += (await staged.write(part, done)).bytesWritten
        await staged.sync()
        // A link refuses a name that is taken; a rename would replace it.
        await link(stagedPath, path)
        await unlink(stagedPath)
        await syncFolder(folder)
        return true
      } catch (error) {
        await unlink(stagedPath).catch(() => {})
        if (codeOf(error) === "EEXIST") return false
        throw fail(error)
      } finally {
        await staged?.close()
      }
    },
    async has(name) {
      try {
        // An archive that is away as a whole is no archive that lacks something.
        await access(place)
        return await access(at(name)).then(
          () => true,
          () => false,
        )
      } catch (error) {
        throw fail(error)
      }
    },
    async *get(name, from = 0) {
      let file: FileHandle | undefined
      try {
        file = await open(at(name), "r")
        for (let position = from; ;) {
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(readBytes), 0, readBytes, position)
          if (bytesRead === 0) return
          position += bytesRead
          yield buffer.subarray(0, bytesRead)
        }
      } catch (error) {
        throw "code" in (error as object) && !(error instanceof SteleError) ? fail(error) : error
      } finally {
        await file?.close()
      }
    },
    async list() {
      try {
        const entries = await readdir(place, { withFileTypes: true, recursive: true })
        const names = entries
          .filter((entry) => entry.isFile() && !entry.name.startsWith(stagedPrefix))
          .map((entry) => join(entry.parentPath, entry.name).slice(join(place, "/").length).replaceAll("\\", "/"))
          .filter((name) => !name.startsWith(lockName))
        return await Promise.all(names.toSorted().map(async (name) => ({ name, bytes: (await stat(at(name))).size })))
      } catch (error) {
        throw fail(error)
      }
    },
    async delete(name) {
      try {
        await unlink(at(name))
        await syncFolder(dirname(at(name)))
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw fail(error)
      }
    },
    async lock() {
      let held: DatabaseSync | undefined
      try {
        await access(dirname(place))
        await makeFolder(place)
        // Node has no flock(2); SQLite's lock on an empty file is one that goes with the process.
        const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")
        held = new Database(at(lockName), { timeout: 0 })
        held.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        const lock = held
        await sweep(place)
        return () => lock.close()
      } catch (error) {
        held?.close()
        if ((error as { readonly errcode?: number }).errcode === 5) throw new StorageError("ArchiveBusy", { archive: place }, { cause: error })
        throw fail(error)
      }
    },
  }
}

/** What a writer that was killed has left half. Only whoever has the lock may do this. */
async function sweep(place: string): Promise<void> {
  const entries = await readdir(place, { withFileTypes: true, recursive: true })
  for (const entry of entries) if (entry.isFile() && entry.name.startsWith(stagedPrefix)) await unlink(join(entry.parentPath, entry.name))
}
