/**
 * Runs every conformance case on whatever engine starts this, and prints which failed: on the store in memory, or with `sqlite` on files in
 * a folder of its own, with counts by group; a number behind it runs every so many of them, another says from where.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { runAll, runCase, storeCases } from "./suite/conformance.ts"
import { strict } from "./suite/strict.ts"

if (process.argv[2] === "sqlite") {
  const folder = await mkdtemp(join(tmpdir(), "stele-suite-"))
  let files = 0
  try {
    console.log(
      JSON.stringify(
        await runAll(
          { name: "sqlite", open: (limits) => SqliteStore.open(join(folder, `${files++}.db`), limits) },
          strict,
          Number(process.argv[3] ?? 1),
          Number(process.argv[4] ?? 0),
        ),
      ),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
} else {
  const failed: Array<string> = []
  for (const each of storeCases)
    await runCase(each, { name: "memory", open: async (limits) => new MemoryStore(limits) }, strict).catch((error: unknown) => {
      failed.push(`${each.title}: ${error instanceof Error ? error.message : String(error)}`)
    })
  console.log(JSON.stringify({ run: storeCases.length, failed }))
}
