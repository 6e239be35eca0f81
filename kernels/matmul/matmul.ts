/** What a product of matrices is in `bitexact`: each number one sum over k, ascending, from +0, then bias, then activation. */
import { type MapName, maps } from "../math/math.ts"

const f = Math.fround

export interface Product {
  readonly m: number
  readonly k: number
  readonly n: number
  /** `[m, k]`, or `[k, m]` where it is transposed. */
  readonly a: Float32Array
  /** `[k, n]`, or `[n, k]` where it is transposed. */
  readonly b: Float32Array
  readonly isTransposedA?: boolean
  readonly isTransposedB?: boolean
  /** Of `n` numbers. */
  readonly bias?: Float32Array | undefined
  readonly activation?: MapName
}

export function matmul({ a, activation = "none", b, bias, isTransposedA = false, isTransposedB = false, k, m, n }: Product): Float32Array {
  const out = new Float32Array(m * n)
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++) {
      let sum = 0
      for (let i = 0; i < k; i++)
        sum = f(sum + f((a[isTransposedA ? i * m + row : row * k + i] as number) * (b[isTransposedB ? column * k + i : i * n + column] as number)))
      if (bias !== undefined) sum = f(sum + (bias[column] as number))
      out[row * n + column] = maps[activation](sum)
    }
  return out
}
