/**
 * Gradients of elementary functions. Those of relu, sigmoid, tanh, exp and sqrt are taken from what the function gave, the others from what it was given.
 */
import { settled } from "../simd.as"
import { erf2, exp4, Map, narrowed, sigmoid4, tanh4, upper } from "./math.as"

/** Beyond it the slopes below are 0 or 1 in floats, and nothing overflows. */
@inline function within(x: v128, most: f32): v128 {
  return f32x4.min(f32x4.max(x, f32x4.splat(-most)), f32x4.splat(most))
}

/** `½ (1 + erf(x / √2))` of two doubles. */
@inline function normal2(x: v128): v128 {
  return f64x2.mul(f64x2.splat(0.5), f64x2.add(f64x2.splat(1), erf2(f64x2.mul(x, f64x2.splat(0.7071067811865476)))))
}

/** `Φ(x) + x φ(x)`. */
@inline function geluSlope(at: v128): v128 {
  const x = within(at, 15)
  const below = narrowed(normal2(f64x2.promote_low_f32x4(x)), normal2(upper(x)))
  const density = f32x4.mul(exp4(f32x4.mul(f32x4.mul(x, x), f32x4.splat(-0.5))), f32x4.splat(0.3989422804))
  return f32x4.add(below, f32x4.mul(x, density))
}

/** With t the tanh: `½(1 + t) + ½x (1 - t²) √(2/π) (1 + 3 · 0.044715 x²)`. */
@inline function geluTanhSlope(at: v128): v128 {
  const x = within(at, 15)
  const one = f32x4.splat(1)
  const half = f32x4.splat(0.5)
  const square = f32x4.mul(x, x)
  const inner = f32x4.mul(f32x4.splat(0.7978845608), f32x4.add(x, f32x4.mul(f32x4.splat(0.044715), f32x4.mul(square, x))))
  const t = tanh4(inner)
  const slope = f32x4.mul(f32x4.splat(0.7978845608), f32x4.add(one, f32x4.mul(f32x4.splat(0.134145), square)))
  const left = f32x4.mul(half, f32x4.add(one, t))
  return f32x4.add(left, f32x4.mul(f32x4.mul(f32x4.mul(half, x), f32x4.sub(one, f32x4.mul(t, t))), slope))
}

/** With s the sigmoid: `s (1 + x (1 - s))`. */
@inline function siluSlope(at: v128): v128 {
  const x = within(at, 128)
  const one = f32x4.splat(1)
  const s = sigmoid4(x)
  return f32x4.mul(s, f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s))))
}

/** Where x is above 0 `above`, and `below` elsewhere. */
@inline function sided(x: v128, above: v128, below: v128): v128 {
  return v128.bitselect(above, below, f32x4.gt(x, f32x4.splat(0)))
}

@inline function gradient(map: Map, x: v128, dy: v128, a: f32, b: f32): v128 {
  const one = f32x4.splat(1)
  const zero = f32x4.splat(0)
  if (map == Map.relu) return v128.and(dy, f32x4.gt(x, zero))
  if (map == Map.sigmoid) return f32x4.mul(dy, f32x4.mul(x, f32x4.sub(one, x)))
  if (map == Map.tanh) return f32x4.mul(dy, f32x4.sub(one, f32x4.mul(x, x)))
  if (map == Map.gelu) return f32x4.mul(dy, geluSlope(x))
  if (map == Map.geluTanh) return f32x4.mul(dy, geluTanhSlope(x))
  if (map == Map.silu) return f32x4.mul(dy, siluSlope(x))
  if (map == Map.exp) return f32x4.mul(dy, x)
  if (map == Map.log) return f32x4.div(dy, x)
  if (map == Map.erf) return f32x4.mul(dy, f32x4.mul(f32x4.splat(1.128379167), exp4(f32x4.neg(f32x4.mul(x, x)))))
  if (map == Map.sqrt) return f32x4.div(dy, f32x4.add(x, x))
  if (map == Map.abs) return v128.or(v128.and(dy, f32x4.gt(x, zero)), v128.and(f32x4.neg(dy), f32x4.lt(x, zero)))
  if (map == Map.neg) return f32x4.neg(dy)
  if (map == Map.softsign) {
    const under = f32x4.add(one, f32x4.abs(x))
    return f32x4.div(f32x4.div(dy, under), under)
  }
  if (map == Map.softplus) return f32x4.mul(dy, sigmoid4(x))
  if (map == Map.selu) return f32x4.mul(dy, sided(x, f32x4.splat(1.0507009873554805), f32x4.mul(f32x4.splat(1.7580993408473766), exp4(x))))
  if (map == Map.leakyRelu) return sided(x, dy, f32x4.mul(dy, f32x4.splat(a)))
  if (map == Map.elu) return sided(x, dy, f32x4.mul(dy, f32x4.mul(f32x4.splat(a), exp4(x))))
  if (map == Map.hardSigmoid) {
    const y = f32x4.add(f32x4.mul(x, f32x4.splat(a)), f32x4.splat(b))
    return v128.and(f32x4.mul(dy, f32x4.splat(a)), v128.and(f32x4.gt(y, zero), f32x4.lt(y, one)))
  }
  if (map == Map.clip) return v128.and(dy, v128.and(f32x4.ge(x, f32x4.splat(a)), f32x4.le(x, f32x4.splat(b))))
  return dy
}

