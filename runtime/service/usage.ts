/**
 * The observer that keeps usage records in a store. `emit` runs inside calls: it gives the record its id and waits for nothing. Records are written in
 * batches, at most a second after their call, and at `close()`; a batch whose fate is unknown is sent again with the same ids,
 * so nothing counts twice. A crash loses what was not written: at most the last second, or what a disk that is stuck kept waiting.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { ObserverEvent, ObserverPort, UsageRecord } from "../../host/port/observer.ts"
import { isPortLimit, limitsFrom } from "../../host/port/port.ts"
import type { Store } from "../port/store.ts"
import type { UsageAnswer, UsageEntry } from "../port/usage.ts"
import { clockBase, clockFrom, type StoreClock } from "../storage/clock.ts"
import { packUsage, tenantBytes, usageError } from "../storage/usage.ts"
import { usageIds } from "./usage-id.ts"
import { retain } from "./usage-retention.ts"

// The engines' own timers differ: these can be told to keep the process or not.
const { clearTimeout, setImmediate, setTimeout } = process.getBuiltinModule("node:timers")

export const usageObserverLimits = {
  /** Records that may wait for the disk; those of further calls are dropped, and counted. */
  recordsMax: 100_000,
  /** Records of one write: as soon as so many wait, they are written. */
  batchRecordsMax: 1_000,
  /** How long a record waits for others, in ms. */
  waitMsMax: 1_000,
  /** How long `close()` tries to write what is left, in ms. */
  closeMsMax: 10_000,
}
export type UsageObserverLimits = typeof usageObserverLimits

/** Retention is looked at once in so many records written, and when the observer starts. */
const retainEvery = 20_000
/** Batches that are written at the same time. */
const lanesMax = 4
/** Pauses between attempts of a write that failed, in ms. */
const retryMs = [50, 200, 1_000, 2_000]
/** Plugins of tenants whose dropped records are written down, of one write; those of others are only in `dropped`. */
const droppedKeysMax = 10_000

const isDropping = (problem: Error | undefined): boolean => problem instanceof StorageError && problem.reason._tag === "UsageDropped"

export interface UsageCounts {
  /** Written and acknowledged. */
  readonly recorded: number
  /** Calls whose records will not be written: too many waited, or the store refused them. */
  readonly dropped: number
  /** Records that wait. */
  readonly waiting: number
  readonly denials: number
  readonly stops: number
  readonly grants: number
}

export interface UsageObserver extends ObserverPort, AsyncDisposable {
  readonly counts: UsageCounts
  /** Why records are not being written now, if they are not. */
  readonly problem: Error | undefined
  /** Writes everything emitted so far. Resolves when it is durable. @throws what the store refuses the writing for */
  flush(): Promise<void>
  /** Writes what is left, trying for `closeMsMax`; what cannot be written is dropped, and `problem` says why. */
  close(): Promise<void>
}

interface Sealed {
  readonly records: ReadonlyArray<UsageRecord>
  readonly ids: Uint8Array
}

const entriesOf = (batch: ReadonlyArray<UsageEntry> | Sealed): ReadonlyArray<UsageEntry> =>
  "ids" in batch ? batch.records.map((record, i) => ({ ...record, id: batch.ids.subarray(16 * i, 16 * i + 16) })) : batch

interface Dropped {
  readonly tenant: string
  readonly plugin: string
  calls: number
}

export interface UsageObserverOptions extends Partial<UsageObserverLimits> {
  /** Gets every event as well. */
  readonly next?: ObserverPort | undefined
  readonly clock?: StoreClock
}

