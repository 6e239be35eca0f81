import { randomBytes } from "node:crypto"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { StoreLimitOptions } from "../../../../runtime/port/limits.ts"
import type { LeasedJob, NewJob } from "../../../../runtime/port/queue.ts"
import type { Operation, Question, Store } from "../../../../runtime/port/store.ts"
import { recordsOf } from "../../../../runtime/storage/record.ts"
import { digestOf } from "../../../../runtime/storage/queue-row.ts"
import { ringKey } from "../../../../runtime/storage/sealed/place.ts"
import { decodeRing, encodeRing } from "../../../../runtime/storage/sealed/ring.ts"
import * as Sealed from "../../../../runtime/storage/sealed/mod.ts"
import { idOf } from "../../../../runtime/storage/sealed/seal.ts"
import { MemoryStore, SqliteStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { type Clockwork, mondayUs, type QueueCase, queueCases } from "../queue-cases.ts"
import { raw } from "../suite/case.ts"
import { sealedOver } from "./backend.ts"
import { roomWithout } from "./room.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-sealed-job-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const { masterFrom, reseal, resealAll, rotate, rotateMaster, roomForSeals } = Sealed

const [ada, bob, mail] = ["ada", "bob", "mail"].map(raw) as [Uint8Array, Uint8Array, Uint8Array]
const at = { tenant: ada, key: mail }
const master = () => masterFrom(randomBytes(32))
const again = (store: Store, key: ReturnType<typeof master>) => sealedOver(store, key)
const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()
const codeOf = (run: () => Promise<unknown>): Promise<string> =>
  run().then(
    () => "answered",
    (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
  )
const enqueue = async (store: Store, payload: string, more: Partial<NewJob> = {}, tenant = ada) =>
  (await store.apply([{ op: "enqueue", tenant, key: mail, jobs: [{ payload: raw(payload), ...more }] }]))[0][0] as {
    readonly id: number
    readonly isNew: boolean
  }
const lease = async (store: Store, countMax = 100) => (await store.apply([{ op: "lease", key: mail, countMax, leaseMs: 60_000 }]))[0].jobs
const refOf = ({ tenant, key, id, token }: LeasedJob) => ({ tenant, key, id, token })
const complete = (store: Store, jobs: ReadonlyArray<LeasedJob>) => store.apply([{ op: "complete", leases: jobs.map(refOf) }])
const payloads = (jobs: ReadonlyArray<{ readonly payload: Uint8Array }>): ReadonlyArray<string> => jobs.map(({ payload }) => textOf(payload))
/** Ids of the keys by which a tenant's jobs and schedules are sealed. */
const keyIds = async (below: Store, tenant = ada): Promise<ReadonlyArray<string>> => {
  const found = new Set<string>()
  for await (const { fields } of recordsOf(below, tenant, "queue"))
    if (fields["payload"] instanceof Uint8Array) found.add(Buffer.from(idOf(fields["payload"]) ?? "plain").toString("hex"))
  return [...found]
}

/** Quotas count sealed bytes: what would fit once fits once. */
function roomFor(limits: StoreLimitOptions): StoreLimitOptions {
  const room = roomForSeals(limits)
  const { tenantBytesMax, totalBytesMax } = limits.queue ?? {}
  const more = (most: number | undefined, name: string) => (most === undefined ? {} : { [name]: most + Sealed.sealBytes })
  return { ...room, queue: { ...room.queue, ...more(tenantBytesMax, "tenantBytesMax"), ...more(totalBytesMax, "totalBytesMax") } }
}

/** A sealed store in memory whose clock the case sets; opened again, it is another process's. */
async function clockwork({ limits = {} }: QueueCase): Promise<Clockwork & { readonly store: Store }> {
  const key = master()
  const below = new MemoryStore({ ...roomFor(limits), clock: () => opened.nowUs })
  const rings = await Promise.all(Array.from({ length: 8 }, () => sealedOverUnmade(below, key, limits)))
  const opened = {
    nowUs: mondayUs,
    get store() {
      return rings[0] as Store
    },
    apply: (batch: ReadonlyArray<Operation>) => (rings[0] as Store).applySync(batch),
    ask: (question: Question) => (rings[0] as Store).askSync(question),
    reopen: () => void rings.shift(),
  }
  return opened as unknown as Clockwork & { readonly store: Store }
}
const sealedOverUnmade = async (below: Store, key: ReturnType<typeof master>, limits: StoreLimitOptions): Promise<Store> =>
  Sealed.sealed(below, new Sealed.Keyring(below, key), limits)

for (const each of queueCases)
  t.test(`sealed: ${each.title}`, async (t) => {
    const clock = await clockwork(each)
    t.doesNotThrow(() => each.run(clock))
    t.same(await clock.store.check(), [])
  })

t.test("no payload, no word of a failed attempt and no digest of either is in the files; names are", async (t) => {
  const path = join(folder, "clear.db")
  const { store } = await sealedOver(await SqliteStore.open(path, roomForSeals({})))
  const words = ["write to grandmother", "every day at noon", "the post office is closed"]
  const job = { payload: raw(words[0] as string), idempotencyKey: "letter", orderKey: "post" }
  await store.apply([{ op: "enqueue", ...at, jobs: [job] }])
  await store.apply([{ op: "schedule", ...at, schedule: { name: "daily", everyMs: 86_400_000, job: { payload: raw(words[1] as string) } } }])
  const [held] = await lease(store)
  await store.apply([{ op: "fail", ...refOf(held as LeasedJob), error: words[2] as string, isFinal: true }])
  t.equal((await store.ask({ ask: "job", ...at, id: (held as LeasedJob).id }))?.error, words[2])
  t.equal((await store.ask({ ask: "dead", ...at, after: 0, countMax: 9 }))[0]?.error, words[2])
  t.same(payloads((await store.ask({ ask: "schedules", ...at })).map(({ schedule }) => schedule.job)), [words[1]])
  await store.close()
  const found = Buffer.concat(await Promise.all((await readdir(folder)).filter((name) => name.startsWith("clear")).map((name) => readFile(join(folder, name)))))
  for (const word of [...words.map(raw), digestOf(job)]) t.equal(found.includes(word), false, textOf(word))
  for (const word of ["letter", "post", "daily", "mail"]) t.equal(found.includes(word), true, word)
})

t.test("a job that was changed, or moved to another queue or tenant, is dead and says why; other jobs are given out", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const { store } = await sealedOver(below)
  const ids: Array<number> = []
  for (const payload of ["one", "two", "three", "four"]) ids.push((await enqueue(store, payload)).id)
  await enqueue(store, "bob's", {}, bob)
  await store.apply([{ op: "enqueue", tenant: ada, key: raw("other"), jobs: [{ payload: raw("of another queue") }] }])
  const rows = await Array.fromAsync(recordsOf(below, ada, "queue"))
  const [theirs] = await Array.fromAsync(recordsOf(below, bob, "queue"))
  const others = rows.find(({ order }) => textOf(order.subarray(5)).startsWith("other"))
  const rewrite = async (index: number, to: Uint8Array): Promise<void> => {
    const { order, fields } = rows.filter((each) => each !== others)[index] as (typeof rows)[number]
    t.same(await below.apply([{ op: "rewrite", tenant: ada, table: "queue", order, field: "payload", from: fields["payload"] as Uint8Array, to }]), [true])
  }
  const flipped = Uint8Array.from((rows.filter((each) => each !== others)[0] as (typeof rows)[number]).fields["payload"] as Uint8Array)
  flipped[40] = (flipped[40] as number) ^ 1
  await rewrite(0, flipped)
  await rewrite(1, theirs?.fields["payload"] as Uint8Array)
  await rewrite(2, others?.fields["payload"] as Uint8Array)
  t.equal((await store.check()).length, 3)
  t.same(payloads(await lease(store)).toSorted(), ["bob's", "four"])
  t.same(await lease(store), [])
  t.same(await store.ask({ ask: "queue", key: mail, tenant: ada }).then(({ dead, leased }) => [dead, leased]), [3, 1])
  t.equal(await codeOf(() => store.ask({ ask: "job", ...at, id: ids[0] as number })), "STELE-STO-0070")
  t.match((await below.ask({ ask: "job", ...at, id: ids[1] as number }))?.error, /does not open: STELE-STO-0071/)
  for (const id of ids.slice(0, 3)) t.same(await store.apply([{ op: "cancel", ...at, id }]), [true])
  t.same(await store.check(), [])
})

t.test("what a failed attempt said opens for its job alone", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const { store } = await sealedOver(below)
  for (const payload of ["one", "two"]) await enqueue(store, payload)
  for (const job of await lease(store)) await store.apply([{ op: "fail", ...refOf(job), error: `of ${textOf(job.payload)}`, isFinal: true }])
  const [one, two] = await Array.fromAsync(recordsOf(below, ada, "queue"))
  const [from, to] = [one?.fields["error"], two?.fields["error"]] as [Uint8Array, Uint8Array]
  await below.apply([{ op: "rewrite", tenant: ada, table: "queue", order: one?.order as Uint8Array, field: "error", from, to }])
  t.equal(await codeOf(() => store.ask({ ask: "dead", ...at, after: 0, countMax: 9 })), "STELE-STO-0070")
  t.equal((await store.check()).length, 1)
})

