/** A process that moves a store: `move FROM TO`, or `write FROM`, which counts keys and logs up until it is refused, and says each number once it is kept. */
import { once } from "node:events"
import { StorageError } from "../../../runtime/mod.ts"
import { move } from "../../../runtime/storage/move/move.ts"
import { openStores } from "../../../runtime/storage/storage.ts"

const [what = "", from = "", to = ""] = process.argv.slice(2)
const source = await openStores(from)
if (what === "move") {
  const target = await openStores(to)
  const done = await move(source, target, { pauseMsMax: 5_000, report: (step) => console.log(step) })
  console.log(JSON.stringify(done))
  await target.close()
} else {
  const tenant = Buffer.from("ada")
  for (let i = 1; ; i++) {
    try {
      const value = Buffer.from(String(i))
      await source.store.apply([
        { op: "set", tenant, key: Buffer.from(`count-${i % 50}`), value },
        { op: "append", tenant, key: Buffer.from("log"), payload: value },
      ])
      if (!process.stdout.write(`${i}\n`)) await once(process.stdout, "drain")
      // As fast as a disk syncs: where files lie in memory, a copy on a busy machine would never come near.
      await new Promise((resolve) => setTimeout(resolve, 1))
    } catch (error) {
      if (!(error instanceof StorageError && error.reason._tag === "Moved")) throw error
      if (error.reason.isOpen) break
      // The move may give up its pause and let writers go on.
      await new Promise((resolve) => setTimeout(resolve, 5))
      i--
    }
  }
}
await source.close()
