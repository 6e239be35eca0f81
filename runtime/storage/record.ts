/**
 * Records of an export as bytes, one form for each: what is compared between stores of any kind is a digest over these. Fields by the
 * order of their names, everything with its length in 4 bytes; an integer as its decimal digits.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { Store } from "../port/store.ts"
import type { Rewrite, TenantRecord } from "../port/tenant.ts"
import { ConfigError } from "../../schemas/error/config.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** The greatest revision or offset that is taken over: those that follow it must be whole numbers too. */
export const importedMax = 2 ** 50

type Field = TenantRecord["fields"][string]
const utf8 = new TextEncoder()

/** About how much a record is in memory: pages are cut by it. */
export const bytesOfRecord = ({ order, fields }: TenantRecord): number =>
  Object.values(fields).reduce((sum: number, field) => sum + (field instanceof Uint8Array || typeof field === "string" ? field.length : 8), order.length)

/** A record's one form: its order, then each field's name, kind and bytes. */
export function encodeRecord({ order, fields }: TenantRecord): Uint8Array {
  const parts: Array<Uint8Array> = []
  const add = (bytes: Uint8Array): void => {
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, bytes.length)
    parts.push(length, bytes)
  }
  add(order)
  for (const name of Object.keys(fields).toSorted()) {
    const field = fields[name] as Field
    add(utf8.encode(name))
    if (field === null) add(utf8.encode("n"))
    else if (field instanceof Uint8Array) add(Buffer.concat([utf8.encode("b"), field]))
    else add(utf8.encode(typeof field === "bigint" ? `i${field}` : `s${field}`))
  }
  return Buffer.concat(parts)
}

/** All of a tenant's records in one table, a page at a time. Nobody may write for the tenant meanwhile, if they must belong to one moment. */
export async function* recordsOf(store: Store, tenant: Uint8Array, table: string): AsyncGenerator<TenantRecord> {
  for (let after: Uint8Array | undefined; ;) {
    const page = await store.ask({ ask: "export", tenant, table, after, countMax: 1_000 })
    yield* page.records
    after = page.records.at(-1)?.order
    if (page.isComplete || after === undefined) return
  }
}

/** SHA-256 over a tenant's records in one table: equal in two stores, of whatever kind, that hold the same. */
export async function digestOf(store: Store, tenant: Uint8Array, table: string): Promise<{ readonly digest: string; readonly records: number }> {
  const hash = createHash("sha256")
  let records = 0
  for await (const record of recordsOf(store, tenant, table)) {
    const bytes = encodeRecord(record)
    hash.update(Uint32Array.of(bytes.length)).update(bytes)
    records++
  }
  return { digest: hash.digest("hex"), records }
}

/** Removes everything of a tenant, in steps that let other writers in between; answers how many rows it were. */
export async function eraseTenant(store: Store, tenant: Uint8Array, countMax = 1_000): Promise<number> {
  for (let rows = 0; ;) {
    const [count] = await store.apply([{ op: "erase", tenant, countMax }])
    rows += count
    if (count < countMax) return rows
  }
}

/** @throws ConfigError for what is no bytes */
export function checkRewrite(operation: Rewrite): void {
  for (const option of ["order", "from", "to"] as const)
    if (!(operation[option] instanceof Uint8Array)) throw new ConfigError("Option", { option, expected: "bytes", actual: typeof operation[option] })
}

/** Reads the fields of a record that a table takes in; what is not as an export gives it is `StorageError` `Record`. */
export class Fields {
  readonly #store: string
  readonly #table: string
  readonly #record: TenantRecord
  readonly #left: Set<string>

  constructor(store: string, table: string, record: TenantRecord) {
    this.#store = store
    this.#table = table
    this.#record = record
    if (!(record?.order instanceof Uint8Array) || typeof record.fields !== "object" || record.fields === null) throw this.refusal("it is no record")
    this.#left = new Set(Object.keys(record.fields))
  }

  refusal(detail: string): StorageError {
    return new StorageError("Record", { store: this.#store, table: this.#table, detail })
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#record.fields, name)
  }

  bytes(name: string): Uint8Array {
    this.#left.delete(name)
    const field = this.#record.fields[name]
    if (!(field instanceof Uint8Array)) throw this.refusal(`its field "${name}" should be bytes`)
    return field
  }

  /** A whole number that a store's integers hold exactly. */
  integer(name: string, least = 0, most = Number.MAX_SAFE_INTEGER): number {
    this.#left.delete(name)
    const field = this.#record.fields[name]
    if (typeof field !== "bigint" || field < BigInt(least) || field > BigInt(most))
      throw this.refusal(`its field "${name}" should be an integer from ${least} to ${most}`)
    return Number(field)
  }

  /** The same, or null. */
  integerOrNone(name: string): number | null {
    if (this.#record.fields[name] !== null) return this.integer(name)
    this.#left.delete(name)
    return null
  }

  /** A field that is not known would be lost: it is refused. */
  end(): void {
    const [unknown] = this.#left
    if (unknown !== undefined) throw this.refusal(`its field "${unknown}" is not known here`)
  }
}

/** A place within a key, as the order of a record: the key and a number of 8 bytes. */
export function orderOf(key: Uint8Array, number: number): Uint8Array {
  const order = new Uint8Array(key.length + 8)
  order.set(key)
  new DataView(order.buffer).setBigUint64(key.length, BigInt(number))
  return order
}

export function placeOfOrder(order: Uint8Array): { readonly key: Uint8Array; readonly number: number } | undefined {
  if (order.length < 8) return undefined
  const number = new DataView(order.buffer, order.byteOffset, order.length).getBigUint64(order.length - 8)
  return number > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : { key: order.subarray(0, -8), number: Number(number) }
}
