/** `stele storage info|check|collect|move|migrate`: what a store holds, whether all of it is as it was written, removing garbage, taking it elsewhere, setting one up. */
import type { References } from "../service/object-check.ts"
import type { Finding } from "../port/store.ts"
import type { PgliteStore } from "../storage/pglite/mod.ts"
import type { Migrated, Overseer, PostgresInfo } from "../storage/postgres/mod.ts"
import { migrateSqlite, SqliteReader, SqliteStore, type StoreInfo } from "../storage/sqlite/mod.ts"
import { isPostgres, objectsOf, objectsOfDatabase, openObjects, openStores, pglitePath, sqlitePath, tenantsFolder } from "../storage/storage.ts"
import { objectsName, TenantFilesStore, tenantReaders } from "../storage/tenants/mod.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import { bytesText, countText, parseDuration } from "./quantity.ts"
import { columns, noteLine, out, printLine, table } from "./terminal.ts"

const { existsSync, statSync } = process.getBuiltinModule("node:fs")
const { join } = process.getBuiltinModule("node:path")

export interface StorageFlags {
  readonly address: string
  readonly json: boolean
}

/** A folder is an archive; a store has its kind before its path. */
const isArchive = (address: string): boolean => !/^[a-z][a-z\d-]+:/.test(address) && statSync(address, { throwIfNoEntry: false })?.isDirectory() === true

async function infoOf(address: string): Promise<StoreInfo | PostgresInfo> {
  if (isPostgres(address)) return await overseeing(address, (overseer) => overseer.info())
  const folder = pglitePath(address)
  if (folder !== undefined) {
    await using store = await pglite(folder)
    return await store.info()
  }
  const tenants = tenantsFolder(address)
  if (tenants !== undefined) {
    using readers = tenantReaders(tenants)
    return readers.info()
  }
  using reader = new SqliteReader(sqlitePath(address))
  return reader.info()
}

/** All of a database, which its service sees one tenant at a time. */
async function overseeing<A>(address: string, use: (overseer: Overseer) => Promise<A>): Promise<A> {
  const { Overseer: Database, parseAddress, workerAddress } = await import("../storage/postgres/mod.ts")
  // As it was given: a password in it is refused, and not passed over with the role that it belongs to.
  parseAddress(address)
  const overseer = Database.at(workerAddress(address))
  try {
    return await use(overseer)
  } finally {
    await overseer.close()
  }
}

/** Who looks at a store, or takes something from it, makes none: a file or folder must be there. */
export function refuseMissing(address: string): void {
  const folder = pglitePath(address)
  if (folder !== undefined && !existsSync(folder)) throw new StorageError("Unreachable", { store: `pglite:${folder}`, detail: "there is no such folder" })
  const tenants = tenantsFolder(address)
  if (tenants !== undefined) tenantReaders(tenants).close()
  if (address.startsWith("sqlite:")) new SqliteReader(sqlitePath(address)).close()
}

async function pglite(folder: string): Promise<PgliteStore> {
  refuseMissing(`pglite:${folder}`)
  return await (await import("../storage/pglite/mod.ts")).PgliteStore.open(folder)
}

export async function info({ address, json }: StorageFlags): Promise<void> {
  if (isArchive(address)) return (await import("./archive.ts")).info(address, json)
  const found = await infoOf(address)
  if (json) return printLine(JSON.stringify(found))
  const counted = (count: number, what: string): string => `${countText(count)} ${what}${count === 1 ? "" : "s"}`
  const rows = [
    ["size", bytesText(found.bytes)],
    ["format", String(found.format)],
    ["commits", found.committedAtMs === undefined ? "none" : `${countText(found.commits)}, the newest ${new Date(found.committedAtMs).toISOString()}`],
    ...("server" in found
      ? [
          [
            "server",
            `PostgreSQL ${found.server.version}, checksums of pages ${found.server.dataChecksums ? "on" : "off"}, fsync ${found.server.fsync ? "on" : "OFF"}`,
          ],
        ]
      : []),
    ...found.tables.map(({ table, counts, count, bytes, tenants }) => [
      table.replaceAll("_", "-"),
      `${counted(count, counts)} of ${counted(tenants, "tenant")}, ${bytesText(bytes)}`,
    ]),
  ]
  printLine(out.bold(found.store))
  for (const line of table(rows, columns(process.stdout), 2, [out.dim])) printLine(line)
}

