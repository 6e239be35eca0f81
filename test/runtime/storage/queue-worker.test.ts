import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { LeasedJob } from "../../../runtime/port/queue.ts"
import { work } from "../../../runtime/service/queue.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { queueTestLimits } from "./queue-limits.ts"
import { isFull, seed } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-worker-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const program = fileURLToPath(new URL("queue-program.ts", import.meta.url))
const key = Buffer.from("mail")
const ada = { tenant: Buffer.from("ada"), key }
const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString())
const enqueue = (store: SqliteStore, ...names: ReadonlyArray<string>) =>
  store.apply([{ op: "enqueue", ...ada, jobs: names.map((name) => ({ payload: bytes(name), backoffMs: 1 })) }])

t.test("`work()` completes each job together with what its handler wants written, and tries again what failed", async (t) => {
  await using store = await SqliteStore.open(newPath())
  await enqueue(store, "a", "b", "c", "d")
  const stop = new AbortController()
  const attempts: Record<string, number> = {}
  const report = await work(
    store,
    "mail",
    async (job) => {
      const name = textOf(job.payload) as string
      attempts[name] = (attempts[name] ?? 0) + 1
      if (name === "b" && job.attempt < 3) throw new Error("not yet")
      // The last attempt of the last job ends the worker.
      if (name === "b") stop.abort()
      return [{ op: "increment", tenant: job.tenant, key: bytes("count"), delta: 1n, min: 0n, max: 10n }]
    },
    { signal: stop.signal, concurrency: 2, pollMsMax: 5 },
  )
  t.same(report, { completed: 4, failed: 2, lost: 0 })
  t.same(attempts, { a: 1, b: 3, c: 1, d: 1 })
  t.equal(textOf(store.askSync({ ask: "get", tenant: ada.tenant, key: bytes("count") })?.value), "4")
  t.same(store.reader.check(), [])
})

t.test("`work()` keeps the lease of a job that runs longer than it, and holds no more jobs than it works on", async (t) => {
  await using store = await SqliteStore.open(newPath())
  await enqueue(store, "1", "2", "3")
  const stop = new AbortController()
  let now = 0
  let most = 0
  const report = await work(
    store,
    "mail",
    async (job) => {
      most = Math.max(most, ++now)
      const { leased } = store.askSync({ ask: "queue", key })
      t.ok(leased <= 2, `${leased} held`)
      await new Promise((resume) => setTimeout(resume, 1_300))
      now--
      if (textOf(job.payload) === "3") stop.abort()
    },
    { signal: stop.signal, concurrency: 2, leaseMs: 900, pollMsMax: 5 },
  )
  t.same(report, { completed: 3, failed: 0, lost: 0 })
  t.equal(most, 2)
})

t.test("`work()` gives back what does not end in time, and a handler hears that its lease is lost", async (t) => {
  await using store = await SqliteStore.open(newPath())
  await enqueue(store, "slow")
  const stop = new AbortController()
  const reasons: Array<string> = []
  const never = async (_: LeasedJob, signal: AbortSignal): Promise<void> => {
    stop.abort()
    await once(signal, "abort")
    reasons.push((signal.reason as Error).name)
  }
  t.same(await work(store, "mail", never, { signal: stop.signal, graceMs: 20 }), { completed: 0, failed: 0, lost: 0 })
  const [{ jobs }] = await store.apply([{ op: "lease", key, countMax: 1, leaseMs: 1_000 }])
  t.equal(jobs[0]?.attempt, 1, "given back, and not counted")
  await store.apply([{ op: "release", leases: jobs.map(({ tenant, key, id, token }) => ({ tenant, key, id, token })) }])
  const stopLater = new AbortController()
  const cancelled = async (job: LeasedJob, signal: AbortSignal): Promise<void> => {
    await store.apply([{ op: "cancel", ...ada, id: job.id }])
    await once(signal, "abort")
    reasons.push((signal.reason as { readonly code: string }).code)
    stopLater.abort()
  }
  t.same(await work(store, "mail", cancelled, { signal: stopLater.signal, leaseMs: 60, pollMsMax: 5 }), { completed: 0, failed: 0, lost: 1 })
  t.same(reasons, ["AbortError", "STELE-STO-0050"])
})

