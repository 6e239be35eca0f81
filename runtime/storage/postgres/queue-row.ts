/** Rows of the queue's tables as the server gives them. Texts are bytes there: a text of the server's cannot hold U+0000. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { JobInfo, JobState } from "../../port/queue.ts"
import { textOf } from "../../port/place.ts"
import { type Job, states, sumOfJob } from "../queue.ts"
import { type IdempotencyRow, idempotencySum, type ScheduleRow, scheduleSum } from "../queue-row.ts"
import type { Row } from "./connection.ts"

const utf8 = new TextEncoder()

/** Of the total too. */
export const name = "queue"

export type JobRow = Job & { readonly lane: number; readonly sum: number }
export type Scheduled = ScheduleRow & { readonly lane: number }
export type Known = IdempotencyRow & { readonly lane: number }

/** A tenant's part of a queue, with how many of its jobs are in each state. */
export interface Lane extends Record<JobState, number> {
  readonly tenant: Uint8Array
  readonly key: Uint8Array
  /** The tenant's revision when it was made. */
  readonly id: number
}

export const laneColumns = "key, id, ready, waiting, blocked, leased, dead"
export const jobColumns =
  "lane, id, state, priority, rank, wake_us, token, attempts, attempts_max, backoff_ms, backoff_ms_max, enqueued_us, scheduled_us, sum, order_key, idempotency_key, error, payload"
export const scheduleColumns = "lane, name, next_us, spec, payload, sum"
export const idempotencyColumns = "lane, key, job, digest, until_us, sum"
/** What a row counts against quotas, in SQL. */
export const jobBytes = "octet_length(payload) + coalesce(octet_length(order_key), 0) + coalesce(octet_length(idempotency_key), 0)"
export const scheduleBytes = "octet_length(name) + octet_length(spec) + octet_length(payload)"
export const idempotencyBytes = "octet_length(key) + octet_length(digest)"

const numberOrNull = (value: unknown): number | null => (value === null ? null : Number(value))
const textOrNull = (value: unknown): string | null => (value === null ? null : textOf(value as Uint8Array))
export const bytesOrNull = (value: string | null): Uint8Array | null => (value === null ? null : utf8.encode(value))

export const laneOf = (tenant: Uint8Array, row: Row): Lane => ({
  tenant,
  key: row["key"] as Uint8Array,
  id: Number(row["id"]),
  ...(Object.fromEntries(states.map((state) => [state, Number(row[state])])) as Record<JobState, number>),
})

export const jobOf = (row: Row): JobRow => ({
  lane: Number(row["lane"]),
  id: Number(row["id"]),
  state: Number(row["state"]),
  priority: Number(row["priority"]),
  rank: Number(row["rank"]),
  wakeUs: numberOrNull(row["wake_us"]),
  token: Number(row["token"]),
  attempts: Number(row["attempts"]),
  attemptsMax: Number(row["attempts_max"]),
  backoffMs: Number(row["backoff_ms"]),
  backoffMsMax: Number(row["backoff_ms_max"]),
  enqueuedUs: Number(row["enqueued_us"]),
  scheduledUs: numberOrNull(row["scheduled_us"]),
  sum: Number(row["sum"]),
  orderKey: textOrNull(row["order_key"]),
  idempotencyKey: textOrNull(row["idempotency_key"]),
  error: textOrNull(row["error"]),
  payload: row["payload"] as Uint8Array,
})

export const scheduledOf = (row: Row): Scheduled => ({
  lane: Number(row["lane"]),
  name: textOf(row["name"] as Uint8Array),
  nextUs: Number(row["next_us"]),
  spec: textOf(row["spec"] as Uint8Array),
  payload: row["payload"] as Uint8Array,
  sum: Number(row["sum"]),
})

export const knownOf = (row: Row): Known => ({
  lane: Number(row["lane"]),
  key: textOf(row["key"] as Uint8Array),
  job: Number(row["job"]),
  digest: row["digest"] as Uint8Array,
  untilUs: Number(row["until_us"]),
  sum: Number(row["sum"]),
})

type Named = Pick<Lane, "tenant" | "key">

/** Bytes that are not those that were written are no answer. */
export function verified(store: string, lane: Named, row: JobRow): JobRow {
  if (sumOfJob(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_job", key: `${textOf(lane.key)} ${row.id}` })
  return row
}
export function verifiedSchedule(store: string, lane: Named, row: Scheduled): Scheduled {
  if (scheduleSum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_schedule", key: `${textOf(lane.key)} ${row.name}` })
  return row
}
export function verifiedKnown(store: string, lane: Named, row: Known): Known {
  if (idempotencySum(lane, row) !== row.sum) throw new StorageError("Corrupt", { store, table: "queue_idempotency", key: `${textOf(lane.key)} ${row.key}` })
  return row
}

export const infoOf = ({ id, state, payload, attempts, attemptsMax, priority, orderKey, enqueuedUs, wakeUs, error }: JobRow): JobInfo => ({
  id,
  state: states[state] as JobState,
  payload,
  attempts,
  attemptsMax,
  priority,
  orderKey: orderKey ?? undefined,
  enqueuedUs,
  wakeUs: wakeUs ?? undefined,
  error: error ?? undefined,
})
