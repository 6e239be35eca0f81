/** What the cross entropy of a softmax is in `bitexact`: a loss of each row, and the gradient of their mean. */
import { exp, log } from "../math/math.ts"
import { max, sum } from "../reduce/reduce.ts"

const f = Math.fround

export interface Entropy {
  readonly losses: Float32Array
  readonly dx: Float32Array
}

/** `target` of a row: the place of its class, or the probability of each. */
export function crossEntropy(x: Float32Array, n: number, target: (row: number) => number | Float32Array): Entropy {
  const rows = n === 0 ? 0 : x.length / n
  const losses = new Float32Array(rows)
  const dx = new Float32Array(x.length)
  for (let row = 0; row < rows; row++) {
    const of = x.subarray(row * n, (row + 1) * n)
    const most = max(of)
    const shifted = of.map((value) => value - most)
    const e = shifted.map(exp)
    const all = sum(e)
    const wanted = target(row)
    if (typeof wanted === "number") losses[row] = log(all) - (shifted[wanted] as number)
    else {
      const terms = shifted.map((value, i) => (wanted[i] === 0 ? 0 : (wanted[i] as number) * f(value - log(all))))
      losses[row] = 0 - sum(terms)
    }
    e.forEach((value, i) => {
      const part = f(value / all)
      const error = typeof wanted === "number" ? (i === wanted ? f(part - 1) : part) : f(part - (wanted[i] as number))
      dx[row * n + i] = error / rows
    })
  }
  return { losses, dx }
}
