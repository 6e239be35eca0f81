/** Time that never goes back, from an origin that means nothing. */
export interface MonotonicClockPort {
  /** Nanoseconds since the origin, ≥ 0. Always at once: a clock that must be waited for tells the past. */
  nowNs(): bigint
  readonly resolutionNs: bigint
  /**
   * Blocks this thread for `ms` milliseconds (0 to `waitMsMax`) or less. Absent where the thread must not or cannot
   * block: a guest that waits for a timer then fails with `CapabilityError` `Wait`.
   */
  readonly wait?: (ms: number) => void
  /**
   * Resolves after `ms` milliseconds, or at once when `signal` aborts; never rejects. A guest that may be suspended waits by
   * it and blocks nothing. Absent: it waits as any other.
   */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>
  /** Longest single wait, milliseconds; a call's remaining time bounds it further. */
  readonly waitMsMax: number
}

/** Default of `waitMsMax`: one default deadline. */
export const waitMsMaxDefault = 1_000

/**
 * `Atomics.wait` on a cell nobody else has: it parks the thread, without a busy loop. It throws on threads that may not
 * block (a browser's main thread), and shared memory is absent where a page is not cross-origin isolated.
 */
function blockingWait(): ((ms: number) => void) | undefined {
  if (typeof SharedArrayBuffer === "undefined") return undefined
  const cell = new Int32Array(new SharedArrayBuffer(4))
  try {
    Atomics.wait(cell, 0, 0, 0)
  } catch {
    return undefined
  }
  return (ms) => void Atomics.wait(cell, 0, 0, ms)
}

/** Longest delay of a timer, milliseconds: beyond it engines fire at once. */
const timerMsMax = 2 ** 31 - 1

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, Math.min(Math.ceil(ms), timerMsMax))
    if (signal.aborted) end()
    else signal.addEventListener("abort", end)
  })

/** The platform's clock. `waitMsMax: 0` forbids waiting. */
export function memoryMonotonicClock(options: { readonly waitMsMax?: number } = {}): MonotonicClockPort {
  const waitMsMax = options.waitMsMax ?? waitMsMaxDefault
  const wait = waitMsMax > 0 ? blockingWait() : undefined
  const originMs = performance.now()
  return {
    nowNs: () => BigInt(Math.round((performance.now() - originMs) * 1e6)),
    // Browsers give 5 to 100 µs, servers 1 ns to 1 µs; what is promised is the coarser of the two families.
    resolutionNs: 1_000n,
    waitMsMax,
    sleep,
    ...(wait === undefined ? {} : { wait }),
  }
}

/** A clock that moves only by `advance` and by waiting: for tests and simulations. */
export function manualMonotonicClock(startNs = 0n): MonotonicClockPort & { advance(ns: bigint): void } {
  let nowNs = startNs
  return {
    nowNs: () => nowNs,
    resolutionNs: 1n,
    waitMsMax: waitMsMaxDefault,
    wait(ms) {
      nowNs += BigInt(Math.round(ms * 1e6))
    },
    advance(ns) {
      nowNs += ns
    },
  }
}
