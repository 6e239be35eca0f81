/**
 * Restoring a server's data folder: base backup and log written beside the place, a server of this machine started on it where nobody else
 * can reach it, the store in it proved row by row, and the folder given its name last.
 */
import type { FileHandle } from "node:fs/promises"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { type ObjectTarget, restoreAllBlobs, restoreBlobs } from "../archive/blob.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { openObject } from "../archive/object.ts"
import { PostgresReader } from "../postgres/reader.ts"
import { objectsOf } from "../storage.ts"
import { endName, readServerArchive, type ServerArchive } from "./catalogue.ts"
import { type Chosen, choose, readLog, type ServerPlan, type ServerTarget } from "./choose.ts"
import { lsnOf, lsnText, segmentName, segmentStart } from "./lsn.ts"
import { findPrograms, ownerOrSelf, type PrivateServer, type Programs, recoverySettings, startPrivate } from "./program.ts"
import { LogReader } from "./record.ts"
import { openWorker, referencedIn } from "./reference.ts"
import { type Owner, unpack } from "./tar.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")
const { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } =
  process.getBuiltinModule("node:fs")
const { open, readdir } = process.getBuiltinModule("node:fs/promises")
const { basename, dirname, join } = process.getBuiltinModule("node:path")

/** Files that are synced at the same time. */
const syncsMax = 64

export interface ServerRestoreOptions {
  readonly files: ArchiveFiles
  readonly key?: Uint8Array | undefined
  /** Makes a store of objects in a new folder, for those that rows refer to. Without it they stay in the archive. */
  readonly objects?: ((folder: string) => Promise<ObjectTarget>) | undefined
  readonly target?: ServerTarget
  /** Put the restored folder in the place of one that is there and that no server runs on. Default false. */
  readonly replace?: boolean
  /** Write the folder and prove nothing of the store in it: for a machine without the server's programs. All objects of the archive are made again. Default false. */
  readonly isUnproved?: boolean
  /** The archive as it was read before. */
  readonly archive?: ServerArchive
  /** Hears of the server while it runs on what was proved. */
  readonly whileRunning?: (server: PrivateServer) => Promise<void>
}

export interface ServerRestored extends ServerPlan {
  /** The data folder. */
  readonly folder: string
  readonly database: string
  /** Major version of the server that it needs. */
  readonly major: number
  /** Whether a server has recovered it and every row was proved. */
  readonly isProved: boolean
  /** Of all tenants; undefined when nothing was proved. */
  readonly commits: number | undefined
  readonly committedUs: number | undefined
  /** Digests of objects that rows refer to and that the archive has not. */
  readonly missingBlobs: ReadonlyArray<string>
  readonly blobs: number
  /** Whether the server's settings were in the data folder; Debian keeps them elsewhere, and an archive has not what is elsewhere. */
  readonly hasSettings: boolean
  readonly ms: number
}

/** What a restore would take. Throws what `restoreServer()` throws of the archive. */
export const planServer = async ({ files, key, target }: ServerRestoreOptions): Promise<ServerPlan> =>
  (await choose(await readServerArchive(files), files, key, target)).plan

const isEmptyFolder = (path: string): boolean => statSync(path).isDirectory() && readdirSync(path).length === 0

/**
 * Restores a server's data folder to `path`, where nothing is until all of it is there and proved.
 * @throws StorageError `NotArchive`, `NotArchived`, `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable`, `Exists`, `Busy`, `Programs`, `Unproved`, `Unreachable`
 */
