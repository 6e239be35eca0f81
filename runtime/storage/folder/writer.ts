/**
 * The side of a folder that decides: rows of objects in groups, one commit each, acknowledged after COMMIT. Whatever
 * another process could be doing to the same object at the same moment is settled here, under SQLite's lock on writing:
 * whether a file is still there when its row is written, whether an object is still old when it is collected. Plain and
 * synchronous: it runs on a thread of its own (`worker.ts`).
 */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { StoreClock } from "../clock.ts"
import { beginNow, detailOf, isBusy, isDamaged, isUndone, statementsOf, storageError } from "../sqlite/database.ts"
import { type Commit, commitRowsMax, lossOf, Mark } from "../sqlite/mark.ts"
import { catalogueOf, isFileName, objectFile, type ObjectRow, openWriter, rowFrom, sumOf, sumsMod } from "./catalogue.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const { existsSync, rmSync } = process.getBuiltinModule("node:fs")

/** What is asked of the writer, as data. Digests are 32 bytes here. */
export type Operation =
  /** Keeps an object, or keeps it anew: bytes, or the upload whose file has been moved into place. */
  | { readonly op: "keep"; readonly digest: Uint8Array; readonly bytes: number; readonly data: Uint8Array | null; readonly file: string | null }
  /** Begins the grace time anew. */
  | { readonly op: "touch"; readonly digest: Uint8Array }
  /** Removes an object, if it has not been touched after `touchedMsMax`. */
  | { readonly op: "drop"; readonly digest: Uint8Array; readonly touchedMsMax: number }
  /** Removes a file of an object, if no row names it. */
  | { readonly op: "sweep"; readonly digest: Uint8Array; readonly file: string }

/** What the operation did: kept, found, removed. */
export type Answer = boolean
export type Outcome = { readonly answer: Answer } | { readonly error: Error }

/** Operations that one commit takes at most: the first of them waits for the last. */
export const groupMax = 512

const noDigest = new Uint8Array(32)

export class FolderWriter implements Disposable {
  readonly #folder: string
  readonly #database: DatabaseSync
  readonly #sql: ReturnType<typeof statementsOf>
  readonly #mark: Mark
  readonly #clock: StoreClock
  #refusal: StorageError | undefined
  /** Files that no row names once the group is committed. */
  #unlinked: Array<string> = []
  #total = { objects: 0, bytes: 0, sums: 0 }
  #isClosed = false

  private constructor(folder: string, database: DatabaseSync, mark: Mark, clock: StoreClock) {
    this.#folder = folder
    this.#database = database
    this.#sql = statementsOf(database)
    this.#mark = mark
    this.#clock = clock
  }

