/** A convolution in two dimensions by the parameters of an operation. */
import type { Convolution } from "../kernels.ts"
import type { Operation, Parameter, Shape } from "./operation.ts"

export const convolutionParameters: ReadonlyArray<Parameter> = [
  ...["inChannels", "outChannels", "height", "width"].map((name) => ({ name })),
  ...["kernelHeight", "kernelWidth"].map((name) => ({ name, default: 3, least: 1 })),
  ...["stride", "dilation", "groups"].map((name) => ({ name, default: 1, least: 1 })),
  { name: "padding", default: 0 },
  { name: "batch", default: 1 },
]

export const convolutionCheck: NonNullable<Operation["check"]> = ({ groups: parts = 1, inChannels = 0, outChannels = 0 }) =>
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
