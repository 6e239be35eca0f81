/** Append logs' rows: one for each entry, one for each log with where it begins and ends. */
import { checkLimit } from "../../../host/port/port.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { LogEntry, LogOperation, LogPage, LogQuestion, LogResults } from "../../port/log.ts"
import { textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import { exportBytesMax, type TenantRecord } from "../../port/tenant.ts"
import { Fields, importedMax, orderOf, placeOfOrder } from "../record.ts"
import { rowsMax, sumOf } from "../row.ts"
import type { Answer, Row, Statement } from "./connection.ts"
import { type Group, noTotal, type Total } from "./group.ts"
import { eraseNumbered, pageOf } from "./numbered.ts"
import { eachOf, rowsOf } from "./rows.ts"
import type { Context, Draft, Import, Load, Page, Query, Table } from "./table.ts"
import { bytesOf, hexOf } from "./tenant.ts"

const name = "log"
const utf8 = new TextEncoder()
const [appendWord, trimWord, importWord] = ["append", "trim", "import"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array, Uint8Array]
const nothing = new Uint8Array(0)
const logColumns = "key, id, first, last, bytes, sum"

interface Log {
  readonly key: Uint8Array
  readonly id: number
  /** Offset of the oldest entry kept, or of the next. */
  readonly first: number
  /** Offset of the newest entry there ever was. */
  readonly last: number
  /** Of the payloads kept. */
  readonly bytes: number
  readonly sum: number
}

interface Stored {
  readonly payload: Uint8Array
  readonly appendedUs: number
}

/** Where a log ends is known from nothing else once its entries are trimmed. */
const sumOfLog = (tenant: Uint8Array, { key, first, last, bytes }: Omit<Log, "sum">): number => sumOf({ tenant, key }, nothing, first, last, bytes)
const sumOfEntry = (tenant: Uint8Array, key: Uint8Array, offset: number, { payload, appendedUs }: Stored): number =>
  sumOf({ tenant, key }, payload, offset, appendedUs)

const logOf = (row: Row): Log => ({
  key: row["key"] as Uint8Array,
  id: Number(row["id"]),
  first: Number(row["first"]),
  last: Number(row["last"]),
  bytes: Number(row["bytes"]),
  sum: Number(row["sum"]),
})
const storedOf = (row: Row): Stored => ({ payload: row["payload"] as Uint8Array, appendedUs: Number(row["appended_us"]) })
const entryId = (log: number, offset: number): string => `${log} ${offset}`

/** An offset that somebody names, as a number that a database's integers have. */
function offsetOf(option: string, offset: bigint): number {
  if (typeof offset !== "bigint") throw new ConfigError("Option", { option, expected: "an offset, a bigint", actual: typeof offset })
  return offset < 0n ? 0 : Number(offset < BigInt(Number.MAX_SAFE_INTEGER) ? offset : BigInt(Number.MAX_SAFE_INTEGER))
}

class LogDraft implements Draft<LogOperation | Import> {
  readonly load: ReadonlyArray<Statement>
  readonly #context: Context
  readonly #operations: ReadonlyArray<LogOperation | Import>
  readonly #logs = new Map<string, Log>()
  readonly #before = new Map<string, Log>()
  /** What the entries stored before an offset add up to, by log and offset. */
  readonly #prefixes = new Map<string, Total>()
  /** What is stored at an offset that an import names. */
  readonly #stored = new Map<string, Total>()
  readonly #written = new Map<string, Stored & { readonly log: number; readonly key: Uint8Array; readonly offset: number }>()
  readonly #changed = new Set<string>()

  constructor(context: Context, operations: ReadonlyArray<LogOperation | Import>) {
    this.#context = context
    this.#operations = operations
    const keys = new Map<string, Uint8Array>()
    for (const operation of operations) {
      const key = operation.op === "import" ? placeOfOrder(operation.record.order)?.key : operation.key
      if (key !== undefined) keys.set(hexOf(key), key)
    }
    this.load = [
      { sql: `SELECT found.* FROM unnest($2::bytea[]) AS asked(key) ${eachOf("log", logColumns)}`, parameters: [context.tenant, [...keys.values()]] },
    ]
  }

  async take([answer]: ReadonlyArray<Answer>, load: Load): Promise<void> {
    const { tenant } = this.#context
    for (const row of answer?.rows ?? []) {
      const log = logOf(row)
      this.#logs.set(hexOf(log.key), log)
      this.#before.set(hexOf(log.key), log)
    }
    const prefixes = new Map<string, readonly [Log, number]>()
    const places = new Map<string, readonly [Log, number]>()
    for (const operation of this.#operations) {
      if (operation.op === "append") continue
      const at = operation.op === "import" ? placeOfOrder(operation.record.order) : undefined
      const key = operation.op === "import" ? at?.key : operation.key
      const log = key === undefined ? undefined : this.#logs.get(hexOf(key))
      if (log === undefined) continue
      const ends =
        operation.op === "trim"
          ? [Math.min(offsetOf("before", operation.before), log.last + 1)]
          : at?.number === 0
            ? [Number(operation.record.fields["first"] ?? 0), Number(operation.record.fields["last"] ?? 0) + 1].map((end) =>
                Math.min(Math.max(end, log.first), log.last + 1),
              )
            : []
      for (const end of ends) prefixes.set(entryId(log.id, end), [log, end])
      if (at !== undefined && at.number > 0) places.set(entryId(log.id, at.number), [log, at.number])
    }
    const statements = [
      ...[...prefixes.values()].map(([log, end]) => ({ which: "position < $3::bigint", log, end })),
      ...[...places.values()].map(([log, end]) => ({ which: "position = $3::bigint", log, end })),
    ].map(({ which, log, end }) => ({
      sql: `SELECT count(*) AS keys, coalesce(sum(length(payload)), 0)::bigint AS bytes, coalesce(bit_xor(sum), 0) AS sums FROM stele.log_entry WHERE tenant = $1 AND log = $2 AND ${which}`,
      parameters: [tenant, BigInt(log.id), BigInt(end)],
    }))
    if (statements.length === 0) return
    const answers = await load(statements)
    const totals = answers.map(({ rows: [row] }): Total => ({ keys: Number(row?.["keys"]), bytes: Number(row?.["bytes"]), sums: Number(row?.["sums"]) }))
    ;[...prefixes.keys()].forEach((id, i) => this.#prefixes.set(id, totals[i] as Total))
    ;[...places.keys()].forEach((id, i) => this.#stored.set(id, totals[prefixes.size + i] as Total))
  }

  #corrupt(key: Uint8Array, offset: number): StorageError {
    return new StorageError("Corrupt", { store: this.#context.store, table: name, key: `${textOf(key)} ${offset}` })
  }

  #find(key: Uint8Array): Log | undefined {
    const log = this.#logs.get(hexOf(key))
    if (log !== undefined && sumOfLog(this.#context.tenant, log) !== log.sum) throw this.#corrupt(key, log.last)
    return log
  }

  apply(group: Group, operation: LogOperation | Import): LogResults[LogOperation["op"]] | undefined {
    if (operation.op === "import") return this.#import(group, operation)
    const log = this.#find(operation.key)
    return operation.op === "append" ? this.#append(group, operation, log) : this.#trim(group, operation.key, log, offsetOf("before", operation.before))
  }

  #append(group: Group, { key, payload, expect }: Extract<LogOperation, { readonly op: "append" }>, log: Log | undefined): bigint {
    const { tenant, store } = this.#context
    const limits = this.#context.limits.log
    const { first, last, bytes } = log ?? { first: 1, last: 0, bytes: 0 }
    const offset = last + 1
    if (expect !== undefined && offsetOf("expect", expect) !== offset)
      throw new StorageError("Conflict", { store, table: name, key: textOf(key), expected: `offset ${expect}`, found: `offset ${offset}` })
    checkLimit("log", "nameBytesMax", "bytes", limits.nameBytesMax, bytesOf(tenant, key))
    checkLimit("log", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    const used = group.total(name)
    if (log === undefined) checkLimit("log", "tenantLogsMax", "logs", limits.tenantLogsMax, used.keys + 1)
    checkLimit("log", "logEntriesMax", "entries", limits.logEntriesMax, last - first + 2)
    checkLimit("log", "logBytesMax", "bytes", limits.logBytesMax, bytes + payload.length)
    checkLimit("log", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + payload.length)
    checkLimit("log", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + payload.length)
    const revision = group.change(appendWord, tenant, key, payload)
    const id = log?.id ?? revision
    this.#putLog(group, log, { key, id, first, last: offset, bytes: bytes + payload.length })
    this.#putEntry(group, key, id, offset, { payload, appendedUs: group.nowUs })
    return BigInt(offset)
  }

  #putLog(group: Group, old: Log | undefined, log: Omit<Log, "sum">): void {
    const sum = sumOfLog(this.#context.tenant, log)
    const id = hexOf(log.key)
    this.#changed.add(id)
    this.#logs.set(id, { ...log, sum })
    group.undo(() => void (old === undefined ? this.#logs.delete(id) : this.#logs.set(id, old)))
    group.add(name, old === undefined ? 1 : 0, 0, sum ^ (old?.sum ?? 0))
  }

  #putEntry(group: Group, key: Uint8Array, log: number, offset: number, stored: Stored): void {
    const id = entryId(log, offset)
    const before = this.#written.get(id)
    this.#written.set(id, { ...stored, log, key, offset })
    group.undo(() => void (before === undefined ? this.#written.delete(id) : this.#written.set(id, before)))
    group.add(name, 0, stored.payload.length, sumOfEntry(this.#context.tenant, key, offset, stored))
  }

  /** Forgets entries that the group itself wrote; what they were. */
  #unwrite(group: Group, log: number, isGone: (offset: number) => boolean): Total {
    let gone = noTotal
    for (const [id, entry] of this.#written) {
      if (entry.log !== log || !isGone(entry.offset)) continue
      this.#written.delete(id)
      group.undo(() => this.#written.set(id, entry))
      const sum = sumOfEntry(this.#context.tenant, entry.key, entry.offset, entry)
      gone = { keys: gone.keys + 1, bytes: gone.bytes + entry.payload.length, sums: (gone.sums ^ sum) >>> 0 }
    }
    return gone
  }

  /** What is stored between two offsets: those of the group's trims were read. */
  #storedBetween(log: Log, from: number, end: number): Total {
    const before = this.#before.get(hexOf(log.key))
    if (before === undefined || before.id !== log.id) return noTotal
    const upTo = (offset: number): Total =>
      offset <= before.first ? noTotal : (this.#prefixes.get(entryId(log.id, Math.min(offset, before.last + 1))) ?? noTotal)
    const [low, high] = [upTo(from), upTo(end)]
    return { keys: high.keys - low.keys, bytes: high.bytes - low.bytes, sums: (high.sums ^ low.sums) >>> 0 }
  }

  #trim(group: Group, key: Uint8Array, log: Log | undefined, before: number): number {
    if (log === undefined || before <= log.first || log.first > log.last) return 0
    const first = Math.min(before, log.last + 1)
    group.change(trimWord, this.#context.tenant, key, utf8.encode(String(first)))
    const [stored, written] = [this.#storedBetween(log, log.first, first), this.#unwrite(group, log.id, (offset) => offset < first)]
    const count = stored.keys + written.keys
    const bytes = stored.bytes + written.bytes
    if (count !== first - log.first) throw this.#corrupt(key, log.first)
    group.add(name, 0, -bytes, stored.sums ^ written.sums)
    this.#putLog(group, log, { key, id: log.id, first, last: log.last, bytes: log.bytes - bytes })
    return count
  }

  #import(group: Group, { record }: Import): undefined {
    const { tenant, store } = this.#context
    const limits = this.#context.limits.log
    const fields = new Fields(store, name, record)
    const at = placeOfOrder(record.order)
    if (at === undefined) throw fields.refusal("its order is no log and offset")
    const { key } = at
    const log = this.#find(key)
    const used = group.total(name)
    if (at.number === 0) {
      const [first, last] = [fields.integer("first", 1), fields.integer("last", 0, importedMax)]
      fields.end()
      if (first > last + 1) throw fields.refusal("it begins after its end")
      checkLimit("log", "nameBytesMax", "bytes", limits.nameBytesMax, bytesOf(tenant, key))
      checkLimit("log", "logEntriesMax", "entries", limits.logEntriesMax, last - first + 1)
      if (log === undefined) checkLimit("log", "tenantLogsMax", "logs", limits.tenantLogsMax, used.keys + 1)
      const revision = group.change(importWord, tenant, record.order)
      if (log === undefined) {
        this.#putLog(group, undefined, { key, id: revision, first, last, bytes: 0 })
        return undefined
      }
      const parts = [
        this.#storedBetween(log, log.first, Math.min(Math.max(first, log.first), log.last + 1)),
        this.#storedBetween(log, Math.min(Math.max(last + 1, log.first), log.last + 1), log.last + 1),
        this.#unwrite(group, log.id, (offset) => offset < first || offset > last),
      ]
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
      group.add(
        name,
        0,
        -bytes,
        parts.reduce((sums, part) => sums ^ part.sums, 0),
      )
      this.#putLog(group, log, { key, id: log.id, first, last, bytes: log.bytes - bytes })
      return undefined
    }
    const [payload, appendedUs] = [fields.bytes("payload"), fields.integer("appendedAtUs")]
    fields.end()
    if (log === undefined || at.number < log.first || at.number > log.last) throw fields.refusal("its log does not have this offset")
    const written = this.#unwrite(group, log.id, (offset) => offset === at.number)
    const id = entryId(log.id, at.number)
    const old = written.keys > 0 ? written : (this.#stored.get(id) ?? noTotal)
    group.change(importWord, tenant, record.order, payload)
    group.add(name, 0, -old.bytes, old.sums)
    checkLimit("log", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
    checkLimit("log", "logBytesMax", "bytes", limits.logBytesMax, log.bytes - old.bytes + payload.length)
    checkLimit("log", "tenantBytesMax", "bytes", limits.tenantBytesMax, group.total(name).bytes + payload.length)
    checkLimit("log", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + payload.length)
    this.#putLog(group, log, { ...log, bytes: log.bytes - old.bytes + payload.length })
    this.#putEntry(group, key, log.id, at.number, { payload, appendedUs })
    return undefined
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const statements: Array<Statement> = []
    const kept: Array<Log> = []
    for (const id of this.#changed) {
      const [before, now] = [this.#before.get(id), this.#logs.get(id)]
      if (now === undefined || before === now) continue
      kept.push(now)
      if (before !== undefined && (now.first > before.first || now.last < before.last))
        statements.push({
          sql: "DELETE FROM stele.log_entry WHERE tenant = $1 AND log = $2 AND (position < $3::bigint OR position > $4::bigint)",
          parameters: [tenant, BigInt(now.id), BigInt(now.first), BigInt(now.last)],
        })
    }
    if (kept.length > 0)
      statements.push({
        sql: "INSERT INTO stele.log (tenant, key, id, first, last, bytes, sum) SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) ON CONFLICT (tenant, key) DO UPDATE SET first = excluded.first, last = excluded.last, bytes = excluded.bytes, sum = excluded.sum",
        parameters: [
          tenant,
          kept.map(({ key }) => key),
          ...(["id", "first", "last", "bytes", "sum"] as const).map((column) => kept.map((log) => BigInt(log[column]))),
        ],
      })
    const written = [...this.#written.values()]
    if (written.length > 0)
      statements.push({
        sql: "INSERT INTO stele.log_entry (tenant, log, position, payload, appended_us, sum) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::bigint[]) ON CONFLICT (tenant, log, position) DO UPDATE SET payload = excluded.payload, appended_us = excluded.appended_us, sum = excluded.sum",
        parameters: [
          tenant,
          written.map(({ log }) => BigInt(log)),
          written.map(({ offset }) => BigInt(offset)),
          written.map(({ payload }) => payload),
          written.map(({ appendedUs }) => BigInt(appendedUs)),
          written.map((entry) => BigInt(sumOfEntry(tenant, entry.key, entry.offset, entry))),
        ],
      })
    return statements
  }
}

/** Entries with what comes before each of them, in bytes. */
const measured = (where: string, limit: string): string =>
  `(SELECT position, payload, appended_us, sum, row_number() OVER w AS n, sum(length(payload)) OVER w - length(payload) AS before FROM (SELECT * FROM stele.log_entry WHERE ${where} ORDER BY position LIMIT ${limit}) AS r WINDOW w AS (ORDER BY position)) AS e`

function ask({ store, tenant }: Context, { key, after, countMax, bytesMax }: LogQuestion): Query<LogPage> {
  const from = offsetOf("after", after)
  const most = Math.min(Math.max(0, Number.isNaN(bytesMax) ? 0 : Math.ceil(bytesMax)), 1 << 30)
  return {
    statements: [
      { sql: `SELECT ${logColumns} FROM stele.log WHERE tenant = $1 AND key = $2`, parameters: [tenant, key] },
      {
        sql: `SELECT position, payload, appended_us, sum FROM ${measured("tenant = $1 AND log = (SELECT id FROM stele.log WHERE tenant = $1 AND key = $2) AND position > $3::bigint", "$4::bigint")} WHERE n = 1 OR before <= $5::bigint ORDER BY position`,
        parameters: [tenant, key, BigInt(from), BigInt(rowsMax(countMax)), BigInt(most)],
      },
    ],
    answer([row], rows = []) {
      const log = row === undefined ? undefined : logOf(row)
      const corrupt = (offset: number): StorageError => new StorageError("Corrupt", { store, table: name, key: `${textOf(key)} ${offset}` })
      if (log !== undefined && sumOfLog(tenant, log) !== log.sum) throw corrupt(log.last)
      const [first, last] = [log?.first ?? 1, log?.last ?? 0]
      if (from + 1 < first) throw new StorageError("Compacted", { store, table: name, key: textOf(key), asked: from, oldest: first - 1, newest: last })
      const entries: Array<LogEntry> = []
      const page = { entries, first: BigInt(first), last: BigInt(last) }
      if (rowsMax(countMax) === 0 || from + 1 > last) return page
      let bytes = 0
      let expected = from + 1
      for (const each of rows) {
        const stored = storedOf(each)
        // Offsets have no gaps: an entry that is missing, or whose bytes changed, is not passed over.
        if (Number(each["position"]) !== expected || sumOfEntry(tenant, key, expected, stored) !== Number(each["sum"])) throw corrupt(expected)
        bytes += stored.payload.length
        if (entries.length > 0 && !(bytes <= bytesMax)) return page
        entries.push({ offset: BigInt(expected), payload: stored.payload, appendedAtUs: stored.appendedUs })
        expected++
      }
      // The last row that came is not the last that there is where the bytes were enough.
      if (entries.length < rowsMax(countMax) && expected !== last + 1 && bytes <= most) throw corrupt(expected)
      return page
    },
  }
}

export const logTable: Table<LogOperation, LogQuestion> = {
  name,
  counts: "log",
  operations: ["append", "trim"],
  questions: ["log"],
  bytesMax: ({ log }) => log.totalBytesMax,
  grows: (operation) => (operation.op === "append" ? operation.payload.length : 0),
  draft: (context, operations) => new LogDraft(context, operations),
  ask,
  /** A log's own record has the number 0, before its entries. */
  export({ store, tenant }, after, countMax, headsOnly): Query<Page> {
    const from = after === undefined ? undefined : placeOfOrder(after)
    const parameters: Array<unknown> = [tenant, BigInt(rowsMax(countMax) + 1), ...(from === undefined ? [] : [from.key, BigInt(from.number)])]
    const beyond = `${from === undefined ? "" : " AND (key, number) > ($3, $4::bigint)"}${headsOnly ? " AND number = 0" : ""}`
    return {
      statements: [
        {
          sql: `SELECT * FROM (SELECT *, sum(coalesce(length(payload), 0)) OVER (ORDER BY key, number) - coalesce(length(payload), 0) AS before FROM (SELECT * FROM (SELECT key, 0::bigint AS number, first, last, NULL::bytea AS payload, NULL::bigint AS appended_us, sum, bytes FROM stele.log WHERE tenant = $1 UNION ALL SELECT key, position, first, last, payload, appended_us, e.sum, bytes FROM stele.log_entry e JOIN stele.log l ON l.tenant = e.tenant AND l.id = e.log WHERE e.tenant = $1) AS u WHERE true${beyond} ORDER BY key, number LIMIT $2) AS r) AS m WHERE before <= ${exportBytesMax} ORDER BY key, number`,
          parameters,
        },
      ],
      answer(rows) {
        const records: Array<TenantRecord> = []
        const corrupt = (key: Uint8Array, offset: number): StorageError => new StorageError("Corrupt", { store, table: name, key: `${textOf(key)} ${offset}` })
        for (const row of rows) {
          const [key, number] = [row["key"] as Uint8Array, Number(row["number"])]
          const [first, last] = [Number(row["first"]), Number(row["last"])]
          if (number === 0) {
            const log = { key, id: 0, first, last, bytes: Number(row["bytes"]), sum: Number(row["sum"]) }
            if (sumOfLog(tenant, log) !== log.sum) throw corrupt(key, last)
            records.push({ order: orderOf(key, 0), fields: { first: BigInt(first), last: BigInt(last) } })
            continue
          }
          const stored = storedOf(row)
          if (sumOfEntry(tenant, key, number, stored) !== Number(row["sum"])) throw corrupt(key, number)
          records.push({ order: orderOf(key, number), fields: { payload: stored.payload, appendedAtUs: BigInt(stored.appendedUs) } })
        }
        return pageOf(rows, records, countMax)
      },
    }
  },
  async erase(context, connection, countMax) {
    return await eraseNumbered(
      context,
      connection,
      countMax,
      { name, owner: "log", numbered: "log_entry", reference: "log", number: "position" },
      (row, first, gone) => {
        const log = { ...logOf(row), first, bytes: Number(row["bytes"]) - gone.bytes }
        const sum = sumOfLog(context.tenant, log)
        return {
          set: "first = $3::bigint, bytes = $4::bigint, sum = $5::bigint",
          values: [BigInt(first), BigInt(log.bytes), BigInt(sum)],
          sums: sum ^ Number(row["sum"]),
          own: Number(row["sum"]),
        }
      },
    )
  },
  async check(connection, add) {
    const findings: Array<Finding> = []
    const logs = new Map<string, { readonly log: Log; expected: number; found: number; sums: number }>()
    for await (const row of rowsOf(connection, `SELECT tenant, ${logColumns} FROM stele.log`, ["tenant", "key"])) {
      const log = logOf(row)
      const tenant = row["tenant"] as Uint8Array
      logs.set(`${hexOf(tenant)} ${log.id}`, { log, expected: log.first, found: 0, sums: log.sum })
      if (sumOfLog(tenant, log) !== log.sum) findings.push({ table: name, key: textOf(log.key), detail: "where it begins and ends is not as it was written" })
    }
    for await (const row of rowsOf(connection, "SELECT tenant, log, position, payload, appended_us, sum FROM stele.log_entry", ["tenant", "log", "position"])) {
      const tenant = row["tenant"] as Uint8Array
      const of = logs.get(`${hexOf(tenant)} ${Number(row["log"])}`)
      const [offset, stored] = [Number(row["position"]), storedOf(row)]
      if (of === undefined) {
        findings.push({ table: name, key: String(offset), detail: "its log is not there" })
        continue
      }
      const at = `${textOf(of.log.key)} ${offset}`
      if (sumOfEntry(tenant, of.log.key, offset, stored) !== Number(row["sum"]))
        findings.push({ table: name, key: at, detail: "its bytes are not those that were written" })
      if (offset !== of.expected) findings.push({ table: name, key: at, detail: `${of.expected} comes before it and is missing` })
      of.expected = offset + 1
      of.found += stored.payload.length
      of.sums = (of.sums ^ Number(row["sum"])) >>> 0
    }
    for (const [id, { log, expected, found, sums }] of logs) {
      if (expected !== log.last + 1 || found !== log.bytes)
        findings.push({
          table: name,
          key: textOf(log.key),
          detail: `it ends at ${expected - 1} with ${found} bytes, ${log.last} with ${log.bytes} were written`,
        })
      add(name, Buffer.from(id.slice(0, id.indexOf(" ")), "hex"), { keys: 1, bytes: found, sums })
    }
    return findings
  },
}
