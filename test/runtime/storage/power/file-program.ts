/**
 * The smallest thing that keeps something: `file-program.ts FOLDER NOTES HOW` replaces the contents of one file by 1, 2, 3 …,
 * each repeated over several sectors. `right` is how it is done; the others leave one thing out that people leave out.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs"
import { join } from "node:path"

const [folder = "", notes = "", how = ""] = process.argv.slice(2)
const said = openSync(notes, "a")
const below = join(folder, "below")
const sync = (path: string): void => {
  const fd = openSync(path, "r")
  fsyncSync(fd)
  closeSync(fd)
}

mkdirSync(below)
if (how !== "new folder not synced") sync(folder)
for (let n = 1; n <= 8; n++) {
  const whole = join(below, "file")
  const part = how === "in place" ? whole : join(below, "file.part")
  const fd = openSync(part, how === "in place" && n > 1 ? "r+" : "w")
  writeSync(fd, Buffer.from(String(n).repeat(3_000)))
  if (how !== "file not synced") fsyncSync(fd)
  closeSync(fd)
  if (part !== whole) renameSync(part, whole)
  if (how !== "folder not synced") sync(below)
  writeSync(said, `${n}\n`)
}
