/**
 * A store's clock: wall time when the store was opened, and from there the time that has passed. Somebody who sets the
 * machine's clock while it runs makes no lease end early and no value live longer. All threads of a process agree on it.
 */

/** µs since the Unix epoch, whole. */
export type StoreClock = () => number

/** µs since some moment that all threads of this machine share. */
const passedUs = (): number => Number(process.hrtime.bigint() / 1_000n)

/** What `clockFrom` needs, on whatever thread: wall time minus `passedUs()`, in µs. */
export const clockBase = (): number => Date.now() * 1_000 - passedUs()

export const clockFrom =
  (baseUs: number): StoreClock =>
  () =>
    baseUs + passedUs()
