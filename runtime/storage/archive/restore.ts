/** Restoring a store from an archive: what to take, making the file beside its place, proving it, and giving it its name last. */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { busyMsMax, detailOf, format, isBusy, openWriter, pragma } from "../sqlite/database.ts"
import { Mark } from "../sqlite/mark.ts"
import { SqliteReader } from "../sqlite/reader.ts"
import { objectsOf } from "../storage.ts"
import { type ObjectTarget, referenced, restoreBlobs } from "./blob.ts"
import type { ArchiveFiles } from "./file.ts"
import { type Archive, type ArchivedCommit, type Generation, type Located, newestOf, readArchive, type SegmentHeader } from "./generation.ts"
import { openObject } from "./object.ts"
import { orderedCommits, segmentOf } from "./segment.ts"
import { Staged } from "./staged.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")
const { existsSync, fsyncSync, mkdirSync, openSync, closeSync, renameSync, rmSync } = process.getBuiltinModule("node:fs")
const { basename, dirname, join } = process.getBuiltinModule("node:path")
const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")

/** Which state: the one after a commit, the one at a time (µs since 1970), or, with neither, the newest. */
export interface Target {
  readonly commit?: number | undefined
  readonly atUs?: number | undefined
  /** Of this generation instead of the newest that has it: after a restore, a commit's number may have been given twice. */
  readonly generation?: number | undefined
}

export interface RestoreOptions {
  readonly files: ArchiveFiles
  readonly key?: Uint8Array | undefined
  /** Makes a store of objects in a new folder, for those that rows refer to. Without it they stay in the archive. */
  readonly objects?: ((folder: string) => Promise<ObjectTarget>) | undefined
  readonly target?: Target
  /** Put the restored store in the place of one that is there and that nobody has open. Default false. */
  readonly replace?: boolean
}

/** What a restore takes. */
export interface Plan {
  readonly generation: number
  readonly commit: number
  /** When that commit was made, and its digest. */
  readonly at: ArchivedCommit
  readonly objects: number
  readonly bytes: number
}

export interface Restored extends Plan {
  readonly store: string
  /** Digests of objects that rows refer to and that the archive has not. */
  readonly missingBlobs: ReadonlyArray<string>
  readonly blobs: number
  readonly ms: number
}

const timeText = (us: number): string => new Date(us / 1_000).toISOString()
const spanText = ({ generation, first, last }: Generation): string =>
  `commits ${first.sequence} to ${last.sequence} (${timeText(first.orderedUs)} to ${timeText(last.orderedUs)}) in generation ${generation}`

interface Chosen {
  readonly plan: Plan
  readonly generation: Generation
  readonly segments: ReadonlyArray<Located<SegmentHeader>>
}

/** @throws StorageError `NotArchived`, and those of reading */
async function choose(archive: Archive, { files, key, target = {} }: RestoreOptions): Promise<Chosen> {
  const refuse = (asked: string): never => {
    throw new StorageError("NotArchived", { archive: archive.place, asked, spans: archive.generations.map(spanText) })
  }
  const candidates = archive.generations.filter(({ generation }) => target.generation === undefined || generation === target.generation).toReversed()
  const { commit, atUs } = target
  // The newest that is whole is not the newest: who asks for that shall know.
  const [problem] = archive.problems
  if (problem !== undefined && commit === undefined && atUs === undefined && target.generation === undefined)
    throw new StorageError("ArchiveDamaged", { archive: archive.place, ...problem })
  let generation = newestOf(candidates.toReversed())
  if (commit !== undefined) generation = candidates.find(({ first, last }) => first.sequence <= commit && commit <= last.sequence)
  else if (atUs !== undefined) {
    generation =
      candidates.find(({ first, last }) => first.orderedUs <= atUs && atUs <= last.orderedUs) ?? candidates.find(({ first }) => first.orderedUs <= atUs)
    // Behind the end of a generation nothing is known, unless the next one begins with the very same commit.
    const following = archive.generations.find((next) => next.generation > (generation?.generation ?? 0))
    const isKnown = generation !== undefined && (atUs <= generation.last.orderedUs || following?.first.digest === generation.last.digest)
    if (!isKnown) generation = undefined
  }
  if (generation === undefined)
    return refuse(
      commit !== undefined ? `commit ${commit}` : atUs !== undefined ? `the state at ${timeText(atUs)}` : `generation ${target.generation ?? "any"}`,
    )
  const { snapshot } = generation
  let at = generation.last
  let count = generation.segments.length
  if (commit !== undefined || atUs !== undefined) {
    const isBeyond = ({ header }: Located<SegmentHeader>): boolean =>
      commit !== undefined ? header.commit.sequence >= commit : header.commit.orderedUs > (atUs as number)
    const index = generation.segments.findIndex(isBeyond)
    const segment = generation.segments[index]
    at = (index > 0 ? generation.segments[index - 1] : snapshot)?.header.commit ?? snapshot.header.commit
    count = Math.max(0, index)
    if (index < 0 && atUs !== undefined) {
      at = generation.last
      count = generation.segments.length
    } else if (segment !== undefined && (commit === undefined || at.sequence < commit)) {
      const found = (await orderedCommits(files, segment, key)).findLast((next) =>
        commit !== undefined ? next.sequence <= commit : next.orderedUs <= (atUs as number),
      )
      if (found !== undefined) {
        at = found
        count = index + 1
      }
    }
  }
  const segments = generation.segments.slice(0, count)
  const bytes = [snapshot, ...segments].reduce((sum, object) => sum + object.bytes, 0)
  return { plan: { generation: generation.generation, commit: commit ?? at.sequence, at, objects: 1 + count, bytes }, generation, segments }
}

