/**
 * Elementary functions by fixed algorithms: additions, multiplications, divisions and roundings that are the same everywhere, never an engine's own.
 * Largest errors in units in the last place are those of the reference (`math.ts`), whose bits these are in `bitexact`.
 */
import { settled } from "../simd.as"

/** `2ⁿ` for whole numbers from -126 to 127. */
@inline function power2(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23)
}

/** After Cephes, `expf`: x is n · ln 2 and a rest, of which a polynomial of degree 7 is taken. */
@inline export function exp4(x: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504)))
  const r = f32x4.add(f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375))), f32x4.mul(n, f32x4.splat(2.12194440e-4)))
  let p = f32x4.splat(1.9875691500e-4)
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1))
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1))
  const y = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1))
  // In two steps: the power may be beyond a float's where the product is not. A NaN converts to 0.
  const whole = i32x4.trunc_sat_f32x4_s(n)
  const half = i32x4.shr_s(whole, 1)
  const scaled = f32x4.mul(f32x4.mul(y, power2(half)), power2(i32x4.sub(whole, half)))
  const high = v128.bitselect(f32x4.splat(Infinity), scaled, f32x4.gt(x, f32x4.splat(88.722839)))
  return v128.andnot(high, f32x4.lt(x, f32x4.splat(-103.97208)))
}

/** `log` of two doubles: x is 2ᵏ · m with m from √½ to √2, and log m = 2 atanh((m - 1) / (m + 1)). */
@inline function log2x(x: v128): v128 {
  const from = i64x2.sub(x, i64x2.splat(0x3fe6a09e667f3bcd))
  const k = i64x2.shr_s(from, 52)
  const m = i64x2.sub(x, i64x2.shl(k, 52))
  const s = f64x2.div(f64x2.sub(m, f64x2.splat(1)), f64x2.add(m, f64x2.splat(1)))
  const z = f64x2.mul(s, s)
  let p = f64x2.splat(1.0 / 15)
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 13))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 11))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 9))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 7))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 5))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1.0 / 3))
  p = f64x2.add(f64x2.mul(p, z), f64x2.splat(1))
  const exponent = f64x2.convert_low_i32x4_s(v128.shuffle<i32>(k, k, 0, 2, 0, 2))
  return f64x2.add(f64x2.mul(exponent, f64x2.splat(0.6931471805599453)), f64x2.mul(f64x2.add(s, s), p))
}

/** What is true of two and two doubles, as one of four floats. */
@inline function narrowed(low: v128, high: v128): v128 {
  return v128.shuffle<f64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2)
}

@inline function upper(x: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<f64>(x, x, 1, 1))
}

@inline export function log4(x: v128): v128 {
  const y = narrowed(log2x(f64x2.promote_low_f32x4(x)), log2x(upper(x)))
  const infinite = f32x4.splat(Infinity)
  const high = v128.bitselect(infinite, y, f32x4.eq(x, infinite))
  const zero = v128.bitselect(f32x4.neg(infinite), high, f32x4.eq(x, f32x4.splat(0)))
  // Of what is below 0, and of NaN.
  return v128.or(zero, v128.not(f32x4.ge(x, f32x4.splat(0))))
}

/** From `exp(-|x|)`, which never overflows. */
@inline export function sigmoid4(x: v128): v128 {
  const e = exp4(f32x4.neg(f32x4.abs(x)))
  const one = f32x4.splat(1)
  const is = f32x4.ge(x, f32x4.splat(0))
  return f32x4.div(v128.bitselect(one, e, is), f32x4.add(one, e))
}

/** After Cephes, `tanhf`: a polynomial near 0, and else from `exp(2|x|)`. */
@inline export function tanh4(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000))
  const a = f32x4.abs(x)
  const z = f32x4.mul(x, x)
  let p = f32x4.splat(-5.70498872745e-3)
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-3.33332819422e-1))
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, z), a), a)
  const far = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(exp4(f32x4.add(a, a)), f32x4.splat(1))))
  return v128.or(v128.bitselect(near, far, f32x4.lt(a, f32x4.splat(0.625))), sign)
}

