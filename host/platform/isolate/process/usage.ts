/** What a process and all that has come of it use, where the system has procfs. */
import { builtin } from "../../server.ts"

/** Pages, and ticks a second, of the systems that have procfs and on which engines run. */
const pageBytes = 4_096
const tickMs = 10
/** All processes of a host are looked for in one list, which is no older than this. */
const listMsMax = 50
/** A number that was another's is looked at again after so long: it may have been given anew. */
const othersMsMax = 2_000
/** How often those are looked for that were started while others were being ended. */
const endRounds = 4

/** What the system says of a process, `proc_pid_stat(5)`. */
interface Stat {
  readonly parent: number
  readonly session: number
  /** When it was started: with its number, what it is known by. */
  readonly startedAt: string
  readonly residentBytes: number
  /** With that of its children that it has waited for. */
  readonly processorMs: number
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = builtin("node:fs").readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name in parentheses may have anything in it. The first field after it is the third.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    const field = (number: number): number => Number(fields[number - 3])
    return {
      parent: field(4),
      session: field(6),
      startedAt: fields[22 - 3] ?? "",
      residentBytes: field(24) * pageBytes,
      processorMs: (field(14) + field(15) + field(16) + field(17)) * tickMs,
    }
  } catch {
    return undefined
  }
}

let list: { readonly atMs: number; readonly pids: ReadonlyArray<number> } | undefined

function processes(isFresh = false): ReadonlyArray<number> {
  const atMs = performance.now()
  if (!isFresh && list !== undefined && atMs - list.atMs < listMsMax) return list.pids
  let pids: ReadonlyArray<number> = []
  try {
    pids = builtin("node:fs")
      .readdirSync("/proc")
      .flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  } catch {
    // Nothing is known where there is no procfs.
  }
  list = { atMs, pids }
  return pids
}

/** Bytes of memory that a process holds; undefined where that cannot be told. */
export const residentBytes = (pid: number): number | undefined => statOf(pid)?.residentBytes

/**
 * A process, those that any thread of it or of theirs has started, whatever became of their parents since, and those in a session
 * that one of them has begun. What leaves both between two looks, by ending its parent and taking a session of its own, is lost,
 * unless it is in a process namespace, whose first process is its parent then.
 */
export class ProcessTree {
  /** When each was started, by number. */
  readonly #members = new Map<number, string>()
  readonly #sessions = new Set<number>()
  readonly #hostSession: number | undefined
  /** Those of others: what they come of does not change. */
  #others = new Set<number>()
  #othersSinceMs = 0

  constructor(pid: number) {
    this.#hostSession = statOf(process.pid)?.session
    const stat = statOf(pid)
    if (stat !== undefined) this.#add(pid, stat)
  }

  #add(pid: number, { session, startedAt }: Stat): void {
    this.#members.set(pid, startedAt)
    // Nobody can enter a session of others, so one that is not the host's was begun in here.
    if (this.#hostSession !== undefined && session !== this.#hostSession) this.#sessions.add(session)
  }

  /** Finds those that are new. */
  #look(isFresh = false): void {
    const pids = processes(isFresh)
    const nowMs = performance.now()
    if (nowMs - this.#othersSinceMs > othersMsMax) {
      this.#others.clear()
      this.#othersSinceMs = nowMs
    }
    const others = new Set<number>()
    let strangers: Array<readonly [number, Stat]> = []
    for (const pid of pids) {
      if (this.#members.has(pid)) continue
      if (this.#others.has(pid)) others.add(pid)
      else {
        const stat = statOf(pid)
        if (stat !== undefined) strangers.push([pid, stat])
      }
    }
    for (let found = -1; found !== 0;) {
      const left = strangers.filter(([pid, stat]) => {
        if (!this.#members.has(stat.parent) && !this.#sessions.has(stat.session)) return true
        this.#add(pid, stat)
        return false
      })
      found = strangers.length - left.length
      strangers = left
    }
    for (const [pid] of strangers) others.add(pid)
    this.#others = others
  }

  /** Those that are there, each with what is known of it. */
  #now(isFresh = false): ReadonlyArray<readonly [number, Stat]> {
    this.#look(isFresh)
    const now: Array<readonly [number, Stat]> = []
    for (const [pid, startedAt] of this.#members) {
      const stat = statOf(pid)
      // Gone, or its number is another's now.
      if (stat === undefined || stat.startedAt !== startedAt) this.#members.delete(pid)
      else now.push([pid, stat])
    }
    return now
  }

  #sum(part: (stat: Stat) => number): number | undefined {
    const now = this.#now()
    return now.length === 0 ? undefined : now.reduce((sum, [, stat]) => sum + part(stat), 0)
  }

  /** Bytes of memory that all of them hold; undefined where that cannot be told. */
  residentBytes(): number | undefined {
    return this.#sum((stat) => stat.residentBytes)
  }

  /** Processor time that all of them have used. */
  processorMs(): number | undefined {
    return this.#sum((stat) => stat.processorMs)
  }

  /** Ends all of them. */
  end(): void {
    for (let round = 0; round < endRounds; round++) {
      const now = this.#now(true)
      if (now.length === 0) return
      for (const [pid] of now) {
        try {
          process.kill(pid, "SIGKILL")
        } catch {
          // It has ended meanwhile.
        }
      }
    }
  }
}
