/** The k greatest of many, and the k nearest of many vectors. A NaN is greater than all; of equals the first comes first. */
import { dotF32 } from "../reduce/reduce.as"
import { settledScalar } from "../simd.as"

/** Whether (x, i) comes before (y, j). */
@inline function isBefore(x: f32, i: i32, y: f32, j: i32): bool {
  if (x == y || (x != x && y != y)) return i < j
  return x != x || x > y
}

@inline function valueAt(values: usize, at: i32): f32 {
  return load<f32>(values + (<usize>at << 2))
}
@inline function placeAt(places: usize, at: i32): i32 {
  return load<i32>(places + (<usize>at << 2))
}
@inline function put(values: usize, places: usize, at: i32, value: f32, place: i32): void {
  store<f32>(values + (<usize>at << 2), value)
  store<i32>(places + (<usize>at << 2), place)
}

/** Lets a number sink in a heap of `n` whose root is the last of all. */
function sink(values: usize, places: usize, n: i32, value: f32, place: i32): void {
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= n) break
    if (child + 1 < n && isBefore(valueAt(values, child), placeAt(places, child), valueAt(values, child + 1), placeAt(places, child + 1))) child++
    if (isBefore(valueAt(values, child), placeAt(places, child), value, place)) break
    put(values, places, at, valueAt(values, child), placeAt(places, child))
    at = child
  }
  put(values, places, at, value, place)
}

/** The `k` greatest of `n` and their places, the greatest first; `k` is at most `n`. */
export function topkF32(values: usize, places: usize, x: usize, n: i32, k: i32): void {
  if (k == 0) return
  // A heap of the first k, from a heap of one that grows.
  for (let i = 0; i < k; i++) {
    const value = load<f32>(x + (<usize>i << 2))
    let at = i
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(valueAt(values, parent), placeAt(places, parent), value, i)) break
      put(values, places, at, valueAt(values, parent), placeAt(places, parent))
      at = parent
    }
    put(values, places, at, value, i)
  }
  let i = k
  for (; i < n; i++) {
    // Four at a time that are no better than the worst are passed over.
    const worst = f32x4.splat(load<f32>(values))
    while (i + 4 <= n && v128.any_true(v128.not(f32x4.le(v128.load(x + (<usize>i << 2)), worst))) == false) i += 4
    if (i >= n) break
    const value = load<f32>(x + (<usize>i << 2))
    if (isBefore(value, i, load<f32>(values), load<i32>(places))) sink(values, places, k, value, i)
  }
  for (let left = k - 1; left > 0; left--) {
    const value = valueAt(values, left)
    const place = placeAt(places, left)
    put(values, places, left, load<f32>(values), load<i32>(places))
    sink(values, places, left, value, place)
  }
}

/** Of each row of `n` numbers: the root of the sum of squares. */
export function normsF32(out: usize, x: usize, rows: i32, n: i32): void {
  for (const step = <usize>n << 2; rows > 0; rows--, out += 4, x += step) store<f32>(out, sqrt<f32>(dotF32(x, x, n)))
}

/** The dot product of each row with `query`; divided by the row's number in `norms` and by `queryNorm`, unless `norms` is 0. */
export function scoresF32(out: usize, x: usize, rows: i32, n: i32, query: usize, norms: usize, queryNorm: f32): void {
  for (const step = <usize>n << 2; rows > 0; rows--, out += 4, x += step) {
    let score = dotF32(x, query, n)
    if (norms != 0) {
      score = settledScalar(score / (load<f32>(norms) * queryNorm))
      norms += 4
    }
    store<f32>(out, score)
  }
}
