/**
 * Calls that wait for something of which there are only so many: instances of a plugin, threads, processes. Who came first
 * is served first; where several tenants wait, they are served in turn, and each may have so many waiting, so that one who
 * sends more gets no more than the others. What becomes free is handed over, never fought for. Loaded when a call first waits.
 */
import { LimitError } from "../../schemas/error/limit.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { PoolError } from "../../schemas/error/pool.ts"

/** A call that waits: its time runs and its signal is heard meanwhile. */
export interface WaitingCall {
  readonly tenant: string
  readonly export: string
  readonly deadlineAtMs: number
  /** For the error's text. */
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
}

interface Waiter<A> {
  readonly take: (value: A) => void
  readonly fail: (error: Error) => void
}

export class WaitQueue<A> {
  readonly #waitingMax: number
  readonly #nowMs: () => number
  /** By tenant; the tenant whose turn is next stands first. */
  readonly #lines = new Map<string, Set<Waiter<A>>>()
  #length = 0

  /** @param waitingMax calls of one tenant that may wait */
  constructor(waitingMax: number, nowMs: () => number) {
    this.#waitingMax = waitingMax
    this.#nowMs = nowMs
  }

  /** Calls that wait now. */
  get length(): number {
    return this.#length
  }

  /**
   * Resolves with what `give` hands over; `coming` calls more may wait, for what is on its way.
   * @throws PoolError `QueueFull` at once; LimitError `deadlineMs`; PluginError `Aborted`, and `Closed` by `close`
   */
  wait({ tenant, export: name, deadlineAtMs, deadlineMs, signal }: WaitingCall, coming = 0): Promise<A> {
    const line = this.#lines.get(tenant) ?? new Set<Waiter<A>>()
    if (line.size >= this.#waitingMax + coming) return Promise.reject(new PoolError("QueueFull", { export: name, limit: this.#waitingMax }))
    return new Promise<A>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener("abort", onAbort)
        line.delete(waiter)
        if (line.size === 0) this.#lines.delete(tenant)
        this.#length--
      }
      const waiter: Waiter<A> = {
        take: (value) => {
          leave()
          resolve(value)
        },
        fail: (error) => {
          leave()
          reject(error)
        },
      }
      const onAbort = (): void => waiter.fail(new PluginError("Aborted", { export: name }))
      const timer =
        deadlineAtMs === Infinity
          ? undefined
          : setTimeout(() => waiter.fail(new LimitError("deadlineMs", { limit: deadlineMs })), Math.max(0, deadlineAtMs - this.#nowMs()))
      signal?.addEventListener("abort", onAbort)
      line.add(waiter)
      this.#lines.set(tenant, line)
      this.#length++
    })
  }

  /** Hands `value` to whose turn it is; false when nobody waits, or nobody of `tenant` where one is given. */
  give(value: A, tenant?: string): boolean {
    const waiter = this.#next(tenant)
    waiter?.take(value)
    return waiter !== undefined
  }

  /** Refuses whose turn it is; false when nobody waits. */
  fail(error: Error): boolean {
    const waiter = this.#next()
    waiter?.fail(error)
    return waiter !== undefined
  }

  #next(tenant?: string): Waiter<A> | undefined {
    const [next, line] = tenant === undefined ? (this.#lines.entries().next().value ?? []) : [tenant, this.#lines.get(tenant)]
    if (next === undefined || line === undefined) return undefined
    // To the end of the turns, whether or not more of its calls wait.
    this.#lines.delete(next)
    this.#lines.set(next, line)
    for (const waiter of line) return waiter
    return undefined
  }

  /** Refuses all that wait. */
  close(what = "the plugin"): void {
    for (const line of [...this.#lines.values()]) for (const waiter of [...line]) waiter.fail(new PluginError("Closed", { what }))
  }
}
