/**
 * What the rows of a table add up to, by tenant: quotas are held against it, and `check()` finds by it what went missing,
 * since a row's own sum says nothing of a row that is not there.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import type { Finding } from "../../port/store.ts"

export interface Total {
  /** Keys, or topics: what the tenant's quota counts. */
  readonly keys: number
  readonly bytes: number
  /** Exclusive or of the rows' sums. */
  readonly sums: number
}

export const noTotal: Total = { keys: 0, bytes: 0, sums: 0 }
/** The row with the totals of all tenants: no UTF-8 starts with this byte. */
export const everybody = Uint8Array.of(0xff)

const nameOf = (tenant: Uint8Array): string => Buffer.from(tenant.buffer, tenant.byteOffset, tenant.length).toString("latin1")

/** The rows of one table of totals. */
export class TotalTable {
  readonly #database: DatabaseSync
  readonly #name: string
  readonly #get: StatementSync
  #put: StatementSync | undefined
  #drop: StatementSync | undefined
  #next: StatementSync | undefined

  constructor(database: DatabaseSync, name: string) {
    this.#database = database
    this.#name = name
    this.#get = database.prepare(`SELECT keys, bytes, sums FROM ${name} WHERE tenant = ?`)
  }

  get name(): string {
    return this.#name
  }

  get(tenant: Uint8Array): Total {
    return (this.#get.get(tenant) as Total | undefined) ?? noTotal
  }

  /** Writes the totals that a group changed, once each. */
  write(totals: Totals): void {
    // Prepared when first used: a reader's connection refuses it.
    this.#put ??= this.#database.prepare(
      `INSERT INTO ${this.#name} (tenant, keys, bytes, sums) VALUES (?, ?, ?, ?) ON CONFLICT (tenant) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes, sums = excluded.sums`,
    )
    this.#drop ??= this.#database.prepare(`DELETE FROM ${this.#name} WHERE tenant = ?`)
    for (const [tenant, { keys, bytes, sums }] of totals.changed()) {
      // Of a tenant that has nothing any more, not even the name stays.
      if (keys === 0 && bytes === 0 && sums === 0) this.#drop.run(tenant)
      else this.#put.run(tenant, keys, bytes, sums)
    }
  }

  /** Adds rows outside of a group. */
  count(tenant: Uint8Array, keys: number, bytes: number, sums: number): void {
    const totals = new Totals(this)
    totals.add(tenant, keys, bytes, sums)
    totals.end(true)
    this.write(totals)
  }

  /** The tenant that comes after one (undefined: the first) of those that have rows; undefined after the last. */
  next(tenant: Uint8Array | undefined): Uint8Array | undefined {
    this.#next ??= this.#database.prepare(`SELECT tenant FROM ${this.#name} WHERE (?1 IS NULL OR tenant > ?1) AND tenant < x'ff' ORDER BY tenant LIMIT 1`)
    return this.#next.get(tenant ?? null)?.["tenant"] as Uint8Array | undefined
  }

  *all(): Generator<readonly [name: string, total: Total]> {
    for (const row of this.#database.prepare(`SELECT tenant, keys, bytes, sums FROM ${this.#name}`).iterate())
      yield [nameOf(row["tenant"] as Uint8Array), row as unknown as Total]
  }
}

interface Entry {
  readonly tenant: Uint8Array
  /** As the batch that is made leaves it. */
  total: Total
  /** As the batches before it left it. */
  kept: Total
  isInBatch: boolean
  isChanged: boolean
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Totals while a group is made: read once, changed in memory, taken back with the batch that changed them. */
export class Totals {
  readonly #table: TotalTable
  readonly #entries = new Map<string, Entry>()
  /** Found without their names: most rows of a group are of the tenant of the row before. */
  #newest: Entry | undefined
  #everybody: Entry | undefined
  readonly #batch: Array<Entry> = []

  constructor(table: TotalTable) {
    this.#table = table
  }

  #of(tenant: Uint8Array): Entry {
    if (tenant === everybody) return (this.#everybody ??= this.#find(tenant))
    if (this.#newest === undefined || !isSame(this.#newest.tenant, tenant)) this.#newest = this.#find(tenant)
    return this.#newest
  }

  #find(tenant: Uint8Array): Entry {
    const name = nameOf(tenant)
    let entry = this.#entries.get(name)
    if (entry === undefined) {
      const total = this.#table.get(tenant)
      entry = { tenant, total, kept: total, isInBatch: false, isChanged: false }
      this.#entries.set(name, entry)
    }
    return entry
  }

  get(tenant: Uint8Array): Total {
    return this.#of(tenant).total
  }

  /** Adds to a tenant's row and to everybody's. */
  add(tenant: Uint8Array, keys: number, bytes: number, sums: number): void {
    this.#add(this.#of(tenant), keys, bytes, sums)
    this.#add(this.#of(everybody), keys, bytes, sums)
  }

  #add(entry: Entry, keys: number, bytes: number, sums: number): void {
    const { total } = entry
    entry.total = { keys: total.keys + keys, bytes: total.bytes + bytes, sums: (total.sums ^ sums) >>> 0 }
    if (entry.isInBatch) return
    entry.isInBatch = true
    this.#batch.push(entry)
  }

  /** Ends a batch: what it changed stands, or never was. */
  end(isKept: boolean): void {
    for (const entry of this.#batch) {
      entry.total = entry.kept = isKept ? entry.total : entry.kept
      entry.isChanged ||= isKept
      entry.isInBatch = false
    }
    this.#batch.length = 0
  }

  *changed(): Generator<readonly [tenant: Uint8Array, total: Total]> {
    for (const { isChanged, tenant, kept } of this.#entries.values()) if (isChanged) yield [tenant, kept]
  }
}

/** Totals made anew from the rows, to be held against those written with them. */
export class Recount {
  readonly #found = new Map<string, Total>()

  add(tenant: Uint8Array, keys: number, bytes: number, sum: number): void {
    for (const whose of [tenant, everybody]) {
      const total = this.#found.get(nameOf(whose)) ?? noTotal
      this.#found.set(nameOf(whose), { keys: total.keys + keys, bytes: total.bytes + bytes, sums: (total.sums ^ sum) >>> 0 })
    }
  }

  compare(table: string, written: TotalTable): ReadonlyArray<Finding> {
    const known = new Map(written.all())
    const findings: Array<Finding> = []
    for (const name of new Set([...this.#found.keys(), ...known.keys()])) {
      const [is, was] = [this.#found.get(name) ?? noTotal, known.get(name) ?? noTotal]
      if (is.keys === was.keys && is.bytes === was.bytes && is.sums === was.sums) continue
      const whose = name === nameOf(everybody) ? "all tenants" : `tenant "${Buffer.from(name, "latin1").toString()}"`
      findings.push({ table, key: "", detail: `${whose}: ${is.keys} keys and ${is.bytes} bytes are there, ${was.keys} and ${was.bytes} were written` })
    }
    return findings
  }
}