/** What a restore would take. Throws what `restore()` throws of the archive. */
export const plan = async (options: RestoreOptions): Promise<Plan> => (await choose(await readArchive(options.files), options)).plan

/**
 * Restores a store to `path`, where nothing is until all of it is there and proved: every object against its digest and
 * the one before, every row against its sum, the newest commit against the digest that the archive has of it.
 * @throws StorageError `NotArchive`, `NotArchived`, `ArchiveDamaged`, `ArchiveKey`, `ArchiveUnreachable`, `Exists`, `Busy`, `Unproved`, `Unreachable`
 */
export async function restore(path: string, options: RestoreOptions): Promise<Restored> {
  const startedMs = performance.now()
  const folder = dirname(path)
  if (!existsSync(folder)) throw new StorageError("Unreachable", { store: path, detail: `there is no folder "${folder}"` })
  if (options.replace !== true)
    for (const taken of [path, `${path}-wal`, objectsOf(path)]) if (existsSync(taken)) throw new StorageError("Exists", { store: path })
  const { plan: taken, generation, segments } = await choose(await readArchive(options.files), options)
  const staging = join(folder, `.${basename(path)}.restoring-${randomBytes(6).toString("hex")}`)
  const staged = join(staging, "store")
  try {
    mkdirSync(staging, { mode: 0o700 })
    await build(staged, generation, segments, taken, options)
    prove(staged, path, taken)
    const digests = options.objects === undefined ? [] : referencedIn(staged)
    const missingBlobs = options.objects === undefined || digests.length === 0 ? [] : await restoreObjects(staged, digests, options, options.objects)
    sync(staged)
    sync(`${staged}-mark`)
    if (options.replace === true) putAside(path, staging)
    // Objects and the mark first: the store is there when its name is.
    if (existsSync(objectsOf(staged))) renameSync(objectsOf(staged), objectsOf(path))
    renameSync(`${staged}-mark`, `${path}-mark`)
    renameSync(staged, path)
    sync(folder)
    return { ...taken, store: path, missingBlobs, blobs: digests.length - missingBlobs.length, ms: performance.now() - startedMs }
  } catch (error) {
    if (error instanceof SteleError) throw error
    throw new StorageError("Unreachable", { store: path, detail: detailOf(error) }, { cause: error })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

function sync(path: string): void {
  const file = openSync(path, "r")
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Writes the snapshot, then the transactions behind it up to the commit asked for. */
async function build(staged: string, { snapshot }: Generation, segments: Chosen["segments"], { commit }: Plan, { files, key }: RestoreOptions): Promise<void> {
  const place = files.place
  using store = new Staged(staged, snapshot.header.pageBytes)
  const opened = await openObject(snapshot.name, place, files.get(snapshot.name), key)
  for await (const bytes of opened.body) store.append(bytes)
  store.endSnapshot(
    snapshot.header.pages,
    () => new StorageError("ArchiveDamaged", { archive: place, object: snapshot.name, detail: "it has another count of pages" }),
  )
  let previous = opened.digest
  for (const { name, header } of segments) {
    const damaged = (detail: string): StorageError => new StorageError("ArchiveDamaged", { archive: place, object: name, detail })
    if (header.previous !== previous) throw damaged("the object before it is another one")
    const segment = await segmentOf(files, name, header, key)
    const isWhole = header.commit.sequence <= commit
    // Each transaction carries one commit at most: so many of them do not reach beyond the one asked for.
    let left = isWhole ? Number.POSITIVE_INFINITY : commit - store.sequence()
    for await (const { page, pagesAfter, bytes } of segment.frames) {
      if (left <= 0) {
        left = commit - store.sequence()
        // The rest is still read: only at its end is an object known to be whole.
        if (left <= 0) left = Number.NEGATIVE_INFINITY
      }
      if (left === Number.NEGATIVE_INFINITY) continue
      store.write(page, bytes)
      if (pagesAfter > 0) {
        store.commit(pagesAfter)
        left--
      }
    }
    previous = segment.digest()
  }
  store.end()
}

/** Holds the staged store against the archive and itself, and gives it its mark. */
function prove(staged: string, path: string, { at, commit }: Plan): void {
  const refuse = (detail: string): never => {
    throw new StorageError("Unproved", { store: path, detail })
  }
  const database = new Database(staged, { timeout: busyMsMax })
  let found: number
  let row: Readonly<Record<string, unknown>> | undefined
  try {
    row = database.prepare("SELECT sequence, digest FROM commit_group ORDER BY sequence DESC LIMIT 1").get()
    found = pragma(database, "user_version")
  } catch (error) {
    return refuse(detailOf(error))
  } finally {
    database.close()
  }
  const digest = row === undefined ? "0".repeat(64) : Buffer.from(row["digest"] as Uint8Array).toString("hex")
  const sequence = Number(row?.["sequence"] ?? 0)
  if (sequence !== commit || (at.sequence === commit && digest !== at.digest)) refuse(`it ends at commit ${sequence} and not at ${commit} as archived`)
  // A store of an older format lacks tables that are checked; it would get them when it is opened.
  if (found < format) openWriter(staged).close()
  const mark = Mark.open(`${staged}-mark`)
  try {
    mark.reset({ sequence, digest: Buffer.from(digest, "hex") })
  } finally {
    mark.close()
  }
  using reader = new SqliteReader(staged)
  const findings = reader.check()
  if (findings.length > 0) refuse(findings.map(({ table, key, detail }) => [table, key, detail].filter((part) => part !== "").join(" ")).join("; "))
}

function referencedIn(staged: string): ReadonlyArray<string> {
  const database = new Database(staged, { readOnly: true })
  try {
    return referenced(database)
  } finally {
    database.close()
  }
}

async function restoreObjects(
  staged: string,
  digests: ReadonlyArray<string>,
  { files, key }: RestoreOptions,
  open: (folder: string) => Promise<ObjectTarget>,
): Promise<ReadonlyArray<string>> {
  const target = await open(objectsOf(staged))
  try {
    return await restoreBlobs(files, target, digests, key)
  } finally {
    await target.close()
  }
}

/** Moves a store that is to be replaced into the staging folder, from its name on: half of it is never there under its name. */
function putAside(path: string, staging: string): void {
  if (existsSync(path)) excludeOthers(path)
  for (const suffix of ["", "-wal", "-shm", "-mark", "-objects"]) if (existsSync(path + suffix)) renameSync(path + suffix, join(staging, `old${suffix}`))
}

function excludeOthers(path: string): void {
  try {
    const database = new Database(path, { timeout: 0 })
    try {
      // Whoever has a store open holds a lock that excludes this one.
      database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK")
    } finally {
      database.close()
    }
  } catch (error) {
    if (isBusy(error)) throw new StorageError("Busy", { store: path, waitedMs: 0 }, { cause: error })
    // What is no database any more is what a restore is for.
  }
}
