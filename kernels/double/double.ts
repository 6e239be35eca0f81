/** What kernels of doubles are in `bitexact`: JavaScript's own arithmetic. */
import { nearest } from "../math/math.ts"

export const doubleBinary = {
  add: (x: number, y: number): number => x + y,
  sub: (x: number, y: number): number => x - y,
  mul: (x: number, y: number): number => x * y,
  div: (x: number, y: number): number => x / y,
  min: (x: number, y: number): number => Math.min(x, y),
  max: (x: number, y: number): number => Math.max(x, y),
} as const

/** In the order of their numbers in `double.as.ts`. */
export const doubleMaps = {
  relu: (x: number): number => (Number.isNaN(x) ? x : x > 0 ? x : 0),
  sqrt: Math.sqrt,
  abs: Math.abs,
  neg: (x: number): number => -x,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  round: (x: number): number => (Number.isFinite(x) && x !== 0 ? (x < 0 ? -nearest(-x) : nearest(x)) : x),
  trunc: Math.trunc,
} as const

/** Of `[m, k]` and `[k, n]`: one sum over k each, ascending. */
export function matmulF64(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n)
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++) {
      let sum = 0
      for (let i = 0; i < k; i++) sum += (a[row * k + i] as number) * (b[i * n + column] as number)
      out[row * n + column] = sum
    }
  return out
}
