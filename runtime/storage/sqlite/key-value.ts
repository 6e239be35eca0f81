/** The key-value port's rows: statements, sums and totals, and the port over a store. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { addCounter, type KeyValueLimits, keyValueLimits, type KeyValuePort, readCounter, type Versioned } from "../../../host/port/key-value.ts"
import { checkLimit, compareUtf8, type Immediate } from "../../../host/port/port.ts"
import { reading, statementsOf } from "./database.ts"
import type { Finding } from "./reader.ts"
import type { SqliteStore } from "./store.ts"
import { bytesOf, type Place, placeOf, rowsMax, sumOf, textOf } from "./row.ts"
import { everybody, Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

export type KeyValueOperation = Place &
  (
    | { readonly op: "set"; readonly value: Uint8Array }
    | { readonly op: "swap"; readonly version: number | undefined; readonly value: Uint8Array }
    | { readonly op: "increment"; readonly delta: bigint; readonly min: bigint; readonly max: bigint }
    | { readonly op: "delete" }
  )

interface Row {
  readonly value: Uint8Array
  readonly revision: number
  readonly sum: number
}

const utf8 = new TextEncoder()

/** The least bytes above everything that starts with `prefix`; undefined when there are none. */
function after(prefix: Uint8Array): Uint8Array | undefined {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  if (end === 0) return undefined
  const next = prefix.slice(0, end)
  next[end - 1] = (next[end - 1] as number) + 1
  return next
}

export class KeyValueTable {
  readonly #store: string
  readonly #limits: KeyValueLimits
  readonly #get: StatementSync
  readonly #has: StatementSync
  readonly #list: StatementSync
  readonly totals: TotalTable
  readonly #writing: (sql: string) => StatementSync

  /** `limits` hold for what is written through it. */
  constructor(database: DatabaseSync, store: string, limits: KeyValueLimits = keyValueLimits) {
    this.#limits = limits
    this.#store = store
    this.#writing = statementsOf(database)
    this.#get = database.prepare("SELECT value, revision, sum FROM key_value WHERE tenant = ? AND key = ?")
    this.#has = database.prepare("SELECT 1 FROM key_value WHERE tenant = ? AND key = ?")
    this.#list = database.prepare(
      "SELECT key FROM key_value WHERE tenant = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) AND (?4 IS NULL OR key > ?4) ORDER BY key LIMIT ?5",
    )
    this.totals = new TotalTable(database, "key_value_total")
  }

  get(place: Place): Versioned | undefined {
    const row = this.#row(place)
    return row === undefined ? undefined : this.#verified(place, row)
  }

  #row({ tenant, key }: Place): Row | undefined {
    return this.#get.get(tenant, key) as Row | undefined
  }

  #verified(place: Place, { value, revision, sum }: Row): Versioned {
    if (sumOf(place, value, revision) !== sum) throw new StorageError("Corrupt", { store: this.#store, table: "key_value", key: textOf(place.key) })
    return { value, version: revision }
  }

  has(place: Place): boolean {
    return this.#has.get(place.tenant, place.key) !== undefined
  }

  list({ tenant, key: prefix }: Place, beyond: Uint8Array | undefined, countMax: number): ReadonlyArray<string> {
    const rows = this.#list.all(tenant, prefix, after(prefix) ?? null, beyond ?? null, rowsMax(countMax))
    return rows.map(({ key }) => textOf(key as Uint8Array))
  }

  apply(group: Group, operation: KeyValueOperation): unknown {
    // A row whose bytes changed can be written over and deleted; what depends on its value is refused.
    const old = this.#row(operation)
    switch (operation.op) {
      case "set":
        this.#write(group, operation, old, operation.value)
        return undefined
      case "swap": {
        const version = old === undefined ? undefined : this.#verified(operation, old).version
        if (version !== operation.version) return false
        this.#write(group, operation, old, operation.value)
        return true
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
        group.keyValue.add(tenant, -1, -(bytesOf(operation) + old.value.length), old.sum)
        return true
      }
    }
  }

  #write(group: Group, place: Place, old: Row | undefined, value: Uint8Array): void {
    const limits = this.#limits
    const { tenant, key } = place
    checkLimit("keyValue", "keyBytesMax", "bytes", limits.keyBytesMax, bytesOf(place))
    checkLimit("keyValue", "valueBytesMax", "bytes", limits.valueBytesMax, value.length)
    const used = group.keyValue.get(tenant)
    const grown = value.length - (old === undefined ? -bytesOf(place) : old.value.length)
    if (old === undefined) checkLimit("keyValue", "tenantKeysMax", "keys", limits.tenantKeysMax, used.keys + 1)
    checkLimit("keyValue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
    checkLimit("keyValue", "totalBytesMax", "bytes", limits.totalBytesMax, group.keyValue.get(everybody).bytes + grown)
    const revision = group.change(utf8.encode("set"), tenant, key, value)
    const sum = sumOf(place, value, revision)
    this.#writing(
      "INSERT INTO key_value (tenant, key, value, revision, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, sum = excluded.sum",
    ).run(tenant, key, value, revision, sum)
    group.keyValue.add(tenant, old === undefined ? 1 : 0, grown, sum ^ (old?.sum ?? 0))
  }
}

/** Every row against its sum, every tenant's rows against its totals. */
export function checkKeyValue(database: DatabaseSync): ReadonlyArray<Finding> {
  const table = "key_value"
  const findings: Array<Finding> = []
  const recount = new Recount()
  for (const row of database.prepare("SELECT tenant, key, value, revision, sum FROM key_value").iterate()) {
    const { tenant, key, value, revision, sum } = row as unknown as Place & Row
    if (sumOf({ tenant, key }, value, revision) !== sum) findings.push({ table, key: textOf(key), detail: "its bytes are not those that were written" })
    recount.add(tenant, 1, bytesOf({ tenant, key }) + value.length, sum)
  }
  return [...findings, ...recount.compare(table, new TotalTable(database, "key_value_total"))]
}

/** The key-value port over a store. A write blocks until it is on the disk: a guest must have its answer in the call. */
export function sqliteKeyValue(store: SqliteStore): Immediate<KeyValuePort> & { readonly limits: KeyValueLimits } {
  const run = (operation: KeyValueOperation): unknown => store.applySync([operation])[0]
  const get = (key: string): Versioned | undefined => reading(store.path, () => store.reader.keyValue.get(placeOf(key)))
  return {
    limits: store.limits.keyValue,
    get: (key) => get(key)?.value,
    getVersioned: get,
    set: (key, value) => void run({ op: "set", ...placeOf(key), value }),
    delete: (key) => run({ op: "delete", ...placeOf(key) }) as boolean,
    has: (key) => reading(store.path, () => store.reader.keyValue.has(placeOf(key))),
    list(prefix, beyond, countMax) {
      const place = placeOf(prefix)
      const tenant = prefix.slice(0, prefix.indexOf("/") + 1)
      const isWithin = beyond?.startsWith(tenant) === true
      // A key of another tenant is before or after all of this one's.
      if (beyond !== undefined && !isWithin && compareUtf8(beyond, tenant) > 0) return []
      const from = isWithin ? placeOf(beyond).key : undefined
      return reading(store.path, () => store.reader.keyValue.list(place, from, countMax)).map((key) => tenant + key)
    },
    swap: (key, version, value) => run({ op: "swap", ...placeOf(key), version, value }) as boolean,
    increment: (key, delta, min, max) => run({ op: "increment", ...placeOf(key), delta, min, max }) as bigint,
  }
}
