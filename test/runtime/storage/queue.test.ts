import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { parse } from "effect/Cron"
import * as CronOracle from "effect/Cron"
import { getOrThrow } from "effect/Result"
import t from "tap"
import { storeLimitsFrom } from "../../../runtime/port/limits.ts"
import type { LeasedJob } from "../../../runtime/port/queue.ts"
import type { Finding, Operation } from "../../../runtime/port/store.ts"
import { nextOf, parseCron } from "../../../runtime/storage/cron.ts"
import { backoffMsOf, rankOf } from "../../../runtime/storage/queue.ts"
import * as real from "../../../runtime/storage/sqlite/mod.ts"
import { mutant } from "./mutant.ts"
import { type Clockwork, enqueue, lease, mondayUs, placeOf, type QueueCase, queueCases, queueKey, refOf, textOf } from "./queue-cases.ts"
import { isFull, sampled, seed } from "../../seed.ts"

t.setTimeout(600_000)
/** Rules are tested here and not disks: in memory, where there is such a folder. */
const folder = await mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "stele-queue-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0

type Sources = typeof real

/** A store of these sources in a new file, its clock set by hand. */
function open(
  { SqliteWriter, SqliteReader }: Sources,
  limits: QueueCase["limits"] = {},
): Clockwork & { check(): ReadonlyArray<Finding>; close(): void; readonly path: string } {
  const path = join(folder, `${files++}.db`)
  const made = () => SqliteWriter.open(path, { acceptLoss: false, limits: storeLimitsFrom(limits), clock: () => opened.nowUs })
  const opened = {
    path,
    nowUs: mondayUs,
    apply(batch: ReadonlyArray<Operation>) {
      const [outcome] = writer.commit([batch])
      if (outcome === undefined || "error" in outcome) throw outcome?.error ?? new Error("no outcome")
      return outcome.answers
    },
    ask: (question: never) => reader.ask(question),
    reopen() {
      opened.close()
      writer = made()
      reader = new SqliteReader(path, () => opened.nowUs)
    },
    check: () => reader.check(),
    close() {
      reader.close()
      writer.close()
    },
  }
  let writer = made()
  let reader = new SqliteReader(path, () => opened.nowUs)
  return opened as unknown as ReturnType<typeof open>
}

function runCase(sources: Sources, { limits, run }: QueueCase): void {
  const store = open(sources, limits)
  try {
    run(store)
    const findings = store.check()
    if (findings.length > 0) throw new Error(JSON.stringify(findings))
  } finally {
    store.close()
  }
}

for (const each of queueCases) t.test(each.title, async (t) => void t.doesNotThrow(() => runCase(real, each)))

