/** The folder of a PGlite store: whose it is, how it is made whole or not at all, and the PostgreSQL in this process that works on it. */
import type { DatabaseSync } from "node:sqlite"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { refuseNetwork, syncFolder } from "../disk.ts"
import type { Address } from "../postgres/address.ts"
import { type Migrated, migrateOver } from "../postgres/migrate.ts"
import { type Instance, streamsOver } from "./stream.ts"

const { existsSync, mkdirSync, readdirSync, renameSync, rmSync } = process.getBuiltinModule("node:fs")
const { dirname, join } = process.getBuiltinModule("node:path")

/** An optional peer of the package. */
const driver = "@electric-sql/pglite"
/** How long another process is waited for that has the folder, in ms: one that ends now. */
const lockMsMax = 1_000
const [lockName, dataName, madeName] = ["lock", "data", "data-being-made"]

export interface Cluster {
  readonly instance: Instance
  close(): Promise<void>
}

type Pglite = new (options: { readonly dataDir?: string }) => Instance

async function load(store: string, module: string | undefined): Promise<Pglite> {
  try {
    return ((await import(module ?? driver)) as { readonly PGlite: Pglite }).PGlite
  } catch (cause) {
    throw new StorageError("Driver", { store, package: driver }, { cause })
  }
}

/** PGlite itself keeps nobody out, and two of them destroy a folder. Node has no flock(2); SQLite's lock goes with its process, however that ends. */
function lock(store: string, path: string): () => void {
  const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")
  let held: DatabaseSync | undefined
  try {
    held = new Database(join(path, lockName), { timeout: lockMsMax })
    held.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
    const lock = held
    return () => lock.close()
  } catch (cause) {
    held?.close()
    if ((cause as { readonly errcode?: number }).errcode === 5) throw new StorageError("Busy", { store, waitedMs: lockMsMax }, { cause })
    throw cause
  }
}

async function start(PGlite: Pglite, dataDir?: string): Promise<Instance> {
  const instance = new PGlite(dataDir === undefined ? {} : { dataDir: `file://${dataDir}` })
  await instance.waitReady
  return instance
}

/** A cluster with tables and roles. It gets its name when it has them: what a process that was killed left half has another. */
async function make(PGlite: Pglite, address: Address, path: string): Promise<void> {
  const made = join(path, madeName)
  rmSync(made, { recursive: true, force: true })
  const instance = await start(PGlite, made)
  try {
    await migrateOver({ address, password: undefined, stream: streamsOver(instance) })
  } finally {
    await instance.close()
  }
  renameSync(made, join(path, dataName))
  syncFolder(path)
}

/**
 * Starts PGlite on a folder, which is set up when it is new or empty, or in memory.
 * @throws StorageError `Driver`, `Busy`, `Foreign`, `Unreachable`
 */
export async function openCluster(address: Address, path: string | undefined, module: string | undefined): Promise<Cluster> {
  const store = address.name
  const PGlite = await load(store, module)
  let unlock = (): void => {}
  try {
    if (path === undefined) {
      const instance = await start(PGlite)
      await migrateOver({ address, password: undefined, stream: streamsOver(instance) })
      return { instance, close: () => instance.close() }
    }
    if (!existsSync(path)) {
      mkdirSync(path, { mode: 0o700 })
      syncFolder(dirname(path))
    }
    refuseNetwork(path, store)
    const own = new Set([lockName, dataName, madeName, `${lockName}-journal`])
    if (readdirSync(path).some((name) => !own.has(name))) throw new StorageError("Foreign", { store })
    unlock = lock(store, path)
    if (!existsSync(join(path, dataName))) await make(PGlite, address, path)
    const instance = await start(PGlite, join(path, dataName))
    return {
      instance,
      async close() {
        await instance.close()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    if (error instanceof SteleError) throw error
    throw new StorageError("Unreachable", { store, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  }
}

/** How an instance is named to the code for servers, which asks nothing else of it. */
export const addressOf = (path: string | undefined): Address => ({
  name: `pglite:${path ?? ""}`,
  host: "localhost",
  port: 5_432,
  user: "postgres",
  database: "postgres",
  tls: "disable",
})

/**
 * Takes the store in a folder to this version's format, if it has another.
 * @throws StorageError as `openCluster`; `Newer`
 */
export async function migratePglite(
  path: string,
  { isDryRun = false, driver: module }: { readonly isDryRun?: boolean; readonly driver?: string } = {},
): Promise<Migrated> {
  const address = addressOf(path)
  if (!existsSync(join(path, dataName))) throw new StorageError("Unreachable", { store: address.name, detail: "there is no store in this folder" })
  const { instance, close } = await openCluster(address, path, module)
  try {
    return await migrateOver({ address, password: undefined, stream: streamsOver(instance) }, { isDryRun })
  } finally {
    await close()
  }
}
