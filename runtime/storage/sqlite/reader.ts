/** The side of a store that reads: a connection of its own that sees what is committed, on the thread that asks. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { detailOf, openReader, storageError } from "./database.ts"
import { checkEvent, EventTable } from "./event.ts"
import { checkKeyValue, KeyValueTable } from "./key-value.ts"

export interface Finding {
  readonly table: string
  /** Which row, as text; empty for the table as a whole. */
  readonly key: string
  readonly detail: string
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

  /** Reads every row and holds it against its sum and its tenant's totals; finds what changed, went missing or came from elsewhere. */
  check(): ReadonlyArray<Finding> {
    this.#check()
    const findings: Array<Finding> = []
    try {
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
      for (const { sequence } of gaps) findings.push({ table: "commit_group", key: String(sequence), detail: "the commit before it is missing" })
    } catch (error) {
      findings.push({ table: "", key: "", detail: detailOf(error) })
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
