/** Entities served by one process: messages that took effect in a second, and how long one takes until its reply is there. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { EntityKind } from "../../runtime/port/entity.ts"
import type { Store } from "../../runtime/port/store.ts"
import { Entities } from "../../runtime/service/entity.ts"
import { PostgresStore } from "../../runtime/storage/postgres/mod.ts"
import { SqliteStore } from "../../runtime/storage/sqlite/mod.ts"
import { migrated, missing, startServer } from "../runtime/storage/postgres/server.ts"
import { type Row, summarize } from "./measure.ts"

/** Counts its messages. */
const counter: EntityKind<number> = {
  decode: (bytes) => new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0),
  encode(state) {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, state)
    return bytes
  },
  receive: (state = 0, { payload }) => ({ state: state + 1, reply: payload }),
}
const tenant = Buffer.from("bench")
const payload = new Uint8Array(200).fill(7)

interface Figures {
  readonly messagesASecond: number
  readonly cpuUs: number
  readonly replyMs: { readonly median: number; readonly p99: number }
}

async function figuresOf(store: Store, entities = 1_000, each = 10, asks = 200): Promise<Figures> {
  const counters = await Entities.open(store, "counter", { tenant })
  const end = new AbortController()
  const served = counters.serve(counter, { signal: end.signal, concurrency: 64 })
  const ids = Array.from({ length: entities }, (_, i) => `counter ${i}`)
  await counters.ask("first", payload)
  const fromMs = performance.now()
  const cpu = process.cpuUsage()
  for (let i = 0; i < each; i++) {
    const batches: Array<Promise<unknown>> = []
    for (let from = 0; from < ids.length; from += 100) batches.push(store.apply(ids.slice(from, from + 100).map((id) => counters.message(id, payload))))
    await Promise.all(batches)
  }
  // The last of each says that all before it took effect.
  await Promise.all(ids.map((id) => counters.ask(id, payload, { timeoutMs: 300_000 })))
  const seconds = (performance.now() - fromMs) / 1_000
  const { user, system } = process.cpuUsage(cpu)
  const times: Array<number> = []
  for (let i = 0; i < asks; i++) {
    const sentMs = performance.now()
    await counters.ask(ids[i % ids.length] as string, payload)
    times.push(performance.now() - sentMs)
  }
  end.abort()
  await served
  const messages = entities * (each + 1)
  return { messagesASecond: messages / seconds, cpuUs: (user + system) / messages, replyMs: summarize(times) }
}

const rowsOf = (where: string, { messagesASecond, cpuUs, replyMs }: Figures): ReadonlyArray<Row> => [
  {
    figure: `entities on ${where}: sent and taken by 1,000 entities, durable`,
    unit: "messages/s",
    ours: messagesASecond,
    peers: {},
    ratios: {},
    target: "",
    met: null,
    note: `${cpuUs.toFixed(0)} µs of this process's processor time a message`,
  },
  {
    figure: `entities on ${where}: from asking until the reply is there, one at a time`,
    unit: "ms",
    ours: replyMs.median,
    peers: {},
    ratios: {},
    target: "",
    met: null,
    p99: { ours: replyMs.p99 },
  },
]

export async function bench(say: (text: string) => void): Promise<ReadonlyArray<Row>> {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-entity-"))
  const rows: Array<Row> = []
  try {
    say("entities on SQLite…")
    await using store = await SqliteStore.open(join(folder, "entity.db"))
    rows.push(...rowsOf("SQLite", await figuresOf(store)))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const why = await missing()
  if (why !== undefined) return say(why) ?? rows
  const server = await startServer()
  try {
    say("entities on PostgreSQL…")
    const { service } = await migrated(server)
    await using store = await PostgresStore.open(service, { password: server.password })
    rows.push(...rowsOf("PostgreSQL", await figuresOf(store)))
    return rows
  } finally {
    await server.close()
  }
}
