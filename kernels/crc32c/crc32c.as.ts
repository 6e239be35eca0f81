/**
 * CRC32C (RFC 3720, appendix B.4: polynomial 0x1EDC6F41, reflected), eight bytes a step by eight tables that the first call makes.
 * M. E. Kounavis and F. L. Berry, "Novel Table Lookup-Based Algorithms for High-Performance CRC Generation" (2008).
 */

const tables = memory.data(8 * 1024, 8)
let areMade: bool = false

function make(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let value = i
    for (let bit = 0; bit < 8; bit++) value = (value >> 1) ^ (0x82f63b78 & -(value & 1))
    store<u32>(tables + (i << 2), value)
  }
  for (let table: usize = 1024; table < 8 * 1024; table += 1024)
    for (let i: usize = 0; i < 1024; i += 4) {
      const before = load<u32>(tables + table - 1024 + i)
      store<u32>(tables + table + i, (before >> 8) ^ load<u32>(tables + ((before & 0xff) << 2)))
    }
  areMade = true
}

@inline function entry(table: i32, byte: u32): u32 {
  return load<u32>(tables + <usize>(table << 10) + ((byte & 0xff) << 2))
}

/** Of the bytes before, 0 for none, and these. */
export function crc32c(before: u32, at: usize, n: i32): u32 {
  if (!areMade) make()
  let crc = ~before
  for (; n >= 8; n -= 8, at += 8) {
    const low = crc ^ load<u32>(at)
    const high = load<u32>(at, 4)
    crc =
      entry(7, low) ^ entry(6, low >> 8) ^ entry(5, low >> 16) ^ entry(4, low >> 24) ^ entry(3, high) ^ entry(2, high >> 8) ^ entry(1, high >> 16) ^ entry(0, high >> 24)
  }
  for (; n > 0; n--, at++) crc = (crc >> 8) ^ entry(0, crc ^ load<u8>(at))
  return ~crc
}
