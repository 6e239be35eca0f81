/** What a storage address stands for: ports that keep their data there, and how to let go of them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Ports } from "../../host/port/mod.ts"
import type { ObjectStore } from "../port/object.ts"
import type { Store } from "../port/store.ts"

const { existsSync } = process.getBuiltinModule("node:fs")

export interface Storage {
  /** The ports that are kept there; the others stay in memory. */
  readonly ports: Partial<Ports>
  /** The store itself; absent where everything is in memory. */
  readonly store?: Store
  close(): Promise<void>
}

export interface StorageOptions {
  /** Open a store that has lost acknowledged commits for writing, and go on without them. Default false: it can only be read. */
  readonly acceptLoss?: boolean
}

const known = ["memory", "sqlite:PATH"]

/** A password in an address is never shown. */
const shown = (address: string): string => address.replace(/:\/\/[^@/]*@/, "://…@")

/** The folder of a SQLite store's objects. */
export const objectsOf = (path: string): string => `${path}-objects`

/** The file of a `sqlite:PATH`. */
export function sqlitePath(address: string): string {
  if (/^(postgres|postgresql|pglite|s3|file):/.test(address)) throw new PluginError("NotBuilt", { asked: `storage: "${shown(address)}"`, exists: known })
  const path = /^sqlite:(.+)$/s.exec(address)?.[1]
  if (path === undefined) throw new StorageError("Address", { address: shown(address), known })
  // Made absolute: SQLite would take some names for something else than files, and the working folder may change.
  return process.getBuiltinModule("node:path").resolve(path)
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

/**
 * Opens `sqlite:PATH`, also one that is being filled by a move.
 * @throws StorageError `Address` and those of opening; PluginError `NotBuilt`
 */
export async function openStores(address: string, options: StorageOptions = {}): Promise<Stores> {
  const path = sqlitePath(address)
  // Loaded when asked for: a host in memory, or in a browser, has no use for it.
  const [{ SqliteStore }, { FolderStore }] = await Promise.all([import("./sqlite/mod.ts"), import("./folder/mod.ts")])
  const store = SqliteStore.open(path, options)
  // Two threads start sooner together than one after the other; but beside a file that is refused no folder is made.
  if (!existsSync(objectsOf(path))) await store
  return both(`sqlite:${path}`, store, () => FolderStore.open(objectsOf(path), options))
}

/**
 * Opens `memory` or `sqlite:PATH`.
 * @throws ConfigError for something else than text; StorageError `Address`, `Moving` and those of opening; PluginError `NotBuilt`
 */
export async function openStorage(address: string, options: StorageOptions = {}): Promise<Storage> {
  if (typeof address !== "string") throw new ConfigError("Option", { option: "storage", expected: known.join(" or "), actual: typeof address })
  if (address === "memory") return { ports: {}, close: async () => {} }
  const [stores, { guestBlob, guestEvent, guestKeyValue }, { originOf }] = await Promise.all([
    openStores(address, options),
    import("./guest.ts"),
    import("./move/journal.ts"),
  ])
  const { store, objects, close } = stores
  try {
    const from = await originOf(store)
    if (from !== undefined) throw new StorageError("Moving", { store: stores.address, from })
    return { ports: { keyValue: guestKeyValue(store), event: guestEvent(store), blob: guestBlob(store, objects) }, store, close }
  } catch (error) {
    await close()
    throw error
  }
}
