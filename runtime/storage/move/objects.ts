/** The objects that a store's references stand for, brought to another store of objects. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ObjectStore } from "../../port/object.ts"
import type { Place } from "../../port/place.ts"
import type { Side } from "./move.ts"

const pageMax = 500

async function copyObject(from: ObjectStore, to: ObjectStore, digest: string): Promise<void> {
  // Touched: one that nobody refers to yet may be about to be collected there.
  if (await to.touch(digest)) return
  const bytes = await from.stream(digest)
  if (bytes === undefined) throw new StorageError("Damaged", { store: from.name, digest, detail: "it is referred to, and not there" })
  await using upload = await to.upload()
  for await (const piece of bytes) await upload.write(piece)
  await upload.commit(digest)
}

/** Copies every object that is referred to and not in `known` yet, and adds it there. */
export async function copyObjects(from: Side, to: Side, known: Set<string>): Promise<void> {
  for (let beyond: Place | undefined; ;) {
    const references = await from.store.ask({ ask: "references", beyond, countMax: pageMax })
    for (const { digest } of references) {
      const name = Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString("hex")
      if (known.has(name)) continue
      if (from.objects === undefined || to.objects === undefined)
        throw new StorageError("Occupied", { store: to.address, detail: "there is no place for the objects that are moved with it" })
      await copyObject(from.objects, to.objects, name)
      known.add(name)
    }
    if (references.length < pageMax) return
    beyond = references.at(-1)
  }
}
