/**
 * Where a literal is, 16 places a step: places where its first byte is and its last byte is as far as it must be, which are then compared.
 * W. Mula, "SIMD-friendly algorithms for substring searching" (2016).
 */

@inline function isSame(a: usize, b: usize, n: i32): bool {
  for (; n >= 8; n -= 8, a += 8, b += 8) if (load<u64>(a) != load<u64>(b)) return false
  for (; n > 0; n--, a++, b++) if (load<u8>(a) != load<u8>(b)) return false
  return true
}

/** The first place from `from` on, of `n` bytes at `at`; -1 where there is none. The literal has at least one byte. */
export function indexOf(at: usize, n: i32, literal: usize, length: i32, from: i32): i32 {
  const final = n - length
  const first = i8x16.splat(load<i8>(literal))
  const end = i8x16.splat(load<i8>(literal + <usize>(length - 1)))
  const reach = <usize>(length - 1)
  const middle = literal + 1
  const inner = length - 2
  for (; from + 63 <= final; from += 64) {
    const place = at + <usize>from
    const a = v128.and(i8x16.eq(v128.load(place), first), i8x16.eq(v128.load(place + reach), end))
    const b = v128.and(i8x16.eq(v128.load(place, 16), first), i8x16.eq(v128.load(place + reach, 16), end))
    const c = v128.and(i8x16.eq(v128.load(place, 32), first), i8x16.eq(v128.load(place + reach, 32), end))
    const d = v128.and(i8x16.eq(v128.load(place, 48), first), i8x16.eq(v128.load(place + reach, 48), end))
    if (!v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) continue
    let bits = <u64>i8x16.bitmask(a) | (<u64>i8x16.bitmask(b) << 16) | (<u64>i8x16.bitmask(c) << 32) | (<u64>i8x16.bitmask(d) << 48)
    for (; bits != 0; bits &= bits - 1) {
      const found = <i32>ctz(bits)
      if (isSame(place + <usize>found + 1, middle, inner)) return from + found
    }
  }
  for (; from <= final; from++) if (isSame(at + <usize>from, literal, length)) return from
  return -1
}
