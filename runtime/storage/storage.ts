/** What a storage address stands for: ports that keep their data there, and how to let go of them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Ports } from "../../host/port/mod.ts"
import type { StoreLimitOptions } from "../port/limits.ts"
import type { ObjectStore } from "../port/object.ts"
import type { Store } from "../port/store.ts"
import type { SealedObjects } from "./sealed/objects.ts"
import { makeDataFolder } from "./default.ts"

const { hash } = process.getBuiltinModule("node:crypto")
const { mkdtempSync, rmSync } = process.getBuiltinModule("node:fs")
const { tmpdir } = process.getBuiltinModule("node:os")
const { join } = process.getBuiltinModule("node:path")

export interface Storage {
  /** The ports that are kept there; the others stay in memory. */
  readonly ports: Partial<Ports>
  /** The store itself, and that of its objects; absent where everything is in memory. */
  readonly store?: Store
  readonly objects?: ObjectStore
  close(): Promise<void>
}

export interface StorageOptions {
  /** Open a store that has lost acknowledged commits for writing, and go on without them. Default false: it can only be read. */
  readonly acceptLoss?: boolean
  /**
   * Where blobs are kept: `folder:PATH` or `s3://BUCKET/PREFIX?endpoint=URL&region=REGION`. Default: a folder beside a SQLite file; for a
   * database one in the user's data folder, which other machines do not see. It is this store's alone: what no reference of it names is garbage.
   */
  readonly objects?: string | undefined
  /**
   * The store's master key, 32 bytes: `file:PATH` or `env:NAME`. Values are sealed by it from the first time it is given, and the store is refused
   * without it from then on, and so are blobs and jobs; names of keys and sizes are not sealed (`docs/adr/0016-encryption.md`).
   */
  readonly storageKey?: string | undefined
  /** What the store takes and keeps that differs from the defaults, by port: `{ keyValue: { tenantKeysMax: 1_000_000 } }`. They hold for what this process writes. */
  readonly limits?: StoreLimitOptions | undefined
}

export interface StoresOptions extends StorageOptions {
  /**
   * Answer also what concerns all tenants: checks, moves, sums of usage. A database has a role for that, `stele_worker`, whose password is in the
   * file of `STELE_STORAGE_WORKER_PASSWORD_FILE`, or is that of the address's role. Default false: a database answers for one tenant at a time.
   */
  readonly overseer?: boolean
}

const known = ["memory", "sqlite:PATH", "sqlite-tenants:FOLDER", "postgres://USER@HOST/DATABASE", "pglite:PATH"]

/** A password in an address is never shown. */
const shown = (address: string): string => address.replace(/:\/\/[^@/]*@/, "://…@")

/** The folder of the objects of a store that has a path. */
export const objectsOf = (path: string): string => `${path}-objects`

/** The file of a `sqlite:PATH`. */
export function sqlitePath(address: string): string {
  if (/^(pglite|s3|file):/.test(address))
    throw new PluginError("NotBuilt", { asked: `storage: "${shown(address)}"`, exists: known.filter((each) => !each.startsWith("pglite:")) })
  const path = /^sqlite:(.+)$/s.exec(address)?.[1]
  if (path === undefined) throw new StorageError("Address", { address: shown(address), known })
  // Made absolute: SQLite would take some names for something else than files, and the working folder may change.
  return process.getBuiltinModule("node:path").resolve(path)
}

/** The folder of a `pglite:PATH`; undefined for every other kind of store. */
export function pglitePath(address: string): string | undefined {
  const path = /^pglite:(.+)$/s.exec(address)?.[1]
  return path === undefined ? undefined : process.getBuiltinModule("node:path").resolve(path)
}

/** The folder of a `sqlite-tenants:FOLDER`, absolute; undefined for every other kind of store. */
export function tenantsFolder(address: string): string | undefined {
  const folder = /^sqlite-tenants:(.+)$/s.exec(address)?.[1]
  return folder === undefined ? undefined : process.getBuiltinModule("node:path").resolve(folder)
}

/** A store and its objects, as services and commands use them. */
export interface Stores {
  /** As it was named, without a password. */
  readonly address: string
  readonly store: Store
  readonly objects: ObjectStore
  close(): Promise<void>
}

/** Opens both, or neither. */
async function both(address: string, store: Promise<Store>, objects: () => Promise<ObjectStore>): Promise<Stores> {
  const [kept, placed] = await Promise.allSettled([store, objects()])
  if (kept.status === "rejected" || placed.status === "rejected") {
    for (const each of [kept, placed]) if (each.status === "fulfilled") await each.value.close()
    throw kept.status === "rejected" ? kept.reason : (placed as PromiseRejectedResult).reason
  }
  return {
    address,
    store: kept.value,
    objects: placed.value,
    async close() {
      await placed.value.close()
      await kept.value.close()
    },
  }
}

export const isPostgres = (address: string): boolean => /^postgres(ql)?:/.test(address)

/**
 * Opens `folder:PATH` or `s3://BUCKET/PREFIX?…`.
 * @throws StorageError `Address` and those of opening
 */
export async function openObjects(address: string, { acceptLoss }: StorageOptions = {}): Promise<ObjectStore> {
  const folder = /^folder:(.+)$/s.exec(address)?.[1]
  if (folder !== undefined) return (await import("./folder/mod.ts")).FolderStore.open(folder, acceptLoss === undefined ? {} : { acceptLoss })
  if (address.startsWith("s3:")) return (await import("./s3/mod.ts")).S3Store.open(address)
  throw new StorageError("Address", { address: shown(address), known: ["folder:PATH", "s3://BUCKET/PREFIX?endpoint=URL&region=REGION"] })
}

