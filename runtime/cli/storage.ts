/** `stele storage info|check|collect|move|migrate`: what a store holds, whether all of it is as it was written, removing garbage, taking it elsewhere, setting one up. */
import type { Finding, Store } from "../port/store.ts"
import type { PostgresInfo, PostgresReader } from "../storage/postgres/mod.ts"
import { SqliteReader, SqliteStore, type StoreInfo } from "../storage/sqlite/mod.ts"
import { isPostgres, objectsOf, openObjects, openStores, sqlitePath } from "../storage/storage.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { bytesText, countText, parseDuration } from "./quantity.ts"
import { columns, noteLine, out, printLine, table } from "./terminal.ts"

const { existsSync, statSync } = process.getBuiltinModule("node:fs")

export interface StorageFlags {
  readonly address: string
  readonly json: boolean
}

/** A folder is an archive; a store has its kind before its path. */
const isArchive = (address: string): boolean => !/^[a-z][a-z\d]+:/.test(address) && statSync(address, { throwIfNoEntry: false })?.isDirectory() === true

async function infoOf(address: string): Promise<StoreInfo | PostgresInfo> {
  if (!isPostgres(address)) {
    using reader = new SqliteReader(sqlitePath(address))
    return reader.info()
  }
  await using reader = await overseer(address)
  return await reader.info()
}

/** All of a database, which its service sees one tenant at a time. */
async function overseer(address: string): Promise<PostgresReader> {
  const { PostgresReader: Reader, workerAddress } = await import("../storage/postgres/mod.ts")
  return await Reader.open(workerAddress(address))
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
}

export async function check({ address, json, acceptLoss, objects }: CheckFlags): Promise<void> {
  if (isPostgres(address)) {
    await using reader = await overseer(address)
    return report(reader.name, await reader.check(), "every row is as it was written", json)
  }
  const path = sqlitePath(address)
  // First without: a file that is not there is not made.
  const reader = new SqliteReader(path)
  reader.close()
  if (acceptLoss) await (await SqliteStore.open(path, { acceptLoss })).close()
  using checked = new SqliteReader(path)
  const findings = [...checked.check(), ...(await checkObjects(checked, objects, path, acceptLoss))]
  report(path, findings, "every row is as it was written, and every object that is referred to is there", json)
}

function report(store: string, findings: ReadonlyArray<Finding>, good: string, json: boolean): void {
  if (json) printLine(JSON.stringify({ store, findings }))
  else if (findings.length === 0) printLine(`${store}: ${good}`)
  else for (const { table: name, key, detail } of findings) printLine(`${out.red("✗")} ${[name, key].filter((part) => part !== "").join(" ")}: ${detail}`)
  if (findings.length > 0) process.exitCode = 3
}

/** What is wrong with the objects of a store; where it never had any, no folder for them is made. */
async function checkObjects(reader: SqliteReader, address: string | undefined, path: string, acceptLoss: boolean): Promise<ReadonlyArray<Finding>> {
  const { checkReferred } = await import("../service/object-check.ts")
  const store: Pick<Store, "ask"> = { ask: async (question) => reader.ask(question) }
  if (address === undefined && !existsSync(objectsOf(path))) return checkReferred(store, undefined)
  await using objects = await openObjects(address ?? `folder:${objectsOf(path)}`, { acceptLoss })
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
  // A file that is not there is not made.
  if (address.startsWith("sqlite:")) new SqliteReader(sqlitePath(address)).close()
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

/** Sets up a PostgreSQL store, or takes it to this version's format; says what it did and what to go on with. */
export async function migrate({ address, json }: StorageFlags): Promise<void> {
  const [{ migratePostgres }, { parseAddress, passwordOf }] = await Promise.all([
    import("../storage/postgres/mod.ts"),
    import("../storage/postgres/address.ts"),
  ])
  const [password, servicePassword, workerPassword] = [
    passwordOf(parseAddress(address)),
    passwordIn("STELE_STORAGE_SERVICE_PASSWORD_FILE"),
    passwordIn("STELE_STORAGE_WORKER_PASSWORD_FILE"),
  ]
  const found = await migratePostgres(address, {
    ...(password === undefined ? {} : { password }),
    ...(servicePassword === undefined ? {} : { servicePassword }),
    ...(workerPassword === undefined ? {} : { workerPassword }),
  })
  if (json) return printLine(JSON.stringify(found))
  printLine(found.from === found.to ? `Nothing to do: the store has format ${found.to}` : `The store went from format ${found.from} to ${found.to}`)
  for (const role of found.roles) printLine(`Made the role ${role}`)
  printLine(`Services use ${found.address}`)
}
