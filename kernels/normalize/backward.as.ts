/** Gradients of softmax and the norms. Means and variances are computed again from what the norm was given; `dx` may be `dy`. */
import { exp4 } from "../math/math.as"
import { gatherChannel } from "../reduce/columns.as"
import { dotF32, sumF32 } from "../reduce/reduce.as"
import { loaded, madd, settled, settledScalar, stored } from "../simd.as"
import { dotOfSquares, inverse, shifted } from "./normalize.as"

/** `y (dy - Σ dy y)`, of what softmax gave. */
export function softmaxBackwardF32(dx: usize, y: usize, dy: usize, rows: i32, n: i32): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, dx += step, y += step, dy += step) {
    const sum = f32x4.splat(dotF32(dy, y, n))
    for (let at: usize = 0; at < step; ) {
      const isWhole = at + 16 <= step
      stored(dx + at, settled(f32x4.mul(loaded(y + at, isWhole), f32x4.sub(loaded(dy + at, isWhole), sum))), isWhole)
      at += isWhole ? 16 : 4
    }
  }
}

/** `dy - exp(y) Σ dy`, of what log-softmax gave. */
export function logSoftmaxBackwardF32(dx: usize, y: usize, dy: usize, rows: i32, n: i32): void {
  const step = <usize>n << 2
  for (; rows > 0; rows--, dx += step, y += step, dy += step) {
    const sum = f32x4.splat(-sumF32(dy, n))
    for (let at: usize = 0; at < step; ) {
      const isWhole = at + 16 <= step
      stored(dx + at, settled(madd(exp4(loaded(y + at, isWhole)), sum, loaded(dy + at, isWhole))), isWhole)
      at += isWhole ? 16 : 4
    }
  }
}

/** `out[i] = x[i] · s[i]`, or `x[i] · s` where `s` is 0 as an address. */
@inline function product(out: usize, x: usize, s: usize, scalar: f32, n: i32): void {
  const by = f32x4.splat(scalar)
  const step = <usize>n << 2
  for (let at: usize = 0; at < step; ) {
    const isWhole = at + 16 <= step
    stored(out + at, f32x4.mul(loaded(x + at, isWhole), s == 0 ? by : loaded(s + at, isWhole)), isWhole)
    at += isWhole ? 16 : 4
  }
}

/** `((g - mean) - x̂ · slope) · factor`. */
@inline function spread(dx: usize, g: usize, normal: usize, mean: f32, slope: f32, factor: f32, n: i32): void {
  const by = f32x4.splat(-slope)
  const step = <usize>n << 2
  for (let at: usize = 0; at < step; ) {
    const isWhole = at + 16 <= step
    const rest = madd(loaded(normal + at, isWhole), by, f32x4.sub(loaded(g + at, isWhole), f32x4.splat(mean)))
    stored(dx + at, settled(f32x4.mul(rest, f32x4.splat(factor))), isWhole)
    at += isWhole ? 16 : 4
  }
}

/** `to[i] += x[i] · y[i]`, or `x[i]` where `y` is 0 as an address. */
@inline function gathered(to: usize, x: usize, y: usize, n: i32): void {
  const step = <usize>n << 2
  for (let at: usize = 0; at < step; ) {
    const isWhole = at + 16 <= step
    const sum = loaded(to + at, isWhole)
    const next = loaded(x + at, isWhole)
    stored(to + at, settled(y == 0 ? f32x4.add(sum, next) : madd(next, loaded(y + at, isWhole), sum)), isWhole)
    at += isWhole ? 16 : 4
  }
}

/**
 * Of layer norm and, not `isCentered`, of rms norm. With x̂ the normed row and g = dy · gamma: `dx = (g - mean g - x̂ · mean(g x̂)) / σ`, without `mean g` where nothing is centered;
 * `dgamma = Σ dy x̂`, `dbeta = Σ dy`, rows ascending. `gamma`, `dgamma` and `dbeta` may be 0. `scratch` holds `2 n` numbers.
 */
