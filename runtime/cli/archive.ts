/** `stele storage backup|restore|drill`, and `info` of an archive. */
import { ConfigError } from "../../schemas/error/config.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import { quote } from "../../schemas/value/form.ts"
import type * as Servers from "./archive-postgres.ts"
import {
  type Archive,
  Archiver,
  drill as runDrill,
  type Drill,
  type Generation,
  folderFiles,
  follow,
  type Plan,
  plan,
  readArchive,
  readKey,
  restore as runRestore,
  type Target,
} from "../storage/archive/mod.ts"
import { SqliteReader } from "../storage/sqlite/mod.ts"
import { FolderStore } from "../storage/folder/mod.ts"
import { isServerArchive } from "../storage/archive-postgres/catalogue.ts"
import { isPostgres, objectsOf, openObjects as openObjectsAt, sqlitePath, tenantsFolder } from "../storage/storage.ts"
import { bytesText, countText, parseCount, timeText } from "./quantity.ts"
import { columns, noteLine, out, printLine, table, withProgress } from "./terminal.ts"

const { existsSync } = process.getBuiltinModule("node:fs")
const { resolve } = process.getBuiltinModule("node:path")

interface Shared {
  readonly keyFile: string | undefined
  readonly json: boolean
}

export const msText = (ms: number): string => timeText(ms * 1e6)
export const momentText = (us: number): string => new Date(us / 1_000).toISOString()
const commitText = ({ commit, at }: Pick<Plan, "commit" | "at">): string =>
  commit === 0 ? "no commit yet" : `commit ${countText(commit)} of ${momentText(at.committedUs)}`
export const keyFor = ({ keyFile }: Pick<Shared, "keyFile">): Uint8Array | undefined => readKey(keyFile, process.env)
const openObjects = (folder: string): Promise<FolderStore> => FolderStore.open(folder)
export const show = (rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  for (const line of table(rows, columns(process.stdout), 2, [out.dim])) printLine(line)
}

/** An archive is of one file. Throws `StorageError` `NotOneFile` for a folder of them. */
function oneFile(asked: string, address: string): string {
  if (tenantsFolder(address) !== undefined) throw new StorageError("NotOneFile", { store: address, asked })
  return sqlitePath(address)
}

export interface BackupFlags extends Shared {
  readonly address: string
  readonly to: string
  readonly follow: boolean
  readonly keep: string | undefined
  /** Where the store's objects are, if not where it keeps them by itself. */
  readonly objects: string | undefined
  readonly dryRun: boolean
  readonly skipDrill: boolean
}

/** What is said of servers is in a file of its own, loaded when one is meant. */
const ofServers = (): Promise<typeof Servers> => import("./archive-postgres.ts")

export async function backup(flags: BackupFlags): Promise<void> {
  const { address, to, json, dryRun } = flags
  if (isPostgres(address)) return (await ofServers()).backup(flags)
  const path = oneFile("back up", address)
  const key = keyFor(flags)
  const files = folderFiles(resolve(to))
  const generationsMax = flags.keep === undefined ? undefined : Number(parseCount("--keep", flags.keep))
  if (generationsMax === 0) throw new ConfigError("Option", { option: "--keep", expected: "at least 1", actual: quote("0") })
  if (dryRun) {
    using reader = new SqliteReader(path)
    const { commits, bytes } = reader.info()
    const found = { store: path, archive: files.place, commits, storeBytes: bytes, isEncrypted: key !== undefined }
    return printLine(json ? JSON.stringify(found) : `${path}: ${countText(commits)} commits, ${bytesText(bytes)}, would be archived in ${files.place}`)
  }
  {
    // Only what is there: a backup makes nothing in the place of the store.
    const at = flags.objects ?? (existsSync(objectsOf(path)) ? `folder:${objectsOf(path)}` : undefined)
    await using objects = at === undefined ? undefined : await openObjectsAt(at)
    await using archiver = await Archiver.open({ path, files, key, generationsMax, objects })
    if (flags.follow) return await followUntilTold(archiver, json)
    const synced = await withProgress("Backing up", json, () => archiver.sync())
    if (!json)
      printLine(
        synced === undefined
          ? `${files.place}: nothing new since commit ${archiver.commit}`
          : `${files.place}: up to commit ${countText(synced.commit)}, ${bytesText(synced.bytes)}`,
      )
    else if (flags.skipDrill) printLine(JSON.stringify({ archive: files.place, commit: archiver.commit, synced }))
    if (flags.skipDrill) return
  }
  // A backup that was never restored is a hope.
  const found = await withProgress("Restoring it for practice", json, () => runDrill({ files, key, path, objects: openObjects }))
  if (json) printLine(JSON.stringify({ archive: files.place, commit: found.restored.commit, drill: found }))
  else showDrill(found)
}

