/**
 * The side of a store that writes: groups of batches in one transaction each, every batch in its savepoint, acknowledged
 * after COMMIT. Plain and synchronous: it runs on a thread of its own (`worker.ts`). `docs/adr/0010-storage.md`
 * says why it is built so.
 */
import type { Hash } from "node:crypto"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { CounterError } from "../../../host/port/key-value.ts"
import type { StoreLimits } from "../../port/limits.ts"
import type { Operation } from "../../port/store.ts"
import type { SqlOperation } from "../../port/sql.ts"
import type { StoreClock } from "../clock.ts"
import { beginNow, detailOf, isBusy, isDamaged, isUndone, openMemory, openWriter, storageError } from "./database.ts"
import { type Commit, type CommitMark, commitRowsMax, lossOf, Mark } from "./mark.ts"
import { isFence } from "./fence.ts"
import { needsNoSavepoint, Tables } from "./table.ts"
import { Totals, type TotalTable } from "./totals.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** What became of one batch: all of its answers in order, or the error for which none of it was kept. */
export type Outcome = { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error }

interface LastCommit extends Commit {
  readonly revision: number
  readonly committedUs: number
}

/** What is to be hashed next: one group is made at a time. */
const gathering = Buffer.allocUnsafe(64 << 10)

/** A group while it is made: hands out revisions and gathers the digest. */
export class Group {
  revision: number
  readonly #hash: Hash
  isEmpty = true
  /** The store's time for what is written now, µs since the Unix epoch: not before it was asked for, or a lease would end before its holder thinks so. */
  nowUs: number
  readonly #totals = new Map<TotalTable, Totals>()
  #gathered = 0

  constructor(last: LastCommit, nowUs: number) {
    this.revision = last.revision
    // Another process's clock may be ahead: time in a store never goes back.
    this.nowUs = Math.max(nowUs, last.committedUs)
    this.#hash = createHash("sha256").update(last.digest)
  }

  /** Takes the next revision for a change and adds the change to the digest: each part with its length. */
  change(...parts: ReadonlyArray<Uint8Array>): number {
    this.isEmpty = false
    this.revision++
    for (const part of parts) this.#add(part)
    return this.revision
  }

  /** Time goes on for what arrived while the group was written. */
  goOn(nowUs: number): void {
    this.nowUs = Math.max(nowUs, this.nowUs)
  }

  /** Revisions of this group are greater from here on. */
  raise(revision: number): void {
    this.revision = Math.max(this.revision, revision)
  }

  /** Hashing has a price for each call that is more than that of the bytes: small parts are gathered. */
  #add(part: Uint8Array): void {
    if (this.#gathered + 4 + part.length > gathering.length) {
      this.#flush()
      if (4 + part.length > gathering.length) {
        this.#hash.update(Uint32Array.of(part.length)).update(part)
        return
      }
    }
    gathering.writeUInt32LE(part.length, this.#gathered)
    gathering.set(part, this.#gathered + 4)
    this.#gathered += 4 + part.length
  }

  #flush(): void {
    this.#hash.update(gathering.subarray(0, this.#gathered))
    this.#gathered = 0
  }

  /** A table's totals as this group leaves them. */
  totals(table: TotalTable): Totals {
    let totals = this.#totals.get(table)
    if (totals === undefined) {
      totals = new Totals(table)
      this.#totals.set(table, totals)
    }
    return totals
  }

