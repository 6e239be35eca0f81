/** The key-value port's rows. */
import { addCounter, readCounter } from "../../../host/port/key-value.ts"
import { checkLimit } from "../../../host/port/port.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Entry, KeyValueOperation, KeyValueQuestion, KeyValueResults } from "../../port/key-value.ts"
import type { StoreLimits } from "../../port/limits.ts"
import { textOf } from "../../port/place.ts"
import { exportBytesMax } from "../../port/tenant.ts"
import { checkWhole } from "../operation.ts"
import { Fields } from "../record.ts"
import { after, rowsMax, sumOf } from "../row.ts"
import { ChangeDraft, type ChangeRow, checkChanges, askChanges, eraseChanges, newest } from "./change.ts"
import type { Answer, Row, Statement } from "./connection.ts"
import type { Group } from "./group.ts"
import { cut, eachOf, eraseRows, rowsOf } from "./rows.ts"
import type { Context, Draft, Import, Load, Page, Query, Table } from "./table.ts"
import { bytesOf, hexOf, idOf } from "./tenant.ts"

const name = "key_value"
const utf8 = new TextEncoder()
const [setWord, deleteWord, expireWord, importWord] = ["set", "delete", "expire", "import"].map((word) => utf8.encode(word)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
]
/** Rows that one group removes at most because they have ended. */
const sweepMax = 64

interface Found {
  readonly key: Uint8Array
  /** Not read where only its length counts. */
  readonly value: Uint8Array | undefined
  readonly bytes: number
  readonly revision: number
  /** When the value ends; null: never. */
  readonly expiresUs: number | null
  readonly sum: number
}

const sumOfRow = (tenant: Uint8Array, key: Uint8Array, value: Uint8Array, revision: number, expiresUs: number | null): number =>
  expiresUs === null ? sumOf({ tenant, key }, value, revision) : sumOf({ tenant, key }, value, revision, expiresUs)

const foundOf = (row: Row): Found => ({
  key: row["key"] as Uint8Array,
  value: (row["value"] as Uint8Array | null) ?? undefined,
  bytes: Number(row["bytes"]),
  revision: Number(row["revision"]),
  expiresUs: row["expires_us"] === null ? null : Number(row["expires_us"]),
  sum: Number(row["sum"]),
})

const isWhole = (tenant: Uint8Array, { key, value, revision, expiresUs, sum }: Found): boolean =>
  value !== undefined && sumOfRow(tenant, key, value, revision, expiresUs) === sum

/** @throws StorageError `Corrupt` */
function verified({ store, tenant }: Context, found: Found): Found & { readonly value: Uint8Array } {
  if (!isWhole(tenant, found)) throw new StorageError("Corrupt", { store, table: name, key: textOf(found.key) })
  return found as Found & { readonly value: Uint8Array }
}

export class KeyValueDraft implements Draft<KeyValueOperation | Import> {
  readonly #context: Context
  readonly #operations: ReadonlyArray<KeyValueOperation | Import>
  readonly #limits: StoreLimits["keyValue"]
  readonly #found = new Map<string, Found>()
  readonly #changed = new Map<string, Uint8Array>()
  readonly #changes: ChangeDraft
  #ended: ReadonlyArray<Found> = []
  /** Rows that have ended and are there: absent for quotas too. */
  #over = { keys: 0, bytes: 0 }

  constructor(context: Context, operations: ReadonlyArray<KeyValueOperation | Import>) {
    this.#context = context
    this.#operations = operations
    this.#limits = context.limits.keyValue
    this.#changes = new ChangeDraft(context)
  }