  /** Opens the folder, or makes it. Throws `StorageError` `Unreachable`, `Foreign`, `Newer` or `Busy`. */
  static open(folder: string, acceptLoss: boolean, clock: StoreClock): FolderWriter {
    const database = openWriter(folder)
    let mark: Mark | undefined
    try {
      mark = Mark.open(`${catalogueOf(folder)}-mark`)
      const writer = new FolderWriter(folder, database, mark, clock)
      const loss = lossOf(database, mark.read())
      if (loss !== undefined) {
        if (acceptLoss) mark.reset(writer.#lastCommit())
        else writer.#refusal = new StorageError("Lost", { store: folder, ...loss })
      }
      return writer
    } catch (error) {
      mark?.close()
      database.close()
      throw storageError(folder, error)
    }
  }

  get refusal(): StorageError | undefined {
    return this.#refusal
  }

  #lastCommit(): Commit {
    return (
      (this.#sql("SELECT sequence, digest FROM commit_group ORDER BY sequence DESC LIMIT 1").get() as Commit | undefined) ?? { sequence: 0, digest: noDigest }
    )
  }

  /** Carries out a group; what all of it is refused for is what became of each. */
  settle(operations: ReadonlyArray<Operation>): ReadonlyArray<Outcome> {
    try {
      return this.commit(operations)
    } catch (error) {
      return operations.map(() => ({ error: error as Error }))
    }
  }

  /**
   * Carries out a group: on return everything with an answer is on the disk.
   * @throws StorageError `Busy` or `Failed` when nothing of the group was kept; `Unknown` when nobody can tell; `Lost`
   *
   * `isPatient`: wait for another process's write. Default true.
   */
  commit(operations: ReadonlyArray<Operation>, isPatient = true): ReadonlyArray<Outcome> {
    if (this.#refusal !== undefined) throw this.#refusal
    const database = this.#database
    let outcomes: ReadonlyArray<Outcome>
    let commit: Commit
    this.#unlinked = []
    try {
      if (isPatient) database.exec("BEGIN IMMEDIATE")
      else beginNow(database, this.#folder)
      this.#total = this.#sql("SELECT objects, bytes, sums FROM object_total").get() as { objects: number; bytes: number; sums: number }
      const last = this.#lastCommit()
      const hash = createHash("sha256").update(last.digest)
      let isEmpty = true
      outcomes = operations.map((operation) => {
        try {
          const answer = this.#apply(operation)
          if (answer && operation.op !== "sweep") {
            isEmpty = false
            hash.update(operation.op).update(operation.digest)
          }
          return { answer }
        } catch (error) {
          // A refusal comes before anything is written; all else is the database's own failure, and the whole group's.
          if (error instanceof StorageError) return { error }
          throw error
        }
      })
      if (isEmpty) {
        database.exec("ROLLBACK")
        return outcomes
      }
      const { objects, bytes, sums } = this.#total
      this.#sql("UPDATE object_total SET objects = ?, bytes = ?, sums = ?").run(objects, bytes, sums)
      commit = { sequence: last.sequence + 1, digest: hash.digest() }
      this.#sql("INSERT INTO commit_group (sequence, digest) VALUES (?, ?)").run(commit.sequence, commit.digest)
      this.#sql("DELETE FROM commit_group WHERE sequence <= ?").run(commit.sequence - commitRowsMax)
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK")
      if (error instanceof StorageError || isBusy(error) || isDamaged(error)) throw storageError(this.#folder, error)
      throw new StorageError("Failed", { store: this.#folder, detail: detailOf(error) }, { cause: error })
    }
    try {
      database.exec("COMMIT")
    } catch (error) {
      const detail = detailOf(error)
      if (isUndone(database, error, commit.sequence - 1)) throw new StorageError("Failed", { store: this.#folder, detail }, { cause: error })
      // After a failed sync nobody knows what the disk has: no further row may build on it.
      this.#refusal = new StorageError("Unknown", { store: this.#folder, detail }, { cause: error })
      throw this.#refusal
    }
    try {
      this.#mark.write(commit)
    } catch {
      // The group is kept: a mark that is behind claims less, and the next commit writes it anew.
    }
    // One that stays when the process dies here is swept by a later collection.
    for (const path of this.#unlinked) rmSync(path, { force: true })
    return outcomes
  }

  #apply(operation: Operation): Answer {
    const digest = Buffer.from(operation.digest)
    if (operation.op === "keep") return this.#keep(digest, operation)
    const row = this.#row(digest, operation.op !== "touch")
    if (operation.op === "sweep") {
      if (row !== undefined && (row === "damaged" || row.file === operation.file)) return false
      // Before the commit, and under the lock: afterwards another process could have given it a row.
      rmSync(objectFile(this.#folder, digest.toString("hex"), operation.file), { force: true })
      return true
    }
    if (row === undefined) return false
    if (operation.op === "drop") {
      if (row !== "damaged" && row.touchedMs > operation.touchedMsMax) return false
      this.#forget(digest)
      return true
    }
    const now = { ...(row as ObjectRow), touchedMs: this.#nowMs(row as ObjectRow) }
    this.#count(row as ObjectRow, -1)
    this.#sql("UPDATE object SET touched_ms = ?, sum = ? WHERE digest = ?").run(now.touchedMs, sumOf(now), digest)
    this.#count(now, 1)
    return true
  }

  /** The newest bytes are known to be good, which the older may no longer be: they take their place. */
  #keep(digest: Buffer, { bytes, data, file }: Operation & { readonly op: "keep" }): Answer {
    if (file !== null && !existsSync(objectFile(this.#folder, digest.toString("hex"), file)))
      throw new StorageError("Upload", { store: this.#folder, upload: file, detail: "its file has been removed" })
    const old = this.#row(digest, true)
    const row = { digest, bytes, touchedMs: this.#nowMs(old === "damaged" ? undefined : old), file }
    if (old !== undefined) this.#forget(digest, file)
    this.#sql("INSERT INTO object (digest, bytes, touched_ms, file, sum, data) VALUES (?, ?, ?, ?, ?, ?)").run(
      digest,
      bytes,
      row.touchedMs,
      file,
      sumOf(row),
      data,
    )
    this.#count(row, 1)
    return true
  }

  #nowMs(old: ObjectRow | undefined): number {
    return Math.max(Math.floor(this.#clock() / 1_000), old?.touchedMs ?? 0)
  }

  #row(digest: Buffer, mayBeDamaged: boolean): ObjectRow | "damaged" | undefined {
    try {
      return rowFrom(this.#sql("SELECT digest, bytes, touched_ms, file, sum FROM object WHERE digest = ?").get(digest), this.#folder, digest)
    } catch (error) {
      if (mayBeDamaged && error instanceof StorageError) return "damaged"
      throw error
    }
  }

  /** Whatever the row says, its sum as it stands there is what the totals have of it. */
  #forget(digest: Buffer, kept: string | null = null): void {
    const { bytes, sum, file } = this.#sql("DELETE FROM object WHERE digest = ? RETURNING bytes, sum, file").get(digest) ?? {}
    const [size, sums] = [bytes, sum].map((value) => (typeof value === "number" ? value : 0)) as [number, number]
    this.#add(-1, -size, -sums)
    // Of a row that is damaged, a name that was never one of ours is not followed.
    if (isFileName(file) && file !== kept) this.#unlinked.push(objectFile(this.#folder, digest.toString("hex"), file))
  }

  #count(row: ObjectRow, sign: 1 | -1): void {
    this.#add(sign, sign * row.bytes, sign * sumOf(row))
  }

  #add(objects: number, bytes: number, sums: number): void {
    const { objects: o, bytes: b, sums: s } = this.#total
    this.#total = { objects: o + objects, bytes: b + bytes, sums: (((s + sums) % sumsMod) + sumsMod) % sumsMod }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#database.close()
    this.#mark.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
