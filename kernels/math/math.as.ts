/**
 * Elementary functions by fixed algorithms: additions, multiplications, divisions and roundings that are the same everywhere, never an engine's own.
 * Largest errors in units in the last place are those of the reference (`math.ts`), whose bits these are in `bitexact`.
 */
import { settled, settledScalar } from "../simd.as"

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
@inline export function narrowed(low: v128, high: v128): v128 {
  return v128.shuffle<f64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2)
}

@inline export function upper(x: v128): v128 {
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
@inline export function erf2(x: v128): v128 {
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

/** `log` of one double. */
function logOf(x: f64): f64 {
  return f64x2.extract_lane(log2x(f64x2.splat(x)), 0)
}

@inline const log2e: f64 = 1.4426950408889634
/** ln 2 in two parts (fdlibm, `e_exp.c`): a whole number of 20 bits times the first is exact. */
@inline const ln2High: f64 = 6.93147180369123816490e-1
@inline const ln2Low: f64 = 1.90821492927058770002e-10

/** `exp(t) - part · 2ⁿ`, from -200 to 200, with n the whole number next to t / ln 2: a part of 0 gives `exp`. Taylor's series to degree 11 leaves less than 7e-15. */
@inline function expOf(t: f64, isLessOne: bool): f64 {
  const limited = min<f64>(max<f64>(t, -200), 200)
  const n = nearest<f64>(limited * log2e)
  const r = limited - n * ln2High - n * ln2Low
  let p: f64 = 1.0 / 39916800
  p = p * r + 1.0 / 3628800
  p = p * r + 1.0 / 362880
  p = p * r + 1.0 / 40320
  p = p * r + 1.0 / 5040
  p = p * r + 1.0 / 720
  p = p * r + 1.0 / 120
  p = p * r + 1.0 / 24
  p = p * r + 1.0 / 6
  p = p * r + 0.5
  const scale = reinterpret<f64>((<i64>n + 1023) << 52)
  return scale * (p * (r * r) + r) + (isLessOne ? scale - 1 : scale)
}

function expDouble(t: f64): f64 {
  return expOf(t, false)
}

/** Without the loss that `exp(t) - 1` has next to 0. */
function expLessOne(t: f64): f64 {
  return expOf(t, true)
}

/** `log(1 + exp(x))` as `max(x, 0) + log(1 + e)` with `e = exp(-|x|)`, whose logarithm loses nothing where e is small. */
function softplus(x: f32): f32 {
  const e = expDouble(-abs<f64>(x))
  const u = e + 1
  return <f32>(max<f64>(x, 0) + (u == 1 ? e : (logOf(u) * e) / (u - 1)))
}

/** Bits of 4 / π, from the first one on, in steps of eight: a float's 24 bits times three of them, 32 bits apart, are its quarters of a turn. */
@inline const quarters: StaticArray<u32> = [
  0xa2, 0xa2f9, 0xa2f983, 0xa2f9836e, 0xf9836e4e, 0x836e4e44, 0x6e4e4415, 0x4e441529, 0x441529fc, 0x1529fc27, 0x29fc2757, 0xfc2757d1, 0x2757d1f5, 0x57d1f534,
  0xd1f534dd, 0xf534ddc0, 0x34ddc0db, 0xddc0db62, 0xc0db6295, 0xdb629599, 0x6295993c, 0x95993c43, 0x993c4390, 0x3c439041,
]

/**
 * `sin(x + turn · π / 2)`, in doubles that are rounded once. What is left of quarters of a turn is exact to 2⁻⁶⁰: up to 65536 by π / 2 in two parts
 * (FreeBSD, `e_rem_pio2f.c`), beyond by the bits of 4 / π that count (Payne and Hanek 1983, as in glibc's `sinf`). Polynomials: FreeBSD, `k_sinf.c`, `k_cosf.c`.
 */
function sine(x: f32, turn: i32): f32 {
  const a = abs<f32>(x)
  if (!(a < Infinity)) return NaN
  let n: i32
  let r: f64
  if (a < 65536) {
    const k = nearest<f64>(<f64>a * 0.6366197723675814)
    n = <i32>k
    r = <f64>a - k * 1.57079631090164184570 - k * 1.58932547735281966916e-8
  } else {
    const bits = reinterpret<u32>(a)
    const at = changetype<usize>(quarters) + (<usize>((bits >> 26) & 15) << 2)
    const m = ((bits & 0x7fffff) | 0x800000) << ((bits >> 23) & 7)
    const left = (((<u64>m * load<u32>(at, 32)) >> 32) | (<u64>(m * load<u32>(at)) << 32)) + <u64>m * load<u32>(at, 16)
    const whole = (left + (1 << 61)) >> 62
    n = <i32>whole
    r = <f64>(<i64>(left - (whole << 62))) * 3.4061215800865545e-19
  }
  n += turn
  const z = r * r
  const w = z * z
  const y = (n & 1) == 0
    ? r + z * r * (z * 0.008333329385889463 - 0.16666666641626524) + z * r * w * (z * 2.718311493989822e-6 - 1.9839334836096632e-4)
    : z * -0.499999997251031 + 1 + w * 0.04166662332373906 + w * z * (z * 2.439044879627741e-5 - 0.001388676377460993)
  const isNegative = ((n & 2) != 0) != (turn == 0 && reinterpret<i32>(x) < 0)
  return <f32>(isNegative ? -y : y)
}

/** As IEEE 754-2019 has `pow`: 1 of whatever to 0 and of 1 to whatever, else NaN of a NaN; in doubles, rounded once. */
export function pow(x: f32, y: f32): f32 {
  if (y == 0 || x == 1) return 1
  if (x != x || y != y) return NaN
  const a = abs<f32>(x)
  const isWhole = y == trunc<f32>(y)
  let value: f32
  if (a == 0 || a == Infinity) value = (a == 0) == (y > 0) ? 0 : Infinity
  else if (a == 1) value = 1
  // A product with an infinite power is infinite, and taken for the end of the range.
  else value = <f32>expDouble(<f64>y * logOf(a))
  if (reinterpret<i32>(x) >= 0) return value
  // Of numbers from 2²⁴ on all are even.
  if (isWhole) return abs<f32>(y) < 16777216 && (<i32>y & 1) != 0 ? -value : value
  return a == 0 || a == Infinity ? value : NaN
}

/** Functions by number: what `mapF32` and the ends of other kernels take; those from `leakyRelu` on have parameters. */
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
  sign,
  floor,
  ceil,
  round,
  trunc,
  softsign,
  softplus,
  selu,
  sin,
  cos,
  leakyRelu,
  elu,
  hardSigmoid,
  clip,
}

/** The places where x is not below 0 as they are, and the others from `other`. */
@inline function wherePositive(x: v128, other: v128): v128 {
  return v128.bitselect(x, other, f32x4.ge(x, f32x4.splat(0)))
}

/** -1, 1, or the zero or NaN that it is. */
@inline function sign4(x: v128): v128 {
  const one = v128.or(f32x4.splat(1), v128.and(x, i32x4.splat(0x80000000)))
  return v128.bitselect(one, x, f32x4.gt(f32x4.abs(x), f32x4.splat(0)))
}

/** Of what is infinite its sign. */
@inline function softsign4(x: v128): v128 {
  const a = f32x4.abs(x)
  const y = f32x4.div(x, f32x4.add(a, f32x4.splat(1)))
  return v128.bitselect(sign4(x), y, f32x4.eq(a, f32x4.splat(Infinity)))
}

@inline function image(map: Map, x: v128, a: f32, b: f32): v128 {
  // One instruction on x86-64, where `max` takes several, but for -0, which an addition of 0 mends: 1.7 times as fast.
  if (map == Map.relu) return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), f32x4.splat(0))
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
  if (map == Map.sign) return sign4(x)
  if (map == Map.floor) return f32x4.floor(x)
  if (map == Map.ceil) return f32x4.ceil(x)
  if (map == Map.round) return f32x4.nearest(x)
  if (map == Map.trunc) return f32x4.trunc(x)
  if (map == Map.softsign) return softsign4(x)
  if (map == Map.leakyRelu) return wherePositive(x, f32x4.mul(x, f32x4.splat(a)))
  if (map == Map.hardSigmoid)
    return f32x4.max(f32x4.min(f32x4.add(f32x4.mul(x, f32x4.splat(a)), f32x4.splat(b)), f32x4.splat(1)), f32x4.splat(0))
  if (map == Map.clip) return f32x4.min(f32x4.max(x, f32x4.splat(a)), f32x4.splat(b))
  return x
}

