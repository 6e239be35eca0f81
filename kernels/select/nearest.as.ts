/**
 * The nearest of many vectors that were made ready. Each is kept as integers of 8 bits too, a quarter of what is to be read, and by how much their product with a
 * query, in integers of 16, can be away from that of the numbers themselves: by Cauchy and Schwarz the length of what rounding took, over that of the
 * vector. Which rows can be among the k nearest is told by that; only these are multiplied as `scoresF32` does. What comes out is what all scores and `topkF32` give.
 */
import { dotF32 } from "../reduce/reduce.as"
import { settledScalar } from "../simd.as"
import { topkF32 } from "./select.as"

/** Lengths between which products of two vectors neither overflow nor lose digits; all other rows are always multiplied. */
@inline const lengthLeast: f64 = 1e-15
@inline const lengthMost: f64 = 1e15

/** Bytes of a row: whole vectors, so that none reads into the next. */
@inline function rowBytes(n: i32): usize {
  return <usize>((n + 15) & -16)
}

/** Rows in fours. */
@inline function whole(rows: i32): i32 {
  return (rows + 3) & -4
}

export function vectorBytes(rows: i32, n: i32): i32 {
  return whole(rows) * <i32>rowBytes(n)
}

/** What roundings of floats take: of the dot product, of both lengths, and of what is computed here, over the product of the lengths. */
@inline function roundings(n: i32): f64 {
  return (<f64>n / 32 + 24) / 8388608
}

/**
 * Rows as bytes, into `vectorBytes`. Of each row, of which there are a multiple of four: in `factors` the number that its bytes count, over its length; in `margins`
 * the length of what rounding took, over its length, or +∞.
 */
export function packVectorsI8(bytes: usize, factors: usize, margins: usize, x: usize, rows: i32, n: i32): void {
  const stride = rowBytes(n)
  memory.fill(bytes, 0, <usize>vectorBytes(rows, n))
  for (let row = 0, end = whole(rows); row < end; row++, factors += 4, margins += 4, bytes += stride) {
    store<f32>(factors, 0)
    store<f32>(margins, Infinity)
    if (row >= rows) continue
    let most: f32 = 0
    let squares: f64 = 0
    for (let i: usize = 0; i < <usize>n; i++) {
      const value = load<f32>(x + (i << 2))
      most = max<f32>(most, abs<f32>(value))
      squares += <f64>value * <f64>value
    }
    const length = sqrt<f64>(squares)
    if (length >= lengthLeast && length <= lengthMost) {
      const unit = <f64>most / 127
      const perUnit = 127 / <f64>most
      let lost: f64 = 0
      for (let i: usize = 0; i < <usize>n; i++) {
        const value = <f64>load<f32>(x + (i << 2))
        const count = nearest<f64>(value * perUnit)
        const rest = value - count * unit
        lost += rest * rest
        store<i8>(bytes + i, <i8>(<i32>count))
      }
      store<f32>(factors, <f32>(unit / length))
      // What roundings take of this is less than a millionth.
      store<f32>(margins, <f32>((sqrt<f64>(lost) / length) * 1.000001))
    }
    x += <usize>n << 2
  }
}

/** Bytes that `nearestF32` works in. */
export function nearestScratch(rows: i32, n: i32): i32 {
  return 16 + <i32>rowBytes(n) * 2 + whole(rows) * 12
}

/** Puts the query as integers of 16 bits, [the number they count over its length, what rounding took over its length] before them. */
function packQuery(to: usize, query: usize, n: i32): void {
  store<f32>(to, 0)
  store<f32>(to, Infinity, 4)
  memory.fill(to + 16, 0, rowBytes(n) << 1)
  let most: f64 = 0
  let squares: f64 = 0
  for (let i: usize = 0; i < <usize>n; i++) {
    const value = <f64>load<f32>(query + (i << 2))
    most = max<f64>(most, abs<f64>(value))
    squares += value * value
  }
  const length = sqrt<f64>(squares)
  if (!(length >= lengthLeast && length <= lengthMost)) return
  // A sum of n products with 127 at most fits 32 bits.
  const counts = <f64>min<i32>(32767, 0x7fffffff / (127 * n))
  const unit = most / counts
  const perUnit = counts / most
  let lost: f64 = 0
  for (let i: usize = 0; i < <usize>n; i++) {
    const value = <f64>load<f32>(query + (i << 2))
    const count = nearest<f64>(value * perUnit)
    const rest = value - count * unit
    lost += rest * rest
    store<i16>(to + (i << 1), <i16>(<i32>count), 16)
  }
  store<f32>(to, <f32>(unit / length))
  store<f32>(to, <f32>((sqrt<f64>(lost) / length) * 1.000001), 4)
}

