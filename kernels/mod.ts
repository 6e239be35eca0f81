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
  type PackedVectors,
  type Pooling,
  type ProductShape,
} from "./kernels.ts"
export type { ConvolutionShape } from "./convolve/convolve.ts"
export type { IntegerName } from "./integer/integer.ts"
export type { GradientName } from "./math/backward.ts"
export type { MapName, MapWithName } from "./math/math.ts"
export type { Numbers, NumberType } from "./memory/memory.ts"
export type { ElementName } from "./tensor/elements.ts"
export type { HeadsOfAttention } from "./tensor/layers.ts"
export type { PackedConvolution8 } from "./tensor/quantized.ts"
export { quantizationFactor } from "./quantize/quantize.ts"
export type { FoldName } from "./tensor/folds.ts"
export type { Tensor } from "./tensor/tensor.ts"
export type { ComparisonName } from "./vector/vector.ts"
export { KernelError } from "../schemas/error/kernel.ts"
export {
  type AdamOptions,
  type AdamState,
  type MomentumOptions,
  openTrainingKernels,
  type RandomStream,
  type SgdOptions,
  type TrainingKernels,
} from "./training.ts"
export { type LiteralSet, literalLimits, openTextKernels, type TextKernels, type TextKernelsOptions } from "./text.ts"
export type { Match } from "./search/literals.ts"
export {
  Accelerator,
  type Batch,
  type CutOver,
  type DeviceStatus,
  type Measurement,
  openAccelerator,
  type Quota,
  type Receipt,
  type Run,
  type RunOptions,
} from "./accelerate/accelerator.ts"
export type { ComputeBuffer, ComputeBuffers } from "./accelerate/buffer.ts"
export { type AcceleratorOptions, type ChooseOptions, ownSources, type Remembered } from "./accelerate/core.ts"
export type { Calibration, Correction, Prediction } from "./accelerate/cost.ts"
export type { Absent, Device, DeviceArray, DeviceKind, DeviceSource, Dispatch, MemoryInfo } from "./accelerate/device.ts"
export { type Operation, operations, type Shape } from "./accelerate/operation.ts"
export type { OutputsOf } from "./accelerate/outputs.ts"
export { type Candidate, explainPlan, type Plan } from "./accelerate/plan.ts"
export { openWebGpu, type WebGpuDevice, type WebGpuOptions } from "./webgpu/device.ts"
export { type Pass, pass, type Plan as WebGpuPlan, type Program, type Shader } from "./webgpu/plan.ts"
export { AccelerateError } from "../schemas/error/accelerate.ts"
