/** What a group's operations do to a tenant's queues, in memory: the rules of `sqlite/queue.ts` over what `queue-load.ts` read. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { textOf } from "../../port/place.ts"
import type { Leased, LeasedJob, LeaseRef, NewJob, QueueOperation, QueueResults, Schedule } from "../../port/queue.ts"
import { checkLimit } from "../../../host/port/port.ts"
import { backoffMsOf, cut, leaseEnded, nextTimeUs, numbers, owedTimes, stateOf, whole } from "../queue.ts"
import { checkedSchedule, digestOf, isSame, rewrittenJob, rewrittenPlace, rowIn, scheduleOf } from "../queue-row.ts"
import type { Answer, Statement } from "./connection.ts"
import type { Group } from "./group.ts"
import { type QueueChange, QueueLoad } from "./queue-load.ts"
import { type JobRow, verifiedKnown, verifiedSchedule } from "./queue-row.ts"
import { leaseNumbers, type Open, QueueState } from "./queue-state.ts"
import { writesOf } from "./queue-write.ts"
import type { Context, Draft, Load } from "./table.ts"
import { nameOfTenant } from "./tenant.ts"

const utf8 = new TextEncoder()

type Answered = QueueResults[QueueOperation["op"]] | undefined

export class QueueDraft implements Draft<QueueChange> {
  readonly load: ReadonlyArray<Statement>
  readonly #state: QueueState
  readonly #load: QueueLoad
  /** Answers that still want the time at which something else comes due. */
  readonly #leased: Array<{ readonly key: Uint8Array; readonly answer: { nextUs: number | undefined } }> = []

  constructor(context: Context, operations: ReadonlyArray<QueueChange>) {
    this.#state = new QueueState(context)
    this.#load = new QueueLoad(this.#state, operations)
    this.load = this.#load.first
  }

  take(answers: ReadonlyArray<Answer>, load: Load): Promise<void> {
    return this.#load.take(answers, load)
  }

  apply(group: Group, operation: QueueChange): Answered {
    const state = this.#state
    const { limits } = state
    const { tenant } = state.context
    switch (operation.op) {
      case "enqueue":
        return this.#enqueue(group, operation.key, operation.jobs)
      case "lease":
        return this.#lease(group, operation)
      case "extend": {
        whole("leaseMs", operation.leaseMs, 1, limits.leaseMsMax, "ms", "leaseMsMax")
        const wakeUs = group.nowUs + operation.leaseMs * 1_000
        for (const [open, row] of this.#held(group, operation.leases, "extend")) state.put(group, open, row.id, { ...row, wakeUs })
        return wakeUs
      }
      case "complete":
        for (const [open, row] of this.#held(group, operation.leases, "complete", false)) state.remove(group, open, row)
        return undefined
      case "release":
        for (const [open, row] of this.#held(group, operation.leases, "release")) state.again(group, open, row, group.nowUs, { attempts: row.attempts - 1 })
        return undefined
      case "fail":
        return this.#fail(group, operation)
      case "cancel": {
        const open = state.find(operation.key)
        const row = open === undefined ? undefined : state.jobs.get(open.lane.id, operation.id)
        if (open === undefined || row === undefined) return false
        group.change(utf8.encode("cancel"), tenant, open.lane.key, numbers(row.id))
        state.remove(group, open, row)
        return true
      }
      case "redrive":
        return this.#redrive(group, operation.key, operation.id, operation.countMax)
      case "schedule":
        return this.#schedule(group, operation.key, operation.schedule)
      case "unschedule": {
        const open = state.find(operation.key)
        return open !== undefined && this.#unschedule(group, open, operation.name)
      }
      case "import":
        return this.#import(group, operation)
      case "rewrite":
        return this.#rewrite(group, operation)
    }
  }

  #enqueue(group: Group, key: Uint8Array, given: ReadonlyArray<NewJob>): QueueResults["enqueue"] {
    whole("jobs", given.length, 0, this.#state.limits.batchJobsMax, "jobs", "batchJobsMax")
    if (given.length === 0) return []
    const state = this.#state
    const open = state.make(group, key)
    this.#forget(group, open, 2 * given.length)
    return given.map((job) => {
      const { idempotencyKey } = job
      const old = idempotencyKey === undefined ? undefined : this.#known(open, { ...job, idempotencyKey })
      if (old !== undefined) return { id: old, isNew: false }
      const id = state.add(group, open, job, null)
      if (idempotencyKey !== undefined) {
        const untilUs = group.nowUs + state.limits.idempotencyKeptMs * 1_000
        state.putKnown(group, open, idempotencyKey, { key: idempotencyKey, job: id, digest: digestOf(job), untilUs })
      }
      return { id, isNew: true }
    })
  }

  /** The job that has this idempotency key already. */
  #known({ lane }: Open, job: NewJob & { readonly idempotencyKey: string }): number | undefined {
    const { store } = this.#state.context
    const row = this.#state.known.get(lane.id, job.idempotencyKey)
    if (row === undefined) return undefined
    verifiedKnown(store, lane, row)
    if (!Buffer.from(row.digest).equals(digestOf(job)))
      throw new StorageError("JobConflict", { store, queue: textOf(lane.key), idempotencyKey: job.idempotencyKey, job: row.job })
    return row.job
  }

  /** Forgets keys of the queue whose time is over; one whose job is still there is kept as long again. */
  #forget(group: Group, open: Open, countMax: number): void {
    const state = this.#state
    let count = 0
    for (const { lane, key } of state.over) {
      const row = lane === open.lane.id ? state.known.get(lane, key) : undefined
      if (row === undefined || row.untilUs > group.nowUs || count >= countMax) continue
      count++
      const isThere = state.jobs.get(lane, row.job) !== undefined
      state.putKnown(group, open, key, isThere ? { ...row, untilUs: group.nowUs + state.limits.idempotencyKeptMs * 1_000 } : undefined)
    }
  }

  #lost({ key, id, token }: LeaseRef): StorageError {
    return new StorageError("LeaseLost", { store: this.#state.context.store, queue: textOf(key), job: id, token })
  }

  /** Jobs that are held by these leases; each is a change. Whoever comes with an older token has lost it. */
  *#held(group: Group, refs: ReadonlyArray<LeaseRef>, what: string, isKept = true): Generator<readonly [Open, JobRow]> {
    const state = this.#state
    for (const ref of refs) {
      const open = state.find(ref.key)
      const row = open === undefined ? undefined : state.jobs.get(open.lane.id, ref.id)
      if (open === undefined || row === undefined || row.state !== stateOf.leased || row.token !== ref.token) throw this.#lost(ref)
      group.change(utf8.encode(what), state.context.tenant, open.lane.key, numbers(row.id, row.token))
      yield [open, isKept ? state.verified(open, row) : row]
    }
  }

  #fail(group: Group, { error, retryMs, isFinal = false, ...ref }: QueueOperation & { readonly op: "fail" }): "waiting" | "dead" {
    const { limits } = this.#state
    if (retryMs !== undefined) whole("retryMs", retryMs, 0, limits.delayMsMax, "ms", "delayMsMax")
    const said = cut(String(error), limits.errorBytesMax)
    for (const [open, row] of this.#held(group, [ref], "fail")) {
      if (isFinal || row.attempts >= row.attemptsMax) {
        this.#state.bury(group, open, row, said)
        return "dead"
      }
      this.#state.again(group, open, row, group.nowUs + (retryMs ?? backoffMsOf(row)) * 1_000, { error: said })
    }
    return "waiting"
  }

  #redrive(group: Group, key: Uint8Array, id: number | undefined, countMax: number): number {
    const state = this.#state
    whole("countMax", countMax, 0, state.limits.batchJobsMax, "jobs", "batchJobsMax")
    const open = state.find(key)
    if (open === undefined) return 0
    const dead = [...state.jobs.now()].filter((row) => row.lane === open.lane.id && row.state === stateOf.dead && (id === undefined || row.id === id))
    const rows = dead.toSorted((a, b) => a.id - b.id).slice(0, countMax)
    for (const found of rows) {
      const row = state.verified(open, found)
      group.change(utf8.encode("redrive"), state.context.tenant, key, numbers(row.id))
      const { nowUs } = group
      const to = state.isBlocked(open, row.orderKey) ? { state: stateOf.blocked, rank: nowUs, wakeUs: null } : state.due(group, row.priority, nowUs)
      state.put(group, open, row.id, { ...row, ...to, attempts: 0 })
    }
    return rows.length
  }

  #schedule(group: Group, key: Uint8Array, given: Schedule): number {
    const state = this.#state
    const open = state.make(group, key)
    const { spec, payload } = checkedSchedule(given, state.limits)
    const nextUs = nextTimeUs(given, group.nowUs)
    this.#unschedule(group, open, given.name)
    checkLimit("queue", "schedulesMax", "schedules", state.limits.schedulesMax, open.schedules + 1)
    group.change(utf8.encode("schedule"), state.context.tenant, key, utf8.encode(spec), payload)
    state.putSchedule(group, open, given.name, { name: given.name, nextUs, spec, payload })
    return nextUs
  }

  #unschedule(group: Group, open: Open, name: string): boolean {
    const state = this.#state
    if (state.schedules.get(open.lane.id, name) === undefined) return false
    group.change(utf8.encode("unschedule"), state.context.tenant, open.lane.key, utf8.encode(name))
    state.putSchedule(group, open, name, undefined)
    return true
  }

  /** Ends the waits, leases and schedules of a lane whose time has come. */
  #wake(group: Group, open: Open): void {
    const state = this.#state
    const { id, key } = open.lane
    const { nowUs } = group
    const due = open.due.flatMap((each) => state.jobs.get(id, each) ?? []).filter(({ wakeUs }) => wakeUs !== null && wakeUs <= nowUs)
    const schedules = open.dueSchedules.flatMap((each) => state.schedules.get(id, each) ?? []).filter(({ nextUs }) => nextUs <= nowUs)
    if (due.length === 0 && schedules.length === 0) return
    group.change(utf8.encode("wake"), state.context.tenant, key)
    state.touch(group, open)
    for (const found of due) {
      const row = state.verified(open, found)
      // Who held it has died or was too slow: that was an attempt.
      if (row.state === stateOf.waiting) state.put(group, open, row.id, { ...row, state: stateOf.ready, wakeUs: null })
      else if (row.attempts >= row.attemptsMax) state.bury(group, open, row, leaseEnded)
      else state.again(group, open, row, nowUs + backoffMsOf(row) * 1_000, { error: leaseEnded })
    }
    for (const found of schedules) {
      const row = verifiedSchedule(state.context.store, open.lane, found)
      const schedule = scheduleOf(row)
      const { timesUs, nextUs } = owedTimes(schedule, row.nextUs, nowUs, state.limits)
      for (const scheduledUs of timesUs) state.add(group, open, schedule.job, scheduledUs)
      state.putSchedule(group, open, row.name, { ...row, nextUs })
    }
  }

  #lease(group: Group, operation: QueueChange & { readonly op: "lease" }): Leased {
    const { key, countMax, leaseMs, isTurn = false } = operation
    const { limits } = this.#state
    whole("countMax", countMax, isTurn ? 0 : 1, limits.batchJobsMax, "jobs", "batchJobsMax")
    whole("leaseMs", leaseMs, 1, limits.leaseMsMax, "ms", "leaseMsMax")
    const open = this.#state.find(key)
    if (open !== undefined) this.#wake(group, open)
    const untilUs = group.nowUs + leaseMs * 1_000
    const jobs = open === undefined ? [] : open.ready.slice(0, countMax).map((row) => this.#give(group, open, row, untilUs))
    const answer = { jobs, nowUs: group.nowUs, nextUs: undefined }
    if (!isTurn) this.#leased.push({ key, answer })
    return answer
  }

  #give(group: Group, open: Open, found: JobRow, untilUs: number): LeasedJob {
    const row = this.#state.verified(open, found)
    const token = group.change(utf8.encode("lease"), leaseNumbers(open, row.id, untilUs))
    const attempt = row.attempts + 1
    this.#state.put(group, open, row.id, { ...row, state: stateOf.leased, token, attempts: attempt, wakeUs: untilUs })
    return {
      tenant: nameOfTenant(open.lane.tenant),
      key: open.lane.key,
      id: row.id,
      token,
      payload: row.payload,
      attempt,
      attemptsMax: row.attemptsMax,
      priority: row.priority,
      orderKey: row.orderKey ?? undefined,
      idempotencyKey: row.idempotencyKey ?? undefined,
      enqueuedUs: row.enqueuedUs,
      untilUs,
      scheduledUs: row.scheduledUs ?? undefined,
    }
  }

  #import(group: Group, { record }: QueueChange & { readonly op: "import" }): undefined {
    const state = this.#state
    const { tenant, store } = state.context
    const found = rowIn(store, record)
    const open = state.make(group, found.key)
    group.change(utf8.encode("import"), tenant, record.order)
    if (found.kind === "schedule") state.putSchedule(group, open, found.row.name, found.row)
    else if (found.kind === "idempotency") state.putKnown(group, open, found.row.key, found.row)
    else {
      if (state.jobs.get(open.lane.id, found.row.id) !== undefined) state.put(group, open, found.row.id, undefined)
      state.check(group, found.row)
      state.put(group, open, found.row.id, found.row)
    }
    return undefined
  }

  /** Other bytes in a job, a schedule or an idempotency key, if it has those of before. */
  #rewrite(group: Group, operation: QueueChange & { readonly op: "rewrite" }): boolean {
    const state = this.#state
    const { tenant, store } = state.context
    const { order, field, from, to } = operation
    const { kind, key, own, id } = rewrittenPlace(store, operation)
    const open = state.find(key)
    if (open === undefined) return false
    const name = textOf(own)
    const change = (): number => group.change(utf8.encode("rewrite"), tenant, order, to)
    if (kind === "job") {
      const old = state.jobs.get(open.lane.id, id)
      const row = old === undefined ? undefined : rewrittenJob(state.verified(open, old), field, from, to)
      if (row === undefined) return false
      change()
      state.put(group, open, id, row)
      return true
    }
    if (kind === "schedule") {
      const old = state.schedules.get(open.lane.id, name)
      if (old === undefined || !isSame(old.payload, from)) return false
      change()
      state.putSchedule(group, open, name, { ...verifiedSchedule(store, open.lane, old), payload: to })
      return true
    }
    const old = state.known.get(open.lane.id, name)
    if (old === undefined || !isSame(old.digest, from)) return false
    change()
    state.putKnown(group, open, name, { ...verifiedKnown(store, open.lane, old), digest: to })
    return true
  }

  /** What leases still have to say is as of the end of the group. */
  async answer(group: Group, load: Load): Promise<void> {
    const state = this.#state
    const { tenant } = state.context
    const asked = this.#leased.flatMap(({ key, answer }) => {
      const open = state.find(key)
      if (open === undefined) return []
      if (open.lane.ready === 0) return [{ open, answer }]
      answer.nextUs = group.nowUs
      return []
    })
    if (asked.length === 0) return
    const answers = await load(
      asked.map(({ open: { lane } }) => {
        const here = <R extends { readonly lane: number }>(rows: Iterable<{ readonly before: R | undefined }>): ReadonlyArray<R> =>
          [...rows].flatMap(({ before }) => (before?.lane === lane.id ? [before] : []))
        return {
          sql: "SELECT LEAST((SELECT wake_us FROM stele.queue_job WHERE tenant = $1 AND lane = $2 AND wake_us IS NOT NULL AND id <> ALL($3::bigint[]) ORDER BY wake_us LIMIT 1), (SELECT next_us FROM stele.queue_schedule WHERE tenant = $1 AND lane = $2 AND name <> ALL($4::bytea[]) ORDER BY next_us LIMIT 1)) AS us",
          parameters: [
            tenant,
            BigInt(lane.id),
            here(state.jobs.changed()).map(({ id }) => BigInt(id)),
            here(state.schedules.changed()).map(({ name }) => utf8.encode(name)),
          ],
        }
      }),
    )
    for (const [i, { open, answer }] of asked.entries()) {
      const us = answers[i]?.rows[0]?.["us"] ?? null
      const own = [
        ...[...state.jobs.now()].flatMap(({ lane, wakeUs }) => (lane === open.lane.id && wakeUs !== null ? [wakeUs] : [])),
        ...[...state.schedules.now()].flatMap(({ lane, nextUs }) => (lane === open.lane.id ? [nextUs] : [])),
      ]
      const all = us === null ? own : [...own, Number(us)]
      answer.nextUs = all.length === 0 ? undefined : all.reduce((least, each) => Math.min(least, each))
    }
  }

  writes(): ReadonlyArray<Statement> {
    return writesOf(this.#state)
  }
}
