/**
 * A tenant gets a new key; then everything that others have sealed, or nobody, is sealed by it, in steps that let writers in between;
 * then the others are destroyed. A step depends on the tenant's keys: a key that came meanwhile begins it anew, so
 * that nothing is left under a key when it goes.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Operation } from "../../port/store.ts"
import type { TenantPage, TenantRecord } from "../../port/tenant.ts"
import { attemptsMax, type Held, hexOf, isConflict, type Keyring, table as keyValue } from "./keyring.ts"
import { newPrint, type Ring, rotated } from "./ring.ts"
import { idOf, isSameId, seal } from "./seal.ts"
import { apply, ask, run, type Steps, wait } from "./step.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { textOf } from "../../port/place.ts"
import { isFingerprint } from "./fingerprint.ts"
import { bytesOfText, errorName, openedQueueField, queueFields, queueTable, type SealedQueueField, sealedQueueField } from "./job.ts"
import { headBytes, objectKeyId } from "./object.ts"
import { table as referenceTable } from "./object-read.ts"
import { resealedObject } from "./objects.ts"
import { isOwnRecord, isSealedTable, sealedField } from "./table.ts"
import { opened } from "./value.ts"

/** References of one step, each with its object. */
const objectsMax = 16
/** Behind every job, before every schedule: as records of queues are ordered, by their kind and the length of the queue's name. */
const jobsEnd = Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff)
const isSchedule = ({ order }: TenantRecord): boolean => order[0] === 1

/** How far a reseal has come, for its next step. It may be forgotten: what is sealed already is read again, and not written. */
export interface ResealCursor {
  readonly keyId: Uint8Array
  readonly table: number
  readonly after: Uint8Array | undefined
}

export interface ResealStep {
  /** Records that this step has sealed anew. */
  readonly records: number
  /** Undefined when the tenant's other keys are destroyed, and nothing of it is plain. */
  readonly next: ResealCursor | undefined
}

/**
 * Makes a new data key for a tenant: everything from now on is sealed by it.
 * @throws CapabilityError `PortLimit` when too many keys wait for a reseal
 */
export const rotate = (keyring: Keyring, tenant: Uint8Array): Promise<Ring> => run(keyring.store, rotating(keyring, tenant))

function* rotating(keyring: Keyring, tenant: Uint8Array): Steps<Ring> {
  for (let attempt = 0; ; attempt++) {
    yield* keyring.current()
    const held = yield* keyring.read(tenant)
    try {
      return (yield* keyring.write(tenant, held?.version, held === undefined ? yield* keyring.draft(tenant) : rotated(held.ring))).ring
    } catch (error) {
      if (!isConflict(error) || attempt >= attemptsMax) throw error
    }
  }
}

/**
 * Seals up to `countMax` records of a tenant by its newest key.
 * @throws StorageError `SealBroken`, `KeyMissing` for a value that nobody can open: the keys stay until it is written over or deleted
 */
export const resealStep = (keyring: Keyring, tenant: Uint8Array, cursor?: ResealCursor, countMax = 500): Promise<ResealStep> =>
  run(keyring.store, resealing(keyring, tenant, cursor, countMax))

/** All steps of one tenant; answers how many records it were. */
export async function reseal(keyring: Keyring, tenant: Uint8Array, countMax = 500): Promise<number> {
  let cursor: ResealCursor | undefined
  for (let records = 0; ;) {
    const step = await resealStep(keyring, tenant, cursor, countMax)
    records += step.records
    if (step.next === undefined) return records
    cursor = step.next
  }
}

/** What of a store is gone through, in this order. */
interface Pass {
  readonly table: string
  /** Records that it is about; undefined: all. */
  readonly isOf?: (record: TenantRecord) => boolean
  /** After which order it begins. */
  readonly after?: Uint8Array
}

/**
 * Values by their tables, then references, then queues: their schedules first, whose payloads the store below makes jobs of. When no schedule has an old one any more,
 * no job gets one, and those that did are found.
 */
function passesOf(tables: ReadonlyArray<string>): ReadonlyArray<Pass> {
  const passes: Array<Pass> = tables.filter(isSealedTable).map((table) => ({ table }))
  if (tables.includes(referenceTable)) passes.push({ table: referenceTable })
  if (tables.includes(queueTable)) passes.push({ table: queueTable, isOf: isSchedule, after: jobsEnd }, { table: queueTable })
  return passes
}

