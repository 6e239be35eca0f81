/** Bills in a process of its own until nothing is due: `ADDRESS GRACE_MS SKEW_MS`. Says each invoice that it wrote; its wall clock is SKEW_MS ahead. */
import { writeSync } from "node:fs"

const [address = "", graceMs = "", skewMs = "0"] = process.argv.slice(2)
const real = Date.now
Date.now = () => real() + Number(skewMs)
// After the clock was set, which stores read when they are opened.
const { Host } = await import("../../../host/mod.ts")
const { dueAt, issue, openBilling, subscriptionsOf } = await import("../../../runtime/billing/mod.ts")
const { BillingError } = await import("../../../schemas/error/billing.ts")
const { PostgresStore } = await import("../../../runtime/storage/postgres/mod.ts")
const { SqliteStore } = await import("../../../runtime/storage/sqlite/mod.ts")

const store = address.startsWith("postgres:") ? await PostgresStore.open(address, { connectionsMax: 2 }) : await SqliteStore.open(address)
const host = await Host.open()
const billing = openBilling({ host, store, entity: "acme", limits: { graceMs: Number(graceMs), attempts: 1_000 } })
writeSync(1, "ready\n")
// As `runBilling` does, one at a time and each from a place of its own, so that what was written is told at once.
for (let isDone = false; !isDone;) {
  isDone = true
  const ids = (await Array.fromAsync(subscriptionsOf(billing))).flatMap(({ id, value }) => (dueAt(billing, value) === undefined ? [] : [id]))
  const from = Math.floor(Math.random() * ids.length)
  for (const id of [...ids.slice(from), ...ids.slice(0, from)])
    try {
      const { invoice, isNew } = await issue(billing, id)
      if (isNew) writeSync(1, `issued ${invoice.id}\n`)
      isDone = false
    } catch (error) {
      if (!(error instanceof BillingError && error.reason._tag === "NotDue")) throw error
    }
}
writeSync(1, "done\n")
await billing.close()
await host[Symbol.asyncDispose]()
await store.close()
