/**
 * Jobs of queues: their payloads, those of schedules, and what failed attempts said are sealed; queues' names, order keys and idempotency keys, by which the
 * store below decides, are not. A payload is bound to tenant and queue: a job's number is given out below, and a schedule's payload becomes its jobs'.
 * What failed attempts said is bound to the job.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { JobInfo, Leased, LeasedJob, NewJob, QueueAnswers, QueueOperation } from "../../port/queue.ts"
import type { TenantRecord } from "../../port/tenant.ts"
import { cut, leaseEnded } from "../queue.ts"
import { digestOf, orderIn, placeIn } from "../queue-row.ts"
import { orderOf, placeOfOrder } from "../record.ts"
import { digestBytes, digestIn, fingerprintOf, isFingerprint } from "./fingerprint.ts"
import { isConflict, type Keyring } from "./keyring.ts"
import { opened } from "./value.ts"
import { newPrint, type Ring } from "./ring.ts"
import { seal, sealBytes } from "./seal.ts"
import { apply, ask, type Steps } from "./step.ts"

/** What payloads and errors are sealed as. */
export const [payloadName, errorName] = ["job", "job_error"] as const
/** As it is named in a store's tables. */
export const queueTable = "queue"

const utf8 = new TextEncoder()
/** Before a sealed text, which must stay a text. */
const textMark = "sealed:"
/** What a store, or this layer, says of a job itself. */
const unopened = (code: string): string => `its payload does not open: ${code}`
const ownErrors: ReadonlySet<string> = new Set([leaseEnded, ...["STELE-STO-0070", "STELE-STO-0071"].map(unopened)])
/** How often a job is read again whose key was given up between its lease and the reading of the keys. */
const rereadsMax = 4

/** Bytes of a text that was sealed, and how many may be sealed so that no more than these are kept. */
export const sealedTextBytes = (bytes: number): number => textMark.length + Math.ceil((bytes + sealBytes) / 3) * 4
export const plainTextBytes = (bytes: number): number => Math.max(0, Math.floor((bytes - textMark.length) / 4) * 3 - sealBytes)

export const errorPlace = ({ tenant, key }: Place, id: number): Place => ({ tenant, key: orderOf(key, id) })

export const sealedText = (ring: Ring, place: Place, text: string): string =>
  textMark + Buffer.from(seal(ring.keys[0], errorName, place, utf8.encode(text))).toString("base64")

/** The bytes of a sealed text; of another one, its own. */
export const bytesOfText = (text: string): Uint8Array =>
  text.startsWith(textMark) ? Uint8Array.from(Buffer.from(text.slice(textMark.length), "base64")) : utf8.encode(text)

export const isOwnError = (text: string): boolean => ownErrors.has(text)

/** @throws StorageError `SealBroken`, `KeyMissing` */
export function* openedText(keyring: Keyring, place: Place, text: string): Steps<string> {
  if (isOwnError(text)) return text
  const bytes = bytesOfText(text)
  const plain = yield* opened(keyring, errorName, place, bytes)
  // From before: whatever it looks like.
  return plain === bytes ? text : textOf(plain)
}

/** Needs it a key for fingerprints? */
export const isFingerprinted = (operation: QueueOperation): boolean =>
  operation.op === "enqueue" && operation.jobs.some(({ idempotencyKey }) => typeof idempotencyKey === "string")

const printOf = ({ print }: Ring): Uint8Array => {
  if (print === undefined) throw new TypeError("Cannot make a fingerprint without its key")
  return print
}

/** What is no job at all is refused by the store below, as it is. */
function sealedJob<J extends Omit<NewJob, "fingerprint">>(ring: Ring, place: Place, job: J): J {
  if (!(job?.payload instanceof Uint8Array)) return job
  const payload = seal(ring.keys[0], payloadName, { tenant: place.tenant, key: place.key }, job.payload)
  const { idempotencyKey } = job
  if (typeof idempotencyKey !== "string") return { ...job, payload }
  return { ...job, payload, fingerprint: fingerprintOf(printOf(ring), place, idempotencyKey, digestOf(job)) }
}