const mutations: ReadonlyArray<readonly [rule: string, file: string, from: string, to: string]> = [
  ["fencing of complete", "sqlite/queue.ts", "AND token = ? AND state = 3 RETURNING", "AND ? IS NOT NULL RETURNING"],
  ["fencing of extend, fail and release", "sqlite/queue.ts", "row.state !== stateOf.leased || row.token !== ref.token", "row.state !== stateOf.leased"],
  ["the end of a lease", "sqlite/queue-lease.ts", "WHERE lane = ? AND wake_us <= ? ORDER", "WHERE lane = ? AND state = 1 AND wake_us <= ? ORDER"],
  ["an attempt counted at the lease", "sqlite/queue-lease.ts", "attempts: attempt, wakeUs", "attempts: 0, wakeUs"],
  ["idempotency", "sqlite/queue.ts", "if (idempotencyKey === undefined) return", "if (idempotencyKey !== null) return"],
  ["the payload behind an idempotency key", "sqlite/queue-schedule.ts", "if (!Buffer.from(row.digest).equals(digestOf(job)))", "if (row.digest.length === 0)"],
  ["an idempotency key kept with its job", "sqlite/queue-schedule.ts", "if (jobs.get(lane, row.job) === undefined) {", "if (row.job > 0) {"],
  ["idempotency keys forgotten", "sqlite/queue.ts", "forget(jobs, 2 * given.length)", "forget(jobs, 0)"],
  ["order of a key", "sqlite/queue-job.ts", "if (orderKey === null) return false", "if (orderKey !== undefined) return false"],
  ["the tenant of a lane", "sqlite/queue-lane.ts", "FROM queue_lane WHERE tenant = ? AND key = ?", "FROM queue_lane WHERE ? IS NOT NULL AND key = ?"],
  ["turns of tenants", "sqlite/queue-lane.ts", "ORDER BY turn, id LIMIT ?", "ORDER BY id LIMIT ?"],
  ["the end of the ring", "sqlite/queue-lease.ts", "lanes.toEnd(order", "void (order"],
  [
    "waking by lanes",
    "sqlite/queue-lane.ts",
    "AND ready = 0 AND wake_us <= ? ORDER BY wake_us LIMIT ?",
    "AND ready = 0 AND wake_us <= ? ORDER BY wake_us LIMIT min(1, ?)",
  ],
  ["a queue whose time has come", "sqlite/queue-lane.ts", "(ready > 0 OR wake_us <= ?4)", "(ready > 0 OR wake_us < min(0, ?4))"],
  ["aging", "storage/queue.ts", "dueUs - priority * priorityAgingMs * 1_000", "dueUs - priority * 1e15"],
  ["priority", "storage/queue.ts", "dueUs - priority * priorityAgingMs * 1_000", "dueUs"],
  ["backoff", "storage/queue.ts", "2 ** Math.min(40, Math.max(0, job.attempts - 1))", "1"],
  [
    "schedules after downtime",
    "storage/queue.ts",
    'if (missed === "once") return { timesUs: newest, nextUs }',
    'if (missed === "once") return { timesUs: [], nextUs }',
  ],
  ["catching up no more than allowed", "storage/queue.ts", "times.slice(-limits.catchUpMax), nextUs", "times, nextUs"],
  ["a schedule's next time", "sqlite/queue-lease.ts", "next(nextUs)", "void nextUs"],
  ["a store's time", "sqlite/writer.ts", "Math.max(nowUs, last.committedUs)", "nowUs"],
  ["sums of jobs", "sqlite/queue-job.ts", "this.total(lane, 0, 0, old.sum ^ sum)", ""],
]

t.test("a source with one rule taken out does not pass", async (t) => {
  const module = new URL("../../../runtime/storage/sqlite/mod.ts", import.meta.url)
  for (const [rule, file, from, to] of sampled(mutations, 4)) {
    const sources = await mutant<Sources>(module, file, from, to)
    const outcomes = new Set<boolean>()
    for (const each of queueCases) {
      try {
        runCase(sources, each)
        outcomes.add(true)
      } catch {
        outcomes.add(false)
      }
      // One that fails everywhere does not miss a rule, it does not work.
      if (outcomes.size === 2) break
    }
    t.equal(outcomes.size, 2, rule)
  }
})

t.test("`nextOf()` agrees with effect/Cron over random times and fields", async (t) => {
  const random = randomFrom(seed)
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)] as A
  for (let i = 0; i < (isFull ? 20_000 : 1_000); i++) {
    const field = (min: number, max: number): string => {
      const a = min + Math.floor(random() * (max - min + 1))
      const b = a + Math.floor(random() * (max - a + 1))
      return pick(["*", "*", "*", String(a), `${a}-${b}`, `*/${1 + Math.floor(random() * 7)}`, `${a},${b}`, `${a}-${b}/2`])
    }
    // effect/Cron takes either day where both are given, also for a step over all of them: those are left out.
    const text = [field(0, 59), field(0, 23), field(1, 28), field(1, 12), pick(["*", "*", "1", "0-4", "2,6"])].join(" ")
    if (/^\S+ \S+ \*\/\d/.test(text) && !text.endsWith("*")) continue
    const fromMs = Date.UTC(2024, 0, 1) + Math.floor(random() * 5 * 366 * 86_400_000)
    const wanted = CronOracle.next(getOrThrow(parse(text, "UTC")), new Date(fromMs)).getTime()
    const found = nextOf(parseCron(text), fromMs)
    if (found !== wanted) t.equal(new Date(found ?? 0).toISOString(), new Date(wanted).toISOString(), `${text} after ${new Date(fromMs).toISOString()}`)
  }
  t.equal(nextOf(parseCron("0 0 29 2 *"), Date.UTC(2096, 1, 29)), Date.UTC(2104, 1, 29))
})

