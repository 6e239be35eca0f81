/**
 * A batch as the store below takes it: what is sealed is sealed, by keys that the batch depends on; an increment is what it
 * comes to, on the condition that the value it was added to is still there.
 */
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { addCounter, readCounter } from "../../../host/port/key-value.ts"
import { checkLimit } from "../../../host/port/port.ts"
import type { KeyValueOperation } from "../../port/key-value.ts"
import type { StoreLimits } from "../../port/limits.ts"
import { type Place, textOf } from "../../port/place.ts"
import type { Leased } from "../../port/queue.ts"
import type { Operation } from "../../port/store.ts"
import { convertedDigest, isFingerprinted, openedLease, queueFields, queueTable, sealedOperation, sealedQueueField, withFields } from "./job.ts"
import { attemptsMax, type Held, hexOf, isConflict, type Keyring, nameOf, table as keyValue } from "./keyring.ts"
import { checkReserved, host, nextKey, previousKey, ringKey, stateKey } from "./place.ts"
import { newPrint, type Ring } from "./ring.ts"
import { idBytes, isSameId, seal } from "./seal.ts"
import { apply, ask, type Steps } from "./step.ts"
import { isOwnRecord, roles, sealedField } from "./table.ts"
import { opened } from "./value.ts"

const utf8 = new TextEncoder()

/** A key as the batch has left it so far. A version that is given out in the batch is known to nobody yet. */
interface Counted {
  readonly version: number | "new" | undefined
  readonly value: Uint8Array | undefined
  readonly hasEnd: boolean
}

/** What the batch depends on beside what it was asked to: rows that must still have these versions. */
interface Condition {
  readonly place: Place
  readonly version: number | undefined
}

interface Plan {
  readonly operations: ReadonlyArray<Operation>
  readonly conditions: ReadonlyArray<Condition>
  /** Of each operation asked for: where its answer is, or what it is. */
  readonly answers: ReadonlyArray<{ readonly at: number; of?(found: number): number } | { readonly sum: bigint }>
  /** Keys that the batch writes, and where the version of their row will be. */
  readonly rings: ReadonlyArray<{ readonly tenant: Uint8Array; readonly ring: Ring; readonly at: number }>
  readonly erased: ReadonlyArray<Uint8Array>
}

export const placeName = ({ tenant, key }: Place): string => `${tenant.length}:${nameOf(tenant)}${nameOf(key)}`

/** Operations of queues may be of no tenant, or of all. */
const isOf = (operation: Operation, tenant: Uint8Array): boolean =>
  "tenant" in operation && operation.tenant !== undefined && nameOf(operation.tenant) === nameOf(tenant)

const keyed = ["set", "swap", "publish", "append", "import", "increment", "link", "enqueue", "schedule", "fail"] as const
type KeyedOperation = Extract<Operation, { readonly op: (typeof keyed)[number] }>
const keyedRoles: ReadonlySet<string> = new Set(keyed.map((op) => roles[op]))
const needsKey = (operation: Operation): operation is KeyedOperation => keyedRoles.has(roles[operation.op])

/** Does the store below carry it out as it is? */
export const isPlain = (batch: ReadonlyArray<Operation>): boolean => batch.every(({ op }) => roles[op] === "none")

/** @throws what carrying out the batch is refused for; ConfigError for what is the sealed store's own */
export function* applied(keyring: Keyring, batch: ReadonlyArray<Operation>, limits: StoreLimits): Steps<ReadonlyArray<unknown>> {
  for (const operation of batch) {
    checkReserved(operation)
    checkSize(operation, limits)
    checkOwn(operation)
  }
  checkErasures(batch)
  const [first] = batch
  if (batch.length === 1 && first?.op === "erase" && first.tenant.length > 0) return yield* erased(keyring, first)
  if (isPlain(batch)) return yield* apply(batch)
  const isConditional = batch.some((operation) => operation.op === "require" || (operation.op === "append" && operation.expect !== undefined))
  for (let attempt = 0; ; attempt++) {
    const plan = yield* planned(keyring, batch, limits)
    let found: ReadonlyArray<unknown>
    try {
      found = yield* apply(plan.operations)
    } catch (error) {
      if (attempt < attemptsMax && (yield* isConverted(keyring, batch, error))) continue
      if (!isConflict(error) || attempt >= attemptsMax) throw error
      const isStale = yield* refreshed(keyring, plan)
      // None of ours: then it is a condition of the batch's own.
      if (!isStale && isConditional) throw error
      continue
    }
    for (const tenant of plan.erased) keyring.forget(tenant)
    for (const { tenant, ring, at } of plan.rings) keyring.remember(tenant, { ring, version: found[at] as number })
    const answers = plan.answers.map((answer) => {
      if ("sum" in answer) return answer.sum
      return answer.of === undefined ? found[answer.at] : answer.of(found[answer.at] as number)
    })
    for (const [i, { op }] of batch.entries()) if (op === "lease") answers[i] = yield* openedLease(keyring, answers[i] as Leased, batch.length === 1)
    return answers
  }
}