t.test("jobs, dead ones and schedules are sealed anew after a rotation, in whatever state; the same idempotency key stays the same job", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const key = master()
  const { store, keyring } = await sealedOver(below, key)
  const jobs = await Promise.all(["a", "b", "c", "d"].map((payload) => enqueue(store, payload, { idempotencyKey: payload, attemptsMax: 2 })))
  await store.apply([{ op: "schedule", ...at, schedule: { name: "s", everyMs: 3_600_000, job: { payload: raw("tick") } } }])
  const [a, b, c] = (await lease(store, 3)) as [LeasedJob, LeasedJob, LeasedJob]
  await complete(store, [a])
  await store.apply([{ op: "fail", ...refOf(b), error: "no stamp", isFinal: true }])
  const [old] = await keyIds(below)
  await rotate(keyring, ada)
  // b's payload and error, c's, d's, and the schedule's.
  t.equal(await reseal(keyring, ada, 2), 5)
  const ids = await keyIds(below)
  t.equal(ids.length, 1)
  t.not(ids[0], old)
  t.equal(keyring.cached(ada)?.ring.keys.length, 1)
  for (const each of [store, (await again(below, key)).store]) {
    t.same(await each.check(), [])
    t.same(
      (await each.ask({ ask: "dead", ...at, after: 0, countMax: 9 })).map(({ payload, error }) => [textOf(payload), error]),
      [["b", "no stamp"]],
    )
    t.same(payloads((await each.ask({ ask: "schedules", ...at })).map(({ schedule }) => schedule.job)), ["tick"])
    for (const [i, payload] of ["a", "b", "c", "d"].entries())
      t.same(await enqueue(each, payload, { idempotencyKey: payload }), { id: jobs[i]?.id, isNew: false })
    t.equal(await codeOf(() => enqueue(each, "another", { idempotencyKey: "a" })), "STELE-STO-0051")
    t.equal(await codeOf(() => enqueue(each, "a", { idempotencyKey: "a", orderKey: "o" })), "STELE-STO-0051")
  }
  await complete(store, [c])
  t.same(payloads(await lease(store)), ["d"])
})

