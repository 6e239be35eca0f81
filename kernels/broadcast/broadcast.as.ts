/**
 * Operations on each two numbers of tensors of any strides, and folds, which are the same operations upon what was there: loops over rows, each of which
 * is done by the kernel of arrays side by side. What does not move along a row is written down many times first.
 */
import { binaryF64 } from "../double/double.as"
import { binaryI32, divideI32 } from "../integer/integer.as"
import { pow } from "../math/math.as"
import { settledScalar } from "../simd.as"
import { addF32, compareF32, compareI32, divF32, maxF32, minF32, mulF32, subF32 } from "../vector/vector.as"

/** What is done, and on what. */
const enum Kind {
  f32,
  f64,
  i32,
  compareF32,
  compareF64,
  compareI32,
  where8,
  where16,
  where32,
  where64,
}

@inline function compareF64(order: i32, out: usize, x: usize, y: usize, n: i32): void {
  for (; n > 0; n--, out += 4, x += 8, y += 8) {
    const a = load<f64>(x)
    const b = load<f64>(y)
    const less: i32 = a < b ? 1 : 0
    const same: i32 = a == b ? 1 : 0
    const more: i32 = a > b ? 1 : 0
    // In the order of `vector.as.ts`: lt, le, eq, ne, gt, ge.
    store<i32>(out, order == 0 ? less : order == 1 ? less | same : order == 2 ? same : order == 3 ? same ^ 1 : order == 4 ? more : more | same)
  }
}

@inline function where<T>(out: usize, x: usize, y: usize, mask: usize, n: i32): void {
  for (; n > 0; n--, mask += 4, out += sizeof<T>(), x += sizeof<T>(), y += sizeof<T>()) store<T>(out, load<i32>(mask) != 0 ? load<T>(x) : load<T>(y))
}

/** Answers the place of a divisor that is 0, or -1. */
function run(kind: i32, op: i32, out: usize, x: usize, y: usize, z: usize, n: i32): i32 {
  switch (kind) {
    case Kind.f32: {
      if (op == 0) addF32(out, x, y, n)
      else if (op == 1) subF32(out, x, y, n)
      else if (op == 2) mulF32(out, x, y, n)
      else if (op == 3) divF32(out, x, y, n)
      else if (op == 4) minF32(out, x, y, n)
      else if (op == 5) maxF32(out, x, y, n)
      else if (op == 6) for (; n > 0; n--, out += 4, x += 4, y += 4) store<f32>(out, settledScalar(pow(load<f32>(x), load<f32>(y))))
      else
        for (; n > 0; n--, out += 4, x += 4, y += 4) {
          const value = load<f32>(x)
          store<f32>(out, settledScalar(value >= 0 ? value : value * load<f32>(y)))
        }
      break
    }
    case Kind.f64: {
      binaryF64(op, out, x, y, n)
      break
    }
    case Kind.i32: {
      if (op >= 8) return divideI32(out, x, y, n, op == 9)
      binaryI32(op, out, x, y, n)
      break
    }
    case Kind.compareF32: {
      compareF32(op, out, x, y, n)
      break
    }
    case Kind.compareF64: {
      compareF64(op, out, x, y, n)
      break
    }
    case Kind.compareI32: {
      compareI32(op, out, x, y, n)
      break
    }
    case Kind.where8: {
      where<u8>(out, x, y, z, n)
      break
    }
    case Kind.where16: {
      where<u16>(out, x, y, z, n)
      break
    }
    case Kind.where32: {
      where<u32>(out, x, y, z, n)
      break
    }
    default:
      where<u64>(out, x, y, z, n)
  }
  return -1
}

/** Numbers of a row that are done at a time where one of the operands does not move. */
@inline const block: i32 = 256
/** Bytes of so many doubles. */
@inline const blockBytes: usize = 2048
/** Where in a plan the blocks begin. */
@inline const blocksAt: usize = 1024

