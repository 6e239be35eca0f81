/**
 * A store's clock: wall time when the store was opened, and from there the time that has passed. Somebody who sets the
 * machine's clock while it runs makes no lease end early and no value live longer. All threads of a process agree on it.
 */

export interface StoreClock {
  /** µs since the Unix epoch, whole. */
  (): number
  /**
   * Goes on from `toUs` at least, for all threads that share the clock: a store's time never goes back, and the one that wrote the
   * newest commit may have been ahead. Standing still until then would lengthen whatever is measured meanwhile.
   */
  advance?(toUs: number): void
}

/** What `clockFrom` needs, on whatever thread, as shared integers of 64 bits: wall time minus `passedUs()`, in µs, and the latest time that was told where threads may disagree. */
export type ClockBase = SharedArrayBuffer

/** Node's clock is the system's own. On Deno and Bun each thread's begins with the thread. */
const isShared = process.versions["deno"] === undefined && process.versions["bun"] === undefined

/** µs since some moment that all threads share: where their clocks do not, by the wall time at which each began. */
const passedUs = isShared
  ? (): number => Number(process.hrtime.bigint() / 1_000n)
  : (): number => Math.floor((performance.timeOrigin + performance.now()) * 1_000)

/** A clock's base, made from what the wall says now. */
export function clockBase(wallUs: number = Date.now() * 1_000): ClockBase {
  const base = new SharedArrayBuffer(16)
  new BigInt64Array(base)[0] = BigInt(Math.round(wallUs) - passedUs())
  return base
}

/** Never less than any thread has told: the wall may have been set between the beginnings of two of them. */
function latest(base: BigInt64Array, nowUs: number): number {
  for (;;) {
    const known = Atomics.load(base, 1)
    if (known >= BigInt(nowUs)) return Number(known)
    if (Atomics.compareExchange(base, 1, known, BigInt(nowUs)) === known) return nowUs
  }
}

export function clockFrom(shared: ClockBase): StoreClock {
  const base = new BigInt64Array(shared)
  const own = (): number => Number(Atomics.load(base, 0)) + passedUs()
  return Object.assign(isShared ? own : (): number => latest(base, own()), {
    advance(toUs: number): void {
      for (;;) {
        const now = Atomics.load(base, 0)
        const ahead = BigInt(toUs - passedUs())
        if (ahead <= now || Atomics.compareExchange(base, 0, now, ahead) === now) return
      }
    },
  })
}
