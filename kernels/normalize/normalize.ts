/** What softmax and the norms are in `bitexact`, of one row. */
import { exp, log } from "../math/math.ts"
import { dot, max, mean, sum } from "../reduce/reduce.ts"

const f = Math.fround

export function softmax(x: Float32Array): Float32Array {
  const most = max(x)
  const e = x.map((value) => exp(f(value - most)))
  const all = sum(e)
  return e.map((value) => value / all)
}

export function logSoftmax(x: Float32Array): Float32Array {
  const most = max(x)
  const shifted = x.map((value) => value - most)
  const all = log(sum(shifted.map(exp)))
  return shifted.map((value) => value - all)
}

export const inverse = (variance: number, epsilon: number): number => f(1 / f(Math.sqrt(f(variance + f(epsilon)))))

const scaled = (x: Float32Array, inv: number, gamma: Float32Array | undefined, beta: Float32Array | undefined): Float32Array =>
  x.map((value, i) => {
    let v = f(value * inv)
    if (gamma !== undefined) v = f(v * (gamma[i] as number))
    if (beta !== undefined) v = f(v + (beta[i] as number))
    return v
  })

export function layerNorm(x: Float32Array, gamma: Float32Array | undefined, beta: Float32Array | undefined, epsilon: number): Float32Array {
  const middle = mean(x)
  const shifted = x.map((value) => value - middle)
  return scaled(shifted, inverse(f(dot(shifted, shifted) / x.length), epsilon), gamma, beta)
}

export const rmsNorm = (x: Float32Array, gamma: Float32Array | undefined, epsilon: number): Float32Array =>
  scaled(x, inverse(f(dot(x, x) / x.length), epsilon), gamma, undefined)

/** Of one channel. */
export function batchNorm(
  x: Float32Array,
  of: { readonly mean: number; readonly variance: number; readonly gamma: number; readonly beta: number },
  epsilon: number,
): Float32Array {
  const inv = inverse(of.variance, epsilon)
  return x.map((value) => f(f(f(f(value - of.mean) * inv) * of.gamma) + of.beta))
}
