/** What gradients of a convolution are in `bitexact`. */
import { channelSums } from "../reduce/columns.ts"
import { convolve, type ConvolutionShape } from "./convolve.ts"

const f = Math.fround

const volume = ([d, h, w]: readonly [number, number, number]): number => d * h * w

/** Of weights `[out, in / groups, …kernel]` of one that is not transposed: each a sum over images, then outputs, ascending, of terms inside the image. */
export function weightsGradient(shape: ConvolutionShape, x: Float32Array, dy: Float32Array): Float32Array {
  const { batch, dilation, groups, inChannels, inSize, kernel, outChannels, outSize, padding, stride } = shape
  const channels = inChannels / groups
  const taps = volume(kernel)
  return Float32Array.from({ length: outChannels * channels * taps }, (_, i) => {
    const [tap, c, o] = [i % taps, Math.floor(i / taps) % channels, Math.floor(i / taps / channels)]
    const place = [Math.floor(tap / kernel[1] / kernel[2]), Math.floor(tap / kernel[2]) % kernel[1], tap % kernel[2]] as const
    let sum = 0
    for (let b = 0; b < batch; b++) {
      const image = (b * inChannels + Math.floor(o / (outChannels / groups)) * channels + c) * volume(inSize)
      let pixel = (b * outChannels + o) * volume(outSize)
      for (let oz = 0; oz < outSize[0]; oz++)
        for (let oy = 0; oy < outSize[1]; oy++)
          for (let ox = 0; ox < outSize[2]; ox++, pixel++) {
            const z = oz * stride[0] - padding[0] + place[0] * dilation[0]
            const y = oy * stride[1] - padding[1] + place[1] * dilation[1]
            const column = ox * stride[2] - padding[2] + place[2] * dilation[2]
            if (z < 0 || z >= inSize[0] || y < 0 || y >= inSize[1] || column < 0 || column >= inSize[2]) continue
            sum = f(sum + f((dy[pixel] as number) * (x[image + (z * inSize[1] + y) * inSize[2] + column] as number)))
          }
    }
    return sum
  })
}

/** The convolution that is transposed to one: what it makes outputs of are that one's outputs. */
export const transposed = (shape: ConvolutionShape): ConvolutionShape => ({
  ...shape,
  inChannels: shape.outChannels,
  inSize: shape.outSize,
  outChannels: shape.inChannels,
  outSize: shape.inSize,
  isTransposed: !shape.isTransposed,
})

/** Weights as the reference of the transposed convolution takes them: `[in, out / groups, …kernel]` of what is `[out, in / groups, …kernel]`. */
export function turnedWeights({ groups, inChannels, kernel, outChannels }: ConvolutionShape, w: Float32Array): Float32Array {
  const [channels, high, taps] = [inChannels / groups, outChannels / groups, volume(kernel)]
  return w.map((_, i) => {
    const [tap, o, c] = [i % taps, Math.floor(i / taps) % high, Math.floor(i / taps / high)]
    return w[((Math.floor(c / channels) * high + o) * channels + (c % channels)) * taps + tap] as number
  })
}

export interface ConvolutionGradients {
  readonly dx: Float32Array
  readonly dw: Float32Array
  readonly db: Float32Array
}

/** Weights lie as they do for the library: `[out, in / groups, …kernel]`, and `[in, out / groups, …kernel]` where the convolution is transposed. */
export function convolveBackward(shape: ConvolutionShape, x: Float32Array, w: Float32Array, dy: Float32Array): ConvolutionGradients {
  const back = transposed(shape)
  return {
    dx: convolve(back, dy, shape.isTransposed ? w : turnedWeights(shape, w), undefined),
    dw: shape.isTransposed ? weightsGradient(back, dy, x) : weightsGradient(shape, x, dy),
    db: channelSums(dy, { batch: shape.batch, channels: shape.outChannels, size: volume(shape.outSize) }),
  }
}
