/**
 * Many numbers to one. Sums have one order on every machine: number i goes to lane i mod 32, lanes begin at +0, and lanes are added by halves,
 * 16, 8, 4, 2, 1. Eight registers of four lanes are also what hides the latency of an addition.
 */
import { madd, settledScalar } from "../simd.as"

/** The last numbers, fewer than four, and zeros, which change no lane: one that begins at +0 is never -0. */
@inline function rest(x: usize, n: i32): v128 {
  if (n == 1) return v128.load32_zero(x)
  if (n == 2) return v128.load64_zero(x)
  return v128.load_lane<f32>(x, v128.load64_zero(x), 2, 8)
}

/** Lanes by halves. */
@inline function folded(a: v128, b: v128, c: v128, d: v128, e: v128, f: v128, g: v128, h: v128): f32 {
  a = f32x4.add(f32x4.add(f32x4.add(a, e), f32x4.add(c, g)), f32x4.add(f32x4.add(b, f), f32x4.add(d, h)))
  a = f32x4.add(a, v128.shuffle<f32>(a, a, 2, 3, 2, 3))
  return f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1)
}

/** Adds register `at` of eight. */
@inline function plus(at: i32, want: i32, sum: v128, v: v128): v128 {
  return at == want ? f32x4.add(sum, v) : sum
}

export function sumF32(x: usize, n: i32): f32 {
  const zero = f32x4.splat(0)
  let a = zero
  let b = zero
  let c = zero
  let d = zero
  let e = zero
  let f = zero
  let g = zero
  let h = zero
  for (const stop = x + (<usize>(n & ~31) << 2); x < stop; x += 128) {
    a = f32x4.add(a, v128.load(x))
    b = f32x4.add(b, v128.load(x, 16))
    c = f32x4.add(c, v128.load(x, 32))
    d = f32x4.add(d, v128.load(x, 48))
    e = f32x4.add(e, v128.load(x, 64))
    f = f32x4.add(f, v128.load(x, 80))
    g = f32x4.add(g, v128.load(x, 96))
    h = f32x4.add(h, v128.load(x, 112))
  }
  n &= 31
  for (let at = 0; n > 0; at++, n -= 4, x += 16) {
    const v = n >= 4 ? v128.load(x) : rest(x, n)
    a = plus(at, 0, a, v)
    b = plus(at, 1, b, v)
    c = plus(at, 2, c, v)
    d = plus(at, 3, d, v)
    e = plus(at, 4, e, v)
    f = plus(at, 5, f, v)
    g = plus(at, 6, g, v)
    h = plus(at, 7, h, v)
  }
  return settledScalar(folded(a, b, c, d, e, f, g, h))
}

/** The sum of products, in the order of a sum. */
export function dotF32(x: usize, y: usize, n: i32): f32 {
  const zero = f32x4.splat(0)
  let a = zero
  let b = zero
  let c = zero
  let d = zero
  let e = zero
  let f = zero
  let g = zero
  let h = zero
  for (const stop = x + (<usize>(n & ~31) << 2); x < stop; x += 128, y += 128) {
    a = madd(v128.load(x), v128.load(y), a)
    b = madd(v128.load(x, 16), v128.load(y, 16), b)
    c = madd(v128.load(x, 32), v128.load(y, 32), c)
    d = madd(v128.load(x, 48), v128.load(y, 48), d)
    e = madd(v128.load(x, 64), v128.load(y, 64), e)
    f = madd(v128.load(x, 80), v128.load(y, 80), f)
    g = madd(v128.load(x, 96), v128.load(y, 96), g)
    h = madd(v128.load(x, 112), v128.load(y, 112), h)
  }
  n &= 31
  for (let at = 0; n > 0; at++, n -= 4, x += 16, y += 16) {
    const v = n >= 4 ? v128.load(x) : rest(x, n)
    const w = n >= 4 ? v128.load(y) : rest(y, n)
    if (at == 0) a = madd(v, w, a)
    else if (at == 1) b = madd(v, w, b)
    else if (at == 2) c = madd(v, w, c)
    else if (at == 3) d = madd(v, w, d)
    else if (at == 4) e = madd(v, w, e)
    else if (at == 5) f = madd(v, w, f)
    else if (at == 6) g = madd(v, w, g)
    else h = madd(v, w, h)
  }
  return settledScalar(folded(a, b, c, d, e, f, g, h))
}

/** Of nothing: NaN. */
export function meanF32(x: usize, n: i32): f32 {
  return settledScalar(sumF32(x, n) / <f32>n)
}

/** The greater or lesser of each two by one comparison, which passes NaN over and of zeros keeps the first. */
@inline function further(isMax: bool, a: v128, b: v128): v128 {
  return isMax ? f32x4.pmax(a, b) : f32x4.pmin(a, b)
}

