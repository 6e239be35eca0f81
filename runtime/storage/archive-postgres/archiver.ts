/**
 * Archives a server that goes on being written to: a base backup, and its log as it is written, received from before the backup on over a
 * replication slot. The server keeps its log until a piece is in the archive, and what is received is proved to be the log that follows what is
 * there. `docs/adr/0019-postgresql-backup.md` says why it is built so.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { ObjectSource } from "../archive/blob.ts"
import type { ArchiveFiles } from "../archive/file.ts"
import { openObject, putObject } from "../archive/object.ts"
import { type Address, parseAddress, passwordOf } from "../postgres/address.ts"
import { ServerError } from "../postgres/connection.ts"
import type { Replication } from "../postgres/replication.ts"
import { type BaseHeader, type EndHeader, endName, type Located, type LogHeader, logName, type ServerArchive } from "./catalogue.ts"
import { askFacts, type Facts, openReplication, replicationError } from "./facts.ts"
import { lsnOf, lsnText, segmentStart } from "./lsn.ts"
import { BaseBackup, type Put } from "./base.ts"
import { archiveIn, brokenBy, prune } from "./continue.ts"
import { type Ended, LogDamage, LogReader } from "./record.ts"
import { ReferredObjects, workerSettings } from "./reference.ts"
import { holdSlot, whenFree } from "./slot.ts"

const { createHash, randomBytes } = process.getBuiltinModule("node:crypto")

export interface ServerArchiverOptions {
  /** `postgres://ROLE@HOST/DATABASE`, the role being one with REPLICATION. */
  readonly address: string
  /** Default: the file of `STELE_STORAGE_PASSWORD_FILE`, or `PGPASSWORD`. */
  readonly password?: string | undefined
  readonly files: ArchiveFiles
  /** 32 bytes; with them every object is encrypted. */
  readonly key?: Uint8Array | undefined
  /** Objects that rows refer to: archived with them. Which they are is asked as `stele_worker`. */
  readonly objects?: ObjectSource | undefined
  /** Generations kept; older ones are deleted when a new one is whole. Default: all. */
  readonly generationsMax?: number | undefined
  /** A new base backup is made when the log since the last is more bytes than this, or than twice the backup. Default 256 MiB. */
  readonly generationBytesMax?: number
  /** How long log that has come waits for more before it is put, in ms. Default 400. */
  readonly intervalMs?: number
}

/** What was archived, and what became known by it. */
export type ServerArchived =
  | { readonly what: "archived"; readonly lsn: number; readonly commits: number; readonly bytes: number }
  | { readonly what: "base"; readonly generation: number; readonly lsn: number; readonly bytes: number; readonly isContinued: boolean }
  /** What followed the archive's end is gone: the server holds it no more, or has become another one. A new base backup begins. */
  | { readonly what: "gap"; readonly after: number; readonly detail: string }
  /** It is tried again. */
  | { readonly what: "failed"; readonly error: StorageError }

/** Log that is put at once, in bytes, and that is read ahead of the archive at most. */
const pieceBytes = 16 << 20
/** The server is asked for a sign of life this often, and given up after so long without one. */
const [askMs, silentMsMax] = [10_000, 30_000]
/** How long after a base backup that failed the next is begun. */
const baseAgainMs = 30_000

interface Pending {
  readonly sinceMs: number
  readonly parts: Array<Uint8Array>
  bytes: number
  commits: number
  firstCommittedUs: number | undefined
}

interface Tail {
  readonly index: number
  readonly digest: string
  readonly to: number
  readonly endedUs: number
  readonly committedUs: number
}

const noTail: Tail = { index: 0, digest: "", to: 0, endedUs: 0, committedUs: 0 }

export class ServerArchiver {
  readonly #options: ServerArchiverOptions
  readonly #address: Address
  readonly #password: string | undefined
  readonly #files: ArchiveFiles
  readonly #unlock: () => void
  readonly #objects: ReferredObjects | undefined
  #isClosed = false
  /** Of the archive: made with it. */
  #id: string
  /** Facts of the last time that the server was asked. */
  facts: Facts
  #hear: (archived: ServerArchived) => void = () => {}

