/** What sealing costs: the same work on a store in memory, where nothing else takes time, and on SQLite, with and without. */
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { placeOf } from "../../runtime/port/place.ts"
import type { Store } from "../../runtime/port/store.ts"
import { Keyring, masterFrom, roomForSeals, sealed } from "../../runtime/storage/sealed/mod.ts"
import { run } from "../../runtime/storage/sealed/step.ts"
import { MemoryStore, SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import type { Row } from "./measure.ts"

const value = new Uint8Array(300).fill(7)
const runMs = 1_000

async function over(below: Store): Promise<Store> {
  const keyring = new Keyring(below, masterFrom(randomBytes(32)))
  await run(below, keyring.open(true))
  return sealed(below, keyring)
}

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
    say("SQLite…")
    await using file = await SqliteStore.open(join(folder, "plain.db"), limits)
    await using ownFile = await over(await SqliteStore.open(join(folder, "sealed.db"), limits))
    const [plainWrites, ownWrites] = [await writesASecond(file), await writesASecond(ownFile)]
    rows.push(row("SQLite, 64 writers, durable", "rows/s", ownWrites, plainWrites))
    return rows
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
