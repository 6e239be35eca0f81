/** What a convolution is in `bitexact`: each output one sum over channel, then the kernel's places, ascending, from +0, of terms inside the image. */
import { type MapName, maps } from "../math/math.ts"

const f = Math.fround

export type Size = readonly [depth: number, height: number, width: number]

export interface ConvolutionShape {
  readonly batch: number
  readonly inChannels: number
  readonly inSize: Size
  readonly outChannels: number
  readonly kernel: Size
  readonly outSize: Size
  readonly stride: Size
  /** At the beginning; what is needed at the end follows from the output's size. */
  readonly padding: Size
  readonly dilation: Size
  readonly groups: number
  readonly isTransposed: boolean
}

const volume = ([d, h, w]: Size): number => d * h * w

export function convolve(
  shape: ConvolutionShape,
  x: Float32Array,
  weights: Float32Array,
  bias: Float32Array | undefined,
  activation: MapName = "none",
): Float32Array {
  const { batch, dilation, groups, inChannels, inSize, isTransposed, kernel, outChannels, outSize, padding, stride } = shape
  const channels = inChannels / groups
  const high = outChannels / groups
  const out = new Float32Array(batch * outChannels * volume(outSize))
  const placeOf = (output: number, tap: number, dimension: 0 | 1 | 2): number | undefined => {
    const from = isTransposed
      ? (output + padding[dimension] - tap * dilation[dimension]) / stride[dimension]
      : output * stride[dimension] - padding[dimension] + tap * dilation[dimension]
    return Number.isInteger(from) && from >= 0 && from < inSize[dimension] ? from : undefined
  }
  let to = 0
  for (let b = 0; b < batch; b++)
    for (let o = 0; o < outChannels; o++)
      for (let oz = 0; oz < outSize[0]; oz++)
        for (let oy = 0; oy < outSize[1]; oy++)
          for (let ox = 0; ox < outSize[2]; ox++) {
            let sum = 0
            let w = o * channels * volume(kernel)
            for (let c = 0; c < channels; c++) {
              const image = (b * inChannels + Math.floor(o / high) * channels + c) * volume(inSize)
              for (let kz = 0; kz < kernel[0]; kz++)
                for (let ky = 0; ky < kernel[1]; ky++)
                  for (let kx = 0; kx < kernel[2]; kx++, w++) {
                    const [z, y, x3] = [placeOf(oz, kz, 0), placeOf(oy, ky, 1), placeOf(ox, kx, 2)]
                    if (z === undefined || y === undefined || x3 === undefined) continue
                    sum = f(sum + f((weights[w] as number) * (x[image + (z * inSize[1] + y) * inSize[2] + x3] as number)))
                  }
            }
            if (bias !== undefined) sum = f(sum + (bias[o] as number))
            out[to++] = maps[activation](sum)
          }
  return out
}
