/** The side of a store that reads: a connection of its own that sees what is committed, on the thread that asks. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { type StoreLimits, storeLimits } from "../../port/limits.ts"
import type { Answers, Finding, Question } from "../../port/store.ts"
import { clockBase, clockFrom, type StoreClock } from "../clock.ts"
import { detailOf, openReader, pragma, reading, storageError } from "./database.ts"
import { lossOf, Mark } from "./mark.ts"
import { Tables } from "./table.ts"
import { everybody } from "./totals.ts"

export type { Finding }

/** What a table holds. */
export interface TableInfo {
  readonly table: string
  /** What is counted: "key", "topic". */
  readonly counts: string
  readonly count: number
  /** Of what is counted and what is kept under it. */
  readonly bytes: number
  readonly tenants: number
}

export interface StoreInfo {
  readonly store: string
  readonly format: number
  /** Of the database file; what its log holds beside it not counted. */
  readonly bytes: number
  /** Number of the newest commit. */
  readonly commits: number
  readonly committedAtMs: number | undefined
  readonly tables: ReadonlyArray<TableInfo>
}

export class SqliteReader implements Disposable {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #tables: Tables
  /** A database that was given is closed by who opened it. */
  readonly #isOwn: boolean
  #isClosed = false

  /**
   * Reads a file, or a database that is open already.
   * @throws StorageError `Unreachable`, `Busy`
   */
  constructor(path: string, clock: StoreClock = clockFrom(clockBase()), given?: DatabaseSync, limits: StoreLimits = storeLimits) {
    this.path = path
    this.#isOwn = given === undefined
    let database = given
    try {
      database ??= openReader(path)
      this.#database = database
      this.#tables = new Tables({ database, store: path, limits, clock })
    } catch (error) {
      if (given === undefined) database?.close()
      throw storageError(path, error)
    }
  }

  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
  }

  /** Number of the newest commit. */
  get sequence(): number {
    this.#check()
    return Number(this.#database.prepare("SELECT max(sequence) AS newest FROM commit_group").get()?.["newest"] ?? 0)
  }

  /** How many commits there are after one, and when the oldest of those still listed was made (µs since 1970). */
  committedAfter(sequence: number): { readonly count: number; readonly firstUs: number | undefined } {
    const first = this.#database.prepare("SELECT committed_us FROM commit_group WHERE sequence > ? ORDER BY sequence LIMIT 1").get(sequence)
    return { count: Math.max(0, this.sequence - sequence), firstUs: first === undefined ? undefined : Number(first["committed_us"]) }
  }

  /** What is committed. */
  ask<Q extends Question>(question: Q): Answers[Q["ask"]] {
    this.#check()
    return reading(this.path, () => this.#tables.ask(question)) as Answers[Q["ask"]]
  }

  /** What is in the store, in numbers. */
  info(): StoreInfo {
    this.#check()
    const newest = this.#database.prepare("SELECT sequence, committed_us FROM commit_group ORDER BY sequence DESC LIMIT 1").get()
    return {
      store: this.path,
      format: pragma(this.#database, "user_version"),
      bytes: pragma(this.#database, "page_count") * pragma(this.#database, "page_size"),
      commits: Number(newest?.["sequence"] ?? 0),
      committedAtMs: newest === undefined ? undefined : Number(newest["committed_us"]) / 1_000,
      tables: this.#tables.all.map(({ name, counts, totals }) => {
        const { keys, bytes } = totals.get(everybody)
        // Everybody's own row is no tenant.
        return { table: name, counts, count: keys, bytes, tenants: Math.max(0, [...totals.all()].filter(([, total]) => total.keys > 0).length - 1) }
      }),
    }
  }

  /** Numbers of the newest commit there is and of one that was acknowledged and is not there; undefined when nothing is missing. */
  loss(): { readonly found: number; readonly known: number } | undefined {
    this.#check()
    return lossOf(this.#database, Mark.peek(`${this.path}-mark`))
  }

  /** Reads every row and holds it against its sum and its tenant's totals; finds what changed, went missing or came from elsewhere. */
  check(): ReadonlyArray<Finding> {
    this.#check()
    const findings: Array<Finding> = []
    // Before the snapshot: what is committed after it is not missing from it.
    const known = Mark.peek(`${this.path}-mark`)
    try {
      // One snapshot for all of it: rows and totals of different commits do not agree.
      this.#database.exec("BEGIN")
      for (const row of this.#database.prepare("PRAGMA integrity_check").all()) {
        const detail = String(Object.values(row)[0])
        if (detail !== "ok") findings.push({ table: "", key: "", detail })
      }
      findings.push(...this.#tables.all.flatMap((table) => table.check()))
      const gaps = this.#database
        .prepare(
          "SELECT sequence FROM commit_group AS later WHERE sequence > (SELECT min(sequence) FROM commit_group) AND NOT EXISTS (SELECT 1 FROM commit_group WHERE sequence = later.sequence - 1)",
        )
        .all()
      const loss = lossOf(this.#database, known)
      if (loss !== undefined)
        findings.push({
          table: "commit_group",
          key: String(loss.known),
          detail: `this commit was acknowledged and is not there: the store ends at ${loss.found}`,
        })
      for (const { sequence } of gaps) findings.push({ table: "commit_group", key: String(sequence), detail: "the commit before it is missing" })
    } catch (error) {
      findings.push({ table: "", key: "", detail: detailOf(error) })
    } finally {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK")
    }
    return findings
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#isOwn) this.#database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
