/**
 * A tenant gets a new key; then everything that others have sealed, or nobody, is sealed by it, in steps that let writers in between;
 * then the others are destroyed. A step depends on the tenant's keys: a key that came meanwhile begins it anew, so
 * that nothing is left under a key when it goes.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Operation } from "../../port/store.ts"
import type { TenantPage, TenantRecord } from "../../port/tenant.ts"
import { attemptsMax, type Held, isConflict, type Keyring, table as keyValue } from "./keyring.ts"
import { opened } from "./open.ts"
import { ringKey } from "./place.ts"
import { type Ring, rotated } from "./ring.ts"
import { idOf, isSameId, seal } from "./seal.ts"
import { apply, ask, run, type Steps } from "./step.ts"
import { isOwnRecord, isSealedTable, sealedField } from "./table.ts"

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

function* resealing(keyring: Keyring, tenant: Uint8Array, cursor: ResealCursor | undefined, countMax: number): Steps<ResealStep> {
  const held = (yield* keyring.read(tenant)) ?? (yield* begun(keyring, tenant))
  const [current] = held.ring.keys
  const from = cursor !== undefined && isSameId(cursor.keyId, current.id) ? cursor : { table: 0, after: undefined }
  if (held.ring.keys.length === 1 && held.ring.plainUpTo === undefined) return { records: 0, next: undefined }
  const tables = (yield* ask({ ask: "tables" })).filter(isSealedTable)
  const table = tables[from.table]
  if (table === undefined) {
    try {
      yield* keyring.write(tenant, held.version, { keys: [current], plainUpTo: undefined })
      return { records: 0, next: undefined }
    } catch (error) {
      if (!isConflict(error)) throw error
      return { records: 0, next: { keyId: current.id, table: from.table, after: undefined } }
    }
  }
  const page = yield* ask({ ask: "export", table, tenant, after: from.after, countMax })
  const old = page.records.filter((record) => !isOwnRecord(table, record) && isOld(held, table, tenant, record))
  const records = old.length === 0 ? 0 : yield* rewritten(keyring, tenant, held, table, page, old)
  const last = page.records.at(-1)?.order
  const isOver = page.isComplete || last === undefined
  const next = { keyId: current.id, table: from.table + (isOver ? 1 : 0), after: isOver ? undefined : last }
  // Somebody has changed the keys: the same page again.
  return records === undefined ? { records: 0, next: { keyId: current.id, ...from } } : { records, next }
}

/** The first keys of a tenant, which another process may have made meanwhile. */
function* begun(keyring: Keyring, tenant: Uint8Array): Steps<Held> {
  try {
    return yield* keyring.write(tenant, undefined, yield* keyring.draft(tenant))
  } catch (error) {
    const held = isConflict(error) ? yield* keyring.read(tenant) : undefined
    if (held === undefined) throw error
    return held
  }
}

function isOld({ ring }: Held, table: string, tenant: Uint8Array, record: TenantRecord): boolean {
  const field = sealedField(table, tenant, record)
  const id = field === undefined ? undefined : idOf(field.bytes)
  return field !== undefined && (id === undefined || !isSameId(id, ring.keys[0].id))
}

/** Undefined when the tenant's keys are not those at hand any more. */
function* rewritten(
  keyring: Keyring,
  tenant: Uint8Array,
  held: Held,
  table: string,
  { revision }: TenantPage,
  old: ReadonlyArray<TenantRecord>,
): Steps<number | undefined> {
  const groups: Array<ReadonlyArray<Operation>> = []
  for (const record of old) groups.push(yield* rewriting(keyring, tenant, held, table, revision, record))
  const guard = { op: "require", tenant, key: ringKey, version: held.version } as const
  try {
    yield* apply([guard, ...groups.flat()])
    return old.length
  } catch (error) {
    if (!isOvertaken(error)) throw error
  }
  // One of them was written, removed or dropped meanwhile: each by itself, and that one is as it should be.
  let records = 0
  for (const group of groups) {
    try {
      yield* apply([guard, ...group])
      records++
    } catch (error) {
      if (!isOvertaken(error)) throw error
      const now = yield* keyring.read(tenant)
      if (now?.version !== held.version) return undefined
    }
  }
  return records
}

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