export interface CheckFlags extends StorageFlags {
  readonly acceptLoss: boolean
  readonly objects: string | undefined
  /** Of a sealed store: whether everything opens is looked at as well. */
  readonly storageKey: string | undefined
}

const rowsAreGood = "every row is as it was written"
const allIsGood = `${rowsAreGood}, and every object that is referred to is there`

export async function check({ address, json, acceptLoss, objects, storageKey }: CheckFlags): Promise<void> {
  if (storageKey !== undefined && !address.startsWith("sqlite:"))
    throw new ConfigError("Usage", {
      detail: "Cannot open what is sealed in a database from here",
      advice: "leave out --storage-key: rows are checked as they are",
    })
  if (isPostgres(address)) return await overseeing(address, (overseer) => checkDatabase(overseer, objects, json))
  const folder = pglitePath(address)
  if (folder !== undefined) {
    await using store = await pglite(folder)
    const findings = [...(await store.check()), ...(await checkObjects(store, objects, objectsOf(folder), acceptLoss))]
    return report(store.name, findings, allIsGood, json)
  }
  const tenants = tenantsFolder(address)
  if (tenants !== undefined) return await checkTenants(tenants, objects, acceptLoss, json)
  const path = sqlitePath(address)
  // First without: a file that is not there is not made.
  const reader = new SqliteReader(path)
  reader.close()
  if (acceptLoss) await (await SqliteStore.open(path, { acceptLoss })).close()
  using checked = new SqliteReader(path)
  const asked: References = { ask: async (question) => checked.ask(question) }
  const rows = storageKey === undefined ? checked.check() : await checkSealed(path, objects, storageKey)
  const findings = [...rows, ...(await checkObjects(asked, objects, objectsOf(path), acceptLoss))]
  report(path, findings, allIsGood, json)
}

async function checkTenants(folder: string, objects: string | undefined, acceptLoss: boolean, json: boolean): Promise<void> {
  refuseMissing(`sqlite-tenants:${folder}`)
  if (acceptLoss) await (await TenantFilesStore.open(folder, { acceptLoss })).close()
  using readers = tenantReaders(folder)
  const found = await readers.check()
  // Where a tenant's file cannot be read nobody knows its references: that is found already.
  const isRead = found.every(({ table: name }) => name !== "tenant")
  report(folder, isRead ? [...found, ...(await checkObjects(readers, objects, join(folder, objectsName), acceptLoss))] : found, allIsGood, json)
}

/** Objects of a database may be anywhere: where nobody says, and this machine has none, they are not looked at. */
async function checkDatabase(overseer: Overseer, objects: string | undefined, json: boolean): Promise<void> {
  const findings = await overseer.check()
  const folder = objects === undefined ? objectsOfDatabase(overseer.name) : ""
  const isKnown = objects !== undefined || existsSync(folder)
  if (isKnown) return report(overseer.name, [...findings, ...(await checkObjects(overseer, objects, folder, false))], allIsGood, json)
  const [referred] = await overseer.ask({ ask: "references", beyond: undefined, countMax: 1 })
  if (referred !== undefined) noteLine("Objects were not looked at: this machine has none of this store. --objects says where they are")
  report(overseer.name, findings, rowsAreGood, json)
}

