/** Whose rows: what a tenant is called in the tables, and how a transaction is bound to it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Statement } from "./connection.ts"

const { isUtf8 } = process.getBuiltinModule("node:buffer")

/** The host's own: in ports its tenant is the empty text, which is nobody here. No UTF-8 is this byte, so no guest is called so. */
const host = Uint8Array.of(0xfe)
export const hostHex = "fe"
const tenantBytesMax = 512

/** @throws StorageError `Tenant` */
export function tenantId(store: string, tenant: Uint8Array): Uint8Array {
  if (tenant.length === 0) return host
  if (tenant.length > tenantBytesMax || !isUtf8(tenant)) throw new StorageError("Tenant", { store, tenant: Buffer.from(tenant.subarray(0, 100)).toString() })
  return tenant
}

/** As a key of a map, and as the setting that the policies read. */
export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

/** As a key of a map alone. */
export const idOf = (bytes: Uint8Array): string => Buffer.prototype.latin1Slice.call(bytes, 0, bytes.length)

/** What a key counts against a quota: as in every store, and the host's tenant has no length. */
export const bytesOf = (id: Uint8Array, key: Uint8Array): number => (id[0] === host[0] ? 0 : id.length) + 1 + key.length

/** A tenant as text, for whoever reads a report. */
export const tenantText = (id: Uint8Array): string => (id[0] === host[0] ? "" : Buffer.from(id).toString())

/** "fenc": writers share this lock for as long as their transaction lasts, and whoever puts a fence up has it alone. */
export const fenceKey = 0x6665_6e63n

/** The same for one that writes: the lock first, so that a later statement sees a fence that was waited for. */
export const bindWriter = (id: Uint8Array): Statement => ({
  sql: "SELECT set_config('stele.tenant', $1, true), pg_advisory_xact_lock_shared($2)",
  parameters: [hexOf(id), fenceKey],
})

/** Until its end the transaction sees and writes rows of this tenant only. */
export const bind = (id: Uint8Array): Statement => ({ sql: "SELECT set_config('stele.tenant', $1, true)", parameters: [hexOf(id)] })

/** The same in SQL, for orders over all tenants: the host's own is the first. */
export const tenantName = "(CASE WHEN tenant = '\\xfe' THEN ''::bytea ELSE tenant END)"

/** As ports call the tenant. */
export const nameOfTenant = (id: Uint8Array): Uint8Array => (id[0] === host[0] ? new Uint8Array(0) : id)