function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface ModelJob {
  readonly id: number
  readonly tenant: string
  readonly orderKey: string | undefined
  readonly priority: number
  state: "ready" | "waiting" | "blocked" | "leased" | "dead"
  dueUs: number
  untilUs: number
  token: number
  attempts: number
}

t.test("any history of operations agrees with a model that knows nothing of tables", async (t) => {
  const random = randomFrom(seed)
  const below = (max: number): number => Math.floor(random() * max)
  const [attemptsMax, backoffMs] = [3, 200]
  const limits = storeLimitsFrom({}).queue
  for (let round = 0; round < (isFull ? 20 : 3); round++) {
    const store = open(real)
    const jobs = new Map<number, ModelJob>()
    const seen: Array<LeasedJob> = []
    let newest = 0
    const settle = (job: ModelJob, dueUs: number): void => {
      job.dueUs = dueUs
      job.state = dueUs <= store.nowUs ? "ready" : "waiting"
    }
    const isLive = (job: ModelJob): boolean => job.state !== "dead"
    const unblock = ({ tenant, orderKey }: ModelJob): void => {
      if (orderKey === undefined) return
      const [next] = [...jobs.values()].filter((job) => isLive(job) && job.tenant === tenant && job.orderKey === orderKey).toSorted((a, b) => a.id - b.id)
      if (next?.state === "blocked") settle(next, next.dueUs)
    }
    const ended = (job: ModelJob): void => {
      if (job.attempts >= attemptsMax) {
        job.state = "dead"
        unblock(job)
      } else settle(job, store.nowUs + backoffMsOf({ ...job, backoffMs, backoffMsMax: 3_600_000 }) * 1_000)
    }
    for (let step = 0; step < (isFull ? 1_500 : 400); step++) {
      store.nowUs += below(300_000)
      const tenant = `t${below(3)}`
      const kind = random()
      if (kind < 0.3) {
        const orderKey = below(2) === 0 ? undefined : `k${below(3)}`
        const [priority, delayMs] = [below(3), below(3) === 0 ? below(1_000) : 0]
        for (const id of enqueue(
          store,
          ["x", "x"].slice(below(2)),
          { ...(orderKey === undefined ? {} : { orderKey }), priority, delayMs, attemptsMax, backoffMs },
          tenant,
        )) {
          const job: ModelJob = { id, tenant, orderKey, priority, state: "blocked", dueUs: store.nowUs + delayMs * 1_000, untilUs: 0, token: 0, attempts: 0 }
          if (orderKey === undefined || ![...jobs.values()].some((other) => isLive(other) && other.tenant === tenant && other.orderKey === orderKey))
            settle(job, job.dueUs)
          jobs.set(id, job)
        }
      } else if (kind < 0.6) {
        const leased = lease(store, 3 + below(6), 100 + below(1_000))
        for (const job of [...jobs.values()].toSorted((a, b) => (a.state === "leased" ? a.untilUs : a.dueUs) - (b.state === "leased" ? b.untilUs : b.dueUs))) {
          if (job.state === "leased" && job.untilUs <= store.nowUs) ended(job)
          else if (job.state === "waiting" && job.dueUs <= store.nowUs) job.state = "ready"
        }
        const ready = [...jobs.values()].filter(({ state }) => state === "ready")
        const wanted = leased.jobs.length
        if (wanted < ready.length && wanted < 3) t.equal(wanted, ready.length, `step ${step} of seed ${seed}: jobs that are ready are leased`)
        for (const each of leased.jobs) {
          const job = jobs.get(each.id) as ModelJob
          if (job?.state !== "ready") t.equal(job?.state, "ready", `step ${step} of seed ${seed}: job ${each.id}`)
          const rank = (other: ModelJob): number => rankOf(other.dueUs, other.priority, limits)
          const better = ready.filter(
            (other) => other.state === "ready" && other.tenant === job.tenant && (rank(other) < rank(job) || (rank(other) === rank(job) && other.id < job.id)),
          )
          if (better.length > 0) t.equal(better.length, 0, `step ${step} of seed ${seed}: before job ${each.id} of ${job.tenant}`)
          if (each.token <= newest) t.ok(each.token > newest, "tokens rise")
          newest = each.token
          Object.assign(job, { state: "leased", token: each.token, untilUs: each.untilUs, attempts: job.attempts + 1 })
          if (each.attempt !== job.attempts) t.equal(each.attempt, job.attempts, "attempts")
          seen.push(each)
        }
      } else if (seen.length > 0) {
        const held = seen[below(seen.length)] as LeasedJob
        const job = jobs.get(held.id)
        const isHeld = job?.state === "leased" && job.token === held.token
        const op = (
          [
            { op: "complete", leases: [refOf(held)] },
            { op: "fail", ...refOf(held), error: "no" },
            { op: "extend", leases: [refOf(held)], leaseMs: 500 },
            { op: "release", leases: [refOf(held)] },
            { op: "cancel", tenant: held.tenant, key: held.key, id: held.id },
          ] as const
        )[below(5)] as Operation
        let answer: unknown
        try {
          ;[answer] = store.apply([op])
        } catch (error) {
          answer = (error as { readonly code: string }).code
        }
        if (op.op === "cancel") {
          t.equal(answer, job !== undefined, `step ${step} of seed ${seed}: cancel`)
          jobs.delete(held.id)
          if (job !== undefined && isLive(job)) unblock(job)
        } else if (!isHeld) t.equal(answer, "STELE-STO-0050", `step ${step} of seed ${seed}: ${op.op}`)
        else if (op.op === "complete") {
          jobs.delete(job.id)
          unblock(job)
        } else if (op.op === "fail") {
          ended(job)
          t.equal(answer, job.state === "dead" ? "dead" : "waiting", `step ${step} of seed ${seed}: fail`)
        } else if (op.op === "extend") job.untilUs = answer as number
        else {
          job.attempts--
          settle(job, store.nowUs)
        }
      }
    }
    const { ready, waiting, blocked, leased, dead } = store.ask({ ask: "queue", key: queueKey })
    t.equal(ready + waiting + blocked + leased + dead, jobs.size, "none lost, none made")
    t.equal(dead, [...jobs.values()].filter(({ state }) => state === "dead").length, "dead")
    t.same(store.check(), [])
    store.close()
  }
})

