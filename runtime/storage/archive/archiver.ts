/**
 * Archives a store that goes on being written: a snapshot, then again and again the frames of its log that are new, each
 * in a segment that names the digest of the object before it. `docs/adr/0012-backup.md` says why it is built so.
 */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { archiveBlob, type ObjectSource, referenced, referenceVersion } from "./blob.ts"
import type { ArchiveFiles } from "./file.ts"
import { type ArchivedCommit, placeIn, readDigest, readHeader, segmentName, type SegmentHeader, snapshotName, type SnapshotHeader } from "./generation.ts"
import { blobName } from "./key.ts"
import { openObject, putObject } from "./object.ts"
import { bodyOf, listedOf } from "./segment.ts"
import { type CommitRow, type Pin, Source } from "./source.ts"
import { noPosition, type WalPosition } from "./wal.ts"

export interface ArchiverOptions {
  /** Of the database. */
  readonly path: string
  readonly files: ArchiveFiles
  /** 32 bytes; with them every object is encrypted. */
  readonly key?: Uint8Array | undefined
  /** Objects that rows refer to: archived with them. */
  readonly objects?: ObjectSource | undefined
  /** The log is let go, and the archive gets a gap, when it is longer than this many bytes. Default 256 MiB. */
  readonly walBytesMax?: number
  /** The log is made to begin anew when it is longer than this many bytes and archived. Default 16 MiB. */
  readonly walBytesRestart?: number
  /** A new generation begins when segments since the snapshot are more bytes than this, or than twice the snapshot. Default 256 MiB. */
  readonly generationBytesMax?: number
  /** Generations kept; older ones are deleted when a new one is whole. Default: all. */
  readonly generationsMax?: number | undefined
  /** µs since 1970. */
  readonly nowUs?: () => number
}

/** What one call of `sync()` archived. */
export interface Synced {
  readonly generation: number
  readonly index: number
  /** Whether a new generation began, and whether it continues the one before. */
  readonly snapshot: "continued" | "new" | undefined
  /** Commits from 1 on that the archive now reaches to. */
  readonly commit: number
  readonly frames: number
  readonly bytes: number
}

interface End {
  readonly generation: number
  readonly index: number
  readonly digest: string
  readonly commit: ArchivedCommit
  readonly position: WalPosition
  readonly snapshotBytes: number
  readonly segmentBytes: number
}

const noCommit: ArchivedCommit = { sequence: 0, digest: "0".repeat(64), committedUs: 0, orderedUs: 0 }
/** How long writers are asked to let go of the lock, and how long they are kept out for the last frames of a log. */
const lockWaitMs = 1_000
const lockHoldMsMax = 1_000
/** Between two segments while a snapshot is written. */
const interimMs = 300
/** Two clocks of one machine agree better than this, unless somebody has set it. */
const clockOffUsMax = 1_000_000

export class Archiver {
  readonly #options: ArchiverOptions
  readonly #files: ArchiveFiles
  readonly #source: Source
  readonly #unlock: () => void
  readonly #blobs = new Set<string>()
  #blobVersion: string | undefined
  #missing = 0
  readonly #walBytesMax: number
  #end: End | undefined
  /** Whether everything since the archive's end is still in the log. */
  #isContinuous = false
  #isClosed = false
  #pending: Promise<unknown> = Promise.resolve()

  private constructor(options: ArchiverOptions, source: Source, unlock: () => void) {
    this.#options = options
    this.#files = options.files
    this.#source = source
    this.#unlock = unlock
    this.#walBytesMax = options.walBytesMax ?? 256 << 20
  }

  /**
   * Opens store and archive; the first `sync()` begins a generation, or goes on with the newest if the store's log still has all that followed.
   * @throws StorageError those of opening a store; `ArchiveUnreachable`, `ArchiveBusy`, `NotArchive`, `ArchiveKey`, `ArchiveDamaged`, `ArchiveNewer`
   */
  static async open(options: ArchiverOptions): Promise<Archiver> {
    const source = new Source(options.path)
    let unlock: (() => void) | undefined
    try {
      unlock = await options.files.lock()
      const archiver = new Archiver(options, source, unlock)
      await archiver.#resume()
      return archiver
    } catch (error) {
      unlock?.()
      source.close()
      throw error
    }
  }

