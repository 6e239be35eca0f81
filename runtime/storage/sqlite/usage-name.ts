/** Names in usage records (plugins, exports, outcomes, grants), each written once for a tenant and numbered. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { statementsOf } from "./statement.ts"
import { sumOfName } from "../usage-row.ts"

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export class UsageNames {
  readonly #store: string
  readonly #id: StatementSync
  readonly #name: StatementSync
  readonly #writing: (sql: string) => StatementSync

  constructor(database: DatabaseSync, store: string) {
    this.#store = store
    this.#writing = statementsOf(database)
    this.#id = database.prepare("SELECT id FROM usage_name WHERE tenant = ? AND name = ?")
    this.#name = database.prepare("SELECT tenant, name, sum FROM usage_name WHERE id = ?")
  }

  /** The number of a name, which is written if it is new; `added` is then told the row's sum. */
  idOf(tenant: Uint8Array, name: Uint8Array, added: (sum: number) => void): number {
    const known = (this.#id.get(tenant, name) as { readonly id: number } | undefined)?.id
    if (known !== undefined) return known
    const id = Number(this.#writing("INSERT INTO usage_name (tenant, name, sum) VALUES (?, ?, 0)").run(tenant, name).lastInsertRowid)
    const sum = sumOfName(tenant, name, id)
    this.#writing("UPDATE usage_name SET sum = ? WHERE id = ?").run(sum, id)
    added(sum)
    return id
  }

  /** Names by their numbers, for one answer: each is read and held against its sum once. */
  reading(): (id: number) => string {
    const known = new Map<number, string>()
    return (id) => {
      let text = known.get(id)
      if (text === undefined) {
        const row = this.#name.get(id) as { readonly tenant: Uint8Array; readonly name: Uint8Array; readonly sum: number } | undefined
        if (row === undefined || sumOfName(row.tenant, row.name, id) !== row.sum)
          throw new StorageError("Corrupt", { store: this.#store, table: "usage_name", key: String(id) })
        known.set(id, (text = decoder.decode(row.name)))
      }
      return text
    }
  }
}
