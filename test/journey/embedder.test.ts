// Journey 1: what an embedder sees, compared line by line with `embedder.txt`, within ten minutes.
import { readFile, writeFile } from "node:fs/promises"
import t from "tap"
import { Folder } from "../package/folder.ts"
import { journey, transcript } from "./embedder.ts"

t.setTimeout(600_000)
const expected = new URL("embedder.txt", import.meta.url)

t.test("an embedder gets from an empty folder to a called, refused, stopped and typed plugin", async (t) => {
  await using folder = await Folder.empty()
  const steps = await journey(folder)
  // Written anew with STELE_TRANSCRIPT=write, to be read before it is committed.
  if (process.env["STELE_TRANSCRIPT"] === "write") await writeFile(expected, transcript(steps))
  t.equal(transcript(steps), await readFile(expected, "utf8"))
  const ms = steps.reduce((sum, step) => sum + step.ms, 0)
  t.comment(`${steps.length} steps in ${ms} ms`)
  t.ok(ms < 600_000, `${ms} ms`)
})