/** Works until somebody interrupts or ends this process. */
export async function untilTold(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const told = new AbortController()
  let ending: NodeJS.Signals | undefined
  const end = (signal: NodeJS.Signals): void => {
    ending ??= signal
    told.abort()
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, end)
  try {
    await work(told.signal)
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, end)
  }
  if (ending === "SIGINT") process.exitCode = 130
}

async function followUntilTold(archiver: Archiver, json: boolean): Promise<void> {
  const sayJson = (what: object): void => printLine(JSON.stringify({ at: new Date().toISOString(), ...what }))
  let isFailing = false
  await untilTold((told) =>
    follow(archiver, told, (event) => {
      if (event.what === "archived") {
        if (json) sayJson({ what: event.what, ...event.synced })
        else if (isFailing || event.synced.snapshot !== undefined)
          noteLine(`Archived up to commit ${countText(event.synced.commit)}, generation ${event.synced.generation}`)
        isFailing = false
      } else if (event.what === "failed") {
        if (json) sayJson({ what: event.what, error: event.error.toJSON() })
        else if (!isFailing) noteLine(`${event.error.message}; trying again`)
        isFailing = true
      } else if (json) sayJson({ what: event.what })
      else noteLine("The store's log has grown too long: it is let go, and the archive will have a gap")
    }),
  )
}

export interface RestoreFlags extends Shared {
  readonly folder: string
  readonly to: string
  readonly at: string | undefined
  readonly atCommit: string | undefined
  readonly generation: string | undefined
  readonly replace: boolean
  /** Where its objects are made, if not beside it. */
  readonly objects: string | undefined
  /** Of a server: without starting it here. */
  readonly unproved: boolean
  readonly dryRun: boolean
}

/** A moment of the calendar, in µs since 1970; a time without its zone is this machine's. */
export function parseMoment(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(ms)) throw new ConfigError("Option", { option: "--at", expected: "a time such as 2026-11-20T18:30:00Z", actual: quote(text) })
  return ms * 1_000
}

function targetOf({ at, atCommit, generation }: Pick<RestoreFlags, "at" | "atCommit" | "generation">): Target {
  if (at !== undefined && atCommit !== undefined)
    throw new ConfigError("Usage", { detail: "--at and --at-commit name two states", advice: "give one of them, or neither for the newest" })
  const number = (option: string, text: string | undefined): number | undefined => (text === undefined ? undefined : Number(parseCount(option, text)))
  return { atUs: at === undefined ? undefined : parseMoment(at), commit: number("--at-commit", atCommit), generation: number("--generation", generation) }
}

export async function restore(flags: RestoreFlags): Promise<void> {
  const { to, json, replace } = flags
  if (tenantsFolder(to) !== undefined) oneFile("restore into", to)
  const files = folderFiles(resolve(flags.folder))
  if (await isServerArchive(files)) return (await ofServers()).restore(flags)
  if (flags.unproved)
    throw new ConfigError("Usage", { detail: "--unproved is for the archive of a server", advice: "leave it out: a SQLite store is proved anywhere" })
  const path = sqlitePath(to)
  const { objects } = flags
  const openTarget = objects === undefined ? openObjects : (): ReturnType<typeof openObjectsAt> => openObjectsAt(objects)
  const options = { files, key: keyFor(flags), target: targetOf(flags), replace, objects: openTarget }
  if (flags.dryRun) {
    const planned = await plan(options)
    const { generation, objects, bytes } = planned
    if (json) return printLine(JSON.stringify({ store: path, ...planned }))
    return printLine(`${path} would be ${commitText(planned)}: ${objects} objects of generation ${generation}, ${bytesText(bytes)}`)
  }
  const restored = await withProgress("Restoring", json, () => runRestore(path, options))
  if (json) return printLine(JSON.stringify(restored))
  printLine(`${path}: ${commitText(restored)}, every row checked, in ${msText(restored.ms)}`)
  noteMissing(restored.missingBlobs)
}

