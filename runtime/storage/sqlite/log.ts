/** Append logs' rows: one for each entry, one for each log with where it begins and ends. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { LogEntry, LogLimits, LogOperation, LogPage, LogQuestion, LogResults } from "../../port/log.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { Fields, importedMax, orderOf, placeOfOrder } from "../record.ts"
import { rowsMax, sumOf } from "../row.ts"
import { snapshot, statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

interface Log {
  readonly id: number
  /** Offset of the oldest entry kept, or of the next. */
  readonly first: number
  /** Offset of the newest entry there ever was. */
  readonly last: number
  /** Of the payloads kept. */
  readonly bytes: number
  readonly sum: number
}

interface Row {
  readonly offset: number
  readonly payload: Uint8Array
  readonly appendedUs: number
  readonly sum: number
}

const utf8 = new TextEncoder()
const [appendWord, trimWord] = ["append", "trim"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array]
const nothing = new Uint8Array(0)

/** Where a log ends is known from nothing else once its entries are trimmed. */
const sumOfLog = (place: Place, { first, last, bytes }: Omit<Log, "id" | "sum">): number => sumOf(place, nothing, first, last, bytes)
const sumOfRow = (place: Place, { offset, payload, appendedUs }: Omit<Row, "sum">): number => sumOf(place, payload, offset, appendedUs)

/** An offset that somebody names, as a number that a database's integers have. */
function offsetOf(option: string, offset: bigint): number {
  if (typeof offset !== "bigint") throw new ConfigError("Option", { option, expected: "an offset, a bigint", actual: typeof offset })
  return offset < 0n ? 0 : Number(offset < BigInt(Number.MAX_SAFE_INTEGER) ? offset : BigInt(Number.MAX_SAFE_INTEGER))
}

export class LogTable implements Table<LogOperation, LogQuestion> {
  static readonly operations = ["append", "trim"] as const
  static readonly refusedFirst = ["append"] as const
  static readonly questions = ["log"] as const
  readonly name = "log"
  readonly counts = "log"
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: LogLimits
  readonly #log: StatementSync
  readonly #writing: (sql: string) => StatementSync

  constructor({ database, store, limits }: TableContext) {
    this.#database = database
    this.#limits = limits.log
    this.#store = store
    this.#writing = statementsOf(database)
    this.totals = new TotalTable(database, "log_total")
    this.#log = database.prepare("SELECT id, first, last, bytes, sum FROM log WHERE tenant = ? AND key = ?")
  }

  #corrupt(place: Place, offset: number): StorageError {
    return new StorageError("Corrupt", { store: this.#store, table: this.name, key: `${textOf(place.key)} ${offset}` })
  }

  #find(place: Place): Log | undefined {
    const log = this.#log.get(place.tenant, place.key) as Log | undefined
    if (log !== undefined && sumOfLog(place, log) !== log.sum) throw this.#corrupt(place, log.last)
    return log
  }

