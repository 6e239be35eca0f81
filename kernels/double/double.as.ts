/** Doubles, element by element: `out` may be an operand. Every NaN that is written in `bitexact` is 0x7FF8000000000000. */
import { isFast } from "../simd.as"

const enum Op {
  add,
  sub,
  mul,
  div,
  min,
  max,
}

@inline function settled(v: v128): v128 {
  if (isFast) return v
  return v128.bitselect(v, i64x2.splat(0x7ff8000000000000), f64x2.eq(v, v))
}

@inline function each(op: Op, x: v128, y: v128): v128 {
  if (op == Op.add) return f64x2.add(x, y)
  if (op == Op.sub) return f64x2.sub(x, y)
  if (op == Op.mul) return f64x2.mul(x, y)
  if (op == Op.div) return f64x2.div(x, y)
  if (op == Op.min) return f64x2.min(x, y)
  return f64x2.max(x, y)
}

@inline function binary(op: Op, out: usize, x: usize, y: usize, n: i32): void {
  for (; n >= 2; n -= 2, out += 16, x += 16, y += 16) v128.store(out, settled(each(op, v128.load(x), v128.load(y))))
  if (n > 0) v128.store64_lane(out, settled(each(op, v128.load64_zero(x), v128.load64_zero(y))), 0)
}

/** `op`: 0 add, 1 sub, 2 mul, 3 div, 4 min, 5 max. */
export function binaryF64(op: i32, out: usize, x: usize, y: usize, n: i32): void {
  switch (op) {
    case Op.add:
      return binary(Op.add, out, x, y, n)
    case Op.sub:
      return binary(Op.sub, out, x, y, n)
    case Op.mul:
      return binary(Op.mul, out, x, y, n)
    case Op.div:
      return binary(Op.div, out, x, y, n)
    case Op.min:
      return binary(Op.min, out, x, y, n)
    default:
      return binary(Op.max, out, x, y, n)
  }
}

const enum Map {
  relu,
  sqrt,
  abs,
  neg,
  sign,
  floor,
  ceil,
  round,
  trunc,
}

@inline function image(map: i32, x: f64): f64 {
  switch (map) {
    case Map.relu:
      return max<f64>(x, 0)
    case Map.sqrt:
      return sqrt<f64>(x)
    case Map.abs:
      return abs<f64>(x)
    case Map.neg:
      return -x
    case Map.sign:
      return abs<f64>(x) > 0 ? copysign<f64>(1, x) : x
    case Map.floor:
      return floor<f64>(x)
    case Map.ceil:
      return ceil<f64>(x)
    case Map.round:
      return nearest<f64>(x)
    default:
      return trunc<f64>(x)
  }
}

/** `map`: 0 relu, 1 sqrt, 2 abs, 3 neg, 4 sign, 5 floor, 6 ceil, 7 round (halves to even), 8 trunc. */
export function mapF64(map: i32, out: usize, x: usize, n: i32): void {
  for (; n > 0; n--, out += 8, x += 8) {
    const y = image(map, load<f64>(x))
    store<f64>(out, y == y ? y : NaN)
  }
}

/** Row by row: `c[m, n] = a[m, k] · b[k, n]`, each number one sum over k, ascending, from +0. */
export function matmulF64(c: usize, a: usize, b: usize, m: i32, k: i32, n: i32): void {
  for (const across = <usize>n << 3; m > 0; m--, c += across) {
    memory.fill(c, 0, across)
    let row = b
    for (let i = 0; i < k; i++, a += 8, row += across) {
      const s = v128.load64_splat(a)
      let at: usize = 0
      for (; at + 16 <= across; at += 16) v128.store(c + at, f64x2.add(v128.load(c + at), f64x2.mul(s, v128.load(row + at))))
      if (at < across) v128.store64_lane(c + at, f64x2.add(v128.load64_zero(c + at), f64x2.mul(s, v128.load64_zero(row + at))), 0)
    }
    if (!isFast) binary(Op.max, c, c, c, n)
  }
}
