/** Objects that a store's rows refer to: which these are at an instant, into the archive, and back. */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest, ObjectStore } from "../../port/object.ts"
import { everybody } from "../sqlite/totals.ts"
import type { ArchiveFiles } from "./file.ts"
import { blobName } from "./key.ts"
import { openObject, seal } from "./object.ts"

/** Where objects are read from, and where they are made again. */
export type ObjectSource = Pick<ObjectStore, "stream">
export type ObjectTarget = Pick<ObjectStore, "upload" | "close">

/** A store of an older format has no such rows. */
const hasReferences = (database: DatabaseSync): boolean =>
  database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'blob_reference' AND type = 'table'").get() !== undefined

/** Digests that rows refer to, in order. */
export function referenced(database: DatabaseSync): ReadonlyArray<Digest> {
  if (!hasReferences(database)) return []
  const rows = database.prepare("SELECT DISTINCT digest FROM blob_reference ORDER BY digest").all()
  return rows.map(({ digest }) => Buffer.from(digest as Uint8Array).toString("hex"))
}

/** Another text when references changed: what all of them add up to. */
export function referenceVersion(database: DatabaseSync): string {
  if (!hasReferences(database)) return ""
  return JSON.stringify(database.prepare("SELECT keys, bytes, sums FROM blob_reference_total WHERE tenant = ?").get(everybody) ?? {})
}

/** Puts an object into the archive, if it is not there; false when the store has it no more, or damaged. */
export async function archiveBlob(files: ArchiveFiles, objects: ObjectSource, digest: Digest, key: Uint8Array | undefined): Promise<boolean> {
  try {
    const bytes = await objects.stream(digest)
    if (bytes === undefined) return false
    await files.putIfAbsent(
      blobName(key, digest),
      seal({ kind: "blob" }, bytes, key, () => {}),
    )
    return true
  } catch (error) {
    // What is lost already must not keep the rest from being saved.
    if (error instanceof StorageError && error.reason._tag === "Damaged") return false
    throw error
  }
}

/**
 * Makes all objects of the archive again; answers how many these are.
 * @throws StorageError `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable`, and those of taking objects in
 */
export async function restoreAllBlobs(files: ArchiveFiles, openTarget: () => Promise<ObjectTarget>, key: Uint8Array | undefined): Promise<number> {
  const names = (await files.list()).map(({ name }) => name).filter((name) => name.startsWith("blob/"))
  if (names.length === 0) return 0
  const target = await openTarget()
  try {
    for (const name of names) {
      const opened = await openObject(name, files.place, files.get(name), key)
      try {
        await using upload = await target.upload()
        for await (const part of opened.body) await upload.write(part)
        const { digest } = await upload.commit()
        if (blobName(key, digest) !== name) throw new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail: "it is another blob" })
      } finally {
        await opened.close()
      }
    }
  } finally {
    await target.close()
  }
  return names.length
}

/**
 * Makes objects again from the archive; answers which it has not.
 * @throws StorageError `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable`, and those of taking objects in
 */
export async function restoreBlobs(
  files: ArchiveFiles,
  target: ObjectTarget,
  digests: ReadonlyArray<Digest>,
  key: Uint8Array | undefined,
): Promise<ReadonlyArray<Digest>> {
  const missing: Array<Digest> = []
  for (const digest of digests) {
    const name = blobName(key, digest)
    if (!(await files.has(name))) {
      missing.push(digest)
      continue
    }
    const opened = await openObject(name, files.place, files.get(name), key)
    try {
      await using upload = await target.upload()
      for await (const part of opened.body) await upload.write(part)
      await upload.commit(digest)
    } catch (error) {
      if (!(error instanceof StorageError) || error.reason._tag !== "Mismatch") throw error
      throw new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail: "it is another blob" }, { cause: error })
    } finally {
      await opened.close()
    }
  }
  return missing
}
