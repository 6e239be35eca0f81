/**
 * The store as the archive reads it: its log, and read transactions that keep the log from being overwritten. Everything is
 * agreed on through SQLite's own locks, so the store's writers know nothing of it, and any process may archive.
 *
 * A reader whose snapshot ends behind frame m of the log ("pin") lets others copy frames up to m into the database, and
 * nobody restart the log. One that begins when all of the log is in the database reads the database alone: then the
 * log may restart once, right behind m, and nothing is copied into the database until the reader ends
 * (sqlite.org/walformat.html §2.3). Either way: begin the next pin, archive everything there is, end the last one, and
 * no frame is overwritten before it is archived. But what such a reader sees is in the database, and its log is nobody's:
 * a snapshot takes no page from there.
 */
import type { DatabaseSync } from "node:sqlite"
import { StorageError } from "../../../schemas/error/storage.ts"
import { busyMsMax, isBusy, openReader, pragma, storageError } from "../sqlite/database.ts"
import { type Frame, frameBytes, noPosition, type WalHeader, WalDamage, WalFile, type WalPosition } from "./wal.ts"

const { openSync, readSync, statSync } = process.getBuiltinModule("node:fs")
const { DatabaseSync: Database } = process.getBuiltinModule("node:sqlite")

/** Tries to see log and database at one moment; each takes some 50 µs, and commits are further apart. */
const triesMax = 200
const tickMs = 0.2
const lockTriesAtOnce = 10

export interface CommitRow {
  readonly sequence: number
  readonly digest: string
  readonly committedUs: number
}

/** What the store is behind one frame of its log. */
export interface State {
  readonly header: WalHeader | undefined
  readonly frame: number
  /** Whether the database had all of the log when the snapshot began: then it reads the database alone, and the log may be overwritten. */
  readonly isInDatabase: boolean
  /** Commits after the one asked for, oldest first; the store keeps the newest thousand. */
  readonly commits: ReadonlyArray<CommitRow>
  readonly newest: CommitRow | undefined
  readonly pages: number
  readonly pageBytes: number
}

/** A read transaction that holds the log, and what the store is in it. */
export interface Pin {
  readonly state: State
  read<A>(work: (database: DatabaseSync) => A): A
  keep(): void
  drop(): void
}

const tooLong = "its log grew too long before it could be copied"

const commitOf = (row: Readonly<Record<string, unknown>>): CommitRow => ({
  sequence: Number(row["sequence"]),
  digest: Buffer.from(row["digest"] as Uint8Array).toString("hex"),
  committedUs: Number(row["committed_us"]),
})

/** Sleeps without an event loop. */
const sleep = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

/** Database files opened by their bytes. Closing one would drop every lock of this process on it (POSIX), so none is ever closed. */
const openFiles = new Map<string, number>()

function fileOf(path: string): number {
  const { dev, ino } = statSync(path)
  const name = `${dev}:${ino}`
  // An open file keeps its number from being given away.
  const known = openFiles.get(name)
  if (known !== undefined) return known
  const file = openSync(path, "r")
  openFiles.set(name, file)
  return file
}

export class Source implements Disposable {
  readonly path: string
  readonly #control: DatabaseSync
  readonly #lock: DatabaseSync
  readonly #pins: [DatabaseSync, DatabaseSync]
  /** Which of the two holds the log, if one does. */
  #held: 0 | 1 | undefined
  #isLocked = false

  /** @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy` */
  constructor(path: string) {
    this.path = path
    const opened: Array<DatabaseSync> = []
    try {
      // Says what is no store of ours.
      openReader(path).close()
      const open = (timeout: number): DatabaseSync => {
        const database = new Database(path, { timeout })
        opened.push(database)
        // What these copy into the database must be there before the log begins anew.
        database.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1; PRAGMA trusted_schema = 0")
        return database
      }
      this.#control = open(busyMsMax)
      this.#lock = open(0)
      this.#pins = [open(busyMsMax), open(busyMsMax)]
    } catch (error) {
      for (const database of opened) database.close()
      throw storageError(path, error)
    }
  }