  get load(): ReadonlyArray<Statement> {
    const context = this.#context
    const operations = this.#operations
    const keyOf = (operation: KeyValueOperation | Import): Uint8Array => (operation.op === "import" ? operation.record.order : operation.key)
    const keys = new Map(operations.map((operation) => [idOf(keyOf(operation)), keyOf(operation)]))
    // What a value depends on is read; otherwise its length is enough.
    const reads = (operation: KeyValueOperation | Import): boolean =>
      operation.op === "set" ? operation.keepsEnd === true : operation.op === "swap" || operation.op === "increment" || operation.op === "require"
    const read = new Set(operations.filter(reads).map((operation) => idOf(keyOf(operation))))
    return [
      {
        sql: `SELECT asked.key, CASE WHEN is_read THEN value END AS value, bytes, revision, expires_us, sum FROM unnest($2::bytea[], $3::boolean[]) AS asked(key, is_read) ${eachOf("key_value", "value, length(value) AS bytes, revision, expires_us, sum")}`,
        parameters: [context.tenant, [...keys.values()], [...keys.keys()].map((id) => read.has(id))],
      },
      {
        sql: "SELECT key, value, length(value) AS bytes, revision, expires_us, sum FROM stele.key_value WHERE tenant = $1 AND expires_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint ORDER BY expires_us LIMIT $2",
        parameters: [context.tenant, sweepMax],
      },
      ...this.#changes.load,
    ]
  }