t.test("jobs from before are worked on, schedules from before make jobs, and an equal job is the same one; then nothing plain is taken", async (t) => {
  for (const isResealed of [false, true]) {
    let nowUs = mondayUs
    const below = new MemoryStore({ ...roomForSeals({}), clock: () => nowUs })
    const key = master()
    const done = await enqueue(below, "done", { idempotencyKey: "done" })
    await complete(below, await lease(below))
    const first = await enqueue(below, "before", { idempotencyKey: "k" })
    await below.apply([{ op: "schedule", ...at, schedule: { name: "s", everyMs: 120_000, job: { payload: raw("tick") } } }])
    const { store, keyring } = await sealedOver(below, key)
    if (isResealed) await resealAll(keyring)
    t.same(await enqueue(store, "before", { idempotencyKey: "k" }), { id: first.id, isNew: false })
    t.same(await enqueue(store, "done", { idempotencyKey: "done" }), { id: done.id, isNew: false })
    t.equal(await codeOf(() => enqueue(store, "other", { idempotencyKey: "done" })), "STELE-STO-0051")
    nowUs += 130_000_000
    t.same(payloads(await lease(store)).toSorted(), ["before", "tick"])
    await resealAll(keyring)
    t.same(await store.check(), [])
    t.same(await enqueue(store, "done", { idempotencyKey: "done" }), { id: done.id, isNew: false })
    for await (const { fields } of recordsOf(below, ada, "queue")) if ("digest" in fields) t.equal((fields["digest"] as Uint8Array).length, 33)
    await enqueue(below, "by a process without the key")
    t.same(payloads(await lease(store)), [])
  }
})

