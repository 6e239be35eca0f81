/**
 * Runs conformance cases on whatever engine starts this, and prints which failed: with `memory` on a store in memory for each, with `sqlite` on
 * files in a folder of its own, with counts by group; a number behind it runs every so many of them, another says from where.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { MemoryStore, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { runAll, runCase, storeCases } from "./suite/conformance.ts"
import { strict } from "./suite/strict.ts"

const [kind = "memory", ...numbers] = process.argv.slice(2)
const [share = 1, from = 0] = numbers.map(Number)
if (kind === "sqlite") {
  const folder = await mkdtemp(join(tmpdir(), "stele-suite-"))
  let files = 0
  try {
    console.log(
      JSON.stringify(await runAll({ name: "sqlite", open: (limits) => SqliteStore.open(join(folder, `${files++}.db`), limits) }, strict, share, from)),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
} else {
  const failed: Array<string> = []
  const cases = storeCases.filter((_, i) => (i + from) % share === 0)
  for (const each of cases)
    await runCase(each, { name: "memory", open: async (limits) => new MemoryStore(limits) }, strict).catch((error: unknown) => {
      failed.push(`${each.title}: ${error instanceof Error ? error.message : String(error)}`)
    })
  console.log(JSON.stringify({ run: cases.length, failed }))
}
