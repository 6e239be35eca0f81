/** A convolution in two dimensions by the parameters of an operation. */
import type { ConvolutionShape } from "../convolve/convolve.ts"
import type { Convolution } from "../kernels.ts"
import type { Operation, Parameter, Shape } from "./operation.ts"

const convolutionParameters: ReadonlyArray<Parameter> = [
  ...["inChannels", "outChannels", "height", "width"].map((name) => ({ name })),
  ...["kernelHeight", "kernelWidth"].map((name) => ({ name, default: 3, least: 1 })),
  ...["stride", "dilation", "groups"].map((name) => ({ name, default: 1, least: 1 })),
  { name: "padding", default: 0 },
  { name: "batch", default: 1 },
]

const convolutionCheck: NonNullable<Operation["check"]> = ({ groups: parts = 1, inChannels = 0, outChannels = 0 }) =>
  inChannels % parts !== 0 || outChannels % parts !== 0
    ? { parameter: "groups", expected: `a divisor of ${inChannels} and ${outChannels} channels` }
    : undefined

/** A convolution of two dimensions, as the library has it. */
export const convolutionOf = (shape: Shape): Convolution => {
  const { batch = 1, dilation = 1, groups: parts = 1, height = 0, inChannels = 0, kernelHeight = 1, kernelWidth = 1 } = shape
  const { outChannels = 0, padding = 0, stride = 1, width = 0 } = shape
  return {
    ...{ batch, inChannels, outChannels, groups: parts },
    inSize: [height, width],
    kernel: [kernelHeight, kernelWidth],
    stride: [stride, stride],
    padding: [padding, padding, padding, padding],
    dilation: [dilation, dilation],
  }
}

/** Height and width of what a convolution gives. */
export const convolvedSize = (shape: Shape): readonly [height: number, width: number] => {
  const { dilation = 1, height = 0, kernelHeight = 1, kernelWidth = 1, padding = 0, stride = 1, width = 0 } = shape
  const sizeOf = (from: number, taps: number): number => Math.max(0, Math.floor((from + 2 * padding - dilation * (taps - 1) - 1) / stride) + 1)
  return [sizeOf(height, kernelHeight), sizeOf(width, kernelWidth)]
}

/** The same as references take it. */
export function referenceShapeOf(shape: Shape): ConvolutionShape {
  const { batch = 1, dilation = 1, groups = 1, height = 0, inChannels = 0, kernelHeight = 1, kernelWidth = 1 } = shape
  const { outChannels = 0, padding = 0, stride = 1, width = 0 } = shape
  return {
    ...{ batch, inChannels, outChannels, groups, isTransposed: false },
    inSize: [1, height, width],
    kernel: [1, kernelHeight, kernelWidth],
    outSize: [1, ...convolvedSize(shape)],
    stride: [1, stride, stride],
    padding: [0, padding, padding],
    dilation: [1, dilation, dilation],
  }
}

/** Numbers of what a convolution is of and gives. */
export function convolutionLengths(shape: Shape): { readonly x: number; readonly w: number; readonly out: number } {
  const { batch = 1, groups = 1, height = 0, inChannels = 0, kernelHeight = 1, kernelWidth = 1, outChannels = 0, width = 0 } = shape
  const [high, wide] = convolvedSize(shape)
  return {
    x: batch * inChannels * height * width,
    w: (outChannels * inChannels * kernelHeight * kernelWidth) / groups,
    out: batch * outChannels * high * wide,
  }
}

/** Multiplications and additions of one pass over all taps. */
export const convolutionArithmetic = (shape: Shape): number => {
  const { groups = 1, inChannels = 0, kernelHeight = 1, kernelWidth = 1 } = shape
  return (2 * convolutionLengths(shape).out * inChannels * kernelHeight * kernelWidth) / groups
}

/** Sizes of `Operation` that conv2d and its gradient share. */
export const convolutionSizes: Pick<Operation, "parameters" | "check" | "tests" | "scaled"> = {
  parameters: convolutionParameters,
  check: convolutionCheck,
  tests: [
    { inChannels: 1, outChannels: 1, height: 3, width: 3 },
    { inChannels: 4, outChannels: 6, height: 9, width: 11, padding: 1, stride: 2, groups: 2, batch: 2 },
    { inChannels: 3, outChannels: 8, height: 12, width: 10, dilation: 2, padding: 2, kernelWidth: 2 },
  ],
  scaled: (n) => ({ inChannels: 16, outChannels: 16, height: n, width: n, padding: 1 }),
}