  async take([found, ended, ...changes]: ReadonlyArray<Answer>, load: Load): Promise<void> {
    for (const row of found?.rows ?? []) {
      const entry = foundOf(row)
      this.#found.set(idOf(entry.key), entry)
    }
    this.#changes.take(changes)
    this.#ended = (ended?.rows ?? []).map(foundOf)
    if (this.#ended.length < sweepMax) return
    const [rest] = await load([
      {
        sql: "SELECT count(*) AS keys, coalesce(sum(length(key) + length(value)), 0)::bigint AS bytes FROM stele.key_value WHERE tenant = $1 AND expires_us <= (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
        parameters: [this.#context.tenant],
      },
    ])
    const keys = Number(rest?.rows[0]?.["keys"])
    this.#over = { keys, bytes: Number(rest?.rows[0]?.["bytes"]) + keys * bytesOf(this.#context.tenant, noKey) }
  }

  sweep(group: Group): void {
    for (const found of this.#ended) {
      // One whose bytes changed may not have ended: it stays, to be found.
      if (!isWhole(this.#context.tenant, found) || found.expiresUs === null || found.expiresUs > group.nowUs) continue
      this.#found.set(idOf(found.key), found)
      this.#remove(group, found, "expire")
      const { keys, bytes } = this.#over
      this.#over = { keys: Math.max(0, keys - 1), bytes: Math.max(0, bytes - found.bytes - bytesOf(this.#context.tenant, found.key)) }
    }
  }

  /** The row as it was written, if its value has not ended. */
  #living(group: Group, found: Found | undefined): (Found & { readonly value: Uint8Array }) | undefined {
    if (found === undefined) return undefined
    const whole = verified(this.#context, found)
    return whole.expiresUs !== null && whole.expiresUs <= group.nowUs ? undefined : whole
  }

  apply(group: Group, operation: KeyValueOperation | Import): KeyValueResults[KeyValueOperation["op"]] {
    if (operation.op === "import") return this.#import(group, operation)
    const { key } = operation
    // A row whose bytes changed can be written over and deleted; what depends on its value is refused.
    const old = this.#found.get(idOf(key))
    switch (operation.op) {
      case "set":
        return this.#write(group, key, old, operation.value, this.#endOf(group, operation, old))
      case "swap": {
        const version = this.#living(group, old)?.revision
        return version === operation.version ? this.#write(group, key, old, operation.value, this.#end(group, operation.ttlMs)) : undefined
      }
      case "increment": {
        const before = this.#living(group, old)
        const sum = addCounter(readCounter(before?.value), operation.delta, operation.min, operation.max)
        this.#write(group, key, old, utf8.encode(sum.toString()), before?.expiresUs ?? null)
        return sum
      }
      case "delete": {
        if (old === undefined) return false
        const isOver = old.expiresUs !== null && old.expiresUs <= group.nowUs
        this.#remove(group, old, isOver ? "expire" : "delete")
        return !isOver
      }
      case "require": {
        const version = this.#living(group, old)?.revision
        if (version === operation.version) return undefined
        const named = (which: number | undefined): string => (which === undefined ? "no version, absent" : `version ${which}`)
        const [expected, found] = [named(operation.version), named(version)]
        throw new StorageError("Conflict", { store: this.#context.store, table: name, key: textOf(key), expected, found })
      }
    }
  }

  #endOf(group: Group, operation: Extract<KeyValueOperation, { readonly op: "set" }>, old: Found | undefined): number | null {
    if (operation.keepsEnd !== true) return this.#end(group, operation.ttlMs)
    if (operation.ttlMs !== undefined) throw new ConfigError("Option", { option: "keepsEnd", expected: "no ttlMs beside it", actual: "both" })
    return this.#living(group, old)?.expiresUs ?? null
  }

  #end(group: Group, ttlMs: number | undefined): number | null {
    if (ttlMs === undefined) return null
    checkWhole("ttlMs", ttlMs, 1, this.#limits.ttlMsMax)
    return group.nowUs + ttlMs * 1_000
  }

  #remove(group: Group, { key, bytes, sum }: Found, kind: "delete" | "expire"): void {
    const { tenant } = this.#context
    const revision = group.change(kind === "delete" ? deleteWord : expireWord, tenant, key)
    this.#put(group, key, undefined)
    group.add(name, -1, -(bytesOf(tenant, key) + bytes), sum, kind === "expire")
    this.#changes.add(group, key, kind, revision)
  }

  #write(group: Group, key: Uint8Array, old: Found | undefined, value: Uint8Array, expiresUs: number | null): number {
    this.#checkRoom(group, key, old, value)
    const { tenant } = this.#context
    const revision = expiresUs === null ? group.change(setWord, tenant, key, value) : group.change(setWord, tenant, key, value, utf8.encode(String(expiresUs)))
    this.#keep(group, key, old, value, revision, expiresUs)
    this.#changes.add(group, key, "set", revision)
    return revision
  }

  #keep(group: Group, key: Uint8Array, old: Found | undefined, value: Uint8Array, revision: number, expiresUs: number | null): void {
    const { tenant } = this.#context
    const sum = sumOfRow(tenant, key, value, revision, expiresUs)
    this.#put(group, key, { key, value, bytes: value.length, revision, expiresUs, sum })
    group.add(name, old === undefined ? 1 : 0, value.length - (old === undefined ? -bytesOf(tenant, key) : old.bytes), sum ^ (old?.sum ?? 0))
  }

  #checkRoom(group: Group, key: Uint8Array, old: Found | undefined, value: Uint8Array): void {
    const limits = this.#limits
    const size = bytesOf(this.#context.tenant, key)
    checkLimit("keyValue", "keyBytesMax", "bytes", limits.keyBytesMax, size)
    checkLimit("keyValue", "valueBytesMax", "bytes", limits.valueBytesMax, value.length)
    const used = group.total(name)
    const grown = value.length - (old === undefined ? -size : old.bytes)
    // One that has ended and is written over is counted once.
    const isOver = old !== undefined && old.expiresUs !== null && old.expiresUs <= group.nowUs && this.#over.keys > 0
    const over = isOver ? { keys: this.#over.keys - 1, bytes: this.#over.bytes - size - old.bytes } : this.#over
    if (old === undefined) checkLimit("keyValue", "tenantKeysMax", "keys", limits.tenantKeysMax, used.keys - over.keys + 1)
    checkLimit("keyValue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes - over.bytes + grown)
    checkLimit("keyValue", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + grown)
  }

  #put(group: Group, key: Uint8Array, found: Found | undefined): void {
    const id = idOf(key)
    const before = this.#found.get(id)
    const put = (to: Found | undefined): void => void (to === undefined ? this.#found.delete(id) : this.#found.set(id, to))
    if (!this.#changed.has(id)) {
      this.#changed.set(id, key)
      group.undo(() => this.#changed.delete(id))
    }
    group.undo(() => put(before))
    put(found)
  }

  #import(group: Group, { record }: Import): undefined {
    const fields = new Fields(this.#context.store, name, record)
    const [value, revision, expiresUs] = [fields.bytes("value"), fields.integer("version", 1), fields.integerOrNone("expiresAtUs")]
    fields.end()
    if (revision > group.revision) throw fields.refusal(`its version ${revision} is above the revision of its export`)
    const old = this.#found.get(idOf(record.order))
    this.#checkRoom(group, record.order, old, value)
    group.change(importWord, this.#context.tenant, record.order, value)
    this.#keep(group, record.order, old, value, revision, expiresUs)
    // Who watched here has missed what happened there.
    this.#changes.forget(group, group.revision)
    return undefined
  }

  async settle(group: Group, load: Load): Promise<void> {
    await this.#changes.settle(group, load)
  }

  /** Is there more to do than to put rows? */
  mustSettle(group: Group): boolean {
    return this.#changes.mustSettle(group)
  }

  /** Rows that were put, and what those who watch are told of it. */
  put(): { readonly rows: ReadonlyArray<Found & { readonly value: Uint8Array }>; readonly changes: ReadonlyArray<ChangeRow> } {
    const rows = [...this.#changed.keys()].map((id) => this.#found.get(id) as Found & { readonly value: Uint8Array })
    return { rows, changes: this.#changes.rows() }
  }

  writes(): ReadonlyArray<Statement> {
    const { tenant } = this.#context
    const kept: Array<Found> = []
    const gone: Array<Uint8Array> = []
    for (const [id, key] of this.#changed) {
      const found = this.#found.get(id)
      if (found === undefined) gone.push(key)
      else kept.push(found)
    }
    const statements: Array<Statement> = []
    if (kept.length > 0)
      statements.push({
        sql: "INSERT INTO stele.key_value (tenant, key, value, revision, expires_us, sum) SELECT $1, k, v, r, NULLIF(e, -1), s FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[]) AS u(k, v, r, e, s) ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires_us = excluded.expires_us, sum = excluded.sum",
        parameters: [
          tenant,
          kept.map(({ key }) => key),
          kept.map(({ value }) => value),
          kept.map(({ revision }) => BigInt(revision)),
          kept.map(({ expiresUs }) => BigInt(expiresUs ?? -1)),
          kept.map(({ sum }) => BigInt(sum)),
        ],
      })
    if (gone.length > 0)
      statements.push({ sql: "DELETE FROM stele.key_value WHERE tenant = $1 AND key IN (SELECT unnest($2::bytea[]))", parameters: [tenant, gone] })
    return [...statements, ...this.#changes.writes()]
  }
}

const noKey = new Uint8Array(0)
const nowUs = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us"
const columns = "key, value, revision, expires_us, sum"
const one = `SELECT ${columns}, ${nowUs} FROM stele.key_value WHERE tenant = $1 AND key = $2`
const living = "(expires_us IS NULL OR expires_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)"
/** Rows with what comes before each of them, in bytes. */
const measured = (where: string, limit: string): string =>
  `(SELECT ${columns}, row_number() OVER w AS n, sum(length(key) + length(value)) OVER w - length(key) - length(value) AS before FROM (SELECT ${columns} FROM stele.key_value WHERE ${where} AND ${living} ORDER BY key LIMIT ${limit}) AS r WINDOW w AS (ORDER BY key)) AS e`

const isLiving = ({ expiresUs }: Found, now: number): boolean => expiresUs === null || expiresUs > now

/** Keys that start with `key` and come after `beyond`. */
function range(tenant: Uint8Array, key: Uint8Array, beyond: Uint8Array | undefined): { readonly where: string; readonly parameters: Array<unknown> } {
  const parameters: Array<unknown> = [tenant, key]
  const bound = (comparison: string, to: Uint8Array | undefined): string => (to === undefined ? "" : ` AND key ${comparison} $${parameters.push(to)}`)
  return { where: `tenant = $1 AND key >= $2${bound("<", after(key))}${bound(">", beyond)}`, parameters }
}

function ask(context: Context, question: KeyValueQuestion): Query {
  const { tenant } = context
  switch (question.ask) {
    case "get":
      return {
        statements: [{ sql: one, parameters: [tenant, question.key] }],
        alone: { sql: "SELECT value, revision, expires_us, sum, now_us FROM stele.key_value_read($1, $2)", parameters: [hexOf(tenant), question.key] },
        answer([row]) {
          if (row === undefined || row["sum"] === null) return undefined
          const found = verified(context, foundOf({ ...row, key: question.key }))
          return isLiving(found, Number(row["now_us"])) ? { value: found.value, version: found.revision, expiresAtUs: found.expiresUs ?? undefined } : undefined
        },
      }
    case "has":
      return {
        statements: [{ sql: `SELECT expires_us, ${nowUs} FROM stele.key_value WHERE tenant = $1 AND key = $2`, parameters: [tenant, question.key] }],
        answer: ([row]) => row !== undefined && isLiving(foundOf(row), Number(row["now_us"])),
      }
    case "list": {
      const { where, parameters } = range(tenant, question.key, question.beyond)
      return {
        statements: [
          {
            sql: `SELECT key FROM stele.key_value WHERE ${where} AND ${living} ORDER BY key LIMIT $${parameters.push(BigInt(rowsMax(question.countMax)))}`,
            parameters,
          },
        ],
        answer: (rows) => rows.map((row) => textOf(row["key"] as Uint8Array)),
      }
    }
    case "entries": {
      const { countMax, bytesMax } = question
      const { where, parameters } = range(tenant, question.key, question.beyond)
      // Those that fit, and one more to tell whether there is more; what has ended takes up no room.
      const most = Math.min(Math.max(0, Number.isNaN(bytesMax) ? 0 : Math.ceil(bytesMax)), 1 << 30)
      const [bytes, count] = [parameters.push(BigInt(most)), parameters.push(BigInt(rowsMax(countMax)))]
      return {
        statements: [
          newest(tenant),
          {
            sql: `SELECT ${columns} FROM ${measured(where, `$${count}::bigint + 1`)} WHERE n <= 2 OR before <= $${bytes}::bigint ORDER BY key`,
            parameters,
          },
        ],
        answer([head], rows = []) {
          const entries: Array<Entry> = []
          let size = 0
          for (const row of rows) {
            const { key, value, revision, expiresUs } = verified(context, foundOf(row))
            size += key.length + value.length
            if (entries.length >= rowsMax(countMax) || (entries.length > 0 && !(size <= bytesMax)))
              return { entries, isComplete: false, revision: Number(head?.["revision"] ?? 0) }
            entries.push({ key, value, version: revision, expiresAtUs: expiresUs ?? undefined })
          }
          return { entries, isComplete: true, revision: Number(head?.["revision"] ?? 0) }
        },
      }
    }
    case "changes":
      return askChanges(context, question.key, question.after, question.countMax)
    case "revision":
      return { statements: [newest(tenant)], answer: ([row]) => Number(row?.["revision"] ?? 0) }
  }
}

export const keyValueTable: Table<KeyValueOperation, KeyValueQuestion> = {
  name,
  counts: "key",
  operations: ["set", "swap", "increment", "delete", "require"],
  questions: ["get", "has", "list", "entries", "changes", "revision"],
  bytesMax: ({ keyValue }) => keyValue.totalBytesMax,
  grows: (operation) => operation.tenant.length + 1 + operation.key.length + ("value" in operation ? operation.value.length : 20),
  draft: (context, operations) => new KeyValueDraft(context, operations),
  ask,
  export(context, beyond, countMax): Query<Page> {
    const { where, parameters } = range(context.tenant, noKey, beyond)
    return {
      statements: [
        {
          sql: `SELECT ${columns} FROM ${measured(where, `$${parameters.push(BigInt(rowsMax(countMax)))}::bigint + 1`)} WHERE before <= ${exportBytesMax} ORDER BY key`,
          parameters,
        },
      ],
      answer: (rows = []) =>
        cut(rows, countMax, (row) => {
          const { key, value, revision, expiresUs } = verified(context, foundOf(row))
          return { order: key, fields: { value, version: BigInt(revision), expiresAtUs: expiresUs === null ? null : BigInt(expiresUs) } }
        }),
    }
  },
  async erase({ tenant }, connection, countMax) {
    const rows = await eraseRows(connection, name, tenant, "length(key) + length(value)", bytesOf(tenant, noKey), countMax)
    if (rows.count >= countMax) return { count: rows.count, parts: [[name, rows.part]] }
    const changes = await eraseChanges(connection, tenant, countMax - rows.count)
    return { count: rows.count + changes.count, parts: [[name, rows.part], ...changes.parts] }
  },
  async check(connection, add) {
    const findings = []
    for await (const row of rowsOf(connection, `SELECT tenant, ${columns} FROM stele.key_value`, ["tenant", "key"])) {
      const tenant = row["tenant"] as Uint8Array
      const found = foundOf(row)
      if (!isWhole(tenant, found)) findings.push({ table: name, key: textOf(found.key), detail: "its bytes are not those that were written" })
      add(name, tenant, { keys: 1, bytes: bytesOf(tenant, found.key) + (found.value?.length ?? 0), sums: found.sum })
    }
    return [...findings, ...(await checkChanges(connection, add))]
  },
}