export interface DrillFlags extends Shared {
  readonly folder: string
  readonly store: string | undefined
}

export async function drill(flags: DrillFlags): Promise<void> {
  const files = folderFiles(resolve(flags.folder))
  if (await isServerArchive(files)) return (await ofServers()).drill(flags)
  const path = flags.store === undefined ? undefined : oneFile("practise with", flags.store)
  const found = await withProgress("Restoring for practice", flags.json, () => runDrill({ files, key: keyFor(flags), path, objects: openObjects }))
  if (flags.json) printLine(JSON.stringify(found))
  else showDrill(found)
}

function showDrill({ restored, storeBytes, rtoMs, rpoMs, isAgainstStore, missing, lagMs, gaps }: Drill): void {
  const isEmpty = restored.commit === 0
  const objects = restored.blobs > 0 ? `, ${countText(restored.blobs)} objects` : ""
  const lost = isAgainstStore
    ? `${msText(rpoMs)}: ${countText(missing ?? 0)} commits of the store are not in the archive`
    : `at most ${msText(rpoMs)}: so old is the newest commit archived; --store compares with the store`
  const lag = `${countText(lagMs.segments)} segments, written ${msText(lagMs.p50)} after their oldest commit (p50), ${msText(lagMs.p99)} (p99), ${msText(lagMs.max)} (most)`
  show([
    ["restored", `${commitText(restored)}, ${bytesText(storeBytes)}, every row checked${objects}`],
    ["RTO", `${msText(rtoMs)} to a checked store`],
    ...(isEmpty && !isAgainstStore ? [] : [["RPO", lost]]),
    ...(lagMs.segments === 0 ? [] : [["lag", lag]]),
    ...gaps.map(gapRow),
  ])
  noteMissing(restored.missingBlobs)
}

export function noteMissing(missing: ReadonlyArray<string>): void {
  if (missing.length === 0) return
  noteLine(`${countText(missing.length)} objects that rows refer to are not in the archive: ${missing.slice(0, 3).join(", ")}${missing.length > 3 ? " …" : ""}`)
  process.exitCode = 3
}

const gapRow = ({ after, before, afterUs, beforeUs }: Archive["gaps"][number]): ReadonlyArray<string> => [
  "gap",
  `between commits ${countText(after)} (${momentText(afterUs)}) and ${countText(before)} (${momentText(beforeUs)}) nothing can be restored`,
]

function generationText({ first, last, segments, bytes, isContinued }: Generation): string {
  const commits = last.sequence === 0 ? "no commits yet" : `commits ${countText(first.sequence)} to ${countText(last.sequence)}`
  const times = last.sequence === 0 ? [] : [`${first.sequence === 0 ? "the start" : momentText(first.orderedUs)} to ${momentText(last.orderedUs)}`]
  const parts = [commits, ...times, `${countText(segments.length)} segments`, bytesText(bytes), ...(isContinued ? ["continues the one before"] : [])]
  return parts.join(", ") + (segments.some(({ header }) => header.isClockOff) ? "; the clock was set within it: restore by commit" : "")
}

/** What an archive holds, and what it lacks: exit code 3 when objects are missing or damaged. */
export async function info(folder: string, json: boolean): Promise<void> {
  const files = folderFiles(resolve(folder))
  if (await isServerArchive(files)) return (await ofServers()).info(folder, json)
  const archive = await readArchive(files)
  if (archive.problems.length > 0) process.exitCode = 3
  if (json) {
    const generations = archive.generations.map(({ generation, first, last, segments, bytes, isContinued }) => {
      const isClockOff = segments.some(({ header }) => header.isClockOff)
      return { generation, first, last, segments: segments.length, bytes, isContinued, isClockOff }
    })
    return printLine(JSON.stringify({ ...archive, generations }))
  }
  printLine(out.bold(archive.place))
  show([
    ["size", `${bytesText(archive.bytes)}${archive.isEncrypted ? ", encrypted" : ""}${archive.blobs > 0 ? `, ${countText(archive.blobs)} blobs` : ""}`],
    ...archive.generations.map((each) => [`generation ${each.generation}`, generationText(each)]),
    ...archive.gaps.map(gapRow),
    ...archive.problems.map(({ object, detail }) => [out.red("✗"), `${object}: ${detail}`]),
  ])
}
