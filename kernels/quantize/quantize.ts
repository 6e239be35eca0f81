/** What integers of 8 bits are computed as: sums are exact, and roundings are to the nearest, halves to even. */
import type { ConvolutionShape, Size } from "../convolve/convolve.ts"
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

/** What the sums of a channel are multiplied with: by the scales of its inputs, its weights and its outputs. */
export const quantizationFactor = (inScale: number, weightScale: number, outScale: number): number =>
  Math.fround(Math.fround(Math.fround(inScale) * Math.fround(weightScale)) / Math.fround(outScale))

/** A convolution, exact but for its end; `[out, in / groups, …kernel]` weights. */
export function convolveI8(
  shape: ConvolutionShape,
  x: Int8Array,
  weights: Int8Array,
  of: { readonly factors: Float32Array; readonly bias: Int32Array; readonly inZero: number; readonly outZero: number },
): Int8Array {
  const volume = ([a, b, c]: Size): number => a * b * c
  const [pixels, taps, channels] = [volume(shape.outSize), volume(shape.kernel), shape.inChannels / shape.groups]
  const high = shape.outChannels / shape.groups
  return Int8Array.from({ length: shape.batch * shape.outChannels * pixels }, (_, place) => {
    const [pixel, o, b] = [place % pixels, Math.floor(place / pixels) % shape.outChannels, Math.floor(place / pixels / shape.outChannels)]
    let sum = 0
    for (let c = 0; c < channels; c++)
      for (let tap = 0; tap < taps; tap++) {
        const [height, width] = [shape.outSize[1], shape.outSize[2]]
        const output = [Math.floor(pixel / (height * width)), Math.floor(pixel / width) % height, pixel % width]
        const tapAt = [Math.floor(tap / (shape.kernel[1] * shape.kernel[2])), Math.floor(tap / shape.kernel[2]) % shape.kernel[1], tap % shape.kernel[2]]
        const at = output.map(
          (one, i) => one * (shape.stride[i] as number) - (shape.padding[i] as number) + (tapAt[i] as number) * (shape.dilation[i] as number),
        )
        if (at.some((one, i) => one < 0 || one >= (shape.inSize[i] as number))) continue
        const image = (b * shape.inChannels + Math.floor(o / high) * channels + c) * volume(shape.inSize)
        const value = x[image + at.reduce((all, one, i) => all * (shape.inSize[i] as number) + one, 0)] as number
        sum += (value - of.inZero) * (weights[(o * channels + c) * taps + tap] as number)
      }
    return requantize(sum, of.bias[o] as number, of.factors[o] as number, of.outZero)
  })
}

export const dequantize = (x: number, scale: number, zero: number): number => Math.fround((x - zero) * Math.fround(scale))