function* resealing(keyring: Keyring, tenant: Uint8Array, cursor: ResealCursor | undefined, countMax: number): Steps<ResealStep> {
  const held = (yield* keyring.read(tenant)) ?? (yield* keyring.ensured(tenant))
  const [current] = held.ring.keys
  const from = cursor !== undefined && isSameId(cursor.keyId, current.id) ? cursor : { table: 0, after: undefined }
  if (held.ring.keys.length === 1 && held.ring.plainUpTo === undefined) return { records: 0, next: undefined }
  const pass = passesOf(yield* ask({ ask: "tables" }))[from.table]
  if (pass === undefined || held.ring.print === undefined) {
    const isOver = pass === undefined
    try {
      // Digests of idempotency keys from before need the key for fingerprints.
      yield* keyring.write(tenant, held.version, isOver ? { ...held.ring, keys: [current], plainUpTo: undefined } : { ...held.ring, print: newPrint() })
      if (isOver) return { records: 0, next: undefined }
    } catch (error) {
      if (!isConflict(error)) throw error
    }
    return { records: 0, next: { keyId: current.id, ...from } }
  }
  const { table } = pass
  const page = yield* ask({
    ask: "export",
    table,
    tenant,
    after: from.after ?? pass.after,
    countMax: table === referenceTable ? Math.min(countMax, objectsMax) : countMax,
  })
  const records = yield* rewritten(keyring, tenant, held, pass, page)
  const last = page.records.at(-1)?.order
  const isOver = page.isComplete || last === undefined
  const next = { keyId: current.id, table: from.table + (isOver ? 1 : 0), after: isOver ? undefined : last }
  // Somebody has changed the keys: the same page again.
  return records === undefined ? { records: 0, next: { keyId: current.id, ...from } } : { records, next }
}

function isOld({ ring }: Held, table: string, tenant: Uint8Array, record: TenantRecord): boolean {
  const field = sealedField(table, tenant, record)
  const id = field === undefined ? undefined : idOf(field.bytes)
  return field !== undefined && (id === undefined || !isSameId(id, ring.keys[0].id))
}

/** How many records of a page were sealed anew; undefined when the tenant's keys are not those at hand any more. */
function* rewritten(keyring: Keyring, tenant: Uint8Array, held: Held, { table, isOf }: Pass, { records, revision }: TenantPage): Steps<number | undefined> {
  const wanted = records.filter((record) => !isOwnRecord(table, record) && isOf?.(record) !== false)
  if (table === referenceTable) return yield* rereferred(keyring, tenant, held, wanted)
  const groups: Array<ReadonlyArray<Operation>> = []
  for (const record of wanted) {
    if (table === queueTable) for (const operation of yield* requeuing(keyring, tenant, held, record)) groups.push([operation])
    else if (isOld(held, table, tenant, record)) groups.push(yield* rewriting(keyring, tenant, held, table, revision, record))
  }
  return yield* written(keyring, tenant, held, groups)
}

/** Each by itself: an object may take long, and its reference does not wait for those of others. */
function* rereferred(keyring: Keyring, tenant: Uint8Array, held: Held, records: ReadonlyArray<TenantRecord>): Steps<number | undefined> {
  let count = 0
  for (const record of records) {
    const done = yield* written(keyring, tenant, held, [yield* rereferring(keyring, tenant, held.ring, record)])
    if (done === undefined) return undefined
    count += done
  }
  return count
}

/** How many groups of operations were carried out, all at once or each by itself; undefined when the keys are others by now. */
function* written(keyring: Keyring, tenant: Uint8Array, held: Held, groups: ReadonlyArray<ReadonlyArray<Operation>>): Steps<number | undefined> {
  const guard = keyring.guard(tenant, held.version)
  const operations = groups.flat()
  if (operations.length === 0) return 0
  // A field that has other bytes by now has those of somebody who writes by the newest key.
  const doneIn = (answers: ReadonlyArray<unknown>): number => operationsDone(operations, answers.slice(1))
  try {
    return doneIn(yield* apply([guard, ...operations]))
  } catch (error) {
    if (!isOvertaken(error)) throw error
  }
  // One of them was written, removed or dropped meanwhile: each by itself, and that one is as it should be.
  let count = 0
  for (const group of groups) {
    try {
      count += operationsDone(group, (yield* apply([guard, ...group])).slice(1))
    } catch (error) {
      if (!isOvertaken(error)) throw error
      const now = yield* keyring.read(tenant)
      if (now?.version !== held.version) return undefined
    }
  }
  return count
}