/** Rows as they are, and everything that is sealed opened. */
async function checkSealed(path: string, address: string | undefined, storageKey: string): Promise<ReadonlyArray<Finding>> {
  const { openKeyring, roomForSeals, sealed } = await import("../storage/sealed/mod.ts")
  const at = address ?? (existsSync(objectsOf(path)) ? `folder:${objectsOf(path)}` : undefined)
  await using objects = at === undefined ? undefined : await openObjects(at)
  await using store = await SqliteStore.open(path, roomForSeals({}))
  return await sealed(store, await openKeyring(storageKey, store, { isMade: false, objects })).check()
}

function report(store: string, findings: ReadonlyArray<Finding>, good: string, json: boolean): void {
  if (json) printLine(JSON.stringify({ store, findings }))
  else if (findings.length === 0) printLine(`${store}: ${good}`)
  else for (const { table: name, key, detail } of findings) printLine(`${out.red("✗")} ${[name, key].filter((part) => part !== "").join(" ")}: ${detail}`)
  if (findings.length > 0) process.exitCode = 3
}

/** What is wrong with the objects of a store; where it never had any, no folder for them is made. */
async function checkObjects(store: References, address: string | undefined, folder: string, acceptLoss: boolean): Promise<ReadonlyArray<Finding>> {
  const { checkReferred } = await import("../service/object-check.ts")
  if (address === undefined && !existsSync(folder)) return checkReferred(store, undefined)
  await using objects = await openObjects(address ?? `folder:${folder}`, { acceptLoss })
  const { refusal } = objects as { readonly refusal?: Error }
  return [...(refusal === undefined ? [] : [{ table: "object", key: "", detail: refusal.message }]), ...(await checkReferred(store, objects))]
}

export interface CollectFlags extends StorageFlags {
  readonly grace: string | undefined
  readonly objects: string | undefined
  readonly dryRun: boolean
}

/** Removes what nobody refers to, at once and beside whoever uses the store. */
export async function collect({ address, grace, objects, dryRun, json }: CollectFlags): Promise<void> {
  refuseMissing(address)
  const { collectGarbage, graceMsDefault } = await import("../service/garbage.ts")
  const graceMs = grace === undefined ? graceMsDefault : parseDuration("--grace", grace)
  const stores = await openStores(address, { overseer: true, objects })
  try {
    const done = await collectGarbage(stores.store, stores.objects, { graceMs, isDryRun: dryRun })
    if (json) return printLine(JSON.stringify({ store: stores.address, graceMs, dryRun, ...done }))
    const counted = `${countText(done.objects)} object${done.objects === 1 ? "" : "s"}, ${bytesText(done.bytes)}`
    printLine(dryRun ? `Would remove ${counted}, and changed nothing` : `Removed ${counted}`)
    if (done.uploads > 0) printLine(`Removed what was left of ${countText(done.uploads)} upload${done.uploads === 1 ? "" : "s"}`)
    if (!done.isComplete) noteLine("There may be more: too much for once, or references changed all the time. Run it again")
  } finally {
    await stores.close()
  }
}

export interface MoveFlags extends StorageFlags {
  readonly to: string
  readonly pause: string | undefined
  readonly undo: boolean
  readonly dryRun: boolean
}

/** Longest time that writers are stopped, when nothing is said: 1 s. */
const pauseMsMax = 1_000

