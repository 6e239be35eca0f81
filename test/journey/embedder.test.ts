// Journey 1: what an embedder sees, compared line by line with `embedder.txt`, within ten minutes. @long
import { readFile, writeFile } from "node:fs/promises"
import t from "tap"
import { Folder } from "../package/folder.ts"
import { migrated, missing, startServer } from "../runtime/storage/postgres/server.ts"
import { journey, transcript } from "./embedder.ts"

t.setTimeout(600_000)
const absent = await missing()
const expected = new URL("embedder.txt", import.meta.url)

t.test("an embedder gets from an empty folder to a called, refused, stopped and typed plugin", async (t) => {
  await using folder = await Folder.empty()
  const server = absent === undefined ? await startServer() : undefined
  t.teardown(() => server?.close())
  const steps = await journey(folder, server && { address: (await migrated(server)).service, password: server.password })
  // Written anew with STELE_TRANSCRIPT=write, to be read before it is committed.
  if (process.env["STELE_TRANSCRIPT"] === "write") await writeFile(expected, transcript(steps))
  const parts = (await readFile(expected, "utf8")).split(/(?<=\n)(?=\n\$ )/)
  t.equal(transcript(steps), parts.filter((part) => server !== undefined || !part.includes("postgres:")).join(""))
  const ms = steps.reduce((sum, step) => sum + step.ms, 0)
  t.comment(`${steps.length} steps in ${ms} ms`)
  t.ok(ms < 600_000, `${ms} ms`)
})

t.test("the same file on a server", { skip: absent ?? false }, async (t) => {
  t.match(await readFile(expected, "utf8"), /\$ bun storage\.ts postgres:/)
})
