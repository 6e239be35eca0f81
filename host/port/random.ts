import { type Awaitable, checkLimit, type Immediate, limitsFrom, type Port } from "./port.ts"

/** A source of bytes that nobody can predict. */
export interface RandomPort extends Port {
  /** `length` fresh bytes, 0 to `bytesMax`; throws `CapabilityError` `PortLimit` above. */
  bytes(length: number): Awaitable<Uint8Array>
  readonly limits: RandomLimits
}

export const randomLimits = {
  /** Bytes of one request. */
  bytesMax: 1 << 20,
}
export type RandomLimits = typeof randomLimits

/** `crypto.getRandomValues` takes at most this many bytes at once (Web Cryptography API §10.1.1). */
const quotaBytes = 65_536

/** The platform's cryptographic generator. */
export function memoryRandom(options: Partial<RandomLimits> = {}): Immediate<RandomPort> {
  const limits = limitsFrom("random", randomLimits, options)
  return {
    limits,
    bytes(length) {
      checkLimit("random", "bytesMax", "bytes", limits.bytesMax, length)
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; at += quotaBytes) crypto.getRandomValues(bytes.subarray(at, at + quotaBytes))
      return bytes
    },
  }
}
