/** Puts objects into a folder, some of them by several clients at once, deletes some and puts some of those again: `object-program.ts FOLDER NOTES SEED COUNT`. */
import { openSync, writeSync } from "node:fs"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { limits, objectOf } from "./object-judge.ts"

const [folder = "", notes = "", ...numbers] = process.argv.slice(2)
const [seed = 0, count = 0] = numbers.map(Number)
const fd = openSync(notes, "a")
let next = 0

for (const end of [Math.ceil(count / 4), count]) {
  await using store = await FolderStore.open(folder, { limits })
  const during = async (what: string, run: () => Promise<unknown>): Promise<void> => {
    writeSync(fd, `ask ${what}\n`)
    await run()
    writeSync(fd, `done ${what}\n`)
  }
  const client = async (): Promise<void> => {
    while (next < end) {
      const n = next++
      const bytes = objectOf(seed, n)
      let digest = ""
      const put = async (): Promise<void> => void (digest = (await store.put(bytes)).digest)
      await during(`put ${n}`, put)
      if (n % 4 > 1) continue
      await during(`delete ${n}`, () => store.delete(digest))
      if (n % 4 === 0) await during(`put ${n}`, put)
    }
  }
  await Promise.all([client(), client(), client()])
}
