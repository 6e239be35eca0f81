/**
 * A node in a process of its own: `ADDRESS UPTO CALLERS MODE`. Its callers reserve one at a time, run for a moment and settle, until the cap refuses them for good. MODE `late`: its clock
 * is an hour ahead; `hold`: it keeps what it has reserved and waits to be killed.
 */
import { writeSync } from "node:fs"

const [address = "", upTo = "", callers = "", mode = ""] = process.argv.slice(2)
if (mode === "late") {
  const now = Date.now.bind(Date)
  Date.now = () => now() + 3_600_000
}
const { Reserver } = await import("../../../runtime/billing/reserve.ts")
const { PostgresStore } = await import("../../../runtime/storage/postgres/mod.ts")
const { SqliteStore } = await import("../../../runtime/storage/sqlite/mod.ts")
const { BillingError } = await import("../../../schemas/error/billing.ts")
const { capOf } = await import("./cap.ts")

await using store = address.startsWith("postgres:") ? await PostgresStore.open(address) : await SqliteStore.open(address)
await using reserver = new Reserver({ store, entity: "acme" }, { expiryMs: 1_500, flushMs: 40, idleMs: 100, chunkMax: 50 })
const cap = capOf(BigInt(upTo))
let used = 0
const pause = (ms: number) => new Promise((resume) => setTimeout(resume, ms))
// What only holds waits for nothing that would keep its process.
const alive = mode === "hold" ? setTimeout(() => undefined, 60_000) : undefined
await Promise.all(
  Array.from({ length: Number(callers) }, async () => {
    // Refused for longer than it takes until the dead one's comes back.
    for (let sinceMs = performance.now(); performance.now() - sinceMs < 3_500;) {
      try {
        const reserved = await reserver.reserve(cap, 1n, 10)
        if (mode === "hold") {
          used++
          await new Promise(() => undefined)
        }
        await pause(1)
        // One in four calls used nothing after all.
        const quantity = used % 4 === 3 && Math.random() < 0.5 ? 0n : 1n
        used += Number(quantity)
        reserved.settle(quantity)
        sinceMs = performance.now()
      } catch (error) {
        if (!(error instanceof BillingError)) throw error
        if (mode === "hold") break
        await pause(200)
      }
    }
  }),
)
clearTimeout(alive)
await reserver.close()
writeSync(1, `used ${used}\n`)
