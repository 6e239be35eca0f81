/**
 * The micro-kernel of integers of 8 bits: 6 × 8 sums of 32 bits. `T` is how panels hold them, in the place of each float of those of `../tile/tile.as.ts`: `u16` two widened to
 * 16 bits, `u8` four as they are, and then a panel of A begins with what six sums begin with.
 */
import { panelA, panelB, rows } from "../tile/tile.as"

/** Bytes before the integers of a panel of A, where four are in the place of a float. */
@inline export const headBytes: usize = rows * 4

/** The sum with the products of what lies in the place of each float. Of four, exact where `byteProducts` found so. */
@inline export function plus<T>(sum: v128, a: v128, b: v128): v128 {
  if (sizeof<T>() == 1) return i32x4.relaxed_dot_i8x16_i7x16_add_s(a, b, sum)
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b))
}

@inline function first<T>(at: usize): v128 {
  return sizeof<T>() == 1 ? v128.load32_splat(at) : i32x4.splat(0)
}

export function tile<T>(a: usize, b: usize, steps: i32, c: usize, stride: usize): void {
  let s00 = first<T>(a + 0)
  let s01 = s00
  let s10 = first<T>(a + 4)
  let s11 = s10
  let s20 = first<T>(a + 8)
  let s21 = s20
  let s30 = first<T>(a + 12)
  let s31 = s30
  let s40 = first<T>(a + 16)
  let s41 = s40
  let s50 = first<T>(a + 20)
  let s51 = s50
  if (sizeof<T>() == 1) a += headBytes
  for (const end = a + <usize>steps * panelA; a < end; a += panelA, b += panelB) {
    const b0 = v128.load(b)
    const b1 = v128.load(b, 16)
    const a0 = v128.load32_splat(a)
    s00 = plus<T>(s00, a0, b0)
    s01 = plus<T>(s01, a0, b1)
    const a1 = v128.load32_splat(a, 4)
    s10 = plus<T>(s10, a1, b0)
    s11 = plus<T>(s11, a1, b1)
    const a2 = v128.load32_splat(a, 8)
    s20 = plus<T>(s20, a2, b0)
    s21 = plus<T>(s21, a2, b1)
    const a3 = v128.load32_splat(a, 12)
    s30 = plus<T>(s30, a3, b0)
    s31 = plus<T>(s31, a3, b1)
    const a4 = v128.load32_splat(a, 16)
    s40 = plus<T>(s40, a4, b0)
    s41 = plus<T>(s41, a4, b1)
    const a5 = v128.load32_splat(a, 20)
    s50 = plus<T>(s50, a5, b0)
    s51 = plus<T>(s51, a5, b1)
  }
  v128.store(c, s00)
  v128.store(c, s01, 16)
  c += stride
  v128.store(c, s10)
  v128.store(c, s11, 16)
  c += stride
  v128.store(c, s20)
  v128.store(c, s21, 16)
  c += stride
  v128.store(c, s30)
  v128.store(c, s31, 16)
  c += stride
  v128.store(c, s40)
  v128.store(c, s41, 16)
  c += stride
  v128.store(c, s50)
  v128.store(c, s51, 16)
}
