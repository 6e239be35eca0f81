/** The queue's table: what its operations do to jobs and lanes. `docs/adr/0014-queue.md` says why it is built so. */
import type { DatabaseSync, StatementSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import { bytesOf, type Place, textOf } from "../../port/place.ts"
import type { JobInfo, LeaseRef, NewJob, QueueAnswers, QueueDepth, QueueOperation, QueueQuestion, QueueResults } from "../../port/queue.ts"
import { backoffMsOf, bytesOfJob, cut, numbers, stateOf, states, whole } from "../queue.ts"
import type { Finding } from "../../port/store.ts"
import type { Rewrite, TenantRecord } from "../../port/tenant.ts"
import type { StoreClock } from "../clock.ts"
import { rowsMax } from "../row.ts"
import { checkQueue } from "./queue-check.ts"
import { Jobs, jobColumns, type QueueContext, type Row, verified } from "./queue-job.ts"
import { type Lane, Lanes } from "./queue-lane.ts"
import { lease } from "./queue-lease.ts"
import { forget, known, remember, schedule, schedules, unschedule } from "./queue-schedule.ts"
import { eraseQueue, exportQueue, importQueue, rewriteQueue } from "./queue-tenant.ts"
import { statementsOf } from "./statement.ts"
import type { Table, TableContext } from "./table.ts"
import { TotalTable } from "./totals.ts"
import type { Group } from "./writer.ts"

const utf8 = new TextEncoder()

export class QueueTable implements Table<QueueOperation, QueueQuestion> {
  static readonly operations = ["enqueue", "lease", "extend", "complete", "release", "fail", "cancel", "redrive", "schedule", "unschedule"] as const
  static readonly refusedFirst = [] as const
  static readonly questions = ["job", "queue", "dead", "schedules", "ready"] as const
  readonly name = "queue"
  readonly counts = "job"
  readonly totals: TotalTable
  readonly #database: DatabaseSync
  readonly #context: QueueContext
  readonly #sql: (sql: string) => StatementSync
  readonly #clock: StoreClock

  constructor({ database, store, limits, clock }: TableContext) {
    this.#database = database
    this.#clock = clock
    this.#sql = statementsOf(database)
    this.totals = new TotalTable(database, "queue_total")
    this.#context = { sql: this.#sql, store, limits: limits.queue, totals: this.totals }
  }

  apply(group: Group, operation: QueueOperation): QueueResults[QueueOperation["op"]] {
    const jobs = new Jobs(this.#context, group)
    const result = this.#apply(jobs, operation)
    jobs.lanes.write()
    return result
  }

  #apply(jobs: Jobs, operation: QueueOperation): QueueResults[QueueOperation["op"]] {
    const { limits } = this.#context
    switch (operation.op) {
      case "enqueue":
        return this.#enqueue(jobs, operation, operation.jobs)
      case "lease": {
        const { key, tenant, countMax, leaseMs } = operation
        whole("countMax", countMax, 1, limits.batchJobsMax, "jobs", "batchJobsMax")
        whole("leaseMs", leaseMs, 1, limits.leaseMsMax, "ms", "leaseMsMax")
        return lease(jobs, key, tenant, countMax, leaseMs)
      }
      case "extend": {
        whole("leaseMs", operation.leaseMs, 1, limits.leaseMsMax, "ms", "leaseMsMax")
        const wakeUs = jobs.group.nowUs + operation.leaseMs * 1_000
        for (const [lane, row] of this.#held(jobs, operation.leases, "extend")) jobs.put(lane, row, { ...row, wakeUs })
        return wakeUs
      }
      case "complete":
        for (const ref of operation.leases) this.#complete(jobs, ref)
        return undefined
      case "release":
        for (const [lane, row] of this.#held(jobs, operation.leases, "release")) jobs.again(lane, row, jobs.group.nowUs, { attempts: row.attempts - 1 })
        return undefined
      case "fail":
        return this.#fail(jobs, operation)
      case "cancel": {
        const lane = jobs.lanes.find(operation)
        const row = lane === undefined ? undefined : jobs.get(lane, operation.id)
        if (lane === undefined || row === undefined) return false
        jobs.group.change(utf8.encode("cancel"), lane.tenant, lane.key, numbers(row.id))
        this.#sql("DELETE FROM queue_job WHERE lane = ? AND id = ?").run(lane.id, row.id)
        jobs.removed(lane, row, bytesOfJob(row))
        return true
      }
      case "redrive":
        return this.#redrive(jobs, operation, operation.id, operation.countMax)
      case "schedule":
        return schedule(jobs, this.#lane(jobs, operation), operation.schedule)
      case "unschedule": {
        const lane = jobs.lanes.find(operation)
        return lane !== undefined && unschedule(jobs, lane, operation.name)
      }
    }
  }

  /** The lane of a queue, made when it is not there. */
  #lane(jobs: Jobs, place: Place): Lane {
    const { limits } = this.#context
    const lane = jobs.lanes.find(place)
    if (lane !== undefined) return lane
    checkLimit("queue", "nameBytesMax", "bytes", limits.nameBytesMax, bytesOf(place))
    const queues = Number(this.#sql("SELECT count(*) AS n FROM queue_lane WHERE tenant = ?").get(place.tenant)?.["n"])
    checkLimit("queue", "tenantQueuesMax", "queues", limits.tenantQueuesMax, queues + 1)
    jobs.group.change(utf8.encode("queue"), place.tenant, place.key)
    return jobs.lanes.make(place)
  }

  #enqueue(jobs: Jobs, place: Place, given: ReadonlyArray<NewJob>): QueueResults["enqueue"] {
    whole("jobs", given.length, 0, this.#context.limits.batchJobsMax, "jobs", "batchJobsMax")
    if (given.length === 0) return []
    const lane = this.#lane(jobs, place)
    forget(jobs, 2 * given.length)
    return given.map((job) => {
      const { idempotencyKey } = job
      if (idempotencyKey === undefined) return { id: jobs.add(lane, job, null), isNew: true }
      const named = { ...job, idempotencyKey }
      const old = known(jobs, lane, named)
      if (old !== undefined) return { id: old, isNew: false }
      const id = jobs.add(lane, job, null)
      remember(jobs, lane, named, id)
      return { id, isNew: true }
    })
  }

  #lost({ key, id, token }: LeaseRef): StorageError {
    return new StorageError("LeaseLost", { store: this.#context.store, queue: textOf(key), job: id, token })
  }

  /** Jobs that are held by these leases; each is a change. Whoever comes with an older token has lost it. */
  *#held(jobs: Jobs, refs: ReadonlyArray<LeaseRef>, what: string): Generator<readonly [Lane, Row]> {
    for (const ref of refs) {
      const lane = jobs.lanes.find(ref)
      const row = lane === undefined ? undefined : jobs.get(lane, ref.id)
      if (lane === undefined || row === undefined || row.state !== stateOf.leased || row.token !== ref.token) throw this.#lost(ref)
      jobs.group.change(utf8.encode(what), lane.tenant, lane.key, numbers(row.id, row.token))
      yield [lane, jobs.verified(lane, row)]
    }
  }

  /** One statement that finds the job only while the token is the newest. */
  #complete(jobs: Jobs, ref: LeaseRef): void {
    const lane = jobs.lanes.find(ref)
    const row =
      lane === undefined
        ? undefined
        : this.#sql(
            "DELETE FROM queue_job WHERE lane = ? AND id = ? AND token = ? AND state = 3 RETURNING state, sum, order_key AS orderKey, length(payload) + coalesce(octet_length(order_key), 0) + coalesce(octet_length(idempotency_key), 0) AS bytes",
          ).get(lane.id, ref.id, ref.token)
    if (lane === undefined || row === undefined) throw this.#lost(ref)
    jobs.group.change(utf8.encode("complete"), lane.tenant, lane.key, numbers(ref.id, ref.token))
    jobs.removed(lane, row as unknown as Row, Number(row["bytes"]))
  }

  #fail(jobs: Jobs, { error, retryMs, isFinal = false, ...ref }: QueueOperation & { readonly op: "fail" }): "waiting" | "dead" {
    const { limits } = this.#context
    if (retryMs !== undefined) whole("retryMs", retryMs, 0, limits.delayMsMax, "ms", "delayMsMax")
    const said = cut(String(error), limits.errorBytesMax)
    for (const [lane, row] of this.#held(jobs, [ref], "fail")) {
      if (isFinal || row.attempts >= row.attemptsMax) {
        jobs.bury(lane, row, said)
        return "dead"
      }
      jobs.again(lane, row, jobs.group.nowUs + (retryMs ?? backoffMsOf(row)) * 1_000, { error: said })
    }
    return "waiting"
  }

  #redrive(jobs: Jobs, place: Place, id: number | undefined, countMax: number): number {
    whole("countMax", countMax, 0, this.#context.limits.batchJobsMax, "jobs", "batchJobsMax")
    const lane = jobs.lanes.find(place)
    if (lane === undefined) return 0
    const rows = this.#sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ?1 AND state = 4 AND (?2 IS NULL OR id = ?2) ORDER BY id LIMIT ?3`).all(
      lane.id,
      id ?? null,
      countMax,
    )
    for (const found of rows) {
      const row = jobs.verified(lane, found as unknown as Row)
      jobs.group.change(utf8.encode("redrive"), lane.tenant, lane.key, numbers(row.id))
      const { nowUs } = jobs.group
      const state = jobs.isBlocked(lane, row.orderKey) ? { state: stateOf.blocked, rank: nowUs, wakeUs: null } : jobs.due(row.priority, nowUs)
      jobs.put(lane, row, { ...row, ...state, attempts: 0 })
    }
    return rows.length
  }

  ask(question: QueueQuestion): QueueAnswers[QueueQuestion["ask"]] {
    if (question.ask === "queue") return this.#depth(question.key, question.tenant)
    if (question.ask === "ready") return new Lanes(this.#sql).ready(question, this.#clock(), rowsMax(question.countMax))
    const lane = new Lanes(this.#sql).find(question)
    switch (question.ask) {
      case "job": {
        const row = lane === undefined ? undefined : this.#sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND id = ?`).get(lane.id, question.id)
        return lane === undefined || row === undefined ? undefined : this.#info(lane, row as unknown as Row)
      }
      case "dead": {
        if (lane === undefined) return []
        const rows = this.#sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND state = 4 AND id > ? ORDER BY id LIMIT ?`)
        return rows.all(lane.id, question.after, rowsMax(question.countMax)).map((row) => this.#info(lane, row as unknown as Row))
      }
      case "schedules":
        return lane === undefined ? [] : schedules(this.#context, lane)
    }
  }

  #info(lane: Lane, row: Row): JobInfo {
    const { id, state, payload, attempts, attemptsMax, priority, orderKey, enqueuedUs, wakeUs, error } = verified(this.#context.store, lane, row)
    return {
      id,
      state: states[state] as JobInfo["state"],
      payload,
      attempts,
      attemptsMax,
      priority,
      orderKey: orderKey ?? undefined,
      enqueuedUs,
      wakeUs: wakeUs ?? undefined,
      error: error ?? undefined,
    }
  }

  #depth(key: Uint8Array, tenant: Uint8Array | undefined): QueueDepth {
    const row = this.#sql(
      `SELECT ${states.map((state) => `coalesce(sum(${state}), 0) AS ${state}`).join(", ")}, count(*) FILTER (WHERE ready + waiting + blocked + leased + dead > 0) AS tenants,
        min((SELECT enqueued_us FROM queue_job WHERE lane = queue_lane.id AND state = 0 ORDER BY rank LIMIT 1)) AS oldestUs
      FROM queue_lane WHERE key = ?1 AND (?2 IS NULL OR tenant = ?2)`,
    ).get(key, tenant ?? null) as unknown as QueueDepth
    return { ...row, oldestUs: row.oldestUs ?? undefined }
  }

  export(tenant: Uint8Array, after: Uint8Array | undefined): Generator<TenantRecord> {
    return exportQueue(this.#database, this.#context, tenant, after)
  }

  import(group: Group, tenant: Uint8Array, record: TenantRecord): void {
    const jobs = new Jobs(this.#context, group)
    importQueue(jobs, (key) => this.#lane(jobs, { tenant, key }), record)
    jobs.lanes.write()
  }

  rewrite(group: Group, operation: Rewrite): boolean {
    const jobs = new Jobs(this.#context, group)
    const isDone = rewriteQueue(jobs, operation)
    jobs.lanes.write()
    return isDone
  }

  erase(group: Group, tenant: Uint8Array, countMax: number): number {
    const jobs = new Jobs(this.#context, group)
    const count = eraseQueue(jobs, tenant, countMax)
    jobs.lanes.write()
    return count
  }

  check(): ReadonlyArray<Finding> {
    return checkQueue(this.#database, this.#context)
  }
}
