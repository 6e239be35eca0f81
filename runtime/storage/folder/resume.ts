/** What an upload left behind, proved before anything is built on it. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Progress } from "./staging.ts"

const { open } = process.getBuiltinModule("node:fs/promises")
const { crc32 } = process.getBuiltinModule("node:zlib")

const pieceBytes = 512 << 10

/** The bytes that `progress` speaks of. StorageError `Damaged` at the end when they are not those that were written. */
export async function* verifiedPieces(store: string, id: string, path: string, { bytes, sum }: Progress): AsyncGenerator<Uint8Array, void, void> {
  const handle = await open(path, "r")
  try {
    let found = 0
    const piece = Buffer.allocUnsafe(pieceBytes)
    for (let at = 0; at < bytes;) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(pieceBytes, bytes - at), at)
      if (bytesRead === 0) break
      found = crc32(piece.subarray(0, bytesRead), found)
      yield piece.subarray(0, bytesRead)
      at += bytesRead
    }
    if (found !== sum) throw new StorageError("Upload", { store, upload: id, detail: "its bytes on the disk are not those that were written" })
  } finally {
    await handle.close()
  }
}