/** Four at a time; of the last, whole words are read, and written what is asked for. */
@inline function each(map: Map, out: usize, x: usize, n: i32, a: f32, b: f32): void {
  for (; n > 0; n -= 4, out += 16, x += 16) {
    const y = settled(image(map, v128.load(x), a, b))
    if (n >= 4) v128.store(out, y)
    else partial(out, y, n)
  }
}

/** Sixteen at a time, where a function is less than what a turn of the loop costs. */
@inline function eachWide(map: Map, out: usize, x: usize, n: i32, a: f32, b: f32): void {
  for (; n >= 16; n -= 16, out += 64, x += 64) {
    const p = settled(image(map, v128.load(x), a, b))
    const q = settled(image(map, v128.load(x, 16), a, b))
    const r = settled(image(map, v128.load(x, 32), a, b))
    const s = settled(image(map, v128.load(x, 48), a, b))
    v128.store(out, p)
    v128.store(out, q, 16)
    v128.store(out, r, 32)
    v128.store(out, s, 48)
  }
  each(map, out, x, n, a, b)
}

/** The first of four. */
function partial(out: usize, y: v128, n: i32): void {
  v128.store_lane<f32>(out, y, 0)
  if (n > 1) v128.store_lane<f32>(out, y, 1, 4)
  if (n > 2) v128.store_lane<f32>(out, y, 2, 8)
}

