/** What a storage address stands for: ports that keep their data there, and how to let go of them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Ports } from "../../host/port/mod.ts"

const { existsSync } = process.getBuiltinModule("node:fs")

export interface Storage {
  /** The ports that are kept there; the others stay in memory. */
  readonly ports: Partial<Ports>
  close(): Promise<void>
}

export interface StorageOptions {
  /** Open a store that has lost acknowledged commits for writing, and go on without them. Default false: it can only be read. */
  readonly acceptLoss?: boolean
}

const known = ["memory", "sqlite:PATH", "postgres://USER@HOST/DATABASE"]

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

const isPostgres = (address: string): boolean => /^postgres(ql)?:/.test(address)

/** Objects stay in memory: a database that several processes share needs a place for them that they share too. */
async function openPostgres(address: string): Promise<Storage> {
  const [{ PostgresStore }, { guestEvent, guestKeyValue }] = await Promise.all([import("./postgres/mod.ts"), import("./guest.ts")])
  const store = await PostgresStore.open(address)
  return { ports: { keyValue: guestKeyValue(store), event: guestEvent(store) }, close: () => store.close() }
}

/**
 * Opens `memory`, `sqlite:PATH` or `postgres://USER@HOST/DATABASE`, whose password is in `STELE_STORAGE_PASSWORD_FILE` or `PGPASSWORD`.
 * @throws ConfigError for something else than text; StorageError `Address` and those of opening; PluginError `NotBuilt`
 */
export async function openStorage(address: string, options: StorageOptions = {}): Promise<Storage> {
  if (typeof address !== "string") throw new ConfigError("Option", { option: "storage", expected: known.join(" or "), actual: typeof address })
  if (address === "memory") return { ports: {}, close: async () => {} }
  if (isPostgres(address)) return openPostgres(address)
  const path = sqlitePath(address)
  // Loaded when asked for: a host in memory, or in a browser, has no use for it.
  const [{ SqliteStore }, { FolderStore }, { guestBlob, guestEvent, guestKeyValue }] = await Promise.all([
    import("./sqlite/mod.ts"),
    import("./folder/mod.ts"),
    import("./guest.ts"),
  ])
  const opening = SqliteStore.open(path, options)
  // Two threads start sooner together than one after the other; but beside a file that is refused no folder is made.
  if (!existsSync(objectsOf(path))) await opening
  const [store, objects] = await Promise.allSettled([opening, FolderStore.open(objectsOf(path), options)])
  if (store.status === "rejected" || objects.status === "rejected") {
    for (const each of [store, objects]) if (each.status === "fulfilled") await each.value.close()
    throw store.status === "rejected" ? store.reason : (objects as PromiseRejectedResult).reason
  }
  return {
    ports: { keyValue: guestKeyValue(store.value), event: guestEvent(store.value), blob: guestBlob(store.value, objects.value) },
    async close() {
      await objects.value.close()
      await store.value.close()
    },
  }
}
