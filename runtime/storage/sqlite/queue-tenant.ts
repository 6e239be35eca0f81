/** A tenant's jobs, schedules and idempotency keys as records: exported, taken in, erased. Turns are not: a tenant joins the ring anew. */
import type { DatabaseSync } from "node:sqlite"
import type { Rewrite, TenantRecord } from "../../port/tenant.ts"
import { bytesOfJob, sumOfJob } from "../queue.ts"
import {
  bytesOfIdempotency,
  bytesOfSchedule,
  fieldsOfJob,
  type IdempotencyRow,
  idempotencySum,
  isSame,
  kinds,
  orderIn,
  placeIn,
  rewrittenJob,
  rewrittenPlace,
  rowIn,
  type ScheduleRow,
  scheduleSum,
} from "../queue-row.ts"
import { orderOf, placeOfOrder } from "../record.ts"
import { type Jobs, jobColumns, type QueueContext, type Row, verified } from "./queue-job.ts"
import { type Lane, laneColumns } from "./queue-lane.ts"
import { idempotencyColumns, scheduleColumns, verifiedKnown, verifiedSchedule } from "./queue-schedule.ts"

const utf8 = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

export function* exportQueue(database: DatabaseSync, { store }: QueueContext, tenant: Uint8Array, after: Uint8Array | undefined): Generator<TenantRecord> {
  const lanes = database
    .prepare(`SELECT ${laneColumns} FROM queue_lane WHERE tenant = ? ORDER BY length(key), key`)
    .all(tenant) as unknown as ReadonlyArray<Lane>
  const from = after === undefined ? undefined : placeIn(after)
  for (const kind of kinds) {
    for (const lane of lanes) {
      // Lanes before the one that `after` is in are done.
      const compared = after === undefined ? 1 : Buffer.compare(orderIn(kind, lane, new Uint8Array(0)), after.subarray(0, 5 + (from?.key.length ?? 0)))
      if (compared < 0) continue
      const own = compared === 0 ? from?.own : undefined
      yield* rowsIn(database, store, kind, lane, own)
    }
  }
}

