/** A process that archives a server: `follow ADDRESS FOLDER` says each event as a line of JSON, until it is told to end. The password is in PGPASSWORD. */
import { writeSync } from "node:fs"
import { folderFiles } from "../../../runtime/storage/archive/mod.ts"
import { followServer, ServerArchiver } from "../../../runtime/storage/archive-postgres/mod.ts"

const [address = "", folder = ""] = process.argv.slice(2)
const told = new AbortController()
process.once("SIGTERM", () => told.abort())
await using archiver = await ServerArchiver.open({ address, files: folderFiles(folder) })
await followServer(archiver, told.signal, (event) =>
  writeSync(1, `${JSON.stringify(event.what === "failed" ? { what: event.what, error: event.error.message } : event)}\n`),
)
