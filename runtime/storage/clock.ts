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

/** What `clockFrom` needs, on whatever thread: wall time minus `passedUs()`, in µs, as one shared integer of 64 bits. */
export type ClockBase = SharedArrayBuffer

/** µs since some moment that all threads of this machine share. */
const passedUs = (): number => Number(process.hrtime.bigint() / 1_000n)

/** A clock's base, made from what the wall says now. */
export function clockBase(wallUs: number = Date.now() * 1_000): ClockBase {
  const base = new SharedArrayBuffer(8)
  new BigInt64Array(base)[0] = BigInt(Math.round(wallUs) - passedUs())
  return base
}

export function clockFrom(shared: ClockBase): StoreClock {
  const base = new BigInt64Array(shared)
  return Object.assign((): number => Number(Atomics.load(base, 0)) + passedUs(), {
    advance(toUs: number): void {
      for (;;) {
        const now = Atomics.load(base, 0)
        const ahead = BigInt(toUs - passedUs())
        if (ahead <= now || Atomics.compareExchange(base, 0, now, ahead) === now) return
      }
    },
  })
}