const operationsDone = (operations: ReadonlyArray<Operation>, answers: ReadonlyArray<unknown>): number =>
  operations.filter(({ op }, i) => op === "import" || (op === "rewrite" && answers[i] === true)).length

const isOvertaken = (error: unknown): boolean => isConflict(error) || (error instanceof StorageError && error.reason._tag === "Record")

/** A record put in its place again as it was, sealed anew: its version, its end and its time stay. */
function* rewriting(
  keyring: Keyring,
  tenant: Uint8Array,
  { ring }: Held,
  table: string,
  revision: number,
  record: TenantRecord,
): Steps<ReadonlyArray<Operation>> {
  const field = sealedField(table, tenant, record)
  if (field === undefined) return []
  const { version } = record.fields
  const number = typeof version === "bigint" ? Number(version) : undefined
  const value = yield* opened(keyring, table, field.place, field.bytes, number)
  const put: Operation = { op: "import", tenant, table, record: field.with(seal(ring.keys[0], table, field.place, value)), revision }
  return table === keyValue && number !== undefined ? [{ op: "require", ...field.place, version: number }, put] : [put]
}

/** What of a queue's record is not sealed by the newest key. */
function* requeuing(keyring: Keyring, tenant: Uint8Array, { ring }: Held, record: TenantRecord): Steps<ReadonlyArray<Operation>> {
  const operations: Array<Operation> = []
  for (const each of queueFields(tenant, record)) {
    if (isNewest(ring, each)) continue
    const to = sealedQueueField(ring, each, yield* openedQueueField(keyring, each))
    operations.push({ op: "rewrite", tenant, table: queueTable, order: record.order, field: each.field, from: each.stored, to })
  }
  return operations
}

function isNewest({ keys: [current] }: Ring, { name, stored }: SealedQueueField): boolean {
  if (name === "fingerprint") return isFingerprint(stored)
  const id = idOf(name === errorName ? bytesOfText(textOf(stored)) : stored)
  return id !== undefined && isSameId(id, current.id)
}

/** A reference to the same object, sealed anew; the one before is garbage then. */
function* rereferring(keyring: Keyring, tenant: Uint8Array, { keys: [current] }: Ring, { order, fields }: TenantRecord): Steps<ReadonlyArray<Operation>> {
  const { digest, bytes, revision } = fields
  if (!(digest instanceof Uint8Array)) return []
  const { objects } = keyring
  if (objects === undefined)
    throw new ConfigError("Option", { option: "objects", expected: "the store's objects, which its keys seal as well", actual: "none" })
  const referred = { tenant, key: order, digest, bytes: Number(bytes), revision: Number(revision) }
  try {
    const head = yield* wait(() => objects.read(hexOf(digest), 0, headBytes))
    const id = head === undefined ? undefined : objectKeyId(head)
    if (id !== undefined && isSameId(id, current.id)) return []
    const to = Buffer.from(yield* wait(() => resealedObject(keyring, objects, referred, current)), "hex")
    return [{ op: "rewrite", tenant, table: referenceTable, order, field: "digest", from: digest, to }]
  } catch (error) {
    // It may have been given another object meanwhile, and this one be collected: then there is nothing to do.
    const now = yield* ask({ ask: "blob", tenant, key: order })
    if (now === undefined || Buffer.compare(now.digest, digest) !== 0) return []
    throw error
  }
}

/** Every tenant of the store, the host's own too. */
export async function* tenantsOf({ store }: Keyring): AsyncGenerator<Uint8Array> {
  for (let after: Uint8Array | undefined; ;) {
    const tenants: ReadonlyArray<Uint8Array> = await store.ask({ ask: "tenants", after, countMax: 1_000 })
    yield* tenants
    after = tenants.at(-1)
    if (after === undefined) return
  }
}

/** Seals everything that is not sealed by its tenant's newest key; after that the store takes nothing plain for its own. */
export async function resealAll(keyring: Keyring): Promise<{ readonly tenants: number; readonly records: number }> {
  let [tenants, records] = [0, 0]
  for await (const tenant of tenantsOf(keyring)) {
    tenants++
    records += await reseal(keyring, tenant)
  }
  await run(keyring.store, keyring.close())
  return { tenants, records }
}
