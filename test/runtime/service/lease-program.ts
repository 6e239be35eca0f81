/**
 * A candidate in a process of its own: `ADDRESS KEEP|DROP`. While it leads, it appends its token to a log of its lease's tenant, behind the fence (KEEP) or
 * without it (DROP), and does not look whether it still leads before it writes: what keeps a stale one out is the store.
 */
import { writeSync } from "node:fs"
import { lead } from "../../../runtime/service/lease.ts"
import { PostgresStore } from "../../../runtime/storage/postgres/mod.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { StorageError } from "../../../schemas/error/storage.ts"

const [address = "", fence = ""] = process.argv.slice(2)
const store = address.startsWith("postgres:") ? await PostgresStore.open(address) : await SqliteStore.open(address)
const tenant = Buffer.from("ada")
const end = new AbortController()
process.on("SIGTERM", () => end.abort())
await lead(
  store,
  "roll-up",
  async (lease, signal) => {
    // Whatever it was stopped in, it writes once more after it could know better.
    for (let isOver = false; ;) {
      const isLast = isOver
      try {
        const payload = Buffer.from(`${lease.token} ${process.pid}`)
        await store.apply([...(fence === "KEEP" ? [lease.fence] : []), { op: "append", tenant, key: Buffer.from("written"), payload }])
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        writeSync(1, `${error.reason._tag}\n`)
        if (error.reason._tag === "Conflict") return
      }
      if (isLast) return
      isOver = signal.aborted
      // Longer than a commit takes on a busy disk: whoever is stopped is then rarely in one, holding the store's lock.
      await new Promise((resume) => setTimeout(resume, 60))
    }
  },
  { signal: end.signal, tenant, leaseMs: 600, pollMs: 50, holder: String(process.pid) },
)
await store.close()