export function sealedOperation(
  ring: Ring,
  operation: Extract<QueueOperation, { readonly op: "enqueue" | "schedule" | "fail" }>,
  errorBytesMax: number,
): QueueOperation {
  switch (operation.op) {
    case "enqueue":
      return { ...operation, jobs: operation.jobs.map((job) => sealedJob(ring, operation, job)) }
    case "schedule":
      return { ...operation, schedule: { ...operation.schedule, job: sealedJob(ring, operation, operation.schedule?.job) } }
    case "fail":
      // No job has such a number: nothing of it is kept.
      if (!Number.isSafeInteger(operation.id) || operation.id < 0) return { ...operation, error: "" }
      return { ...operation, error: sealedText(ring, errorPlace(operation, operation.id), cut(String(operation.error), errorBytesMax)) }
  }
}

/** Is the store's word that an idempotency key is another job's its word about a digest from before? Then that is made a fingerprint; true when there was one. */
export function* convertedDigest(keyring: Keyring, operation: Extract<QueueOperation, { readonly op: "enqueue" }>, conflicting: string): Steps<boolean> {
  const { tenant } = operation
  const found = (yield* keyring.read(tenant)) ?? (yield* keyring.ensured(tenant))
  if (found.ring.plainUpTo === undefined) return false
  try {
    const held = found.ring.print === undefined ? yield* keyring.write(tenant, found.version, { ...found.ring, print: newPrint() }) : found
    for (const job of operation.jobs) {
      if (job.idempotencyKey !== conflicting) continue
      const from = digestOf(job)
      const to = fingerprintOf(printOf(held.ring), operation, conflicting, from)
      const order = orderIn("idempotency", operation, utf8.encode(conflicting))
      const [, isDone] = yield* apply([keyring.guard(tenant, held.version), { op: "rewrite", tenant, table: queueTable, order, field: "digest", from, to }])
      if (isDone) return true
    }
    return false
  } catch (error) {
    // The keys are others by now: the batch is planned anew by them.
    if (isConflict(error)) return true
    throw error
  }
}

/**
 * Leased jobs, opened. One that does not open is dead from then on and says why: the others are given out, whoever's they are. Where a process has not the newest
 * master key, or the store cannot be asked, nothing is wrong with the jobs: all of them are given back. That is an error of a lease alone; of a batch that has done something else as well, none was leased.
 * @throws StorageError `KeyMissing`
 */
export function* openedLease(keyring: Keyring, leased: Leased, isAlone: boolean): Steps<Leased> {
  try {
    return yield* openedJobs(keyring, leased)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    try {
      for (const { tenant, key, id, token } of leased.jobs) yield* unlessLost([{ op: "release", leases: [{ tenant, key, id, token }] }])
    } catch {
      // Then their leases end by themselves.
    }
    if (isAlone) throw error
    return { ...leased, jobs: [] }
  }
}

function* openedJobs(keyring: Keyring, leased: Leased): Steps<Leased> {
  const jobs: Array<LeasedJob> = []
  for (const job of leased.jobs) {
    try {
      jobs.push({ ...job, payload: yield* openedPayload(keyring, job) })
    } catch (error) {
      if (!(error instanceof StorageError) || keyring.isOutdated(error)) throw error
      const { _tag } = error.reason
      if (_tag !== "SealBroken" && _tag !== "KeyMissing") throw error
      const { tenant, key, id, token } = job
      yield* unlessLost([{ op: "fail", tenant, key, id, token, error: unopened(error.code), isFinal: true }])
    }
  }
  return { ...leased, jobs }
}

function* openedPayload(keyring: Keyring, { tenant, key, id, payload }: LeasedJob): Steps<Uint8Array> {
  for (let sealed = payload, attempt = 0; ; attempt++) {
    try {
      return yield* opened(keyring, payloadName, { tenant, key }, sealed)
    } catch (error) {
      const isMissing = error instanceof StorageError && error.reason._tag === "KeyMissing"
      if (!isMissing || keyring.isOutdated(error) || attempt >= rereadsMax) throw error
      const now = yield* ask({ ask: "job", tenant, key, id })
      if (now === undefined || Buffer.compare(now.payload, sealed) === 0) throw error
      sealed = now.payload
    }
  }
}

