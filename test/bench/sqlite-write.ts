/** What a SQLite store is measured by: syncs of the disk, and writers beside the event loop. */
import { closeSync, fdatasyncSync, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { placeOf } from "../../runtime/port/place.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"

export const value = new Uint8Array(300).fill(7)
const runMs = 3_000

/** A store without quotas that a benchmark would reach. */
export const openWide = (path: string): Promise<SqliteStore> =>
  SqliteStore.open(path, { keyValue: { tenantKeysMax: 1e7, tenantBytesMax: 1e10, totalBytesMax: 1e10 } })

/** Appended pages, each synced: what one durable commit costs at least. */
export function syncsASecond(folder: string): number {
  const file = openSync(join(folder, "syncs"), "w")
  const page = new Uint8Array(4_096)
  const startedMs = performance.now()
  let count = 0
  for (; performance.now() - startedMs < 1_000; count++) {
    writeSync(file, page, 0, page.length, count * page.length)
    fdatasyncSync(file)
  }
  closeSync(file)
  return (count * 1_000) / (performance.now() - startedMs)
}

export interface Written {
  readonly rowsASecond: number
  readonly p99Ms: number
  readonly delayP99Ms: number
  readonly readsASecond: number
  /** Of the processor, µs a row: by the whole process, what the callers here do included, and by their thread alone. */
  readonly cpuUs: number
  readonly callerUs: number
}

/** `writers` callers, each with one write under way at a time; with `reads`, this thread also reads in turns of 2 ms. */
export async function write(store: SqliteStore, writers: number, reads = false): Promise<Written> {
  const used = (): readonly [all: number, caller: number] =>
    [process.cpuUsage(), process.threadCpuUsage()].map(({ user, system }) => user + system) as [number, number]
  const delays = monitorEventLoopDelay({ resolution: 1 })
  const latencies: Array<number> = []
  const before = used()
  const startedMs = performance.now()
  const untilMs = startedMs + runMs
  const writes = { areOver: false }
  let readCount = 0
  delays.enable()
  const writing = Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      for (let i = 0; performance.now() < untilMs; i++) {
        const sentMs = performance.now()
        await store.apply([{ op: "set", ...placeOf(`bench/${writers}-${writer}-${i % 1_000}`), value }])
        latencies.push(performance.now() - sentMs)
      }
    }),
  ).then(() => (writes.areOver = true))
  if (reads) {
    const place = placeOf("bench/1-0-1")
    while (!writes.areOver) {
      for (const turnMs = performance.now(); performance.now() - turnMs < 2;) for (let i = 0; i < 20; i++, readCount++) store.askSync({ ask: "get", ...place })
      await new Promise((resume) => setImmediate(resume))
    }
  }
  await writing
  delays.disable()
  const after = used()
  const seconds = (performance.now() - startedMs) / 1_000
  latencies.sort((a, b) => a - b)
  return {
    rowsASecond: latencies.length / seconds,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
    delayP99Ms: delays.percentile(99) / 1e6,
    readsASecond: readCount / seconds,
    cpuUs: (after[0] - before[0]) / latencies.length,
    callerUs: (after[1] - before[1]) / latencies.length,
  }
}