t.test("keys from a time without fingerprints open, and get theirs with the first job that wants one", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const key = master()
  const { keyring } = await sealedOver(below, key)
  const { ring } = (await Sealed.rotate(keyring, ada).then(() => keyring.cached(ada))) as NonNullable<ReturnType<typeof keyring.cached>>
  const old = encodeRing({ ...ring, print: undefined })
  t.equal(old[0], 1)
  t.equal(decodeRing(old)?.print, undefined)
  const value = keyring.wrap({ tenant: ada, key: ringKey }, old)
  await below.apply([{ op: "set", tenant: ada, key: ringKey, value }])
  const { store, keyring: other } = await again(below, key)
  await enqueue(store, "without")
  t.equal(other.cached(ada)?.ring.print, undefined)
  const { id } = await enqueue(store, "with", { idempotencyKey: "k" })
  t.equal(other.cached(ada)?.ring.print?.length, 32)
  t.same(await enqueue((await again(below, key)).store, "with", { idempotencyKey: "k" }), { id, isNew: false })
  t.same(payloads(await lease(store)), ["without", "with"])
})

t.test("a process that has not the newest master key gives jobs back, and no attempt counts", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const [before, after] = [master(), master()]
  const { store } = await sealedOver(below, before)
  await enqueue(store, "a job", { attemptsMax: 1 })
  const outdated = await again(below, before)
  const { keyring } = await again(below, before)
  await rotateMaster(keyring, after)
  await rotate(keyring, ada)
  await reseal(keyring, ada)
  for (let i = 0; i < 3; i++) t.equal(await codeOf(() => lease(outdated.store)), "STELE-STO-0071")
  const [, { jobs }] = await outdated.store.apply([
    { op: "delete", ...at },
    { op: "lease", key: mail, countMax: 9, leaseMs: 60_000 },
  ])
  t.same(jobs, [], "what the batch did beside stands, and no job is held")
  t.same(payloads(await lease((await again(below, after)).store)), ["a job"])
})

/** The store below, which does something once, after an answer to what `when` says. */
function after(store: Store, when: (step: Operation | Question) => boolean, work: () => Promise<unknown>): Store {
  let isDone = false
  const then = async <A>(steps: ReadonlyArray<Operation | Question>, answer: A): Promise<A> => {
    if (isDone || !steps.some(when)) return answer
    isDone = true
    await work()
    return answer
  }
  const own: Pick<Store, "apply" | "ask"> = {
    apply: async (batch) => then(batch, await store.apply(batch)),
    ask: async (question) => then([question], await store.ask(question)),
  }
  return new Proxy(store, {
    get(target, name) {
      const found: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
      return typeof found === "function" ? found.bind(target) : found
    },
  })
}

