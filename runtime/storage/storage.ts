/** What a storage address stands for: ports that keep their data there, and how to let go of them. */
import { ConfigError } from "../../schemas/error/config.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { Ports } from "../../host/port/mod.ts"

export interface Storage {
  /** The ports that are kept there; the others stay in memory. */
  readonly ports: Partial<Ports>
  close(): Promise<void>
}

export interface StorageOptions {
  /** Open a store that has lost acknowledged commits for writing, and go on without them. Default false: it can only be read. */
  readonly acceptLoss?: boolean
}

const known = ["memory", "sqlite:PATH"]

/** A password in an address is never shown. */
const shown = (address: string): string => address.replace(/:\/\/[^@/]*@/, "://…@")

/** The file of a `sqlite:PATH`. */
export function sqlitePath(address: string): string {
  if (/^(postgres|postgresql|pglite|s3|file):/.test(address)) throw new PluginError("NotBuilt", { asked: `storage: "${shown(address)}"`, exists: known })
  const path = /^sqlite:(.+)$/s.exec(address)?.[1]
  if (path === undefined) throw new StorageError("Address", { address: shown(address), known })
  // Made absolute: SQLite would take some names for something else than files, and the working folder may change.
  return process.getBuiltinModule("node:path").resolve(path)
}

/**
 * Opens `memory` or `sqlite:PATH`.
 * @throws ConfigError for something else than text; StorageError `Address` and those of opening; PluginError `NotBuilt`
 */
export async function openStorage(address: string, options: StorageOptions = {}): Promise<Storage> {
  if (typeof address !== "string") throw new ConfigError("Option", { option: "storage", expected: known.join(" or "), actual: typeof address })
  if (address === "memory") return { ports: {}, close: async () => {} }
  const path = sqlitePath(address)
  // Loaded when asked for: a host in memory, or in a browser, has no use for it.
  const [{ SqliteStore }, { guestEvent, guestKeyValue }] = await Promise.all([import("./sqlite/mod.ts"), import("./guest.ts")])
  const store = await SqliteStore.open(path, options)
  return { ports: { keyValue: guestKeyValue(store), event: guestEvent(store) }, close: () => store.close() }
}