  /** Where the archive ends, and whether the log goes on from there. */
  async #resume(): Promise<void> {
    const objects = await this.#files.list()
    const placed = objects.flatMap((object) => {
      const place = placeIn(object.name)
      return place === undefined ? [] : [{ ...object, ...place }]
    })
    for (const { name } of objects) if (name.startsWith("blob/")) this.#blobs.add(name)
    const last = placed.at(-1)
    if (last === undefined) {
      const foreign = objects.find(({ name }) => !name.startsWith("blob/"))
      if (foreign !== undefined) throw new StorageError("NotArchive", { archive: this.#files.place, detail: `it holds "${foreign.name}" and no backup` })
      return
    }
    const sizes = placed.filter(({ generation }) => generation === last.generation)
    const end = await this.#lastWhole(placed.map(({ name }) => name))
    this.#end = {
      generation: last.generation,
      index: last.index,
      digest: end?.name === last.name ? await readDigest(this.#files, last.name, last.bytes) : "",
      commit: end?.header.commit ?? noCommit,
      position: end?.header.wal ?? noPosition,
      snapshotBytes: sizes[0]?.bytes ?? 0,
      segmentBytes: sizes.slice(1).reduce((sum, { bytes }) => sum + bytes, 0),
    }
    if (end?.name !== last.name || sizes[0]?.index !== 0 || sizes.length !== last.index + 1) return
    const next = this.#source.next(this.#end.commit.sequence)
    this.#isContinuous = this.#source.holds(end.header.wal)
    if (this.#isContinuous) next.keep()
    else next.drop()
  }

  /** The newest object that is whole: what the next vouches for must be. */
  async #lastWhole(names: ReadonlyArray<string>): Promise<{ readonly name: string; readonly header: SnapshotHeader | SegmentHeader } | undefined> {
    for (const name of names.toReversed()) {
      try {
        const { header } = await readHeader(this.#files, name)
        const opened = await openObject(name, this.#files.place, this.#files.get(name), this.#options.key)
        for await (const _ of opened.body);
        return { name, header }
      } catch (error) {
        if (!(error instanceof StorageError) || error.reason._tag !== "ArchiveDamaged") throw error
      }
    }
    return undefined
  }

  /** The newest commit that is archived. */
  get commit(): number {
    return this.#end?.commit.sequence ?? 0
  }

  /** Objects that rows refer to and that the store has no more, or damaged: the archive lacks them, too. */
  get missingBlobs(): number {
    return this.#missing
  }

  /** Whether the log is held: if not, the next generation may leave a gap. */
  get isHeld(): boolean {
    return this.#source.isPinned
  }

  /** Lets go of a log that has grown too long. Call it now and then, also while `sync()` is under way; true when it did. */
  relieve(): boolean {
    if (this.#isClosed || !this.#source.isPinned || this.#source.walBytes <= this.#walBytesMax) return false
    this.#source.release()
    this.#isContinuous = false
    return true
  }

  /**
   * Archives what is new; undefined when nothing is. After an error it may be called again: it goes on where it was, or
   * with a new generation.
   * @throws StorageError `ArchiveUnreachable`, `ArchiveBusy`, `Overwritten`, `Busy`
   */
  async sync(): Promise<Synced | undefined> {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#options.path })
    // One after the other, and `close()` after the last.
    const synced = this.#pending.then(() => this.#sync())
    this.#pending = synced.catch(() => {})
    return synced
  }

  async #sync(): Promise<Synced | undefined> {
    if (this.#end === undefined || !this.#isContinuous || !this.#source.isPinned) return this.#snapshot()
    try {
      const segment = await this.#segment()
      if (this.#isDue(this.#end)) return await this.#snapshot()
      if (this.#source.walBytes > (this.#options.walBytesRestart ?? 16 << 20)) await this.#restart()
      return segment
    } catch (error) {
      if (error instanceof StorageError && error.reason._tag === "Overwritten") this.#isContinuous = false
      throw error
    }
  }

  #isDue({ snapshotBytes, segmentBytes }: End): boolean {
    return segmentBytes > Math.max(this.#options.generationBytesMax ?? 256 << 20, 2 * snapshotBytes)
  }

  /** The frames since the last object, as the next one. */
  async #segment(): Promise<Synced | undefined> {
    const end = this.#end as End
    const next = this.#source.next(end.commit.sequence)
    try {
      const synced = await this.#put(next)
      next.keep()
      return synced
    } catch (error) {
      next.drop()
      throw error
    }
  }

  /** Everything behind the archive's end up to the pin's snapshot. */
  async #put(pin: Pin): Promise<Synced | undefined> {
    const { state } = pin
    const end = this.#end as End
    const source = this.#source
    const from = source.continues(state.header, end.position)
    if (from === undefined) throw source.overwritten("its log was begun anew")
    if (state.header === undefined || state.frame <= from.frame) return undefined
    const { header } = state
    const before = end.index === 0 ? snapshotName(end.generation) : segmentName(end.generation, end.index)
    if (!(await this.#files.has(before))) {
      // What follows would continue nothing: the next call begins a generation.
      this.#isContinuous = false
      throw new StorageError("ArchiveUnreachable", { archive: this.#files.place, detail: `"${before}" is not there any more` })
    }
    const index = end.index + 1
    const commits: Array<ArchivedCommit> = []
    let isClockOff = false
    const nowUs = this.#nowUs()
    let last = end.commit
    for (const commit of state.commits) {
      const next = orderedAfter(last, commit)
      isClockOff ||= commit.committedUs < last.committedUs || commit.committedUs > nowUs + clockOffUsMax
      commits.push(next)
      last = next
    }
    await this.#putBlobs(pin)
    // Twice over the frames: the header must say where they end, and comes first.
    const wal = drain(source.frames(header, from, state.frame))
    const segment: SegmentHeader = {
      kind: "segment",
      generation: end.generation,
      index,
      previous: end.digest,
      commit: last,
      archivedUs: nowUs,
      pageBytes: header.pageBytes,
      wal,
      frames: state.frame - from.frame,
      commits: last.sequence - end.commit.sequence,
      firstCommittedUs: state.commits[0]?.committedUs,
      isClockOff,
    }
    const { digest, bytes } = await this.#store(
      segmentName(end.generation, index),
      segment,
      bodyOf(commits.map(listedOf), source.frames(header, from, state.frame)),
    )
    this.#end = { ...end, index, digest, commit: last, position: wal, segmentBytes: end.segmentBytes + bytes }
    return { generation: end.generation, index, snapshot: undefined, commit: last.sequence, frames: segment.frames, bytes }
  }

  /** A new generation. Where nothing is missing it continues the one before. */
  async #snapshot(): Promise<Synced> {
    const source = this.#source
    const next = source.next(this.#end?.commit.sequence ?? 0)
    let isContinued = false
    try {
      if (this.#end !== undefined && this.#isContinuous && source.isPinned) {
        await this.#put(next)
        isContinued = true
      }
    } catch (error) {
      next.drop()
      throw error
    }
    next.keep()
    const { state } = next
    const end = this.#end
    const generation = (end?.generation ?? 0) + 1
    const commit = state.newest === undefined ? noCommit : isContinued ? (end as End).commit : orderedAfter(end?.commit ?? noCommit, state.newest)
    await this.#putBlobs(next)
    const { position, inLog } = source.index(state)
    const header: SnapshotHeader = {
      kind: "snapshot",
      generation,
      index: 0,
      previous: end?.digest ?? "",
      commit,
      archivedUs: this.#nowUs(),
      pageBytes: state.pageBytes,
      wal: position,
      pages: state.pages,
      isContinued,
    }
    const { digest, bytes } = await this.#store(snapshotName(generation), header, this.#pages(source.pages(state, inLog), isContinued))
    this.#end = { generation, index: 0, digest, commit, position, snapshotBytes: bytes, segmentBytes: 0 }
    this.#isContinuous = true
    // What was committed meanwhile is in the generation before, and from here on in this one.
    if (isContinued) await this.#segment()
    await this.#prune(generation)
    return { generation, index: this.#end.index, snapshot: isContinued ? "continued" : "new", commit: this.commit, frames: 0, bytes }
  }

  /** The pages of a snapshot. While they are written the generation before goes on: the snapshot's hold keeps everything behind it. */
  async *#pages(pages: Iterable<Uint8Array>, isContinued: boolean): AsyncGenerator<Uint8Array> {
    let dueMs = performance.now() + interimMs
    for (const page of pages) {
      if (isContinued && performance.now() > dueMs) {
        const pin = this.#source.next(this.commit)
        try {
          await this.#put(pin)
        } finally {
          pin.drop()
        }
        dueMs = performance.now() + interimMs
      }
      yield page
    }
  }

  #store(name: string, header: object, body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): ReturnType<typeof putObject> {
    return putObject(this.#files, this.#options.key, name, header, body)
  }

  /** What the rows refer to is in the archive before the rows are. Looked at only when references changed. */
  async #putBlobs(pin: Pin): Promise<void> {
    const { objects, key } = this.#options
    if (objects === undefined) return
    const version = pin.read(referenceVersion)
    if (version === this.#blobVersion) return
    let missing = 0
    for (const digest of pin.read(referenced)) {
      const name = blobName(key, digest)
      if (this.#blobs.has(name)) continue
      if (await archiveBlob(this.#files, objects, digest, key)) this.#blobs.add(name)
      else missing++
    }
    this.#missing = missing
    this.#blobVersion = version
  }

  /** Makes the next writer begin the log anew: everything is archived and in the database, and the only pin needs no log. */
  async #restart(): Promise<void> {
    const source = this.#source
    // Most of it while writers go on.
    source.checkpoint()
    if (!(await source.lock(lockWaitMs))) return
    const timer = setTimeout(() => source.unlock(), lockHoldMsMax)
    try {
      await this.#segment()
      if (!source.isLocked || !source.checkpoint()) return
      // Nobody writes and all of the log is in the database: this one reads the database alone.
      source.next(this.commit).keep()
    } finally {
      clearTimeout(timer)
      source.unlock()
    }
  }

  /** Deletes the oldest generations, each from its end: what is left of one is whole. */
  async #prune(newest: number): Promise<void> {
    const { generationsMax } = this.#options
    if (generationsMax === undefined) return
    const old = (await this.#files.list()).filter(({ name }) => (placeIn(name)?.generation ?? newest) <= newest - generationsMax)
    for (const { name } of old.toReversed()) await this.#files.delete(name)
  }

  #nowUs(): number {
    return (this.#options.nowUs ?? (() => Date.now() * 1_000))()
  }

  /** Archives what is new, if it can, and lets go of both. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#pending
    try {
      if (this.#isContinuous && this.#source.isPinned) await this.#segment()
    } catch (error) {
      // The store goes on, and the next backup finds what is missing.
      if (!(error instanceof SteleError)) throw error
    } finally {
      this.#source.close()
      this.#unlock()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A commit with a time that never goes back. */
const orderedAfter = (before: ArchivedCommit, commit: CommitRow): ArchivedCommit => ({ ...commit, orderedUs: Math.max(before.orderedUs, commit.committedUs) })

function drain(frames: Generator<unknown, WalPosition>): WalPosition {
  for (;;) {
    const next = frames.next()
    if (next.done === true) return next.value
  }
}
