/** What integers of 8 bits are computed as: sums are exact, and roundings are to the nearest, halves to even. */
import { nearest } from "../math/math.ts"

const saturated = (x: number): number => Math.min(127, Math.max(-128, x))

/** Of `[m, k]` and `[k, n]`. */
export function matmulI8(a: Int8Array, b: Int8Array, m: number, k: number, n: number): Int32Array {
  const out = new Int32Array(m * n)
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++) {
      let sum = 0
      for (let at = 0; at < k; at++) sum += (a[row * k + at] as number) * (b[at * n + column] as number)
      out[row * n + column] = sum
    }
  return out
}

/** `sat8(roundeven(f32(f32(acc + bias) · factor)) + zero)`. */
export const requantize = (acc: number, bias: number, factor: number, zero: number): number =>
  saturated(nearest(Math.fround(Math.fround((acc + bias) | 0) * Math.fround(factor))) + zero)

/** `sat8(roundeven(f32(x / scale)) + zero)`; NaN as 0. */
export const quantize = (x: number, scale: number, zero: number): number =>
  Number.isNaN(x) ? saturated(zero) : saturated(nearest(Math.fround(x / Math.fround(scale))) + zero)

export const dequantize = (x: number, scale: number, zero: number): number => Math.fround((x - zero) * Math.fround(scale))