  // Of one session with the server.
  #session: Replication | undefined
  #system = ""
  #timeline = 0
  #reader: LogReader | undefined
  #tail = noTail
  /** Up to where what comes is in the archive already, and what it must be. */
  #known: { readonly to: number; readonly sum: ReturnType<typeof createHash>; readonly wanted: string } | undefined
  #pending: Pending | undefined
  /** The server's clock, and when that last sent all that it had. */
  #clockUs = 0
  #serverUs = 0
  #base: BaseBackup | undefined
  #needsBase = false
  /** No base backup is begun before: one has failed. */
  #baseFromMs = 0
  #baseBytes = 0
  #logBytes = 0
  #generation = 0
  /** Whether the newest base backup lies in the run that goes on. */
  #isContinued = false
  /** What makes going on impossible, once it is known. */
  #broken: string | undefined

  private constructor(options: ServerArchiverOptions, facts: Facts, unlock: () => void, id: string) {
    this.#options = options
    this.#address = parseAddress(options.address)
    this.#password = options.password ?? passwordOf(this.#address)
    this.#files = options.files
    this.#unlock = unlock
    this.#id = id
    this.facts = facts
    const { files, key, objects } = options
    this.#objects = objects === undefined ? undefined : new ReferredObjects(workerSettings(options.address), files, objects, key)
  }

  /**
   * Looks at server and archive, and keeps other archivers out of the latter.
   * @throws StorageError `Address`, `PasswordShown`, `Unreachable`, `Login`, `NoDatabase`, `Server`, `Older`, `Replication`; `ArchiveUnreachable`, `ArchiveBusy`, `NotArchive`
   */
  static async open(options: ServerArchiverOptions): Promise<ServerArchiver> {
    const address = parseAddress(options.address)
    const facts = await askFacts(address, options.password ?? passwordOf(address))
    const unlock = await options.files.lock()
    try {
      const archive = await archiveIn(options.files)
      return new ServerArchiver(options, facts, unlock, archive?.origin.archive ?? randomBytes(8).toString("hex"))
    } catch (error) {
      unlock()
      throw error
    }
  }

  /** The slot that holds the server's log for this archive. */
  get slot(): string {
    return `stele_${this.#id}`
  }

  /** Objects that rows refer to and that the store has no more, or damaged: the archive lacks them, too. */
  get missingBlobs(): number {
    return this.#objects?.missing ?? 0
  }

  /**
   * Archives up to where the server is now, with a base backup if one is due.
   * @throws StorageError those of `open()`; `OtherServer`, `Overwritten`, `ArchiveDamaged`, `ArchiveKey`
   */
  async once(hear: (archived: ServerArchived) => void = () => {}): Promise<void> {
    await this.#run(undefined, hear)
  }

  /** Archives on and on, until `signal` says so; then what has come. @throws as `once()`: afterwards it may be called again */
  async run(signal: AbortSignal, hear: (archived: ServerArchived) => void = () => {}): Promise<void> {
    await this.#run(signal, hear)
  }

