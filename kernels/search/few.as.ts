/**
 * Where any of few literals is, 32 places of a text a step: Teddy (Langdale 2015, in Hyperscan), whose masks tell by half a byte in which of eight buckets of
 * literals a byte may be at one place of them. Of letters the lower half tells nearly all, so the lower halves of four or five neighbours are looked at
 * rather than both of two or three, which only shorter literals need. What all masks let pass is looked up as any gram (`literals.as.ts`).
 *
 * A set is as there, with stride 1, and goes on with [masks, depth]. Depth: the first bytes of a literal that are looked at, 2 to 5. Masks of 16 bytes each:
 * the lower halves of those bytes, then the upper halves of the first two for depth 2, of the first for depth 3.
 */
import { compare, hashOf, isMarked } from "./literals.as"

/** Of each place what was so many places before it. */
@inline function moved(places: i32, before: v128, now: v128): v128 {
  if (places == 1) return v128.shuffle<i8>(before, now, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
  if (places == 2) return v128.shuffle<i8>(before, now, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29)
  if (places == 3) return v128.shuffle<i8>(before, now, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28)
  return v128.shuffle<i8>(before, now, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27)
}

@inline function lower(mask: v128, x: v128): v128 {
  return i8x16.swizzle(mask, v128.and(x, i8x16.splat(15)))
}
@inline function both(mask: v128, upper: v128, x: v128): v128 {
  return v128.and(lower(mask, x), i8x16.swizzle(upper, v128.and(i16x8.shr_u(x, 4), i8x16.splat(15))))
}

/** Buckets that are left at the places whose last byte of `depth` these are; `before` are those of the step before. */
@inline function left(depth: i32, a: v128, b: v128, c: v128, d: v128, e: v128, beforeA: v128, beforeB: v128, beforeC: v128, beforeD: v128): v128 {
  if (depth == 2) return v128.and(b, moved(1, beforeA, a))
  if (depth == 3) return v128.and(v128.and(c, moved(1, beforeB, b)), moved(2, beforeA, a))
  if (depth == 4) return v128.and(v128.and(d, moved(1, beforeC, c)), v128.and(moved(2, beforeB, b), moved(3, beforeA, a)))
  return v128.and(v128.and(v128.and(e, moved(1, beforeD, d)), moved(2, beforeC, c)), v128.and(moved(3, beforeB, b), moved(4, beforeA, a)))
}

/** Compares at each of 16 places that has a bucket left. */
function compareAt(set: usize, text: usize, n: i32, from: i32, buckets: v128, out: usize, count: i32): i32 {
  const mask = load<u32>(set)
  const bitmap = load<usize>(set, 8)
  for (let bits = i8x16.bitmask(i8x16.ne(buckets, i8x16.splat(0))); bits != 0; bits &= bits - 1) {
    const at = from + ctz(bits)
    const gram = load<u32>(text + <usize>at) & mask
    if (isMarked(bitmap, hashOf(gram))) count = compare(set, text, n, at, gram, out, count)
  }
  return count
}

@inline function find(depth: i32, set: usize, text: usize, n: i32, from: i32, out: usize, capacity: i32, entriesMax: i32): i32 {
  const masks = load<usize>(set, 28)
  const m0 = v128.load(masks)
  const m1 = v128.load(masks, 16)
  const m2 = v128.load(masks, 32)
  const m3 = v128.load(masks, 48)
  const m4 = v128.load(masks, 64)
  // Of what is before the first step nothing is known.
  const all = i8x16.splat(-1)
  let beforeA = all
  let beforeB = all
  let beforeC = all
  let beforeD = all
  const full = capacity - 32 * entriesMax
  const behind = depth - 1
  let count = 0
  for (; from - behind < n; from += 32) {
    const x = v128.load(text + <usize>from)
    const a0 = depth == 2 ? both(m0, m2, x) : depth == 3 ? both(m0, m3, x) : lower(m0, x)
    const b0 = depth == 2 ? both(m1, m3, x) : lower(m1, x)
    const c0 = depth > 2 ? lower(m2, x) : all
    const d0 = depth > 3 ? lower(m3, x) : all
    const e0 = depth > 4 ? lower(m4, x) : all
    const y = v128.load(text + <usize>from, 16)
    const a1 = depth == 2 ? both(m0, m2, y) : depth == 3 ? both(m0, m3, y) : lower(m0, y)
    const b1 = depth == 2 ? both(m1, m3, y) : lower(m1, y)
    const c1 = depth > 2 ? lower(m2, y) : all
    const d1 = depth > 3 ? lower(m3, y) : all
    const e1 = depth > 4 ? lower(m4, y) : all
    const first = left(depth, a0, b0, c0, d0, e0, beforeA, beforeB, beforeC, beforeD)
    const second = left(depth, a1, b1, c1, d1, e1, a0, b0, c0, d0)
    beforeA = a1
    beforeB = b1
    beforeC = c1
    beforeD = d1
    if (!v128.any_true(v128.or(first, second))) continue
    if (count > full) {
      store<i32>(set, from, 24)
      return count
    }
    count = compareAt(set, text, n, from - behind, first, out, count)
    count = compareAt(set, text, n, from - behind + 16, second, out, count)
  }
  store<i32>(set, -1, 24)
  return count
}

/** As `findLiterals`, of a set with masks; of a text that has a line of memory behind it. */
export function findFew(set: usize, text: usize, n: i32, from: i32, out: usize, capacity: i32, entriesMax: i32): i32 {
  switch (load<i32>(set, 32)) {
    case 2:
      return find(2, set, text, n, from, out, capacity, entriesMax)
    case 3:
      return find(3, set, text, n, from, out, capacity, entriesMax)
    case 4:
      return find(4, set, text, n, from, out, capacity, entriesMax)
    default:
      return find(5, set, text, n, from, out, capacity, entriesMax)
  }
}
