/** The rows of schedules, and those of idempotency keys: what a queue remembers besides its jobs. */
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { checkLimit, utf8Length } from "../../../host/port/port.ts"
import type { NewJob, QueueAnswers, Schedule } from "../../port/queue.ts"
import { type Place, textOf } from "../../port/place.ts"
import { checkedJob, nextTimeUs, numbers, text, whole } from "../queue.ts"
import { sumOf } from "../row.ts"
import type { Jobs, QueueContext } from "./queue-job.ts"
import type { Lane } from "./queue-lane.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const utf8 = new TextEncoder()

export interface ScheduleRow {
  readonly name: string
  readonly nextUs: number
  readonly spec: string
  readonly payload: Uint8Array
  readonly sum: number
}

export interface IdempotencyRow {
  readonly key: string
  readonly job: number
  readonly digest: Uint8Array
  readonly untilUs: number
  readonly sum: number
}

export const scheduleColumns = "name, next_us AS nextUs, spec, payload, sum"
export const idempotencyColumns = "key, job, digest, until_us AS untilUs, sum"

export const scheduleSum = ({ tenant, key }: Place, row: Omit<ScheduleRow, "sum">): number =>
  sumOf({ tenant, key }, Buffer.concat([utf8.encode(JSON.stringify([row.name, row.spec])), row.payload]), row.nextUs)

export const idempotencySum = ({ tenant, key }: Place, row: Omit<IdempotencyRow, "sum">): number =>
  sumOf({ tenant, key }, Buffer.concat([utf8.encode(row.key), numbers(row.job), row.digest]), row.untilUs)

export const bytesOfSchedule = (row: Pick<ScheduleRow, "name" | "spec" | "payload">): number => utf8Length(row.name) + utf8Length(row.spec) + row.payload.length
export const bytesOfIdempotency = (row: Pick<IdempotencyRow, "key" | "digest">): number => utf8Length(row.key) + row.digest.length

const scheduleOf = ({ spec, payload }: ScheduleRow): Schedule => {
  const schedule = JSON.parse(spec) as Schedule
  return { ...schedule, job: { ...schedule.job, payload } }
}

function verifiedSchedule(store: string, lane: Place, row: ScheduleRow): ScheduleRow {
  if (scheduleSum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_schedule", key: `${textOf(lane.key)} ${row.name}` })
  return row
}

export function schedule(jobs: Jobs, lane: Lane, given: Schedule): number {
  const { sql, limits } = jobs.context
  text("schedule.name", given.name, limits)
  const missed = given.missed ?? "once"
  if (!["once", "all", "skip"].includes(missed))
    throw new ConfigError("Option", { option: "schedule.missed", expected: "once, all or skip", actual: String(missed) })
  const { payload, ...job } = checkedJob(given.job, limits)
  checkLimit("queue", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
  if ("everyMs" in given) whole("schedule.everyMs", given.everyMs, 1, limits.delayMsMax, "ms", "delayMsMax")
  const time = "everyMs" in given ? { everyMs: given.everyMs } : { cron: given.cron }
  const nextUs = nextTimeUs(given, jobs.group.nowUs)
  unschedule(jobs, lane, given.name)
  checkLimit(
    "queue",
    "schedulesMax",
    "schedules",
    limits.schedulesMax,
    1 + Number(sql("SELECT count(*) AS n FROM queue_schedule WHERE lane = ?").get(lane.id)?.["n"]),
  )
  const orderKey = given.job.orderKey === undefined ? {} : { orderKey: given.job.orderKey }
  const spec = JSON.stringify({ name: given.name, ...time, missed, job: { ...job, ...orderKey } })
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

const digestOf = ({ payload, orderKey }: NewJob): Uint8Array =>
  hash("sha256", Buffer.concat([utf8.encode(JSON.stringify(orderKey ?? null)), payload]), "buffer") as unknown as Uint8Array

/** The job that has this idempotency key already. Throws `JobConflict` when it is another one. */
export function known(jobs: Jobs, lane: Lane, job: NewJob & { readonly idempotencyKey: string }): number | undefined {
  const { sql, store } = jobs.context
  const row = sql(`SELECT ${idempotencyColumns} FROM queue_idempotency WHERE lane = ? AND key = ?`).get(lane.id, job.idempotencyKey) as
    | IdempotencyRow
    | undefined
  if (row === undefined) return undefined
  if (idempotencySum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_idempotency", key: `${textOf(lane.key)} ${row.key}` })
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
