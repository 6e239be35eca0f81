import type { Awaitable, Immediate, Port } from "./port.ts"

/** Civil time. May jump in either direction. */
export interface WallClockPort extends Port {
  /** Nanoseconds since the Unix epoch, ≥ 0. */
  nowNs(): Awaitable<bigint>
  /** Nanoseconds between two readings that can differ. */
  readonly resolutionNs: bigint
}

/** The platform's clock, in milliseconds as `Date` has them. */
export const memoryWallClock = (nowMs: () => number = Date.now): Immediate<WallClockPort> => ({
  nowNs: () => BigInt(Math.max(0, Math.floor(nowMs()))) * 1_000_000n,
  resolutionNs: 1_000_000n,
})
