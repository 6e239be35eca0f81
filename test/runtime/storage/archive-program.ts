/** A process that works on an archive: `follow PATH FOLDER MS` archives and says "ready" after the first time; `restore FOLDER PATH` says "ready" before it begins. */
import { writeSync } from "node:fs"
import { Archiver, folderFiles, follow, restore } from "../../../runtime/storage/archive/mod.ts"

const [what, first = "", second = "", third = ""] = process.argv.slice(2)
if (what === "follow") {
  const told = new AbortController()
  process.once("SIGTERM", () => told.abort())
  await using archiver = await Archiver.open({ path: first, files: folderFiles(second), walBytesRestart: 64 << 10, generationBytesMax: 256 << 10 })
  // Whoever was killed may have left a log that is overwritten under the first try; `follow` tries again, too.
  await archiver.sync().catch(() => archiver.sync())
  writeSync(1, "ready\n")
  await follow(archiver, told.signal, (event) => event.what === "failed" && writeSync(2, `${event.error.message}\n`), Number(third))
} else {
  writeSync(1, "ready\n")
  await restore(second, { files: folderFiles(first) })
}
