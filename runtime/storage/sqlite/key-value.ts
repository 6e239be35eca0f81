/** The key-value port's rows: statements, sums and totals. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { addCounter, type KeyValueLimits, readCounter, type Versioned } from "../../../host/port/key-value.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { KeyValueAnswers, KeyValueOperation, KeyValueQuestion, KeyValueResults } from "../../port/key-value.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import { after, rowsMax, sumOf } from "../row.ts"
import { statementsOf } from "./database.ts"
import type { Finding } from "./reader.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

interface Row {
  readonly value: Uint8Array
  readonly revision: number
  readonly sum: number
}

const utf8 = new TextEncoder()

export class KeyValueTable implements Table<KeyValueOperation, KeyValueQuestion> {
  static readonly operations = ["set", "swap", "increment", "delete"] as const
  static readonly refusedFirst = KeyValueTable.operations
  static readonly questions = ["get", "has", "list"] as const
  readonly name = "key_value"
  readonly counts = "key"
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: KeyValueLimits
  readonly #get: StatementSync
  readonly #has: StatementSync
  readonly #list: StatementSync
  readonly totals: TotalTable
  readonly #writing: (sql: string) => StatementSync

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#limits = limits.keyValue
    this.#store = store
    this.#writing = statementsOf(database)
    this.#get = database.prepare("SELECT value, revision, sum FROM key_value WHERE tenant = ? AND key = ?")
    this.#has = database.prepare("SELECT 1 FROM key_value WHERE tenant = ? AND key = ?")
    this.#list = database.prepare(
      "SELECT key FROM key_value WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4) ORDER BY key LIMIT ?5",
    )
    this.totals = new TotalTable(database, "key_value_total")
  }

  ask(question: KeyValueQuestion): KeyValueAnswers[KeyValueQuestion["ask"]] {
    switch (question.ask) {
      case "get": {
        const row = this.#row(question)
        return row === undefined ? undefined : this.#verified(question, row)
      }
      case "has":
        return this.#has.get(question.tenant, question.key) !== undefined
      case "list": {
        const { tenant, key: prefix, beyond, countMax } = question
        const rows = this.#list.all(tenant, prefix, after(prefix) ?? null, beyond ?? null, rowsMax(countMax))
        return rows.map(({ key }) => textOf(key as Uint8Array))
      }
    }
  }

  #row({ tenant, key }: Place): Row | undefined {
    return this.#get.get(tenant, key) as Row | undefined
  }

  #verified(place: Place, { value, revision, sum }: Row): Versioned {
    if (sumOf(place, value, revision) !== sum) throw new StorageError("Corrupt", { store: this.#store, table: "key_value", key: textOf(place.key) })
    return { value, version: revision }
  }

  apply(group: Group, operation: KeyValueOperation): KeyValueResults[KeyValueOperation["op"]] {
    // A row whose bytes changed can be written over and deleted; what depends on its value is refused.
    const old = this.#row(operation)
    switch (operation.op) {
      case "set":
        return this.#write(group, operation, old, operation.value)
      case "swap": {
        const version = old === undefined ? undefined : this.#verified(operation, old).version
        return version === operation.version ? this.#write(group, operation, old, operation.value) : undefined
      }
      case "increment": {
        const before = old === undefined ? undefined : this.#verified(operation, old).value
        const sum = addCounter(readCounter(before), operation.delta, operation.min, operation.max)
        this.#write(group, operation, old, utf8.encode(sum.toString()))
        return sum
      }
      case "delete": {
        if (old === undefined) return false
        const { tenant, key } = operation
        group.change(utf8.encode("delete"), tenant, key)
        this.#writing("DELETE FROM key_value WHERE tenant = ? AND key = ?").run(tenant, key)
        group.totals(this.totals).add(tenant, -1, -(bytesOf(operation) + old.value.length), old.sum)
        return true
      }
    }
  }

  #write(group: Group, place: Place, old: Row | undefined, value: Uint8Array): number {
    const limits = this.#limits
    const totals = group.totals(this.totals)
    const { tenant, key } = place
    checkLimit("keyValue", "keyBytesMax", "bytes", limits.keyBytesMax, bytesOf(place))
    checkLimit("keyValue", "valueBytesMax", "bytes", limits.valueBytesMax, value.length)
    const used = totals.get(tenant)
    const grown = value.length - (old === undefined ? -bytesOf(place) : old.value.length)
    if (old === undefined) checkLimit("keyValue", "tenantKeysMax", "keys", limits.tenantKeysMax, used.keys + 1)
    checkLimit("keyValue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
    checkLimit("keyValue", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + grown)
    const revision = group.change(utf8.encode("set"), tenant, key, value)
    const sum = sumOf(place, value, revision)
    this.#writing(
      "INSERT INTO key_value (tenant, key, value, revision, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, sum = excluded.sum",
    ).run(tenant, key, value, revision, sum)
    totals.add(tenant, old === undefined ? 1 : 0, grown, sum ^ (old?.sum ?? 0))
    return revision
  }

  check(): ReadonlyArray<Finding> {
    const table = this.name
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const row of this.#database.prepare("SELECT tenant, key, value, revision, sum FROM key_value").iterate()) {
      const { tenant, key, value, revision, sum } = row as unknown as Place & Row
      if (sumOf({ tenant, key }, value, revision) !== sum) findings.push({ table, key: textOf(key), detail: "its bytes are not those that were written" })
      recount.add(tenant, 1, bytesOf({ tenant, key }) + value.length, sum)
    }
    return [...findings, ...recount.compare(table, this.totals)]
  }
}
