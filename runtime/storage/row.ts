/** What rows of every table share, in every database: a sum over everything in the row. */
import type { Place } from "../port/place.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

/** Whole numbers from 0 to 2^53 - 1, 8 bytes each, greatest first. */
function setWhole(view: DataView, at: number, number: number): void {
  view.setUint32(at, Math.floor(number / 0x1_0000_0000))
  view.setUint32(at + 4, number >>> 0)
}

/** CRC-32 over the lengths, the numbers and the bytes of a row: nothing of it can change, or move to another key, unseen. */
export function sumOf({ tenant, key }: Place, value: Uint8Array, number: number, ...more: ReadonlyArray<number>): number {
  const head = new DataView(new ArrayBuffer(20))
  head.setUint32(0, tenant.length)
  head.setUint32(4, key.length)
  head.setUint32(8, value.length)
  setWhole(head, 12, number)
  const sum = crc32(value, crc32(key, crc32(tenant, crc32(head))))
  if (more.length === 0) return sum
  const tail = new DataView(new ArrayBuffer(8 * more.length))
  for (const [i, each] of more.entries()) setWhole(tail, 8 * i, each)
  return crc32(tail, sum)
}

/** A caller's count as a LIMIT: a negative one is no limit to a database, and a fraction an error. */
export const rowsMax = (count: number): number => (count > 0 ? Math.min(Math.ceil(count), Number.MAX_SAFE_INTEGER) : 0)

/** The least bytes above everything that starts with `prefix`; undefined when there are none. */
export function after(prefix: Uint8Array): Uint8Array | undefined {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  if (end === 0) return undefined
  const next = prefix.slice(0, end)
  next[end - 1] = (next[end - 1] as number) + 1
  return next
}