/** Jobs that a lease gives out whose key goes between the lease and the reading of the keys. */
async function overtakenLease(room: typeof Sealed): Promise<ReadonlyArray<string>> {
  const below = new MemoryStore(roomForSeals({}))
  const key = master()
  const made = (store: Store) => {
    const keyring = new room.Keyring(store, key)
    return { store: room.sealed(store, keyring), keyring }
  }
  const writer = made(below)
  await enqueue(writer.store, "a job")
  const worker = made(
    after(
      below,
      (step) => "op" in step && step.op === "lease",
      async () => {
        await room.rotate(writer.keyring, ada)
        await room.reseal(writer.keyring, ada)
      },
    ),
  )
  return payloads(await lease(worker.store))
}

/** Jobs of a schedule that comes due while its tenant's jobs are sealed anew. */
async function dueWhileResealed(room: typeof Sealed): Promise<ReadonlyArray<string>> {
  let nowUs = mondayUs
  const below = new MemoryStore({ ...roomForSeals({}), clock: () => nowUs })
  const key = master()
  const writer = new room.Keyring(below, key)
  const store = room.sealed(below, writer)
  await store.apply([{ op: "schedule", ...at, schedule: { name: "s", everyMs: 120_000, job: { payload: raw("tick") } } }])
  await enqueue(store, "a job")
  const isOfJobs = (step: Operation | Question): boolean => "ask" in step && step.ask === "export" && step.table === "queue" && step.after === undefined
  const keeper = new room.Keyring(
    after(below, isOfJobs, async () => {
      nowUs += 130_000_000
      // What has come due is made ready with a lease, whoever's: nothing is taken.
      await below.apply([{ op: "lease", key: mail, countMax: 1, leaseMs: 1 }])
      nowUs += 10_000_000
    }),
    key,
  )
  await room.rotate(keeper, ada)
  await room.reseal(keeper, ada)
  const found: Array<string> = []
  // One that was held is tried again after a wait.
  for (let i = 0; i < 3; i++, nowUs += 10_000_000) found.push(...payloads(await lease(room.sealed(below, new room.Keyring(below, key)))))
  return found.toSorted()
}

/** The keys that a job is sealed by, when they were exchanged since the process read them. */
async function lateJob(room: typeof Sealed): Promise<ReadonlyArray<string>> {
  const below = new MemoryStore(roomForSeals({}))
  const key = master()
  const [one, other] = [new room.Keyring(below, key), new room.Keyring(below, key)]
  await enqueue(room.sealed(below, other), "early")
  await room.rotate(one, ada)
  await room.reseal(one, ada)
  await enqueue(room.sealed(below, other), "late")
  return payloads(await lease(room.sealed(below, one))).toSorted()
}

t.test(
  "a reseal loses no job: not one that is leased meanwhile, not one that a schedule makes meanwhile, not one of a process that knows old keys",
  async (t) => {
    t.same(await overtakenLease(Sealed), ["a job"])
    t.same(await dueWhileResealed(Sealed), ["a job", "tick"])
    t.same(await lateJob(Sealed), ["early", "late"])
    const without = (file: string, from: string, to: string) => roomWithout(folder, file, from, to)
    t.same(await overtakenLease(await without("job.ts", "attempt >= rereadsMax) throw error", "attempt >= 0) throw error")), [])
    t.same(await dueWhileResealed(await without("reseal.ts", "isOf: isSchedule, after: jobsEnd }, { table", "isOf: () => false, after: jobsEnd }, { table")), [
      "a job",
    ])
    t.same(
      await lateJob(
        await without("batch.ts", "depend({ tenant, key: ringKey }, held?.version)", "if (held === undefined) depend({ tenant, key: ringKey }, undefined)"),
      ),
      ["early"],
    )
  },
)

