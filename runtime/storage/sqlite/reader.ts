/** The side of a store that reads: a connection of its own that sees what is committed, on the thread that asks. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { detailOf, openReader, pragma, storageError } from "./database.ts"
import { checkEvent, EventTable } from "./event.ts"
import { checkKeyValue, KeyValueTable } from "./key-value.ts"
import { lossOf, Mark } from "./mark.ts"
import { everybody, type TotalTable } from "./totals.ts"

export interface Finding {
  readonly table: string
  /** Which row, as text; empty for the table as a whole. */
  readonly key: string
  readonly detail: string
}

/** Keys or topics, the bytes of them and their values, and whose they are. */
export interface PortInfo {
  readonly keys: number
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
  readonly keyValue: PortInfo
  readonly event: PortInfo
}

export class SqliteReader implements Disposable {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #keyValue: KeyValueTable
  readonly #event: EventTable
  #isClosed = false

  /** @throws StorageError `Unreachable`, `Busy` */
  constructor(path: string) {
    this.path = path
    let database: DatabaseSync | undefined
    try {
      database = openReader(path)
      this.#database = database
      this.#keyValue = new KeyValueTable(database, path)
      this.#event = new EventTable(database, path)
    } catch (error) {
      database?.close()
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

  /** The key-value rows as they are committed. */
  get keyValue(): Pick<KeyValueTable, "get" | "has" | "list"> {
    this.#check()
    return this.#keyValue
  }

  /** The events as they are committed. */
  get event(): Pick<EventTable, "read"> {
    this.#check()
    return this.#event
  }

  /** What is in the store, in numbers. */
  info(): StoreInfo {
    this.#check()
    const newest = this.#database.prepare("SELECT sequence, committed_us FROM commit_group ORDER BY sequence DESC LIMIT 1").get()
    const counted = (table: TotalTable): PortInfo => {
      const { keys, bytes } = table.get(everybody)
      // Everybody's own row is no tenant.
      return { keys, bytes, tenants: Math.max(0, [...table.all()].filter(([, total]) => total.keys > 0).length - 1) }
    }
    return {
      store: this.path,
      format: pragma(this.#database, "user_version"),
      bytes: pragma(this.#database, "page_count") * pragma(this.#database, "page_size"),
      commits: Number(newest?.["sequence"] ?? 0),
      committedAtMs: newest === undefined ? undefined : Number(newest["committed_us"]) / 1_000,
      keyValue: counted(this.#keyValue.totals),
      event: counted(this.#event.totals),
    }
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
      findings.push(...checkKeyValue(this.#database), ...checkEvent(this.#database))
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
    this.#database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
