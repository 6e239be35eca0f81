/** What kernels of doubles are in `bitexact`: JavaScript's own arithmetic. */
import { maps } from "../math/math.ts"

export const doubleBinary = {
  add: (x: number, y: number): number => x + y,
  sub: (x: number, y: number): number => x - y,
  mul: (x: number, y: number): number => x * y,
  div: (x: number, y: number): number => x / y,
  min: (x: number, y: number): number => Math.min(x, y),
  max: (x: number, y: number): number => Math.max(x, y),
} as const

const { abs, ceil, floor, neg, relu, round, sign, trunc } = maps

/** In the order of their numbers in `double.as.ts`; those of floats, but for the root, do not round. */
export const doubleMaps = { relu, sqrt: Math.sqrt, abs, neg, sign, floor, ceil, round, trunc } as const

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