t.test("`work()` ends with the error of a store that is closed below it", async (t) => {
  const store = await SqliteStore.open(newPath())
  const working = work(store, "mail", async () => {}, { signal: new AbortController().signal, pollMsMax: 5 })
  const ended = t.rejects(working, { code: "STELE-STO-0010" })
  await store.close()
  await ended
})

t.test("no job is lost or done twice, and none before its turn, when workers are killed and stopped past their leases", async (t) => {
  const path = newPath()
  const count = isFull ? 10_000 : 1_000
  t.comment(`seed ${seed}`)
  let state = seed
  const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
  {
    await using store = await SqliteStore.open(path, queueTestLimits)
    for (let from = 0; from < count; from += 500)
      await store.apply([
        {
          op: "enqueue",
          ...ada,
          // One half in order within eight keys.
          jobs: Array.from({ length: Math.min(500, count - from) }, (_, i) => ({
            payload: bytes(String(from + i)),
            attemptsMax: 1_000,
            backoffMs: 5,
            backoffMsMax: 20,
            ...((from + i) % 2 === 0 ? {} : { orderKey: `key ${(from + i) % 16}` }),
          })),
        },
      ])
  }
  const workers = new Map<ChildProcess, Promise<unknown>>()
  let lost = 0
  const begin = (): void => {
    const child = spawn(process.execPath, [program, "work", path], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    workers.set(
      child,
      once(child, "close").then(() => {
        if (said !== "") lost += (JSON.parse(said) as { readonly lost: number }).lost
        workers.delete(child)
      }),
    )
  }
  for (let i = 0; i < 3; i++) begin()
  await using store = await SqliteStore.open(path, queueTestLimits)
  const left = (): number => {
    const { ready, waiting, blocked, leased } = store.askSync({ ask: "queue", key })
    return ready + waiting + blocked + leased
  }
  const counts = { killed: 0, stopped: 0 }
  for (let before = left(); before > 0;) {
    await new Promise((resume) => setTimeout(resume, 50 + random() * 150))
    const now = left()
    const child = [...workers.keys()][Math.floor(random() * workers.size)]
    // A machine so slow that no worker gets to work before it is killed would never be done.
    if (child === undefined || now === 0 || before - now < 5) {
      if (now === 0) break
      continue
    }
    before = now
    if (random() < 0.5) {
      child.kill("SIGKILL")
      counts.killed++
      await workers.get(child)
      begin()
    } else {
      child.kill("SIGSTOP")
      counts.stopped++
      setTimeout(() => child.kill("SIGCONT"), 500)
    }
  }
  // The stopped ones go on, find their leases lost, and end.
  await new Promise((resume) => setTimeout(resume, 600))
  for (const child of workers.keys()) child.kill("SIGTERM")
  await Promise.all(workers.values())
  const done: Array<number> = []
  for (const topic of ["free", ...Array.from({ length: 8 }, (_, i) => `key ${2 * i + 1}`)]) {
    const { events, lost } = store.askSync({ ask: "events", tenant: ada.tenant, key: bytes(topic), after: 0n, countMax: count })
    t.equal(lost, 0n)
    const found = events.map(({ payload }) => Number(textOf(payload)))
    if (topic !== "free")
      t.same(
        found,
        found.toSorted((a, b) => a - b),
        `in the order of ${topic}`,
      )
    done.push(...found)
  }
  t.equal(done.length, count, "none twice")
  t.equal(new Set(done).size, count, "none lost")
  t.same(store.reader.check(), [])
  t.comment(`${count} jobs, ${counts.killed} workers killed, ${counts.stopped} stopped, ${lost} leases lost`)
  t.ok(counts.killed + counts.stopped > 0)
})
