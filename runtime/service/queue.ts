/**
 * A worker: takes jobs of a queue, as many at a time as it may, keeps their leases alive while they run, and completes
 * each in one batch with what its handler wants written. It holds no job that it is not working on.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { LeasedJob, LeaseRef } from "../port/queue.ts"
import type { Operation, Store } from "../port/store.ts"

/**
 * Does a job's work. The operations it answers with are carried out together with the completion, all or nothing:
 * they happen exactly once. Whatever else it does may happen again, so it carries the job's id. `signal` is raised when
 * the lease is lost, and when the worker gives up waiting for its end.
 */
export type Handler = (job: LeasedJob, signal: AbortSignal) => Promise<ReadonlyArray<Operation> | void>

export interface WorkerOptions {
  /** Ends the worker: it takes nothing more, waits for what runs, and gives the rest back. */
  readonly signal: AbortSignal
  /** Jobs at a time. Default 8. */
  readonly concurrency?: number
  /** How long others wait for a worker that died, ms. Renewed at a third of it. Default 30,000. */
  readonly leaseMs?: number
  /** How long the worker sleeps when there is nothing to do, ms: what comes without a hint waits for so long. One that works for all tenants hears none. Default 250. */
  readonly pollMsMax?: number
  /** How long running jobs are waited for at the end, ms. Default 10,000. */
  readonly graceMs?: number
  /** Only this tenant's jobs. */
  readonly tenant?: Uint8Array
}

export interface WorkerReport {
  readonly completed: number
  readonly failed: number
  /** Jobs whose lease was somebody else's, or whose job was gone, when they ended. */
  readonly lost: number
}

interface Running {
  readonly job: LeasedJob
  readonly stop: AbortController
  ended: Promise<void>
  /** Its answer is on its way: that its lease is over then means nothing. */
  isAnswered: boolean
}

const utf8 = new TextEncoder()
const refOf = ({ tenant, key, id, token }: LeaseRef): LeaseRef => ({ tenant, key, id, token })
const isLost = (error: unknown): boolean => error instanceof StorageError && error.reason._tag === "LeaseLost"
/** Nothing was kept, and the same may go well a moment later. */
const isPassing = (error: unknown): boolean => error instanceof StorageError && ["Busy", "Failed", "Overloaded"].includes(error.reason._tag)

/** Least time between two looks of a worker that sleeps, ms. */
const lookGapMs = 5
/** And after one that failed. */
const failedLookMs = 250
/** A store that is busy is asked again, less and less often, for this long. */
const patienceMs = 60_000

async function patiently<A>(run: () => Promise<A>, untilMs = performance.now() + patienceMs): Promise<A> {
  for (let waitMs = 10; ; waitMs = Math.min(2_000, waitMs * 2)) {
    try {
      return await run()
    } catch (error) {
      if (!isPassing(error) || performance.now() + waitMs > untilMs) throw error
      await new Promise((resume) => setTimeout(resume, waitMs))
    }
  }
}

/**
 * Works on a queue until its signal is raised.
 * @throws StorageError `Unknown`, `Closed`, `Lost`, `Corrupt`; `Busy`, `Failed` or `Overloaded` when it lasts for a minute
 */