/** Records usage in `store`. It does not close the store. */
export function usageObserver(store: Store, { next, clock = clockFrom(clockBase()), ...options }: UsageObserverOptions = {}): UsageObserver {
  const limits = limitsFrom("usage observer", usageObserverLimits, options)
  const writeId = usageIds(clock)
  let records: Array<UsageRecord> = []
  let ids = new Uint8Array(16 * limits.batchRecordsMax)
  /** Batches that wait, oldest first. As they were gathered, since `emit` has no time for more. */
  const batches: Array<ReadonlyArray<UsageEntry> | Sealed> = []
  let waiting = 0
  let recorded = 0
  let dropped = 0
  let sinceRetained = retainEvery
  let missed = new Map<string, Dropped>()
  /** Whose records were written since retention. */
  let tenants = new Map<string, Uint8Array>()
  const seen = { denial: 0, stop: 0, grant: 0 }
  let timer: NodeJS.Timeout | undefined
  let soon: NodeJS.Immediate | undefined
  const pausing = new Set<NodeJS.Timeout>()
  /** Who waits for `flush()`. */
  let waiters = 0
  let writing: PromiseWithResolvers<void> | undefined
  let lanes = 0
  let failure: Error | undefined
  let problem: Error | undefined
  let isClosed = false
  let giveUpAtMs = Infinity

  const newId = (): Uint8Array => {
    const id = new Uint8Array(16)
    writeId(id, 0)
    return id
  }

  function drop({ tenant, plugin }: UsageRecord, calls: number): void {
    dropped += calls
    const key = `${plugin} ${tenant}`
    const found = missed.get(key)
    if (found !== undefined) found.calls += calls
    else if (missed.size < droppedKeysMax) missed.set(key, { tenant, plugin, calls })
  }

  /** What waits becomes a batch; so does what was dropped, so that the store knows of it. */
  function seal(): void {
    if (records.length > 0) {
      batches.push({ records, ids })
      records = []
      ids = new Uint8Array(16 * limits.batchRecordsMax)
    }
    if (missed.size === 0) return
    const { code } = new StorageError("UsageDropped", { store: store.name, calls: dropped, detail: "" })
    const costs = { export: "", outcome: code as `STELE-${string}`, wallNs: 0, memoryPeakBytes: 0, bytesIn: 0, bytesOut: 0, hostCalls: {} }
    batches.push([...missed.values()].map(({ tenant, plugin, calls }) => ({ ...costs, id: newId(), tenant, plugin, dropped: calls })))
    waiting += missed.size
    missed = new Map()
  }

  async function write(batch: ReadonlyArray<UsageEntry>): Promise<void> {
    const groups = [...Map.groupBy(batch, ({ tenant }) => tenant)]
    // Packed first: one that cannot be is refused before anything is written. Asked for at once, they share a commit where a store can do that.
    const operations = groups.map(([tenant, entries]) => ({ op: "record" as const, tenant: tenantBytes(tenant), records: packUsage(entries) }))
    const answers = await Promise.allSettled(operations.map((operation) => store.apply([operation])))
    // What was kept is known when it is sent again.
    for (const answer of answers) if (answer.status === "rejected") throw answer.reason
    for (const { tenant } of operations) tenants.set(Buffer.from(tenant).toString("latin1"), tenant)
    answers.forEach((answer, i) =>
      (answer as PromiseFulfilledResult<[ReadonlyArray<UsageAnswer>]>).value[0].forEach((what, n) => {
        const entry = groups[i]?.[1][n] as UsageEntry
        if (what === "new" || what === "known") recorded += entry.dropped === undefined ? 1 : 0
        else refuse(entry, usageError(store, entry.id, what) as Error)
      }),
    )
  }

  /** Not recorded as dropped: what the store refuses a record for, it would refuse that for, too. */
  function refuse(entry: UsageEntry, cause: unknown): void {
    if (entry.dropped === undefined) dropped++
    problem = new StorageError("UsageDropped", { store: store.name, calls: entry.dropped ?? 1, detail: (cause as Error).message }, { cause })
  }

  /** Writes one batch, trying again if that can help; false when a record in it is at fault, and it must be split to find which. */
  async function keep(batch: ReadonlyArray<UsageEntry>): Promise<boolean> {
    for (let attempt = 0; ; attempt++) {
      try {
        await write(batch)
        if (!isDropping(problem)) problem = undefined
        return true
      } catch (error) {
        const isFull = isPortLimit(error) && error.reason._tag === "PortLimit" && error.reason.limit === "totalBytesMax"
        if (!(error instanceof StorageError || isFull)) {
          if (batch.length > 1) return false
          refuse(batch[0] as UsageEntry, error)
          return true
        }
        problem = error
        const pauseMs = retryMs[Math.min(attempt, retryMs.length - 1)] as number
        if (!(error.isRetryable || isFull) || performance.now() + pauseMs > giveUpAtMs) throw error
        await pause(pauseMs)
        if (isFull) await retain(store, clock() / 1_000, tenants.values())
      }
    }
  }

  /** Writes batch after batch; several of these at once keep the disk busy while the next batch is packed. */
  async function lane(): Promise<void> {
    for (let next = batches.shift(); next !== undefined; next = batches.shift()) {
      const batch = entriesOf(next)
      let isKept: boolean
      try {
        isKept = await keep(batch)
      } catch (error) {
        // With the ids it has: should it be kept after all, it is known the next time.
        batches.unshift(batch)
        throw error
      }
      const half = batch.length >> 1
      if (!isKept) {
        batches.unshift(batch.slice(0, half), batch.slice(half))
        continue
      }
      waiting -= batch.length
      sinceRetained += batch.length
      if (sinceRetained < retainEvery) continue
      sinceRetained = 0
      // Retention that fails is tried again after as many records.
      const written = tenants
      tenants = new Map()
      await retain(store, clock() / 1_000, written.values()).catch((error: unknown) => (problem = error as Error))
    }
  }

  /** A disk that stays full keeps no process that has nothing else to do, unless somebody waits for it. */
  const pause = (ms: number): Promise<void> =>
    new Promise((resume) => {
      const timer = setTimeout(() => {
        pausing.delete(timer)
        resume()
      }, ms)
      pausing.add(timer)
      if (waiters === 0) timer.unref()
    })

  /** Writes what waits; the promise is that of everything being written, or of the first failure. */
  function start(): Promise<void> {
    if (timer !== undefined) clearTimeout(timer)
    timer = undefined
    soon = undefined
    seal()
    if (writing === undefined) {
      writing = Promise.withResolvers()
      // Who does not wait is told by `problem`.
      writing.promise.catch(() => {})
    }
    const { promise } = writing
    const more = Math.min(lanesMax - lanes, batches.length)
    lanes += more
    for (let n = 0; n < more; n++)
      void lane()
        .catch((error: unknown) => (failure ??= error as Error))
        .then(() => (--lanes === 0 ? end() : undefined))
    if (lanes === 0) end()
    return promise
  }

  function end(): void {
    const [ended, error] = [writing, failure]
    writing = undefined
    failure = undefined
    if (error !== undefined) return ended?.reject(error)
    if (batches.length > 0 || records.length > 0 || missed.size > 0) later()
    ended?.resolve()
  }

  /** Keeps the process until what was emitted is written: it is a second at most. */
  function later(): void {
    if (timer === undefined && !isClosed) timer = setTimeout(() => void start().catch(() => {}), limits.waitMsMax)
  }

  async function flush(): Promise<void> {
    waiters++
    for (const timer of pausing) timer.ref()
    try {
      // A write under way may have begun before the last of what was emitted.
      do await start()
      while (batches.length > 0 || records.length > 0 || missed.size > 0)
    } finally {
      waiters--
    }
  }

  return {
    emit(event: ObserverEvent) {
      if (event.type !== "usage") seen[event.type]++
      else if (waiting >= limits.recordsMax || isClosed) drop(event.record, 1)
      else {
        writeId(ids, 16 * records.length)
        waiting++
        if (records.push(event.record) === limits.batchRecordsMax) {
          seal()
          // After the call: nothing is packed in it.
          if (lanes < lanesMax) soon ??= setImmediate(() => void start().catch(() => {}))
        } else if (timer === undefined) later()
      }
      next?.emit(event)
    },
    get dropped() {
      return dropped + (next?.dropped ?? 0)
    },
    get counts() {
      return { recorded, dropped, waiting, denials: seen.denial, stops: seen.stop, grants: seen.grant }
    },
    get problem() {
      return problem
    },
    flush,
    async close() {
      if (isClosed) return
      isClosed = true
      giveUpAtMs = performance.now() + limits.closeMsMax
      try {
        await flush()
      } catch (error) {
        const calls = batches.flatMap(entriesOf).reduce((sum, entry) => sum + (entry.dropped === undefined ? 1 : 0), 0)
        dropped += calls
        waiting = 0
        problem = new StorageError("UsageDropped", { store: store.name, calls, detail: (error as Error).message }, { cause: error })
      }
      if (timer !== undefined) clearTimeout(timer)
    },
    [Symbol.asyncDispose]() {
      return this.close()
    },
  }
}
