/** What sealing costs: the same work on a store in memory, where nothing else takes time, and on SQLite, with and without. */
import { randomBytes } from "node:crypto"
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { placeOf } from "../../runtime/port/place.ts"
import type { Store } from "../../runtime/port/store.ts"
import { Keyring, masterFrom, roomForSeals, sealed, SealedObjects } from "../../runtime/storage/sealed/mod.ts"
import { run } from "../../runtime/storage/sealed/step.ts"
import { FolderStore } from "../../runtime/storage/folder/mod.ts"
import type { ObjectStore, Upload } from "../../runtime/port/object.ts"
import { MemoryStore, SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import type { Row } from "./measure.ts"

const value = new Uint8Array(300).fill(7)
const runMs = 1_000

async function keyed(below: Store, objects?: ObjectStore): Promise<Keyring> {
  const keyring = new Keyring(below, masterFrom(randomBytes(32)), objects)
  await run(below, keyring.open(true))
  return keyring
}

const over = async (below: Store): Promise<Store> => sealed(below, await keyed(below))

function aSecond(work: (i: number) => void): number {
  const startedMs = performance.now()
  let count = 0
  while (performance.now() - startedMs < runMs) for (let i = 0; i < 50; i++) work(count++)
  return (count * 1_000) / (performance.now() - startedMs)
}

/** 64 callers, each with one write under way at a time. */
async function writesASecond(store: Store): Promise<number> {
  const startedMs = performance.now()
  let count = 0
  await Promise.all(
    Array.from({ length: 64 }, async (_, writer) => {
      for (let i = 0; performance.now() - startedMs < runMs; i++, count++) await store.apply([{ op: "set", ...placeOf(`bench/${writer}-${i % 100}`), value }])
    }),
  )
  return (count * 1_000) / (performance.now() - startedMs)
}

/** The same with objects of 1 KiB, each linked. */
async function objectsASecond(put: (place: ReturnType<typeof placeOf>, bytes: Uint8Array) => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  let count = 0
  await Promise.all(
    Array.from({ length: 64 }, async (_, writer) => {
      for (let i = 0; performance.now() - startedMs < runMs; i++, count++) await put(placeOf(`bench/${writer}-${i % 100}`), randomBytes(1_024))
    }),
  )
  return (count * 1_000) / (performance.now() - startedMs)
}

const streamBytes = 256 << 20

/** MB/s of CPU time: of this process, which other work changes less than a clock on the wall. */
async function rateOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return streamBytes / (user + system)
}

async function uploaded(upload: Upload): Promise<string> {
  const piece = randomBytes(1 << 20)
  for (let at = 0; at < streamBytes; at += piece.length) await upload.write(piece)
  return (await upload.commit()).digest
}

async function read(pieces: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  for await (const _ of pieces ?? []);
}

/** Objects in folders beside stores of SQLite. */
async function objectRows(folder: string, say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const limits = roomForSeals({})
  const made = async (name: string) => {
    await mkdir(join(folder, name))
    return { store: await SqliteStore.open(join(folder, `${name}.db`), limits), objects: await FolderStore.open(join(folder, name)) }
  }
  say("objects…")
  const [plain, own] = [await made("plain-objects"), await made("sealed-objects")]
  const keyring = await keyed(own.store, own.objects)
  const [store, seals] = [sealed(own.store, keyring), new SealedObjects(keyring, own.objects)]
  try {
    const plainSmall = await objectsASecond(async (place, bytes) => {
      const { digest } = await plain.objects.put(bytes)
      await plain.store.apply([{ op: "link", ...place, digest: Buffer.from(digest, "hex"), bytes: bytes.length }])
    })
    const ownSmall = await objectsASecond(async (place, bytes) => {
      const { digest, keyId } = await seals.put(place, bytes)
      await store.apply([{ op: "link", ...place, digest: Buffer.from(digest, "hex"), bytes: bytes.length, keyId }])
    })
    const place = placeOf("bench/stream")
    let [plainDigest, digest] = ["", ""]
    const plainIn = await rateOf(async () => (plainDigest = await uploaded(await plain.objects.upload())))
    const ownIn = await rateOf(async () => (digest = await uploaded(await seals.upload(place))))
    const plainOut = await rateOf(async () => read(await plain.objects.stream(plainDigest)))
    const ownOut = await rateOf(async () =>
      read(await seals.stream({ ...place, digest: Buffer.from(digest, "hex"), bytes: streamBytes, revision: Number.MAX_SAFE_INTEGER })),
    )
    return [
      row("objects of 1 KiB put and linked, 64 writers, durable", "objects/s", ownSmall, plainSmall),
      row("256 MiB uploaded, by CPU time", "MB/s", ownIn, plainIn),
      row("256 MiB streamed, by CPU time", "MB/s", ownOut, plainOut),
    ]
  } finally {
    for (const { store: each, objects } of [plain, own]) {
      await objects.close()
      await each.close()
    }
  }
}

/** Jobs of 300 bytes enqueued ten at a time, leased and completed. */
const jobsASecond = (store: Store): number =>
  10 *
  aSecond(() => {
    const place = placeOf("bench/jobs")
    store.applySync([{ op: "enqueue", ...place, jobs: Array.from({ length: 10 }, () => ({ payload: value })) }])
    const [{ jobs }] = store.applySync([{ op: "lease", ...place, countMax: 10, leaseMs: 60_000 }])
    store.applySync([{ op: "complete", leases: jobs }])
  })

const row = (figure: string, unit: string, ours: number, plain: number): Row => ({
  figure,
  unit,
  ours,
  peers: { "not sealed": plain },
  ratios: { "of not sealed": ours / plain },
  target: "",
  met: null,
})

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-sealed-"))
  const limits = roomForSeals({})
  const set = (store: Store) => aSecond((i) => void store.applySync([{ op: "set", ...placeOf(`bench/${i % 1_000}`), value }]))
  const get = (store: Store) => aSecond((i) => void store.askSync({ ask: "get", ...placeOf(`bench/${i % 500}`) }))
  try {
    const rows: Array<Row> = []
    say("in memory…")
    await using plain = new MemoryStore(limits)
    await using own = await over(new MemoryStore(limits))
    const [plainSet, ownSet] = [set(plain), set(own)]
    rows.push(row("memory, one set after the other, 300 bytes", "sets/s", ownSet, plainSet))
    const [plainGet, ownGet] = [get(plain), get(own)]
    rows.push(row("memory, point reads of 300 bytes", "reads/s", ownGet, plainGet))
    const [plainJobs, ownJobs] = [jobsASecond(plain), jobsASecond(own)]
    rows.push(row("memory, jobs of 300 bytes enqueued, leased and completed, ten at a time", "jobs/s", ownJobs, plainJobs))
    say("SQLite…")
    await using file = await SqliteStore.open(join(folder, "plain.db"), limits)
    await using ownFile = await over(await SqliteStore.open(join(folder, "sealed.db"), limits))
    const [plainWrites, ownWrites] = [await writesASecond(file), await writesASecond(ownFile)]
    rows.push(row("SQLite, 64 writers, durable", "rows/s", ownWrites, plainWrites))
    rows.push(...(await objectRows(folder, say)))
    return rows
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