export async function move({ address, to, pause, undo, dryRun, json }: MoveFlags): Promise<void> {
  if (address === to) throw new ConfigError("Usage", { detail: "Cannot move a store onto itself", advice: "name another one to move it to" })
  refuseMissing(address)
  const { Move, move: run } = await import("../storage/move/move.ts")
  if (dryRun) {
    const from = await openStores(address, { overseer: true })
    try {
      const totals = await from.store.ask({ ask: "totals" })
      const [rows, bytes] = [totals.reduce((sum, { keys }) => sum + keys, 0), totals.reduce((sum, each) => sum + each.bytes, 0)]
      if (json) printLine(JSON.stringify({ from: from.address, to, dryRun: true, tables: totals.length, rows, bytes }))
      else printLine(`Would copy ${countText(rows)} rows in ${countText(totals.length)} tables of tenants, ${bytesText(bytes)}, and change nothing now`)
      return
    } finally {
      await from.close()
    }
  }
  const from = await openStores(address, { overseer: true })
  try {
    const target = await openStores(to, { overseer: true })
    try {
      if (undo) {
        await Move.undo(from, target)
        if (json) printLine(JSON.stringify({ from: from.address, to: target.address, undone: true }))
        else printLine(`${from.address} takes writes again; ${target.address} is not complete and can be deleted`)
        return
      }
      const report = json ? () => {} : (step: string) => noteLine(out.dim(step))
      const done = await run(from, target, { pauseMsMax: pause === undefined ? pauseMsMax : parseDuration("--pause", pause), report })
      if (json) return printLine(JSON.stringify({ from: from.address, to: target.address, ...done }))
      printLine(`Moved to ${target.address} in ${countText(done.passes)} passes; nobody could write for ${countText(done.pauseMs)} ms`)
      printLine(
        `Equal: ${countText(done.tables)} tables of tenants, ${countText(done.comparedByRecord)} of them compared record by record, and ${countText(done.objects)} objects`,
      )
      printLine(`${from.address} takes no more writes, and can be deleted`)
    } finally {
      await target.close()
    }
  } finally {
    await from.close()
  }
}

/** Passwords of roles that are made: from a file each, never from the command line. */
const passwordIn = (variable: string): string | undefined => {
  const path = process.env[variable]
  return path === undefined || path === ""
    ? undefined
    : process
        .getBuiltinModule("node:fs")
        .readFileSync(path, "utf8")
        .replace(/\r?\n$/, "")
}

export interface MigrateFlags extends StorageFlags {
  readonly dryRun: boolean
}

/** Takes a store to this version's format, a database also from nothing; says what it did and what to go on with. */
export async function migrate({ address, json, dryRun }: MigrateFlags): Promise<void> {
  const [folder, tenants] = [pglitePath(address), tenantsFolder(address)]
  const found: { readonly from: number; readonly to: number; readonly roles?: ReadonlyArray<string>; readonly address?: string } = isPostgres(address)
    ? await migrateDatabase(address, dryRun)
    : tenants !== undefined
      ? migrateTenants(tenants, dryRun)
      : folder === undefined
        ? migrateSqlite(sqlitePath(address), dryRun)
        : await (await import("../storage/pglite/mod.ts")).migratePglite(folder, { isDryRun: dryRun })
  if (json) return printLine(JSON.stringify({ ...found, dryRun }))
  const { from, to, roles = [] } = found
  if (from === to) printLine(`Nothing to do: the store has format ${to}`)
  else printLine(dryRun ? `Would go from format ${from} to ${to}, and changed nothing` : `The store went from format ${from} to ${to}`)
  for (const role of roles) printLine(dryRun ? `Would make the role ${role}` : `Made the role ${role}`)
  if (isPostgres(address) && !dryRun) printLine(`Services use ${found.address ?? ""}`)
}

function migrateTenants(folder: string, isDryRun: boolean): { readonly from: number; readonly to: number } {
  using readers = tenantReaders(folder)
  return readers.migrate(isDryRun)
}

async function migrateDatabase(address: string, isDryRun: boolean): Promise<Migrated> {
  const [{ migratePostgres }, { parseAddress, passwordOf }] = await Promise.all([
    import("../storage/postgres/mod.ts"),
    import("../storage/postgres/address.ts"),
  ])
  const [password, servicePassword, workerPassword] = [
    passwordOf(parseAddress(address)),
    passwordIn("STELE_STORAGE_SERVICE_PASSWORD_FILE"),
    passwordIn("STELE_STORAGE_WORKER_PASSWORD_FILE"),
  ]
  return await migratePostgres(address, {
    isDryRun,
    ...(password === undefined ? {} : { password }),
    ...(servicePassword === undefined ? {} : { servicePassword }),
    ...(workerPassword === undefined ? {} : { workerPassword }),
  })
}
