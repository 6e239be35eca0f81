/** A worker in a process of its own: `work ADDRESS WORKER` takes jobs until it is told to end; the password is in PGPASSWORD. Each job's effect is one event of its order key's topic, kept together with the completion. */
import { work } from "../../../../runtime/service/queue.ts"
import { PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { queueTestLimits } from "../queue-limits.ts"

const [, address = "", worker = ""] = process.argv.slice(2)
const store = await PostgresStore.open(address, { worker, ...queueTestLimits })
const stop = new AbortController()
process.on("SIGTERM", () => stop.abort())
const report = await work(
  store,
  "mail",
  async (job) => {
    // Long enough to be stopped in the middle rather than in a commit, which the others would wait for.
    await new Promise((resume) => setTimeout(resume, 10 * (job.id % 7)))
    return [{ op: "publish", tenant: job.tenant, key: Buffer.from(job.orderKey ?? "free"), payload: job.payload }]
  },
  { signal: stop.signal, concurrency: 16, leaseMs: 300, pollMsMax: 50, graceMs: 1_000 },
)
await store.close()
console.log(JSON.stringify(report))
