/**
 * The side of a store that writes: groups of batches in one transaction each, every batch in its savepoint, acknowledged
 * after COMMIT. Plain and synchronous: it runs on a thread of its own (`worker.ts`). `docs/adr/0010-storage.md`
 * says why it is built so.
 */
import type { Hash } from "node:crypto"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { EventLimits } from "../../../host/port/event.ts"
import { CounterError, type KeyValueLimits } from "../../../host/port/key-value.ts"
import { detailOf, isBusy, isDamaged, openWriter, storageError } from "./database.ts"
import { type EventOperation, EventTable } from "./event.ts"
import { type KeyValueOperation, KeyValueTable } from "./key-value.ts"
import { Totals } from "./totals.ts"
import { type Commit, commitRowsMax, lossOf, Mark } from "./mark.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** What a batch consists of: data, so that it can be carried out on another thread. */
export type Operation = KeyValueOperation | EventOperation

/** What became of one batch: all of its answers in order, or the error for which none of it was kept. */
export type Outcome = { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error }

/** A group while it is made: hands out revisions and gathers the digest. */
export class Group {
  revision: number
  readonly #hash: Hash
  isEmpty = true
  /** Of the key-value rows, and of the events. */
  readonly keyValue: Totals
  readonly event: Totals

  constructor(last: { readonly revision: number; readonly digest: Uint8Array }, keyValue: Totals, event: Totals) {
    this.keyValue = keyValue
    this.event = event
    this.revision = last.revision
    this.#hash = createHash("sha256").update(last.digest)
  }

  /** Takes the next revision for a change and adds the change to the digest: each part with its length. */
  change(...parts: ReadonlyArray<Uint8Array>): number {
    this.isEmpty = false
    this.revision++
    for (const part of parts) this.#hash.update(Uint32Array.of(part.length)).update(part)
    return this.revision
  }

  /** Ends a batch: what it changed stands, or never was. */
  end(isKept: boolean): void {
    this.keyValue.end(isKept)
    this.event.end(isKept)
  }

  digest(): Uint8Array {
    return this.#hash.digest()
  }
}

const noDigest = new Uint8Array(32)
/** SQLite result code `SQLITE_FULL`: the one failure of COMMIT after which nothing can have been kept. */
const fullCode = 13

/** What each port takes and keeps. */
export interface StoreLimits {
  readonly keyValue: KeyValueLimits
  readonly event: EventLimits
}

export interface WriterOptions {
  /** Go on without commits that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss: boolean
  readonly limits: StoreLimits
}

export class SqliteWriter implements Disposable {
  readonly path: string
  readonly #writer: DatabaseSync
  readonly #mark: Mark
  readonly #keyValue: KeyValueTable
  readonly #event: EventTable
  readonly #limits: StoreLimits
  readonly #last: StatementSync
  readonly #insert: StatementSync
  readonly #forget: StatementSync
  readonly #savepoint: StatementSync
  readonly #release: StatementSync
  /** Why nothing more can be written. */
  #refusal: StorageError | undefined
  #isClosed = false

  private constructor(path: string, writer: DatabaseSync, mark: Mark, limits: StoreLimits) {
    this.path = path
    this.#writer = writer
    this.#mark = mark
    this.#keyValue = new KeyValueTable(writer, path, limits.keyValue)
    this.#event = new EventTable(writer, path)
    this.#limits = limits
    this.#last = writer.prepare("SELECT sequence, revision, digest FROM commit_group ORDER BY sequence DESC LIMIT 1")
    this.#insert = writer.prepare("INSERT INTO commit_group (sequence, revision, digest, committed_us) VALUES (?, ?, ?, ?)")
    this.#savepoint = writer.prepare("SAVEPOINT batch")
    this.#release = writer.prepare("RELEASE batch")
    this.#forget = writer.prepare("DELETE FROM commit_group WHERE sequence <= ?")
  }

