/** Numbers to other places, whatever they are. */

/** `out[columns, rows]` of `x[rows, columns]`, in blocks of four by four. */
export function transpose32(out: usize, x: usize, rows: i32, columns: i32): void {
  const across = <usize>columns << 2
  const down = <usize>rows << 2
  // Blocks of 32 columns, so that lines of the output stay in the cache until they are full.
  for (let left = 0; left < columns; left += 32) {
    const right = min(left + 32, columns)
    let row = 0
    for (; row + 4 <= rows; row += 4) {
      let column = left
      for (; column + 4 <= right; column += 4) {
        const from = x + across * <usize>row + (<usize>column << 2)
        const to = out + down * <usize>column + (<usize>row << 2)
        const r0 = v128.load(from)
        const r1 = v128.load(from + across)
        const r2 = v128.load(from + across * 2)
        const r3 = v128.load(from + across * 3)
        const p0 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5)
        const p1 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7)
        const q0 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5)
        const q1 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7)
        v128.store(to, v128.shuffle<f64>(p0, q0, 0, 2))
        v128.store(to + down, v128.shuffle<f64>(p0, q0, 1, 3))
        v128.store(to + down * 2, v128.shuffle<f64>(p1, q1, 0, 2))
        v128.store(to + down * 3, v128.shuffle<f64>(p1, q1, 1, 3))
      }
      for (; column < right; column++)
        for (let i = row; i < row + 4; i++) store<i32>(out + down * <usize>column + (<usize>i << 2), load<i32>(x + across * <usize>i + (<usize>column << 2)))
    }
    for (; row < rows; row++)
      for (let column = left; column < right; column++)
        store<i32>(out + down * <usize>column + (<usize>row << 2), load<i32>(x + across * <usize>row + (<usize>column << 2)))
  }
}

@inline function row<T>(out: usize, x: usize, n: i32, outStep: usize, step: usize): void {
  for (; n > 0; n--, out += outStep, x += step) store<T>(out, load<T>(x))
}

/**
 * Numbers of `size` bytes from places in `x` to places in `out`: any permutation, broadcast (a stride of 0), step or part. `plan` is `rank` sizes, none of them
 * 0, strides in bytes of `out` and of `x`, and words to count in; `rank` is at least 1.
 */
export function copyStrided(size: i32, out: usize, x: usize, plan: usize, rank: i32): void {
  const bytes = <usize>rank << 2
  const outs = plan + bytes
  const strides = outs + bytes
  const counters = strides + bytes
  memory.fill(counters, 0, bytes)
  const last = bytes - 4
  const n = load<i32>(plan + last)
  const outStep = load<i32>(outs + last)
  const step = load<i32>(strides + last)
  for (;;) {
    // A call of the engine's own copy takes longer than a few numbers do.
    if (step == size && outStep == size && n * size >= 64) memory.copy(out, x, <usize>(n * size))
    else if (size == 4) row<u32>(out, x, n, outStep, step)
    else if (size == 1) row<u8>(out, x, n, outStep, step)
    else if (size == 2) row<u16>(out, x, n, outStep, step)
    else row<u64>(out, x, n, outStep, step)
    let i = rank - 2
    for (; i >= 0; i--) {
      const at = <usize>i << 2
      const count = load<i32>(counters + at) + 1
      out += load<i32>(outs + at)
      x += load<i32>(strides + at)
      if (count < load<i32>(plan + at)) {
        store<i32>(counters + at, count)
        break
      }
      store<i32>(counters + at, 0)
      out -= count * load<i32>(outs + at)
      x -= count * load<i32>(strides + at)
    }
    if (i < 0) break
  }
}

/**
 * Blocks of `bytes` by their places along a dimension of `size`, negative ones from the end: `out[outer, count]` of `x[outer, size]`. Answers the first place
 * in `places` that is out of range, or -1.
 */
export function gather(out: usize, x: usize, outer: i32, size: i32, bytes: i32, places: usize, count: i32): i32 {
  for (let i = 0; i < count; i++) {
    const place = load<i32>(places + (<usize>i << 2))
    if (place < -size || place >= size) return i
  }
  for (; outer > 0; outer--, x += <usize>size * <usize>bytes)
    for (let i = 0; i < count; i++, out += bytes) {
      const place = load<i32>(places + (<usize>i << 2))
      const from = x + <usize>bytes * <usize>(place < 0 ? place + size : place)
      if (bytes == 4) store<u32>(out, load<u32>(from))
      else memory.copy(out, from, bytes)
    }
  return -1
}