t.test("a job whose bytes changed is not handed out, and can be cancelled", async (t) => {
  const store = open(real)
  const ids = enqueue(store, ["a", "b"])
  store.reopen()
  const database = new DatabaseSync(store.path)
  database.exec(`UPDATE queue_job SET payload = x'00' WHERE id = ${ids[0]}`)
  database.close()
  t.throws(() => lease(store), { code: "STELE-STO-0005" })
  t.throws(() => store.ask({ ask: "job", ...placeOf(), id: ids[0] as number }), { code: "STELE-STO-0005" })
  t.ok(store.check().length > 0)
  t.equal(store.apply([{ op: "cancel", ...placeOf(), id: ids[0] as number }])[0], true)
  t.equal(textOf(lease(store).jobs[0]?.payload ?? new Uint8Array()), "b")
  store.close()
})

t.test("`check()` finds a job, a lane, a schedule or an idempotency key that changed or is gone", async (t) => {
  for (const damage of [
    "UPDATE queue_job SET state = 4",
    "UPDATE queue_job SET attempts = attempts + 1",
    "UPDATE queue_job SET token = token + 1",
    "DELETE FROM queue_job",
    "UPDATE queue_lane SET ready = 0",
    "UPDATE queue_lane SET wake_us = NULL",
    "UPDATE queue_lane SET tenant = x'00'",
    "DELETE FROM queue_lane",
    "UPDATE queue_schedule SET next_us = next_us + 1",
    "DELETE FROM queue_schedule",
    "UPDATE queue_idempotency SET job = job + 1",
    "DELETE FROM queue_idempotency",
    "DELETE FROM queue_total",
  ]) {
    const store = open(real)
    store.apply([{ op: "enqueue", ...placeOf(), jobs: [{ payload: Buffer.from("a"), idempotencyKey: "k" }] }])
    store.apply([{ op: "schedule", ...placeOf(), schedule: { name: "s", everyMs: 1_000, job: { payload: Buffer.from("s") } } }])
    t.same(store.check(), [])
    const database = new DatabaseSync(store.path)
    database.exec(damage)
    database.close()
    t.ok(store.check().length > 0, damage)
    store.close()
  }
})

