/** What a queue does, as scenarios over a writer whose clock the test sets; also run against sources with one rule taken out. */
import assert from "node:assert/strict"
import type { Leased, LeasedJob, LeaseRef, NewJob, QueueDepth, Schedule } from "../../../runtime/port/queue.ts"
import type { Answers, Operation, Question, Results } from "../../../runtime/port/store.ts"
import type { StoreLimitOptions } from "../../../runtime/port/limits.ts"

const secondUs = 1_000_000
const hourUs = 3_600 * secondUs
/** 2026-01-05, a Monday, 00:00 UTC. */
export const mondayUs = Date.UTC(2026, 0, 5) * 1_000

/** A store whose clock is set by hand. */
export interface Clockwork {
  nowUs: number
  /** Carries out one batch; throws what it is refused for. */
  apply<const B extends ReadonlyArray<Operation>>(batch: B): { readonly [I in keyof B]: B[I] extends Operation ? Results[B[I]["op"]] : never }
  ask<Q extends Question>(question: Q): Answers[Q["ask"]]
  /** Closes the store and opens it again. */
  reopen(): void
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
export const textOf = (value: Uint8Array): string => Buffer.from(value).toString()
export const queueKey = bytes("mail")
export const placeOf = (tenant = "ada") => ({ tenant: bytes(tenant), key: queueKey })
export const refOf = ({ tenant, key, id, token }: LeasedJob): LeaseRef => ({ tenant, key, id, token })
export const enqueue = (store: Clockwork, names: ReadonlyArray<string>, options: Partial<NewJob> = {}, tenant = "ada") =>
  store.apply([{ op: "enqueue", ...placeOf(tenant), jobs: names.map((name) => ({ payload: bytes(name), ...options })) }])[0].map(({ id }) => id)
export const lease = (store: Clockwork, countMax = 1, leaseMs = 10_000): Leased => store.apply([{ op: "lease", key: queueKey, countMax, leaseMs }])[0]
const names = ({ jobs }: Leased): ReadonlyArray<string> => jobs.map(({ payload }) => textOf(payload))
const only = (leased: Leased): LeasedJob => {
  assert.equal(leased.jobs.length, 1)
  return leased.jobs[0] as LeasedJob
}
const complete = (store: Clockwork, ...jobs: ReadonlyArray<LeasedJob>): void => void store.apply([{ op: "complete", leases: jobs.map(refOf) }])
const depth = (store: Clockwork): QueueDepth => store.ask({ ask: "queue", key: queueKey })
const state = (store: Clockwork, id: number, tenant?: string) => store.ask({ ask: "job", ...placeOf(tenant), id })?.state
const schedule = (store: Clockwork, given: Omit<Schedule, "job" | "name"> & Pick<Partial<Schedule>, "name">): number =>
  store.apply([{ op: "schedule", ...placeOf(), schedule: { name: "s", job: { payload: bytes("tick") }, ...given } as Schedule }])[0]
const code = (wanted: string) => ({ code: wanted })

export interface QueueCase {
  readonly title: string
  readonly limits?: StoreLimitOptions
  readonly run: (store: Clockwork) => void
}

export const queueCases: ReadonlyArray<QueueCase> = [
  {
    title: "a job is leased once, carries what was enqueued, and is gone when it is completed",
    run(store) {
      const [id] = enqueue(store, ["a"], { priority: 2, orderKey: "o", idempotencyKey: "i", attemptsMax: 3 })
      const job = only(lease(store, 5))
      const { token: _, ...rest } = job
      assert.deepEqual(
        { ...rest, tenant: textOf(rest.tenant), key: textOf(rest.key), payload: textOf(rest.payload) },
        {
          tenant: "ada",
          key: "mail",
          id,
          payload: "a",
          attempt: 1,
          attemptsMax: 3,
          priority: 2,
          orderKey: "o",
          idempotencyKey: "i",
          enqueuedUs: store.nowUs,
          untilUs: store.nowUs + 10 * secondUs,
          scheduledUs: undefined,
        },
      )
      assert.deepEqual(names(lease(store, 5)), [])
      complete(store, job)
      assert.equal(state(store, job.id), undefined)
      assert.deepEqual({ ...depth(store) }, { ready: 0, waiting: 0, blocked: 0, leased: 0, dead: 0, tenants: 0, oldestUs: undefined })
    },
  },
  {
    title: "who comes with an older token is refused and changes nothing, with its whole batch",
    run(store) {
      enqueue(store, ["a"], { backoffMs: 0 })
      const old = only(lease(store))
      store.nowUs += 11 * secondUs
      const fresh = only(lease(store))
      assert.ok(fresh.token > old.token, "tokens rise")
      assert.equal(fresh.attempt, 2)
      const value = bytes("written")
      const refused = code("STELE-STO-0050")
      assert.throws(
        () =>
          store.apply([
            { op: "set", ...placeOf(), value },
            { op: "complete", leases: [refOf(old)] },
          ]),
        refused,
      )
      assert.throws(() => store.apply([{ op: "extend", leases: [refOf(old)], leaseMs: 1_000 }]), refused)
      assert.throws(() => store.apply([{ op: "fail", ...refOf(old), error: "late" }]), refused)
      assert.throws(() => store.apply([{ op: "release", leases: [refOf(old)] }]), refused)
      assert.throws(() => store.apply([{ op: "complete", leases: [refOf(fresh), refOf(old)] }]), refused)
      assert.equal(store.ask({ ask: "get", ...placeOf() }), undefined)
      assert.equal(state(store, fresh.id), "leased")
      store.apply([
        { op: "set", ...placeOf(), value },
        { op: "complete", leases: [refOf(fresh)] },
      ])
      assert.equal(textOf(store.ask({ ask: "get", ...placeOf() })?.value ?? bytes("")), "written")
      assert.throws(() => complete(store, fresh), refused)
    },
  },
  {
    title: "a lease that ends gives the job to somebody else, one that is extended does not",
    run(store) {
      enqueue(store, ["a"], { backoffMs: 0 })
      const job = only(lease(store, 1, 1_000))
      store.nowUs += 0.9 * secondUs
      assert.equal(store.apply([{ op: "extend", leases: [refOf(job)], leaseMs: 1_000 }])[0], store.nowUs + secondUs)
      store.nowUs += 0.9 * secondUs
      assert.deepEqual(names(lease(store)), [])
      store.nowUs += 0.2 * secondUs
      assert.deepEqual(names(lease(store)), ["a"])
    },
  },
  {
    title: "a job that nobody completes is dead after its attempts, whether they failed or their workers died, and can be enqueued again",
    run(store) {
      const [id] = enqueue(store, ["poison"], { attemptsMax: 3, backoffMs: 0 }) as [number]
      store.apply([{ op: "fail", ...refOf(only(lease(store))), error: "no" }])
      for (let i = 0; i < 2; i++) {
        only(lease(store))
        store.nowUs += 11 * secondUs
      }
      assert.deepEqual(names(lease(store)), [])
      const [dead] = store.ask({ ask: "dead", ...placeOf(), after: 0, countMax: 10 })
      assert.deepEqual([dead?.id, dead?.attempts, dead?.error], [id, 3, "its lease ended without an answer"])
      assert.equal(store.apply([{ op: "redrive", ...placeOf(), countMax: 10 }])[0], 1)
      const job = only(lease(store))
      assert.deepEqual([job.id, job.attempt], [id, 1])
      assert.equal(store.apply([{ op: "fail", ...refOf(job), error: "never", isFinal: true }])[0], "dead")
      assert.equal(store.ask({ ask: "job", ...placeOf(), id })?.error, "never")
      assert.equal(store.apply([{ op: "cancel", ...placeOf(), id }])[0], true)
      assert.equal(store.apply([{ op: "cancel", ...placeOf(), id }])[0], false)
    },
  },
  {
    title: "a failed attempt waits twice as long each time, spread over a half, up to its maximum",
    run(store) {
      enqueue(store, ["a"], { attemptsMax: 20, backoffMs: 1_000, backoffMsMax: 60_000 })
      const waits: Array<number> = []
      for (let i = 0; i < 12; i++) {
        const job = only(lease(store))
        assert.equal(store.apply([{ op: "fail", ...refOf(job), error: "no" }])[0], "waiting")
        const { nextUs } = lease(store)
        const waitMs = ((nextUs as number) - store.nowUs) / 1_000
        const fullMs = Math.min(60_000, 1_000 * 2 ** i)
        assert.ok(waitMs >= fullMs / 2 && waitMs <= fullMs, `${waitMs} of ${fullMs}`)
        waits.push(waitMs / fullMs)
        store.nowUs = (nextUs as number) - 1
        assert.deepEqual(names(lease(store)), [])
        store.nowUs++
      }
      assert.ok(new Set(waits).size > 6, "spread")
      store.apply([{ op: "fail", ...refOf(only(lease(store))), error: "no", retryMs: 5 }])
      store.nowUs += 5_000
      assert.deepEqual(names(lease(store)), ["a"])
    },
  },
  {
    title: "a job given back is there at once, and the attempt does not count",
    run(store) {
      enqueue(store, ["a"], { attemptsMax: 1 })
      store.apply([{ op: "release", leases: [refOf(only(lease(store)))] }])
      assert.equal(only(lease(store)).attempt, 1)
    },
  },
  {
    title: "a delayed job waits for its time",
    run(store) {
      enqueue(store, ["later"], { delayMs: 5_000 })
      enqueue(store, ["now"])
      assert.deepEqual(names(lease(store, 5)), ["now"])
      assert.equal(lease(store).nextUs, store.nowUs + 5 * secondUs)
      store.nowUs += 5 * secondUs - 1
      assert.deepEqual(names(lease(store, 5)), [])
      store.nowUs++
      assert.deepEqual(names(lease(store, 5)), ["later"])
    },
  },
  {
    title: "a higher priority goes first, and overtakes only what came less than its worth of waiting before",
    limits: { queue: { priorityAgingMs: 1_000 } },
    run(store) {
      enqueue(store, ["low"])
      store.nowUs += secondUs / 2
      enqueue(store, ["mid"], { priority: 1 })
      enqueue(store, ["high"], { priority: 9 })
      assert.deepEqual(names(lease(store, 3)), ["high", "mid", "low"])
    },
  },
  {
    title: "a job of the lowest priority is overtaken for priorityMax × priorityAgingMs and no longer, however many better ones come",
    limits: { queue: { priorityAgingMs: 1_000 } },
    run(store) {
      enqueue(store, ["low"])
      const startUs = store.nowUs
      for (let i = 0; i < 200; i++) {
        store.nowUs += secondUs / 10
        enqueue(store, ["high", "high"], { priority: 9 })
        const [job] = lease(store).jobs
        if (textOf((job as LeasedJob).payload) === "high") continue
        // The better ones that came in those 9 s are before it, the later ones are not.
        assert.ok(store.nowUs - startUs <= 2 * 9 * secondUs + secondUs, `${store.nowUs - startUs} µs`)
        return
      }
      assert.fail("it starves")
    },
  },
  {
    title: "a tenant's single job is not behind another tenant's thousands: at most one turn of each other tenant is before it",
    limits: { queue: { turnJobs: 4 } },
    run(store) {
      for (let i = 0; i < 3; i++)
        enqueue(
          store,
          Array.from({ length: 1_000 }, (_, n) => `flood ${n}`),
          {},
          `flood ${i}`,
        )
      for (const countMax of [1, 3, 4, 5, 7, 10, 50]) {
        lease(store, countMax)
        enqueue(store, ["single"], {}, "bob")
        let before = 0
        for (let isFound = false; !isFound;) {
          const found = names(lease(store, countMax))
          const at = found.indexOf("single")
          isFound = at >= 0
          before += isFound ? at : found.length
        }
        assert.ok(before <= 3 * 4, `${before} jobs before it, ${countMax} at a time`)
      }
    },
  },
  {
    title: "a tenant's k-th job is leased after no more than ⌈k / turnJobs⌉ turns of another, whatever is leased at a time",
    limits: { queue: { turnJobs: 4 } },
    run(store) {
      for (const countMax of [1, 2, 3, 5, 6, 9]) {
        const [many, few] = [`many ${countMax}`, `few ${countMax}`]
        for (const [tenant, count] of [
          [many, 200],
          [few, 40],
        ] as const)
          enqueue(
            store,
            Array.from({ length: count }, () => tenant),
            {},
            tenant,
          )
        const counts: Record<string, number> = { [many]: 0, [few]: 0 }
        while ((counts[few] as number) < 40) {
          for (const job of lease(store, countMax).jobs) {
            const name = textOf(job.payload)
            counts[name] = (counts[name] ?? 0) + 1
            if (name === few)
              assert.ok(
                (counts[many] as number) <= 4 * Math.ceil((counts[few] as number) / 4),
                `${counts[many]} before the ${counts[few]}th, ${countMax} at a time`,
              )
          }
        }
        while (lease(store, 100).jobs.length > 0);
      }
    },
  },
  {
    title: "tenants with jobs enough are given the same number of leases",
    run(store) {
      const tenants = ["a", "b", "c", "d", "e"]
      for (const [i, tenant] of tenants.entries())
        enqueue(
          store,
          Array.from({ length: 100 * (i + 1) }, () => tenant),
          {},
          tenant,
        )
      const counts: Record<string, number> = {}
      for (let i = 0; i < 40; i++) for (const name of names(lease(store, 7))) counts[name] = (counts[name] ?? 0) + 1
      const found = tenants.map((tenant) => counts[tenant] ?? 0)
      assert.ok(Math.max(...found) - Math.min(...found) <= 4, String(found))
      const [onlyOf] = store.apply([{ op: "lease", ...placeOf("e"), countMax: 3, leaseMs: 1_000 }])
      assert.deepEqual(names(onlyOf), ["e", "e", "e"])
    },
  },
  {
    title: "a tenant's delayed thousands that come due at once do not hold up another's due job",
    run(store) {
      enqueue(
        store,
        Array.from({ length: 1_000 }, () => "flood"),
        { delayMs: 1_000 },
        "flood",
      )
      enqueue(store, ["single"], { delayMs: 1_001 }, "bob")
      store.nowUs += 2 * secondUs
      const found = names(lease(store, 10))
      assert.ok(found.includes("single"), String(found))
    },
  },
  {
    title: "jobs of one order key go one at a time in their order, past failures and deaths; others do not wait for them",
    run(store) {
      const ids = enqueue(store, ["k1", "k2", "k3"], { orderKey: "k", attemptsMax: 2, backoffMs: 1_000 })
      enqueue(store, ["k0"], { orderKey: "k", priority: 9 })
      enqueue(store, ["free"], { orderKey: "other" })
      const first = lease(store, 10)
      assert.deepEqual(names(first), ["k1", "free"])
      store.apply([{ op: "fail", ...refOf(first.jobs[0] as LeasedJob), error: "no" }])
      assert.deepEqual(names(lease(store, 10)), [], "behind its retry")
      store.nowUs += 2 * secondUs
      const again = only(lease(store))
      assert.equal(again.id, ids[0])
      store.apply([{ op: "fail", ...refOf(again), error: "no" }])
      const second = only(lease(store, 10))
      assert.equal(second.id, ids[1], "after the one that died")
      assert.equal(store.apply([{ op: "redrive", ...placeOf(), countMax: 10 }])[0], 1)
      assert.deepEqual(names(lease(store, 10)), [], "one at a time")
      complete(store, second)
      const redriven = only(lease(store, 10))
      assert.equal(redriven.id, ids[0])
      store.apply([{ op: "cancel", ...placeOf(), id: redriven.id }])
      assert.equal(store.apply([{ op: "cancel", ...placeOf(), id: ids[2] as number }])[0], true)
      assert.deepEqual(names(lease(store, 10)), ["k0"])
    },
  },
  {
    title: "a delayed job holds its order key's later ones until it is done",
    run(store) {
      enqueue(store, ["1"], { orderKey: "k", delayMs: 1_000 })
      enqueue(store, ["2"], { orderKey: "k" })
      assert.deepEqual(names(lease(store, 5)), [])
      store.nowUs += secondUs
      complete(store, only(lease(store, 5)))
      assert.deepEqual(names(lease(store, 5)), ["2"])
    },
  },
  {
    title: "the same idempotency key and payload is the same job, also when it is done; another payload or order key is refused",
    run(store) {
      const place = placeOf()
      const job = { payload: bytes("a"), idempotencyKey: "once" }
      const [[first]] = store.apply([{ op: "enqueue", ...place, jobs: [job] }])
      const [[second, third]] = store.apply([{ op: "enqueue", ...place, jobs: [job, { ...job, priority: 3, delayMs: 5 }] }])
      assert.deepEqual([first?.isNew, second?.isNew, third?.isNew], [true, false, false])
      assert.deepEqual([second?.id, third?.id], [first?.id, first?.id])
      const conflict = code("STELE-STO-0051")
      assert.throws(
        () =>
          store.apply([
            {
              op: "enqueue",
              ...place,
              jobs: [
                { payload: bytes("new"), idempotencyKey: "new" },
                { ...job, payload: bytes("b") },
              ],
            },
          ]),
        conflict,
      )
      assert.throws(() => store.apply([{ op: "enqueue", ...place, jobs: [{ ...job, orderKey: "k" }] }]), conflict)
      assert.equal(depth(store).ready, 1, "nothing of a refused batch")
      assert.equal(store.apply([{ op: "enqueue", ...placeOf("bob"), jobs: [{ ...job, payload: bytes("b") }] }])[0][0]?.isNew, true, "another tenant's")
      for (const each of lease(store, 5).jobs) complete(store, each)
      assert.deepEqual(store.apply([{ op: "enqueue", ...place, jobs: [job] }])[0], [{ id: first?.id, isNew: false }])
      assert.deepEqual(names(lease(store, 5)), [])
      store.nowUs += 25 * hourUs
      enqueue(store, ["another"])
      assert.equal(store.apply([{ op: "enqueue", ...place, jobs: [job] }])[0][0]?.isNew, true, "forgotten after its time")
    },
  },
  {
    title: "an idempotency key is known as long as its job is there",
    run(store) {
      const job = { payload: bytes("a"), idempotencyKey: "once", delayMs: 300 * 3_600_000 }
      const [[first]] = store.apply([{ op: "enqueue", ...placeOf(), jobs: [job] }])
      for (let i = 0; i < 12; i++) {
        store.nowUs += 25 * hourUs
        assert.deepEqual(store.apply([{ op: "enqueue", ...placeOf(), jobs: [job] }])[0], [{ id: first?.id, isNew: false }])
      }
    },
  },
  {
    title: "a schedule makes a job for each of its times, and says for which",
    run(store) {
      store.nowUs = mondayUs + 10 * secondUs
      assert.equal(schedule(store, { cron: "*/15 8-9 * * 1" } as Schedule), mondayUs + 8 * hourUs)
      store.nowUs = mondayUs + 7.9 * hourUs
      const found: Array<number> = []
      for (let i = 0; i < 150; i++) {
        store.nowUs += 60 * secondUs
        for (const job of lease(store, 5).jobs) {
          assert.equal(textOf(job.payload), "tick")
          found.push(((job.scheduledUs as number) - mondayUs) / secondUs / 60)
          complete(store, job)
        }
      }
      assert.deepEqual(found, [480, 495, 510, 525, 540, 555, 570, 585])
      assert.deepEqual(
        store.ask({ ask: "schedules", ...placeOf() }).map(({ schedule: { name, missed, job } }) => [name, missed, textOf(job.payload)]),
        [["s", "once", "tick"]],
      )
      assert.equal(store.apply([{ op: "unschedule", ...placeOf(), name: "s" }])[0], true)
      assert.equal(store.apply([{ op: "unschedule", ...placeOf(), name: "s" }])[0], false)
    },
  },
  {
    title: "the question `ready` names the queues of a tenant in which a lease finds something, by the start of their names",
    run(store) {
      const at = (name: string, tenant = "ada") => ({ tenant: bytes(tenant), key: bytes(name) })
      const put = (name: string, options: Partial<NewJob> = {}, tenant = "ada") =>
        store.apply([{ op: "enqueue", ...at(name, tenant), jobs: [{ payload: bytes(name), ...options }] }])[0][0]?.id as number
      const ready = (start: string, countMax = 10) => store.ask({ ask: "ready", ...at(start), countMax }).map(textOf)
      const leaseOf = (name: string, leaseMs = 10_000) => store.apply([{ op: "lease", ...at(name), countMax: 9, leaseMs }])[0]
      assert.deepEqual(ready("s/"), [])
      for (const name of ["s/1", "s/2", "s", "t/1"]) put(name)
      put("s/3", { delayMs: 60_000 })
      put("s/4", {}, "bob")
      assert.deepEqual(ready("s/"), ["s/1", "s/2"])
      assert.deepEqual(ready(""), ["s", "s/1", "s/2", "t/1"])
      assert.deepEqual(ready("s/", 1), ["s/1"])
      const job = only(leaseOf("s/1"))
      assert.deepEqual(ready("s/"), ["s/2"], "one that is leased is not to be had")
      store.nowUs += 10 * secondUs
      assert.deepEqual(ready("s/"), ["s/1", "s/2"], "until its lease ends")
      store.nowUs += 50 * secondUs
      assert.deepEqual(ready("s/"), ["s/1", "s/2", "s/3"], "a delay is over")
      assert.deepEqual(names(leaseOf("s/3")), ["s/3"])
      leaseOf("s/2")
      store.apply([{ op: "cancel", ...at("s/1"), id: job.id }])
      assert.deepEqual(ready("s/"), [])
    },
  },
  ...(
    [
      ["once", 0, 1],
      ["all", 0, 24],
      ["skip", 0, 0],
      ["skip", 3, 1],
    ] as const
  ).map(([missed, lateMinutes, wanted]): QueueCase => ({
    title: `after a day without workers a schedule with \`${missed}\` owes ${wanted} jobs, ${lateMinutes === 0 ? "half an hour" : "no time"} after its last`,
    limits: { queue: { scheduleGraceMs: 300_000 } },
    run(store) {
      for (const time of [{ cron: "0 * * * *" }, { everyMs: 3_600_000 }] as const) {
        store.nowUs = Math.ceil((store.nowUs + 1) / (24 * hourUs)) * 24 * hourUs
        schedule(store, { ...time, missed } as Schedule)
        store.reopen()
        store.nowUs += 24 * hourUs + (lateMinutes === 0 ? 30 : lateMinutes) * 60 * secondUs
        const leased = lease(store, 100)
        assert.equal(leased.jobs.length, wanted)
        assert.deepEqual(
          leased.jobs.map(({ scheduledUs }) => (scheduledUs as number) % hourUs),
          leased.jobs.map(() => 0),
        )
        complete(store, ...leased.jobs)
        assert.deepEqual(names(lease(store, 100)), [], "no time twice")
        store.apply([{ op: "unschedule", ...placeOf(), name: "s" }])
      }
    },
  })),
  {
    title: "after years without workers a schedule of every minute owes no more than catchUpMax, at once",
    limits: { queue: { catchUpMax: 5 } },
    run(store) {
      schedule(store, { cron: "* * * * *", missed: "all" } as Schedule)
      schedule(store, { name: "every", everyMs: 1, missed: "all" } as Schedule)
      store.nowUs += 3 * 365 * 24 * hourUs
      const startedMs = performance.now()
      assert.equal(lease(store, 100).jobs.length, 10)
      assert.ok(performance.now() - startedMs < 1_000)
    },
  },
  {
    title: "a clock that goes an hour forward makes a schedule's times once; when it goes back they are not made again",
    run(store) {
      store.nowUs = mondayUs
      schedule(store, { cron: "*/10 * * * *", missed: "all" } as Schedule)
      const counted = (): number => lease(store, 100).jobs.length
      store.nowUs += hourUs
      store.reopen()
      assert.equal(counted(), 6)
      store.nowUs -= hourUs
      store.reopen()
      assert.equal(counted(), 0)
      store.nowUs += hourUs
      assert.equal(counted(), 0)
      store.nowUs += hourUs / 6
      assert.equal(counted(), 1)
    },
  },
  {
    title: "a clock that goes back neither ends a lease early nor makes time go back",
    run(store) {
      enqueue(store, ["a"], { backoffMs: 0 })
      const job = only(lease(store, 1, 60_000))
      store.nowUs -= hourUs
      store.reopen()
      assert.deepEqual(names(lease(store)), [])
      assert.ok(store.apply([{ op: "extend", leases: [refOf(job)], leaseMs: 60_000 }])[0] >= job.untilUs)
      complete(store, job)
    },
  },
  ...(
    [
      ["payloadBytesMax", { payloadBytesMax: 2 }, { payload: bytes("abc") }],
      ["tenantJobsMax", { tenantJobsMax: 0 }, { payload: bytes("") }],
      ["tenantBytesMax", { tenantBytesMax: 2 }, { payload: bytes("abc") }],
      ["totalBytesMax", { totalBytesMax: 2 }, { payload: bytes("abc") }],
      ["nameBytesMax", { nameBytesMax: 3 }, { payload: bytes("") }],
      ["tenantQueuesMax", { tenantQueuesMax: 0 }, { payload: bytes("") }],
      ["keyBytesMax", { keyBytesMax: 2 }, { payload: bytes(""), orderKey: "äb" }],
      ["keyBytesMax", { keyBytesMax: 2 }, { payload: bytes(""), idempotencyKey: "abc" }],
      ["priorityMax", {}, { payload: bytes(""), priority: 10 }],
      ["delayMsMax", {}, { payload: bytes(""), delayMs: 1e12 }],
      ["attemptsMax", {}, { payload: bytes(""), attemptsMax: 1_001 }],
      ["batchJobsMax", { batchJobsMax: 0 }, { payload: bytes("") }],
    ] as const
  ).map(([limit, queue, job]): QueueCase => ({
    title: `\`${limit}\` refuses ${Object.keys(job).at(-1)}, by name, and keeps nothing of it`,
    limits: { queue },
    run(store) {
      assert.throws(
        () => store.apply([{ op: "enqueue", ...placeOf(), jobs: [job] }]),
        (error: { readonly code: string; readonly reason: { readonly limit: string } }) => error.code === "STELE-CAP-0008" && error.reason.limit === limit,
      )
      assert.equal(depth(store).ready, 0)
    },
  })),
  {
    title: "what is no number, no text or no time is refused",
    run(store) {
      const refused = code("STELE-CFG-0002")
      for (const job of [
        { delayMs: -1 },
        { delayMs: Number.NaN },
        { priority: 0.5 },
        { attemptsMax: 0 },
        { orderKey: "\ud800" },
        { idempotencyKey: 5 as unknown as string },
      ])
        assert.throws(() => enqueue(store, ["a"], job), refused, JSON.stringify(job))
      for (const cron of [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "0 0 30 2 *",
      ])
        assert.throws(() => schedule(store, { cron } as Schedule), refused, cron)
      assert.throws(() => schedule(store, { everyMs: 0 } as Schedule), refused)
      assert.throws(() => schedule(store, { everyMs: 5, missed: "never" } as unknown as Schedule), refused)
      assert.throws(() => lease(store, 0), refused)
      assert.throws(() => lease(store, 1, 0), refused)
      assert.equal(depth(store).tenants, 0)
    },
  },
]
