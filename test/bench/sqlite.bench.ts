/** SQLite as a store: `npm run bench -- sqlite`. The disk's own syncs a second come first: everything durable is measured against them. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { DatabaseSync } from "node:sqlite"
import { placeOf } from "../../runtime/port/place.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { openFigures } from "./open.ts"
import { isMet, type Row, type Target, targetText } from "./measure.ts"

const value = new Uint8Array(300).fill(7)
const runMs = 3_000

const row = (figure: string, unit: string, ours: number, peers: Readonly<Record<string, number>>, targets: ReadonlyArray<Target>, note?: string): Row => ({
  figure,
  unit,
  ours,
  peers,
  ratios: Object.fromEntries(targets.map(({ name, ratio }) => [name, ratio])),
  target: targets.map(targetText).join(", "),
  met: targets.length === 0 ? null : targets.every(isMet),
  ...(note === undefined ? {} : { note }),
})

/** Appended pages, each synced: what one durable commit costs at least. */
function syncsASecond(folder: string): number {
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

/** One row a transaction by hand, with the same durability. */
function autocommit(folder: string): number {
  const database = new DatabaseSync(join(folder, "plain.db"))
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE kv (tenant BLOB, key BLOB, value BLOB, PRIMARY KEY (tenant, key)) STRICT")
  const insert = database.prepare("INSERT INTO kv VALUES (?, ?, ?)")
  const tenant = Buffer.from("t")
  const startedMs = performance.now()
  let count = 0
  for (; performance.now() - startedMs < 1_000; count++) insert.run(tenant, Buffer.from(`k${count}`), value)
  database.close()
  return (count * 1_000) / (performance.now() - startedMs)
}

interface Written {
  readonly rowsASecond: number
  readonly p99Ms: number
  readonly delayP99Ms: number
  readonly readsASecond: number
}

/** `writers` callers, each with one write under way at a time; with `reads`, this thread also reads in turns of 2 ms. */
async function write(store: SqliteStore, writers: number, reads = false): Promise<Written> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  const latencies: Array<number> = []
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
  const seconds = (performance.now() - startedMs) / 1_000
  latencies.sort((a, b) => a - b)
  return {
    rowsASecond: latencies.length / seconds,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
    delayP99Ms: delays.percentile(99) / 1e6,
    readsASecond: readCount / seconds,
  }
}

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-storage-"))
  try {
    say("disk…")
    const syncs = syncsASecond(folder)
    const plain = autocommit(folder)
    say(`${Math.round(syncs)} syncs/s`)
    const startedMs = performance.now()
    await using store = await SqliteStore.open(join(folder, "store.db"), { keyValue: { tenantKeysMax: 1e7, tenantBytesMax: 1e10, totalBytesMax: 1e10 } })
    const openMs = performance.now() - startedMs
    const rows: Array<Row> = [row("disk: 4 KiB written and synced", "syncs/s", syncs, {}, [])]
    say("one writer…")
    const one = await write(store, 1)
    rows.push(row("SQLite, 1 writer, durable", "rows/s", one.rowsASecond, { "plain autocommit": plain }, [], `p99 ${one.p99Ms.toFixed(1)} ms`))
    say("64 writers…")
    const many = await write(store, 64)
    rows.push(
      row("SQLite, 64 writers, durable", "rows/s", many.rowsASecond, { "plain autocommit": plain }, [
        { name: "rows / 64 syncs", ratio: many.rowsASecond / (64 * syncs), atLeast: 0.7 },
        { name: "rows/s", ratio: many.rowsASecond, atLeast: 25_000 },
        { name: "commit p99 ms", ratio: many.p99Ms, atMost: 10 },
        { name: "event loop p99 ms", ratio: many.delayP99Ms, atMost: 5 },
      ]),
    )
    say("1,000 writers…")
    const crowd = await write(store, 1_000)
    rows.push(
      row(
        "SQLite, 1,000 writers, durable",
        "rows/s",
        crowd.rowsASecond,
        {},
        [{ name: "event loop p99 ms", ratio: crowd.delayP99Ms, atMost: 5 }],
        `p99 ${crowd.p99Ms.toFixed(1)} ms`,
      ),
    )
    say("reads…")
    const place = placeOf("bench/1-0-1")
    const readMs = performance.now()
    let count = 0
    for (; performance.now() - readMs < 1_000;) for (let i = 0; i < 100; i++, count++) store.askSync({ ask: "get", ...place })
    const reads = (count * 1_000) / (performance.now() - readMs)
    rows.push(row("SQLite, point reads", "reads/s", reads, {}, [{ name: "reads/s", ratio: reads, atLeast: 150_000 }]))
    const mixed = await write(store, 64, true)
    rows.push(
      row(
        "SQLite, point reads while 64 writers run",
        "reads/s",
        mixed.readsASecond,
        {},
        [{ name: "reads/s", ratio: mixed.readsASecond, atLeast: 100_000 }],
        `${Math.round(mixed.rowsASecond)} rows/s written meanwhile`,
      ),
    )
    say("opening…")
    const { read, written } = openFigures()
    rows.push(
      row("SQLite, load the bundle, open, first read", "ms", read.ms, { "from the checkout": openMs, "of the processor": read.cpuMs }, [
        { name: "ms", ratio: read.ms, atMost: 60 },
        { name: "MB above a bare process", ratio: read.rssBytes / 1e6, atMost: 30 },
      ]),
      row("the same with a first write and blob, at rest", "ms", written.ms, { "of the processor": written.cpuMs }, [
        { name: "ms", ratio: written.ms, atMost: 80 },
        { name: "MB above a bare process", ratio: written.rssBytes / 1e6, atMost: 32 },
      ]),
    )
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
