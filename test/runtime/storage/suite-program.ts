/** Runs every conformance case on the store in memory, on whatever engine starts this, and prints which failed. */
import { MemoryStore } from "../../../runtime/storage/sqlite/mod.ts"
import { runCase, storeCases } from "./suite/conformance.ts"
import { strict } from "./suite/strict.ts"

const failed: Array<string> = []
for (const each of storeCases)
  await runCase(each, { name: "memory", open: async (limits) => new MemoryStore(limits) }, strict).catch((error: unknown) => {
    failed.push(`${each.title}: ${error instanceof Error ? error.message : String(error)}`)
  })
console.log(JSON.stringify({ run: storeCases.length, failed }))
