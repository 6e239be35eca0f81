/** CRC-32C (Castagnoli; RFC 3720 §12.1), by which the server marks each record of its log: eight bytes at once (slicing-by-8). */

const polynomial = 0x82f6_3b78
const slices = 8
const table = new Uint32Array(256 * slices)
for (let byte = 0; byte < 256; byte++) {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ polynomial
  table[byte] = value
}
for (let at = 256; at < table.length; at++) {
  const before = table[at - 256] as number
  table[at] = (before >>> 8) ^ (table[before & 255] as number)
}

/** Goes on with `state`, which begins and ends as 0. */
export function crc32c(bytes: Uint8Array, state = 0, from = 0, to = bytes.length): number {
  let crc = ~state
  let at = from
  for (const whole = to - 7; at < whole; at += 8) {
    crc ^= (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)
    crc =
      (table[1_792 + (crc & 255)] as number) ^
      (table[1_536 + ((crc >>> 8) & 255)] as number) ^
      (table[1_280 + ((crc >>> 16) & 255)] as number) ^
      (table[1_024 + (crc >>> 24)] as number) ^
      (table[768 + (bytes[at + 4] as number)] as number) ^
      (table[512 + (bytes[at + 5] as number)] as number) ^
      (table[256 + (bytes[at + 6] as number)] as number) ^
      (table[bytes[at + 7] as number] as number)
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] as number)) & 255] as number)
  return ~crc >>> 0
}
