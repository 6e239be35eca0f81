/** `stele storage rotate ADDRESS`: new keys for a sealed store, and everything sealed by them; the first time, everything that is not sealed yet. */
import { ConfigError } from "../../schemas/error/config.ts"
import { tenantPrefix } from "../../host/port/port.ts"
import { placeOf } from "../port/place.ts"
import { masterOf, openKeyring, reseal, resealAll, rotate, rotateMaster, roomForSeals, tenantsOf } from "../storage/sealed/mod.ts"
import { SqliteStore } from "../storage/sqlite/mod.ts"
import type { Store } from "../port/store.ts"
import { isPostgres, objectsOf, objectsOfDatabase, openObjects, pglitePath, sqlitePath, tenantsFolder } from "../storage/storage.ts"
import { objectsName, TenantFilesStore } from "../storage/tenants/mod.ts"
import { countText } from "./quantity.ts"
import { refuseMissing } from "./storage.ts"
import { printLine } from "./terminal.ts"

const { existsSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

export interface RotateFlags {
  readonly address: string
  readonly storageKey: string | undefined
  readonly newStorageKey: string | undefined
  /** Where the store's objects are, which are sealed by the same keys. */
  readonly objects: string | undefined
  readonly tenant: string | undefined
  readonly dryRun: boolean
  readonly json: boolean
}

const counted = (count: number, what: string): string => `${countText(count)} ${what}${count === 1 ? "" : "s"}`

interface Placed {
  readonly name: string
  /** With room for seals: as who sees all tenants, where a store tells them apart. */
  open(): Promise<Store>
  /** The folder of its objects, if nobody says another place. */
  readonly beside: string
}

/** What is not there is not made. */
async function placed(address: string): Promise<Placed> {
  const limits = roomForSeals({})
  if (isPostgres(address)) {
    const { parseAddress, PostgresStore, workerAddress } = await import("../storage/postgres/mod.ts")
    const { name } = parseAddress(address)
    return { name, open: () => PostgresStore.open(address, { worker: workerAddress(address), ...limits }), beside: objectsOfDatabase(name) }
  }
  refuseMissing(address)
  const cluster = pglitePath(address)
  if (cluster !== undefined) {
    const { PgliteStore } = await import("../storage/pglite/mod.ts")
    return { name: `pglite:${cluster}`, open: () => PgliteStore.open(cluster, limits), beside: objectsOf(cluster) }
  }
  const folder = tenantsFolder(address)
  if (folder !== undefined) return { name: folder, open: () => TenantFilesStore.open(folder, limits), beside: join(folder, objectsName) }
  const path = sqlitePath(address)
  return { name: path, open: () => SqliteStore.open(path, limits), beside: objectsOf(path) }
}

export async function rotateKeys({ address, storageKey, newStorageKey, objects: named, tenant, dryRun, json }: RotateFlags): Promise<void> {
  if (storageKey === undefined)
    throw new ConfigError("Usage", { detail: "Cannot rotate keys without the store's master key", advice: "name it: --storage-key file:PATH or env:NAME" })
  if (tenant !== undefined && newStorageKey !== undefined)
    throw new ConfigError("Usage", { detail: "Cannot exchange the master key for one tenant", advice: "leave out --tenant or --new-storage-key" })
  const next = newStorageKey === undefined ? undefined : masterOf(newStorageKey)
  const { name: path, open, beside } = await placed(address)
  await using store = await open()
  // Where it never had any, no folder for them is made; references to objects that are not found keep their keys.
  const at = named ?? (existsSync(beside) ? `folder:${beside}` : undefined)
  await using objects = at === undefined || dryRun ? undefined : await openObjects(at)
  const keyring = await openKeyring(storageKey, store, { isMade: !dryRun, objects })
  const own = tenant === undefined ? undefined : placeOf(tenantPrefix(tenant)).tenant
  if (dryRun) {
    const tenants = own === undefined ? (await Array.fromAsync(tenantsOf(keyring))).length : 1
    const what = next === undefined ? "new data keys" : "data keys wrapped by another master key"
    if (json) printLine(JSON.stringify({ store: path, dryRun: true, tenants }))
    else printLine(`${counted(tenants, "tenant")} would have ${what}; nothing was changed`)
    return
  }
  if (next !== undefined) {
    const tenants = await rotateMaster(keyring, next)
    if (json) printLine(JSON.stringify({ store: path, masterKey: Buffer.from(next.id).toString("hex"), tenants }))
    else printLine(`The keys of ${counted(tenants, "tenant")} are wrapped by the new master key; the one before opens nothing any more`)
    return
  }
  let done = { tenants: 1, records: 0 }
  if (own !== undefined) {
    await rotate(keyring, own)
    done = { tenants: 1, records: await reseal(keyring, own) }
  } else {
    for await (const each of tenantsOf(keyring)) await rotate(keyring, each)
    done = await resealAll(keyring)
  }
  if (json) printLine(JSON.stringify({ store: path, ...done }))
  else printLine(`${counted(done.tenants, "tenant")}, ${counted(done.records, "record")} sealed by new keys; the old keys are destroyed`)
}