@inline function plus(sum: v128, bytes: usize, query: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(v128.load8x8_s(bytes), query))
}

/** Each of four sums of four lanes. */
@inline function folded(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7))
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7))
  return i32x4.add(v128.shuffle<f64>(ab, cd, 0, 2), v128.shuffle<f64>(ab, cd, 1, 3))
}

/**
 * The `k` greatest scores and their rows, the greatest first, as `scoresF32` and `topkF32`; `isCosine`: scores are divided by lengths. `norms` has those
 * of the rows, `bytes`, `factors` and `margins` what `packVectorsI8` wrote; `norms` has room for a multiple of four too.
 */
export function nearestF32(
  values: usize,
  places: usize,
  x: usize,
  rows: i32,
  n: i32,
  query: usize,
  norms: usize,
  queryNorm: f32,
  isCosine: bool,
  bytes: usize,
  factors: usize,
  margins: usize,
  k: i32,
  scratch: usize,
): void {
  if (k == 0) return
  packQuery(scratch, query, n)
  const unit = f32x4.splat(load<f32>(scratch))
  const lost = f32x4.splat(load<f32>(scratch, 4))
  const always = f32x4.splat(<f32>roundings(n))
  const infinite = f32x4.splat(Infinity)
  const one = f32x4.splat(1)
  const lengthOfQuery = f32x4.splat(queryNorm)
  const stride = rowBytes(n)
  const words = scratch + 16
  const least = words + (stride << 1)
  const step = <usize>whole(rows) << 2
  const most = least + step
  const chosen = most + step
  for (let at: usize = 0; at < step; at += 16, bytes += stride << 2) {
    let a = i32x4.splat(0)
    let b = a
    let c = a
    let d = a
    let row = bytes
    for (let word = words, end = words + (stride << 1); word < end; word += 16, row += 8) {
      const w = v128.load(word)
      a = plus(a, row, w)
      b = plus(b, row + stride, w)
      c = plus(c, row + (stride << 1), w)
      d = plus(d, row + stride * 3, w)
    }
    const estimate = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(folded(a, b, c, d)), v128.load(factors + at)), unit)
    const margin = v128.load(margins + at)
    const away = f32x4.add(f32x4.add(margin, f32x4.mul(f32x4.add(one, margin), lost)), always)
    const isKnown = f32x4.lt(away, infinite)
    const scale = isCosine ? one : f32x4.mul(v128.load(norms + at), lengthOfQuery)
    v128.store(least + at, v128.bitselect(f32x4.mul(f32x4.sub(estimate, away), scale), f32x4.neg(infinite), isKnown))
    v128.store(most + at, v128.bitselect(f32x4.mul(f32x4.add(estimate, away), scale), infinite, isKnown))
  }
  topkF32(values, places, least, rows, k)
  // So many are at least this; who cannot reach it is not among them.
  const enough = load<f32>(values + (<usize>(k - 1) << 2))
  let count = 0
  for (let at = 0; at < rows; at++) {
    if ((at & 3) == 0) while (at + 4 <= rows && !v128.any_true(f32x4.ge(v128.load(most + (<usize>at << 2)), f32x4.splat(enough)))) at += 4
    if (at >= rows) break
    if (load<f32>(most + (<usize>at << 2)) < enough) continue
    let score = dotF32(x + (<usize>at * <usize>n << 2), query, n)
    if (isCosine) score = settledScalar(score / (load<f32>(norms + (<usize>at << 2)) * queryNorm))
    store<f32>(least + (<usize>count << 2), score)
    store<i32>(chosen + (<usize>count << 2), at)
    count++
  }
  topkF32(values, places, least, count, k)
  for (let i: usize = 0; i < <usize>k; i++) store<i32>(places + (i << 2), load<i32>(chosen + (<usize>load<i32>(places + (i << 2)) << 2)))
}