/** Writes one number of `size` bytes down `n` times, and up to 15 bytes more. */
function splat(to: usize, x: usize, size: i32, n: i32): void {
  const v = size == 4 ? v128.load32_splat(x) : size == 8 ? v128.load64_splat(x) : size == 2 ? v128.load16_splat(x) : v128.load8_splat(x)
  for (const end = to + <usize>(n * size); to < end; to += 16) v128.store(to, v)
}

@inline function word(at: usize, i: i32): i32 {
  return load<i32>(at + (<usize>i << 2))
}

/**
 * `out = x ∘ y` (and `z`, unless it is 0: the mask of `where`). `plan`: `rank` sizes, strides in bytes of out, x, y and z, words to count in, and from
 * byte 1024 on three blocks. Along the last dimension an operand has its numbers side by side or one that stays; x and y have `size` bytes a number,
 * out `outSize`. Nothing may be empty. Answers the place, in the order of the sizes, of the first divisor that is 0, or -1.
 */
export function broadcast(kind: i32, op: i32, size: i32, outSize: i32, out: usize, x: usize, y: usize, z: usize, plan: usize, rank: i32): i32 {
  const row = <usize>rank << 2
  const outs = plan + row
  const xs = outs + row
  const ys = xs + row
  const zs = ys + row
  const counters = zs + row
  memory.fill(counters, 0, row)
  const n = word(plan, rank - 1)
  // Of a row of one number nothing stays.
  const xStays = n > 1 && word(xs, rank - 1) == 0
  const yStays = n > 1 && word(ys, rank - 1) == 0
  const zStays = n > 1 && z != 0 && word(zs, rank - 1) == 0
  const most = xStays || yStays || zStays ? block : n
  let done = 0
  for (;;) {
    if (xStays) splat(plan + blocksAt, x, size, min(n, block))
    if (yStays) splat(plan + blocksAt + blockBytes, y, size, min(n, block))
    if (zStays) splat(plan + blocksAt + blockBytes * 2, z, 4, min(n, block))
    for (let at = 0; at < n; at += most) {
      const from = <usize>(at * size)
      const bad = run(
        kind,
        op,
        out + <usize>(at * outSize),
        xStays ? plan + blocksAt : x + from,
        yStays ? plan + blocksAt + blockBytes : y + from,
        zStays ? plan + blocksAt + blockBytes * 2 : z + (<usize>at << 2),
        min(n - at, most),
      )
      if (bad >= 0) return done + at + bad
    }
    done += n
    let i = rank - 2
    for (; i >= 0; i--) {
      const at = <usize>i << 2
      const count = load<i32>(counters + at) + 1
      out += load<i32>(outs + at)
      x += load<i32>(xs + at)
      y += load<i32>(ys + at)
      z += load<i32>(zs + at)
      if (count < load<i32>(plan + at)) {
        store<i32>(counters + at, count)
        break
      }
      store<i32>(counters + at, 0)
      out -= count * load<i32>(outs + at)
      x -= count * load<i32>(xs + at)
      y -= count * load<i32>(ys + at)
      z -= count * load<i32>(zs + at)
    }
    if (i < 0) break
  }
  return -1
}

/**
 * Each of `rows` rows of `n` numbers of `size` bytes to one, in 32 lanes that begin at the number at `identity`: number i goes to lane i mod 32, and lanes are
 * put together by halves. `scratch` holds 512 bytes. With `y`, products with its rows are folded.
 */
export function foldRows(kind: i32, op: i32, size: i32, out: usize, x: usize, y: usize, rows: i32, n: i32, identity: usize, scratch: usize): void {
  const bytes = <usize>size << 5
  for (; rows > 0; rows--, out += size) {
    splat(scratch, identity, size, 32)
    for (let left = n; left > 0; left -= 32) {
      const count = min(left, 32)
      let from = x
      if (y != 0) {
        from = scratch + 256
        run(kind, 2, from, x, y, 0, count)
        y += <usize>(count * size)
      }
      run(kind, op, scratch, scratch, from, 0, count)
      x += <usize>(count * size)
    }
    for (let half = 16; half > 0; half >>= 1) run(kind, op, scratch, scratch, scratch + <usize>(half * size), 0, half)
    memory.copy(out, scratch, size)
  }
}