  /**
   * Opens the file, or makes it.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static open(path: string, { acceptLoss, limits }: WriterOptions): SqliteWriter {
    const database = openWriter(path)
    let mark: Mark | undefined
    try {
      mark = Mark.open(`${path}-mark`)
      const writer = new SqliteWriter(path, database, mark, limits)
      writer.#compare(acceptLoss)
      return writer
    } catch (error) {
      mark?.close()
      database.close()
      throw storageError(path, error)
    }
  }

  /** Holds the newest commit against the mark: what the mark knows must be in the database. */
  #compare(acceptLoss: boolean): void {
    const loss = lossOf(this.#writer, this.#mark.read())
    if (loss === undefined) return
    if (acceptLoss) this.#mark.reset(this.#lastCommit())
    else this.#refusal = new StorageError("Lost", { store: this.path, ...loss })
  }

  #lastCommit(): Commit & { readonly revision: number } {
    const row = this.#last.get() as { sequence: number; revision: number; digest: Uint8Array } | undefined
    return row ?? { sequence: 0, revision: 0, digest: noDigest }
  }

  /** Why writes are refused, if they are: the store can still be read. */
  get refusal(): StorageError | undefined {
    return this.#refusal
  }

  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
  }

  /**
   * Carries out a group of batches: on return every batch with answers is on the disk.
   * @throws StorageError `Busy` or `Failed` when nothing of the group was kept; `Unknown` when nobody can tell, after
   * which the store must be opened again; `Lost` and `Closed`
   */
  commit(batches: ReadonlyArray<ReadonlyArray<Operation>>): ReadonlyArray<Outcome> {
    this.#check()
    if (this.#refusal !== undefined) throw this.#refusal
    const writer = this.#writer
    let outcomes: ReadonlyArray<Outcome>
    let commit: Commit
    try {
      writer.exec("BEGIN IMMEDIATE")
      const last = this.#lastCommit()
      const group = new Group(last, new Totals(this.#keyValue.totals), new Totals(this.#event.totals))
      outcomes = batches.map((batch) => this.#batch(group, batch))
      if (group.isEmpty) {
        writer.exec("ROLLBACK")
        return outcomes
      }
      this.#keyValue.totals.write(group.keyValue)
      this.#event.totals.write(group.event)
      commit = { sequence: last.sequence + 1, digest: group.digest() }
      this.#insert.run(commit.sequence, group.revision, commit.digest, Date.now() * 1_000)
      if (commit.sequence > commitRowsMax) this.#forget.run(commit.sequence - commitRowsMax)
    } catch (error) {
      if (writer.isTransaction) writer.exec("ROLLBACK")
      if (error instanceof SteleError) throw error
      if (isBusy(error) || isDamaged(error)) throw storageError(this.path, error)
      throw new StorageError("Failed", { store: this.path, detail: detailOf(error) }, { cause: error })
    }
    try {
      writer.exec("COMMIT")
    } catch (error) {
      if (((error as { readonly errcode?: number }).errcode ?? 0) === fullCode && writer.isTransaction) {
        writer.exec("ROLLBACK")
        throw new StorageError("Failed", { store: this.path, detail: detailOf(error) }, { cause: error })
      }
      // After a failed sync nobody knows what the disk has: no further write may build on it.
      this.#refusal = new StorageError("Unknown", { store: this.path, detail: detailOf(error) }, { cause: error })
      throw this.#refusal
    }
    try {
      this.#mark.write(commit)
    } catch {
      // The group is kept: a mark that is behind claims less, and the next commit writes it anew.
    }
    return outcomes
  }

  /** One batch in its savepoint: what it is refused for concerns nobody else in the group. */
  #batch(group: Group, batch: ReadonlyArray<Operation>): Outcome {
    // One key-value operation is refused before it writes: it needs no savepoint, which costs as much as the row.
    const isSingle = batch.length === 1 && batch[0]?.op !== "publish"
    if (!isSingle) this.#savepoint.run()
    try {
      const answers = batch.map((operation) =>
        operation.op === "publish" || operation.op === "drop"
          ? this.#event.apply(group, operation, this.#limits.event)
          : this.#keyValue.apply(group, operation),
      )
      if (!isSingle) this.#release.run()
      group.end(true)
      return { answers }
    } catch (error) {
      // Anything but a refusal is the database's own failure, and the whole group's.
      if (!(error instanceof SteleError || error instanceof CounterError)) throw error
      group.end(false)
      if (!isSingle) this.#writer.exec("ROLLBACK TO batch; RELEASE batch")
      return { error }
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#writer.close()
    this.#mark.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
