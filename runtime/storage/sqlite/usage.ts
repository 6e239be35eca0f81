/** Usage: a row for each record, and for each tenant, day and plugin one with what its records add up to, written with them. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import {
  dayOf,
  dayText,
  msOf,
  type UsageAnswer,
  type UsageAnswers,
  type UsageEntry,
  type UsageGroup,
  type UsageLimits,
  type UsageOperation,
  type UsageColumns,
  type UsagePart,
  type UsageQuestion,
  type UsageResults,
  type UsageTenant,
} from "../../port/usage.ts"
import type { Finding } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { release } from "../release.ts"
import { rowsMax } from "../row.ts"
import { entryOf, numberNames, rangeOf, RollUp, tenantText, unpackUsage } from "../usage.ts"
import { Packer } from "../varint.ts"
import { snapshot, statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, TotalTable } from "./totals.ts"
import { checkUsage } from "./usage-check.ts"
import { UsageNames } from "./usage-name.ts"
import { UsageKinds, UsageRows } from "../usage-kinds.ts"
import { bytesOfRow, type DayRow, none, sumOfDay, sumOfRow, type UsageRow } from "../usage-row.ts"
import { UsageTenants } from "./usage-tenant.ts"
import type { Group } from "./writer.ts"

const utf8 = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
/** Above every id: it has no version's bits. */
const everyId = new Uint8Array(16).fill(0xff)
/** Records that one row of an answer holds. */
const packedRows = 4_096
const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