function* unlessLost(batch: ReadonlyArray<QueueOperation>): Steps<void> {
  try {
    yield* apply(batch)
  } catch (error) {
    if (!(error instanceof StorageError && error.reason._tag === "LeaseLost")) throw error
  }
}

export function* openedJob(keyring: Keyring, place: Place, job: JobInfo): Steps<JobInfo> {
  const { tenant, key } = place
  try {
    const payload = yield* opened(keyring, payloadName, { tenant, key }, job.payload)
    const error = job.error === undefined ? undefined : yield* openedText(keyring, errorPlace(place, job.id), job.error)
    return { ...job, payload, error }
  } catch (error) {
    // Who sees which one it is can cancel it.
    if (!(error instanceof StorageError && error.reason._tag === "SealBroken")) throw error
    throw new StorageError("SealBroken", { store: keyring.store.name, table: "queue_job", key: `${textOf(key)} ${job.id}` }, { cause: error })
  }
}

export function* openedSchedules(keyring: Keyring, { tenant, key }: Place, found: QueueAnswers["schedules"]): Steps<QueueAnswers["schedules"]> {
  const open: Array<QueueAnswers["schedules"][number]> = []
  for (const { schedule, nextUs } of found) {
    const payload = yield* opened(keyring, payloadName, { tenant, key }, schedule.job.payload)
    open.push({ schedule: { ...schedule, job: { ...schedule.job, payload } }, nextUs })
  }
  return open
}

/** A field of a queue's record that is sealed: as it is, by what it is sealed, for which place. */
export interface SealedQueueField {
  readonly field: "payload" | "error" | "digest"
  /** As `rewrite` wants it. */
  readonly stored: Uint8Array
  readonly name: typeof payloadName | typeof errorName | "fingerprint"
  readonly place: Place
  /** Of an idempotency key. */
  readonly idempotencyKey: string
}

/** What of a queue's record is sealed. */
export function queueFields(tenant: Uint8Array, { order, fields }: TenantRecord): ReadonlyArray<SealedQueueField> {
  const at = placeIn(order)
  if (at === undefined) return []
  const { kind, own } = at
  const place = { tenant, key: at.key }
  const found: Array<SealedQueueField> = []
  const { payload, error, digest } = fields
  if (kind !== "idempotency" && payload instanceof Uint8Array) found.push({ field: "payload", stored: payload, name: payloadName, place, idempotencyKey: "" })
  const id = kind === "job" ? placeOfOrder(own)?.number : undefined
  if (id !== undefined && error instanceof Uint8Array && !isOwnError(textOf(error)))
    found.push({ field: "error", stored: error, name: errorName, place: errorPlace(place, id), idempotencyKey: "" })
  if (kind === "idempotency" && digest instanceof Uint8Array)
    found.push({ field: "digest", stored: digest, name: "fingerprint", place, idempotencyKey: textOf(own) })
  return found
}

/** A field as it is in the clear. @throws StorageError `SealBroken`, `KeyMissing` */
export function* openedQueueField(keyring: Keyring, { name, place, stored, idempotencyKey }: SealedQueueField): Steps<Uint8Array> {
  if (name === "fingerprint") {
    const print = (yield* keyring.held(place.tenant))?.ring.print
    return print === undefined || !isFingerprint(stored) ? stored : digestIn(print, place, idempotencyKey, stored)
  }
  if (name === payloadName) return yield* opened(keyring, name, place, stored)
  return utf8.encode(yield* openedText(keyring, place, textOf(stored)))
}

/** The same as it is kept. */
export function sealedQueueField(ring: Ring, { name, place, idempotencyKey }: SealedQueueField, plain: Uint8Array): Uint8Array {
  if (name === "fingerprint") return plain.length === digestBytes ? fingerprintOf(printOf(ring), place, idempotencyKey, plain) : plain
  return name === payloadName ? seal(ring.keys[0], name, place, plain) : utf8.encode(sealedText(ring, place, textOf(plain)))
}

/** A queue's record with each of its sealed fields another one. */
export const withFields = (record: TenantRecord, fields: ReadonlyArray<readonly [SealedQueueField, Uint8Array]>): TenantRecord => ({
  order: record.order,
  fields: { ...record.fields, ...Object.fromEntries(fields.map(([{ field }, bytes]) => [field, bytes])) },
})
