/**
 * Ids of usage records: UUID version 7 (RFC 9562 §5.7), as bytes, in ascending order. The package `uuid` makes them too,
 * but as text and from the clock that anybody can set; these come from a store's clock.
 */
import type { StoreClock } from "../storage/clock.ts"

const { randomFillSync } = process.getBuiltinModule("node:crypto")

const poolBytes = 8_192

/** Writes the next id into `into` at `offset`. Every later one is greater, also when the clock stands still. */
export function usageIds(clock: StoreClock): (into: Uint8Array, offset: number) => void {
  const pool = new Uint8Array(poolBytes)
  let at = poolBytes
  let ms = 0
  let count = 0
  return (into, offset) => {
    const now = Math.floor(clock() / 1_000)
    if (now > ms) {
      ms = now
      count = 0
    } else if (++count > 0xfff) {
      // §6.2: more than 4,096 in a millisecond take the next one's.
      ms++
      count = 0
    }
    if (at === poolBytes) {
      randomFillSync(pool)
      at = 0
    }
    const high = Math.floor(ms / 0x1_0000)
    into[offset] = high >>> 24
    into[offset + 1] = high >>> 16
    into[offset + 2] = high >>> 8
    into[offset + 3] = high
    into[offset + 4] = ms >>> 8
    into[offset + 5] = ms
    into[offset + 6] = 0x70 | (count >>> 8)
    into[offset + 7] = count
    for (let i = 8; i < 16; i++) into[offset + i] = pool[at++] as number
    into[offset + 8] = 0x80 | ((into[offset + 8] as number) & 0x3f)
  }
}