/** Where the objects of a database lie when nothing is said: on this machine, by the database's name as its services say it. */
export function objectsOfDatabase(name: string): string {
  const folder = makeDataFolder(process.env)
  if (folder === undefined) throw new StorageError("Unreachable", { store: "objects", detail: "this user has no data folder" })
  const asService = name.replace(/^(postgres:\/\/)stele_worker@/, "$1stele_service@")
  return join(folder, `objects-${hash("sha256", asService, "hex").slice(0, 16)}`)
}

/** PGlite on a folder, or in memory with objects that go when it is closed. */
async function openPglite(path: string | undefined, options: StorageOptions): Promise<Stores> {
  const { PgliteStore } = await import("./pglite/mod.ts")
  const limits = options.limits ?? {}
  if (path !== undefined) {
    const whole = process.getBuiltinModule("node:path").resolve(path)
    return both(`pglite:${whole}`, PgliteStore.open(whole, limits), () => openObjects(options.objects ?? `folder:${objectsOf(whole)}`, options))
  }
  if (options.objects !== undefined) return both("pglite:", PgliteStore.open(undefined, limits), () => openObjects(options.objects as string, options))
  const folder = mkdtempSync(join(tmpdir(), "stele-objects-"))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    const stores = await both("pglite:", PgliteStore.open(undefined, limits), () => openObjects(`folder:${folder}`, options))
    return { ...stores, close: () => stores.close().finally(remove) }
  } catch (error) {
    remove()
    throw error
  }
}

/** A file for each tenant, and the objects of all in one folder beside them. */
async function openTenants(folder: string, options: StorageOptions): Promise<Stores> {
  const { nameOf, objectsName, TenantFilesStore } = await import("./tenants/mod.ts")
  const { acceptLoss, limits } = options
  const store = await TenantFilesStore.open(folder, { ...limits, ...(acceptLoss === undefined ? {} : { acceptLoss }) })
  return both(nameOf(folder), Promise.resolve(store), () => openObjects(options.objects ?? `folder:${join(folder, objectsName)}`, options))
}

/**
 * Opens `sqlite:PATH`, `sqlite-tenants:FOLDER`, `postgres://USER@HOST/DATABASE`, `pglite:PATH` or `pglite:` (in memory) with its objects, also a store that is being filled by a move.
 * @throws StorageError `Address` and those of opening; PluginError `NotBuilt`
 */
export async function openStores(address: string, options: StoresOptions = {}): Promise<Stores> {
  if (isPostgres(address)) {
    const { parseAddress, PostgresStore, workerAddress } = await import("./postgres/mod.ts")
    const { name } = parseAddress(address)
    const worker = options.overseer === true ? { worker: workerAddress(address) } : {}
    return both(name, PostgresStore.open(address, { ...options.limits, ...worker }), () =>
      openObjects(options.objects ?? `folder:${objectsOfDatabase(name)}`, options),
    )
  }
  const pglite = /^pglite:(.*)$/s.exec(address)?.[1]
  if (pglite !== undefined) return openPglite(pglite === "" ? undefined : pglite, options)
  const folder = tenantsFolder(address)
  if (folder !== undefined) return openTenants(folder, options)
  const path = sqlitePath(address)
  // Loaded when asked for: a host in memory, or in a browser, has no use for it.
  const { SqliteStore } = await import("./sqlite/mod.ts")
  const { acceptLoss } = options
  const store = SqliteStore.open(path, { ...options.limits, ...(acceptLoss === undefined ? {} : { acceptLoss }) })
  const objects = options.objects ?? `folder:${objectsOf(path)}`
  // Beside a file that is refused no folder is made.
  await store
  return both(`sqlite:${path}`, store, () => openObjects(objects, options))
}

/** A store and its objects as whoever has the master key uses them. */
async function sealedBy(key: string, store: Store, objects: ObjectStore): Promise<{ readonly store: Store; readonly objects: SealedObjects }> {
  const { openKeyring, sealed, SealedObjects } = await import("./sealed/mod.ts")
  const keyring = await openKeyring(key, store, { objects })
  return { store: sealed(store, keyring), objects: new SealedObjects(keyring, objects) }
}

/**
 * Opens `memory`, `sqlite:PATH`, `sqlite-tenants:FOLDER`, `pglite:PATH`, or `postgres://USER@HOST/DATABASE`, whose password is in the file of `STELE_STORAGE_PASSWORD_FILE` or in `PGPASSWORD`.
 * @throws ConfigError for something else than text; StorageError `Address`, `Moving`, `KeyRequired`, `WrongKey` and those of opening; PluginError `NotBuilt`
 */
export async function openStorage(address: string, options: StorageOptions = {}): Promise<Storage> {
  if (typeof address !== "string") throw new ConfigError("Option", { option: "storage", expected: known.join(" or "), actual: typeof address })
  if (address === "memory") return { ports: {}, close: async () => {} }
  const [stores, { guestBlob, guestEvent, guestKeyValue }, { originOf }, { refuseSealed }] = await Promise.all([
    openStores(address, options),
    import("./guest.ts"),
    import("./move/journal.ts"),
    import("./sealed/refuse.ts"),
  ])
  const { store: below, objects, close } = stores
  try {
    const from = await originOf(below)
    if (from !== undefined) throw new StorageError("Moving", { store: stores.address, from })
    // What is written without the key would be refused by everybody who has it.
    if (options.storageKey === undefined) await refuseSealed(below)
    const found = options.storageKey === undefined ? undefined : await sealedBy(options.storageKey, below, objects)
    const store = found?.store ?? below
    return { ports: { keyValue: guestKeyValue(store), event: guestEvent(store), blob: guestBlob(store, objects, found?.objects) }, store, objects, close }
  } catch (error) {
    await close()
    throw error
  }
}
