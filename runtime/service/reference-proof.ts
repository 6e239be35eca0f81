/**
 * Proof that nobody refers to objects that an index says nobody refers to. The index has no sums: one entry of it that was lost would cost a
 * living object. So every reference of every tenant is read, each held against its sum and all of a tenant's against their totals, in pages
 * between which others go on; a tenant that is written to meanwhile is read again.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import { type Place, textOf } from "../port/place.ts"
import type { BlobReference } from "../port/blob.ts"
import type { Store } from "../port/store.ts"
import { sumOf } from "../storage/row.ts"

const table = "blob_reference"
const noKey = new Uint8Array(0)
/** References read at once: so long a guest on the same thread waits. */
const pageRows = 200
/** How often a tenant's references are read, if they change every time. */
const attemptsMax = 5
/** References of a tenant that are read at once the last time, so that even one who never rests is read. */
const restlessRows = 5_000

interface Sum {
  readonly tenant: Uint8Array
  readonly keys: number
  readonly bytes: number
  readonly sums: number
}
type Sums = Map<string, Sum>

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")

/** The host's own tenant has another name in some stores' rows, and so other sums. */
const isSame = (a: Sum, b: Sum): boolean => a.keys === b.keys && a.bytes === b.bytes && (a.tenant.length === 0 || a.sums === b.sums)

async function totalsOf(store: Store): Promise<Sums> {
  const totals = await store.ask({ ask: "totals" })
  return new Map(totals.filter((total) => total.table === table).map((total) => [hexOf(total.tenant), total]))
}

const none = (tenant: Uint8Array): Sum => ({ tenant, keys: 0, bytes: 0, sums: 0 })

/** Takes a reference into the sums of its tenant, and its object out of `dead`. */
function take(sums: Sums, dead: Set<string>, { tenant, key, digest, bytes, createdAtUs, revision }: Place & BlobReference): void {
  const name = hexOf(tenant)
  const old = sums.get(name) ?? none(tenant)
  const sum = sumOf({ tenant, key }, digest, revision, bytes, createdAtUs)
  sums.set(name, { tenant, keys: old.keys + 1, bytes: old.bytes + bytes, sums: (old.sums ^ sum) >>> 0 })
  dead.delete(hexOf(digest))
}

async function readAll(store: Store, dead: Set<string>, pause: () => Promise<void>): Promise<Sums> {
  const sums: Sums = new Map()
  for (let beyond: Place | undefined; ;) {
    const page = await store.ask({ ask: "references", beyond, countMax: pageRows })
    for (const each of page) take(sums, dead, each)
    if (page.length < pageRows) return sums
    beyond = page.at(-1)
    await pause()
  }
}

async function readTenant(store: Store, tenant: Uint8Array, sums: Sums, dead: Set<string>, countMax: number, pause: () => Promise<void>): Promise<void> {
  for (let beyond: Uint8Array | undefined; ;) {
    const page = await store.ask({ ask: "blobs", tenant, key: noKey, beyond, countMax })
    for (const each of page) take(sums, dead, { tenant, ...each })
    if (page.length < countMax) return
    beyond = page.at(-1)?.key
    await pause()
  }
}

/**
 * Reads one tenant again; true when what was read is what its totals say, undefined when somebody wrote meanwhile.
 * With `isAtOnce`, a tenant of a moderate size is read in one step, so that even one who never rests is read.
 */
async function proveTenant(store: Store, tenant: Uint8Array, dead: Set<string>, isAtOnce: boolean, pause: () => Promise<void>): Promise<boolean | undefined> {
  const revision = async (): Promise<number> => (await store.ask({ ask: "export", tenant, table, after: undefined, countMax: 0 })).revision
  const name = hexOf(tenant)
  const started = await revision()
  const total = (await totalsOf(store)).get(name) ?? none(tenant)
  const sums: Sums = new Map()
  await readTenant(store, tenant, sums, dead, isAtOnce && total.keys < restlessRows ? restlessRows : pageRows, pause)
  // Equal is equal, whatever happened meanwhile: a reference that was written while this ran is to an object that is young.
  if (isSame(sums.get(name) ?? none(tenant), total)) return true
  return started === (await revision()) ? false : undefined
}

/**
 * Takes out of `dead` what somebody refers to. False when some tenant changed its references too often to tell: then nothing is known.
 * @throws StorageError `Corrupt` when references are missing or are not what was written, and so any object may be somebody's
 */
export async function keepReferred(store: Store, dead: Set<string>, pause: () => Promise<void>): Promise<boolean> {
  const totals = await totalsOf(store)
  const sums = await readAll(store, dead, pause)
  const doubtful = [...new Map([...totals, ...sums])].flatMap(([name, { tenant }]) =>
    isSame(sums.get(name) ?? none(tenant), totals.get(name) ?? none(tenant)) ? [] : [tenant],
  )
  for (const tenant of doubtful) {
    let isProved: boolean | undefined
    for (let attempt = 1; isProved === undefined && attempt <= attemptsMax; attempt++)
      isProved = await proveTenant(store, tenant, dead, attempt === attemptsMax, pause)
    if (isProved === undefined) return false
    if (!isProved) throw new StorageError("Corrupt", { store: store.name, table, key: `${textOf(tenant)}/` })
  }
  return true
}
