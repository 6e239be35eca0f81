/** Integers of 32 bits, element by element; what is beyond their range wraps. */

const enum Op {
  add,
  sub,
  mul,
  min,
  max,
  and,
  or,
  xor,
}

@inline function each(op: Op, x: v128, y: v128): v128 {
  if (op == Op.add) return i32x4.add(x, y)
  if (op == Op.sub) return i32x4.sub(x, y)
  if (op == Op.mul) return i32x4.mul(x, y)
  if (op == Op.min) return i32x4.min_s(x, y)
  if (op == Op.max) return i32x4.max_s(x, y)
  if (op == Op.and) return v128.and(x, y)
  if (op == Op.or) return v128.or(x, y)
  return v128.xor(x, y)
}

@inline function binary(op: Op, out: usize, x: usize, y: usize, n: i32): void {
  for (; n >= 4; n -= 4, out += 16, x += 16, y += 16) v128.store(out, each(op, v128.load(x), v128.load(y)))
  for (; n > 0; n--, out += 4, x += 4, y += 4) v128.store_lane<i32>(out, each(op, v128.load32_zero(x), v128.load32_zero(y)), 0)
}

/** `op`: 0 add, 1 sub, 2 mul, 3 min, 4 max, 5 and, 6 or, 7 xor. */
export function binaryI32(op: i32, out: usize, x: usize, y: usize, n: i32): void {
  switch (op) {
    case Op.add:
      return binary(Op.add, out, x, y, n)
    case Op.sub:
      return binary(Op.sub, out, x, y, n)
    case Op.mul:
      return binary(Op.mul, out, x, y, n)
    case Op.min:
      return binary(Op.min, out, x, y, n)
    case Op.max:
      return binary(Op.max, out, x, y, n)
    case Op.and:
      return binary(Op.and, out, x, y, n)
    case Op.or:
      return binary(Op.or, out, x, y, n)
    default:
      return binary(Op.xor, out, x, y, n)
  }
}

/** `map`: 0 neg and 1 abs, of which the least stays itself, 2 sign, 3 not (1 of 0, else 0). */
export function mapI32(map: i32, out: usize, x: usize, n: i32): void {
  for (; n > 0; n--, out += 4, x += 4) {
    const v = load<i32>(x)
    store<i32>(out, map == 0 ? -v : map == 1 ? (v < 0 ? -v : v) : map == 2 ? i32(v > 0) - i32(v < 0) : i32(v == 0))
  }
}

/** Quotients towards 0, and what is left of them where `isRest`; the least by -1 wraps. Answers the place of the first divisor that is 0, or -1. */
export function divideI32(out: usize, x: usize, y: usize, n: i32, isRest: bool): i32 {
  for (let i = 0; i < n; i++, out += 4, x += 4, y += 4) {
    const a = load<i32>(x)
    const b = load<i32>(y)
    if (b == 0) return i
    // WebAssembly's division traps where the quotient is no integer of 32 bits.
    store<i32>(out, b == -1 ? (isRest ? 0 : 0 - a) : isRest ? a % b : a / b)
  }
  return -1
}