t.test("without the place beside a payload, one of another queue is given out", async (t) => {
  const moved = async (room: typeof Sealed): Promise<ReadonlyArray<string>> => {
    const below = new MemoryStore(roomForSeals({}))
    const store = room.sealed(below, new room.Keyring(below, master()))
    await enqueue(store, "ours")
    await store.apply([{ op: "enqueue", tenant: ada, key: raw("post"), jobs: [{ payload: raw("theirs") }] }])
    const [ours, theirs] = await Array.fromAsync(recordsOf(below, ada, "queue"))
    const [from, to] = [ours?.fields["payload"], theirs?.fields["payload"]] as [Uint8Array, Uint8Array]
    await below.apply([{ op: "rewrite", tenant: ada, table: "queue", order: ours?.order as Uint8Array, field: "payload", from, to }])
    return payloads(await lease(store))
  }
  t.same(await moved(Sealed), [])
  t.same(await moved(await roomWithout(folder, "seal.ts", "at += 4 + part.length", "at += 4 + part.length\n    bytes.fill(0)")), ["theirs"])
})

t.test("exported and imported through the layer, jobs are sealed by the other store's keys, and equal ones are the same there", async (t) => {
  const [from, to] = await Promise.all([sealedOver(new MemoryStore(roomForSeals({}))), sealedOver(new MemoryStore(roomForSeals({})))])
  const { id } = await enqueue(from.store, "a job", { idempotencyKey: "k" })
  await failed(from.store)
  const revision = await from.store.ask({ ask: "revision", tenant: ada })
  for await (const record of recordsOf(from.store, ada, "queue")) await to.store.apply([{ op: "import", tenant: ada, table: "queue", record, revision }])
  t.same(await enqueue(to.store, "a job", { idempotencyKey: "k" }), { id, isNew: false })
  t.same(
    (await to.store.ask({ ask: "dead", ...at, after: 0, countMax: 9 })).map(({ payload, error }) => [textOf(payload), error]),
    [["a job", "no stamp"]],
  )
  t.same(await to.store.check(), [])
})
const failed = async (store: Store): Promise<void> => {
  for (const job of await lease(store)) await store.apply([{ op: "fail", ...refOf(job), error: "no stamp", isFinal: true }])
}

t.test("processes that rotate, seal anew and enqueue at once lose no job and run none twice", async (t) => {
  const below = new MemoryStore(roomForSeals({}))
  const key = master()
  const processes = await Promise.all([again(below, key), again(below, key), again(below, key), again(below, key)])
  const ended = { enqueuing: false }
  const [one, two, three, four] = processes as [(typeof processes)[number], (typeof processes)[number], (typeof processes)[number], (typeof processes)[number]]
  const done: Array<string> = []
  const rotating = [one, two].map(async ({ keyring }) => {
    while (!ended.enqueuing) {
      await rotate(keyring, ada)
      await reseal(keyring, ada, 7)
      await new Promise((resume) => setImmediate(resume))
    }
  })
  const enqueuing = (async () => {
    for (let i = 0; i < 150; i++) {
      await enqueue(three.store, `job ${i}`, i % 3 === 0 ? { idempotencyKey: `k${i}` } : {})
      if (i % 3 === 0) t.equal((await enqueue(three.store, `job ${i}`, { idempotencyKey: `k${i}` })).isNew, false)
      await new Promise((resume) => setImmediate(resume))
    }
    ended.enqueuing = true
  })()
  const working = (async () => {
    while (done.length < 150) {
      const jobs = await lease(four.store, 5)
      done.push(...payloads(jobs))
      if (jobs.length > 0) await complete(four.store, jobs)
      await new Promise((resume) => setImmediate(resume))
    }
  })()
  await Promise.all([...rotating, enqueuing, working])
  t.equal(new Set(done).size, 150)
  t.equal(done.length, 150)
  t.equal((await below.ask({ ask: "queue", key: mail, tenant: ada })).dead, 0)
})