/** Whether one of the numbers has these bits. */
function has(bits: i32, x: usize, n: i32): bool {
  const wanted = i32x4.splat(bits)
  for (; n >= 4; n -= 4, x += 16) if (v128.any_true(i32x4.eq(v128.load(x), wanted))) return true
  for (; n > 0; n--, x += 4) if (load<i32>(x) == bits) return true
  return false
}

/** NaN where one is, and zeros by their sign, for which `max` of a vector takes seven operations: here it is seen once whether there were any. */
@inline function furthest(isMax: bool, x: usize, n: i32): f32 {
  const from = x
  let a = f32x4.splat(isMax ? -Infinity : Infinity)
  let b = a
  let c = a
  let d = a
  let isNaN = i32x4.splat(0)
  let left = n
  for (; left >= 16; left -= 16, x += 64) {
    const v = v128.load(x)
    const w = v128.load(x, 16)
    const y = v128.load(x, 32)
    const z = v128.load(x, 48)
    a = further(isMax, a, v)
    b = further(isMax, b, w)
    c = further(isMax, c, y)
    d = further(isMax, d, z)
    isNaN = v128.or(v128.or(isNaN, v128.or(f32x4.ne(v, v), f32x4.ne(w, w))), v128.or(f32x4.ne(y, y), f32x4.ne(z, z)))
  }
  a = further(isMax, further(isMax, a, b), further(isMax, c, d))
  for (; left >= 4; left -= 4, x += 16) {
    const v = v128.load(x)
    a = further(isMax, a, v)
    isNaN = v128.or(isNaN, f32x4.ne(v, v))
  }
  for (; left > 0; left--, x += 4) {
    const v = v128.load32_splat(x)
    a = further(isMax, a, v)
    isNaN = v128.or(isNaN, f32x4.ne(v, v))
  }
  if (v128.any_true(isNaN)) return settledScalar(NaN)
  a = further(isMax, a, v128.shuffle<f32>(a, a, 2, 3, 2, 3))
  const found = f32x4.extract_lane(further(isMax, a, v128.shuffle<f32>(a, a, 1, 1, 1, 1)), 0)
  if (found != 0) return found
  if (isMax) return has(0, from, n) ? <f32>0 : -(<f32>0)
  return has(i32.MIN_VALUE, from, n) ? -(<f32>0) : <f32>0
}

/** NaN where one is; of nothing -∞. */
export function maxOfF32(x: usize, n: i32): f32 {
  return furthest(true, x, n)
}

/** NaN where one is; of nothing +∞. */
export function minOfF32(x: usize, n: i32): f32 {
  return furthest(false, x, n)
}

/** The place of the greatest, the first of equals; a NaN is the greatest of all. Of nothing -1. */
export function argmaxF32(x: usize, n: i32): i32 {
  const most = maxOfF32(x, n)
  const isNaN = most != most
  const wanted = f32x4.splat(most)
  let at = 0
  for (; at + 4 <= n; at += 4) {
    const v = v128.load(x + (<usize>at << 2))
    const mask = i32x4.bitmask(isNaN ? f32x4.ne(v, v) : f32x4.eq(v, wanted))
    if (mask != 0) return at + ctz(mask)
  }
  for (; at < n; at++) {
    const v = load<f32>(x + (<usize>at << 2))
    if (isNaN ? v != v : v == most) return at
  }
  return -1
}

/** Each of `rows` rows of `n` numbers to one. `op`: 0 sum, 1 mean, 2 greatest, 3 least. */
export function rowsF32(op: i32, out: usize, x: usize, rows: i32, n: i32): void {
  for (const step = <usize>n << 2; rows > 0; rows--, out += 4, x += step)
    store<f32>(out, op == 0 ? sumF32(x, n) : op == 1 ? meanF32(x, n) : op == 2 ? maxOfF32(x, n) : minOfF32(x, n))
}

@inline function places<T>(isLeast: bool, out: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  const step = <usize>inner * sizeof<T>()
  for (; outer > 0; outer--, x += step * <usize>(n - 1))
    for (let i = 0; i < inner; i++, out += 4, x += sizeof<T>()) {
      let found = load<T>(x)
      let place = 0
      let from = x
      for (let at = 1; at < n; at++) {
        from += step
        const value = load<T>(from)
        // A NaN is greater than all, and none comes before the first of equals.
        const isBefore = isLeast ? value < found || (found != found && value == value) : value > found || (value != value && found == found)
        if (!isBefore) continue
        found = value
        place = at
      }
      store<i32>(out, place)
    }
}

/**
 * Along the middle dimension of `[outer, n, inner]`, n at least 1, the place of the greatest or the least, the first of equals; a NaN is the greatest. `type`: 0 f32,
 * 1 f64, 2 i32.
 */
export function placesOf(type: i32, isLeast: bool, out: usize, x: usize, outer: i32, n: i32, inner: i32): void {
  if (type == 0) places<f32>(isLeast, out, x, outer, n, inner)
  else if (type == 1) places<f64>(isLeast, out, x, outer, n, inner)
  else places<i32>(isLeast, out, x, outer, n, inner)
}
