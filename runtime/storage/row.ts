/** What rows of every table share, in every database: a sum over everything in the row. */
import type { Place } from "../port/place.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

/**
 * Where the parts of a row are gathered for its sum: a call of `crc32` has a price of its own, as has each small buffer made for
 * one (1.4 µs, twice what the sum of 300 bytes takes).
 */
const gathered = new Uint8Array(4_096)
const gatheredView = new DataView(gathered.buffer)

/** Whole numbers from 0 to 2^53 - 1, 8 bytes each, greatest first. */
function setWhole(at: number, number: number): void {
  gatheredView.setUint32(at, Math.floor(number / 0x1_0000_0000))
  gatheredView.setUint32(at + 4, number >>> 0)
}

/** CRC-32 over the lengths, the numbers and the bytes of a row: nothing of it can change, or move to another key, unseen. */
export function sumOf({ tenant, key }: Place, value: Uint8Array, number: number, ...more: ReadonlyArray<number>): number {
  gatheredView.setUint32(0, tenant.length)
  gatheredView.setUint32(4, key.length)
  gatheredView.setUint32(8, value.length)
  setWhole(12, number)
  let end = 20
  let sum = 0
  for (const part of [tenant, key, value]) {
    // Room is left for a few numbers after it.
    if (end + part.length > gathered.length - 64) {
      sum = crc32(part, crc32(gathered.subarray(0, end), sum))
      end = 0
    } else {
      gathered.set(part, end)
      end += part.length
    }
  }
  for (const each of more) {
    setWhole(end, each)
    end += 8
  }
  return end === 0 ? sum : crc32(gathered.subarray(0, end), sum)
}

/** A caller's count as a LIMIT: a negative one is no limit to a database, and a fraction an error. */
export const rowsMax = (count: number): number => (count > 0 ? Math.min(Math.ceil(count), Number.MAX_SAFE_INTEGER) : 0)

/** The least bytes above everything that starts with `prefix`; undefined when there are none. */
export function after(prefix: Uint8Array): Uint8Array | undefined {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  if (end === 0) return undefined
  // A `Buffer`'s own slice would share the bytes of whoever asks.
  const next = new Uint8Array(prefix.subarray(0, end))
  next[end - 1] = (next[end - 1] as number) + 1
  return next
}
