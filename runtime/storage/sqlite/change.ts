/**
 * Which keys of a tenant changed, by revision, for those who watch. What is older than is kept is removed from the front,
 * and a row of its own at the last revision removed says so: it is the tenant's first row.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Change, Changes, keyValueStoreLimits } from "../../port/key-value.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { Finding } from "../../port/store.ts"
import { checkWhole } from "../operation.ts"
import { after as above, rowsMax, sumOf } from "../row.ts"
import { statementsOf } from "./statement.ts"
import { Recount, TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

/** By the number in a row. The last is what stands for everything removed so far. */
const kinds = ["set", "delete", "expire", "removed"] as const
type Kind = (typeof kinds)[number]

interface Row {
  readonly revision: number
  readonly key: Uint8Array
  readonly kind: number
  readonly changedUs: number
  readonly sum: number
}

const noKey = new Uint8Array(0)
/** A kind as it is summed. */
const kindBytes = kinds.map((_, kind) => Uint8Array.of(kind))
/** Changes that one step removes at most. */
const stepMax = 256

const sumOfRow = (tenant: Uint8Array, { revision, key, kind, changedUs }: Omit<Row, "sum">): number =>
  sumOf({ tenant, key }, kindBytes[kind] ?? Uint8Array.of(kind), revision, changedUs)

const newestRevision = "SELECT revision FROM commit_group ORDER BY sequence DESC LIMIT 1"

/** Tenants whose changes were not kept so far: whatever they were is removed. */
export function beginHistories(database: DatabaseSync): void {
  const revision = Number(database.prepare(newestRevision).get()?.["revision"] ?? 0)
  if (revision === 0) return
  const changes = new ChangeTable(database, "")
  for (const row of database.prepare("SELECT DISTINCT tenant FROM key_value").all()) changes.begin(row["tenant"] as Uint8Array, revision)
}

export class ChangeTable {
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #store: string
  readonly #newest: StatementSync
  readonly #first: StatementSync
  readonly #read: StatementSync
  readonly #writing: (sql: string) => StatementSync
  readonly #removing: (sql: string) => StatementSync
  /** Whose changes were looked at last for their age. */
  #agedTenant: Uint8Array | undefined

