/** Cross entropy of a softmax, row by row, with the gradient of its mean over rows. */
import { exp4, log4 } from "../math/math.as"
import { shifted } from "../normalize/normalize.as"
import { maxOfF32, sumF32 } from "../reduce/reduce.as"
import { loaded, settled, settledScalar, stored } from "../simd.as"

@inline function logOf(x: f32): f32 {
  return f32x4.extract_lane(log4(f32x4.splat(x)), 0)
}

@inline function exponentials(out: usize, x: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 16) stored(out, exp4(loaded(x, true)), true)
  for (; n > 0; n--, out += 4, x += 4) stored(out, exp4(loaded(x, false)), false)
}

/** `(dx / sum - p) / rows`; p, unless it is 0, has a number for each. */
@inline function errors(dx: usize, n: i32, sum: f32, p: usize, rows: f32): void {
  const all = f32x4.splat(sum)
  const by = f32x4.splat(rows)
  while (n > 0) {
    const isWhole = n >= 4
    let v = f32x4.div(loaded(dx, isWhole), all)
    if (p != 0) v = f32x4.sub(v, loaded(p, isWhole))
    stored(dx, settled(f32x4.div(v, by)), isWhole)
    const part: usize = isWhole ? 16 : 4
    n -= <i32>(part >> 2)
    dx += part
    if (p != 0) p += part
  }
}

/**
 * `losses[row] = log Σ exp(x - max) - (x[label] - max)`, and `dx` the softmax, less 1 at the label, divided by `rows`. Answers the first row whose label is none, before anything is
 * written, or -1.
 */
export function crossEntropyF32(losses: usize, dx: usize, x: usize, labels: usize, rows: i32, n: i32): i32 {
  for (let row = 0; row < rows; row++) if (load<u32>(labels + (<usize>row << 2)) >= <u32>n) return row
  const step = <usize>n << 2
  for (let row = rows; row > 0; row--, losses += 4, labels += 4, dx += step, x += step) {
    const at = <usize>load<u32>(labels) << 2
    shifted(dx, x, n, -maxOfF32(x, n))
    const own = load<f32>(dx + at)
    exponentials(dx, dx, n)
    const sum = sumF32(dx, n)
    store<f32>(losses, settledScalar(logOf(sum) - own))
    const part = load<f32>(dx + at)
    errors(dx, n, sum, 0, <f32>rows)
    store<f32>(dx + at, settledScalar((part / sum - 1) / <f32>rows))
  }
  return -1
}

/**
 * By distributions: `losses[row] = -Σ p ((x - max) - log Σ exp(x - max))`, where a p of 0 gives 0, and `dx` the softmax less p, divided by `rows`. `scratch` holds `n` numbers.
 */
export function crossEntropyOfF32(losses: usize, dx: usize, x: usize, p: usize, rows: i32, n: i32, scratch: usize): void {
  const step = <usize>n << 2
  for (let row = rows; row > 0; row--, losses += 4, p += step, dx += step, x += step) {
    shifted(scratch, x, n, -maxOfF32(x, n))
    exponentials(dx, scratch, n)
    const sum = sumF32(dx, n)
    const log = f32x4.splat(logOf(sum))
    for (let at: usize = 0; at < step; ) {
      const isWhole = at + 16 <= step
      const part = loaded(p + at, isWhole)
      const term = f32x4.mul(part, f32x4.sub(loaded(scratch + at, isWhole), log))
      stored(scratch + at, v128.andnot(term, f32x4.eq(part, f32x4.splat(0))), isWhole)
      at += isWhole ? 16 : 4
    }
    store<f32>(losses, settledScalar(<f32>0 - sumF32(scratch, n)))
    errors(dx, n, sum, p, <f32>rows)
  }
}
