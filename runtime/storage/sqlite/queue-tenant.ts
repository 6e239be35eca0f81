/** A tenant's jobs, schedules and idempotency keys as records: exported, taken in, erased. Turns are not: a tenant joins the ring anew. */
import type { DatabaseSync } from "node:sqlite"
import type { TenantRecord } from "../../port/tenant.ts"
import { bytesOfJob, type Job, states, stateOf } from "../queue.ts"
import { Fields, orderOf, placeOfOrder } from "../record.ts"
import { type Jobs, jobColumns, type QueueContext, type Row, verified } from "./queue-job.ts"
import { type Lane, laneColumns } from "./queue-lane.ts"
import {
  bytesOfIdempotency,
  bytesOfSchedule,
  idempotencyColumns,
  type IdempotencyRow,
  idempotencySum,
  scheduleColumns,
  type ScheduleRow,
  scheduleSum,
} from "./queue-schedule.ts"

const utf8 = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const kinds = ["job", "schedule", "idempotency"] as const

/** The kind, the length of the queue's name, the name, and what is the row's own. */
function orderIn(kind: (typeof kinds)[number], { key }: Lane, own: Uint8Array): Uint8Array {
  const head = new Uint8Array(5)
  head[0] = kinds.indexOf(kind)
  new DataView(head.buffer).setUint32(1, key.length)
  return Buffer.concat([head, key, own])
}

interface Place {
  readonly kind: (typeof kinds)[number]
  readonly key: Uint8Array
  readonly own: Uint8Array
}

function placeIn(order: Uint8Array): Place | undefined {
  const kind = kinds[order[0] ?? 255]
  if (kind === undefined || order.length < 5) return undefined
  const end = 5 + new DataView(order.buffer, order.byteOffset).getUint32(1)
  return end > order.length ? undefined : { kind, key: order.subarray(5, end), own: order.subarray(end) }
}

const optional = (name: string, value: string | null): TenantRecord["fields"] => (value === null ? {} : { [name]: utf8.encode(value) })

const fieldsOfJob = (row: Row): TenantRecord["fields"] => ({
  state: utf8.encode(states[row.state] as string),
  priority: BigInt(row.priority),
  rank: BigInt(row.rank),
  wakeUs: row.wakeUs === null ? null : BigInt(row.wakeUs),
  token: BigInt(row.token),
  attempts: BigInt(row.attempts),
  attemptsMax: BigInt(row.attemptsMax),
  backoffMs: BigInt(row.backoffMs),
  backoffMsMax: BigInt(row.backoffMsMax),
  enqueuedUs: BigInt(row.enqueuedUs),
  scheduledUs: row.scheduledUs === null ? null : BigInt(row.scheduledUs),
  ...optional("orderKey", row.orderKey),
  ...optional("idempotencyKey", row.idempotencyKey),
  ...optional("error", row.error),
  payload: row.payload,
})

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
  const fields = new Fields(store, "queue", record)
  const place = placeIn(record.order)
  if (place === undefined) throw fields.refusal("its order is no place in a queue")
  const textOf = (name: string): string | null => (fields.has(name) ? decoder.decode(fields.bytes(name)) : null)
  if (place.kind === "job") {
    const at = placeOfOrder(place.own)
    const state = stateOf[decoder.decode(fields.bytes("state")) as keyof typeof stateOf] as number | undefined
    if (at === undefined || at.key.length > 0 || state === undefined) throw fields.refusal("its number or its state is none")
    const job: Job = {
      id: at.number,
      state,
      priority: fields.integer("priority"),
      rank: fields.integer("rank"),
      wakeUs: fields.integerOrNone("wakeUs"),
      token: fields.integer("token"),
      attempts: fields.integer("attempts"),
      attemptsMax: fields.integer("attemptsMax"),
      backoffMs: fields.integer("backoffMs"),
      backoffMsMax: fields.integer("backoffMsMax"),
      enqueuedUs: fields.integer("enqueuedUs"),
      scheduledUs: fields.integerOrNone("scheduledUs"),
      orderKey: textOf("orderKey"),
      idempotencyKey: textOf("idempotencyKey"),
      error: textOf("error"),
      payload: fields.bytes("payload"),
    }
    fields.end()
    if ((job.wakeUs === null) === (state === stateOf.waiting || state === stateOf.leased)) throw fields.refusal("its state does not fit the end of its wait")
    const lane = makeLane(place.key)
    const old = jobs.get(lane, job.id)
    if (old !== undefined) {
      sql("DELETE FROM queue_job WHERE lane = ? AND id = ?").run(lane.id, old.id)
      jobs.forgotten(lane, old, bytesOfJob(old))
    }
    jobs.check(lane, job)
    jobs.insert(lane, job)
    return
  }
  const lane = makeLane(place.key)
  const name = decoder.decode(place.own)
  if (place.kind === "schedule") {
    const row = { name, nextUs: fields.integer("nextUs"), spec: decoder.decode(fields.bytes("spec")), payload: fields.bytes("payload") }
    fields.end()
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
    const row = { key: name, job: fields.integer("job"), digest: fields.bytes("digest"), untilUs: fields.integer("untilUs") }
    fields.end()
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
