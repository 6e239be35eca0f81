/** What every store on a disk asks of it. */
import { StorageError } from "../../schemas/error/storage.ts"

const { statfsSync } = process.getBuiltinModule("node:fs")

/** `statfs` types of file systems whose locks or syncs another machine decides: NFS, SMB, CIFS, SMB2, AFS, Ceph, 9P. */
const networkTypes = new Set([0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x00c3_6400, 0x0102_1997])

/** Throws `StorageError` `Unreachable` when `folder` is not on a disk of this machine. */
export function refuseNetwork(folder: string, store: string): void {
  if (networkTypes.has(statfsSync(folder).type >>> 0))
    throw new StorageError("Unreachable", { store, detail: "it is on a network file system, whose locks and syncs cannot be relied on" })
}
