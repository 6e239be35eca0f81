/** Between types of numbers. Halves are kept as 16 bits. */

/** Four halves, in the low bits of four words, as floats, exactly. */
@inline function widened(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff))
  // As a float 112 powers of two too small, which a multiplication mends, of denormals too.
  const scaled = f32x4.mul(i32x4.shl(magnitude, 13), f32x4.splat(5.192296858534828e33))
  const special = i32x4.gt_s(magnitude, i32x4.splat(0x7bff))
  const exponent = v128.or(i32x4.shl(magnitude, 13), i32x4.splat(0x7f800000))
  const nan = i32x4.gt_s(magnitude, i32x4.splat(0x7c00))
  const value = v128.bitselect(v128.bitselect(i32x4.splat(0x7fc00000), exponent, nan), scaled, special)
  // A NaN has no sign here.
  return v128.or(value, v128.andnot(i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16), nan))
}

/** Four floats as halves in the low bits of four words, to the nearest, halves to even; beyond the greatest infinite; NaN is 0x7E00. */
@inline function narrowed(x: v128): v128 {
  const bits = v128.and(x, i32x4.splat(0x7fffffff))
  const sign = i32x4.shr_u(v128.and(x, i32x4.splat(0x80000000)), 16)
  // Below the least normal half: an addition to a float whose last bit is the least denormal half rounds.
  const small = i32x4.sub(f32x4.add(bits, f32x4.splat(0.5)), i32x4.splat(0x3f000000))
  const isOdd = v128.and(i32x4.shr_u(bits, 13), i32x4.splat(1))
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(bits, i32x4.splat(0xc8000fff)), isOdd), 13)
  const isSmall = i32x4.lt_s(bits, i32x4.splat(0x38800000))
  const value = v128.bitselect(small, normal, isSmall)
  const large = v128.bitselect(i32x4.splat(0x7c00), value, i32x4.ge_s(bits, i32x4.splat(0x477ff000)))
  const nan = i32x4.gt_s(bits, i32x4.splat(0x7f800000))
  return v128.or(v128.bitselect(i32x4.splat(0x7e00), large, nan), v128.andnot(sign, nan))
}

export function halfToFloat(out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 8) v128.store(out, widened(v128.load16x4_u(x)))
  for (; n > 0; n--, out += 4, x += 2) v128.store_lane<f32>(out, widened(i32x4.splat(load<u16>(x))), 0)
}

export function floatToHalf(out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 8, x += 16) {
    const h = narrowed(v128.load(x))
    v128.store64_lane(out, i16x8.narrow_i32x4_u(h, h), 0)
  }
  for (; n > 0; n--, out += 2, x += 4) store<u16>(out, <u16>i32x4.extract_lane(narrowed(v128.load32_zero(x)), 0))
}

/** Towards 0; what is beyond an integer's range is its end, and NaN 0. */
export function floatToInt(out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 16) v128.store(out, i32x4.trunc_sat_f32x4_s(v128.load(x)))
  for (; n > 0; n--, out += 4, x += 4) v128.store_lane<i32>(out, i32x4.trunc_sat_f32x4_s(v128.load32_zero(x)), 0)
}

/** To the nearest, halves to even. */
export function intToFloat(out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 16) v128.store(out, f32x4.convert_i32x4_s(v128.load(x)))
  for (; n > 0; n--, out += 4, x += 4) v128.store_lane<f32>(out, f32x4.convert_i32x4_s(v128.load32_zero(x)), 0)
}
