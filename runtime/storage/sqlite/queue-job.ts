/** The rows of jobs while one operation changes them: sums, totals and the lanes' counts go with every change. */
import type { StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { JobState, NewJob, QueueLimits } from "../../port/queue.ts"
import { type Place, textOf } from "../../port/place.ts"
import { bytesOfJob, checkedJob, type Job, rankOf, states, stateOf, sumOfJob } from "../queue.ts"
import { type Lane, Lanes } from "./queue-lane.ts"
import { everybody, type TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

const utf8 = new TextEncoder()

export type Row = Job & { readonly sum: number }

export const jobColumns =
  "id, state, priority, rank, wake_us AS wakeUs, token, attempts, attempts_max AS attemptsMax, backoff_ms AS backoffMs, backoff_ms_max AS backoffMsMax, enqueued_us AS enqueuedUs, scheduled_us AS scheduledUs, sum, order_key AS orderKey, idempotency_key AS idempotencyKey, error, payload"

/** What every part of the table works with. */
export interface QueueContext {
  readonly sql: (sql: string) => StatementSync
  readonly store: string
  readonly limits: QueueLimits
  readonly totals: TotalTable
}

/** Also outside of an operation: bytes that are not those that were written are no answer. */
export function verified(store: string, place: Place, row: Row): Row {
  if (sumOfJob(place, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_job", key: `${textOf(place.key)} ${row.id}` })
  return row
}

export class Jobs {
  readonly context: QueueContext
  readonly group: Group
  readonly lanes: Lanes

  constructor(context: QueueContext, group: Group) {
    this.context = context
    this.group = group
    this.lanes = new Lanes(context.sql)
  }

  get(lane: Lane, id: number): Row | undefined {
    return this.context.sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND id = ?`).get(lane.id, id) as Row | undefined
  }

  verified(lane: Lane, row: Row): Row {
    return verified(this.context.store, lane, row)
  }

  /** Is there room for it? */
  check(lane: Lane, job: Pick<Job, "payload" | "orderKey" | "idempotencyKey">): void {
    const { limits, totals } = this.context
    const used = this.group.totals(totals)
    const bytes = bytesOfJob(job)
    checkLimit("queue", "payloadBytesMax", "bytes", limits.payloadBytesMax, job.payload.length)
    checkLimit("queue", "tenantJobsMax", "jobs", limits.tenantJobsMax, used.get(lane.tenant).keys + 1)
    checkLimit("queue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.get(lane.tenant).bytes + bytes)
    checkLimit("queue", "totalBytesMax", "bytes", limits.totalBytesMax, used.get(everybody).bytes + bytes)
  }

  /** Takes a new job in, behind those of its order key. */
  add(lane: Lane, given: NewJob, scheduledUs: number | null): number {
    const { limits } = this.context
    const { delayMs, ...job } = checkedJob(given, limits)
    const { orderKey = null, idempotencyKey = null } = given
    this.check(lane, { payload: job.payload, orderKey, idempotencyKey })
    const id = this.group.change(utf8.encode("enqueue"), lane.tenant, lane.key, job.payload)
    const dueUs = this.group.nowUs + delayMs * 1_000
    const state = this.isBlocked(lane, orderKey) ? { state: stateOf.blocked, rank: dueUs, wakeUs: null } : this.due(job.priority, dueUs)
    this.insert(lane, { id, ...job, ...state, token: 0, attempts: 0, enqueuedUs: this.group.nowUs, scheduledUs, orderKey, idempotencyKey, error: null })
    return id
  }

  insert(lane: Lane, job: Job): void {
    const sum = sumOfJob(lane, job)
    this.context
      .sql("INSERT INTO queue_job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .run(
        lane.id,
        job.id,
        job.state,
        job.priority,
        job.rank,
        job.wakeUs,
        job.token,
        job.attempts,
        job.attemptsMax,
        job.backoffMs,
        job.backoffMsMax,
        job.enqueuedUs,
        job.scheduledUs,
        sum,
        job.orderKey,
        job.idempotencyKey,
        job.error,
        job.payload,
      )
    this.#count(lane, job.state, 1)
    this.total(lane, 1, bytesOfJob(job), sum)
  }

  /** Writes a job's new state over its old one. */
  put(lane: Lane, old: Row, job: Job): void {
    const sum = sumOfJob(lane, job)
    this.context
      .sql("UPDATE queue_job SET state = ?, rank = ?, wake_us = ?, token = ?, attempts = ?, error = ?, sum = ? WHERE lane = ? AND id = ?")
      .run(job.state, job.rank, job.wakeUs, job.token, job.attempts, job.error, sum, lane.id, job.id)
    this.#count(lane, old.state, -1)
    this.#count(lane, job.state, 1)
    this.total(lane, 0, 0, old.sum ^ sum)
  }

  /** After its row is gone, with nothing coming of it. */
  forgotten(lane: Lane, row: Pick<Row, "state" | "sum">, bytes: number): void {
    this.#count(lane, row.state, -1)
    this.total(lane, -1, -bytes, row.sum)
  }

  /** After its row is gone. */
  removed(lane: Lane, row: Pick<Row, "state" | "sum" | "orderKey">, bytes: number): void {
    this.forgotten(lane, row, bytes)
    if (row.state !== stateOf.dead) this.unblock(lane, row.orderKey)
  }

  total(lane: Lane, keys: number, bytes: number, sums: number): void {
    this.group.totals(this.context.totals).add(lane.tenant, keys, bytes, sums)
  }

  #count(lane: Lane, state: number, by: number): void {
    lane[states[state] as JobState] += by
    lane.isChanged = true
  }

  /** State, rank and end of the wait of a job that comes due at `dueUs`. */
  due(priority: number, dueUs: number): Pick<Job, "state" | "rank" | "wakeUs"> {
    const rank = rankOf(dueUs, priority, this.context.limits)
    return dueUs <= this.group.nowUs ? { state: stateOf.ready, rank, wakeUs: null } : { state: stateOf.waiting, rank, wakeUs: dueUs }
  }

  /** Is another job of this order key in the way? */
  isBlocked(lane: Lane, orderKey: string | null): boolean {
    if (orderKey === null) return false
    return this.context.sql("SELECT 1 FROM queue_job WHERE lane = ? AND order_key = ? AND state < 4 LIMIT 1").get(lane.id, orderKey) !== undefined
  }

  /** One of the order key is out of the way: the next one's turn. A blocked job keeps in `rank` when it comes due. */
  unblock(lane: Lane, orderKey: string | null): void {
    if (orderKey === null) return
    const found = this.context
      .sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND order_key = ? AND state < 4 ORDER BY id LIMIT 1`)
      .get(lane.id, orderKey) as Row | undefined
    if (found?.state !== stateOf.blocked) return
    const next = this.verified(lane, found)
    this.put(lane, next, { ...next, ...this.due(next.priority, next.rank) })
  }

  /** No more attempts. */
  bury(lane: Lane, row: Row, error: string): void {
    this.put(lane, row, { ...row, state: stateOf.dead, wakeUs: null, error })
    this.unblock(lane, row.orderKey)
  }

  /** Another attempt at `dueUs`. */
  again(lane: Lane, row: Row, dueUs: number, changes: { readonly error?: string; readonly attempts?: number }): void {
    this.put(lane, row, { ...row, ...this.due(row.priority, dueUs), ...changes })
  }
}
