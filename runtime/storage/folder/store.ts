/** Objects in a folder: reads on the calling thread, rows by the writer's thread, files by the pool of the engine. */
import type { DatabaseSync } from "node:sqlite"
import { limitsFrom } from "../../../host/port/port.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { BlockingObjectStore, Collected, CollectOptions, Digest, Kept, ObjectFinding, ObjectInfo, ObjectStore, Upload } from "../../port/object.ts"
import { clockBase, clockFrom } from "../clock.ts"
import { syncFolder } from "../disk.ts"
import { missingDetail } from "../object/check.ts"
import { checkBytes, checkDigest, clip, digestBytes, digestOf, isUploadId, newUploadId } from "../object/digest.ts"
import { SumsBuilder } from "../object/sums.ts"
import { detailOf, reading, statementsOf } from "../sqlite/database.ts"
import { objectFile, type ObjectRow, objectsOf, openReader, rowFrom } from "./catalogue.ts"
import { checkFolder } from "./check.ts"
import { collectFolder } from "./collect.ts"
import { FolderSyncs, isMissing, ObjectFile, readBlocking } from "./file.ts"
import { noUpload, removeStaged, stagedFile, stagedTurns } from "./staging.ts"
import { WriterThread } from "./thread.ts"
import { FolderUpload } from "./upload.ts"
import { verifiedPieces } from "./resume.ts"

const { closeSync, fdatasyncSync, openSync, renameSync, writeSync } = process.getBuiltinModule("node:fs")
const { createHash } = process.getBuiltinModule("node:crypto")
const { join, resolve } = process.getBuiltinModule("node:path")

export const folderLimits = {
  /** Bytes up to which an object is a row of the catalogue; larger ones are files. */
  rowBytesMax: 64 << 10,
  /** Bytes of one object. */
  objectBytesMax: 2 ** 34,
  /** Bytes of one read into memory; what is longer is read as a stream. */
  readBytesMax: 64 << 20,
  /** Rows that may wait for the disk, each with at most `rowBytesMax` bytes; the next is refused. */
  pendingMax: 1_000,
  /** Uploads open at the same time, each with at most 1 MiB in memory; the next is refused. */
  uploadsMax: 128,
}
export type FolderLimits = typeof folderLimits