@inline function one(map: Map, x: f32, a: f32): f32 {
  if (map == Map.softplus) return softplus(x)
  if (map == Map.sin) return sine(x, 0)
  if (map == Map.cos) return sine(x, 1)
  // Factors of Klambauer et al. 2017, "Self-Normalizing Neural Networks".
  if (map == Map.selu) return <f32>((x >= 0 ? <f64>x : expLessOne(x) * <f64>1.6732632423543772) * <f64>1.0507009873554805)
  return x >= 0 ? x : <f32>(<f64>a * expLessOne(x))
}

/** In doubles, one by one. */
@inline function eachOne(map: Map, out: usize, x: usize, n: i32, a: f32): void {
  for (; n > 0; n--, out += 4, x += 4) {
    const value = load<f32>(x)
    store<f32>(out, value == value ? settledScalar(one(map, value, a)) : NaN)
  }
}

/** `out[i] = f(x[i])` for a function without parameters; `out` may be `x`. */
export function mapF32(map: i32, out: usize, x: usize, n: i32): void {
  mapWithF32(map, out, x, n, 0, 0)
}

/** `out[i] = f(x[i], a, b)`: slope of `leakyRelu`, factor of `elu`, factor and term of `hardSigmoid`, ends of `clip`. */
export function mapWithF32(map: i32, out: usize, x: usize, n: i32, a: f32, b: f32): void {
  switch (map) {
    case Map.none:
      return eachWide(Map.none, out, x, n, a, b)
    case Map.relu:
      return eachWide(Map.relu, out, x, n, a, b)
    case Map.sigmoid:
      return each(Map.sigmoid, out, x, n, a, b)
    case Map.tanh:
      return each(Map.tanh, out, x, n, a, b)
    case Map.gelu:
      return each(Map.gelu, out, x, n, a, b)
    case Map.geluTanh:
      return each(Map.geluTanh, out, x, n, a, b)
    case Map.silu:
      return each(Map.silu, out, x, n, a, b)
    case Map.exp:
      return each(Map.exp, out, x, n, a, b)
    case Map.log:
      return each(Map.log, out, x, n, a, b)
    case Map.erf:
      return each(Map.erf, out, x, n, a, b)
    case Map.sqrt:
      return each(Map.sqrt, out, x, n, a, b)
    case Map.abs:
      return each(Map.abs, out, x, n, a, b)
    case Map.neg:
      return each(Map.neg, out, x, n, a, b)
    case Map.sign:
      return each(Map.sign, out, x, n, a, b)
    case Map.floor:
      return each(Map.floor, out, x, n, a, b)
    case Map.ceil:
      return each(Map.ceil, out, x, n, a, b)
    case Map.round:
      return each(Map.round, out, x, n, a, b)
    case Map.trunc:
      return each(Map.trunc, out, x, n, a, b)
    case Map.softsign:
      return each(Map.softsign, out, x, n, a, b)
    case Map.softplus:
      return eachOne(Map.softplus, out, x, n, a)
    case Map.selu:
      return eachOne(Map.selu, out, x, n, a)
    case Map.sin:
      return eachOne(Map.sin, out, x, n, a)
    case Map.cos:
      return eachOne(Map.cos, out, x, n, a)
    case Map.leakyRelu:
      return each(Map.leakyRelu, out, x, n, a, b)
    case Map.elu:
      return eachOne(Map.elu, out, x, n, a)
    case Map.hardSigmoid:
      return each(Map.hardSigmoid, out, x, n, a, b)
    case Map.clip:
      return each(Map.clip, out, x, n, a, b)
    default:
      unreachable()
  }
}
