/** SQLite as a store: `npm run bench -- sqlite`. The disk's own syncs a second come first: everything durable is measured against them. */
import { rmSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { placeOf } from "../../runtime/port/place.ts"
import { openFigures } from "./open.ts"
import { figureRow, type Row } from "./measure.ts"
import { slowDisk, slowSyncUs } from "./slow-disk.ts"
import { openWide, syncsASecond, value, type Written, write } from "./sqlite-write.ts"

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

const processorNote = ({ cpuUs, callerUs }: Written): string =>
  `${cpuUs.toFixed(1)} µs of the processor a row, ${callerUs.toFixed(1)} µs of them on the callers' thread`

/** 64 writers, who share commits: the fewer syncs a second a disk does, the nearer they can come to 64 rows a sync. */
const sharing = (figure: string, written: Written, syncs: number, peers: Readonly<Record<string, number>>, note: string): Row =>
  figureRow(
    figure,
    "rows/s",
    written.rowsASecond,
    peers,
    [
      { name: "rows / 64 syncs", ratio: written.rowsASecond / (64 * syncs), atLeast: 0.7 },
      { name: "rows/s", ratio: written.rowsASecond, atLeast: 25_000 },
      { name: "commit p99 ms", ratio: written.p99Ms, atMost: 10 },
      { name: "event loop p99 ms", ratio: written.delayP99Ms, atMost: 5 },
    ],
    note,
  )

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-storage-"))
  try {
    say("disk…")
    const syncs = syncsASecond(folder)
    const plain = autocommit(folder)
    say(`${Math.round(syncs)} syncs/s`)
    const startedMs = performance.now()
    await using store = await openWide(join(folder, "store.db"))
    const openMs = performance.now() - startedMs
    const rows: Array<Row> = [figureRow("disk: 4 KiB written and synced", "syncs/s", syncs, {}, [])]
    say("one writer…")
    const one = await write(store, 1)
    rows.push(figureRow("SQLite, 1 writer, durable", "rows/s", one.rowsASecond, { "plain autocommit": plain }, [], `p99 ${one.p99Ms.toFixed(1)} ms`))
    say("64 writers…")
    const many = await write(store, 64)
    rows.push(sharing("SQLite, 64 writers, durable", many, syncs, { "plain autocommit": plain }, processorNote(many)))
    say("64 writers, slower disk…")
    const slow = await slowDisk(folder)
    if ("why" in slow) say(`not measured: ${slow.why}`)
    else {
      const note = `${Math.round(slow.syncsASecond)} syncs/s there; ${processorNote(slow)}`
      rows.push(sharing(`SQLite, 64 writers, durable, each sync ${slowSyncUs} µs longer`, slow, slow.syncsASecond, {}, note))
    }
    say("1,000 writers…")
    const crowd = await write(store, 1_000)
    rows.push(
      figureRow(
        "SQLite, 1,000 writers, durable",
        "rows/s",
        crowd.rowsASecond,
        {},
        [{ name: "event loop p99 ms", ratio: crowd.delayP99Ms, atMost: 5 }],
        `p99 ${crowd.p99Ms.toFixed(1)} ms; ${processorNote(crowd)}`,
      ),
    )
    say("reads…")
    const place = placeOf("bench/1-0-1")
    const readMs = performance.now()
    let count = 0
    for (; performance.now() - readMs < 1_000;) for (let i = 0; i < 100; i++, count++) store.askSync({ ask: "get", ...place })
    const reads = (count * 1_000) / (performance.now() - readMs)
    rows.push(figureRow("SQLite, point reads", "reads/s", reads, {}, [{ name: "reads/s", ratio: reads, atLeast: 150_000 }]))
    const mixed = await write(store, 64, true)
    rows.push(
      figureRow(
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
      figureRow("SQLite, load the bundle, open, first read", "ms", read.ms, { "from the checkout": openMs, "of the processor": read.cpuMs }, [
        { name: "ms", ratio: read.ms, atMost: 60 },
        { name: "MB above a bare process", ratio: read.rssBytes / 1e6, atMost: 30 },
      ]),
      figureRow("the same with a first write and blob, at rest", "ms", written.ms, { "of the processor": written.cpuMs }, [
        { name: "ms", ratio: written.ms, atMost: 80 },
        { name: "MB above a bare process", ratio: written.rssBytes / 1e6, atMost: 32 },
      ]),
    )
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
