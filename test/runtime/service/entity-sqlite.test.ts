/** Entities among three processes on a SQLite file. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { course, said } from "./entity-processes.ts"
import { isFull } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-entity-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
async function run(
  t: { comment(text: string): void; strictSame(found: unknown, wanted: unknown): boolean },
  mode: "KEEP" | "BLIND" | "DROP",
  entities: number,
  messages: number,
) {
  const path = join(folder, `${mode}.db`)
  await using store = await SqliteStore.open(path)
  const found = await course(store, path, { mode, entities, messages })
  t.comment(said(mode, found))
  t.strictSame(await store.check(), [])
  return found
}

t.test("of three processes on SQLite each message takes effect once and in order when one is stopped past its lease and one is killed", async (t) => {
  t.strictSame((await run(t, "KEEP", isFull ? 200 : 60, isFull ? 50 : 10)).wrong, [])
})

t.test("the same when the one that was stopped never notices, and not without the token of its shards", async (t) => {
  t.strictSame((await run(t, "BLIND", isFull ? 100 : 40, 10)).wrong, [])
  t.ok((await run(t, "DROP", isFull ? 100 : 40, 10)).wrong.length > 0, "states that were kept in memory go over what others have written")
})
