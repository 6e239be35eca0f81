/**
 * A store in one SQLite file: groups of batches in one transaction each, every batch in its savepoint, acknowledged after
 * COMMIT. Plain and synchronous; `docs/adr/0010-storage.md` says why it is built so.
 */
import type { Hash } from "node:crypto"
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { CounterError } from "../../../host/port/key-value.ts"
import { busyMsMax, isBusy, openDatabase } from "./database.ts"
import { checkKeyValue, type KeyValueOperation, KeyValueTable } from "./key-value.ts"
import { type Commit, Mark } from "./mark.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** What a batch consists of: data, so that it can be carried out on another thread. */
export type Operation = KeyValueOperation

/** What became of one batch: all of its answers in order, or the error for which none of it was kept. */
export type Outcome = { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error }

export interface Finding {
  readonly table: string
  /** Which row, as text; empty for the table as a whole. */
  readonly key: string
  readonly detail: string
}

/** A group while it is made: hands out revisions and gathers the digest. */
export class Group {
  revision: number
  readonly #hash: Hash
  isEmpty = true

  constructor(last: { readonly revision: number; readonly digest: Uint8Array }) {
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

  digest(): Uint8Array {
    return this.#hash.digest()
  }
}

/** Commit rows kept, newest first: a mark is at most as old as the last loss of power. */
const commitRowsMax = 1_000
const noDigest = new Uint8Array(32)
/** SQLite result code `SQLITE_FULL`: the one failure of COMMIT after which nothing can have been kept. */
const fullCode = 13

const detailOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

export interface SqliteOptions {
  /** Go on without commits that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss?: boolean
}

export class SqliteStore implements Disposable {
  readonly path: string
  readonly #writer: DatabaseSync
  readonly #reader: DatabaseSync
  readonly #mark: Mark
  readonly #keyValue: KeyValueTable
  readonly #readKeyValue: KeyValueTable
  readonly #last: StatementSync
  readonly #insert: StatementSync
  readonly #forget: StatementSync
  /** Why nothing more can be written. */
  #refusal: StorageError | undefined
  #isClosed = false

  private constructor(path: string, writer: DatabaseSync, reader: DatabaseSync, mark: Mark) {
    this.path = path
    this.#writer = writer
    this.#reader = reader
    this.#mark = mark
    this.#keyValue = new KeyValueTable(writer, path)
    this.#readKeyValue = new KeyValueTable(reader, path)
    this.#last = writer.prepare("SELECT sequence, revision, digest FROM commit_group ORDER BY sequence DESC LIMIT 1")
    this.#insert = writer.prepare("INSERT INTO commit_group (sequence, revision, digest, committed_us) VALUES (?, ?, ?, ?)")
    this.#forget = writer.prepare("DELETE FROM commit_group WHERE sequence <= ?")
  }

  /**
   * Opens the file, or makes it.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static open(path: string, { acceptLoss = false }: SqliteOptions = {}): SqliteStore {
    const { writer, reader } = openDatabase(path)
    let mark: Mark | undefined
    try {
      mark = Mark.open(`${path}-mark`)
      const store = new SqliteStore(path, writer, reader, mark)
      store.#compare(acceptLoss)
      return store
    } catch (error) {
      mark?.close()
      reader.close()
      writer.close()
      throw error instanceof SteleError ? error : new StorageError("Unreachable", { store: path, detail: detailOf(error) }, { cause: error })
    }
  }

  /** Holds the newest commit against the mark: what the mark knows must be in the database. */
  #compare(acceptLoss: boolean): void {
    const last = this.#lastCommit()
    const known = this.#mark.read()
    if (known === undefined) return
    const row = this.#writer.prepare("SELECT digest FROM commit_group WHERE sequence = ?").get(known.sequence)
    const isPast = known.sequence <= last.sequence - commitRowsMax
    if (isPast || (row !== undefined && Buffer.from(row["digest"] as Uint8Array).equals(known.digest))) return
    if (acceptLoss) this.#mark.reset(last)
    else this.#refusal = new StorageError("Lost", { store: this.path, found: last.sequence, known: known.sequence })
  }

  #lastCommit(): Commit & { readonly revision: number } {
    const row = this.#last.get() as { sequence: number; revision: number; digest: Uint8Array } | undefined
    return row ?? { sequence: 0, revision: 0, digest: noDigest }
  }

  /** Why writes are refused, if they are: the store can still be read. */
  get refusal(): StorageError | undefined {
    return this.#refusal
  }

  /** Number of the newest commit. */
  get sequence(): number {
    this.#check()
    return this.#lastCommit().sequence
  }

  /** The key-value rows as they are committed. */
  get keyValue(): Pick<KeyValueTable, "get" | "has" | "list"> {
    this.#check()
    return this.#readKeyValue
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
      const group = new Group(last)
      outcomes = batches.map((batch) => this.#batch(group, batch))
      if (group.isEmpty) {
        writer.exec("ROLLBACK")
        return outcomes
      }
      commit = { sequence: last.sequence + 1, digest: group.digest() }
      this.#insert.run(commit.sequence, group.revision, commit.digest, Date.now() * 1_000)
      if (commit.sequence > commitRowsMax) this.#forget.run(commit.sequence - commitRowsMax)
    } catch (error) {
      if (writer.isTransaction) writer.exec("ROLLBACK")
      if (error instanceof SteleError) throw error
      if (isBusy(error)) throw new StorageError("Busy", { store: this.path, waitedMs: busyMsMax }, { cause: error })
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
    // In place and within one sector: a disk that is full does not refuse it.
    this.#mark.write(commit)
    return outcomes
  }

  /** One batch in its savepoint: what it is refused for concerns nobody else in the group. */
  #batch(group: Group, batch: ReadonlyArray<Operation>): Outcome {
    const writer = this.#writer
    writer.exec("SAVEPOINT batch")
    try {
      const answers = batch.map((operation) => this.#keyValue.apply(group, operation))
      writer.exec("RELEASE batch")
      return { answers }
    } catch (error) {
      // Anything but a refusal is the database's own failure, and the whole group's.
      if (!(error instanceof SteleError || error instanceof CounterError)) throw error
      writer.exec("ROLLBACK TO batch; RELEASE batch")
      return { error }
    }
  }

  /** Reads every row and holds it against its sum and its tenant's totals; finds what changed, went missing or came from elsewhere. */
  check(): ReadonlyArray<Finding> {
    this.#check()
    const findings: Array<Finding> = []
    try {
      for (const row of this.#reader.prepare("PRAGMA integrity_check").all()) {
        const detail = String(Object.values(row)[0])
        if (detail !== "ok") findings.push({ table: "", key: "", detail })
      }
      findings.push(...checkKeyValue(this.#reader))
      const gaps = this.#reader
        .prepare(
          "SELECT sequence FROM commit_group AS later WHERE sequence > (SELECT min(sequence) FROM commit_group) AND NOT EXISTS (SELECT 1 FROM commit_group WHERE sequence = later.sequence - 1)",
        )
        .all()
      for (const { sequence } of gaps) findings.push({ table: "commit_group", key: String(sequence), detail: "the commit before it is missing" })
    } catch (error) {
      findings.push({ table: "", key: "", detail: detailOf(error) })
    }
    return findings
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#reader.close()
    this.#writer.close()
    this.#mark.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