export interface FolderOptions {
  readonly limits?: Partial<FolderLimits>
  /** Go on without objects that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss?: boolean
}

export class FolderStore implements ObjectStore {
  readonly name: string
  readonly limits: FolderLimits
  readonly isResumable = true
  readonly blocking: BlockingObjectStore
  readonly #thread: WriterThread
  readonly #reader: DatabaseSync
  readonly #sql: ReturnType<typeof statementsOf>
  readonly #syncs = new FolderSyncs()
  readonly #open = new Map<string, FolderUpload>()
  readonly #clock = clockFrom(clockBase())
  #isClosed = false

  private constructor(folder: string, limits: FolderLimits, thread: WriterThread, reader: DatabaseSync) {
    this.name = folder
    this.limits = limits
    this.#thread = thread
    this.#reader = reader
    this.#sql = statementsOf(reader)
    this.blocking = {
      put: (value) => this.#putBlocking(value),
      read: (digest, start, end) => this.#readBlocking(digest, start, end),
      info: (digest) => this.#info(digest),
    }
  }

  /**
   * Opens the folder, or makes it in one that is there.
   * @throws ConfigError; StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static async open(path: string, options: FolderOptions = {}): Promise<FolderStore> {
    const limits = limitsFrom("folder", folderLimits, options.limits)
    const folder = resolve(path)
    const thread = new WriterThread(folder, options.acceptLoss ?? false, limits.pendingMax)
    try {
      return new FolderStore(folder, limits, thread, openReader(folder))
    } catch (error) {
      await thread.close()
      throw error
    }
  }

  /** Why nothing can be kept, if so: what is there can still be read. */
  get refusal(): Error | undefined {
    return this.#thread.refusal
  }

  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.name })
  }

  async upload(): Promise<Upload> {
    return this.#begin(newUploadId(), 0)
  }

  #begin(id: string, turn: number): FolderUpload {
    this.#check()
    const { rowBytesMax, objectBytesMax, uploadsMax } = this.limits
    if (this.#open.size >= uploadsMax) throw new StorageError("Overloaded", { store: this.name, pendingMax: uploadsMax })
    const place = {
      folder: this.name,
      rowBytesMax,
      objectBytesMax,
      syncs: this.#syncs,
      ask: this.#thread.ask.bind(this.#thread),
      done: (ended: string) => this.#open.delete(ended),
    }
    const upload = new FolderUpload(place, id, turn)
    this.#open.set(id, upload)
    return upload
  }

  async resume(id: string): Promise<Upload> {
    this.#check()
    if (!isUploadId(id)) throw noUpload(this.name, String(id).slice(0, 64), "it is no id of an upload")
    if (this.#open.has(id)) throw noUpload(this.name, id, "it is open already")
    const found = await stagedTurns(this.name, id)
    if (found === undefined) throw noUpload(this.name, id, "nothing of it is on the disk")
    if (this.#open.has(id)) throw noUpload(this.name, id, "it is open already")
    const upload = this.#begin(id, found.free)
    try {
      await upload.adopt(verifiedPieces(this.name, id, stagedFile(this.name, id, found.turn), found.progress))
      await removeStaged(this.name, id, found.free - 1)
      return upload
    } catch (error) {
      await upload.abort()
      throw isMissing(error) ? noUpload(this.name, id, "it was resumed elsewhere, or removed as dead") : error
    }
  }

  async staged(id: string): Promise<AsyncIterable<Uint8Array>> {
    this.#check()
    if (!isUploadId(id)) throw noUpload(this.name, String(id).slice(0, 64), "it is no id of an upload")
    if (this.#open.has(id)) throw noUpload(this.name, id, "it is open")
    const found = await stagedTurns(this.name, id)
    if (found === undefined) throw noUpload(this.name, id, "nothing of it is on the disk")
    return verifiedPieces(this.name, id, stagedFile(this.name, id, found.turn), found.progress)
  }

  async put(value: Uint8Array): Promise<Kept> {
    this.#check()
    checkBytes("value", value)
    if (value.length > this.limits.rowBytesMax) {
      await using upload = await this.upload()
      await upload.write(value)
      return await upload.commit()
    }
    const data = new Uint8Array(value)
    const digest = digestOf(data)
    await this.#thread.ask({ op: "keep", digest: new Uint8Array(digestBytes(digest)), bytes: data.length, data, file: null })
    return { digest, bytes: data.length }
  }

  #putBlocking(value: Uint8Array): Kept {
    this.#check()
    const { objectBytesMax, rowBytesMax } = this.limits
    const bytes = checkBytes("value", value).length
    if (bytes > objectBytesMax)
      throw new StorageError("ObjectLimit", { store: this.name, limit: "objectBytesMax", unit: "bytes", max: objectBytesMax, asked: bytes })
    const data = new Uint8Array(value)
    const digest = digestOf(data)
    const key = new Uint8Array(digestBytes(digest))
    if (bytes <= rowBytesMax) this.#thread.askBlocking({ op: "keep", digest: key, bytes, data, file: null })
    else this.#thread.askBlocking({ op: "keep", digest: key, bytes, data: null, file: this.#writeBlocking(digest, data) })
    return { digest, bytes }
  }

  /** The file of a large object, durable in its place; answers what its row calls it. */
  #writeBlocking(digest: Digest, data: Uint8Array): string {
    const id = newUploadId()
    const sums = new SumsBuilder()
    sums.add(data)
    try {
      const staged = stagedFile(this.name, id, 0)
      const file = openSync(staged, "wx", 0o600)
      try {
        for (const part of [data, sums.trailer(digest)]) for (let at = 0; at < part.length;) at += writeSync(file, part, at)
        fdatasyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(staged, objectFile(this.name, digest, `${id}-0`))
      syncFolder(join(objectsOf(this.name), digest.slice(0, 2)))
      return `${id}-0`
    } catch (error) {
      throw new StorageError("Failed", { store: this.name, detail: detailOf(error) }, { cause: error })
    }
  }

  touch(digest: Digest): Promise<boolean> {
    return this.#ask({ op: "touch", digest })
  }

  delete(digest: Digest): Promise<boolean> {
    return this.#ask({ op: "drop", digest, touchedMsMax: Number.MAX_SAFE_INTEGER })
  }

  async #ask(
    operation: { readonly op: "touch"; readonly digest: Digest } | { readonly op: "drop"; readonly digest: Digest; readonly touchedMsMax: number },
  ): Promise<boolean> {
    this.#check()
    return this.#thread.ask({ ...operation, digest: new Uint8Array(digestBytes(operation.digest)) })
  }

  #row(digest: Digest): ObjectRow | undefined {
    this.#check()
    const key = digestBytes(digest)
    return reading(this.name, () => rowFrom(this.#sql("SELECT digest, bytes, touched_ms, file, sum FROM object WHERE digest = ?").get(key), this.name, key))
  }

  /** A small object's bytes, proved; undefined when it is not one any more. */
  #data(digest: Digest): Uint8Array | undefined {
    const found = reading(this.name, () => this.#sql("SELECT data FROM object WHERE digest = ? AND data IS NOT NULL").get(digestBytes(digest)))
    if (found === undefined) return undefined
    const { data } = found
    if (!(data instanceof Uint8Array) || digestOf(data) !== digest)
      throw new StorageError("Damaged", { store: this.name, digest, detail: "its bytes in the catalogue are not those that were written" })
    return data
  }

  #info(digest: Digest): ObjectInfo | undefined {
    const row = this.#row(digest)
    return row === undefined ? undefined : { digest, bytes: row.bytes, touchedAtMs: row.touchedMs }
  }

  async info(digest: Digest): Promise<ObjectInfo | undefined> {
    return this.#info(digest)
  }

  #checkRead(bytes: number): void {
    const { readBytesMax } = this.limits
    if (bytes > readBytesMax) throw new StorageError("ObjectLimit", { store: this.name, limit: "readBytesMax", unit: "bytes", max: readBytesMax, asked: bytes })
  }

  #readBlocking(digest: Digest, start?: number, end?: number): Uint8Array | undefined {
    for (let last: string | null = null; ;) {
      const row = this.#row(digest)
      if (row === undefined) return undefined
      const range = clip(row.bytes, start, end)
      this.#checkRead(range.end - range.start)
      if (row.file === null) {
        const data = this.#data(digest)
        if (data !== undefined) return data.subarray(range.start, range.end)
        continue
      }
      try {
        const bytes = readBlocking(this.name, objectFile(this.name, digest, row.file), digest, row.bytes, range.start, range.end)
        if (bytes.length === row.bytes) this.#checkWhole(digest, digestOf(bytes))
        return bytes
      } catch (error) {
        last = this.#again(error, digest, row, last)
      }
    }
  }

  /** A file that is gone was removed or replaced since its row was read, once; when its row still names it, it is missing. */
  #again(error: unknown, digest: Digest, row: ObjectRow, last: string | null): string | null {
    if (!isMissing(error)) throw error
    if (row.file === last) throw new StorageError("Damaged", { store: this.name, digest, detail: missingDetail })
    return row.file
  }

  #checkWhole(digest: Digest, found: Digest): void {
    if (found !== digest) throw new StorageError("Damaged", { store: this.name, digest, detail: "its bytes are not those of its digest" })
  }

  async read(digest: Digest, start?: number, end?: number): Promise<Uint8Array | undefined> {
    const found = await this.#find(checkDigest(digest))
    if (found === undefined) return undefined
    if (found instanceof Uint8Array) {
      const range = clip(found.length, start, end)
      return found.subarray(range.start, range.end)
    }
    await using file = found
    const range = clip(file.bytes, start, end)
    this.#checkRead(range.end - range.start)
    return Buffer.concat(await Array.fromAsync(this.#pieces(file, digest, range.start, range.end)))
  }

  async stream(digest: Digest, start?: number, end?: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    const row = this.#row(checkDigest(digest))
    if (row === undefined) return undefined
    const range = clip(row.bytes, start, end)
    return this.#stream(digest, range.start, range.end)
  }

  /** Opens when the first piece is asked for: nobody need close what nobody has begun. */
  async *#stream(digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array, void, void> {
    const found = await this.#find(digest)
    if (found === undefined) throw new StorageError("Damaged", { store: this.name, digest, detail: "it was removed before it was read" })
    if (found instanceof Uint8Array) {
      if (start < end) yield found.subarray(start, end)
      return
    }
    await using file = found
    yield* this.#pieces(file, digest, start, end)
  }

  /** A small object's bytes, or the file of a large one. */
  async #find(digest: Digest): Promise<Uint8Array | ObjectFile | undefined> {
    for (let last: string | null = null; ;) {
      const row = this.#row(digest)
      if (row === undefined) return undefined
      if (row.file === null) {
        const data = this.#data(digest)
        if (data !== undefined) return data
        continue
      }
      try {
        return await ObjectFile.open(this.name, objectFile(this.name, digest, row.file), digest, row.bytes)
      } catch (error) {
        last = this.#again(error, digest, row, last)
      }
    }
  }

  async *#pieces(file: ObjectFile, digest: Digest, start: number, end: number): AsyncGenerator<Uint8Array, void, void> {
    const hash = end - start === file.bytes ? createHash("sha256") : undefined
    for await (const piece of file.pieces(start, end)) {
      hash?.update(piece)
      yield piece
    }
    if (hash !== undefined) this.#checkWhole(digest, hash.digest("hex"))
  }

  async list(after: Digest | undefined, countMax: number): Promise<ReadonlyArray<Digest>> {
    return this.#list(after, countMax, Number.MAX_SAFE_INTEGER)
  }

  #list(after: Digest | undefined, countMax: number, touchedMsMax: number): ReadonlyArray<Digest> {
    this.#check()
    const from = after === undefined ? Buffer.alloc(0) : digestBytes(after)
    const rows = reading(this.name, () =>
      this.#sql("SELECT digest FROM object WHERE digest > ? AND touched_ms <= ? ORDER BY digest LIMIT ?").all(from, touchedMsMax, countMax),
    )
    return rows.map(({ digest }) => {
      if (digest instanceof Uint8Array && digest.length === 32) return Buffer.from(digest).toString("hex")
      throw new StorageError("Corrupt", { store: this.name, table: "object", key: "digest" })
    })
  }

  check(expected?: Iterable<Digest> | AsyncIterable<Digest>): Promise<ReadonlyArray<ObjectFinding>> {
    this.#check()
    return checkFolder(this, this.#reader, expected)
  }

  async collect(options: CollectOptions): Promise<Collected> {
    this.#check()
    return collectFolder(options, {
      folder: this.name,
      beforeMs: Math.floor(this.#clock() / 1_000) - options.graceMs,
      list: (after, countMax, touchedMsMax) => this.#list(after, countMax, touchedMsMax),
      row: (digest) => this.#row(digest),
      ask: this.#thread.ask.bind(this.#thread),
      isOpen: (id) => this.#open.has(id),
    })
  }

  /** Waits for what was asked for, then lets go of the folder. Uploads that are open stay on the disk as they are. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const upload of this.#open.values()) await upload.release()
    this.#reader.close()
    await this.#thread.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
