/**
 * Random numbers that are a function of a seed and a counter: Philox4x32-10 (Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"). Four counters at a time, a word of each in a vector.
 */
import { settled } from "../simd.as"

/** The upper halves of products with `by`. */
@inline function high(a: v128, by: i32): v128 {
  const m = i32x4.splat(by)
  return v128.shuffle<i32>(i64x2.extmul_low_i32x4_u(a, m), i64x2.extmul_high_i32x4_u(a, m), 1, 3, 5, 7)
}

@inline function low(a: v128, by: i32): v128 {
  return i32x4.mul(a, i32x4.splat(by))
}

/** Words 0 to 3 of counters from `counter` (its lower and its upper 64 bits) to the third after it: sixteen words. */
function words(to: usize, key: u64, counter: u64, upper: u64): void {
  const second = counter + 1
  const third = counter + 2
  const fourth = counter + 3
  const u2 = upper + u64(second < counter)
  const u3 = upper + u64(third < counter)
  const u4 = upper + u64(fourth < counter)
  let c0 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(<i32>counter), 1, <i32>second), 2, <i32>third), 3, <i32>fourth)
  let c1 = i32x4.splat(<i32>(counter >> 32))
  c1 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(c1, 1, <i32>(second >> 32)), 2, <i32>(third >> 32)), 3, <i32>(fourth >> 32))
  let c2 = i32x4.splat(<i32>upper)
  c2 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(c2, 1, <i32>u2), 2, <i32>u3), 3, <i32>u4)
  let c3 = i32x4.splat(<i32>(upper >> 32))
  c3 = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(c3, 1, <i32>(u2 >> 32)), 2, <i32>(u3 >> 32)), 3, <i32>(u4 >> 32))
  let k0 = <i32>key
  let k1 = <i32>(key >> 32)
  for (let round = 0; round < 10; round++) {
    const a = v128.xor(v128.xor(high(c2, 0xcd9e8d57), c1), i32x4.splat(k0))
    const b = v128.xor(v128.xor(high(c0, 0xd2511f53), c3), i32x4.splat(k1))
    c1 = low(c2, 0xcd9e8d57)
    c3 = low(c0, 0xd2511f53)
    c0 = a
    c2 = b
    k0 += 0x9e3779b9
    k1 += 0xbb67ae85
  }
  const p = v128.shuffle<i32>(c0, c1, 0, 4, 1, 5)
  const q = v128.shuffle<i32>(c0, c1, 2, 6, 3, 7)
  const r = v128.shuffle<i32>(c2, c3, 0, 4, 1, 5)
  const s = v128.shuffle<i32>(c2, c3, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f64>(p, r, 0, 2))
  v128.store(to, v128.shuffle<f64>(p, r, 1, 3), 16)
  v128.store(to, v128.shuffle<f64>(q, s, 0, 2), 32)
  v128.store(to, v128.shuffle<f64>(q, s, 1, 3), 48)
}

/** From 0, below 1: the upper 24 bits of each word. */
@inline function fractions(at: usize): v128 {
  return f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(v128.load(at), 8)), f32x4.splat(5.9604644775390625e-8))
}

/** `least + width · u`, in two roundings in both modes. `scratch` holds sixteen numbers. */
export function uniformF32(out: usize, n: i32, key: u64, counter: u64, upper: u64, least: f32, width: f32, scratch: usize): void {
  for (; n > 0; n -= 16, out += 64) {
    words(scratch, key, counter, upper)
    for (let at: usize = 0; at < 64; at += 16)
      v128.store(scratch + at, settled(f32x4.add(f32x4.mul(fractions(scratch + at), f32x4.splat(width)), f32x4.splat(least))))
    memory.copy(out, scratch, <usize>min(n, 16) << 2)
    counter += 4
    if (counter < 4) upper++
  }
}

/** `x · factor` where u is not below `rate`, and else +0; `out` may be `x`. `scratch` holds sixteen numbers. */
export function dropoutF32(out: usize, x: usize, n: i32, key: u64, counter: u64, upper: u64, rate: f32, factor: f32, scratch: usize): void {
  for (; n > 0; n -= 16, out += 64, x += 64) {
    words(scratch, key, counter, upper)
    const part = <usize>min(n, 16) << 2
    for (let at: usize = 0; at < part; at += 16) {
      // What is read beyond the last is not kept.
      const kept = f32x4.ge(fractions(scratch + at), f32x4.splat(rate))
      v128.store(scratch + at, v128.and(settled(f32x4.mul(v128.load(x + at), f32x4.splat(factor))), kept))
    }
    memory.copy(out, scratch, part)
    counter += 4
    if (counter < 4) upper++
  }
}
