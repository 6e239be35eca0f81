/** Functions of the embedder that answer later. */
import type { CallContext } from "../capability/capability.ts"

/** What a function marked by `waits` may know of the call it serves. */
export interface Wait {
  /** Aborts when the call is over before the function has answered: by its deadline, its signal, or another failure. */
  readonly signal: AbortSignal
  /** Milliseconds left of the call's deadline, ≥ 0; `Infinity` without one. */
  readonly remainingMs: number
}

type Waiting<A extends ReadonlyArray<unknown>, R> = (wait: Wait, ...args: A) => R

const marked = new WeakSet<object>()

/**
 * Marks a function given in `imports` as one that may answer with a promise, and passes it the call's signal and
 * remaining time before the guest's arguments. `async` functions need no mark; one that returns a promise without being
 * `async` does.
 *
 * ```ts
 * const imports = { "acme:shop/prices": { find: waits(async ({ signal }, sku: string) => (await fetch(url(sku), { signal })).text()) } }
 * ```
 */
export function waits<A extends ReadonlyArray<unknown>, R>(body: Waiting<A, R>): Waiting<A, R> {
  marked.add(body)
  return body
}

export const isMarked = (body: object): boolean => marked.has(body)

export const mayWait = (body: object): boolean => marked.has(body) || Object.prototype.toString.call(body) === "[object AsyncFunction]"

export const waitOf = (call: CallContext): Wait => ({
  get signal() {
    return call.ended()
  },
  get remainingMs() {
    return call.remainingMs()
  },
})
