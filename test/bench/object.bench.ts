/** Objects in a folder: `npm run bench -- object`. Small ones against the asked-for rate, large ones against the disk's own writing in the same run. */
import { createHash, randomBytes } from "node:crypto"
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { FolderStore } from "../../runtime/storage/folder/mod.ts"
import { figureRow, type Row } from "./measure.ts"

const runMs = 2_500
const largeBytes = 256 << 20
const chunk = randomBytes(1 << 20)

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** `writers` callers, each with one object of `size` bytes under way at a time, every one another. */
async function writeSmall(
  store: FolderStore,
  writers: number,
  size: number,
): Promise<{ readonly aSecond: number; readonly p99Ms: number; readonly delayP99Ms: number }> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  const latencies: Array<number> = []
  delays.enable()
  const startedMs = performance.now()
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const bytes = randomBytes(size)
      for (let i = 0; performance.now() - startedMs < runMs; i++) {
        bytes.writeUInt32LE(writer * 1e7 + i, 0)
        const sentMs = performance.now()
        await store.put(bytes)
        latencies.push(performance.now() - sentMs)
      }
    }),
  )
  delays.disable()
  const seconds = (performance.now() - startedMs) / 1_000
  latencies.sort((a, b) => a - b)
  return { aSecond: latencies.length / seconds, p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN, delayP99Ms: delays.percentile(99) / 1e6 }
}

/** The same bytes hashed, written and synced by hand, in MB/s. */
function rawLarge(path: string): number {
  const startedMs = performance.now()
  const file = openSync(path, "w")
  const hash = createHash("sha256")
  for (let at = 0; at < largeBytes; at += chunk.length) {
    hash.update(chunk)
    writeSync(file, chunk)
  }
  fdatasyncSync(file)
  closeSync(file)
  hash.digest()
  const rate = largeBytes / 1_000 / (performance.now() - startedMs)
  rmSync(path)
  return rate
}

interface Large {
  readonly writtenMBs: number
  readonly readMBs: number
  readonly rangeUs: number
}

async function storeLarge(store: FolderStore): Promise<Large> {
  const startedMs = performance.now()
  const upload = await store.upload()
  for (let at = 0; at < largeBytes; at += chunk.length) await upload.write(chunk)
  const { digest } = await upload.commit()
  const writtenMs = performance.now()
  for await (const _ of (await store.stream(digest)) ?? []);
  const readMs = performance.now()
  for (let i = 0; i < 200; i++) await store.read(digest, (i * 1_300_021) % largeBytes, ((i * 1_300_021) % largeBytes) + 1)
  const rangedMs = performance.now()
  await store.delete(digest)
  const rate = (fromMs: number, toMs: number): number => largeBytes / 1_000 / (toMs - fromMs)
  return { writtenMBs: rate(startedMs, writtenMs), readMBs: rate(writtenMs, readMs), rangeUs: ((rangedMs - readMs) * 1_000) / 200 }
}

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-object-"))
  try {
    await using store = await FolderStore.open(join(folder, "store"))
    const rows: Array<Row> = []
    for (const size of [1 << 10, 16 << 10]) {
      say(`64 writers of ${size} bytes…`)
      const { aSecond, p99Ms, delayP99Ms } = await writeSmall(store, 64, size)
      const targets = [
        { name: "objects/s", ratio: aSecond, atLeast: 5_000 },
        { name: "p99 ms", ratio: p99Ms, atMost: 30 },
      ]
      const note = `p99 ${p99Ms.toFixed(1)} ms, event loop p99 ${delayP99Ms.toFixed(1)} ms, ${((aSecond * size) / 1e6).toFixed(0)} MB/s`
      rows.push(figureRow(`Folder, 64 writers of ${size >> 10} KiB, durable`, "objects/s", aSecond, {}, size === 1 << 10 ? targets : [], note))
    }
    say("large…")
    const raw: Array<number> = []
    const ours: Array<Large> = []
    // In turns: a busy disk disturbs both alike.
    for (let round = 0; round < 3; round++) {
      raw.push(rawLarge(join(folder, "raw")))
      ours.push(await storeLarge(store))
    }
    const written = median(ours.map(({ writtenMBs }) => writtenMBs))
    const disk = median(raw)
    rows.push(
      figureRow("Folder, 256 MiB written, durable", "MB/s", written, { "sha256 + write + sync": disk }, [
        { name: "of the disk", ratio: written / disk, atLeast: 0.8 },
      ]),
    )
    rows.push(figureRow("Folder, 256 MiB read, each chunk and the whole verified", "MB/s", median(ours.map(({ readMBs }) => readMBs)), {}, []))
    rows.push(figureRow("Folder, 1 byte of 256 MiB, verified", "µs", median(ours.map(({ rangeUs }) => rangeUs)), {}, []))
    return rows
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