/** `erf` of two doubles: x · P(x²) / Q(x²), of a relative error below 2.4e-10 up to 3.95, where a float's is 1. */
@inline function erf2(x: v128): v128 {
  const t = f64x2.mul(x, x)
  let p = f64x2.splat(-2.5999919519848394e-9)
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(8.186122127925233e-7))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(6.555903454491745e-5))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(0.0009362781093584551))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(0.012025803395316646))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(0.08135958584226496))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(0.3552492560380422))
  p = f64x2.add(f64x2.mul(p, t), f64x2.splat(1.1283791673583972))
  let q = f64x2.splat(1.0670706113993376e-5)
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(0.00025998733934078035))
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(0.0036069265726906712))
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(0.03236993266200068))
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(0.1881579755325084))
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(0.6481647943646744))
  q = f64x2.add(f64x2.mul(q, t), f64x2.splat(1))
  const y = f64x2.mul(x, f64x2.div(p, q))
  const one = v128.or(f64x2.splat(1), v128.and(x, i64x2.splat(0x8000000000000000)))
  return v128.bitselect(one, y, f64x2.ge(f64x2.abs(x), f64x2.splat(3.95)))
}

@inline export function erf4(x: v128): v128 {
  return narrowed(erf2(f64x2.promote_low_f32x4(x)), erf2(upper(x)))
}

/** `½x (1 + erf(x / √2))` of two doubles; of -∞ -0. */
@inline function gelu2(x: v128): v128 {
  const y = f64x2.mul(f64x2.mul(x, f64x2.splat(0.5)), f64x2.add(f64x2.splat(1), erf2(f64x2.mul(x, f64x2.splat(0.7071067811865476)))))
  return v128.bitselect(f64x2.splat(-0.0), y, f64x2.eq(x, f64x2.splat(-Infinity)))
}

@inline export function gelu4(x: v128): v128 {
  return narrowed(gelu2(f64x2.promote_low_f32x4(x)), gelu2(upper(x)))
}

/** `x · sigmoid(x)`; of -∞ -0. */
@inline export function silu4(x: v128): v128 {
  const y = f32x4.mul(x, sigmoid4(x))
  return v128.bitselect(f32x4.splat(-0.0), y, f32x4.eq(x, f32x4.splat(-Infinity)))
}

/** `½x (1 + tanh(√(2/π) (x + 0.044715 x³)))`; of -∞ -0. */
@inline export function geluTanh4(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(x, x), x)
  const inner = f32x4.mul(f32x4.splat(0.7978845608), f32x4.add(x, f32x4.mul(f32x4.splat(0.044715), cube)))
  const y = f32x4.mul(f32x4.mul(f32x4.splat(0.5), x), f32x4.add(f32x4.splat(1), tanh4(inner)))
  return v128.bitselect(f32x4.splat(-0.0), y, f32x4.eq(x, f32x4.splat(-Infinity)))
}

/** Functions by number: what `mapF32` and the ends of other kernels take. */
export const enum Map {
  none,
  relu,
  sigmoid,
  tanh,
  gelu,
  geluTanh,
  silu,
  exp,
  log,
  erf,
  sqrt,
  abs,
  neg,
}

@inline function image(map: Map, x: v128): v128 {
  if (map == Map.relu) return f32x4.max(x, f32x4.splat(0))
  if (map == Map.sigmoid) return sigmoid4(x)
  if (map == Map.tanh) return tanh4(x)
  if (map == Map.gelu) return gelu4(x)
  if (map == Map.geluTanh) return geluTanh4(x)
  if (map == Map.silu) return silu4(x)
  if (map == Map.exp) return exp4(x)
  if (map == Map.log) return log4(x)
  if (map == Map.erf) return erf4(x)
  if (map == Map.sqrt) return f32x4.sqrt(x)
  if (map == Map.abs) return f32x4.abs(x)
  if (map == Map.neg) return f32x4.neg(x)
  return x
}

@inline function each(map: Map, out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 16) v128.store(out, settled(image(map, v128.load(x))))
  for (; n > 0; n--, out += 4, x += 4) v128.store_lane<f32>(out, settled(image(map, v128.load32_zero(x))), 0)
}

/** `out[i] = f(x[i])`; `out` may be `x`. */
export function mapF32(map: i32, out: usize, x: usize, n: i32): void {
  switch (map) {
    case Map.none:
      return each(Map.none, out, x, n)
    case Map.relu:
      return each(Map.relu, out, x, n)
    case Map.sigmoid:
      return each(Map.sigmoid, out, x, n)
    case Map.tanh:
      return each(Map.tanh, out, x, n)
    case Map.gelu:
      return each(Map.gelu, out, x, n)
    case Map.geluTanh:
      return each(Map.geluTanh, out, x, n)
    case Map.silu:
      return each(Map.silu, out, x, n)
    case Map.exp:
      return each(Map.exp, out, x, n)
    case Map.log:
      return each(Map.log, out, x, n)
    case Map.erf:
      return each(Map.erf, out, x, n)
    case Map.sqrt:
      return each(Map.sqrt, out, x, n)
    case Map.abs:
      return each(Map.abs, out, x, n)
    case Map.neg:
      return each(Map.neg, out, x, n)
    default:
      unreachable()
  }
}