/** An erasure alone, in two batches, since a store may want its steps in batches of their own. Keys first: whatever becomes of the rest, nobody reads it again. */
function* erased(keyring: Keyring, operation: Extract<Operation, { readonly op: "erase" }>): Steps<ReadonlyArray<unknown>> {
  const { tenant, table } = operation
  if (table === undefined) {
    yield* apply([{ op: "delete", tenant, key: ringKey }])
    keyring.forget(tenant)
  }
  return yield* apply([operation])
}

/** A job that seemed to be another one may be the same, from before the store was sealed: then its digest has been made one that can be compared. */
function* isConverted(keyring: Keyring, batch: ReadonlyArray<Operation>, error: unknown): Steps<boolean> {
  if (!(error instanceof StorageError) || error.reason._tag !== "JobConflict") return false
  const { queue, idempotencyKey } = error.reason
  for (const operation of batch)
    if (operation.op === "enqueue" && textOf(operation.key) === queue && (yield* convertedDigest(keyring, operation, idempotencyKey))) return true
  return false
}

/** @throws ConfigError for what a sealed store does itself, or cannot do */
function checkOwn(operation: Operation): void {
  if (operation.op === "rewrite") throw new ConfigError("Option", { option: "op", expected: "what a sealed store leaves to others", actual: "rewrite" })
  if (operation.op === "erase" && operation.table === keyValue)
    throw new ConfigError("Option", { option: "table", expected: "one that has not the tenant's keys in it", actual: keyValue })
  if (operation.op === "link" && !(operation.keyId instanceof Uint8Array))
    throw new ConfigError("Option", { option: "keyId", expected: "the key that the object was sealed by, as put answers it", actual: typeof operation.keyId })
  if (operation.op === "enqueue" && operation.jobs.some((job) => job?.fingerprint !== undefined))
    throw new ConfigError("Option", { option: "fingerprint", expected: "none for a sealed store, which makes it", actual: "one" })
}

/** With an erasure the tenant's keys go: what else the batch would keep of the tenant had none. */
function checkErasures(batch: ReadonlyArray<Operation>): void {
  for (const operation of batch)
    if (operation.op === "erase" && batch.some((each) => isOf(each, operation.tenant) && (needsKey(each) || each.op === "drop")))
      throw new ConfigError("Option", { option: "batch", expected: "the erasure of a tenant apart from what is written for it", actual: "both in one" })
}

/** Held against the limits before it is sealed: the store below sees more bytes than it was asked to keep. */
function checkSize(operation: Operation, { keyValue, event, log, queue }: StoreLimits): void {
  const checkJob = (payload: unknown): void => {
    if (payload instanceof Uint8Array) checkLimit("queue", "payloadBytesMax", "bytes", queue.payloadBytesMax, payload.length)
  }
  if (operation.op === "enqueue") {
    checkLimit("queue", "batchJobsMax", "jobs", queue.batchJobsMax, operation.jobs.length)
    for (const job of operation.jobs) checkJob(job?.payload)
  }
  if (operation.op === "schedule") checkJob(operation.schedule?.job?.payload)
  if (operation.op === "set" || operation.op === "swap") checkLimit("keyValue", "valueBytesMax", "bytes", keyValue.valueBytesMax, operation.value.length)
  if (operation.op === "publish") checkLimit("event", "payloadBytesMax", "bytes", event.payloadBytesMax, operation.payload.length)
  if (operation.op === "append") checkLimit("log", "payloadBytesMax", "bytes", log.payloadBytesMax, operation.payload.length)
}

/** Reads again what the plan depended on; true when any of it is not as it was. Versions are never used twice. */
function* refreshed(keyring: Keyring, { conditions }: Plan): Steps<boolean> {
  let isStale = false
  for (const { place, version } of conditions) {
    const found = yield* ask({ ask: "get", ...place })
    if (found?.version === version) continue
    isStale = true
    keyring.forget(place.tenant)
  }
  return isStale
}

