/** Numbers of 32 bits to other places, whatever they are. */

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

/**
 * `out`, side by side, of places in `x` that are `strides` numbers apart in each dimension: any permutation, broadcast (a stride of 0) or step. `shape` is `dimensions` sizes and as
 * many strides, and then as many words to count in.
 */
export function strided32(out: usize, x: usize, shape: usize, dimensions: i32): void {
  const sizes = shape
  const strides = shape + (<usize>dimensions << 2)
  const counters = strides + (<usize>dimensions << 2)
  let total = 1
  for (let i = 0; i < dimensions; i++) {
    total *= load<i32>(sizes + (<usize>i << 2))
    store<i32>(counters + (<usize>i << 2), 0)
  }
  if (total == 0) return
  const last = <usize>(dimensions - 1) << 2
  const inner = dimensions == 0 ? 1 : load<i32>(sizes + last)
  const step: usize = dimensions == 0 ? 0 : <usize>load<i32>(strides + last) << 2
  for (; total > 0; total -= inner) {
    if (step == 4) {
      memory.copy(out, x, <usize>inner << 2)
      out += <usize>inner << 2
    } else {
      let from = x
      for (let i = 0; i < inner; i++, out += 4, from += step) store<i32>(out, load<i32>(from))
    }
    for (let i = dimensions - 2; i >= 0; i--) {
      const at = <usize>i << 2
      const count = load<i32>(counters + at) + 1
      x += <usize>load<i32>(strides + at) << 2
      if (count < load<i32>(sizes + at)) {
        store<i32>(counters + at, count)
        break
      }
      store<i32>(counters + at, 0)
      x -= <usize>(count * load<i32>(strides + at)) << 2
    }
  }
}

/** Rows of `size` numbers by their places, negative ones from the end. Answers the first place in `places` that is out of range, or -1. */
export function gather32(out: usize, x: usize, rows: i32, size: i32, places: usize, count: i32): i32 {
  const bytes = <usize>size << 2
  for (let i = 0; i < count; i++, out += bytes) {
    let row = load<i32>(places + (<usize>i << 2))
    if (row < 0) row += rows
    if (row < 0 || row >= rows) return i
    memory.copy(out, x + bytes * <usize>row, bytes)
  }
  return -1
}