@inline function each(map: Map, dx: usize, x: usize, dy: usize, n: i32, a: f32, b: f32): void {
  for (; n >= 4; n -= 4, dx += 16, x += 16, dy += 16) v128.store(dx, settled(gradient(map, v128.load(x), v128.load(dy), a, b)))
  // What is read beyond the last is of no account; each number is written for itself.
  if (n == 0) return
  const rest = settled(gradient(map, v128.load(x), v128.load(dy), a, b))
  v128.store_lane<f32>(dx, rest, 0)
  if (n > 1) v128.store_lane<f32>(dx, rest, 1, 4)
  if (n > 2) v128.store_lane<f32>(dx, rest, 2, 8)
}

/** `dx[i] = dy[i] · f'`, with the parameters of `mapWithF32`; `dx` may be any of the others. */
export function mapBackwardF32(map: i32, dx: usize, x: usize, dy: usize, n: i32, a: f32, b: f32): void {
  switch (map) {
    case Map.none:
      return each(Map.none, dx, x, dy, n, a, b)
    case Map.relu:
      return each(Map.relu, dx, x, dy, n, a, b)
    case Map.sigmoid:
      return each(Map.sigmoid, dx, x, dy, n, a, b)
    case Map.tanh:
      return each(Map.tanh, dx, x, dy, n, a, b)
    case Map.gelu:
      return each(Map.gelu, dx, x, dy, n, a, b)
    case Map.geluTanh:
      return each(Map.geluTanh, dx, x, dy, n, a, b)
    case Map.silu:
      return each(Map.silu, dx, x, dy, n, a, b)
    case Map.exp:
      return each(Map.exp, dx, x, dy, n, a, b)
    case Map.log:
      return each(Map.log, dx, x, dy, n, a, b)
    case Map.erf:
      return each(Map.erf, dx, x, dy, n, a, b)
    case Map.sqrt:
      return each(Map.sqrt, dx, x, dy, n, a, b)
    case Map.abs:
      return each(Map.abs, dx, x, dy, n, a, b)
    case Map.neg:
      return each(Map.neg, dx, x, dy, n, a, b)
    case Map.softsign:
      return each(Map.softsign, dx, x, dy, n, a, b)
    case Map.softplus:
      return each(Map.softplus, dx, x, dy, n, a, b)
    case Map.selu:
      return each(Map.selu, dx, x, dy, n, a, b)
    case Map.leakyRelu:
      return each(Map.leakyRelu, dx, x, dy, n, a, b)
    case Map.elu:
      return each(Map.elu, dx, x, dy, n, a, b)
    case Map.hardSigmoid:
      return each(Map.hardSigmoid, dx, x, dy, n, a, b)
    case Map.clip:
      return each(Map.clip, dx, x, dy, n, a, b)
    default:
      unreachable()
  }
}
