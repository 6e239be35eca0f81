/** The key-value port's rows: statements, sums and totals. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { addCounter, readCounter } from "../../../host/port/key-value.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { Entry, KeyValueAnswers, KeyValueOperation, KeyValueQuestion, KeyValueResults } from "../../port/key-value.ts"
import type { StoreLimits } from "../../port/limits.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import type { StoreClock } from "../clock.ts"
import { checkWhole } from "../operation.ts"
import { Fields } from "../record.ts"
import { after, rowsMax, sumOf } from "../row.ts"
import { ChangeTable } from "./change.ts"
import { snapshot, statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { everybody, Recount, type Total, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

interface Row {
  readonly value: Uint8Array
  readonly revision: number
  readonly sum: number
  /** When the value ends; null: never. */
  readonly expiresUs: number | null
}

/** What writing over a row must know of it: nothing of its value. */
interface Before {
  readonly id: number
  readonly bytes: number
  readonly sum: number
  readonly expiresUs: number | null
}

const utf8 = new TextEncoder()
const [setWord, deleteWord, expireWord] = ["set", "delete", "expire"].map((word) => utf8.encode(word)) as [Uint8Array, Uint8Array, Uint8Array]
const columns = "value, revision, sum, expires_us AS expiresUs"
/** Rows that one group removes at most because they have ended. */
const sweepMax = 256

const sumOfRow = (place: Place, { value, revision, expiresUs }: Omit<Row, "sum">): number =>
  expiresUs === null ? sumOf(place, value, revision) : sumOf(place, value, revision, expiresUs)

export class KeyValueTable implements Table<KeyValueOperation, KeyValueQuestion> {
  static readonly operations = ["set", "swap", "increment", "delete", "require"] as const
  static readonly refusedFirst = KeyValueTable.operations
  static readonly questions = ["get", "has", "list", "entries", "changes", "revision"] as const
  readonly name = "key_value"
  readonly counts = "key"
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #limits: StoreLimits["keyValue"]
  readonly #clock: StoreClock
  readonly #get: StatementSync
  readonly #list: StatementSync
  readonly #changes: ChangeTable
  readonly totals: TotalTable
  readonly totalsBeside: TotalTable
  readonly #writing: (sql: string) => StatementSync
  readonly #before: (sql: string) => StatementSync