export async function restoreServer(path: string, options: ServerRestoreOptions): Promise<ServerRestored> {
  const startedMs = performance.now()
  const folder = dirname(path)
  if (!existsSync(folder)) throw new StorageError("Unreachable", { store: path, detail: `there is no folder "${folder}"` })
  if (options.replace !== true)
    for (const taken of [path, objectsOf(path)]) if (existsSync(taken) && !isEmptyFolder(taken)) throw new StorageError("Exists", { store: path })
  const archive = options.archive ?? (await readServerArchive(options.files))
  const found = await choose(archive, options.files, options.key, options.target)
  const { version, database } = found.generation.base.header
  const major = Math.floor(version / 10_000)
  // Before hours of copying.
  const programs = options.isUnproved === true ? undefined : findPrograms(path, major)
  const staging = join(folder, `.${basename(path)}.restoring-${randomBytes(6).toString("hex")}`)
  const data = join(staging, "data")
  try {
    const owner = programs === undefined ? ownerOrSelf() : programs.owner
    for (const each of [staging, data]) {
      mkdirSync(each, { mode: 0o700 })
      if (owner !== undefined) chownSync(each, owner.uid, owner.gid)
    }
    const built = await build(data, found, options, owner)
    const proved = programs === undefined ? await leave(data, built, owner, options) : await prove(path, staging, programs, found, built, options)
    await give(path, staging, options.replace === true)
    const hasSettings = existsSync(join(path, "postgresql.conf"))
    return { ...found.plan, folder: path, database, major, hasSettings, ...proved, ms: performance.now() - startedMs }
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw new StorageError("Unreachable", { store: path, detail: error instanceof Error ? error.message : String(error) }, { cause: error })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

interface Built {
  /** What the server is told to stop before; undefined: to replay all there is. */
  readonly untilLsn: string | undefined
  /** Where it must go on. */
  readonly end: number
  readonly reader: LogReader
  readonly timeline: number
}

/** Writes the base backup, then the log into its `pg_wal`. Every object is proved on the way. */
async function build(data: string, { generation, pieces, untilLsn }: Chosen, options: ServerRestoreOptions, owner: Owner): Promise<Built> {
  const { files, key } = options
  const { base, run } = generation
  const { segmentBytes, from, timeline } = base.header
  const damaged = (detail: string): StorageError => new StorageError("ArchiveDamaged", { archive: files.place, object: base.name, detail })
  const opened = await openObject(base.name, files.place, files.get(base.name), key)
  try {
    await unpack(opened.body, { folder: data, owner, damaged })
  } finally {
    await opened.close()
  }
  if (opened.digest !== base.digest) throw damaged("it was exchanged while it was read")
  await proveEnd(generation, options)
  if (!existsSync(join(data, "backup_label")) || !existsSync(join(data, "pg_wal"))) throw damaged("it is no base backup of a server")
  const start = segmentStart(from, segmentBytes)
  if (run.from > start) throw damaged("the log that it needs is missing")
  const reader = new LogReader(start, segmentBytes, () => {})
  reader.limit = untilLsn ?? Number.POSITIVE_INFINITY
  const log = new LogFiles(join(data, "pg_wal"), segmentBytes, timeline, owner)
  // The record that is stopped before must be there, too.
  const isBeyond = (): boolean => reader.last !== undefined && reader.last >= reader.limit
  try {
    await readLog(files, key, pieces, reader, (lsn, bytes) => log.write(lsn, bytes), isBeyond)
  } finally {
    await log.close()
  }
  // Of the record at the place asked for there may be nothing yet: then all that is there is meant.
  return { untilLsn: isBeyond() ? lsnText(reader.limit) : undefined, end: reader.within, reader, timeline }
}

/** What says where the base backup ends must be of whoever has the key. */
async function proveEnd({ generation, first }: Chosen["generation"], { files, key }: ServerRestoreOptions): Promise<void> {
  const name = endName(generation)
  const opened = await openObject(name, files.place, files.get(name), key)
  for await (const _ of opened.body);
  if (opened.header["to"] !== first.lsn)
    throw new StorageError("ArchiveDamaged", { archive: files.place, object: name, detail: "it was exchanged while it was read" })
}

/** The log as the server's own files, the last one as long as the others. */
class LogFiles {
  readonly #folder: string
  readonly #segmentBytes: number
  readonly #timeline: number
  readonly #owner: Owner
  #file: FileHandle | undefined
  #start = -1

  constructor(folder: string, segmentBytes: number, timeline: number, owner: Owner) {
    this.#folder = folder
    this.#segmentBytes = segmentBytes
    this.#timeline = timeline
    this.#owner = owner
  }

  async write(lsn: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const at = lsn + done
      const start = segmentStart(at, this.#segmentBytes)
      if (start !== this.#start) await this.#open(start)
      const part = bytes.subarray(done, done + Math.min(bytes.length - done, start + this.#segmentBytes - at))
      done += (await (this.#file as FileHandle).write(part, 0, part.length, at - start)).bytesWritten
    }
  }

  async #open(start: number): Promise<void> {
    await this.close()
    this.#file = await open(join(this.#folder, segmentName(start, this.#segmentBytes, this.#timeline)), "w", 0o600)
    this.#start = start
    await this.#file.truncate(this.#segmentBytes)
    if (this.#owner !== undefined) await this.#file.chown(this.#owner.uid, this.#owner.gid)
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }
}

type Proved = Pick<ServerRestored, "isProved" | "commits" | "committedUs" | "missingBlobs" | "blobs">

/** Tells whatever server is started on the folder how to recover. */
async function leave(data: string, { untilLsn }: Built, owner: Owner, { files, key, objects }: ServerRestoreOptions): Promise<Proved> {
  const lines = Object.entries(recoverySettings(untilLsn)).map(([name, value]) => `${name} = '${value}'\n`)
  appendFileSync(join(data, "postgresql.auto.conf"), `# How this folder recovers when it is started first.\n${lines.join("")}`)
  signal(data, owner)
  // A server syncs what it recovers; who starts this one later relies on what is here.
  await syncAll(data)
  // Which of them its rows refer to nobody can tell before it runs.
  const blobs = objects === undefined ? 0 : await restoreAllBlobs(files, () => objects(objectsOf(data)), key)
  return { isProved: false, commits: undefined, committedUs: undefined, missingBlobs: [], blobs }
}

/** Syncs every file and folder, several at a time. */
async function syncAll(folder: string): Promise<void> {
  const paths = (await readdir(folder, { recursive: true })).map((name) => join(folder, name))
  const sync = async (path: string): Promise<void> => {
    const file = await open(path, "r")
    try {
      await file.sync()
    } finally {
      await file.close()
    }
  }
  for (let at = 0; at < paths.length; at += syncsMax) await Promise.all(paths.slice(at, at + syncsMax).map(sync))
  await sync(folder)
}

function signal(data: string, owner: Owner): void {
  const path = join(data, "recovery.signal")
  writeFileSync(path, "", { mode: 0o600 })
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid)
}

/** Has a server recover the folder, and proves what it made of it. */
async function prove(path: string, staging: string, programs: Programs, { generation }: Chosen, built: Built, options: ServerRestoreOptions): Promise<Proved> {
  const data = join(staging, "data")
  const { database } = generation.base.header
  signal(data, programs.owner)
  const refuse = (detail: string): never => {
    throw new StorageError("Unproved", { store: path, detail })
  }
  await using server = await startPrivate(programs, data, built.untilLsn, database, path)
  const went = switchedAt(data, built.timeline)
  if (went === undefined || built.reader.behindHead(went) !== built.end)
    refuse(`its server recovered up to ${went === undefined ? "an unknown place" : lsnText(went)}, and the log goes to ${lsnText(built.end)}`)
  await using reader = await PostgresReader.over(server.worker).catch((error: unknown) => refuse(error instanceof Error ? error.message : String(error)))
  const findings = await reader.check()
  if (findings.length > 0) refuse(findings.map(({ table, key, detail }) => [table, key, detail].filter((part) => part !== "").join(" ")).join("; "))
  const { commits, committedAtMs } = await reader.info()
  const { missingBlobs, blobs } = options.objects === undefined ? { missingBlobs: [], blobs: 0 } : await restoreObjects(server, data, options, options.objects)
  await options.whileRunning?.(server)
  await reader.close()
  await server.stop()
  return { isProved: true, commits, committedUs: committedAtMs === undefined ? undefined : committedAtMs * 1_000, missingBlobs, blobs }
}

/** Where the server left the archived timeline: up to there it has replayed. */
function switchedAt(data: string, timeline: number): number | undefined {
  const histories = readdirSync(join(data, "pg_wal")).filter((name) => /^[\dA-F]{8}\.history$/.test(name))
  for (const name of histories.toSorted().toReversed())
    for (const line of readFileSync(join(data, "pg_wal", name), "utf8").split("\n")) {
      const [number, lsn] = line.split("\t")
      if (Number(number) === timeline && lsn !== undefined) return lsnOf(lsn)
    }
  return undefined
}

async function restoreObjects(
  server: PrivateServer,
  data: string,
  { files, key }: ServerRestoreOptions,
  openTarget: (folder: string) => Promise<ObjectTarget>,
): Promise<{ readonly missingBlobs: ReadonlyArray<string>; readonly blobs: number }> {
  const connection = await openWorker(server.worker)
  const digests = await referencedIn(connection).finally(() => connection.close())
  if (digests.length === 0) return { missingBlobs: [], blobs: 0 }
  const target = await openTarget(objectsOf(data))
  try {
    const missingBlobs = await restoreBlobs(files, target, digests, key)
    return { missingBlobs, blobs: digests.length - missingBlobs.length }
  } finally {
    await target.close()
  }
}

/** Puts what is staged in its place, from objects to the folder itself, and what is replaced aside: half of it is never there under its name. */
async function give(path: string, staging: string, replaces: boolean): Promise<void> {
  const data = join(staging, "data")
  if (replaces) refuseRunning(path)
  const hasObjects = existsSync(objectsOf(data))
  // Objects that are kept elsewhere are nobody's here: what lies beside the folder stays then.
  for (const each of hasObjects ? [path, objectsOf(path)] : [path])
    if (existsSync(each)) {
      if (!replaces) rmdirSync(each)
      else renameSync(each, join(staging, each === path ? "old" : "old-objects"))
    }
  if (hasObjects) renameSync(objectsOf(data), objectsOf(path))
  renameSync(data, path)
  const folder = await open(dirname(path), "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** @throws StorageError `Busy` when a server runs on the folder */
function refuseRunning(path: string): void {
  const lock = join(path, "postmaster.pid")
  if (!existsSync(lock)) return
  const id = Number.parseInt(readFileSync(lock, "utf8"), 10)
  try {
    process.kill(id, 0)
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ESRCH") return
  }
  throw new StorageError("Busy", { store: path, waitedMs: 0 })
}
