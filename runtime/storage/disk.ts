/** What every store on a disk asks of it. */
import { StorageError } from "../../schemas/error/storage.ts"

const { closeSync, fsyncSync, openSync, statfsSync } = process.getBuiltinModule("node:fs")

/** `statfs` types of file systems whose locks or syncs another machine decides: NFS, SMB, CIFS, SMB2, AFS, Ceph, 9P. */
const networkTypes = new Set([0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x00c3_6400, 0x0102_1997])

/** Throws `StorageError` `Unreachable` when `folder` is not on a disk of this machine. */
export function refuseNetwork(folder: string, store: string): void {
  if (networkTypes.has(statfsSync(folder).type >>> 0))
    throw new StorageError("Unreachable", { store, detail: "it is on a network file system, whose locks and syncs cannot be relied on" })
}

/** Makes the names in a folder durable, without which the bytes of its files are nobody's. */
export function syncFolder(folder: string): void {
  // Windows has no such sync: its file systems keep names by a journal.
  if (process.platform === "win32") return
  const fd = openSync(folder, "r")
  try {
    fsyncSync(fd)
  } catch (error) {
    // The file system has none either.
    if ((error as { readonly code?: unknown }).code !== "EINVAL") throw error
  } finally {
    closeSync(fd)
  }
}
