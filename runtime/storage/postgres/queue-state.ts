/**
 * A tenant's queues while a group is decided: what was read of them, and what the batches made of it. Every change is taken back
 * with its batch; sums, totals and the lanes' counts go with each. What is not read is not known, so `queue-load.ts` reads
 * as many ready jobs as may be leased, and of each order key as many as may leave and one more.
 */
import { checkLimit } from "../../../host/port/port.ts"
import type { JobState, NewJob, QueueLimits } from "../../port/queue.ts"
import { bytesOfJob, checkedJob, type Job, numbers, rankOf, states, stateOf, sumOfJob } from "../queue.ts"
import { bytesOfIdempotency, bytesOfSchedule, idempotencySum, scheduleSum } from "../queue-row.ts"
import type { Group } from "./group.ts"
import { type JobRow, type Known, type Lane, name, type Scheduled, verified } from "./queue-row.ts"
import type { Context } from "./table.ts"
import { bytesOf, hexOf } from "./tenant.ts"

const utf8 = new TextEncoder()

/** A row that was read, as it is now, and whether that differs. */
interface Slot<R> {
  readonly before: R | undefined
  now: R | undefined
}

/** Rows by lane and name. */
export class Slots<R extends { readonly lane: number }> {
  readonly #slots = new Map<string, Slot<R>>()