  ask(question: LogQuestion): LogPage {
    return snapshot(this.#database, () => this.#read(question))
  }

  #read({ tenant, key, after, countMax, bytesMax }: LogQuestion): LogPage {
    const place = { tenant, key }
    const from = offsetOf("after", after)
    const log = this.#find(place) ?? { id: 0, first: 1, last: 0 }
    const [first, last] = [BigInt(log.first), BigInt(log.last)]
    if (from + 1 < log.first)
      throw new StorageError("Compacted", { store: this.#store, table: this.name, key: textOf(key), asked: from, oldest: log.first - 1, newest: log.last })
    const entries: Array<LogEntry> = []
    let bytes = 0
    let expected = from + 1
    if (rowsMax(countMax) === 0 || expected > log.last) return { entries, first, last }
    const rows = this.#database
      .prepare("SELECT offset, payload, appended_us AS appendedUs, sum FROM log_entry WHERE log = ? AND offset > ? ORDER BY offset LIMIT ?")
      .iterate(log.id, from, rowsMax(countMax))
    for (const each of rows) {
      const row = each as unknown as Row
      // Offsets have no gaps: an entry that is missing, or whose bytes changed, is not passed over.
      if (row.offset !== expected || sumOfRow(place, row) !== row.sum) throw this.#corrupt(place, expected)
      bytes += row.payload.length
      if (entries.length > 0 && !(bytes <= bytesMax)) return { entries, first, last }
      entries.push({ offset: BigInt(row.offset), payload: row.payload, appendedAtUs: row.appendedUs })
      expected++
    }
    if (entries.length < rowsMax(countMax) && expected !== log.last + 1) throw this.#corrupt(place, expected)
    return { entries, first, last }
  }

  apply(group: Group, operation: LogOperation): LogResults[LogOperation["op"]] {
    const log = this.#find(operation)
    return operation.op === "append" ? this.#append(group, operation, log) : this.#trim(group, operation, log, offsetOf("before", operation.before))
  }

  #append(group: Group, { payload, expect, ...place }: Extract<LogOperation, { readonly op: "append" }>, log: Log | undefined): bigint {
    const limits = this.#limits
    const totals = group.totals(this.totals)
    const { tenant, key } = place
    const { first, last, bytes } = log ?? { first: 1, last: 0, bytes: 0 }
    const offset = last + 1
    if (expect !== undefined && offsetOf("expect", expect) !== offset)
      throw new StorageError("Conflict", { store: this.#store, table: this.name, key: textOf(key), expected: `offset ${expect}`, found: `offset ${offset}` })
    checkLimit("log", "nameBytesMax", "bytes", limits.nameBytesMax, bytesOf(place))
    checkLimit("log", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    const used = totals.get(tenant)
    if (log === undefined) checkLimit("log", "tenantLogsMax", "logs", limits.tenantLogsMax, used.keys + 1)
    checkLimit("log", "logEntriesMax", "entries", limits.logEntriesMax, last - first + 2)
    checkLimit("log", "logBytesMax", "bytes", limits.logBytesMax, bytes + payload.length)
    checkLimit("log", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + payload.length)
    checkLimit("log", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + payload.length)
    group.change(appendWord, tenant, key, payload)
    const id = this.#putLog(group, place, log, { first, last: offset, bytes: bytes + payload.length })
    this.#putEntry(group, place, id, { offset, payload, appendedUs: group.nowUs })
    return BigInt(offset)
  }

  /** Writes a log's own row; answers its id. */
  #putLog(group: Group, place: Place, old: Log | undefined, log: Omit<Log, "id" | "sum">): number {
    const { first, last, bytes } = log
    const sum = sumOfLog(place, log)
    group.totals(this.totals).add(place.tenant, old === undefined ? 1 : 0, 0, sum ^ (old?.sum ?? 0))
    if (old === undefined)
      return Number(
        this.#writing("INSERT INTO log (tenant, key, first, last, bytes, sum) VALUES (?, ?, ?, ?, ?, ?)").run(place.tenant, place.key, first, last, bytes, sum)
          .lastInsertRowid,
      )
    this.#writing("UPDATE log SET first = ?, last = ?, bytes = ?, sum = ? WHERE id = ?").run(first, last, bytes, sum, old.id)
    return old.id
  }

  #putEntry(group: Group, place: Place, id: number, row: Omit<Row, "sum">): void {
    const sum = sumOfRow(place, row)
    this.#writing("INSERT INTO log_entry (log, offset, payload, appended_us, sum) VALUES (?, ?, ?, ?, ?)").run(id, row.offset, row.payload, row.appendedUs, sum)
    group.totals(this.totals).add(place.tenant, 0, row.payload.length, sum)
  }

  #remove(group: Group, tenant: Uint8Array, which: string, ...values: ReadonlyArray<number>): readonly [bytes: number, count: number] {
    let [bytes, sums, count] = [0, 0, 0]
    for (const row of this.#writing(`DELETE FROM log_entry WHERE ${which} RETURNING length(payload) AS length, sum`).all(...values)) {
      bytes += Number(row["length"])
      sums ^= Number(row["sum"])
      count++
    }
    group.totals(this.totals).add(tenant, 0, -bytes, sums)
    return [bytes, count]
  }

  #trim(group: Group, { tenant, key }: Place, log: Log | undefined, before: number): number {
    if (log === undefined || before <= log.first || log.first > log.last) return 0
    const first = Math.min(before, log.last + 1)
    group.change(trimWord, tenant, key, utf8.encode(String(first)))
    const [bytes, count] = this.#remove(group, tenant, "log = ?1 AND offset < ?2", log.id, first)
    if (count !== first - log.first) throw this.#corrupt({ tenant, key }, log.first)
    this.#putLog(group, { tenant, key }, log, { first, last: log.last, bytes: log.bytes - bytes })
    return count
  }

