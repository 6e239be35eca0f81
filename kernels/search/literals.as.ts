/**
 * Where any of many literals is. Every literal has the grams (runs of up to four bytes) that begin at its first `stride` places, and of the text only every
 * `stride`-th gram is looked at: whatever the place of a literal, exactly one of its grams is among them. A bitmap that the first cache holds says
 * for nearly all of them that they are of no literal; the rest are compared.
 *
 * A set is described by whole numbers: [mask of a gram, stride, bitmap, heads, entries, literals, resume]; addresses but for the first two and the last.
 */

/** Of a gram: 16 bits for the bitmap, and the upper 12 of them for the heads of lists. */
@inline export function hashOf(gram: u32): u32 {
  return (gram * 0x9e3779b1) >> 16
}

@inline export function isMarked(bitmap: usize, hash: u32): u32 {
  return (<u32>load<u8>(bitmap + (hash >> 3)) >> (hash & 7)) & 1
}

/** Puts a gram into the bitmap and at the front of its list. Entry `index` is [gram, literal, place in it, next]. */
export function addGram(set: usize, gram: u32, literal: i32, place: i32, index: i32): void {
  const hash = hashOf(gram)
  const bitmap = load<usize>(set, 8) + (hash >> 3)
  store<u8>(bitmap, load<u8>(bitmap) | (<u8>1 << <u8>(hash & 7)))
  const head = load<usize>(set, 12) + (<usize>(hash >> 4) << 2)
  const entry = load<usize>(set, 16) + (<usize>index << 4)
  store<u32>(entry, gram)
  store<i32>(entry, literal, 4)
  store<i32>(entry, place, 8)
  store<i32>(entry, load<i32>(head), 12)
  store<i32>(head, index + 1)
}

/** Writes literal and place of what a gram at `from` belongs to; answers how many are written then. */
export function compare(set: usize, text: usize, n: i32, from: i32, gram: u32, out: usize, count: i32): i32 {
  for (let index = load<i32>(load<usize>(set, 12) + (<usize>(hashOf(gram) >> 4) << 2)); index != 0; ) {
    const entry = load<usize>(set, 16) + (<usize>(index - 1) << 4)
    index = load<i32>(entry, 12)
    if (load<u32>(entry) != gram) continue
    const literal = load<usize>(set, 20) + (<usize>load<i32>(entry, 4) << 3)
    const begin = from - load<i32>(entry, 8)
    const length = load<i32>(literal, 4)
    if (begin < 0 || begin + length > n) continue
    let a = text + <usize>begin
    let b = load<usize>(literal)
    let left = length
    for (; left >= 4 && load<u32>(a) == load<u32>(b); left -= 4, a += 4, b += 4) {}
    if (left >= 4) continue
    for (; left > 0 && load<u8>(a) == load<u8>(b); left--, a++, b++) {}
    if (left > 0) continue
    store<i32>(out + (<usize>count << 3), begin)
    store<i32>(out + (<usize>count << 3), load<i32>(entry, 4), 4)
    count++
  }
  return count
}

/**
 * Finds from the gram at `from` on, a multiple of the stride, and writes [place, literal] for each match, in the order of their grams. It stops when fewer
 * than `entriesMax` are free of `capacity`, the most that one gram can give; the set's `resume` is where to go on, or -1 at the end.
 */
export function findLiterals(set: usize, text: usize, n: i32, from: i32, out: usize, capacity: i32, entriesMax: i32): i32 {
  const mask = load<u32>(set)
  const stride = load<i32>(set, 4)
  const bitmap = load<usize>(set, 8)
  let count = 0
  const full = capacity - entriesMax
  // Memory goes on for three bytes after any text; what lies there is compared with nothing.
  for (; from + 3 * stride < n; from += 4 * stride) {
    const place = text + <usize>from
    const a = load<u32>(place) & mask
    const b = load<u32>(place + <usize>stride) & mask
    const c = load<u32>(place + <usize>(2 * stride)) & mask
    const d = load<u32>(place + <usize>(3 * stride)) & mask
    const isA = isMarked(bitmap, hashOf(a))
    const isB = isMarked(bitmap, hashOf(b))
    const isC = isMarked(bitmap, hashOf(c))
    const isD = isMarked(bitmap, hashOf(d))
    if ((isA | isB | isC | isD) == 0) continue
    if (count > full - 3 * entriesMax) {
      store<i32>(set, from, 24)
      return count
    }
    if (isA) count = compare(set, text, n, from, a, out, count)
    if (isB) count = compare(set, text, n, from + stride, b, out, count)
    if (isC) count = compare(set, text, n, from + 2 * stride, c, out, count)
    if (isD) count = compare(set, text, n, from + 3 * stride, d, out, count)
  }
  for (; from < n; from += stride) {
    const gram = load<u32>(text + <usize>from) & mask
    if (!isMarked(bitmap, hashOf(gram))) continue
    if (count > full) {
      store<i32>(set, from, 24)
      return count
    }
    count = compare(set, text, n, from, gram, out, count)
  }
  store<i32>(set, -1, 24)
  return count
}
