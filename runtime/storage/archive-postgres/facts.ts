/** What a server says of itself before it is archived, and what it would have to be. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Address } from "../postgres/address.ts"
import { Connection, ServerError } from "../postgres/connection.ts"
import { storageError } from "../postgres/failure.ts"
import { Replication } from "../postgres/replication.ts"
import { format, serverMin } from "../postgres/schema.ts"

export interface Facts {
  /** `server_version_num` */
  readonly version: number
  readonly segmentBytes: number
  /** How much log a slot may hold back, as the server writes it; undefined: as much as the disk has. */
  readonly slotBytesMax: string | undefined
}

const question = `
  SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
    (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS segment_bytes,
    current_setting('max_slot_wal_keep_size') AS slot_bytes, current_setting('wal_level') AS level,
    (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS may_replicate,
    (SELECT string_agg(spcname, ', ') FROM pg_catalog.pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')) AS spaces,
    EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'stele') AS is_set_up`

export const refusal = (address: Address, detail: string, statement: string, cause?: unknown): StorageError =>
  new StorageError("Replication", { store: address.name, detail, statement }, { cause })

/** @throws StorageError `Unreachable`, `Login`, `NoDatabase`, `Server`, `Older`, `Replication` */
export async function askFacts(address: Address, password: string | undefined): Promise<Facts> {
  let connection: Connection | undefined
  try {
    connection = await Connection.open({ address, password })
    const [row = {}] = await connection.one(question)
    const { name: store, user } = address
    if (Number(row["number"]) < serverMin.number) throw new StorageError("Server", { store, version: String(row["version"]), known: serverMin.name })
    if (row["is_set_up"] !== true) throw new StorageError("Older", { store, format: 0, known: format })
    if (row["may_replicate"] !== true)
      throw refusal(address, `the role "${user}" may not replicate`, `as the server's superuser: ALTER ROLE "${user}" REPLICATION`)
    if (row["level"] === "minimal")
      throw refusal(address, "it writes too little into its log (wal_level is minimal)", "ALTER SYSTEM SET wal_level = replica, then restart the server")
    if (row["spaces"] !== null)
      throw refusal(
        address,
        `it has tablespaces of its own (${row["spaces"] as string}), which an archive cannot take`,
        "back it up by pgBackRest, or move its tables to pg_default: ALTER DATABASE … SET TABLESPACE pg_default",
      )
    const slotBytes = String(row["slot_bytes"])
    return { version: Number(row["number"]), segmentBytes: Number(row["segment_bytes"]), slotBytesMax: slotBytes === "-1" ? undefined : slotBytes }
  } catch (error) {
    throw storageError(address, error)
  } finally {
    await connection?.close()
  }
}

/** A session of the replication protocol. @throws StorageError `Unreachable`, `Login`, `Replication` */
export async function openReplication(address: Address, password: string | undefined): Promise<Replication> {
  try {
    return await Replication.open(address, password)
  } catch (error) {
    throw replicationError(address, error)
  }
}

/** What a server's refusals of archiving mean. */
export function replicationError(address: Address, error: unknown): Error {
  if (!(error instanceof ServerError)) return storageError(address, error)
  const { sqlState, message } = error
  const { user, host } = address
  if (sqlState === "28000" && message.includes("pg_hba.conf"))
    return refusal(
      address,
      message,
      `a line in the server's pg_hba.conf, then pg_ctl reload: ${host.startsWith("/") ? "local" : "host"} replication ${user}${host.startsWith("/") ? "" : " ADDRESS-OF-THIS-MACHINE/32"} scram-sha-256`,
      error,
    )
  if (sqlState === "42501") return refusal(address, message, `as the server's superuser: ALTER ROLE "${user}" REPLICATION`, error)
  if (sqlState === "53300") return refusal(address, message, "raise max_wal_senders, two for an archive, then restart the server", error)
  if (sqlState === "53400")
    return refusal(address, message, "raise max_replication_slots, or drop one that nobody uses: SELECT pg_drop_replication_slot(…)", error)
  if (sqlState === "55000") return refusal(address, message, "ALTER SYSTEM SET wal_level = replica, then restart the server", error)
  return storageError(address, error)
}
