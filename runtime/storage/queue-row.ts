/** Rows of queues whatever keeps them: schedules and idempotency keys with their sums, and all of a queue's rows as records. */
import { ConfigError } from "../../schemas/error/config.ts"
import { checkLimit, utf8Length } from "../../host/port/port.ts"
import type { Place } from "../port/place.ts"
import type { NewJob, QueueLimits, Schedule } from "../port/queue.ts"
import type { Rewrite, TenantRecord } from "../port/tenant.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import { checkedJob, type Job, numbers, states, stateOf, text, whole } from "./queue.ts"
import { Fields, placeOfOrder } from "./record.ts"
import { sumOf } from "./row.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const utf8 = new TextEncoder()
export const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

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

export const scheduleSum = ({ tenant, key }: Place, row: Omit<ScheduleRow, "sum">): number =>
  sumOf({ tenant, key }, Buffer.concat([utf8.encode(JSON.stringify([row.name, row.spec])), row.payload]), row.nextUs)

export const idempotencySum = ({ tenant, key }: Place, row: Omit<IdempotencyRow, "sum">): number =>
  sumOf({ tenant, key }, Buffer.concat([utf8.encode(row.key), numbers(row.job), row.digest]), row.untilUs)

export const bytesOfSchedule = (row: Pick<ScheduleRow, "name" | "spec" | "payload">): number => utf8Length(row.name) + utf8Length(row.spec) + row.payload.length
export const bytesOfIdempotency = (row: Pick<IdempotencyRow, "key" | "digest">): number => utf8Length(row.key) + row.digest.length

export const scheduleOf = ({ spec, payload }: ScheduleRow): Schedule => {
  const schedule = JSON.parse(spec) as Schedule
  return { ...schedule, job: { ...schedule.job, payload } }
}

/** What must be the same for the same idempotency key. */
export const digestOf = ({ payload, orderKey, fingerprint }: NewJob): Uint8Array =>
  fingerprint ?? (hash("sha256", Buffer.concat([utf8.encode(JSON.stringify(orderKey ?? null)), payload]), "buffer") as unknown as Uint8Array)

/** A schedule as it is kept, but for its times. Throws `ConfigError` `Option` or `CapabilityError` `PortLimit`. */
export function checkedSchedule(given: Schedule, limits: QueueLimits): Pick<ScheduleRow, "spec" | "payload"> {
  text("schedule.name", given.name, limits)
  const missed = given.missed ?? "once"
  if (!["once", "all", "skip"].includes(missed))
    throw new ConfigError("Option", { option: "schedule.missed", expected: "once, all or skip", actual: String(missed) })
  const { payload, ...job } = checkedJob(given.job, limits)
  checkLimit("queue", "payloadBytesMax", "bytes", limits.payloadBytesMax, payload.length)
  if ("everyMs" in given) whole("schedule.everyMs", given.everyMs, 1, limits.delayMsMax, "ms", "delayMsMax")
  const time = "everyMs" in given ? { everyMs: given.everyMs } : { cron: given.cron }
  const orderKey = given.job.orderKey === undefined ? {} : { orderKey: given.job.orderKey }
  return { payload, spec: JSON.stringify({ name: given.name, ...time, missed, job: { ...job, ...orderKey } }) }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
export const kinds = ["job", "schedule", "idempotency"] as const
type Kind = (typeof kinds)[number]

/** The kind, the length of the queue's name, the name, and what is the row's own. */
export function orderIn(kind: Kind, { key }: Pick<Place, "key">, own: Uint8Array): Uint8Array {
  const head = new Uint8Array(5)
  head[0] = kinds.indexOf(kind)
  new DataView(head.buffer).setUint32(1, key.length)
  return Buffer.concat([head, key, own])
}

/** What a record's order says. */
export interface RecordPlace {
  readonly kind: Kind
  readonly key: Uint8Array
  readonly own: Uint8Array
}

export function placeIn(order: Uint8Array): RecordPlace | undefined {
  const kind = kinds[order[0] ?? 255]
  if (kind === undefined || order.length < 5) return undefined
  const end = 5 + new DataView(order.buffer, order.byteOffset).getUint32(1)
  return end > order.length ? undefined : { kind, key: order.subarray(5, end), own: order.subarray(end) }
}

const optional = (name: string, value: string | null): TenantRecord["fields"] => (value === null ? {} : { [name]: utf8.encode(value) })

export const fieldsOfJob = (row: Job): TenantRecord["fields"] => ({
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

type Unsummed<R> = Omit<R, "sum">

/** A job with other bytes in a field; undefined when it has not these in it. */
export function rewrittenJob(job: Job, field: string, from: Uint8Array, to: Uint8Array): Job | undefined {
  if (field === "payload") return isSame(job.payload, from) ? { ...job, payload: to } : undefined
  return job.error !== null && isSame(utf8.encode(job.error), from) ? { ...job, error: decoder.decode(to) } : undefined
}

/** What of a queue's records may be rewritten. @throws StorageError `Record` */
export function rewrittenPlace(store: string, { order, field }: Rewrite): RecordPlace & { readonly id: number } {
  const place = placeIn(order)
  const fields = place === undefined ? [] : { job: ["payload", "error"], schedule: ["payload"], idempotency: ["digest"] }[place.kind]
  const id = place?.kind === "job" ? placeOfOrder(place.own)?.number : 0
  if (place === undefined || id === undefined || !fields.includes(field))
    throw new StorageError("Record", { store, table: "queue", detail: `it has no field "${field}" that may be rewritten` })
  return { ...place, id }
}

/** A row as a record says it. Throws `StorageError` `Record`. */
export function rowIn(
  store: string,
  record: TenantRecord,
): { readonly key: Uint8Array } & (
  | { readonly kind: "job"; readonly row: Job }
  | { readonly kind: "schedule"; readonly row: Unsummed<ScheduleRow> }
  | { readonly kind: "idempotency"; readonly row: Unsummed<IdempotencyRow> }
) {
  const fields = new Fields(store, "queue", record)
  const place = placeIn(record.order)
  if (place === undefined) throw fields.refusal("its order is no place in a queue")
  const { kind, key, own } = place
  const name = decoder.decode(own)
  if (kind === "schedule") {
    const row = { name, nextUs: fields.integer("nextUs"), spec: decoder.decode(fields.bytes("spec")), payload: fields.bytes("payload") }
    fields.end()
    return { kind, key, row }
  }
  if (kind === "idempotency") {
    const row = { key: name, job: fields.integer("job"), digest: fields.bytes("digest"), untilUs: fields.integer("untilUs") }
    fields.end()
    return { kind, key, row }
  }
  const textOf = (name: string): string | null => (fields.has(name) ? decoder.decode(fields.bytes(name)) : null)
  const at = placeOfOrder(own)
  const state = stateOf[decoder.decode(fields.bytes("state")) as keyof typeof stateOf] as number | undefined
  if (at === undefined || at.key.length > 0 || state === undefined) throw fields.refusal("its number or its state is none")
  const row: Job = {
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
  if ((row.wakeUs === null) === (state === stateOf.waiting || state === stateOf.leased)) throw fields.refusal("its state does not fit the end of its wait")
  return { kind, key, row }
}