  /** A log's own record has the number 0, before its entries. */
  *export(tenant: Uint8Array, after: Uint8Array | undefined, headsOnly: boolean): Generator<TenantRecord> {
    const from = after === undefined ? undefined : placeOfOrder(after)
    const logs = this.#database.prepare("SELECT key FROM log WHERE tenant = ?1 AND (?2 IS NULL OR key >= ?2) ORDER BY key").iterate(tenant, from?.key ?? null)
    for (const each of logs) {
      const place = { tenant, key: each["key"] as Uint8Array }
      const { id, first, last } = this.#find(place) as Log
      const isBegun = from !== undefined && Buffer.compare(from.key, place.key) === 0
      if (!isBegun) yield { order: orderOf(place.key, 0), fields: { first: BigInt(first), last: BigInt(last) } }
      if (headsOnly) continue
      let expected = Math.max(first, isBegun ? from.number + 1 : 0)
      const rows = this.#database
        .prepare("SELECT offset, payload, appended_us AS appendedUs, sum FROM log_entry WHERE log = ? AND offset >= ? ORDER BY offset")
        .iterate(id, expected)
      for (const found of rows) {
        const row = found as unknown as Row
        if (row.offset !== expected || sumOfRow(place, row) !== row.sum) break
        yield { order: orderOf(place.key, row.offset), fields: { payload: row.payload, appendedAtUs: BigInt(row.appendedUs) } }
        expected++
      }
      if (expected !== last + 1) throw this.#corrupt(place, expected)
    }
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const limits = this.#limits
    const fields = new Fields(this.#store, this.name, record)
    const at = placeOfOrder(record.order)
    if (at === undefined) throw fields.refusal("its order is no log and offset")
    const place = { tenant, key: at.key }
    const log = this.#find(place)
    const totals = group.totals(this.totals)
    if (at.number === 0) {
      const [first, last] = [fields.integer("first", 1), fields.integer("last", 0, importedMax)]
      fields.end()
      if (first > last + 1) throw fields.refusal("it begins after its end")
      checkLimit("log", "nameBytesMax", "bytes", limits.nameBytesMax, bytesOf(place))
      checkLimit("log", "logEntriesMax", "entries", limits.logEntriesMax, last - first + 1)
      if (log === undefined) checkLimit("log", "tenantLogsMax", "logs", limits.tenantLogsMax, totals.get(tenant).keys + 1)
      const [bytes] = log === undefined ? [0] : this.#remove(group, tenant, "log = ?1 AND (offset < ?2 OR offset > ?3)", log.id, first, last)
      this.#putLog(group, place, log, { first, last, bytes: (log?.bytes ?? 0) - bytes })
      return
    }
    const [payload, appendedUs] = [fields.bytes("payload"), fields.integer("appendedAtUs")]
    fields.end()
    if (log === undefined || at.number < log.first || at.number > log.last) throw fields.refusal("its log does not have this offset")
    const [bytes] = this.#remove(group, tenant, "log = ?1 AND offset = ?2", log.id, at.number)
    checkLimit("log", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    checkLimit("log", "logBytesMax", "bytes", limits.logBytesMax, log.bytes - bytes + payload.length)
    checkLimit("log", "tenantBytesMax", "bytes", limits.tenantBytesMax, totals.get(tenant).bytes + payload.length)
    checkLimit("log", "totalBytesMax", "bytes", limits.totalBytesMax, totals.get(everybody).bytes + payload.length)
    this.#putLog(group, place, log, { ...log, bytes: log.bytes - bytes + payload.length })
    this.#putEntry(group, place, log.id, { offset: at.number, payload, appendedUs })
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    let count = 0
    while (count < countMax) {
      const log = this.#writing("SELECT id, key, first, last, bytes, sum FROM log WHERE tenant = ? LIMIT 1").get(tenant) as (Log & Place) | undefined
      if (log === undefined) return count
      const first = Math.min(log.last + 1, log.first + countMax - count)
      const [bytes, found] = this.#remove(group, tenant, "log = ?1 AND offset < ?2", log.id, first)
      count += found
      if (first <= log.last) {
        this.#putLog(group, { tenant, key: log.key }, log, { first, last: log.last, bytes: log.bytes - bytes })
        continue
      }
      this.#writing("DELETE FROM log WHERE id = ?").run(log.id)
      group.totals(this.totals).add(tenant, -1, 0, log.sum)
      count++
    }
    return count
  }

  check(): ReadonlyArray<Finding> {
    const table = this.name
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const each of this.#database.prepare("SELECT id, tenant, key, first, last, bytes, sum FROM log").all()) {
      const { tenant, key, ...log } = each as unknown as Log & Place
      let expected = log.first
      let found = 0
      let sums = log.sum
      for (const entry of this.#database
        .prepare("SELECT offset, payload, appended_us AS appendedUs, sum FROM log_entry WHERE log = ? ORDER BY offset")
        .iterate(log.id)) {
        const row = entry as unknown as Row
        const at = `${textOf(key)} ${row.offset}`
        if (sumOfRow({ tenant, key }, row) !== row.sum) findings.push({ table, key: at, detail: "its bytes are not those that were written" })
        if (row.offset !== expected) findings.push({ table, key: at, detail: `${expected} comes before it and is missing` })
        expected = row.offset + 1
        found += row.payload.length
        sums ^= row.sum
      }
      if (sumOfLog({ tenant, key }, log) !== log.sum || expected !== log.last + 1 || found !== log.bytes)
        findings.push({ table, key: textOf(key), detail: `it ends at ${expected - 1} with ${found} bytes, ${log.last} with ${log.bytes} were written` })
      recount.add(tenant, 1, found, sums)
    }
    return [...findings, ...recount.compare(table, this.totals)]
  }
}
