/** `stele/kernels`: numeric kernels as a library. */
export {
  type Attention,
  type Bytes8,
  type Convolution,
  type Floats,
  type Halves,
  type Integers,
  type Kernels,
  type KernelsOptions,
  type Mode,
  openKernels,
  type PackedConvolution,
  type PackedMatrix,
  type PackedMatrix8,
  type Pooling,
  type ProductShape,
} from "./kernels.ts"
export type { ConvolutionShape } from "./convolve/convolve.ts"
export type { IntegerName } from "./integer/integer.ts"
export type { MapName, MapWithName } from "./math/math.ts"
export type { Numbers, NumberType } from "./memory/memory.ts"
export type { ComparisonName } from "./vector/vector.ts"
export { KernelError } from "../schemas/error/kernel.ts"
export { type LiteralSet, literalLimits, openTextKernels, type TextKernels, type TextKernelsOptions } from "./text.ts"
export type { Match } from "./search/literals.ts"