  read(name: string | number, row: R): void {
    const id = `${row.lane} ${name}`
    if (!this.#slots.has(id)) this.#slots.set(id, { before: row, now: row })
  }

  get(lane: number, name: string | number): R | undefined {
    return this.#slots.get(`${lane} ${name}`)?.now
  }

  put(group: Group, lane: number, name: string | number, row: R | undefined): R | undefined {
    const id = `${lane} ${name}`
    let slot = this.#slots.get(id)
    if (slot === undefined) this.#slots.set(id, (slot = { before: undefined, now: undefined }))
    const known = slot
    const old = known.now
    known.now = row
    group.undo(() => (known.now = old))
    return old
  }

  *changed(): Generator<Slot<R>> {
    for (const slot of this.#slots.values()) if (slot.now !== slot.before) yield slot
  }

  *now(): Generator<R> {
    for (const { now } of this.#slots.values()) if (now !== undefined) yield now
  }
}

/** A lane, what it was, and what is known of its jobs. */
export interface Open {
  readonly lane: Lane
  /** Undefined for one that the group made. */
  readonly before: Lane | undefined
  /** Nothing was ready at some moment of the group: its place in the ring is gone. */
  wasEmptied: boolean
  isTouched: boolean
  /** Ready jobs that are known, the next one first. */
  readonly ready: Array<JobRow>
  /** Jobs that have come due, and schedules. */
  readonly due: Array<number>
  readonly dueSchedules: Array<string>
  /** Of each order key, the first of its jobs that are not dead, in their order. */
  readonly order: Map<string, Array<number>>
  schedules: number
}

/** Where it is in a list in this order, or would be. */
function placeIn<A>(list: ReadonlyArray<A>, each: A, before: (a: A, b: A) => boolean): number {
  let [low, high] = [0, list.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (before(list[middle] as A, each)) low = middle + 1
    else high = middle
  }
  return low
}
const isBefore = (a: JobRow, b: JobRow): boolean => a.rank < b.rank || (a.rank === b.rank && a.id < b.id)
const isLess = (a: number, b: number): boolean => a < b

export class QueueState {
  readonly context: Context
  readonly limits: QueueLimits
  readonly jobs = new Slots<JobRow>()
  readonly schedules = new Slots<Scheduled>()
  readonly known = new Slots<Known>()
  /** Idempotency keys whose time is over. */
  readonly over: Array<Known> = []
  readonly lanes = new Map<string, Open>()
  readonly #byId = new Map<number, Open>()
  /** Queues of the tenant. */
  queues = 0

  constructor(context: Context) {
    this.context = context
    this.limits = context.limits.queue
  }

  /** Of what was read. */
  open(lane: Lane, before: Lane | undefined): Open {
    const open: Open = {
      lane,
      before,
      wasEmptied: false,
      isTouched: false,
      ready: [],
      due: [],
      dueSchedules: [],
      order: new Map(),
      schedules: 0,
    }
    this.lanes.set(hexOf(lane.key), open)
    this.#byId.set(lane.id, open)
    return open
  }

  find(key: Uint8Array): Open | undefined {
    return this.lanes.get(hexOf(key))
  }

  byId(id: number): Open | undefined {
    return this.#byId.get(id)
  }

  /** A job that was read: into the lists that it belongs to. */
  readJob(row: JobRow): void {
    const open = this.#byId.get(row.lane)
    if (open === undefined || this.jobs.get(row.lane, row.id) !== undefined) return
    this.jobs.read(row.id, row)
    this.#list(open, row, true)
  }

  /** The lane of a queue, made when it is not there. */
  make(group: Group, key: Uint8Array): Open {
    const found = this.find(key)
    if (found !== undefined) return found
    const { tenant } = this.context
    checkLimit("queue", "nameBytesMax", "bytes", this.limits.nameBytesMax, bytesOf(tenant, key))
    checkLimit("queue", "tenantQueuesMax", "queues", this.limits.tenantQueuesMax, this.queues + 1)
    const id = group.change(utf8.encode("queue"), tenant, key)
    const open = this.open({ tenant, key, id, ready: 0, waiting: 0, blocked: 0, leased: 0, dead: 0 }, undefined)
    open.isTouched = true
    this.queues++
    group.undo(() => {
      this.queues--
      this.lanes.delete(hexOf(key))
      this.#byId.delete(id)
    })
    return open
  }

  /** Is there room for it? */
  check(group: Group, job: Pick<Job, "payload" | "orderKey" | "idempotencyKey">): void {
    const { limits } = this
    const { keys, bytes: used } = group.total(name)
    const bytes = bytesOfJob(job)
    checkLimit("queue", "payloadBytesMax", "bytes", limits.payloadBytesMax, job.payload.length)
    checkLimit("queue", "tenantJobsMax", "jobs", limits.tenantJobsMax, keys + 1)
    checkLimit("queue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used + bytes)
    checkLimit("queue", "totalBytesMax", "bytes", limits.totalBytesMax, group.bytesOfAll(name) + bytes)
  }

  /** Takes a new job in, behind those of its order key. */
  add(group: Group, open: Open, given: NewJob, scheduledUs: number | null): number {
    const { delayMs, ...job } = checkedJob(given, this.limits)
    const { orderKey = null, idempotencyKey = null } = given
    this.check(group, { payload: job.payload, orderKey, idempotencyKey })
    const { tenant, key } = open.lane
    const id = group.change(utf8.encode("enqueue"), tenant, key, job.payload)
    const dueUs = group.nowUs + delayMs * 1_000
    const state = this.isBlocked(open, orderKey) ? { state: stateOf.blocked, rank: dueUs, wakeUs: null } : this.due(group, job.priority, dueUs)
    this.put(group, open, id, { id, ...job, ...state, token: 0, attempts: 0, enqueuedUs: group.nowUs, scheduledUs, orderKey, idempotencyKey, error: null })
    return id
  }

  /** A job's row anew, or none any more. */
  put(group: Group, open: Open, id: number, job: Job | undefined): void {
    const { lane } = open
    const row = job === undefined ? undefined : { ...job, lane: lane.id, sum: sumOfJob(lane, job) }
    const old = this.jobs.put(group, lane.id, id, row)
    if (old !== undefined) this.#list(open, old, false, group)
    if (row !== undefined) this.#list(open, row, true, group)
    this.#count(group, open, old, -1)
    this.#count(group, open, row, 1)
    group.add(
      name,
      (row === undefined ? 0 : 1) - (old === undefined ? 0 : 1),
      (row === undefined ? 0 : bytesOfJob(row)) - (old === undefined ? 0 : bytesOfJob(old)),
      (row?.sum ?? 0) ^ (old?.sum ?? 0),
    )
  }

  #count(group: Group, open: Open, row: JobRow | undefined, by: number): void {
    if (row === undefined) return
    const state = states[row.state] as JobState
    open.lane[state] += by
    this.touch(group, open)
    const { wasEmptied } = open
    if (open.lane.ready === 0 && state === "ready") open.wasEmptied = true
    group.undo(() => {
      open.lane[state] -= by
      open.wasEmptied = wasEmptied
    })
  }

  touch(group: Group, open: Open): void {
    if (open.isTouched) return
    open.isTouched = true
    group.undo(() => (open.isTouched = false))
  }

  /** Into the lists of a lane, or out of them; the way back is the opposite. */
  #list(open: Open, row: JobRow, isIn: boolean, group?: Group): void {
    const change = (isIn: boolean): void => {
      if (row.state === stateOf.ready) {
        const at = placeIn(open.ready, row, isBefore)
        if (isIn) open.ready.splice(at, 0, row)
        else if (open.ready[at]?.id === row.id) open.ready.splice(at, 1)
      }
      if (row.orderKey === null || row.state === stateOf.dead) return
      let ids = open.order.get(row.orderKey)
      if (ids === undefined) open.order.set(row.orderKey, (ids = []))
      const at = placeIn(ids, row.id, isLess)
      if (isIn) ids.splice(at, 0, row.id)
      else if (ids[at] === row.id) ids.splice(at, 1)
    }
    change(isIn)
    group?.undo(() => change(!isIn))
  }

  verified(open: Open, row: JobRow): JobRow {
    return verified(this.context.store, open.lane, row)
  }

  /** State, rank and end of the wait of a job that comes due at `dueUs`. */
  due(group: Group, priority: number, dueUs: number): Pick<Job, "state" | "rank" | "wakeUs"> {
    const rank = rankOf(dueUs, priority, this.limits)
    return dueUs <= group.nowUs ? { state: stateOf.ready, rank, wakeUs: null } : { state: stateOf.waiting, rank, wakeUs: dueUs }
  }

  /** Is another job of this order key in the way? */
  isBlocked(open: Open, orderKey: string | null): boolean {
    return orderKey !== null && (open.order.get(orderKey)?.length ?? 0) > 0
  }

  /** One of the order key is out of the way: the next one's turn. A blocked job keeps in `rank` when it comes due. */
  unblock(group: Group, open: Open, orderKey: string | null): void {
    if (orderKey === null) return
    const next = open.order.get(orderKey)?.[0]
    const found = next === undefined ? undefined : this.jobs.get(open.lane.id, next)
    if (found?.state !== stateOf.blocked) return
    const row = this.verified(open, found)
    this.put(group, open, row.id, { ...row, ...this.due(group, row.priority, row.rank) })
  }

  /** A job is gone. */
  remove(group: Group, open: Open, row: JobRow): void {
    this.put(group, open, row.id, undefined)
    if (row.state !== stateOf.dead) this.unblock(group, open, row.orderKey)
  }

  /** No more attempts. */
  bury(group: Group, open: Open, row: JobRow, error: string): void {
    this.put(group, open, row.id, { ...row, state: stateOf.dead, wakeUs: null, error })
    this.unblock(group, open, row.orderKey)
  }

  /** Another attempt at `dueUs`. */
  again(group: Group, open: Open, row: JobRow, dueUs: number, changes: { readonly error?: string; readonly attempts?: number }): void {
    this.put(group, open, row.id, { ...row, ...this.due(group, row.priority, dueUs), ...changes })
  }

  putSchedule(group: Group, open: Open, named: string, given: Omit<Scheduled, "sum" | "lane"> | undefined): Scheduled | undefined {
    const row = given === undefined ? undefined : { ...given, lane: open.lane.id, sum: scheduleSum(open.lane, given) }
    const old = this.schedules.put(group, open.lane.id, named, row)
    const by = (row === undefined ? 0 : 1) - (old === undefined ? 0 : 1)
    open.schedules += by
    group.undo(() => (open.schedules -= by))
    group.add(name, 0, (row === undefined ? 0 : bytesOfSchedule(row)) - (old === undefined ? 0 : bytesOfSchedule(old)), (row?.sum ?? 0) ^ (old?.sum ?? 0))
    this.touch(group, open)
    return old
  }

  putKnown(group: Group, open: Open, key: string, given: Omit<Known, "sum" | "lane"> | undefined): void {
    const row = given === undefined ? undefined : { ...given, lane: open.lane.id, sum: idempotencySum(open.lane, given) }
    const old = this.known.put(group, open.lane.id, key, row)
    group.add(name, 0, (row === undefined ? 0 : bytesOfIdempotency(row)) - (old === undefined ? 0 : bytesOfIdempotency(old)), (row?.sum ?? 0) ^ (old?.sum ?? 0))
  }
}

/** Of a lease, for the digest. */
export const leaseNumbers = (open: Open, id: number, untilUs: number): Uint8Array => numbers(open.lane.id, id, untilUs)