  constructor({ database, store, limits, clock }: TableContext) {
    this.#database = database
    this.#limits = limits.keyValue
    this.#store = store
    this.#clock = clock
    this.#writing = statementsOf(database)
    this.#before = statementsOf(database, { asArrays: true })
    this.#get = database.prepare(`SELECT ${columns} FROM key_value WHERE tenant = ? AND key = ?`)
    this.#list = database.prepare(
      "SELECT key FROM key_value WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4) AND (expires_us IS NULL OR expires_us > ?5) ORDER BY key LIMIT ?6",
    )
    this.#changes = new ChangeTable(database, store)
    this.totals = new TotalTable(database, "key_value_total")
    this.totalsBeside = this.#changes.totals
  }

  ask(question: KeyValueQuestion): KeyValueAnswers[KeyValueQuestion["ask"]] {
    switch (question.ask) {
      case "get": {
        const row = this.#living(question, this.#row(question))
        return row === undefined ? undefined : { value: row.value, version: row.revision, expiresAtUs: row.expiresUs ?? undefined }
      }
      case "has":
        return this.#has(question)
      case "list": {
        const { tenant, key: prefix, beyond, countMax } = question
        const rows = this.#list.all(tenant, prefix, after(prefix) ?? null, beyond ?? null, this.#clock(), rowsMax(countMax))
        return rows.map(({ key }) => textOf(key as Uint8Array))
      }
      case "entries":
        return snapshot(this.#database, () => this.#entries(question))
      case "changes":
        return snapshot(this.#database, () => this.#changes.ask(question, question.after, question.countMax))
      case "revision":
        return this.#changes.newest()
    }
  }

  #has({ tenant, key }: Place): boolean {
    const row = this.#writing("SELECT expires_us AS expiresUs FROM key_value WHERE tenant = ? AND key = ?").get(tenant, key) as Row | undefined
    return row !== undefined && (row.expiresUs === null || row.expiresUs > this.#clock())
  }

  #entries({ tenant, key: prefix, beyond, countMax, bytesMax }: Extract<KeyValueQuestion, { readonly ask: "entries" }>): KeyValueAnswers["entries"] {
    const revision = this.#changes.newest()
    const entries: Array<Entry> = []
    let bytes = 0
    const rows = this.#database
      .prepare(`SELECT key, ${columns} FROM key_value WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4) ORDER BY key`)
      .iterate(tenant, prefix, after(prefix) ?? null, beyond ?? null)
    for (const each of rows) {
      const { key, ...found } = each as unknown as Row & { readonly key: Uint8Array }
      const row = this.#living({ tenant, key }, found)
      if (row === undefined) continue
      bytes += key.length + row.value.length
      if (entries.length >= rowsMax(countMax) || (entries.length > 0 && !(bytes <= bytesMax))) return { entries, isComplete: false, revision }
      entries.push({ key, value: row.value, version: row.revision, expiresAtUs: row.expiresUs ?? undefined })
    }
    return { entries, isComplete: true, revision }
  }

  #row({ tenant, key }: Place): Row | undefined {
    return this.#get.get(tenant, key) as Row | undefined
  }

  /** What there is in its place, whatever became of its bytes. */
  #beforeOf({ tenant, key }: Place): Before | undefined {
    const row = this.#before("SELECT id, length(value), sum, expires_us FROM key_value WHERE tenant = ? AND key = ?").get(tenant, key)
    if (row === undefined) return undefined
    const [id, bytes, sum, expiresUs] = row as unknown as [id: number, bytes: number, sum: number, expiresUs: number | null]
    return { id, bytes, sum, expiresUs }
  }

  /** A row as it was written, if its value has not ended: one whose end changed must not seem to be over. */
  #living(place: Place, row: Row | undefined, nowUs?: number): Row | undefined {
    if (row === undefined) return undefined
    if (sumOfRow(place, row) !== row.sum) throw new StorageError("Corrupt", { store: this.#store, table: "key_value", key: textOf(place.key) })
    return row.expiresUs !== null && row.expiresUs <= (nowUs ?? this.#clock()) ? undefined : row
  }

  apply(group: Group, operation: KeyValueOperation): KeyValueResults[KeyValueOperation["op"]] {
    // A row whose bytes changed can be written over and deleted; what depends on its value is refused.
    const old = this.#beforeOf(operation)
    switch (operation.op) {
      case "set":
        return this.#write(group, operation, old, operation.value, this.#endOf(group, operation, old))
      case "swap": {
        const version = this.#livingAt(operation, old, group.nowUs)?.revision
        return version === operation.version ? this.#write(group, operation, old, operation.value, this.#end(group, operation.ttlMs)) : undefined
      }
      case "increment": {
        const before = this.#livingAt(operation, old, group.nowUs)
        const sum = addCounter(readCounter(before?.value), operation.delta, operation.min, operation.max)
        this.#write(group, operation, old, utf8.encode(sum.toString()), before?.expiresUs ?? null)
        return sum
      }
      case "delete": {
        if (old === undefined) return false
        const isOver = old.expiresUs !== null && old.expiresUs <= group.nowUs
        this.#remove(group, operation, old, isOver ? "expire" : "delete")
        return !isOver
      }
      case "require": {
        const version = this.#livingAt(operation, old, group.nowUs)?.revision
        if (version === operation.version) return undefined
        const named = (which: number | undefined): string => (which === undefined ? "no version, absent" : `version ${which}`)
        const [expected, found] = [named(operation.version), named(version)]
        throw new StorageError("Conflict", { store: this.#store, table: this.name, key: textOf(operation.key), expected, found })
      }
    }
  }

  /** The row whose outline is known. */
  #livingAt(place: Place, old: Before | undefined, nowUs: number): Row | undefined {
    return old === undefined ? undefined : this.#living(place, this.#row(place), nowUs)
  }

  #endOf(group: Group, operation: Extract<KeyValueOperation, { readonly op: "set" }>, old: Before | undefined): number | null {
    if (operation.keepsEnd !== true) return this.#end(group, operation.ttlMs)
    if (operation.ttlMs !== undefined) throw new ConfigError("Option", { option: "keepsEnd", expected: "no ttlMs beside it", actual: "both" })
    return this.#livingAt(operation, old, group.nowUs)?.expiresUs ?? null
  }

  #end(group: Group, ttlMs: number | undefined): number | null {
    if (ttlMs === undefined) return null
    checkWhole("ttlMs", ttlMs, 1, this.#limits.ttlMsMax)
    return group.nowUs + ttlMs * 1_000
  }

  #remove(group: Group, place: Place, { bytes, sum }: Pick<Before, "bytes" | "sum">, kind: "delete" | "expire"): void {
    const { tenant, key } = place
    const revision = group.change(kind === "delete" ? deleteWord : expireWord, tenant, key)
    this.#writing("DELETE FROM key_value WHERE tenant = ? AND key = ?").run(tenant, key)
    group.totals(this.totals).add(tenant, -1, -(bytesOf(place) + bytes), sum)
    this.#changes.add(group, place, kind, revision, this.#limits)
  }

  #write(group: Group, place: Place, old: Before | undefined, value: Uint8Array, expiresUs: number | null): number {
    this.#checkRoom(group, place, old, value)
    const { tenant, key } = place
    const revision = expiresUs === null ? group.change(setWord, tenant, key, value) : group.change(setWord, tenant, key, value, utf8.encode(String(expiresUs)))
    this.#put(group, place, old, { value, revision, expiresUs })
    this.#changes.add(group, place, "set", revision, this.#limits)
    return revision
  }

  #put(group: Group, place: Place, old: Before | undefined, { value, revision, expiresUs }: Omit<Row, "sum">): void {
    const { tenant, key } = place
    const sum = sumOfRow(place, { value, revision, expiresUs })
    if (old === undefined)
      this.#writing("INSERT INTO key_value (tenant, key, value, revision, sum, expires_us) VALUES (?, ?, ?, ?, ?, ?)").run(
        tenant,
        key,
        value,
        revision,
        sum,
        expiresUs,
      )
    else this.#writing("UPDATE key_value SET value = ?, revision = ?, sum = ?, expires_us = ? WHERE id = ?").run(value, revision, sum, expiresUs, old.id)
    const grown = value.length - (old === undefined ? -bytesOf(place) : old.bytes)
    group.totals(this.totals).add(tenant, old === undefined ? 1 : 0, grown, sum ^ (old?.sum ?? 0))
  }

  #checkRoom(group: Group, place: Place, old: Before | undefined, value: Uint8Array): void {
    const limits = this.#limits
    const totals = group.totals(this.totals)
    const size = bytesOf(place)
    checkLimit("keyValue", "keyBytesMax", "bytes", limits.keyBytesMax, size)
    checkLimit("keyValue", "valueBytesMax", "bytes", limits.valueBytesMax, value.length)
    const [used, all] = [totals.get(place.tenant), totals.get(everybody)]
    const grown = value.length - (old === undefined ? -size : old.bytes)
    const added = old === undefined ? 1 : 0
    if (used.keys + added <= limits.tenantKeysMax && used.bytes + grown <= limits.tenantBytesMax && all.bytes + grown <= limits.totalBytesMax) return
    // What has ended is absent, also where it has not been removed yet.
    const [ended, allEnded] = [this.#ended(group, place, place.tenant), this.#ended(group, place, null)]
    if (old === undefined) checkLimit("keyValue", "tenantKeysMax", "keys", limits.tenantKeysMax, used.keys - ended.keys + 1)
    checkLimit("keyValue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes - ended.bytes + grown)
    checkLimit("keyValue", "totalBytesMax", "bytes", limits.totalBytesMax, all.bytes - allEnded.bytes + grown)
  }

  /** Of a tenant, or of all: rows that have ended and are there, but for the one that is written. */
  #ended(group: Group, { tenant, key }: Place, whose: Uint8Array | null): Pick<Total, "keys" | "bytes"> {
    return this.#writing(
      "SELECT count(*) AS keys, coalesce(sum(length(tenant) + 1 + length(key) + length(value)), 0) AS bytes FROM key_value WHERE expires_us <= ?1 AND (?2 IS NULL OR tenant = ?2) AND NOT (tenant = ?3 AND key = ?4)",
    ).get(group.nowUs, whose, tenant, key) as unknown as Pick<Total, "keys" | "bytes">
  }

  sweep(group: Group): void {
    const rows = this.#writing(`SELECT tenant, key, ${columns} FROM key_value WHERE expires_us BETWEEN 1 AND ? ORDER BY expires_us LIMIT ?`).all(
      group.nowUs,
      sweepMax,
    )
    for (const each of rows) {
      const { tenant, key, ...row } = each as unknown as Row & Place
      // One whose bytes changed may not have ended: it stays, to be found.
      if (sumOfRow({ tenant, key }, row) === row.sum) this.#remove(group, { tenant, key }, { bytes: row.value.length, sum: row.sum }, "expire")
    }
    this.#changes.sweep(group, this.#limits)
  }

  *export(tenant: Uint8Array, beyond: Uint8Array | undefined): Generator<TenantRecord> {
    const rows = this.#database
      .prepare(`SELECT key, ${columns} FROM key_value WHERE tenant = ?1 AND (?2 IS NULL OR key > ?2) ORDER BY key`)
      .iterate(tenant, beyond ?? null)
    for (const each of rows) {
      const { key, ...found } = each as unknown as Row & { readonly key: Uint8Array }
      const row = this.#living({ tenant, key }, found)
      if (row === undefined) continue
      const expiresAtUs = row.expiresUs === null ? null : BigInt(row.expiresUs)
      yield { order: key, fields: { value: row.value, version: BigInt(row.revision), expiresAtUs } }
    }
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const fields = new Fields(this.#store, this.name, record)
    const [value, revision, expiresUs] = [fields.bytes("value"), fields.integer("version", 1), fields.integerOrNone("expiresAtUs")]
    fields.end()
    if (revision > group.revision) throw fields.refusal(`its version ${revision} is above the revision of its export`)
    const place = { tenant, key: record.order }
    const old = this.#beforeOf(place)
    this.#checkRoom(group, place, old, value)
    this.#put(group, place, old, { value, revision, expiresUs })
    // Who watched here has missed what happened there.
    this.#changes.forget(group, tenant, group.revision)
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    const rows = this.#writing(
      "DELETE FROM key_value WHERE id IN (SELECT id FROM key_value WHERE tenant = ? LIMIT ?) RETURNING length(tenant) + 1 + length(key) + length(value) AS bytes, sum",
    ).all(tenant, countMax)
    for (const { bytes, sum } of rows) group.totals(this.totals).add(tenant, -1, -Number(bytes), Number(sum))
    return rows.length + (rows.length < countMax ? this.#changes.erase(group, tenant, countMax - rows.length) : 0)
  }

  check(): ReadonlyArray<Finding> {
    const table = this.name
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const each of this.#database.prepare(`SELECT tenant, key, ${columns} FROM key_value`).iterate()) {
      const { tenant, key, ...row } = each as unknown as Place & Row
      if (sumOfRow({ tenant, key }, row) !== row.sum) findings.push({ table, key: textOf(key), detail: "its bytes are not those that were written" })
      recount.add(tenant, 1, bytesOf({ tenant, key }) + row.value.length, row.sum)
    }
    return [...findings, ...recount.compare(table, this.totals), ...this.#changes.check()]
  }
}
