/**
 * Integers of 8 bits. A product adds 16-bit products of two neighbours of k at a time to 32 bits, exactly; panels are those of the floats
 * (`tile.as.ts`) with two integers of 16 bits in the place of each float. In `fast`, where the processor does four neighbours of 8 bits exactly, `quads.as.ts`.
 */
import { isFast } from "../simd.as"
import { columns, copy, highMax, panelB, rows } from "../tile/tile.as"
import { packColumnQuads, packRowQuads } from "./quads.as"
import { headBytes, tile } from "./tile.as"
export { byteProducts } from "./quads.as"

/** Steps of k in a panel. */
@inline function stepsOf(k: i32, way: i32): i32 {
  return isFast && way != 0 ? (k + 3) >> 2 : (k + 1) >> 1
}

/**
 * `C[m,n]` of 32 bits `= A[m,k] · B[k,n]`, B packed by `packMatrixI8` with the same `way`, 0 or that of `byteProducts`. `scratch` holds `matmulScratchI8(k)`
 * bytes.
 */
export function matmulI8(c: usize, a: usize, packed: usize, m: i32, k: i32, n: i32, scratch: usize, way: i32): void {
  const isQuads = isFast && way != 0
  const steps = stepsOf(k, way)
  const panelBytes = (isQuads ? headBytes : 0) + <usize>steps * rows * 4
  const edge = scratch + panelBytes * (highMax / rows)
  for (let top = 0; top < m; top += highMax) {
    const high = min(highMax, m - top)
    const from = a + <usize>top * <usize>k
    if (isQuads) packRowQuads(scratch, from, high, k, way)
    else packRows(scratch, from, high, k)
    let b = packed
    for (let left = 0; left < n; left += columns, b += <usize>steps * panelB) {
      let panel = scratch
      for (let row = 0; row < high; row += rows, panel += panelBytes) {
        const to = c + ((<usize>(top + row) * <usize>n + <usize>left) << 2)
        const isWhole = row + rows <= high && left + columns <= n
        const at = isWhole ? to : edge
        const stride = isWhole ? <usize>n << 2 : panelB
        if (isQuads) tile<u8>(panel, b, steps, at, stride)
        else tile<u16>(panel, b, steps, at, stride)
        if (!isWhole) copy(to, <usize>n << 2, edge, panelB, min(rows, high - row), min(columns, n - left))
      }
    }
  }
}

export function matmulScratchI8(k: i32): i32 {
  return (highMax * ((k + 1) >> 1) + highMax + rows * columns) << 2
}

/** Six rows of A, two k at a time, as 16 bits. */
function packRows(to: usize, a: usize, high: i32, k: i32): void {
  for (let row = 0; row < high; row += rows, a += <usize>k * rows)
    for (let at = 0; at < k; at += 2)
      for (let i = 0; i < rows; i++, to += 4) {
        const from = a + <usize>i * <usize>k + <usize>at
        const first = row + i < high ? <i32>load<i8>(from) : 0
        const second = row + i < high && at + 1 < k ? <i32>load<i8>(from, 1) : 0
        store<i32>(to, (first & 0xffff) | (second << 16))
      }
}

export function packedBytesI8(k: i32, n: i32, way: i32): i32 {
  return stepsOf(k, way) * ((n + columns - 1) & -columns) * 4
}

/** Eight columns of B, two k at a time, as 16 bits, into `packedBytesI8`. `isTransposed`: B is kept as `[n, k]`. */
export function packMatrixI8(to: usize, b: usize, k: i32, n: i32, isTransposed: bool, way: i32): void {
  const along: usize = isTransposed ? 1 : <usize>n
  const across: usize = isTransposed ? <usize>k : 1
  if (isFast && way != 0) return packColumnQuads(to, b, k, n, along, across, way)
  for (let left = 0; left < n; left += columns)
    for (let at = 0; at < k; at += 2)
      for (let i = 0; i < columns; i++, to += 4) {
        const from = b + across * <usize>(left + i) + along * <usize>at
        const first = left + i < n ? <i32>load<i8>(from) : 0
        const second = left + i < n && at + 1 < k ? <i32>load<i8>(from + along) : 0
        store<i32>(to, (first & 0xffff) | (second << 16))
      }
}

/** Sums of the columns of B `[k, n]` (or `[n, k]`), of 32 bits: what a zero point of A is multiplied with. */
export function columnSumsI8(out: usize, b: usize, k: i32, n: i32, isTransposed: bool): void {
  const along: usize = isTransposed ? 1 : <usize>n
  const across: usize = isTransposed ? <usize>k : 1
  for (let column = 0; column < n; column++, out += 4) {
    let sum = 0
    for (let at = 0; at < k; at++) sum += <i32>load<i8>(b + across * <usize>column + along * <usize>at)
    store<i32>(out, sum)
  }
}

/**
 * `out[i] = sat8(roundeven(f32((acc[i] + bias[c]) · factor[c])) + zero)`, with c the column of `n`; the sum is rounded to float, then the product.
 * `bias` (32 bits) may be 0.
 */
export function requantizeI8(out: usize, acc: usize, rows: i32, n: i32, bias: usize, factors: usize, zero: i32): void {
  for (; rows > 0; rows--)
    for (let column: usize = 0, end = <usize>n << 2; column < end; column += 4, acc += 4, out += 1) {
      const sum = load<i32>(acc) + (bias == 0 ? 0 : load<i32>(bias + column))
      const scaled = nearest<f32>(<f32>sum * load<f32>(factors + column))
      // Saturated before the zero point is added, which both fit 32 bits then.
      const whole = <i32>min<f32>(max<f32>(scaled, -512), 512) + zero
      store<i8>(out, <i8>min<i32>(max<i32>(whole, -128), 127))
    }
}

/** `sat8(roundeven(x / scale) + zero)`; NaN as 0. */
export function quantizeI8(out: usize, x: usize, n: i32, scale: f32, zero: i32): void {
  for (; n > 0; n--, out += 1, x += 4) {
    const scaled = nearest<f32>(load<f32>(x) / scale)
    const whole = scaled != scaled ? zero : <i32>min<f32>(max<f32>(scaled, -512), 512) + zero
    store<i8>(out, <i8>min<i32>(max<i32>(whole, -128), 127))
  }
}

/** `(x - zero) · scale`. */
export function dequantizeI8(out: usize, x: usize, n: i32, scale: f32, zero: i32): void {
  for (; n > 0; n--, out += 4, x += 1) store<f32>(out, <f32>(<i32>load<i8>(x) - zero) * scale)
}