  constructor(database: DatabaseSync, store: string) {
    this.#database = database
    this.#store = store
    this.#writing = statementsOf(database)
    this.#removing = statementsOf(database, { asArrays: true })
    this.totals = new TotalTable(database, "key_value_change_total")
    this.#newest = database.prepare(newestRevision)
    const columns = "revision, key, kind, changed_us AS changedUs, sum"
    this.#first = database.prepare(`SELECT ${columns} FROM key_value_change WHERE tenant = ? ORDER BY revision LIMIT 1`)
    this.#read = database.prepare(
      `SELECT ${columns} FROM key_value_change WHERE tenant = ?1 AND revision > ?2 AND key >= ?3 AND (?4 IS NULL OR key < ?4) ORDER BY revision LIMIT ?5`,
    )
  }

  /** Of the whole store: above everything committed for any tenant. */
  newest(): number {
    return Number(this.#newest.get()?.["revision"] ?? 0)
  }

  /** To be asked within one snapshot. */
  ask({ tenant, key: prefix }: Place, after: number, countMax: number): Changes {
    checkWhole("after", after, 0)
    const newest = this.newest()
    const first = this.#first.get(tenant) as Row | undefined
    const oldest = first !== undefined && kinds[this.#verified(tenant, first).kind] === "removed" ? first.revision : 0
    if (after < oldest || after > newest)
      throw new StorageError("Compacted", { store: this.#store, table: "key_value", key: textOf(prefix), asked: after, oldest, newest })
    const rows = this.#read.all(tenant, after, prefix, above(prefix) ?? null, rowsMax(countMax)) as unknown as ReadonlyArray<Row>
    const changes = rows.map((row): Change => {
      const { revision, key, kind } = this.#verified(tenant, row)
      return { revision, key, kind: kinds[kind] as Change["kind"] }
    })
    return { changes, revision: changes.length < rowsMax(countMax) ? newest : (changes.at(-1)?.revision ?? after) }
  }

  #verified(tenant: Uint8Array, row: Row): Row {
    if (sumOfRow(tenant, row) !== row.sum || kinds[row.kind] === undefined)
      throw new StorageError("Corrupt", { store: this.#store, table: "key_value_change", key: String(row.revision) })
    return row
  }

  add(group: Group, { tenant, key }: Place, kind: Kind, revision: number, limits: typeof keyValueStoreLimits): void {
    this.#put(group, tenant, { revision, key, kind: kinds.indexOf(kind), changedUs: group.nowUs })
    const { keys } = group.totals(this.totals).get(tenant)
    const most = limits.tenantChangesMax
    if (keys > most + Math.min(stepMax, most / 4) + 1) this.#trim(group, tenant, Math.min(keys - most, 2 * stepMax))
  }

  #put(group: Group, tenant: Uint8Array, row: Omit<Row, "sum">): void {
    const sum = sumOfRow(tenant, row)
    this.#write(tenant, row, sum)
    group.totals(this.totals).add(tenant, 1, row.key.length, sum)
  }

  #write(tenant: Uint8Array, { revision, key, kind, changedUs }: Omit<Row, "sum">, sum: number): void {
    this.#writing("INSERT INTO key_value_change (tenant, revision, key, kind, changed_us, sum) VALUES (?, ?, ?, ?, ?, ?)").run(
      tenant,
      revision,
      key,
      kind,
      changedUs,
      sum,
    )
  }

  /** A tenant's first row in a store that kept no changes before. */
  begin(tenant: Uint8Array, revision: number): void {
    const row = { revision, key: noKey, kind: kinds.indexOf("removed"), changedUs: 0 }
    const sum = sumOfRow(tenant, row)
    this.#write(tenant, row, sum)
    this.totals.count(tenant, 1, 0, sum)
  }

  /** Removes the oldest. */
  #trim(group: Group, tenant: Uint8Array, count: number, beforeUs = Number.MAX_SAFE_INTEGER): void {
    const rows = this.#writing("SELECT revision FROM key_value_change WHERE tenant = ? AND (kind = 3 OR changed_us < ?) ORDER BY revision LIMIT ?").all(
      tenant,
      beforeUs,
      count,
    )
    const last = rows.at(-1)?.["revision"] as number | undefined
    if (last !== undefined) this.forget(group, tenant, last)
  }

  /** Removes what there is up to a revision, and says that it did. */
  forget(group: Group, tenant: Uint8Array, revision: number): void {
    this.#remove(group, tenant, revision)
    this.#put(group, tenant, { revision, key: noKey, kind: kinds.indexOf("removed"), changedUs: group.nowUs })
  }

  #remove(group: Group, tenant: Uint8Array, revision: number): number {
    let [count, bytes, sums] = [0, 0, 0]
    const removed = this.#removing("DELETE FROM key_value_change WHERE tenant = ? AND revision <= ? RETURNING length(key), sum").all(tenant, revision)
    for (const [length, sum] of removed as unknown as ReadonlyArray<readonly [length: number, sum: number]>) {
      count++
      bytes += length
      sums ^= sum
    }
    group.totals(this.totals).add(tenant, -count, -bytes, sums)
    return count
  }

  /** Looks at one tenant after the other, a group each, for changes that are too old. */
  sweep(group: Group, limits: typeof keyValueStoreLimits): void {
    const next = this.totals.next(this.#agedTenant)
    this.#agedTenant = next
    if (next === undefined) return
    const beforeUs = group.nowUs - limits.changeAgeMsMax * 1_000
    // The first row may be the one that stands for what was removed: then the second is the oldest.
    const [first, second] = this.#writing("SELECT kind, changed_us AS changedUs FROM key_value_change WHERE tenant = ? ORDER BY revision LIMIT 2").all(
      next,
    ) as unknown as ReadonlyArray<Pick<Row, "kind" | "changedUs">>
    const oldest = first !== undefined && kinds[first.kind] === "removed" ? second : first
    if (oldest !== undefined && oldest.changedUs < beforeUs) this.#trim(group, next, stepMax, beforeUs)
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    const rows = this.#writing("SELECT revision FROM key_value_change WHERE tenant = ? ORDER BY revision LIMIT ?").all(tenant, countMax)
    const last = rows.at(-1)?.["revision"] as number | undefined
    return last === undefined ? 0 : this.#remove(group, tenant, last)
  }

  check(): ReadonlyArray<Finding> {
    const findings: Array<Finding> = []
    const recount = new Recount()
    for (const each of this.#database.prepare("SELECT tenant, revision, key, kind, changed_us AS changedUs, sum FROM key_value_change").iterate()) {
      const row = each as unknown as Row & { readonly tenant: Uint8Array }
      if (sumOfRow(row.tenant, row) !== row.sum)
        findings.push({ table: "key_value_change", key: String(row.revision), detail: "its bytes are not those that were written" })
      recount.add(row.tenant, 1, row.key.length, row.sum)
    }
    return [...findings, ...recount.compare("key_value_change", this.totals)]
  }
}