function* planned(keyring: Keyring, batch: ReadonlyArray<Operation>, limits: StoreLimits): Steps<Plan> {
  const operations: Array<Operation> = []
  const conditions: Array<Condition> = []
  const answers: Array<Plan["answers"][number]> = []
  const rings: Array<Plan["rings"][number]> = []
  const erased: Array<Uint8Array> = []
  const depend = (place: Place, version: number | undefined): void => {
    operations.push({ op: "require", ...place, version })
    conditions.push({ place, version })
  }

  const ringOf = new Map<string, Ring>()
  for (const operation of batch) {
    const renews = operation.op === "drop"
    if (!(needsKey(operation) || renews)) continue
    const { tenant } = operation
    if (ringOf.has(nameOf(tenant))) continue
    const held = yield* heldFor(keyring, batch, tenant)
    depend({ tenant, key: ringKey }, held?.version)
    if (held === undefined && renews && !batch.some((each) => needsKey(each) && isOf(each, tenant))) continue
    const found = held?.ring ?? (yield* keyring.draft(tenant))
    const isPrinted = found.print !== undefined || !batch.some((each) => isOf(each, tenant) && needsPrint(each))
    const ring = isPrinted ? found : { ...found, print: newPrint() }
    ringOf.set(nameOf(tenant), ring)
    if (held !== undefined && isPrinted && !batch.some((each) => each.op === "drop" && isOf(each, tenant))) continue
    rings.push({ tenant, ring, at: operations.length })
    operations.push(keyring.ringOperation(tenant, ring))
  }
  const sealed = (table: string, place: Place, bytes: Uint8Array): Uint8Array => seal((ringOf.get(nameOf(place.tenant)) as Ring).keys[0], table, place, bytes)

  const counted = yield* countedOf(keyring, batch, depend)
  for (const operation of batch) {
    const sum = countOn(counted, operation)
    answers.push(sum === undefined ? { at: operations.length } : { sum })
    switch (operation.op) {
      case "set":
      case "swap":
        operations.push({ ...operation, value: sealed(keyValue, operation, operation.value) })
        break
      case "increment": {
        const { value, hasEnd } = counted.get(placeName(operation)) as Counted
        const { tenant, key } = operation
        const set: KeyValueOperation = { op: "set", tenant, key, value: sealed(keyValue, operation, value as Uint8Array) }
        operations.push(hasEnd ? { ...set, keepsEnd: true } : set)
        break
      }
      case "publish":
        operations.push({ ...operation, payload: sealed("event", operation, operation.payload) })
        break
      case "append":
        operations.push({ ...operation, payload: sealed("log", operation, operation.payload) })
        break
      case "import":
        operations.push(imported(operation, sealed, ringOf.get(nameOf(operation.tenant)) as Ring))
        break
      case "enqueue":
      case "schedule":
      case "fail":
        operations.push(sealedOperation(ringOf.get(nameOf(operation.tenant)) as Ring, operation, limits.queue.errorBytesMax))
        break
      case "link": {
        const { keyId: _, ...link } = operation
        operations.push(link)
        break
      }
      case "erase":
        if (operation.table !== undefined) {
          operations.push(operation)
          break
        }
        operations.push({ op: "delete", tenant: operation.tenant, key: ringKey })
        erased.push(operation.tenant)
        answers[answers.length - 1] = operation.tenant.length === 0 ? yield* hostErased(operation, operations, depend) : { at: operations.push(operation) - 1 }
        break
      default:
        operations.push(operation)
    }
  }
  return { operations, conditions, answers, rings, erased }
}

const isJobs = (operation: Operation): operation is Extract<Operation, { readonly op: "enqueue" }> => operation.op === "enqueue"
/** An idempotency key that is imported brings a digest as well. */
const needsPrint = (operation: Operation): boolean =>
  isJobs(operation) ? isFingerprinted(operation) : operation.op === "import" && operation.table === queueTable && operation.record?.order?.[0] === 2

/**
 * A tenant's keys, by the newest of which every object is sealed that the batch links.
 * @throws StorageError `KeyStale`
 */
function* heldFor(keyring: Keyring, batch: ReadonlyArray<Operation>, tenant: Uint8Array): Steps<Held | undefined> {
  const links = batch.flatMap((operation) => (operation.op === "link" && isOf(operation, tenant) ? [operation] : []))
  const stale = (held: Held | undefined): (typeof links)[number] | undefined =>
    links.find(({ keyId }) => held === undefined || keyId?.length !== idBytes || !isSameId(held.ring.keys[0].id, keyId))
  let held = yield* keyring.held(tenant)
  if (stale(held) !== undefined) held = yield* keyring.read(tenant)
  const link = stale(held)
  if (link === undefined) return held
  const { store } = keyring
  throw new StorageError("KeyStale", { store: store.name, tenant: textOf(tenant), key: textOf(link.key), id: hexOf(link.keyId as Uint8Array) })
}

