/** A tenant's own row: where its revisions and commits are, under a sum of its own. Whoever writes for the tenant holds its lock. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { sumOf } from "../row.ts"
import type { Row, Statement } from "./connection.ts"
import type { Head } from "./group.ts"
import { tenantText } from "./tenant.ts"

const columns =
  "revision, sequence, digest, committed_us, forgotten, sum, (SELECT fence_to FROM stele.format) AS fence_to, (SELECT fence_state FROM stele.format) AS fence_state, GREATEST(committed_us, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us"

/** Takes the lock. A tenant that has never written has no row to lock. */
export const lock = (tenant: Uint8Array): Statement => ({ sql: `SELECT ${columns} FROM stele.tenant WHERE tenant = $1 FOR UPDATE`, parameters: [tenant] })

/** Makes the row if it is not there, and takes the lock. A tenant that was erased goes on above everything it had. */
export const makeAndLock = (tenant: Uint8Array): Statement => ({
  sql: `INSERT INTO stele.tenant AS t (tenant, revision, sequence, digest, committed_us, forgotten, sum) SELECT $1, floor, floor, '', 0, 0, 0 FROM stele.format ON CONFLICT (tenant) DO UPDATE SET sequence = t.sequence RETURNING ${columns.replaceAll("committed_us", "t.committed_us")}`,
  parameters: [tenant],
})

export const sumOfHead = (
  tenant: Uint8Array,
  digest: Uint8Array,
  { revision, sequence, forgotten }: Pick<Head, "revision" | "sequence" | "forgotten">,
  committedUs: number,
): number => sumOf({ tenant, key: noKey }, digest, revision, sequence, forgotten, committedUs)
const noKey = new Uint8Array(0)

/** Is the row as it was written? One that was just made has nothing to be held against. */
export function isWhole(tenant: Uint8Array, row: Row): boolean {
  const digest = row["digest"] as Uint8Array
  if (digest.length === 0) return true
  const head = { revision: Number(row["revision"]), sequence: Number(row["sequence"]), forgotten: Number(row["forgotten"]) }
  return sumOfHead(tenant, digest, head, Number(row["committed_us"])) === Number(row["sum"])
}

/** @throws StorageError `Corrupt` */
export function headOf(store: string, tenant: Uint8Array, row: Row): Head {
  if (!isWhole(tenant, row)) throw new StorageError("Corrupt", { store, table: "tenant", key: tenantText(tenant) })
  return {
    revision: Number(row["revision"]),
    sequence: Number(row["sequence"]),
    digest: row["digest"] as Uint8Array,
    forgotten: Number(row["forgotten"]),
    nowUs: Number(row["now_us"]),
  }
}

/** Why nothing may be written, if so: read with the row, after the lock that whoever puts a fence up waits for. */
export const fencedBy = (store: string, row: Row): StorageError | undefined =>
  typeof row["fence_to"] === "string" ? new StorageError("Moved", { store, to: row["fence_to"], isOpen: row["fence_state"] === "moved" }) : undefined

/** Writes the row. */
export function update(tenant: Uint8Array, head: Head): Statement {
  const sum = sumOfHead(tenant, head.digest, head, head.nowUs)
  return {
    sql: "UPDATE stele.tenant SET revision = $2::bigint, sequence = $3::bigint, digest = $4, committed_us = $5::bigint, forgotten = $6::bigint, sum = $7::bigint WHERE tenant = $1",
    parameters: [tenant, BigInt(head.revision), BigInt(head.sequence), head.digest, BigInt(head.nowUs), BigInt(head.forgotten), BigInt(sum)],
  }
}
