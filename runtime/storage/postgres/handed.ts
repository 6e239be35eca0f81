/**
 * What a thread knows of a tenant, for the other that writes for it next: the one that answers guests, or a caller's own. Whoever
 * hands it on forgets it, and one that is not so any more costs a way to the server: nothing is written by it.
 */
import type { Head } from "./group.ts"
import type { Known } from "./put.ts"

/** The newest commit that was seen: the server must have it. */
export type Seen = Pick<Head, "sequence" | "digest">

export interface Handed {
  /** As the tables call it. */
  readonly tenant: Uint8Array
  readonly seen: Seen | undefined
  /** Undefined: only what the server must have. Its time is of `sharedMs()`. */
  readonly known: Known | undefined
  /** Of `sharedMs()`, when what had ended, or was too old, was looked for. */
  readonly sweptAtMs: number
  /** What all tenants have together: all that is known, or what was added since it was last said. */
  readonly bytesOfAll: ReadonlyMap<string, number>
  /** Of `sharedMs()`. */
  readonly bytesOfAllAtMs: number
}

/** Each thread's `performance.now()` began when the thread did; this clock is one for all of them. In ms. */
const shared = (): number => {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1_000 + nanoseconds / 1e6
}

/** A time of this thread's `performance.now()` as one of the clock that threads share. */
export const sharedMs = (atMs: number): number => atMs + (shared() - performance.now())

/** The other way. */
export const ownMs = (atMs: number): number => atMs - (shared() - performance.now())
