/** What gradients of softmax and the norms are in `bitexact`. */
import { exp } from "../math/math.ts"
import { channelOf, columnSums, type Images } from "../reduce/columns.ts"
import { dot, mean, sum } from "../reduce/reduce.ts"
import { inverse } from "./normalize.ts"

const f = Math.fround

/** Of one row, from what softmax gave. */
export function softmaxBackward(y: Float32Array, dy: Float32Array): Float32Array {
  const all = dot(dy, y)
  return y.map((value, i) => value * f((dy[i] as number) - all))
}

/** Of one row, from what log-softmax gave. */
export function logSoftmaxBackward(y: Float32Array, dy: Float32Array): Float32Array {
  const all = sum(dy)
  return y.map((value, i) => (dy[i] as number) - f(exp(value) * all))
}

export interface NormGradients {
  readonly dx: Float32Array
  readonly dgamma: Float32Array
  readonly dbeta: Float32Array
}

export interface NormBackward {
  readonly x: Float32Array
  readonly dy: Float32Array
  readonly gamma: Float32Array | undefined
  readonly epsilon: number
}

const spread = (g: Float32Array, normal: Float32Array, middle: number, slope: number, factor: number): Float32Array =>
  g.map((value, i) => f(f(value - middle) - f((normal[i] as number) * slope)) * factor)

function rowsBackward(isCentered: boolean, n: number, { dy, epsilon, gamma, x }: NormBackward): NormGradients {
  const dx = new Float32Array(x.length)
  const products = new Float32Array(x.length)
  for (let at = 0; at < x.length; at += n) {
    const row = x.subarray(at, at + n)
    const shifted = isCentered ? row.map((value) => value - mean(row)) : row
    const inv = inverse(f(dot(shifted, shifted) / n), epsilon)
    const normal = shifted.map((value) => value * inv)
    const of = dy.subarray(at, at + n)
    products.set(
      of.map((value, i) => value * (normal[i] as number)),
      at,
    )
    const g = gamma === undefined ? of : of.map((value, i) => value * (gamma[i] as number))
    dx.set(spread(g, normal, isCentered ? mean(g) : 0, f(dot(g, normal) / n), inv), at)
  }
  return { dx, dgamma: columnSums(products, n), dbeta: columnSums(dy, n) }
}

/** Of rows of `n`. */
export const layerNormBackward = (n: number, of: NormBackward): NormGradients => rowsBackward(true, n, of)
/** Of rows of `n`; there is no beta. */
export function rmsNormBackward(n: number, of: NormBackward): Omit<NormGradients, "dbeta"> {
  const { dgamma, dx } = rowsBackward(false, n, of)
  return { dx, dgamma }
}

/** Mean and variance of each channel, over images and places. */
export function batchStatistics(x: Float32Array, of: Images): { readonly mean: Float32Array; readonly variance: Float32Array } {
  const [means, variances] = [new Float32Array(of.channels), new Float32Array(of.channels)]
  for (let channel = 0; channel < of.channels; channel++) {
    const values = channelOf(x, of, channel)
    const middle = mean(values)
    const shifted = values.map((value) => value - middle)
    means[channel] = middle
    variances[channel] = dot(shifted, shifted) / values.length
  }
  return { mean: means, variance: variances }
}

/** By the batch's own mean and variance. */
export function batchNormBackward(
  { batch, channels, size }: Images,
  { dy, epsilon, gamma, mean: means, variance, x }: NormBackward & { readonly mean: Float32Array; readonly variance: Float32Array },
): NormGradients {
  const [dx, dgamma, dbeta] = [new Float32Array(x.length), new Float32Array(channels), new Float32Array(channels)]
  const n = batch * size
  for (let channel = 0; channel < channels; channel++) {
    const inv = inverse(variance[channel] as number, epsilon)
    const normal = channelOf(x, { batch, channels, size }, channel).map((value) => f(value - (means[channel] as number)) * inv)
    const g = channelOf(dy, { batch, channels, size }, channel)
    const [all, product] = [sum(g), dot(g, normal)]
    dbeta[channel] = all
    dgamma[channel] = product
    const part = spread(g, normal, f(all / n), f(product / n), gamma === undefined ? inv : f((gamma[channel] as number) * inv))
    for (let i = 0; i < batch; i++) dx.set(part.subarray(i * size, (i + 1) * size), (i * channels + channel) * size)
  }
  return { dx, dgamma, dbeta }
}
