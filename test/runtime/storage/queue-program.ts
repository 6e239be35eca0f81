/** A worker in a process of its own: `work PATH` takes jobs until it is told to end. Each job's effect is one event of its order key's topic, kept together with the completion. */
import { work } from "../../../runtime/service/queue.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { queueTestLimits } from "./queue-limits.ts"

const [, path = ""] = process.argv.slice(2)
const store = await SqliteStore.open(path, queueTestLimits)
const stop = new AbortController()
process.on("SIGTERM", () => stop.abort())
const report = await work(
  store,
  "mail",
  async (job) => {
    // Long enough to be stopped in the middle, short enough for ten thousand.
    await new Promise((resume) => setTimeout(resume, job.id % 7))
    return [{ op: "publish", tenant: job.tenant, key: Buffer.from(job.orderKey ?? "free"), payload: job.payload }]
  },
  { signal: stop.signal, concurrency: 16, leaseMs: 300, pollMsMax: 50, graceMs: 1_000 },
)
await store.close()
console.log(JSON.stringify(report))
