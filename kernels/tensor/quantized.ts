/** Convolutions of integers of 8 bits: images with one scale and zero point, weights with a scale for each output channel and no zero point. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { ConvolutionShape } from "../convolve/convolve.ts"
import type { Bytes8, Convolution, Floats, Integers, Kernels } from "../kernels.ts"
import type { Numbers } from "../memory/memory.ts"
import type { Operands } from "./operands.ts"
import { volumeOf } from "./tensor.ts"

/** Weights by `pack`. Free it. */
export interface PackedConvolution8 {
  readonly shape: ConvolutionShape
  /** Of a group: how many weights an output has, and how many outputs. */
  readonly k: number
  readonly n: number
  /** Of each group, one behind the other. */
  readonly panels: Numbers<"u8">
  /** Of the weights of each output channel. */
  readonly sums: Integers
  free(): void
}

/** Outputs that are computed at a time. */
const rowsMax = 120
/** What `|x - zero| · |w|` is at most, so many times, fits 32 bits. */
const depthMax = 65_536

export class Quantized {
  readonly #operands: Operands
  readonly #kernels: Pick<Kernels, "convolutionShape" | "describe">
  #way: number | undefined

  constructor(operands: Operands, kernels: Pick<Kernels, "convolutionShape" | "describe">) {
    this.#operands = operands
    this.#kernels = kernels
  }

  /**
   * Weights `[out, in / groups, …kernel]` from -127 to 127 for many convolutions.
   * @throws KernelError `Shape`, of more than 65,536 weights an output too, `Length`, `Type`, `Freed`, `Memory`
   */
  pack(weights: Bytes8, of: Convolution): PackedConvolution8 {
    const operands = this.#operands
    const shape = this.#kernels.convolutionShape(of)
    const refuse = (operand: string, expected: string, found: unknown) => new KernelError("Shape", { kernel: "pack", operand, expected, found: String(found) })
    if (shape.isTransposed) throw refuse("isTransposed", "false", true)
    const { groups, inChannels, outChannels } = shape
    const k = (inChannels / groups) * volumeOf(shape.kernel)
    const n = outChannels / groups
    if (k > depthMax) throw refuse("weights", `at most ${depthMax} an output`, k)
    const from = operands.at("pack", "weights", weights, outChannels * k, "i8")
    const least = weights.array.indexOf(-128)
    if (least >= 0) throw refuse(`weights[${least}]`, "whole numbers from -127 to 127", -128)
    const { columnSumsI8, packedBytesI8, packMatrixI8 } = operands.module
    const way = (this.#way ??= operands.module.byteProducts())
    const sums = operands.make("i32", outChannels)
    let panels: Numbers<"u8">
    try {
      panels = operands.make("u8", groups * packedBytesI8(k, n, way))
    } catch (error) {
      sums.free()
      throw error
    }
    for (let group = 0; group < groups; group++) {
      packMatrixI8(panels.at + group * packedBytesI8(k, n, way), from + group * n * k, k, n, 1, way)
      columnSumsI8(sums.at + group * n * 4, from + group * n * k, k, n, 1)
    }
    const free = (): void => {
      panels.free()
      sums.free()
    }
    return { shape, k, n, panels, sums, free }
  }

  /**
   * `sat8(roundeven((acc + bias) · factor) + outZero)` with `acc` the sum of `(x - inZero) · w`, exact; what lies outside the image is no term. `factors` are those of
   * each output channel, `quantizationFactor` of its scales; zero points are from -128 to 127, default 0.
   */
  convolve(
    out: Bytes8,
    x: Bytes8,
    { k, n, panels, shape, sums }: PackedConvolution8,
    { bias, factors, inZero = 0, outZero = 0 }: { readonly factors: Floats; readonly bias?: Integers; readonly inZero?: number; readonly outZero?: number },
  ): void {
    const operands = this.#operands
    const { batch, groups, inChannels, inSize, outChannels, outSize } = shape
    const pixels = volumeOf(outSize)
    const images = (inChannels / groups) * volumeOf(inSize)
    for (const [operand, zero] of Object.entries({ inZero, outZero }))
      if (!(Number.isInteger(zero) && zero >= -128 && zero <= 127))
        throw new KernelError("Shape", { kernel: "convolve", operand, expected: "a whole number from -128 to 127", found: String(zero) })
    const to = operands.at("convolve", "out", out, batch * outChannels * pixels, "i8")
    const from = operands.at("convolve", "x", x, batch * groups * images, "i8")
    const factorsAt = operands.at("convolve", "factors", factors, outChannels)
    const own = operands.at("convolve", "sums", sums, outChannels, "i32")
    const packed = operands.at("convolve", "panels", panels, panels.length, "u8")
    if (bias !== undefined) operands.at("convolve", "bias", bias, outChannels, "i32")
    if (out.length === 0) return
    operands.with((make) => {
      const { columnsI8, copyStrided, matmulI8, matmulScratchI8, packedBytesI8, requantizeI8 } = operands.module
      const way = this.#way ?? 0
      const [rows, acc, bytes] = [make("i8", rowsMax * k), make("i32", rowsMax * n), make("i8", rowsMax * n)]
      const [terms, scratch] = [make("i32", outChannels), make("u8", matmulScratchI8(k))]
      const ofSums = new Int32Array(operands.memory.memory.buffer, own, outChannels)
      // What the zero point adds to each sum, taken away beforehand; both wrap.
      terms.array.forEach((_, i, all) => (all[i] = (bias?.array[i] ?? 0) - Math.imul(inZero, ofSums[i] as number)))
      const shapeAt = this.#kernels.describe(shape)
      for (let part = 0; part < batch * groups; part++) {
        const group = part % groups
        const weights = packed + group * packedBytesI8(k, n, way)
        for (let first = 0; first < pixels; first += rowsMax) {
          const count = Math.min(rowsMax, pixels - first)
          columnsI8(rows.at, from + part * images, shapeAt, first, count, inZero)
          matmulI8(acc.at, rows.at, weights, count, k, n, scratch.at, way)
          requantizeI8(bytes.at, acc.at, count, n, terms.at + group * n * 4, factorsAt + group * n * 4, outZero)
          copyStrided(1, to + part * n * pixels + first, bytes.at, operands.planned([n, count], [pixels, 1], [1, n]), 2)
        }
      }
    })
  }
}