  async #run(signal: AbortSignal | undefined, hear: (archived: ServerArchived) => void): Promise<void> {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#address.name })
    this.#hear = hear
    for (let isAnew = false; ; isAnew = true) {
      try {
        this.facts = await askFacts(this.#address, this.#password)
        const goal = await this.#connect()
        return await this.#stream(signal, signal === undefined ? goal : Number.POSITIVE_INFINITY)
      } catch (error) {
        // Another log than the one that is archived, or `undefined_file`: the server has removed what was asked for.
        const isBroken = error instanceof LogDamage || (error instanceof ServerError && error.sqlState === "58P01")
        if (!isBroken) throw replicationError(this.#address, error)
        this.#broken = error.message
        if (isAnew) throw new StorageError("Overwritten", { store: this.#address.name, detail: error.message }, { cause: error })
      } finally {
        await this.#disconnect()
      }
    }
  }

  async #disconnect(): Promise<void> {
    this.#session?.close()
    this.#session = undefined
    const base = this.#base
    this.#base = undefined
    await base?.close()
  }

  /** Opens a session and begins to be sent the log; answers where the server's log ends now. */
  async #connect(): Promise<number> {
    const archive = await archiveIn(this.#files)
    await this.#sweep(archive)
    const session = await openReplication(this.#address, this.#password)
    this.#session = session
    const [system] = await session.command("IDENTIFY_SYSTEM")
    this.#system = String(system?.["systemid"])
    this.#timeline = Number(system?.["timeline"])
    const flushed = lsnOf(String(system?.["xlogpos"])) ?? 0
    if (archive !== undefined && archive.origin.system !== this.#system)
      throw new StorageError("OtherServer", {
        archive: this.#files.place,
        store: this.#address.name,
        detail: `it is the archive of the server ${archive.origin.system}, and this is ${this.#system}`,
      })
    if (archive !== undefined && archive.origin.database !== this.#address.database)
      throw new StorageError("OtherServer", {
        archive: this.#files.place,
        store: this.#address.name,
        detail: `it is the archive of the database "${archive.origin.database}"`,
      })
    this.#pending = undefined
    this.#known = undefined
    this.#logBytes = 0
    this.#generation = archive?.lastGeneration ?? 0
    const detail = this.#broken ?? brokenBy(archive, this.#timeline, flushed)
    const held = await holdSlot(session, this.slot, this.#address.name, detail !== undefined)
    const end = archive?.end
    const isNew = detail !== undefined || archive === undefined || end === undefined
    const segmentBytes = this.facts.segmentBytes
    const from = segmentStart(isNew ? held : end.header.to, segmentBytes)
    // Where the archive ends with a file, there is nothing to compare: the first record must name the last one archived.
    const before = isNew || from < end.header.to ? undefined : end.header.lastRecord
    this.#reader = new LogReader(from, segmentBytes, (ended) => this.#note(ended), before)
    if (isNew) {
      this.#tail = { ...noTail, index: archive?.lastIndex ?? 0 }
      this.#needsBase = true
      this.#isContinued = false
      const last = archive?.generations.at(-1)?.last
      if (last !== undefined) this.#hear({ what: "gap", after: last.lsn, detail: detail ?? "the newest piece of it is damaged" })
    } else
      await this.#resume(archive, end, from).catch((error: unknown) => {
        // What is continued must be whole: an archive that has lost its end goes on all the same, behind a gap.
        throw error instanceof StorageError && error.reason._tag === "ArchiveDamaged" ? new LogDamage(error.message) : error
      })
    this.#broken = undefined
    await whenFree(() => session.start(this.slot, lsnText(from), this.#timeline))
    return Math.max(flushed, this.#tail.to)
  }

  /** What is left of base backups that did not end. */
  async #sweep(archive: ServerArchive | undefined): Promise<void> {
    for (const name of archive?.unfinished ?? []) await this.#files.delete(name)
  }

  /** Goes on behind the archive's end: the start of the file that it is in is received again, and must be the same. */
  async #resume(archive: ServerArchive, end: Located<LogHeader>, from: number): Promise<void> {
    const sum = createHash("sha256")
    const run = archive.runs.at(-1)
    for (const { name, header } of run?.pieces ?? []) {
      if (header.to <= from) continue
      const opened = await openObject(name, this.#files.place, this.#files.get(name), this.#options.key)
      let skipped = Math.max(0, from - header.from)
      for await (const part of opened.body) {
        sum.update(part.subarray(Math.min(skipped, part.length)))
        skipped = Math.max(0, skipped - part.length)
      }
    }
    const { header, digest } = end
    this.#tail = { index: header.index, digest, to: header.to, endedUs: header.endedUs, committedUs: header.committedUs }
    this.#known = header.to === from ? undefined : { to: header.to, sum: createHash("sha256"), wanted: sum.digest("hex") }
    this.#serverUs = Math.max(this.#serverUs, header.serverUs)
    const newest = archive.generations.at(-1)
    this.#needsBase = newest === undefined || newest.run !== run
    this.#isContinued = !this.#needsBase
    this.#baseBytes = newest?.base.bytes ?? 0
    this.#logBytes = run?.pieces.reduce((bytes, piece) => bytes + (piece.header.from >= (newest?.first.lsn ?? 0) ? piece.bytes : 0), 0) ?? 0
  }

  #note(ended: Ended): void {
    const { us, isCommit } = ended
    if (this.#known !== undefined) return
    this.#tail = {
      ...this.#tail,
      endedUs: Math.max(this.#tail.endedUs, us),
      committedUs: isCommit ? Math.max(this.#tail.committedUs, us) : this.#tail.committedUs,
    }
    const pending = this.#pending
    if (pending === undefined || !isCommit) return
    pending.commits++
    pending.firstCommittedUs ??= us
  }

  /** Takes what the server sends and archives it, until `goal` is there or `signal` says so. */
  async #stream(signal: AbortSignal | undefined, goal: number): Promise<void> {
    const session = this.#session as Replication
    const intervalMs = this.#options.intervalMs ?? 400
    let [silentMs, askedMs] = [0, performance.now()]
    // A first piece shows whether the server still has what was asked for, before a base backup is begun in vain.
    let isRunning = false
    this.#status(true)
    for (;;) {
      const dueMs = this.#pending === undefined ? intervalMs : this.#pending.sinceMs + intervalMs - performance.now()
      const fromMs = performance.now()
      const sent = await session.sent(Math.max(0, Math.min(dueMs, 200)))
      const nowMs = performance.now()
      // Only what was spent waiting: the archive may take its time.
      silentMs = sent === undefined ? silentMs + nowMs - fromMs : 0
      if (sent !== undefined) {
        isRunning = true
        this.#clockUs = Math.max(this.#clockUs, sent.serverUs)
        // Of a server that has more than it has sent, nobody knows which of it was committed before.
        if (sent.isNewest) this.#serverUs = Math.max(this.#serverUs, sent.serverUs)
        if (sent.bytes.length > 0) this.#take(sent.lsn, sent.bytes)
        else if (sent.wantsStatus) this.#status(false)
      } else if (silentMs > silentMsMax)
        throw new StorageError("Unreachable", { store: this.#address.name, detail: `it has said nothing for ${silentMsMax} ms` })
      const pending = this.#pending
      const isAborted = signal?.aborted === true
      if (pending !== undefined && (pending.bytes >= pieceBytes || nowMs - pending.sinceMs >= intervalMs || isAborted)) await this.#put(pending)
      if (isAborted) return
      if (nowMs - askedMs > askMs) {
        askedMs = nowMs
        this.#status(true)
      }
      const isWanted = this.#base === undefined && nowMs >= this.#baseFromMs && (this.#needsBase || this.#isDue())
      if (isRunning && isWanted) this.#takeBase()
      if (this.#base !== undefined) await this.#endBase(this.#base, signal === undefined)
      if (this.#base === undefined && !this.#needsBase && this.#known === undefined && this.#tail.to >= goal) return
    }
  }

  #isDue(): boolean {
    return this.#logBytes > Math.max(this.#options.generationBytesMax ?? 256 << 20, 2 * this.#baseBytes)
  }

  /** Says how far the archive is: only what is in it may the server forget. */
  #status(wantsAnswer: boolean): void {
    this.#session?.status((this.#reader as LogReader).at, this.#tail.to, wantsAnswer)
  }

  #take(lsn: number, bytes: Uint8Array): void {
    const reader = this.#reader as LogReader
    if (lsn !== reader.at) throw new LogDamage(`the log at ${lsnText(reader.at)}: the server went on at ${lsnText(lsn)}`)
    const known = this.#known
    let rest = bytes
    if (known !== undefined) {
      const again = bytes.subarray(0, known.to - lsn)
      reader.push(again)
      known.sum.update(again)
      if (reader.at < known.to) return
      if (known.sum.digest("hex") !== known.wanted) throw new LogDamage(`the log before ${lsnText(known.to)} is another one than what is archived`)
      this.#known = undefined
      rest = bytes.subarray(again.length)
      if (rest.length === 0) return
    }
    this.#pending ??= { sinceMs: performance.now(), parts: [], bytes: 0, commits: 0, firstCommittedUs: undefined }
    this.#pending.parts.push(rest)
    this.#pending.bytes += rest.length
    reader.push(rest)
  }

  #origin(): Omit<BaseHeader, "kind" | "generation" | "from"> {
    const { version, segmentBytes } = this.facts
    return {
      archive: this.#id,
      system: this.#system,
      version,
      timeline: this.#timeline,
      segmentBytes,
      database: this.#address.database,
      archivedUs: Date.now() * 1_000,
    }
  }

  async #put({ parts, bytes, commits, firstCommittedUs }: Pending): Promise<void> {
    await this.#objects?.put()
    const { index, digest: previous, endedUs, committedUs } = this.#tail
    // Where the log is continued, what it continues must still be there.
    if (previous !== "" && !(await this.#files.has(logName(index))))
      throw new StorageError("ArchiveUnreachable", { archive: this.#files.place, detail: `"${logName(index)}" is not there any more` })
    const to = (this.#reader as LogReader).at
    const header: LogHeader = {
      kind: "postgres-log",
      ...this.#origin(),
      index: index + 1,
      previous,
      from: to - bytes,
      to,
      serverUs: Math.max(this.#serverUs, endedUs),
      endedUs,
      committedUs,
      commits,
      firstCommittedUs,
      lastRecord: (this.#reader as LogReader).last,
    }
    const put = await this.#store(logName(index + 1), header, parts)
    this.#tail = { ...this.#tail, index: index + 1, digest: put.digest, to }
    this.#pending = undefined
    this.#logBytes += put.bytes
    this.#status(false)
    this.#hear({ what: "archived", lsn: to, commits, bytes: put.bytes })
  }

  #store(name: string, header: object, body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): ReturnType<typeof putObject> {
    return putObject(this.#files, this.#options.key, name, header, body)
  }

  /** Begins a base backup beside the log. */
  #takeBase(): void {
    const store: Put = (name, header, body) => this.#store(name, header, body)
    const generation = this.#generation + 1
    this.#base = new BaseBackup({ ...this.#origin(), generation }, () => openReplication(this.#address, this.#password), store)
  }

  /** Once a base backup and the log up to its end are there, it counts. */
  async #endBase(base: BaseBackup, mustSucceed: boolean): Promise<void> {
    if (base.error !== undefined) {
      const error = replicationError(this.#address, base.error)
      if (mustSucceed || !(error instanceof StorageError)) throw error
      // The log goes on: what stands in the way of a base backup, such as a damaged page, must not keep it from being archived.
      this.#base = undefined
      this.#baseFromMs = performance.now() + baseAgainMs
      return this.#hear({ what: "failed", error })
    }
    const { made, header } = base
    if (made === undefined || header === undefined || this.#tail.to < made.to) return
    const ended: EndHeader = {
      ...header,
      kind: "postgres-end",
      archivedUs: Date.now() * 1_000,
      to: made.to,
      base: made.digest,
      index: this.#tail.index,
      atUs: this.#clockUs,
    }
    await this.#store(endName(base.generation), ended, [])
    const isContinued = this.#isContinued
    this.#base = undefined
    this.#needsBase = false
    this.#isContinued = true
    this.#generation = base.generation
    this.#baseBytes = made.bytes
    this.#logBytes = 0
    if (this.#options.generationsMax !== undefined) await prune(this.#files, this.#options.generationsMax)
    this.#hear({ what: "base", generation: base.generation, lsn: made.to, bytes: made.bytes, isContinued })
  }

  /** Lets go of both; the slot stays, and holds the server's log for the next time. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#disconnect()
    await this.#objects?.close()
    this.#unlock()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
