/** The queue at a depth of a million jobs: enqueued, leased and completed durably, by several callers at a time. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { LeasedJob } from "../../runtime/port/queue.ts"
import type { Store } from "../../runtime/port/store.ts"
import { PostgresStore } from "../../runtime/storage/postgres/mod.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { migrated, missing, type Server, startServer } from "../runtime/storage/postgres/server.ts"
import { type Row, targetText } from "./measure.ts"

export interface QueueFigures {
  readonly depth: number
  readonly batch: number
  /** Jobs enqueued, leased and completed in a second, with `depth` others waiting. */
  readonly jobsASecond: number
  /** Of one operation on a batch until it is durable, ms. */
  readonly enqueueP99Ms: number
  readonly leaseP99Ms: number
  readonly completeP99Ms: number
  /** How long it took to enqueue the depth. */
  readonly fillSeconds: number
}

const payload = new Uint8Array(200).fill(7)
const key = Buffer.from("bench")
const p99 = (all: ReadonlyArray<number>): number => all.toSorted((a, b) => a - b)[Math.floor(all.length * 0.99)] ?? Number.NaN

interface QueueRun {
  readonly depth?: number
  readonly batch?: number
  /** They share the depth: a lease takes turns among them. */
  readonly tenants?: number
  readonly runMs?: number
  readonly pipelines?: number
  /** Jobs that a tenant gives in its turn. */
  readonly turnJobs?: number
}

/** On a disk, by one process. */
export async function queueFigures(folder: string, run: QueueRun = {}): Promise<QueueFigures> {
  await using store = await SqliteStore.open(join(folder, "queue.db"), limitsOf(run))
  return await queueFiguresOf(store, run)
}

/** On a server that keeps what it has acknowledged, with eight sessions. */
export async function postgresQueueFigures(server: Server, run: QueueRun = {}): Promise<QueueFigures> {
  const { name, service, worker } = await migrated(server)
  await using store = await PostgresStore.open(service, { password: server.password, worker, ...limitsOf(run) })
  return await queueFiguresOf(store, run, () => void server.sql("VACUUM ANALYZE", name))
}

const limitsOf = ({ turnJobs }: QueueRun) => ({
  queue: { tenantJobsMax: 1e8, tenantBytesMax: 1e12, totalBytesMax: 1e12, ...(turnJobs === undefined ? {} : { turnJobs }) },
})

/** A batch is one tenant's on a server: what was leased of several is completed by each, at the same time. */
function completions(store: Store, jobs: ReadonlyArray<LeasedJob>): ReadonlyArray<ReadonlyArray<LeasedJob>> {
  if (store instanceof SqliteStore) return [jobs]
  const byTenant = new Map<string, Array<LeasedJob>>()
  for (const job of jobs) {
    const id = Buffer.from(job.tenant).toString("hex")
    const list = byTenant.get(id)
    if (list === undefined) byTenant.set(id, [job])
    else list.push(job)
  }
  return [...byTenant.values()]
}

async function queueFiguresOf(
  store: Store,
  { depth = 1_000_000, batch = 100, tenants = 100, runMs = 5_000, pipelines = 4 }: QueueRun,
  filledUp: () => void = () => {},
): Promise<QueueFigures> {
  const names = Array.from({ length: tenants }, (_, i) => Buffer.from(`tenant-${i}`))
  const startedMs = performance.now()
  for (let filled = 0; filled < depth;) {
    const writes = names.map((tenant) => ({
      op: "enqueue" as const,
      tenant,
      key,
      jobs: Array.from({ length: Math.min(1_000, depth / tenants) }, () => ({ payload })),
    }))
    await Promise.all(writes.map((write) => store.apply([write])))
    filled += tenants * Math.min(1_000, depth / tenants)
  }
  const fillSeconds = (performance.now() - startedMs) / 1_000
  filledUp()
  const times = { enqueue: [] as Array<number>, lease: [] as Array<number>, complete: [] as Array<number> }
  const timed = async <A>(what: keyof typeof times, run: () => Promise<A>): Promise<A> => {
    const sentMs = performance.now()
    const answer = await run()
    times[what].push(performance.now() - sentMs)
    return answer
  }
  let done = 0
  const fromMs = performance.now()
  await Promise.all(
    Array.from({ length: pipelines }, async (_, pipeline) => {
      for (let i = pipeline; performance.now() - fromMs < runMs; i++) {
        const tenant = names[i % names.length] as Uint8Array
        await timed("enqueue", () => store.apply([{ op: "enqueue", tenant, key, jobs: Array.from({ length: batch }, () => ({ payload })) }]))
        const [{ jobs }] = await timed("lease", () => store.apply([{ op: "lease", key, countMax: batch, leaseMs: 60_000 }]))
        await timed("complete", () =>
          Promise.all(
            completions(store, jobs).map((own) =>
              store.apply([{ op: "complete", leases: own.map(({ tenant, key, id, token }) => ({ tenant, key, id, token })) }]),
            ),
          ),
        )
        done += jobs.length
      }
    }),
  )
  const seconds = (performance.now() - fromMs) / 1_000
  return {
    depth,
    batch,
    jobsASecond: done / seconds,
    enqueueP99Ms: p99(times.enqueue),
    leaseP99Ms: p99(times.lease),
    completeP99Ms: p99(times.complete),
    fillSeconds,
  }
}

const rowOf = (where: string, { depth, batch, jobsASecond, enqueueP99Ms, leaseP99Ms, completeP99Ms }: QueueFigures, atLeast: number, more = ""): Row => ({
  figure: `queue on ${where}: enqueued, leased and completed, durable, ${depth.toLocaleString("en-US")} waiting${more}`,
  unit: "jobs/s",
  ours: jobsASecond,
  peers: {},
  ratios: { "jobs/s": jobsASecond },
  target: targetText({ name: "jobs/s", ratio: jobsASecond, atLeast }),
  met: jobsASecond >= atLeast,
  note: `batches of ${batch}; p99 of a batch enqueued ${enqueueP99Ms.toFixed(0)} ms, leased ${leaseP99Ms.toFixed(0)} ms, completed ${completeP99Ms.toFixed(0)} ms`,
})

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const run = { depth: 1_000_000, batch: 100, tenants: 100 }
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-queue-"))
  const rows: Array<Row> = []
  try {
    say("queue on SQLite…")
    rows.push(rowOf("SQLite", await queueFigures(folder, run), 5_000))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const why = await missing()
  if (why !== undefined) return say(why) ?? rows
  const server = await startServer()
  try {
    say("queue on PostgreSQL…")
    rows.push(rowOf("PostgreSQL", await postgresQueueFigures(server, run), 3_000))
    rows.push(rowOf("PostgreSQL", await postgresQueueFigures(server, { ...run, turnJobs: 100 }), 3_000, ", 100 jobs a turn"))
    return rows
  } finally {
    await server.close()
  }
}
