/**
 * Products of four integers of 8 bits by four, added to 32 bits, in one instruction of relaxed SIMD. It takes the right ones as signed or as unsigned, and may saturate
 * on the way, as the processor does, but always alike: `byteProducts` finds out which, and only what is exact for all integers is used.
 *
 * Panels have four integers of k in the place of each float of those of `tile.as.ts`. A panel of A begins with what six sums begin with.
 */
import { isFast } from "../simd.as"
import { columns, panelA, rows } from "../tile/tile.as"
import { headBytes, plus } from "./tile.as"

/** Unsigned: B is packed with 128 added to each, and sums begin with -128 times the sum of a row of A. */
@inline const signed = 1
@inline const unsigned = 2

/** The integer at `place` of four. */
@inline function byteOf(four: i32, place: i32): i32 {
  return <i32>(<i8>(four >> (place << 3)))
}

/** Whether four by four is exact, with the right ones as `way` says. */
function isExact(way: i32, a: i32, b: i32): bool {
  let sum = 1
  for (let place = 0; place < 4; place++) sum += byteOf(a, place) * (byteOf(b, place) & (way == unsigned ? 0xff : -1))
  return i32x4.extract_lane(plus<u8>(i32x4.splat(1), i32x4.splat(a), i32x4.splat(b)), 0) == sum
}

/** Four integers, each one of the four bytes of `values`, by two bits of `which`. */
@inline function chosen(values: i32, which: i32): i32 {
  let four = 0
  for (let place = 0; place < 4; place++) four |= (byteOf(values, (which >> (place << 1)) & 3) & 0xff) << (place << 3)
  return four
}

/** How this processor takes the right ones: 1 signed, 2 unsigned; 0 where that is not exact, or in `bitexact`, which has no such instruction. */
export function byteProducts(): i32 {
  if (!isFast) return 0
  const way = isExact(signed, 1, -1) ? signed : unsigned
  for (let b = 0; b < 256; b++) if (!isExact(way, 0x01010101, b * 0x01010101)) return 0
  // Four of -128, -127, 127 and 0 by four of -128, -1, 127 and 1: every third of many, and all of these by what is greatest and least.
  for (let a = 0; a < 256; a += 5) for (let b = 0; b < 256; b += 3) if (!isExact(way, chosen(0x007f8180, a), chosen(0x017fff80, b))) return 0
  for (let b = 0; b < 256; b++) if (!isExact(way, <i32>0x80808080, chosen(0x017fff80, b)) || !isExact(way, 0x7f7f7f7f, chosen(0x017fff80, b))) return 0
  return way
}

/** The sum of `k` integers. */
function sumOf(a: usize, k: i32): i32 {
  let sums = i32x4.splat(0)
  for (; k >= 16; k -= 16, a += 16) sums = i32x4.add(sums, i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v128.load(a))))
  let sum = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3)
  for (; k > 0; k--, a++) sum += <i32>load<i8>(a)
  return sum
}

/** The first `n` bytes, fewer than four, and zeros. */
@inline function someOf(at: usize, n: i32): i32 {
  let some = <i32>load<u8>(at)
  if (n > 1) some |= <i32>load<u8>(at, 1) << 8
  if (n > 2) some |= <i32>load<u8>(at, 2) << 16
  return some
}

/** Rows of A, six a panel. */
export function packRowQuads(to: usize, a: usize, high: i32, k: i32, way: i32): void {
  const panel = headBytes + <usize>((k + 3) >> 2) * panelA
  for (let row = 0; row < high; row += rows, to += panel) {
    for (let i = 0; i < rows; i++) {
      let place = to + (<usize>i << 2)
      const isThere = row + i < high
      const from = a + <usize>(row + i) * <usize>k
      store<i32>(place, isThere && way == unsigned ? sumOf(from, k) * -128 : 0)
      place += headBytes
      let at = 0
      for (; at + 4 <= k; at += 4, place += panelA) store<i32>(place, isThere ? load<i32>(from + <usize>at) : 0)
      if (at < k) store<i32>(place, isThere ? someOf(from + <usize>at, k - at) : 0)
    }
  }
}

/** Columns of B, eight a panel: `ceil(k / 4) · ceil(n / 8) · 32` bytes. */
export function packColumnQuads(to: usize, b: usize, k: i32, n: i32, along: usize, across: usize, way: i32): void {
  const flip = way == unsigned ? 0x80 : 0
  for (let left = 0; left < n; left += columns)
    for (let at = 0; at < k; at += 4)
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < 4; j++, to++)
          store<u8>(to, left + i < n && at + j < k ? <i32>load<u8>(b + across * <usize>(left + i) + along * <usize>(at + j)) ^ flip : 0)
}
