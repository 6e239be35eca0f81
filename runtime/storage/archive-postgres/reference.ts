/** Which objects the rows of a database refer to, asked as the role that sees all tenants, and putting them into an archive. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest } from "../../port/object.ts"
import { archiveBlob, type ObjectSource } from "../archive/blob.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { blobName } from "../archive/key.ts"
import { parseAddress, passwordOf, workerAddress, workerPasswordOf } from "../postgres/address.ts"
import { Connection, type ConnectionSettings } from "../postgres/connection.ts"
import { storageError } from "../postgres/failure.ts"
import { checkWorker } from "../postgres/session.ts"

/** The session for what concerns all tenants of the database that `address` names. */
export function workerSettings(address: string): ConnectionSettings {
  const worker = parseAddress(workerAddress(address))
  return { address: worker, password: workerPasswordOf(worker) ?? passwordOf(worker) }
}

/** @throws StorageError `Unreachable`, `Login`, `NoDatabase`, `Server`, `Older`, `Newer`, `Role` */
export async function openWorker(settings: ConnectionSettings): Promise<Connection> {
  let connection: Connection | undefined
  try {
    connection = await Connection.open(settings)
    await checkWorker(connection, settings.address)
    return connection
  } catch (error) {
    await connection?.close()
    throw storageError(settings.address, error)
  }
}

/** Digests that rows refer to, in order. */
export async function referencedIn(connection: Connection): Promise<ReadonlyArray<Digest>> {
  const rows = await connection.one("SELECT DISTINCT digest FROM stele.blob_reference ORDER BY digest")
  return rows.map(({ digest }) => Buffer.from(digest as Uint8Array).toString("hex"))
}

/** Puts the objects that rows refer to into an archive. */
export class ReferredObjects {
  readonly #settings: ConnectionSettings
  readonly #files: ArchiveFiles
  readonly #objects: ObjectSource
  readonly #key: Uint8Array | undefined
  readonly #archived = new Set<string>()
  #connection: Connection | undefined
  #version: string | undefined
  /** Objects that rows refer to and that the store has no more, or damaged. */
  missing = 0

  constructor(settings: ConnectionSettings, files: ArchiveFiles, objects: ObjectSource, key: Uint8Array | undefined) {
    this.#settings = settings
    this.#files = files
    this.#objects = objects
    this.#key = key
  }

  /**
   * Puts what rows refer to now and the archive has not; looked at only when references changed. Does nothing while the server cannot be
   * reached: that must not keep its last log from being archived.
   * @throws StorageError `Login`, `NoDatabase`, `Older`, `Newer`, `Role`, `ArchiveUnreachable`, and those of reading objects
   */
  async put(): Promise<void> {
    let changed: { readonly version: string; readonly digests: ReadonlyArray<Digest> } | undefined
    try {
      changed = await this.#changed()
    } catch (error) {
      if (error instanceof StorageError && error.reason._tag === "Unreachable") return
      throw error
    }
    if (changed === undefined) return
    let missing = 0
    for (const digest of changed.digests) {
      const name = blobName(this.#key, digest)
      if (this.#archived.has(name)) continue
      if ((await this.#files.has(name)) || (await archiveBlob(this.#files, this.#objects, digest, this.#key))) this.#archived.add(name)
      else missing++
    }
    this.missing = missing
    this.#version = changed.version
  }

  /** Digests that rows refer to now; undefined when they are those of the last time. */
  async #changed(): Promise<{ readonly version: string; readonly digests: ReadonlyArray<Digest> } | undefined> {
    if (this.#connection?.isDead === true) this.#connection = undefined
    this.#connection ??= await openWorker(this.#settings)
    try {
      const [total] = await this.#connection.one(
        "SELECT coalesce(sum(keys), 0)::text AS keys, coalesce(sum(bytes), 0)::text AS bytes, coalesce(bit_xor(sums), 0)::text AS sums FROM stele.total WHERE name = 'blob_reference'",
      )
      const version = JSON.stringify(total)
      return version === this.#version ? undefined : { version, digests: await referencedIn(this.#connection) }
    } catch (error) {
      throw storageError(this.#settings.address, error)
    }
  }

  async close(): Promise<void> {
    await this.#connection?.close()
    this.#connection = undefined
  }
}