  /** Ends a batch: what it changed stands, or never was. */
  end(isKept: boolean): void {
    for (const totals of this.#totals.values()) totals.end(isKept)
  }

  /** Writes what tenants' rows add up to, once for all batches. */
  writeTotals(): void {
    for (const [table, totals] of this.#totals) table.write(totals)
  }

  digest(): Uint8Array {
    this.#flush()
    return this.#hash.digest()
  }
}

const noDigest = new Uint8Array(32)

interface Begun {
  readonly group: Group
  readonly last: LastCommit
  /** What everything but a fence is refused with. */
  readonly fenced: StorageError | undefined
}

/** A transaction of one owner. */
export interface OpenTransaction {
  apply(operation: SqlOperation): unknown
  commit(): void
  rollback(): void
}

export interface CommitOptions {
  /** Wait for another process's write. Default true. */
  readonly isPatient?: boolean
  /** Batches that have arrived meanwhile: they go into the same group. Default: none. */
  more?(): ReadonlyArray<ReadonlyArray<Operation>>
}

export interface WriterOptions {
  /** Go on without commits that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss: boolean
  readonly limits: StoreLimits
  readonly clock: StoreClock
  /** Asked under the lock of each group: what everything but a fence is refused with, if it is. */
  readonly guard?: () => StorageError | undefined
}

export class SqliteWriter implements Disposable {
  readonly path: string
  readonly #writer: DatabaseSync
  /** Undefined where nothing outlives the process. */
  readonly #mark: CommitMark | undefined
  readonly #tables: Tables
  readonly #clock: StoreClock
  readonly #guard: WriterOptions["guard"]
  readonly #last: StatementSync
  readonly #insert: StatementSync
  readonly #forget: StatementSync
  readonly #beginning: StatementSync
  readonly #committing: StatementSync
  readonly #savepoint: StatementSync
  readonly #release: StatementSync
  /** Why nothing more can be written. */
  #refusal: StorageError | undefined
  #isClosed = false

  private constructor(path: string, writer: DatabaseSync, mark: CommitMark | undefined, { limits, clock, guard }: Omit<WriterOptions, "acceptLoss">) {
    this.path = path
    this.#writer = writer
    this.#mark = mark
    this.#tables = new Tables({ database: writer, store: path, limits, clock })
    this.#clock = clock
    this.#guard = guard
    this.#last = writer.prepare("SELECT sequence, revision, digest, committed_us AS committedUs FROM commit_group ORDER BY sequence DESC LIMIT 1")
    this.#insert = writer.prepare("INSERT INTO commit_group (sequence, revision, digest, committed_us) VALUES (?, ?, ?, ?)")
    this.#beginning = writer.prepare("BEGIN IMMEDIATE")
    this.#committing = writer.prepare("COMMIT")
    this.#savepoint = writer.prepare("SAVEPOINT batch")
    this.#release = writer.prepare("RELEASE batch")
    this.#forget = writer.prepare("DELETE FROM commit_group WHERE sequence <= ?")
  }

  /**
   * Opens the file, or makes it.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static open(path: string, options: WriterOptions): SqliteWriter {
    const database = openWriter(path)
    try {
      return SqliteWriter.over(path, database, Mark.open(`${path}-mark`), options)
    } catch (error) {
      if (database.isOpen) database.close()
      throw storageError(path, error)
    }
  }

  /** Over a database that is open for writing and a mark kept anywhere: both are the writer's from here on, also when it throws. */
  static over(path: string, database: DatabaseSync, mark: CommitMark, { acceptLoss, ...options }: WriterOptions): SqliteWriter {
    try {
      const writer = new SqliteWriter(path, database, mark, options)
      writer.#compare(acceptLoss)
      return writer
    } catch (error) {
      mark.close()
      database.close()
      throw storageError(path, error)
    }
  }

  /** A store in memory: its database is the reader's too. */
  static memory(name: string, options: Omit<WriterOptions, "acceptLoss">): { readonly writer: SqliteWriter; readonly database: DatabaseSync } {
    const database = openMemory()
    return { writer: new SqliteWriter(name, database, undefined, options), database }
  }

  /** Holds the newest commit against the mark: what the mark knows must be in the database. */
  #compare(acceptLoss: boolean): void {
    const loss = lossOf(this.#writer, this.#mark?.read())
    if (loss === undefined) return
    if (acceptLoss) this.#mark?.reset(this.#lastCommit())
    else this.#refusal = new StorageError("Lost", { store: this.path, ...loss })
  }

  #lastCommit(): LastCommit {
    return (this.#last.get() as LastCommit | undefined) ?? { sequence: 0, revision: 0, digest: noDigest, committedUs: 0 }
  }

  /** Why writes are refused, if they are: the store can still be read. */
  get refusal(): StorageError | undefined {
    return this.#refusal
  }

  /** Before anything that could be taken back with somebody else's. */
  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#writer.isTransaction) throw new StorageError("Busy", { store: this.path, waitedMs: 0 })
  }

  /** Takes the lock and begins a group, in which what has ended is gone. */
  #begin(isPatient: boolean): Begun {
    if (isPatient) this.#beginning.run()
    else beginNow(this.#writer, this.path)
    const last = this.#lastCommit()
    this.#clock.advance?.(last.committedUs)
    const group = new Group(last, this.#clock())
    // Read under the lock of the group: what is committed after the fence's own commit would be in neither store.
    const fenced = this.#tables.fence.refusal() ?? this.#guard?.()
    if (fenced === undefined) {
      this.#tables.sweep(group)
      group.end(true)
    }
    return { group, last, fenced }
  }

  /** Takes back all of a group. */
  #undo(error: unknown): never {
    if (this.#writer.isTransaction) this.#writer.exec("ROLLBACK")
    if (error instanceof SteleError) throw error
    if (isBusy(error) || isDamaged(error)) throw storageError(this.path, error)
    throw new StorageError("Failed", { store: this.path, detail: detailOf(error) }, { cause: error })
  }

  /** Ends a group: on return it is on the disk. */
  #end(group: Group, last: LastCommit): void {
    const writer = this.#writer
    if (group.isEmpty) return writer.exec("ROLLBACK")
    let commit: Commit
    try {
      group.writeTotals()
      commit = { sequence: last.sequence + 1, digest: group.digest() }
      this.#insert.run(commit.sequence, group.revision, commit.digest, group.nowUs)
      if (commit.sequence > commitRowsMax) this.#forget.run(commit.sequence - commitRowsMax)
    } catch (error) {
      return this.#undo(error)
    }
    try {
      this.#committing.run()
    } catch (error) {
      if (isUndone(writer, error, last.sequence)) throw new StorageError("Failed", { store: this.path, detail: detailOf(error) }, { cause: error })
      // After a failed sync nobody knows what the disk has: no further write may build on it.
      this.#refusal = new StorageError("Unknown", { store: this.path, detail: detailOf(error) }, { cause: error })
      throw this.#refusal
    }
    try {
      this.#mark?.write(commit)
    } catch {
      // The group is kept: a mark that is behind claims less, and the next commit writes it anew.
    }
  }

  /**
   * Carries out a group of batches: on return every batch with answers is on the disk. When all are written, `more` is
   * asked for those that have arrived meanwhile, until there are none.
   * @throws StorageError `Busy` or `Failed` when nothing of the group was kept; `Unknown` when nobody can tell, after
   * which the store must be opened again; `Lost` and `Closed`
   */
  commit(batches: ReadonlyArray<ReadonlyArray<Operation>>, { isPatient = true, more = () => [] }: CommitOptions = {}): ReadonlyArray<Outcome> {
    this.#check()
    let begun: Begun
    const outcomes: Array<Outcome> = []
    try {
      begun = this.#begin(isPatient)
      const { group, fenced } = begun
      for (let some = batches; some.length > 0; some = more()) {
        if (some !== batches) group.goOn(this.#clock())
        for (const batch of some) outcomes.push(fenced === undefined || isFence(batch) ? this.#batch(group, batch) : { error: fenced })
      }
    } catch (error) {
      return this.#undo(error)
    }
    this.#end(begun.group, begun.last)
    return outcomes
  }

  /**
   * Begins a transaction that stays open over several calls; `commit` must wait for its end.
   * @throws as `commit`
   */
  transaction(): OpenTransaction {
    this.#check()
    let begun: Begun
    try {
      begun = this.#begin(true)
      if (begun.fenced !== undefined) throw begun.fenced
    } catch (error) {
      return this.#undo(error)
    }
    const { group, last } = begun
    return {
      apply: (operation) => {
        try {
          const answer = this.#tables.apply(group, operation)
          group.end(true)
          return answer
        } catch (error) {
          group.end(false)
          // A statement that SQLite refuses has changed nothing; anything else ends the transaction.
          const isHarmless = error instanceof StorageError && error.reason._tag === "Sql" && operation.isScript !== true
          if (isHarmless && this.#writer.isTransaction) throw error
          return this.#undo(error)
        }
      },
      commit: () => this.#end(group, last),
      rollback: () => {
        if (this.#writer.isTransaction) this.#writer.exec("ROLLBACK")
      },
    }
  }

  /** One batch in its savepoint: what it is refused for concerns nobody else in the group. */
  #batch(group: Group, batch: ReadonlyArray<Operation>): Outcome {
    const isSingle = needsNoSavepoint(batch)
    if (!isSingle) this.#savepoint.run()
    try {
      const answers = batch.map((operation) => this.#tables.apply(group, operation))
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
    this.#mark?.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
