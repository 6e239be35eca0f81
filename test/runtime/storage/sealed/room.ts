/** A copy of the sealed room with one line of it another: what a rule is for shows when it is gone. */
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type * as Sealed from "../../../../runtime/storage/sealed/mod.ts"

export type Room = typeof Sealed

/** Everything outside of the room is the real one, so that its errors are those of the stores. */
export async function roomWithout(folder: string, file: string, line: string, instead: string): Promise<Room> {
  const room = new URL("../../../../runtime/storage/sealed/", import.meta.url)
  const copy = await mkdtemp(join(folder, "mutant-"))
  for (const name of await readdir(room)) {
    const source = await readFile(new URL(name, room), "utf8")
    if (name === file && source.split(line).length !== 2) throw new Error(`Cannot find the line once in ${file}: ${line}`)
    const other = name === file ? source.replace(line, () => instead) : source
    await writeFile(
      join(copy, name),
      other.replaceAll(/from "(\.\.\/[^"]+)"/g, (_, path: string) => `from "${new URL(path, room).href}"`),
    )
  }
  return (await import(join(copy, "mod.ts"))) as Room
}
