/** What an upload left behind, proved before anything is built on it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { Descriptor } from "./descriptor.ts"
import type { Progress } from "./staging.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

const pieceBytes = 512 << 10

/** The bytes that `progress` speaks of. StorageError `Upload` at the end when they are not those that were written. */
export async function* verifiedPieces(store: string, id: string, path: string, { bytes, sum }: Progress): AsyncGenerator<Uint8Array, void, void> {
  const handle = await Descriptor.open(path, "r")
  try {
    let found = 0
    for (let at = 0; at < bytes; at += pieceBytes) {
      const piece = await handle.readAt(at, Math.min(pieceBytes, bytes - at))
      found = crc32(piece, found)
      yield piece
    }
    if (found !== sum) throw new StorageError("Upload", { store, upload: id, detail: "its bytes on the disk are not those that were written" })
  } finally {
    await handle.close()
  }
}