export async function work(store: Store, queue: string, handler: Handler, options: WorkerOptions): Promise<WorkerReport> {
  const { signal, concurrency = 8, leaseMs = 30_000, pollMsMax = 250, graceMs = 10_000, tenant } = options
  const key = utf8.encode(queue)
  /** By tenant and number: on some stores two tenants' jobs may have the same. */
  const running = new Map<string, Running>()
  const report = { completed: 0, failed: 0, lost: 0 }
  let broken: { readonly error: unknown } | undefined
  let wake = (): void => {}
  /** It sleeps because there was nothing to do. */
  let isResting = false
  const rest = (ms: number): Promise<void> =>
    new Promise((resume) => {
      // It may have ended while a lease was on its way.
      if (signal.aborted) return resume()
      const timer = setTimeout(resume, ms)
      wake = () => {
        clearTimeout(timer)
        resume()
      }
    })
  const stopped = (): void => wake()
  signal.addEventListener("abort", stopped)

  async function run(entry: Running): Promise<void> {
    const { job, stop } = entry
    const ref = refOf(job)
    try {
      const effects = (await handler(job, stop.signal)) ?? []
      if (stop.signal.aborted) return
      entry.isAnswered = true
      await patiently(() => store.apply([...effects, { op: "complete", leases: [ref] }]))
      report.completed++
    } catch (error) {
      if (isLost(error)) report.lost++
      // What the job did not do wrong is not held against it.
      else if (error instanceof StorageError && error.reason._tag !== "JobConflict") throw error
      else if (!stop.signal.aborted) {
        report.failed++
        entry.isAnswered = true
        await patiently(() => store.apply([{ op: "fail", ...ref, error: error instanceof Error ? error.message : String(error) }]))
      }
    }
  }

  function take(job: LeasedJob): void {
    const stop = new AbortController()
    const entry: Running = { job, stop, isAnswered: false, ended: Promise.resolve() }
    const id = `${Buffer.from(job.tenant).toString("hex")} ${job.id}`
    running.set(id, entry)
    entry.ended = run(entry)
      .catch((error: unknown) => {
        if (isLost(error)) report.lost++
        else broken ??= { error }
      })
      .finally(() => {
        running.delete(id)
        wake()
      })
  }

  async function renew(): Promise<void> {
    const held = [...running.values()]
    // Each by itself: that one is lost says nothing of the others, and they share a commit anyway.
    await Promise.all(
      held.map(async (each) => {
        const { job, stop } = each
        try {
          await store.apply([{ op: "extend", leases: [refOf(job)], leaseMs }])
        } catch (error) {
          // Anything else is tried again at the next turn.
          if (!isLost(error) || each.isAnswered || stop.signal.aborted) return
          report.lost++
          stop.abort(error)
        }
      }),
    )
  }
  let isLooking = false
  let isHinted = false
  /** Something was committed: a question costs no commit, as a lease would. Whoever writes all the time is not looked after each time. */
  async function look(only: Uint8Array): Promise<void> {
    isHinted = true
    if (isLooking) return
    isLooking = true
    for (;;) {
      if (!isHinted || !isResting) break
      isHinted = false
      let restMs = lookGapMs
      try {
        const ready = await store.ask({ ask: "ready", tenant: only, key, countMax: 1_000 })
        if (ready.some((name) => Buffer.compare(name, key) === 0)) wake()
      } catch {
        // What lasts is met by the next lease.
        isHinted = true
        restMs = failedLookMs
      }
      await new Promise((resume) => setTimeout(resume, restMs))
    }
    isLooking = false
  }
  const stopListening = tenant === undefined ? undefined : store.onCommit(() => void look(tenant))
  const renewal = setInterval(() => void renew(), Math.max(1, Math.floor(leaseMs / 3)))

  try {
    while (!signal.aborted && broken === undefined) {
      const free = concurrency - running.size
      if (free <= 0) {
        await rest(leaseMs)
        continue
      }
      isHinted = false
      const [leased] = await patiently(() => store.apply([{ op: "lease", key, countMax: free, leaseMs, ...(tenant === undefined ? {} : { tenant }) }]))
      for (const job of leased.jobs) take(job)
      const soonMs = leased.nextUs === undefined ? pollMsMax : (leased.nextUs - leased.nowUs) / 1_000
      if (leased.jobs.length > 0) continue
      isResting = true
      // What came while the lease was on its way may not be in it.
      if (isHinted && tenant !== undefined) void look(tenant)
      await rest(Math.max(1, Math.min(pollMsMax, soonMs)))
      isResting = false
    }
    if (broken === undefined && running.size > 0) {
      const over = Promise.withResolvers<void>()
      const timer = setTimeout(over.resolve, graceMs)
      await Promise.race([over.promise, Promise.all([...running.values()].map(({ ended }) => ended))])
      clearTimeout(timer)
    }
  } finally {
    clearInterval(renewal)
    stopListening?.()
    signal.removeEventListener("abort", stopped)
    const left = [...running.values()]
    for (const { stop } of left) stop.abort(new DOMException("The worker ends", "AbortError"))
    await Promise.allSettled(left.map(({ job }) => store.apply([{ op: "release", leases: [refOf(job)] }])))
  }
  if (broken !== undefined) throw broken.error
  return report
}
