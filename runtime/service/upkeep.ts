/**
 * What an open store needs now and then, and nobody asks for: values that have ended are removed, and who watches them is told; garbage is collected;
 * usage records are forgotten when they are too old. At random times, so that processes do not meet, and the last two in one process at a time: the turn is
 * a row with an end in the host's own tenant, which stays after the work until it is due again. A process that dies with it leaves it to the next. No
 * timer of it keeps a process alive, and its steps on a guest's thread are of a millisecond or so. What fails is tried again the next time.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import { limitsFrom } from "../../host/port/port.ts"
import type { ObjectStore } from "../port/object.ts"
import type { Place } from "../port/place.ts"
import type { Store } from "../port/store.ts"
import { collectGarbage, type Garbage, graceMsDefault } from "./garbage.ts"
import { retain } from "./usage-retention.ts"

const { randomUUID } = process.getBuiltinModule("node:crypto")
const { clearTimeout, setTimeout } = process.getBuiltinModule("node:timers")

export const upkeepLimits = {
  /** Time between two sweeps of values that have ended, in ms, on average. */
  sweepMs: 5_000,
  /** Time between two looks whether something is due, in ms, on average; also how soon after opening the first is. */
  lookMs: 60_000,
  /** Time between the end of a collection, of whatever process, and the next, in ms. */
  collectMs: 3_600_000,
  /** How long a process that collects may be silent before another takes its turn, in ms. */
  turnMs: 60_000,
  /** Age from which an object that nobody refers to is removed, in ms. */
  graceMs: graceMsDefault,
}
export type UpkeepLimits = typeof upkeepLimits

/** Steps of one sweep, each what one group removes: where a million values have ended at once it takes some sweeps, and others write between. */
const sweepStepsMax = 64
const turn: Place = { tenant: new Uint8Array(0), key: new TextEncoder().encode("upkeep/turn") }

/** What ends the sweeping for good: the store takes no writes any more. */
const isOver = (error: unknown): boolean => error instanceof StorageError && ["Closed", "Lost", "Moved", "Unknown"].includes(error.reason._tag)
/** What a store does not have, or not for this role. */
const isAbsent = (error: unknown): boolean => error instanceof StorageError && ["Role", "Unsupported"].includes(error.reason._tag)

export interface Upkeep extends AsyncDisposable {
  /** Why the last work failed, if it did. */
  readonly problem: Error | undefined
  /** What the last collection of this process removed. */
  readonly collected: Garbage | undefined
  /** Ends it: waits for the step that is under way, not for the rest. Before the stores are closed. */
  close(): Promise<void>
}

/** Thrown out of a collection to end it. */
class Ended extends Error {}

export interface UpkeepOptions extends Partial<UpkeepLimits> {
  /** Default `Math.random`. */
  readonly random?: () => number
}

/** Keeps a store and its objects in order until it is closed. It does not close them. */
export function upkeep(store: Store, objects: ObjectStore, { random = Math.random, ...options }: UpkeepOptions = {}): Upkeep {
  const limits = limitsFrom("upkeep", upkeepLimits, options)
  const owner = new TextEncoder().encode(randomUUID())
  const waiting = new Set<() => void>()
  const underWay = new Set<Promise<unknown>>()
  const problems = new Map<() => Promise<void>, Error>()
  let collected: Garbage | undefined
  let isClosed = false
  let version: number | undefined
  let renewedMs = 0
  let restMs = limits.collectMs

  /** A wait that keeps nobody: neither the process nor who closes. */
  const wait = (ms: number): Promise<void> =>
    new Promise((resume, reject) => {
      if (isClosed) throw new Ended()
      const end = (): void => {
        clearTimeout(timer)
        reject(new Ended())
      }
      const timer = setTimeout(() => {
        waiting.delete(end)
        resume()
      }, ms)
      timer.unref()
      waiting.add(end)
    })

  /** Takes the turn, or keeps it; false when it is somebody else's, or nothing is due. */
  async function hold(ttlMs: number): Promise<boolean> {
    const [next] = await store.apply([{ op: "swap", ...turn, version, value: owner, ttlMs: Math.max(1, Math.ceil(ttlMs)) }])
    version = next
    renewedMs = performance.now()
    return next !== undefined
  }

  async function pause(): Promise<void> {
    await wait(1)
    if (performance.now() - renewedMs > limits.turnMs / 4 && !(await hold(limits.turnMs))) throw new Ended()
  }

  async function sweep(): Promise<void> {
    const newest = (): Promise<number> => store.ask({ ask: "revision", tenant: turn.tenant })
    for (let step = 0, before = await newest(); step < sweepStepsMax; step++) {
      await store.apply([])
      const after = await newest()
      if (after === before) return
      before = after
      await wait(1)
    }
  }

  async function forget(): Promise<void> {
    await retain(store, Date.now(), [], pause)
  }

  async function collect(): Promise<void> {
    collected = await collectGarbage(store, objects, { graceMs: limits.graceMs, pause })
    if (!collected.isComplete) restMs = limits.lookMs
  }

  /** Does something, and remembers what it failed for; throws what ends everything. */
  async function attempt(task: () => Promise<void>): Promise<void> {
    try {
      await task()
      problems.delete(task)
    } catch (error) {
      if (error instanceof Ended || isClosed) throw error
      if (!isAbsent(error)) problems.set(task, error as Error)
      if (isOver(error)) throw error
    }
  }

  async function takeTurn(): Promise<void> {
    version = undefined
    if ((await store.ask({ ask: "has", ...turn })) || !(await hold(limits.turnMs))) return
    restMs = limits.collectMs
    for (const task of [forget, collect]) await attempt(task)
    // Nobody does it again before that has passed.
    await hold(restMs)
  }

  /** Does something again and again, after about `ms` each. */
  async function repeat(ms: number, task: () => Promise<void>): Promise<void> {
    for (;;) {
      await wait(ms * (0.5 + random()))
      const run = attempt(task).catch((error: unknown) => {
        // One whose turn is over waits for its next.
        if (isClosed || !(error instanceof Ended)) throw error
      })
      underWay.add(run)
      try {
        await run
      } finally {
        underWay.delete(run)
      }
    }
  }

  for (const loop of [repeat(limits.sweepMs, sweep), repeat(limits.lookMs, takeTurn)]) loop.catch(() => {})

  return {
    get problem() {
      return problems.values().next().value
    },
    get collected() {
      return collected
    },
    async close() {
      if (isClosed) return
      isClosed = true
      for (const end of waiting) end()
      await Promise.allSettled(underWay)
    },
    [Symbol.asyncDispose]() {
      return this.close()
    },
  }
}