  get isPinned(): boolean {
    return this.#held !== undefined
  }

  /** Frames in the log that count, and how many of them are in the database. */
  #frames(): { readonly count: number; readonly copied: number } {
    const row = this.#control.prepare("PRAGMA wal_checkpoint(NOOP)").get()
    return { count: Math.max(0, Number(row?.["log"] ?? 0)), copied: Math.max(0, Number(row?.["checkpointed"] ?? 0)) }
  }

  /** Bytes of the log that count. */
  get walBytes(): number {
    return this.#frames().count * frameBytes(pragma(this.#control, "page_size"))
  }

  /** Begins `pin` between two looks at the log that agree: then its snapshot ends where the log ended. */
  #exactly(pin: DatabaseSync, since: number, drop: () => void): State {
    for (let tries = 0; tries < triesMax; tries++) {
      const [headerBefore, before] = [this.#header(), this.#frames()]
      pin.exec("BEGIN")
      const pages = pragma(pin, "page_count")
      const [after, header] = [this.#frames(), this.#header()]
      const isSame = header?.start.salt1 === headerBefore?.start.salt1 && header?.start.salt2 === headerBefore?.start.salt2
      const isInDatabase = before.copied === before.count
      // Copied while it began, it may read either: the next one knows.
      const isKnown = isInDatabase === (after.copied === after.count)
      if (isSame && before.count === after.count && isKnown) {
        const columns = "SELECT sequence, digest, committed_us FROM commit_group"
        const newest = pin.prepare(`${columns} ORDER BY sequence DESC LIMIT 1`).get()
        const commits = pin.prepare(`${columns} WHERE sequence > ? ORDER BY sequence`).all(since)
        const pageBytes = pragma(pin, "page_size")
        return {
          header,
          frame: after.count,
          isInDatabase,
          commits: commits.map(commitOf),
          newest: newest === undefined ? undefined : commitOf(newest),
          pages,
          pageBytes,
        }
      }
      drop()
      sleep(tickMs * Math.random())
    }
    throw new StorageError("Busy", { store: this.path, waitedMs: busyMsMax })
  }

  #header(): WalHeader | undefined {
    using wal = WalFile.open(this.path)
    return wal?.header()
  }

  /**
   * Begins the next pin and says what the store is in its snapshot, with the commits after `since`; `keep` makes it the only
   * one, `drop` leaves the one before.
   * @throws StorageError `Busy`, `Unreachable`
   */
  next(since: number): Pin {
    const index = this.#held === 0 ? 1 : 0
    const pin = this.#pins[index]
    const drop = (): void => {
      if (pin.isTransaction) pin.exec("ROLLBACK")
    }
    try {
      const state = this.#exactly(pin, since, drop)
      return {
        state,
        read: (work) => {
          if (!pin.isTransaction) throw this.overwritten(tooLong)
          return work(pin)
        },
        keep: () => {
          if (!pin.isTransaction) throw this.overwritten(tooLong)
          const before = this.#held
          this.#held = index
          if (before !== undefined && this.#pins[before].isTransaction) this.#pins[before].exec("ROLLBACK")
        },
        drop,
      }
    } catch (error) {
      drop()
      throw storageError(this.path, error)
    }
  }

  /** Lets go of the log: from here on frames may be overwritten. */
  release(): void {
    for (const pin of this.#pins) if (pin.isTransaction) pin.exec("ROLLBACK")
    this.#held = undefined
  }

  overwritten(detail: string, cause?: unknown): StorageError {
    return new StorageError("Overwritten", { store: this.path, detail }, { cause })
  }

  /** The frames behind `from` up to `until`, in order; returns the place behind them. */
  *frames(header: WalHeader, from: WalPosition, until: number): Generator<Frame, WalPosition> {
    using wal = WalFile.open(this.path)
    if (wal === undefined) throw this.overwritten("its log is gone")
    try {
      return yield* wal.frames(header, from, until)
    } catch (error) {
      throw error instanceof WalDamage ? this.overwritten(error.message, error) : error
    }
  }

  /** Where the log goes on behind `position`, if it is the same log or, while it was held, the next one. */
  continues(header: WalHeader | undefined, position: WalPosition): WalPosition | undefined {
    if (header === undefined) return position
    const { start } = header
    if (start.salt1 === position.salt1 && start.salt2 === position.salt2) return position
    // A log that restarts counts its first salt up (sqlite.org/fileformat2.html §4.1).
    const isNext = position.frame === 0 || start.salt1 === (position.salt1 + 1) >>> 0
    return isNext ? start : undefined
  }

  /** Whether the log holds everything that followed `position`, though nobody held it. */
  holds(position: WalPosition): boolean {
    using wal = WalFile.open(this.path)
    const header = wal?.header()
    return wal !== undefined && header !== undefined && position.frame <= this.#frames().count && wal.holds(header, position)
  }

  /** Where the log has the newest of each page up to an exact state, and its place there. None where the database has them: those frames may be overwritten. */
  index({ header, frame, isInDatabase }: State): { readonly position: WalPosition; readonly inLog: ReadonlyMap<number, number> } {
    const inLog = new Map<number, number>()
    if (header === undefined) return { position: noPosition, inLog }
    const frames = this.frames(header, header.start, frame)
    for (let number = 1; ; number++) {
      const next = frames.next()
      if (next.done === true) return { position: next.value, inLog }
      if (!isInDatabase) inLog.set(next.value.page, number)
    }
  }

  /** The database's pages of a pinned, exact state: from the log where it has them, else from the file. */
  *pages({ pages, pageBytes }: State, inLog: ReadonlyMap<number, number>): Generator<Uint8Array> {
    using wal = WalFile.open(this.path)
    const file = fileOf(this.path)
    for (let page = 1; page <= pages; page++) {
      const frame = inLog.get(page)
      const bytes = Buffer.allocUnsafe(pageBytes)
      const read = frame === undefined ? readSync(file, bytes, 0, pageBytes, (page - 1) * pageBytes) : (wal?.page(frame, bytes) ?? 0)
      if (read < pageBytes) throw this.overwritten(`page ${page} is in no file`)
      // Without a pin the files may change under this very loop.
      if (!this.isPinned) throw this.overwritten(tooLong)
      yield bytes
    }
  }

  /** Copies as much of the log into the database as its readers let; true when all of it. */
  checkpoint(): boolean {
    const row = this.#control.prepare("PRAGMA wal_checkpoint(PASSIVE)").get()
    return row?.["busy"] === 0 && row["log"] === row["checkpointed"]
  }

  /** Keeps writers out, for moments; false when others have the lock for `waitMs`. */
  async lock(waitMs: number): Promise<boolean> {
    for (const untilMs = performance.now() + waitMs; performance.now() < untilMs;) {
      // Writers that never pause leave it for less time than any timer could hit: a few tries close together.
      for (let tries = 0; tries < lockTriesAtOnce; tries++) {
        try {
          this.#lock.exec("BEGIN IMMEDIATE")
          this.#isLocked = true
          return true
        } catch (error) {
          if (!isBusy(error)) throw storageError(this.path, error)
          sleep(tickMs)
        }
      }
      await new Promise((resume) => setTimeout(resume, 1))
    }
    return false
  }

  get isLocked(): boolean {
    return this.#isLocked
  }

  unlock(): void {
    if (this.#isLocked) this.#lock.exec("ROLLBACK")
    this.#isLocked = false
  }

  close(): void {
    this.unlock()
    this.release()
    for (const database of [...this.#pins, this.#lock, this.#control]) if (database.isOpen) database.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
