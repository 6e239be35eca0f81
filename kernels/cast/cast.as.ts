/** Between types of numbers. Halves are kept as 16 bits. */
import { isFast } from "../simd.as"

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

const enum Type {
  f32,
  f64,
  u16,
  i32,
  i8,
  u8,
}

/** A double as the float next to it towards 0, its last bit set where they differ: rounded once more to a half, it is what the double is rounded to. */
@inline function toOdd(x: f64): f32 {
  const y = <f32>x
  if (<f64>y == x || y != y) return y
  const bits = reinterpret<u32>(y) - (abs<f64>(<f64>y) > abs<f64>(x) ? 1 : 0)
  return reinterpret<f32>(bits | 1)
}

@inline function widen<T>(out: usize, x: usize, n: i32): void {
  for (; n > 0; n--, out += 8, x += sizeof<T>()) store<f64>(out, <f64>load<T>(x))
}

/** Towards 0, within `least` and `most`; NaN as 0. */
@inline function whole<T>(out: usize, x: usize, n: i32, least: i32, most: i32): void {
  for (; n > 0; n--, out += sizeof<T>(), x += 8) {
    const v = i32x4.extract_lane(i32x4.trunc_sat_f64x2_s_zero(v128.load64_zero(x)), 0)
    store<T>(out, <T>min<i32>(max<i32>(v, least), most))
  }
}

/**
 * Numbers of one type as those of another, through doubles, which hold all: to the nearest, halves to even, or towards 0 to whole numbers, of which those that are
 * out of range are its ends and NaN 0. Types: 0 f32, 1 f64, 2 halves, 3 i32, 4 i8, 5 u8. `scratch` holds 512 bytes.
 */
export function castNumbers(to: i32, from: i32, out: usize, x: usize, n: i32, scratch: usize): void {
  for (; n > 0; n -= 64) {
    const count = min(n, 64)
    switch (from) {
      case Type.f32: {
        widen<f32>(scratch, x, count)
        x += 256
        break
      }
      case Type.f64: {
        memory.copy(scratch, x, <usize>count << 3)
        x += 512
        break
      }
      case Type.u16: {
        for (let i = 0; i < count; i++, x += 2) store<f64>(scratch + (<usize>i << 3), <f64>f32x4.extract_lane(widened(i32x4.splat(load<u16>(x))), 0))
        break
      }
      case Type.i32: {
        widen<i32>(scratch, x, count)
        x += 256
        break
      }
      case Type.i8: {
        widen<i8>(scratch, x, count)
        x += 64
        break
      }
      default: {
        widen<u8>(scratch, x, count)
        x += 64
      }
    }
    switch (to) {
      case Type.f32: {
        for (let i = 0; i < count; i++, out += 4) {
          const y = <f32>load<f64>(scratch + (<usize>i << 3))
          store<f32>(out, isFast || y == y ? y : NaN)
        }
        break
      }
      case Type.f64: {
        for (let i = 0; i < count; i++, out += 8) {
          const y = load<f64>(scratch + (<usize>i << 3))
          store<f64>(out, isFast || y == y ? y : NaN)
        }
        break
      }
      case Type.u16: {
        for (let i = 0; i < count; i++, out += 2)
          store<u16>(out, <u16>i32x4.extract_lane(narrowed(f32x4.splat(toOdd(load<f64>(scratch + (<usize>i << 3))))), 0))
        break
      }
      case Type.i32: {
        whole<i32>(out, scratch, count, i32.MIN_VALUE, i32.MAX_VALUE)
        out += 256
        break
      }
      case Type.i8: {
        whole<i8>(out, scratch, count, -128, 127)
        out += 64
        break
      }
      default: {
        whole<u8>(out, scratch, count, 0, 255)
        out += 64
      }
    }
  }
}
