/** A tenant's rows in all tables at once: exported, imported, erased. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import {
  exportBytesMax,
  type TenantAnswers,
  type TenantOperation,
  type TenantPage,
  type TenantQuestion,
  type TenantRecord,
  type TenantTotal,
} from "../../port/tenant.ts"
import { checkWhole } from "../operation.ts"
import { bytesOfRecord, checkRewrite, encodeRecord, importedMax } from "../record.ts"
import { rowsMax } from "../row.ts"
import { eraseServices } from "./sql-tenant.ts"
import { snapshot } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import type { Group } from "./writer.ts"

const utf8 = new TextEncoder()
const eraseWord = utf8.encode("erase")
const importWord = utf8.encode("import")

export class TenantOperations {
  static readonly operations = ["import", "erase", "rewrite"] as const
  static readonly questions = ["export", "tenants", "tables", "totals"] as const
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #tables: ReadonlyArray<Table<never, never>>

  constructor({ database, store }: TableContext, tables: ReadonlyArray<Table<never, never>>) {
    this.#database = database
    this.#store = store
    this.#tables = tables
  }

  #table(name: string): Table<never, never> {
    const table = this.#tables.find((each) => each.name === name)
    if (table === undefined) throw new StorageError("Record", { store: this.#store, table: name, detail: "the store has no such table" })
    return table
  }

  ask(question: TenantQuestion): TenantAnswers[TenantQuestion["ask"]] {
    switch (question.ask) {
      case "tables":
        return this.#tables.map(({ name }) => name)
      case "totals":
        return snapshot(this.#database, () =>
          this.#tables.flatMap(({ name, totals }) => {
            const rows = this.#database.prepare(`SELECT tenant, keys, bytes, sums FROM ${totals.name} WHERE tenant < x'ff'`).all()
            return (rows as unknown as ReadonlyArray<Omit<TenantTotal, "table">>)
              .filter(({ keys, bytes, sums }) => keys !== 0 || bytes !== 0 || sums !== 0)
              .map((row) => ({ ...row, table: name }))
          }),
        )
      case "tenants": {
        const all = this.#tables.flatMap(({ totals, totalsBeside }) => (totalsBeside === undefined ? [totals] : [totals, totalsBeside]))
        const parts = all.map((totals) => `SELECT tenant FROM ${totals.name} WHERE (?1 IS NULL OR tenant > ?1) AND tenant < x'ff'`)
        const rows = this.#database.prepare(`${parts.join(" UNION ")} ORDER BY tenant LIMIT ?2`).all(question.after ?? null, rowsMax(question.countMax))
        return rows.map((row) => row["tenant"] as Uint8Array)
      }
      case "export":
        return snapshot(this.#database, () => this.#export(this.#table(question.table), question))
    }
  }

  #export(table: Table<never, never>, { tenant, after, countMax, headsOnly = false }: Extract<TenantQuestion, { readonly ask: "export" }>): TenantPage {
    const revision = Number(this.#database.prepare("SELECT revision FROM commit_group ORDER BY sequence DESC LIMIT 1").get()?.["revision"] ?? 0)
    const records: Array<TenantRecord> = []
    let bytes = 0
    for (const record of table.export(tenant, after, headsOnly)) {
      if (records.length >= rowsMax(countMax) || bytes > exportBytesMax) return { records, isComplete: false, revision }
      records.push(record)
      bytes += bytesOfRecord(record)
    }
    return { records, isComplete: true, revision }
  }

  #bytesOf(table: string, record: TenantRecord): Uint8Array {
    try {
      return encodeRecord(record)
    } catch (cause) {
      throw new StorageError("Record", { store: this.#store, table, detail: "it is no record" }, { cause })
    }
  }

  apply(group: Group, operation: TenantOperation): number | boolean | undefined {
    const { tenant } = operation
    if (operation.op === "rewrite") {
      checkRewrite(operation)
      const table = this.#table(operation.table)
      if (table.rewrite === undefined) throw new StorageError("Record", { store: this.#store, table: table.name, detail: "nothing of it may be rewritten" })
      return table.rewrite(group, operation)
    }
    if (operation.op === "import") {
      checkWhole("revision", operation.revision, 0, importedMax)
      const table = this.#table(operation.table)
      group.raise(operation.revision)
      group.change(importWord, tenant, utf8.encode(table.name), this.#bytesOf(table.name, operation.record))
      table.import(group, tenant, operation.record)
      return undefined
    }
    checkWhole("countMax", operation.countMax, 1)
    group.change(eraseWord, tenant)
    let count = 0
    const tables = operation.table === undefined ? this.#tables : [this.#table(operation.table)]
    for (const table of tables) if (count < operation.countMax) count += table.erase(group, tenant, operation.countMax - count)
    if (operation.table === undefined && count < operation.countMax) count += eraseServices(this.#database, tenant, operation.countMax - count)
    return count
  }
}
