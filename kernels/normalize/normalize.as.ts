/** Softmax and the norms, row by row; sums are in the order of `reduce.as.ts`. `out` may be `x`. */
import { exp4, log4 } from "../math/math.as"
import { dotF32, maxOfF32, sumF32 } from "../reduce/reduce.as"
import { settled } from "../simd.as"

/** `out[i] = (x[i] + shift) · scale`, with both roundings. */
@inline export function shifted(out: usize, x: usize, n: i32, shift: f32): void {
  const by = f32x4.splat(shift)
  for (; n >= 4; n -= 4, out += 16, x += 16) v128.store(out, f32x4.add(v128.load(x), by))
  for (; n > 0; n--, out += 4, x += 4) store<f32>(out, load<f32>(x) + shift)
}

/** `exp(x - max)`, divided by their sum. */
export function softmaxF32(out: usize, x: usize, rows: i32, n: i32): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, out += step, x += step) {
    const most = f32x4.splat(maxOfF32(x, n))
    let left = n
    let from = x
    let to = out
    for (; left >= 4; left -= 4, from += 16, to += 16) v128.store(to, exp4(f32x4.sub(v128.load(from), most)))
    for (; left > 0; left--, from += 4, to += 4) v128.store_lane<f32>(to, exp4(f32x4.sub(v128.load32_zero(from), most)), 0)
    const sum = f32x4.splat(sumF32(out, n))
    left = n
    to = out
    for (; left >= 4; left -= 4, to += 16) v128.store(to, settled(f32x4.div(v128.load(to), sum)))
    for (; left > 0; left--, to += 4) v128.store_lane<f32>(to, settled(f32x4.div(v128.load32_zero(to), sum)), 0)
  }
}

/** `(x - max) - log(Σ exp(x - max))`. `scratch` holds `n` numbers. */
export function logSoftmaxF32(out: usize, x: usize, rows: i32, n: i32, scratch: usize): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, out += step, x += step) {
    shifted(out, x, n, -maxOfF32(x, n))
    let left = n
    let from = out
    let to = scratch
    for (; left >= 4; left -= 4, from += 16, to += 16) v128.store(to, exp4(v128.load(from)))
    for (; left > 0; left--, from += 4, to += 4) v128.store_lane<f32>(to, exp4(v128.load32_zero(from)), 0)
    const sum = log4(f32x4.splat(sumF32(scratch, n)))
    left = n
    to = out
    for (; left >= 4; left -= 4, to += 16) v128.store(to, settled(f32x4.sub(v128.load(to), sum)))
    for (; left > 0; left--, to += 4) v128.store_lane<f32>(to, settled(f32x4.sub(v128.load32_zero(to), sum)), 0)
  }
}

/** `x · inv · gamma + beta`, each a rounding; gamma and beta, unless 0, have a number for each of `n`. */
@inline function scaled(out: usize, x: usize, n: i32, inv: f32, gamma: usize, beta: usize): void {
  const by = f32x4.splat(inv)
  for (let at: usize = 0, end = <usize>n << 2; at < end; at += 16) {
    const isWhole = at + 16 <= end
    // The last numbers one by one, as first lanes.
    for (let part: usize = at; part < end && part < at + 16; part += isWhole ? 16 : 4) {
      let v = f32x4.mul(isWhole ? v128.load(x + part) : v128.load32_zero(x + part), by)
      if (gamma != 0) v = f32x4.mul(v, isWhole ? v128.load(gamma + part) : v128.load32_zero(gamma + part))
      if (beta != 0) v = f32x4.add(v, isWhole ? v128.load(beta + part) : v128.load32_zero(beta + part))
      v = settled(v)
      if (isWhole) v128.store(out + part, v)
      else v128.store_lane<f32>(out + part, v, 0)
    }
  }
}

@inline export function inverse(variance: f32, epsilon: f32): f32 {
  return <f32>1 / sqrt<f32>(variance + epsilon)
}

/** Mean 0 and variance 1 of each row, then gamma and beta (0: none). */
export function layerNormF32(out: usize, x: usize, rows: i32, n: i32, gamma: usize, beta: usize, epsilon: f32): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, out += step, x += step) {
    shifted(out, x, n, -(sumF32(x, n) / <f32>n))
    scaled(out, out, n, inverse(dotOfSquares(out, n), epsilon), gamma, beta)
  }
}

/** The mean of squares, in two roundings each in `bitexact`. */
@inline export function dotOfSquares(x: usize, n: i32): f32 {
  return dotF32(x, x, n) / <f32>n
}

/** A mean of squares of 1 of each row, then gamma (0: none). */
export function rmsNormF32(out: usize, x: usize, rows: i32, n: i32, gamma: usize, epsilon: f32): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, out += step, x += step) scaled(out, x, n, inverse(dotOfSquares(x, n), epsilon), gamma, 0)
}

/** Of each channel by what was measured of it: `(x - mean) · inv · gamma + beta`; gamma and beta may be 0. `size` numbers a channel. */
export function batchNormF32(
  out: usize,
  x: usize,
  batch: i32,
  channels: i32,
  size: i32,
  mean: usize,
  variance: usize,
  gamma: usize,
  beta: usize,
  epsilon: f32,
): void {
  const step = <usize>size << 2
  for (; batch > 0; batch--)
    for (let at: usize = 0, end = <usize>channels << 2; at < end; at += 4, out += step, x += step) {
      const by = f32x4.splat(-load<f32>(mean + at))
      const inv = f32x4.splat(inverse(load<f32>(variance + at), epsilon))
      const factor = f32x4.splat(gamma == 0 ? 1 : load<f32>(gamma + at))
      const term = f32x4.splat(beta == 0 ? -0.0 : load<f32>(beta + at))
      let left = size
      let from = x
      let to = out
      for (; left >= 4; left -= 4, from += 16, to += 16)
        v128.store(to, settled(f32x4.add(f32x4.mul(f32x4.mul(f32x4.add(v128.load(from), by), inv), factor), term)))
      for (; left > 0; left--, from += 4, to += 4)
        v128.store_lane<f32>(to, settled(f32x4.add(f32x4.mul(f32x4.mul(f32x4.add(v128.load32_zero(from), by), inv), factor), term)), 0)
    }
}

/** -∞ for what comes after a row's own place, `offset` from its number on, in `x[rows, n]`. */
export function causalF32(x: usize, rows: i32, n: i32, offset: i32): void {
  for (let row = 0; row < rows; row++, x += <usize>n << 2)
    for (let at = max<i32>(row + offset + 1, 0); at < n; at++) store<f32>(x + (<usize>at << 2), -Infinity)
}
