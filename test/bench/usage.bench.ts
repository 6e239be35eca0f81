/** Usage records in SQLite: what one costs in a call, how many a second are taken beside five million, what their sums cost to read, and their bytes. */
import { rmSync, statSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { UsageRecord } from "../../host/port/observer.ts"
import type { Operation } from "../../runtime/port/store.ts"
import { usageIds } from "../../runtime/service/usage-id.ts"
import { usageObserver } from "../../runtime/service/usage.ts"
import { MemoryStore } from "../../runtime/storage/sqlite/memory.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { packUsage, tenantBytes } from "../../runtime/storage/usage.ts"
import { figureRow, type Row } from "./measure.ts"

const tenantCount = 100
const pluginCount = 20
/** Days over which the records that are there lie. */
const dayCount = 90
const batchRecords = 1_000
const ingestMs = 5_000

/** The nth call: of 100 tenants with 5 plugins each, as a call with two grants leaves it. */
const recordOf = (n: number): UsageRecord => {
  const tenant = (n * 7) % tenantCount
  return {
    plugin: `sha256:${((tenant + ((n >> 3) % 5)) % pluginCount).toString(16).padStart(64, "a")}`,
    tenant: `tenant-${tenant}`,
    export: "acme:greeter/api#greet",
    outcome: n % 50 === 0 ? "guest" : "ok",
    wallNs: 20_000 + ((n * 7_919) % 1_000_000),
    fuel: BigInt(10_000 + ((n * 104_729) % 1_000_000)),
    memoryPeakBytes: 1_114_112,
    bytesIn: n % 4_096,
    bytesOut: 100,
    hostCalls: { "kv:read:prices/*": 1, log: 2 },
  }
}

/** Fills a store with `count` records over the days before now; answers how many a second it took. */
async function fill(store: SqliteStore, count: number): Promise<number> {
  let us = (Date.now() - dayCount * 86_400_000) * 1_000
  const nextId = usageIds(() => us)
  const stepUs = (dayCount * 86_400_000_000) / count
  const startedMs = performance.now()
  const writing: Array<Promise<unknown>> = []
  for (let n = 0; n < count; n += 10 * batchRecords) {
    const entries = Array.from({ length: 10 * batchRecords }, (_, i) => {
      us += stepUs
      const id = new Uint8Array(16)
      nextId(id, 0)
      return { ...recordOf(n + i), id }
    })
    const batch = [...Map.groupBy(entries, ({ tenant }) => tenant)].map(([tenant, of]): Operation => ({
      op: "record",
      tenant: tenantBytes(tenant),
      records: packUsage(of),
    }))
    writing.push(store.apply(batch))
    if (writing.length > 3) await writing.shift()
  }
  await Promise.all(writing)
  return (count * 1_000) / (performance.now() - startedMs)
}

/** Calls as a host makes them, as fast as they are written: what is emitted and acknowledged in a few seconds. */
async function ingest(store: SqliteStore): Promise<{ readonly recordsASecond: number; readonly cpuUs: number; readonly dropped: number }> {
  const observer = usageObserver(store)
  const events = Array.from({ length: 10_000 }, (_, n) => ({ type: "usage" as const, record: recordOf(n) }))
  const cpu = process.cpuUsage()
  const startedMs = performance.now()
  for (let n = 0; performance.now() - startedMs < ingestMs;) {
    for (let i = 0; i < 100; i++, n++) observer.emit(events[n % events.length] as (typeof events)[number])
    while (observer.counts.waiting > 20_000) await new Promise((resume) => setTimeout(resume, 1))
  }
  await observer.close()
  const { recorded, dropped } = observer.counts
  const { user, system } = process.cpuUsage(cpu)
  return { recordsASecond: (recorded * 1_000) / (performance.now() - startedMs), cpuUs: (user + system) / recorded, dropped }
}

async function emitNs(): Promise<number> {
  await using store = new MemoryStore()
  const event = { type: "usage" as const, record: recordOf(1) }
  const found: Array<number> = []
  for (let round = 0; round < 30; round++) {
    const observer = usageObserver(store)
    const startedMs = performance.now()
    for (let i = 0; i < 10_000; i++) observer.emit(event)
    found.push(((performance.now() - startedMs) * 1e6) / 10_000)
    await observer.close()
  }
  return found.toSorted((a, b) => a - b)[found.length >> 1] as number
}

/** With five million records present, as a year of a busy host has them: the filling takes most of the time. */
export async function bench(say: (text: string) => void, count = 5_000_000): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-usage-"))
  const path = join(folder, "usage.db")
  try {
    const emit = await emitNs()
    const store = await SqliteStore.open(path, { usage: { bytesMax: 1e12, totalBytesMax: 1e12 } })
    say(`usage: filling ${count} records…`)
    const filled = await fill(store, count)
    say("usage: ingest…")
    const { recordsASecond, cpuUs, dropped } = await ingest(store)
    // On a busy machine the time that it took says more of the neighbours than of us.
    const cpu = process.cpuUsage()
    const times = Array.from({ length: 9 }, () => {
      const startedMs = performance.now()
      store.askSync({ ask: "usage", by: "day" })
      return performance.now() - startedMs
    }).toSorted((a, b) => a - b)
    const { user, system } = process.cpuUsage(cpu)
    const [first] = store.askSync({ ask: "usage", by: "day" })
    const [tenants] = [await store.ask({ ask: "usageTenants" })]
    const records = tenants.reduce((sum, each) => sum + each.records, 0)
    await store.close()
    const bytes = statSync(path).size
    const byDayMs = times[4] as number
    return [
      figureRow("usage: emit() in a call", "ns", emit, {}, [{ name: "emit ns", ratio: emit, atMost: 1_000 }]),
      figureRow(
        "usage: records taken, 100 tenants, durable",
        "records/s",
        recordsASecond,
        {},
        [{ name: "records/s", ratio: recordsASecond, atLeast: 40_000 }],
        `${records} records present at the end, ${dropped} dropped, ${cpuUs.toFixed(1)} µs of processor time each on both threads; filled at ${Math.round(filled)}/s in batches of 10,000`,
      ),
      figureRow(
        "usage: by day over them",
        "ms",
        byDayMs,
        {},
        [{ name: "ms", ratio: byDayMs, atMost: 200 }],
        `from ${first?.key ?? "nothing"} on, ${dayCount} days × ${tenantCount} tenants × 5 plugins, ${((user + system) / 9_000).toFixed(0)} ms of processor time`,
      ),
      figureRow("usage: file", "bytes/record", bytes / records, {}, []),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
