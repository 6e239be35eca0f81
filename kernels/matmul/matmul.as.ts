/** `C[m,n] = A[m,k] · B[k,n]`, by tiles. */
import { mapF32 } from "../math/math.as"
import { isFast } from "../simd.as"
import { columns, copy, depthMax, highMax, isPair, packA, packB, panelA, panelB, rows, tile, tileWide } from "../tile/tile.as"
import { addF32 } from "../vector/vector.as"

/**
 * All of B as panels, block of k by block of k: what `matmulPackedF32` takes, in `k` times `n` rounded up to eight numbers. `isTransposed`: B is kept
 * as B[n,k].
 */
export function packMatrixF32(to: usize, b: usize, k: i32, n: i32, isTransposed: bool): void {
  const along: usize = isTransposed ? 4 : <usize>n << 2
  const across: usize = isTransposed ? <usize>k << 2 : 4
  const wide = (n + columns - 1) & -columns
  for (let at = 0; at < k; at += depthMax) {
    const depth = min(depthMax, k - at)
    packB(to, b + along * <usize>at, along, across, depth, n)
    to += (<usize>depth * <usize>wide) << 2
  }
}

/** Bytes that `matmulPackedF32` works in. */
export function matmulScratch(): i32 {
  return (highMax * depthMax + rows * columns) << 2
}

/**
 * C of A and a packed B. A's rows are `across` bytes apart and its columns `along`; C's rows are `stride` bytes apart, its columns side by side.
 * `bias`, unless 0, has a number for each column, which is added to the sum; `activation` is
 * what is done then, by its number in `math.as.ts`.
 */
export function matmulPackedF32(
  c: usize,
  stride: usize,
  a: usize,
  across: usize,
  along: usize,
  packed: usize,
  m: i32,
  k: i32,
  n: i32,
  bias: usize,
  activation: i32,
  scratch: usize,
): void {
  const edge = scratch + ((highMax * depthMax) << 2)
  for (let top = 0; top < m; top += highMax) {
    const high = min(highMax, m - top)
    let b = packed
    for (let at = 0; at < k; at += depthMax) {
      const depth = min(depthMax, k - at)
      packA(scratch, a + across * <usize>top + along * <usize>at, across, along, high, depth)
      for (let left = 0; left < n; left += columns, b += <usize>depth * panelB) {
        const to = c + stride * <usize>top + (<usize>left << 2)
        let row = 0
        if (isPair(n - left)) {
          const next = b + <usize>depth * panelB
          for (; row + rows <= high; row += rows)
            tileWide(scratch + <usize>row * <usize>depth * 4, b, next, depth, to + stride * <usize>row, stride, at > 0)
          down(scratch, b, row, high, columns, depth, to, stride, at > 0, edge)
          left += columns
          b = next
          down(scratch, b, row, high, columns, depth, to + columns * 4, stride, at > 0, edge)
        } else down(scratch, b, row, high, min(columns, n - left), depth, to, stride, at > 0, edge)
      }
    }
    const from = c + stride * <usize>top
    if (k == 0) for (let row = 0; row < high; row++) memory.fill(from + stride * <usize>row, 0, <usize>n << 2)
    finish(from, stride, high, n, bias, activation)
  }
}

/** One panel of B with rows of A from `row` on, as far as `high`. */
function down(a: usize, b: usize, row: i32, high: i32, broad: i32, depth: i32, to: usize, stride: usize, resume: bool, edge: usize): void {
  a += <usize>row * <usize>depth * 4
  to += stride * <usize>row
  for (; row < high; row += rows, a += <usize>depth * panelA, to += stride * rows) {
    if (row + rows <= high && broad == columns) tile(a, b, depth, to, stride, resume)
    else {
      const tall = min(rows, high - row)
      if (resume) copy(edge, panelB, to, stride, tall, broad)
      tile(a, b, depth, edge, panelB, resume)
      copy(to, stride, edge, panelB, tall, broad)
    }
  }
}

/** Bias, activation, and in `bitexact` the one NaN, of rows that the cache holds still. */
function finish(c: usize, stride: usize, high: i32, n: i32, bias: usize, activation: i32): void {
  for (; high > 0; high--, c += stride) {
    if (bias != 0) addF32(c, c, bias, n)
    if (activation != 0 || (!isFast && bias == 0)) mapF32(activation, c, c, n)
  }
}
