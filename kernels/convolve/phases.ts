/**
 * A transposed convolution that steps by more than one, as several that step by one: outputs that are a stride apart meet the same taps, and the others nothing. What would be gathered as zeros is
 * left out, and each sum has the terms that it had, in their order.
 */
import type { ConvolutionShape, Size } from "./convolve.ts"

export interface Phase {
  /** Of the first output, the others being a stride apart. */
  readonly first: Size
  /** Places of its taps in the whole kernel, row by row; none: its outputs are 0. */
  readonly taps: ReadonlyArray<number>
  readonly shape: ConvolutionShape
}

/** In one dimension. */
interface Steps {
  readonly first: number
  readonly taps: ReadonlyArray<number>
  readonly padding: number
  readonly dilation: number
  readonly outSize: number
}

function stepsOf({ dilation, kernel, outSize, padding, stride }: ConvolutionShape, i: 0 | 1 | 2): ReadonlyArray<Steps> {
  return Array.from({ length: Math.min(stride[i], outSize[i]) }, (_, first) => {
    const reach = (tap: number): number => first + padding[i] - tap * dilation[i]
    const taps = Array.from({ length: kernel[i] }, (_, tap) => tap).filter((tap) => reach(tap) % stride[i] === 0)
    const [one = 0, two = one] = taps
    return {
      first,
      taps,
      padding: reach(one) / stride[i],
      dilation: Math.max(1, ((two - one) * dilation[i]) / stride[i]),
      outSize: Math.ceil((outSize[i] - first) / stride[i]),
    }
  })
}

export function phasesOf(shape: ConvolutionShape): ReadonlyArray<Phase> {
  const { kernel } = shape
  return stepsOf(shape, 0).flatMap((z) =>
    stepsOf(shape, 1).flatMap((y) =>
      stepsOf(shape, 2).map((x): Phase => {
        const three = (of: (steps: Steps) => number): Size => [of(z), of(y), of(x)]
        return {
          first: three(({ first }) => first),
          taps: z.taps.flatMap((tz) => y.taps.flatMap((ty) => x.taps.map((tx) => (tz * kernel[1] + ty) * kernel[2] + tx))),
          shape: {
            ...shape,
            kernel: three(({ taps }) => taps.length),
            stride: [1, 1, 1],
            padding: three(({ padding }) => padding),
            dilation: three(({ dilation }) => dilation),
            outSize: three(({ outSize }) => outSize),
          },
        }
      }),
    ),
  )
}

/** Outputs of a phase, image by image, to their places in the whole. */
export function spreadPhase(out: Float32Array, part: Float32Array, { first, shape: { outSize: sizes } }: Phase, { outSize, stride }: ConvolutionShape): void {
  const image = outSize[0] * outSize[1] * outSize[2]
  let from = 0
  for (let at = 0; from < part.length; at += image)
    for (let z = 0; z < sizes[0]; z++)
      for (let y = 0; y < sizes[1]; y++) {
        let to = at + ((first[0] + z * stride[0]) * outSize[1] + first[1] + y * stride[1]) * outSize[2] + first[2]
        for (let x = 0; x < sizes[2]; x++, to += stride[2]) out[to] = part[from++] as number
      }
}