function* rowsIn(database: DatabaseSync, store: string, kind: (typeof kinds)[number], lane: Lane, own: Uint8Array | undefined): Generator<TenantRecord> {
  if (kind === "job") {
    const rows = database.prepare(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? AND id > ? ORDER BY id`)
    for (const row of rows.iterate(lane.id, own === undefined ? 0 : (placeOfOrder(own)?.number ?? 0)))
      yield { order: orderIn(kind, lane, orderOf(new Uint8Array(0), Number(row["id"]))), fields: fieldsOfJob(verified(store, lane, row as unknown as Row)) }
  } else if (kind === "schedule") {
    const rows = database.prepare(`SELECT ${scheduleColumns} FROM queue_schedule WHERE lane = ?1 AND (?2 IS NULL OR name > ?2) ORDER BY name`)
    for (const row of rows.iterate(lane.id, own === undefined ? null : decoder.decode(own))) {
      const { name, nextUs, spec, payload } = row as unknown as ScheduleRow
      yield { order: orderIn(kind, lane, utf8.encode(name)), fields: { nextUs: BigInt(nextUs), spec: utf8.encode(spec), payload } }
    }
  } else {
    const rows = database.prepare(`SELECT ${idempotencyColumns} FROM queue_idempotency WHERE lane = ?1 AND (?2 IS NULL OR key > ?2) ORDER BY key`)
    for (const row of rows.iterate(lane.id, own === undefined ? null : decoder.decode(own))) {
      const { key, job, digest, untilUs } = row as unknown as IdempotencyRow
      yield { order: orderIn(kind, lane, utf8.encode(key)), fields: { job: BigInt(job), digest, untilUs: BigInt(untilUs) } }
    }
  }
}

/** Takes a record in, in place of one that is there already. */
export function importQueue(jobs: Jobs, makeLane: (key: Uint8Array) => Lane, record: TenantRecord): void {
  const { sql, store } = jobs.context
  const { kind, key, row } = rowIn(store, record)
  const lane = makeLane(key)
  if (kind === "job") {
    const old = jobs.get(lane, row.id)
    if (old !== undefined) {
      sql("DELETE FROM queue_job WHERE lane = ? AND id = ?").run(lane.id, old.id)
      jobs.forgotten(lane, old, bytesOfJob(old))
    }
    jobs.check(lane, row)
    jobs.insert(lane, row)
    return
  }
  if (kind === "schedule") {
    const { name } = row
    const old = sql(`DELETE FROM queue_schedule WHERE lane = ? AND name = ? RETURNING ${scheduleColumns}`).get(lane.id, name) as ScheduleRow | undefined
    if (old !== undefined) jobs.total(lane, 0, -bytesOfSchedule(old), old.sum)
    const sum = scheduleSum(lane, row)
    sql("INSERT INTO queue_schedule (lane, name, next_us, spec, payload, sum) VALUES (?, ?, ?, ?, ?, ?)").run(
      lane.id,
      name,
      row.nextUs,
      row.spec,
      row.payload,
      sum,
    )
    jobs.total(lane, 0, bytesOfSchedule(row), sum)
  } else {
    const { key: name } = row
    const old = sql(`DELETE FROM queue_idempotency WHERE lane = ? AND key = ? RETURNING ${idempotencyColumns}`).get(lane.id, name) as IdempotencyRow | undefined
    if (old !== undefined) jobs.total(lane, 0, -bytesOfIdempotency(old), old.sum)
    const sum = idempotencySum(lane, row)
    sql("INSERT INTO queue_idempotency (lane, key, job, digest, until_us, sum) VALUES (?, ?, ?, ?, ?, ?)").run(
      lane.id,
      name,
      row.job,
      row.digest,
      row.untilUs,
      sum,
    )
    jobs.total(lane, 0, bytesOfIdempotency(row), sum)
  }
  lane.isChanged = true
}

/** Other bytes in a job, a schedule or an idempotency key, if it has those of before; what they add up to goes along. */
export function rewriteQueue(jobs: Jobs, operation: Rewrite): boolean {
  const { sql, store } = jobs.context
  const { tenant, order, field, from, to } = operation
  const { kind, key, own, id } = rewrittenPlace(store, operation)
  const lane = jobs.lanes.find({ tenant, key })
  if (lane === undefined) return false
  const name = decoder.decode(own)
  const change = (): number => jobs.group.change(utf8.encode("rewrite"), tenant, order, to)
  if (kind === "job") {
    const old = jobs.get(lane, id)
    const row = old === undefined ? undefined : rewrittenJob(jobs.verified(lane, old), field, from, to)
    if (old === undefined || row === undefined) return false
    change()
    const sum = sumOfJob(lane, row)
    sql("UPDATE queue_job SET payload = ?, error = ?, sum = ? WHERE lane = ? AND id = ?").run(row.payload, row.error, sum, lane.id, id)
    jobs.total(lane, 0, bytesOfJob(row) - bytesOfJob(old), old.sum ^ sum)
    return true
  }
  if (kind === "schedule") {
    const old = sql(`SELECT ${scheduleColumns} FROM queue_schedule WHERE lane = ? AND name = ?`).get(lane.id, name) as ScheduleRow | undefined
    if (old === undefined || !isSame(old.payload, from)) return false
    change()
    const row = { ...verifiedSchedule(store, lane, old), payload: to }
    const sum = scheduleSum(lane, row)
    sql("UPDATE queue_schedule SET payload = ?, sum = ? WHERE lane = ? AND name = ?").run(to, sum, lane.id, name)
    jobs.total(lane, 0, bytesOfSchedule(row) - bytesOfSchedule(old), old.sum ^ sum)
    return true
  }
  const old = sql(`SELECT ${idempotencyColumns} FROM queue_idempotency WHERE lane = ? AND key = ?`).get(lane.id, name) as IdempotencyRow | undefined
  if (old === undefined || !isSame(old.digest, from)) return false
  change()
  const row = { ...verifiedKnown(store, lane, old), digest: to }
  const sum = idempotencySum(lane, row)
  sql("UPDATE queue_idempotency SET digest = ?, sum = ? WHERE lane = ? AND key = ?").run(to, sum, lane.id, name)
  jobs.total(lane, 0, bytesOfIdempotency(row) - bytesOfIdempotency(old), old.sum ^ sum)
  return true
}

/** Removes up to `countMax` rows of a tenant, its queues last. */
export function eraseQueue(jobs: Jobs, tenant: Uint8Array, countMax: number): number {
  const { sql } = jobs.context
  const lanes = sql(`SELECT ${laneColumns} FROM queue_lane WHERE tenant = ? LIMIT ?`).all(tenant, countMax) as unknown as ReadonlyArray<Lane>
  let count = 0
  for (const { id } of lanes) {
    const lane = jobs.lanes.byId(id) as Lane
    for (const row of sql(`SELECT ${jobColumns} FROM queue_job WHERE lane = ? LIMIT ?`).all(id, countMax - count)) {
      const job = row as unknown as Row
      sql("DELETE FROM queue_job WHERE lane = ? AND id = ?").run(id, job.id)
      jobs.forgotten(lane, job, bytesOfJob(job))
      count++
    }
    for (const row of sql(`SELECT ${scheduleColumns} FROM queue_schedule WHERE lane = ? LIMIT ?`).all(id, countMax - count)) {
      const schedule = row as unknown as ScheduleRow
      sql("DELETE FROM queue_schedule WHERE lane = ? AND name = ?").run(id, schedule.name)
      jobs.total(lane, 0, -bytesOfSchedule(schedule), schedule.sum)
      lane.isChanged = true
      count++
    }
    for (const row of sql(`SELECT ${idempotencyColumns} FROM queue_idempotency WHERE lane = ? LIMIT ?`).all(id, countMax - count)) {
      const known = row as unknown as IdempotencyRow
      sql("DELETE FROM queue_idempotency WHERE lane = ? AND key = ?").run(id, known.key)
      jobs.total(lane, 0, -bytesOfIdempotency(known), known.sum)
      count++
    }
    if (count >= countMax) return count
    jobs.lanes.remove(lane)
    count++
  }
  return count
}
