/** The rows of schedules, and those of idempotency keys: what a queue remembers besides its jobs. */
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { NewJob, QueueAnswers, Schedule } from "../../port/queue.ts"
import { type Place, textOf } from "../../port/place.ts"
import { nextTimeUs } from "../queue.ts"
import {
  bytesOfIdempotency,
  bytesOfSchedule,
  checkedSchedule,
  digestOf,
  type IdempotencyRow,
  idempotencySum,
  scheduleOf,
  type ScheduleRow,
  scheduleSum,
} from "../queue-row.ts"
import type { Jobs, QueueContext } from "./queue-job.ts"
import type { Lane } from "./queue-lane.ts"

const utf8 = new TextEncoder()

export const scheduleColumns = "name, next_us AS nextUs, spec, payload, sum"
export const idempotencyColumns = "key, job, digest, until_us AS untilUs, sum"

export function verifiedSchedule(store: string, lane: Place, row: ScheduleRow): ScheduleRow {
  if (scheduleSum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_schedule", key: `${textOf(lane.key)} ${row.name}` })
  return row
}

export function verifiedKnown(store: string, lane: Place, row: IdempotencyRow): IdempotencyRow {
  if (idempotencySum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_idempotency", key: `${textOf(lane.key)} ${row.key}` })
  return row
}

export function schedule(jobs: Jobs, lane: Lane, given: Schedule): number {
  const { sql, limits } = jobs.context
  const { spec, payload } = checkedSchedule(given, limits)
  const nextUs = nextTimeUs(given, jobs.group.nowUs)
  unschedule(jobs, lane, given.name)
  checkLimit(
    "queue",
    "schedulesMax",
    "schedules",
    limits.schedulesMax,
    1 + Number(sql("SELECT count(*) AS n FROM queue_schedule WHERE lane = ?").get(lane.id)?.["n"]),
  )
  const row = { name: given.name, nextUs, spec, payload }
  jobs.group.change(utf8.encode("schedule"), lane.tenant, lane.key, utf8.encode(spec), payload)
  const sum = scheduleSum(lane, row)
  sql("INSERT INTO queue_schedule (lane, name, next_us, spec, payload, sum) VALUES (?, ?, ?, ?, ?, ?)").run(lane.id, row.name, nextUs, spec, payload, sum)
  jobs.total(lane, 0, bytesOfSchedule(row), sum)
  lane.isChanged = true
  return nextUs
}

export function unschedule(jobs: Jobs, lane: Lane, name: string): boolean {
  const row = jobs.context.sql(`DELETE FROM queue_schedule WHERE lane = ? AND name = ? RETURNING ${scheduleColumns}`).get(lane.id, name) as
    | ScheduleRow
    | undefined
  if (row === undefined) return false
  jobs.group.change(utf8.encode("unschedule"), lane.tenant, lane.key, utf8.encode(name))
  jobs.total(lane, 0, -bytesOfSchedule(row), row.sum)
  lane.isChanged = true
  return true
}

/** Schedules of a lane that are due, with how to set each one's next time. */
export function dueSchedules(
  jobs: Jobs,
  lane: Lane,
  countMax: number,
): ReadonlyArray<{ readonly schedule: Schedule; readonly dueUs: number; next(nextUs: number): void }> {
  const { sql, store } = jobs.context
  const rows = sql(`SELECT ${scheduleColumns} FROM queue_schedule WHERE lane = ? AND next_us <= ? ORDER BY next_us LIMIT ?`).all(
    lane.id,
    jobs.group.nowUs,
    countMax,
  )
  return rows.map((found) => {
    const row = verifiedSchedule(store, lane, found as unknown as ScheduleRow)
    return {
      schedule: scheduleOf(row),
      dueUs: row.nextUs,
      next(nextUs) {
        const sum = scheduleSum(lane, { ...row, nextUs })
        sql("UPDATE queue_schedule SET next_us = ?, sum = ? WHERE lane = ? AND name = ?").run(nextUs, sum, lane.id, row.name)
        jobs.total(lane, 0, 0, row.sum ^ sum)
      },
    }
  })
}

export function schedules({ sql, store }: QueueContext, lane: Lane): QueueAnswers["schedules"] {
  return sql(`SELECT ${scheduleColumns} FROM queue_schedule WHERE lane = ? ORDER BY name`)
    .all(lane.id)
    .map((found) => {
      const row = verifiedSchedule(store, lane, found as unknown as ScheduleRow)
      return { schedule: scheduleOf(row), nextUs: row.nextUs }
    })
}

/** The job that has this idempotency key already. Throws `JobConflict` when it is another one. */
export function known(jobs: Jobs, lane: Lane, job: NewJob & { readonly idempotencyKey: string }): number | undefined {
  const { sql, store } = jobs.context
  const row = sql(`SELECT ${idempotencyColumns} FROM queue_idempotency WHERE lane = ? AND key = ?`).get(lane.id, job.idempotencyKey) as
    | IdempotencyRow
    | undefined
  if (row === undefined) return undefined
  verifiedKnown(store, lane, row)
  if (!Buffer.from(row.digest).equals(digestOf(job)))
    throw new StorageError("JobConflict", { store, queue: textOf(lane.key), idempotencyKey: job.idempotencyKey, job: row.job })
  return row.job
}

export function remember(jobs: Jobs, lane: Lane, job: NewJob & { readonly idempotencyKey: string }, id: number): void {
  const { sql, limits } = jobs.context
  const row = { key: job.idempotencyKey, job: id, digest: digestOf(job), untilUs: jobs.group.nowUs + limits.idempotencyKeptMs * 1_000 }
  const sum = idempotencySum(lane, row)
  sql("INSERT INTO queue_idempotency (lane, key, job, digest, until_us, sum) VALUES (?, ?, ?, ?, ?, ?)").run(lane.id, row.key, id, row.digest, row.untilUs, sum)
  jobs.total(lane, 0, bytesOfIdempotency(row), sum)
}

/** Forgets keys whose time is over, at most so many; one whose job is still there is kept as long again. */
export function forget(jobs: Jobs, countMax: number): void {
  const { sql, limits } = jobs.context
  const { nowUs } = jobs.group
  const rows = sql(`SELECT lane, ${idempotencyColumns} FROM queue_idempotency WHERE until_us <= ? ORDER BY until_us LIMIT ?`).all(nowUs, countMax)
  for (const found of rows) {
    const row = found as unknown as IdempotencyRow & { readonly lane: number }
    const lane = jobs.lanes.byId(row.lane)
    if (lane === undefined) continue
    if (jobs.get(lane, row.job) === undefined) {
      sql("DELETE FROM queue_idempotency WHERE lane = ? AND key = ?").run(lane.id, row.key)
      jobs.total(lane, 0, -bytesOfIdempotency(row), row.sum)
      continue
    }
    const untilUs = nowUs + limits.idempotencyKeptMs * 1_000
    const sum = idempotencySum(lane, { ...row, untilUs })
    sql("UPDATE queue_idempotency SET until_us = ?, sum = ? WHERE lane = ? AND key = ?").run(untilUs, sum, lane.id, row.key)
    jobs.total(lane, 0, 0, row.sum ^ sum)
  }
}
