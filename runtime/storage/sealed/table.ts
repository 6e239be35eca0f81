/** What of each table is sealed, and by what of its records a value's place is known. What is not named here stays readable. */
import type { Place } from "../../port/place.ts"
import type { Operation } from "../../port/store.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { placeOfOrder } from "../record.ts"
import { isOwn } from "./place.ts"

interface SealedTable {
  readonly field: string
  /** The key of a record, as its operations name it. */
  keyOf(record: TenantRecord): Uint8Array | undefined
}

const numbered = ({ order }: TenantRecord): Uint8Array | undefined => placeOfOrder(order)?.key

const sealedTables: Readonly<Record<string, SealedTable>> = {
  key_value: { field: "value", keyOf: ({ order }) => order },
  event: { field: "payload", keyOf: numbered },
  log: { field: "payload", keyOf: numbered },
}

/** Of each operation: the table whose value it brings, or what else it is to the keys. A new operation must say it here. */
export const roles = {
  set: "key_value",
  swap: "key_value",
  publish: "event",
  append: "log",
  import: "import",
  increment: "increment",
  // Whoever reseals a topic must not put its events back when it was dropped and begun anew.
  drop: "renews",
  erase: "erase",
  delete: "none",
  fence: "none",
  // Records of usage are added up by the store below.
  record: "none",
  forget: "none",
  enqueue: "job",
  schedule: "job",
  // What is said of a failed attempt.
  fail: "job",
  // Its answer is opened: what is leased is of all tenants, and the store below has no keys.
  lease: "lease",
  extend: "none",
  complete: "none",
  release: "none",
  cancel: "none",
  redrive: "none",
  // Services give their own tables what they want to be read there.
  sql: "none",
  unschedule: "none",
  require: "none",
  trim: "none",
  // Depends on the keys that its object was sealed by.
  link: "link",
  unlink: "none",
  // Of layers like this one.
  rewrite: "own",
} as const satisfies Readonly<Record<Operation["op"], string>>

export interface SealedField {
  readonly place: Place
  readonly bytes: Uint8Array
  /** The record with other bytes in their stead. */
  with(bytes: Uint8Array): TenantRecord
}

/** What of an exported record is sealed, if anything is. Records of queues have more than one such field: see `job.ts`. */
export function sealedField(table: string, tenant: Uint8Array, record: TenantRecord): SealedField | undefined {
  const kind = sealedTables[table]
  const bytes = kind === undefined ? undefined : record.fields[kind.field]
  const key = kind?.keyOf(record)
  if (kind === undefined || key === undefined || !(bytes instanceof Uint8Array)) return undefined
  return { place: { tenant, key }, bytes, with: (other) => ({ order: record.order, fields: { ...record.fields, [kind.field]: other } }) }
}

export const isSealedTable = (table: string): boolean => Object.hasOwn(sealedTables, table)

/** Is it a sealed store's own record? */
export const isOwnRecord = (table: string, { order }: TenantRecord): boolean => table === "key_value" && isOwn(order)