export class UsageTable implements Table<UsageOperation, UsageQuestion> {
  static readonly operations = ["record", "forget"] as const
  static readonly refusedFirst = ["forget"] as const
  static readonly questions = ["usage", "usageRecords", "usageSums", "usageColumns", "usageTenants"] as const
  readonly name = "usage"
  readonly counts = "record"
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: UsageLimits
  readonly #row: StatementSync
  readonly #names: UsageNames
  readonly #whole: UsageTenants
  readonly #day: StatementSync
  readonly #forgotten: StatementSync
  readonly #writing: (sql: string) => StatementSync
  readonly #packer = new Packer()

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#store = store
    this.#limits = limits.usage
    this.#writing = statementsOf(database)
    this.totals = new TotalTable(database, "usage_total")
    this.#row = database.prepare("SELECT payload FROM usage WHERE tenant = ? AND id = ?")
    this.#names = new UsageNames(database, store)
    this.#whole = new UsageTenants(database, store, this.#names, this.totals)
    this.#day = database.prepare("SELECT payload, sum FROM usage_day WHERE tenant = ? AND day = ? AND plugin = ?")
    this.#forgotten = database.prepare("SELECT id, sum FROM usage_forgotten WHERE tenant = ?")
  }

  #corrupt(table: string, key: string): never {
    throw new StorageError("Corrupt", { store: this.#store, table, key })
  }

  apply(group: Group, operation: UsageOperation): UsageResults[UsageOperation["op"]] {
    return operation.op === "record"
      ? this.#record(group, operation.tenant, operation.records)
      : this.#forget(group, operation.tenant, operation.beforeId, operation.countMax)
  }

  /** The newest id that retention removed: whether one that is not above it was recorded, nobody knows. */
  #newestForgotten(tenant: Uint8Array): Uint8Array | undefined {
    const row = this.#forgotten.get(tenant) as Pick<UsageRow, "id" | "sum"> | undefined
    if (row !== undefined && sumOfRow(tenant, row.id, none) !== row.sum) this.#corrupt("usage_forgotten", tenantText(tenant))
    return row?.id
  }

  #record(group: Group, tenant: Uint8Array, records: Uint8Array): ReadonlyArray<UsageAnswer> {
    const limits = this.#limits
    const { names, entries } = unpackUsage(records)
    const totals = group.totals(this.totals)
    checkLimit("usage", "recordsMax", "records", limits.recordsMax, entries.length)
    for (const name of names) checkLimit("usage", "nameBytesMax", "bytes", limits.nameBytesMax, name.length)
    checkLimit("usage", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + records.length)
    const forgotten = this.#newestForgotten(tenant)
    const aheadMs = group.nowUs / 1_000 + limits.aheadMsMax
    const insert = this.#writing("INSERT INTO usage (tenant, id, payload, sum) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    const ids: Array<number | undefined> = []
    let sums = 0
    let bytes = 0
    let added = 0
    const idOf = (name: number): number => (ids[name] ??= this.#names.idOf(tenant, names[name] as Uint8Array, (sum) => (sums ^= sum)))
    // A batch may list a name twice: each of its numbers stands for it.
    const isOk = names.map((name) => name.length === 2 && decoder.decode(name) === "ok")
    const rollUps = new Map<string, { readonly day: number; readonly plugin: number; readonly rollUp: RollUp }>()
    const answers = entries.map((entry): UsageAnswer => {
      const { id } = entry
      if (msOf(id) > aheadMs) return "ahead"
      const payload = numberNames(this.#packer, entry, idOf)
      const isLate = forgotten !== undefined && Buffer.compare(id, forgotten) <= 0
      const sum = sumOfRow(tenant, id, payload)
      if (isLate || insert.run(tenant, id, payload, sum).changes === 0) {
        const old = this.#row.get(tenant, id) as Pick<UsageRow, "payload"> | undefined
        return old === undefined ? "late" : Buffer.compare(old.payload, payload) === 0 ? "known" : "conflict"
      }
      sums ^= sum
      bytes += bytesOfRow(tenant, payload)
      added++
      const [day, plugin] = [dayOf(id), idOf(entry.plugin)]
      const key = `${day} ${plugin}`
      let found = rollUps.get(key)
      if (found === undefined) rollUps.set(key, (found = { day, plugin, rollUp: new RollUp() }))
      found.rollUp.add({ costs: entry.costs, hostCalls: entry.hostCalls.map(([grant, calls]) => [idOf(grant), calls]) }, isOk[entry.outcome] === true)
      return "new"
    })
    for (const { day, plugin, rollUp } of rollUps.values()) sums ^= this.#addDay(tenant, day, plugin, rollUp)
    if (added > 0 || sums !== 0) {
      group.change(utf8.encode("record"), tenant, records)
      totals.add(tenant, added, bytes, sums)
    }
    return answers
  }

  /** Adds to a roll-up; returns what its sum changes in the total's. */
  #addDay(tenant: Uint8Array, day: number, plugin: number, rollUp: RollUp): number {
    const old = this.#day.get(tenant, day, plugin) as Pick<DayRow, "payload" | "sum"> | undefined
    if (old !== undefined) {
      if (sumOfDay(tenant, day, plugin, old.payload) !== old.sum) this.#corrupt("usage_day", `${tenantText(tenant)} ${dayText(day)}`)
      rollUp.addRow(old.payload)
    }
    const payload = rollUp.pack(this.#packer)
    const sum = sumOfDay(tenant, day, plugin, payload)
    this.#writing(
      "INSERT INTO usage_day (tenant, day, plugin, payload, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, day, plugin) DO UPDATE SET payload = excluded.payload, sum = excluded.sum",
    ).run(tenant, day, plugin, payload, sum)
    return sum ^ (old?.sum ?? 0)
  }

  #forget(group: Group, tenant: Uint8Array, before: Uint8Array, countMax: number): number {
    const rows = this.#writing("SELECT id, payload, sum FROM usage WHERE tenant = ? AND id < ? ORDER BY id LIMIT ?").all(
      tenant,
      before,
      rowsMax(countMax),
    ) as unknown as ReadonlyArray<UsageRow>
    const last = rows.at(-1)
    if (last === undefined) return 0
    group.change(utf8.encode("forget"), tenant, last.id)
    let sums = 0
    let bytes = 0
    for (const { payload, sum } of rows) {
      sums ^= sum
      bytes += bytesOfRow(tenant, payload)
    }
    this.#writing("DELETE FROM usage WHERE tenant = ? AND id <= ?").run(tenant, last.id)
    const old = this.#forgotten.get(tenant) as Pick<UsageRow, "sum"> | undefined
    const sum = sumOfRow(tenant, last.id, none)
    this.#writing("INSERT INTO usage_forgotten (tenant, id, sum) VALUES (?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET id = excluded.id, sum = excluded.sum").run(
      tenant,
      last.id,
      sum,
    )
    group.totals(this.totals).add(tenant, -rows.length, -bytes, sums ^ sum ^ (old?.sum ?? 0))
    return rows.length
  }

  ask(question: UsageQuestion): UsageAnswers[UsageQuestion["ask"]] {
    switch (question.ask) {
      case "usage":
        return snapshot(this.#database, () => this.#usage(question))
      case "usageRecords":
        return this.#records(question)
      case "usageSums":
        return snapshot(this.#database, () => this.#kinds(question))
      case "usageColumns":
        return snapshot(this.#database, () => this.#columns(question))
      case "usageTenants":
        return snapshot(this.#database, () => this.#tenants())
    }
  }

  #usage({ by, tenant, plugin, fromDay, toDay }: Extract<UsageQuestion, { readonly ask: "usage" }>): ReadonlyArray<UsageGroup> {
    const nameOf = this.#names.reading()
    const groups = new Map<string | number, RollUp>()
    const statement = this.#writing("SELECT day, plugin, payload, sum FROM usage_day WHERE tenant = ? AND day >= ? AND day <= ?")
    // A tenant at a time: its name is then no part of each row, which is half of what reading a row costs.
    for (const whose of tenant === undefined ? this.#everyTenant() : [tenant]) {
      const text = tenantText(whose)
      for (const row of statement.all(whose, rowsMax(fromDay ?? 0), rowsMax(toDay ?? Number.MAX_SAFE_INTEGER))) {
        const found = row as unknown as Omit<DayRow, "tenant">
        if (sumOfDay(whose, found.day, found.plugin, found.payload) !== found.sum) this.#corrupt("usage_day", `${text} ${dayText(found.day)}`)
        if (plugin !== undefined && nameOf(found.plugin) !== plugin) continue
        const key = by === "tenant" ? text : by === "plugin" ? nameOf(found.plugin) : found.day
        let rollUp = groups.get(key)
        if (rollUp === undefined) groups.set(key, (rollUp = new RollUp()))
        rollUp.addRow(found.payload)
      }
    }
    return [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, rollUp]) => ({ key: typeof key === "number" ? dayText(key) : key, ...rollUp.sums(nameOf) }))
  }

  /** Tenants that have roll-ups, each found by one step in the table's key. */
  #everyTenant(): ReadonlyArray<Uint8Array> {
    const rows = this.#writing(
      `WITH RECURSIVE each(tenant) AS (
        SELECT min(tenant) FROM usage_day
        UNION ALL SELECT (SELECT min(tenant) FROM usage_day WHERE tenant > each.tenant) FROM each WHERE tenant IS NOT NULL
      ) SELECT tenant FROM each WHERE tenant IS NOT NULL`,
    ).all()
    return rows.map((row) => row["tenant"] as Uint8Array)
  }

  #records({ tenant, fromMs, toMs, after, countMax }: Extract<UsageQuestion, { readonly ask: "usageRecords" }>): ReadonlyArray<UsageEntry> {
    const nameOf = this.#names.reading()
    const text = tenantText(tenant)
    const [from, to] = rangeOf(fromMs, toMs, after)
    // No record has the id that a range begins with: it is of no version.
    const rows = this.#writing("SELECT id, payload, sum FROM usage WHERE tenant = ? AND id > ? AND id < ? ORDER BY id LIMIT ?")
    return (rows.all(tenant, from, to, rowsMax(countMax)) as unknown as ReadonlyArray<UsageRow>).map(({ id, payload, sum }) => {
      if (sumOfRow(tenant, id, payload) !== sum) this.#corrupt("usage", `${text} ${hex(id)}`)
      return entryOf(text, id, payload, nameOf)
    })
  }

  #kinds(question: Extract<UsageQuestion, { readonly ask: "usageSums" }>): UsagePart {
    const kinds = new UsageKinds(question.tenant)
    return kinds.part(this.#names.reading(), this.#packed(kinds, question))
  }

  #columns(question: Extract<UsageQuestion, { readonly ask: "usageColumns" }>): UsageColumns {
    const rows = new UsageRows(question.tenant)
    return rows.columns(this.#names.reading(), this.#packed(rows, question))
  }

  /**
   * Adds records; the id of the last where there may be more. A row is read for each few thousand records: what SQLite hands over one by one costs ten times
   * what is in it.
   */
  #packed(
    into: UsageKinds | UsageRows,
    { tenant, fromMs, toMs, after, countMax }: Extract<UsageQuestion, { readonly ask: "usageSums" | "usageColumns" }>,
  ): Uint8Array | undefined {
    const [from, to] = rangeOf(fromMs, toMs, after)
    const packed = this.#writing(
      `SELECT CAST(group_concat(id || payload || printf('%08x', sum), '') AS BLOB) AS packed, max(id) AS last, count(*) AS count
      FROM (SELECT id, payload, sum FROM usage WHERE tenant = ? AND id > ? AND id < ? ORDER BY id LIMIT ?)`,
    )
    let last: Uint8Array | undefined
    for (let left = rowsMax(countMax); left > 0;) {
      const wanted = Math.min(left, packedRows)
      const row = packed.get(tenant, last ?? from, to, wanted) as { readonly packed: Uint8Array; readonly last: Uint8Array; readonly count: number }
      const place = row.count === 0 ? undefined : into.add(row.packed, row.count)
      if (place !== undefined) this.#corrupt("usage", `${tenantText(tenant)} ${hex(row.packed.subarray(place, place + 16))}`)
      if (row.count > 0 && row.packed.byteLength === row.packed.buffer.byteLength) release(row.packed)
      if (row.count < wanted) return undefined
      last = row.last
      left -= row.count
    }
    return last
  }

  #tenants(): ReadonlyArray<UsageTenant> {
    const oldest = this.#writing("SELECT id FROM usage WHERE tenant = ? ORDER BY id LIMIT 1")
    const found: Array<UsageTenant> = []
    for (const [name, { keys, bytes }] of this.totals.all()) {
      const tenant = Buffer.from(name, "latin1")
      if (keys > 0 && Buffer.compare(tenant, everybody) !== 0)
        found.push({ tenant, records: keys, bytes, oldest: (oldest.get(tenant) as Pick<UsageRow, "id"> | undefined)?.id })
    }
    return found
  }

  check(): ReadonlyArray<Finding> {
    return checkUsage(this.#database, this.totals)
  }

  export(tenant: Uint8Array, after: Uint8Array | undefined): Iterable<TenantRecord> {
    return this.#whole.export(tenant, after)
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    this.#whole.import(group, tenant, record)
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    return this.#whole.erase(group, tenant, countMax, (count) => this.#forget(group, tenant, everyId, count))
  }
}
