/**
 * A tenant's usage as a whole: exported, imported, erased. First how far retention went, then the roll-ups, then the records: names stand
 * in each as text, since every store numbers them in its own way.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { dayText } from "../../port/usage.ts"
import { Fields } from "../record.ts"
import { entryOf, numberNames, packUsage, RollUp, tenantText, unpackUsage } from "../usage.ts"
import { Packer } from "../varint.ts"
import { statementsOf } from "./statement.ts"
import type { TotalTable } from "./totals.ts"
import type { UsageNames } from "./usage-name.ts"
import { bytesOfRow, byOrder, type DayRow, kinds, none, orderOfDay, orderOfForgotten, orderOfRecord, sumOfDay, sumOfRow, type UsageRow } from "../usage-row.ts"
import type { Group } from "./writer.ts"

const table = "usage"
const utf8 = new TextEncoder()

export class UsageTenants {
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #names: UsageNames
  readonly #totals: TotalTable
  readonly #writing: (sql: string) => StatementSync
  readonly #packer = new Packer()

  constructor(database: DatabaseSync, store: string, names: UsageNames, totals: TotalTable) {
    this.#database = database
    this.#store = store
    this.#names = names
    this.#totals = totals
    this.#writing = statementsOf(database)
  }

  #corrupt(what: string, key: string): never {
    throw new StorageError("Corrupt", { store: this.#store, table: what, key })
  }

  *export(tenant: Uint8Array, after: Uint8Array | undefined): Generator<TenantRecord> {
    const isAfter = (order: Uint8Array): boolean => after === undefined || Buffer.compare(order, after) > 0
    const [kind = -1] = after ?? []
    const text = tenantText(tenant)
    const forgotten = this.#database.prepare("SELECT id, sum FROM usage_forgotten WHERE tenant = ?").get(tenant) as Pick<UsageRow, "id" | "sum"> | undefined
    if (forgotten !== undefined && sumOfRow(tenant, forgotten.id, none) !== forgotten.sum) this.#corrupt("usage_forgotten", text)
    if (forgotten !== undefined && isAfter(orderOfForgotten)) yield { order: orderOfForgotten, fields: { id: forgotten.id } }
    const nameOf = this.#names.reading()
    if (kind <= kinds.day) {
      const fromDay = after !== undefined && kind === kinds.day ? Buffer.from(after).readUInt32BE(1) : 0
      let day = -1
      let records: Array<TenantRecord> = []
      for (const row of this.#database
        .prepare("SELECT day, plugin, payload, sum FROM usage_day WHERE tenant = ? AND day >= ? ORDER BY day")
        .iterate(tenant, fromDay)) {
        const found = row as unknown as DayRow
        if (sumOfDay(tenant, found.day, found.plugin, found.payload) !== found.sum) this.#corrupt("usage_day", `${text} ${dayText(found.day)}`)
        if (found.day !== day) yield* records.toSorted(byOrder).filter(({ order }) => isAfter(order))
        if (found.day !== day) records = []
        day = found.day
        const rollUp = new RollUp()
        rollUp.addRow(found.payload)
        records.push({ order: orderOfDay(day, utf8.encode(nameOf(found.plugin))), fields: { sums: rollUp.packNamed(nameOf) } })
      }
      yield* records.toSorted(byOrder).filter(({ order }) => isAfter(order))
    }
    const from = after !== undefined && kind === kinds.record ? after.subarray(1) : none
    for (const row of this.#database.prepare("SELECT id, payload, sum FROM usage WHERE tenant = ? AND id > ? ORDER BY id").iterate(tenant, from)) {
      const { id, payload, sum } = row as unknown as UsageRow
      if (sumOfRow(tenant, id, payload) !== sum) this.#corrupt("usage", `${text} ${Buffer.from(id).toString("hex")}`)
      yield { order: orderOfRecord(id), fields: { record: packUsage([entryOf(text, id, payload, nameOf)]) } }
    }
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const fields = new Fields(this.#store, table, record)
    const [kind] = record.order
    const totals = group.totals(this.#totals)
    const idOf = (name: Uint8Array): number => this.#names.idOf(tenant, name, (sum) => totals.add(tenant, 0, 0, sum))
    const about = record.order.subarray(1)
    if (kind === kinds.forgotten) {
      const id = fields.bytes("id")
      fields.end()
      if (id.length !== 16) throw fields.refusal("its id has not 16 bytes")
      const old = this.#writing("SELECT sum FROM usage_forgotten WHERE tenant = ?").get(tenant)
      const sum = sumOfRow(tenant, id, none)
      this.#writing(
        "INSERT INTO usage_forgotten (tenant, id, sum) VALUES (?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET id = excluded.id, sum = excluded.sum",
      ).run(tenant, id, sum)
      totals.add(tenant, 0, 0, sum ^ Number(old?.["sum"] ?? 0))
    } else if (kind === kinds.day && about.length > 4) {
      const sums = fields.bytes("sums")
      fields.end()
      const day = Buffer.from(about).readUInt32BE()
      const plugin = idOf(about.subarray(4))
      let payload: Uint8Array
      try {
        payload = RollUp.unpackNamed(sums, idOf).pack(this.#packer)
      } catch (error) {
        throw error instanceof RangeError ? fields.refusal(error.message) : error
      }
      const old = this.#writing("SELECT sum FROM usage_day WHERE tenant = ? AND day = ? AND plugin = ?").get(tenant, day, plugin)
      const sum = sumOfDay(tenant, day, plugin, payload)
      this.#writing("INSERT OR REPLACE INTO usage_day (tenant, day, plugin, payload, sum) VALUES (?, ?, ?, ?, ?)").run(tenant, day, plugin, payload, sum)
      totals.add(tenant, 0, 0, sum ^ Number(old?.["sum"] ?? 0))
    } else if (kind === kinds.record && about.length === 16) {
      const { names, entries } = unpackUsage(fields.bytes("record"))
      fields.end()
      const [entry] = entries
      if (entry === undefined || entries.length > 1 || Buffer.compare(entry.id, about) !== 0) throw fields.refusal("it is not the one record of its order")
      const payload = numberNames(this.#packer, entry, (name) => idOf(names[name] as Uint8Array))
      const old = this.#writing("SELECT payload, sum FROM usage WHERE tenant = ? AND id = ?").get(tenant, about) as Omit<UsageRow, "id"> | undefined
      const sum = sumOfRow(tenant, about, payload)
      this.#writing("INSERT OR REPLACE INTO usage (tenant, id, payload, sum) VALUES (?, ?, ?, ?)").run(tenant, about, payload, sum)
      const bytes = bytesOfRow(tenant, payload) - (old === undefined ? 0 : bytesOfRow(tenant, old.payload))
      totals.add(tenant, old === undefined ? 1 : 0, bytes, sum ^ (old?.sum ?? 0))
    } else throw fields.refusal("its order is nothing of usage")
  }

  /** Records first and as retention does it: until nothing is left, no roll-up claims records that are gone. */
  erase(group: Group, tenant: Uint8Array, countMax: number, forget: (countMax: number) => number): number {
    let count = forget(countMax)
    const rest = [
      "DELETE FROM usage_day WHERE tenant = ?1 AND (day, plugin) IN (SELECT day, plugin FROM usage_day WHERE tenant = ?1 LIMIT ?2) RETURNING sum",
      "DELETE FROM usage_name WHERE id IN (SELECT id FROM usage_name WHERE tenant = ?1 LIMIT ?2) RETURNING sum",
      "DELETE FROM usage_forgotten WHERE tenant = ?1 AND ?2 > 0 RETURNING sum",
    ]
    for (const statement of rest) {
      if (count >= countMax) return count
      const rows = this.#writing(statement).all(tenant, countMax - count)
      if (rows.length > 0)
        group.totals(this.#totals).add(
          tenant,
          0,
          0,
          rows.reduce((sums, row) => sums ^ Number(row["sum"]), 0),
        )
      count += rows.length
    }
    return count
  }
}