/** Rows that the host's tenant has again after its erasure: at most three of the store's own, their changes, and what says that there were others. */
const hostRowsMax = 8

/** What the store says of itself goes with the host's tenant, and is put back in the same batch. */
function* hostErased(
  operation: Extract<Operation, { readonly op: "erase" }>,
  operations: Array<Operation>,
  depend: (place: Place, version: number | undefined) => void,
): Steps<Plan["answers"][number]> {
  const { countMax } = operation
  const kept: Array<Operation> = []
  for (const key of [stateKey, nextKey, previousKey]) {
    const found = yield* ask({ ask: "get", tenant: host, key })
    depend({ tenant: host, key }, found?.version)
    if (found !== undefined) kept.push({ op: "set", tenant: host, key, value: found.value })
  }
  const at = operations.push(Number.isSafeInteger(countMax) && countMax > 0 ? { ...operation, countMax: countMax + hostRowsMax } : operation) - 1
  operations.push(...kept)
  return { at, of: (found) => (found < countMax + hostRowsMax ? Math.max(0, Math.min(found - hostRowsMax, countMax - 1)) : countMax) }
}

function imported(
  operation: Extract<Operation, { readonly op: "import" }>,
  sealed: (table: string, place: Place, bytes: Uint8Array) => Uint8Array,
  ring: Ring,
): Operation {
  const { table, tenant, record } = operation
  if (!(record?.order instanceof Uint8Array) || typeof record.fields !== "object" || record.fields === null) return operation
  if (isOwnRecord(table, record))
    throw new ConfigError("Option", { option: "record", expected: "a record of an export", actual: "a key of a sealed store's own" })
  if (table === queueTable) {
    const fields = queueFields(tenant, record).map((field) => [field, sealedQueueField(ring, field, field.stored)] as const)
    return { ...operation, record: withFields(record, fields) }
  }
  const field = sealedField(table, tenant, record)
  return field === undefined ? operation : { ...operation, record: field.with(sealed(table, field.place, field.bytes)) }
}

/** The keys that the batch counts on, as they are now; the batch depends on that. */
function* countedOf(
  keyring: Keyring,
  batch: ReadonlyArray<Operation>,
  depend: (place: Place, version: number | undefined) => void,
): Steps<Map<string, Counted>> {
  const counted = new Map<string, Counted>()
  for (const operation of batch) {
    if (operation.op !== "increment" || counted.has(placeName(operation))) continue
    if (batch.some((each) => each.op === "import" && isOf(each, operation.tenant)))
      throw new ConfigError("Option", { option: "batch", expected: "increments of a tenant apart from its import", actual: "both in one" })
    const place = { tenant: operation.tenant, key: operation.key }
    const found = yield* ask({ ask: "get", ...place })
    depend(place, found?.version)
    const value = found === undefined ? undefined : yield* opened(keyring, keyValue, place, found.value, found.version)
    counted.set(placeName(place), { version: found?.version, value, hasEnd: found?.expiresAtUs !== undefined })
  }
  return counted
}

/** What an operation makes of a key that is counted; the sum, if it is one. @throws CounterError */
function countOn(counted: Map<string, Counted>, operation: Operation): bigint | undefined {
  const counts = operation.op === "set" || operation.op === "swap" || operation.op === "delete" || operation.op === "increment"
  const name = counts ? placeName(operation) : ""
  const before = counted.get(name)
  if (before === undefined) return undefined
  switch (operation.op) {
    case "swap":
    case "set":
      if (operation.op === "swap" && before.version !== operation.version) return undefined
      counted.set(name, {
        version: "new",
        value: operation.value,
        hasEnd: operation.ttlMs !== undefined || (operation.op === "set" && operation.keepsEnd === true && before.value !== undefined && before.hasEnd),
      })
      return undefined
    case "delete":
      counted.set(name, { version: undefined, value: undefined, hasEnd: false })
      return undefined
    case "increment": {
      const sum = addCounter(readCounter(before.value), operation.delta, operation.min, operation.max)
      counted.set(name, { version: "new", value: utf8.encode(sum.toString()), hasEnd: before.value !== undefined && before.hasEnd })
      return sum
    }
    default:
      return undefined
  }
}