t.test("a tenant's jobs, leases, schedules and keys move to another store as they are, and are erased in steps", async (t) => {
  const [from, to] = [open(real), open(real)]
  const tenant = Buffer.from("ada")
  enqueue(from, ["other"], {}, "bob")
  for (const queue of ["mail", "a", "invoices"]) {
    const place = { tenant, key: Buffer.from(queue) }
    from.apply([{ op: "enqueue", ...place, jobs: ["1", "2", "3"].map((name) => ({ payload: Buffer.from(name), orderKey: "k", idempotencyKey: `i${name}` })) }])
    from.apply([
      {
        op: "enqueue",
        ...place,
        jobs: [
          { payload: Buffer.from("later"), delayMs: 5_000, priority: 3 },
          { payload: Buffer.from("poison"), attemptsMax: 1 },
        ],
      },
    ])
    for (const name of ["ä", "b"])
      from.apply([{ op: "schedule", ...place, schedule: { name, cron: "0 3 * * *", job: { payload: Buffer.from(name), orderKey: "s" } } }])
  }
  const [{ jobs }] = from.apply([{ op: "lease", ...placeOf(), countMax: 2, leaseMs: 60_000 }])
  from.apply([{ op: "fail", ...refOf(jobs.find(({ attemptsMax }) => attemptsMax === 1) as LeasedJob), error: "poisoned" }])
  const exported = (store: Clockwork, countMax: number) => {
    const records = []
    for (let after: Uint8Array | undefined; ;) {
      const page = store.ask({ ask: "export", tenant, table: "queue", after, countMax })
      records.push(...page.records)
      after = page.records.at(-1)?.order
      if (page.isComplete) return { records, revision: page.revision }
    }
  }
  const { records, revision } = exported(from, 2)
  t.equal(records.length, 3 * (5 + 2 + 3))
  t.same(
    records.map(({ order }) => Buffer.from(order).toString("hex")),
    records.map(({ order }) => Buffer.from(order).toString("hex")).toSorted(),
    "in the order of bytes",
  )
  // Twice: an import may be repeated.
  for (let i = 0; i < 2; i++) for (const record of records) to.apply([{ op: "import", tenant, table: "queue", record, revision }])
  t.same(exported(to, 1_000).records, records)
  t.same(to.check(), [])
  const held = jobs.find(({ attemptsMax }) => attemptsMax !== 1) as LeasedJob
  t.throws(() => to.apply([{ op: "complete", leases: [{ ...refOf(held), token: held.token - 1 }] }]), { code: "STELE-STO-0050" })
  to.apply([{ op: "complete", leases: [refOf(held)] }])
  const [{ jobs: next }] = to.apply([{ op: "lease", ...placeOf(), countMax: 9, leaseMs: 60_000 }])
  t.same(
    next.map(({ payload }) => textOf(payload)),
    ["2"],
    "the next of its order key",
  )
  t.ok((next[0] as LeasedJob).token > held.token)
  let erased = 0
  for (let count = 4; count === 4; erased += count) [count] = from.apply([{ op: "erase", tenant, countMax: 4 }])
  t.equal(erased, records.length + 3)
  t.same(exported(from, 10).records, [])
  t.same(from.ask({ ask: "tenants", after: undefined, countMax: 9 }).map(textOf), ["bob"])
  t.same(from.check(), [])
  t.throws(() => to.apply([{ op: "import", tenant, table: "queue", record: { order: Buffer.from([9]), fields: {} }, revision }]), { code: "STELE-STO-0042" })
  from.close()
  to.close()
})