@inline function rowsBackward(
  isCentered: bool,
  dx: usize,
  dgamma: usize,
  dbeta: usize,
  x: usize,
  gamma: usize,
  dy: usize,
  rows: i32,
  n: i32,
  epsilon: f32,
  scratch: usize,
): void {
  const step = <usize>n << 2
  if (dgamma != 0) memory.fill(dgamma, 0, step)
  if (dbeta != 0) memory.fill(dbeta, 0, step)
  const normal = scratch
  for (; rows > 0; rows--, dx += step, x += step, dy += step) {
    if (isCentered) shifted(normal, x, n, -(sumF32(x, n) / <f32>n))
    const inv = inverse(dotOfSquares(isCentered ? normal : x, n), epsilon)
    product(normal, isCentered ? normal : x, 0, inv, n)
    if (dgamma != 0) gathered(dgamma, dy, normal, n)
    if (dbeta != 0) gathered(dbeta, dy, 0, n)
    let g = dy
    if (gamma != 0) {
      g = scratch + step
      product(g, dy, gamma, 0, n)
    }
    spread(dx, g, normal, isCentered ? sumF32(g, n) / <f32>n : 0, dotF32(g, normal, n) / <f32>n, inv, n)
  }
}

export function layerNormBackwardF32(
  dx: usize,
  dgamma: usize,
  dbeta: usize,
  x: usize,
  gamma: usize,
  dy: usize,
  rows: i32,
  n: i32,
  epsilon: f32,
  scratch: usize,
): void {
  rowsBackward(true, dx, dgamma, dbeta, x, gamma, dy, rows, n, epsilon, scratch)
}

export function rmsNormBackwardF32(dx: usize, dgamma: usize, x: usize, gamma: usize, dy: usize, rows: i32, n: i32, epsilon: f32, scratch: usize): void {
  rowsBackward(false, dx, dgamma, 0, x, gamma, dy, rows, n, epsilon, scratch)
}

/** Mean and variance (÷ n) of each channel of `[batch, channels, size]`, over images and places. `scratch` holds a channel of all images. */
export function batchStatisticsF32(mean: usize, variance: usize, x: usize, batch: i32, channels: i32, size: i32, scratch: usize): void {
  const n = batch * size
  for (let channel = 0; channel < channels; channel++, mean += 4, variance += 4, x += <usize>size << 2) {
    gatherChannel(scratch, x, batch, channels, size)
    const middle = settledScalar(sumF32(scratch, n) / <f32>n)
    shifted(scratch, scratch, n, -middle)
    store<f32>(mean, middle)
    store<f32>(variance, settledScalar(dotOfSquares(scratch, n)))
  }
}

/**
 * Of a norm of each channel by its own mean and variance: `dbeta = Σ dy`, `dgamma = Σ dy x̂`, `dx = (dy - mean dy - x̂ · mean(dy x̂)) · gamma / σ`. `gamma`, `dgamma` and `dbeta` may
 * be 0. `scratch` holds a channel of all images twice.
 */
export function batchNormBackwardF32(
  dx: usize,
  dgamma: usize,
  dbeta: usize,
  x: usize,
  mean: usize,
  variance: usize,
  gamma: usize,
  dy: usize,
  batch: i32,
  channels: i32,
  size: i32,
  epsilon: f32,
  scratch: usize,
): void {
  const n = batch * size
  const bytes = <usize>size << 2
  const step = bytes * <usize>channels
  const g = scratch + (<usize>n << 2)
  for (let at: usize = 0, end = <usize>channels << 2; at < end; at += 4, dx += bytes, x += bytes, dy += bytes) {
    const inv = inverse(load<f32>(variance + at), epsilon)
    gatherChannel(scratch, x, batch, channels, size)
    shifted(scratch, scratch, n, -load<f32>(mean + at))
    product(scratch, scratch, 0, inv, n)
    gatherChannel(g, dy, batch, channels, size)
    const sum = sumF32(g, n)
    const dot = dotF32(g, scratch, n)
    if (dbeta != 0) store<f32>(dbeta + at, settledScalar(sum))
    if (dgamma != 0) store<f32>(dgamma + at, settledScalar(dot))
    const factor = gamma == 0 ? inv : load<f32>(gamma + at) * inv
    let to = dx
    let from = g
    let normal = scratch
    for (let i = batch; i > 0; i--, to += step, from += bytes, normal += bytes) spread(to, from, normal, sum / <f32>n, dot / <f32>n, factor, size)
  }
}
