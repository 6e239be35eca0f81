/**
 * Kernels for a program in JavaScript, without a host: arrays in the kernels' memory and functions over them.
 *
 * ```ts
 * import { openKernels } from "stele/kernels"
 * const kernels = await openKernels()
 * using a = kernels.numbers([1, 2, 3, 4, 5, 6])
 * using b = kernels.numbers([7, 8, 9, 10, 11, 12])
 * using c = kernels.zeros(4)
 * kernels.matmul(c, a, b, { m: 2, k: 3, n: 2 })
 * c.array // [58, 64, 139, 154]
 * ```
 *
 * All are synchronous, allocate nothing while they compute, and write to their first operand, which may be one of the others only where that is said.
 */
import { KernelError } from "../schemas/error/kernel.ts"
import type { ConvolutionShape, Size } from "./convolve/convolve.ts"
import type { InferenceModule } from "./inference.ts"
import { type IntegerName, integerNames } from "./integer/integer.ts"
import { type MapName, mapNames, type MapWithName, mapWithNames } from "./math/math.ts"
import { mapNumber } from "./math/number.ts"
import { bytesMaxOfAll, KernelMemory, Numbers, type NumberType } from "./memory/memory.ts"
import { type Builds, instantiated, type Mode, modes } from "./memory/module.ts"
import { addressOf, checkSizes, given, rowsOf } from "./memory/operand.ts"
import { Elements } from "./tensor/elements.ts"
import { Folds } from "./tensor/folds.ts"
import { Layers } from "./tensor/layers.ts"
import { Moves } from "./tensor/moves.ts"
import { Operands } from "./tensor/operands.ts"
import { Quantized } from "./tensor/quantized.ts"
import { type Tensor, volumeOf } from "./tensor/tensor.ts"
import { type ComparisonName, comparisonNames } from "./vector/vector.ts"

export { type Mode, modes }

export interface KernelsOptions {
  /** Default `bitexact`. */
  readonly mode?: Mode
  /** Bytes of all arrays together; default 1 GiB, at most 4 GiB less 64 KiB. */
  readonly bytesMax?: number
  /** Products are laid out for an engine that joins two vectors of 128 bits into one of 256 (`enableTurbo` of `stele/accel`); others are slower so. Default false. */
  readonly isWide?: boolean
}

export type Floats = Numbers<"f32">
export type Integers = Numbers<"i32">
/** Of 8 bits. */
export type Bytes8 = Numbers<"i8">
/** Floats of 16 bits, as their bits. */
export type Halves = Numbers<"u16">

/** `[m, k] · [k, n]`. */
export interface ProductShape {
  readonly m: number
  readonly k: number
  readonly n: number
  /** A is kept as `[k, m]`. Default false. */
  readonly isTransposedA?: boolean
  /** B is kept as `[n, k]`. Default false. */
  readonly isTransposedB?: boolean
  /** Products one behind the other, in every operand but the bias. Default 1. */
  readonly batch?: number
  /** Of `n` numbers, added to each row. */
  readonly bias?: Floats
  /** Of each number after the bias. Default `none`. */
  readonly activation?: MapName
}

/** A right operand as panels, by `packMatrix`. */
export interface PackedMatrix {
  readonly k: number
  readonly n: number
  readonly panels: Floats
}

export interface Convolution {
  readonly batch?: number
  readonly inChannels: number
  readonly outChannels: number
  /** Depth, height and width; what is left out at the front is 1: `[width]`, `[height, width]`. */
  readonly inSize: ReadonlyArray<number>
  readonly kernel: ReadonlyArray<number>
  /** Default 1 each. */
  readonly stride?: ReadonlyArray<number>
  /** At the beginning and at the end of each dimension, as `[begin…, end…]`; default 0. */
  readonly padding?: ReadonlyArray<number>
  /** Default 1 each. */
  readonly dilation?: ReadonlyArray<number>
  /** Default 1. */
  readonly groups?: number
  readonly isTransposed?: boolean
  /** Added to the output's size at the end, where it is transposed. Default 0 each. */
  readonly outputPadding?: ReadonlyArray<number>
}

export interface Pooling extends Pick<Convolution, "inSize" | "kernel" | "stride" | "padding" | "dilation"> {
  /** Images, one behind the other: batch times channels. */
  readonly planes: number
  /** Of a mean: whether places in the padding count. Default false. */
  readonly isPadded?: boolean
}

export interface Attention {
  readonly heads: number
  readonly queries: number
  readonly keys: number
  readonly d: number
  /** Of a value; default `d`. */
  readonly width?: number
  /** Default 1 / √d. */
  readonly scale?: number
  /** `[queries, keys]`, added to the scores of each head. */
  readonly mask?: Floats
}

/** A right operand of 8 bits as panels, by `packMatrix8`. */
export interface PackedMatrix8 {
  readonly k: number
  readonly n: number
  readonly panels: Numbers<"u8">
  /** Of each column: what a zero point of the left operand is multiplied with. */
  readonly sums: Integers
}

/** Vectors and what tells the nearest of them, by `packVectors`. */
export class PackedVectors {
  readonly x: Floats
  readonly rows: number
  /** Numbers of each. */
  readonly n: number
  /** @internal Each row as integers of 8 bits. */
  readonly bytes: Numbers<"u8">
  /** @internal Lengths, what the bytes count and how far they are away, a multiple of four rows each, one behind the other. */
  readonly about: Floats

  constructor(x: Floats, rows: number, n: number, bytes: Numbers<"u8">, about: Floats) {
    this.x = x
    this.rows = rows
    this.n = n
    this.bytes = bytes
    this.about = about
  }

  /** Gives back what was made; the vectors themselves stay. */
  free(): void {
    this.bytes.free()
    this.about.free()
  }

  [Symbol.dispose](): void {
    this.free()
  }
}

/** Numbers of a vector at most, so that a sum of products of 8 by 8 bits and more fits 32. */
const vectorLengthMax = 65_536

/** Products of two integers of 8 bits are below 2¹⁴: the sum of so many fits 32 bits. */
const depthMax8 = 65_536

/** Weights of a convolution, by `packConvolution`: as panels, or as they are where they go term by term. */
export interface PackedConvolution {
  readonly shape: ConvolutionShape
  readonly isPacked: boolean
  readonly weights: Floats
}

/** Of inference. */
export const builds: Builds = { bitexact: () => import("./inference.bitexact.gen.ts"), fast: () => import("./inference.fast.gen.ts") }

/** @throws KernelError `Unknown` mode, `Shape` of `bytesMax` */
export function checkKernelsOptions({ bytesMax, mode }: Required<Pick<KernelsOptions, "bytesMax" | "mode">>): void {
  if (!modes.includes(mode)) throw new KernelError("Unknown", { what: "mode", name: mode, known: modes.join(", ") })
  if (!(Number.isSafeInteger(bytesMax) && bytesMax > 0 && bytesMax <= bytesMaxOfAll - 65_536))
    throw new KernelError("Shape", { kernel: "openKernels", operand: "bytesMax", expected: `1 to ${bytesMaxOfAll - 65_536} bytes`, found: String(bytesMax) })
}

/** Opens the kernels of a mode, in a memory of their own. @throws KernelError `Engine` without WebAssembly SIMD, `Unknown` mode, `Shape` of `bytesMax` */
export async function openKernels({ bytesMax = 1 << 30, isWide = false, mode = "bitexact" }: KernelsOptions = {}): Promise<Kernels> {
  checkKernelsOptions({ bytesMax, mode })
  const memory = new KernelMemory(bytesMax)
  const module = await instantiated<InferenceModule>(builds, mode, memory.memory)
  if (isWide) module.widen()
  return new Kernels(mode, memory, module)
}

const three = (of: ReadonlyArray<number> | undefined, other: number): Size => {
  const [a = other, b = other, c = other] = [...Array<number>(Math.max(0, 3 - (of?.length ?? 0))).fill(other), ...(of ?? [])]
  return [a, b, c]
}

const volume = ([d, h, w]: Size): number => d * h * w

export class Kernels {
  readonly mode: Mode
  /** Element by element over tensors of several types, whose shapes go together. */
  readonly elements: Elements
  /** Reductions of tensors over any dimensions. */
  readonly folds: Folds
  /** Tensors' numbers to other places. */
  readonly moves: Moves
  /** Attention and norms of tensors. */
  readonly layers: Layers
  /** Convolutions of integers of 8 bits. */
  readonly quantized: Quantized
  readonly #memory: KernelMemory
  readonly #module: InferenceModule
  /** Panels and edges of products and convolutions. */
  readonly #scratch: Numbers<"u8">
  /** Of a convolution, for the module. */
  readonly #shape: Numbers<"i32">
  /** How the processor multiplies integers of 8 bits, once it was asked. */
  #way8: number | undefined

  constructor(mode: Mode, memory: KernelMemory, module: InferenceModule) {
    this.mode = mode
    this.#memory = memory
    this.#module = module
    this.#scratch = new Numbers(memory, "u8", Math.max(module.matmulScratch(), module.convolutionScratch()))
    this.#shape = new Numbers(memory, "i32", 26)
    const operands = new Operands(memory, module)
    this.elements = new Elements(operands)
    this.folds = new Folds(operands)
    this.moves = new Moves(operands)
    this.layers = new Layers(operands, this.elements, this.folds, this.moves, this.#scratch.at)
    this.quantized = new Quantized(operands, this)
  }

  /** @internal What training shares. */
  get parts(): { readonly memory: KernelMemory; readonly module: InferenceModule; readonly scratch: number } {
    return { memory: this.#memory, module: this.#module, scratch: this.#scratch.at }
  }

  /** Bytes that arrays have, those of the kernels themselves among them. */
  get bytesUsed(): number {
    return this.#memory.used
  }

  /** An array with these numbers. @throws KernelError `Memory` */
  numbers(values: ArrayLike<number>): Floats {
    const made = this.#made("f32", given("numbers", "values", values).length)
    try {
      made.array.set(values)
    } catch (error) {
      made.free()
      throw error
    }
    return made
  }

  /** An array of `length` zeros. @throws KernelError `Memory`, `Shape` */
  zeros(length: number): Floats {
    const made = this.#made("f32", length)
    made.array.fill(0)
    return made
  }

  /** Integers of 32 bits, such as masks; all 0. @throws KernelError `Memory`, `Shape` */
  integers(length: number): Numbers<"i32"> {
    const made = this.#made("i32", length)
    made.array.fill(0)
    return made
  }

  /** Bytes, such as bitmaps; all 0. @throws KernelError `Memory`, `Shape` */
  bytes(length: number): Numbers<"u8"> {
    const made = this.#made("u8", length)
    made.array.fill(0)
    return made
  }

  /** Integers of 8 bits; all 0. @throws KernelError `Memory`, `Shape` */
  integers8(length: number): Bytes8 {
    const made = this.#made("i8", length)
    made.array.fill(0)
    return made
  }

  /** Floats of 16 bits, as their bits; all 0. @throws KernelError `Memory`, `Shape` */
  halves(length: number): Halves {
    const made = this.#made("u16", length)
    made.array.fill(0)
    return made
  }

  /** A tensor of zeros, or of these numbers, which are converted as typed arrays do it. @throws KernelError `Memory`, `Shape` */
  tensor<T extends NumberType>(type: T, shape: ReadonlyArray<number>, values?: ArrayLike<number>): Tensor<T> {
    const numbers = this.#made(type, volumeOf(shape))
    numbers.array.fill(0)
    if (values !== undefined && values.length !== numbers.length) {
      numbers.free()
      throw new KernelError("Length", { kernel: "allocation", operand: "values", expected: numbers.length, found: values.length })
    }
    if (values !== undefined) numbers.array.set(values)
    return { numbers, shape }
  }

  #made<T extends NumberType>(type: T, length: number): Numbers<T> {
    if (!(Number.isSafeInteger(length) && length >= 0))
      throw new KernelError("Shape", { kernel: "allocation", operand: "length", expected: "a whole number from 0", found: String(length) })
    return new Numbers(this.#memory, type, length)
  }

  /** Where an operand lies. */
  #at(kernel: string, operand: string, of: Numbers, length: number, type = "f32"): number {
    return addressOf(this.#memory, kernel, operand, of, length, type)
  }

  #optional(kernel: string, operand: string, of: Floats | undefined, length: number): number {
    return of === undefined ? 0 : this.#at(kernel, operand, of, length)
  }

  /** `out = x + y`; `out` may be `x` or `y`, here and in the five that follow. */
  add(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.addF32(this.#at("add", "out", out, n), this.#at("add", "x", x, n), this.#at("add", "y", y, n), n)
  }

  sub(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.subF32(this.#at("sub", "out", out, n), this.#at("sub", "x", x, n), this.#at("sub", "y", y, n), n)
  }

  mul(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.mulF32(this.#at("mul", "out", out, n), this.#at("mul", "x", x, n), this.#at("mul", "y", y, n), n)
  }

  div(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.divF32(this.#at("div", "out", out, n), this.#at("div", "x", x, n), this.#at("div", "y", y, n), n)
  }

  /** The lesser of each two; NaN where one is, and -0 below +0. */
  min(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.minF32(this.#at("min", "out", out, n), this.#at("min", "x", x, n), this.#at("min", "y", y, n), n)
  }

  /** The greater of each two; NaN where one is, and +0 above -0. */
  max(out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module.maxF32(this.#at("max", "out", out, n), this.#at("max", "x", x, n), this.#at("max", "y", y, n), n)
  }

  /** `out = x + s`; `out` may be `x`. */
  addScalar(out: Floats, x: Floats, s: number): void {
    const n = out.length
    this.#module.addScalarF32(this.#at("addScalar", "out", out, n), this.#at("addScalar", "x", x, n), s, n)
  }

  /** `out = x · s`; `out` may be `x`. */
  mulScalar(out: Floats, x: Floats, s: number): void {
    const n = out.length
    this.#module.mulScalarF32(this.#at("mulScalar", "out", out, n), this.#at("mulScalar", "x", x, n), s, n)
  }

  /** `out = x · y + z`; in `bitexact` with two roundings. `out` may be any of the others. */
  fma(out: Floats, x: Floats, y: Floats, z: Floats): void {
    const n = out.length
    this.#module.fmaF32(this.#at("fma", "out", out, n), this.#at("fma", "x", x, n), this.#at("fma", "y", y, n), this.#at("fma", "z", z, n), n)
  }

  /** `y += s · x`. */
  axpy(y: Floats, s: number, x: Floats): void {
    const n = y.length
    this.#module.axpyF32(this.#at("axpy", "y", y, n), s, this.#at("axpy", "x", x, n), n)
  }

  #order(name: ComparisonName): number {
    const order = comparisonNames.indexOf(name)
    if (order < 0) throw new KernelError("Unknown", { what: "comparison", name, known: comparisonNames.join(", ") })
    return order
  }

  /** 1 where it holds and 0 where not. */
  compare(order: ComparisonName, out: Numbers<"i32">, x: Floats, y: Floats): void {
    const n = out.length
    const to = this.#at("compare", "out", out, n, "i32")
    this.#module.compareF32(this.#order(order), to, this.#at("compare", "x", x, n), this.#at("compare", "y", y, n), n)
  }

  /** A bit where it holds, the first the lowest of its byte: `out` has `ceil(n / 8)` bytes. */
  compareBits(order: ComparisonName, out: Numbers<"u8">, x: Floats, y: Floats): void {
    const n = x.length
    const to = this.#at("compareBits", "out", out, Math.ceil(n / 8), "u8")
    this.#module.compareBitsF32(this.#order(order), to, this.#at("compareBits", "x", x, n), this.#at("compareBits", "y", y, n), n)
  }

  #map(name: MapName): number {
    const map = mapNames.indexOf(name)
    if (map < 0) throw new KernelError("Unknown", { what: "function", name, known: mapNames.join(", ") })
    return map
  }

  /** `out = f(x)`, one of `exp log tanh sigmoid erf gelu …` (`math.ts`); `out` may be `x`. */
  map(name: MapName, out: Floats, x: Floats): void {
    const n = out.length
    this.#module.mapF32(this.#map(name), this.#at(name, "out", out, n), this.#at(name, "x", x, n), n)
  }

  /**
   * `out = f(x, …parameters)`: `leakyRelu` with its slope (default 0.01), `elu` with its factor (1), `hardSigmoid` with factor and term (0.2 and 0.5),
   * `clip` with its ends (-∞ and ∞); `out` may be `x`.
   */
  mapWith(name: MapWithName, out: Floats, x: Floats, parameters: ReadonlyArray<number> = []): void {
    const [map, a, b] = mapNumber(name, parameters, mapWithNames)
    const n = out.length
    this.#module.mapWithF32(map, this.#at(name, "out", out, n), this.#at(name, "x", x, n), n, a, b)
  }

  /** In 32 lanes; of nothing 0. */
  sum(x: Floats): number {
    return this.#module.sumF32(this.#at("sum", "x", x, x.length), x.length)
  }

  /** Of nothing NaN. */
  mean(x: Floats): number {
    return this.#module.meanF32(this.#at("mean", "x", x, x.length), x.length)
  }

  /** The sum of products, in the order of `sum`. */
  dot(x: Floats, y: Floats): number {
    const n = x.length
    return this.#module.dotF32(this.#at("dot", "x", x, n), this.#at("dot", "y", y, n), n)
  }

  /** The greatest; NaN where one is; of nothing -∞. */
  maxOf(x: Floats): number {
    return this.#module.maxOfF32(this.#at("maxOf", "x", x, x.length), x.length)
  }

  /** The least; NaN where one is; of nothing +∞. */
  minOf(x: Floats): number {
    return this.#module.minOfF32(this.#at("minOf", "x", x, x.length), x.length)
  }

  /** The place of the greatest, the first of equals; a NaN is the greatest. Of nothing -1. */
  argmax(x: Floats): number {
    return this.#module.argmaxF32(this.#at("argmax", "x", x, x.length), x.length)
  }

  #sizes(kernel: string, sizes: Readonly<Record<string, number>>): void {
    checkSizes(kernel, sizes)
  }

  /** A right operand `[k, n]` (or `[n, k]`) as panels, once for many products. Free its `panels`. @throws KernelError `Memory` */
  packMatrix(b: Floats, { isTransposed = false, k, n }: { readonly k: number; readonly n: number; readonly isTransposed?: boolean }): PackedMatrix {
    this.#sizes("packMatrix", { k, n })
    const from = this.#at("packMatrix", "b", b, k * n)
    const panels = new Numbers(this.#memory, "f32", k * Math.ceil(n / 8) * 8)
    this.#module.packMatrixF32(panels.at, from, k, n, isTransposed ? 1 : 0)
    return { k, n, panels }
  }

  /**
   * `out = activation(a · b + bias)`. A packed `b` is one for the whole batch.
   * @throws KernelError `Length`, `Shape`, `Memory` for the panels of a `b` that is not packed
   */
  matmul(out: Floats, a: Floats, b: Floats | PackedMatrix, shape: ProductShape): void {
    const { activation = "none", batch = 1, bias, isTransposedA = false, isTransposedB = false, k, m, n } = given("matmul", "shape", shape)
    this.#sizes("matmul", { m, k, n, batch })
    const to = this.#at("matmul", "out", out, batch * m * n)
    const from = this.#at("matmul", "a", a, batch * m * k)
    const biasAt = this.#optional("matmul", "bias", bias, n)
    const map = this.#map(activation)
    const isPacked = "panels" in b
    if (isPacked && (b.k !== k || b.n !== n))
      throw new KernelError("Shape", { kernel: "matmul", operand: "b", expected: `[${k}, ${n}]`, found: `[${b.k}, ${b.n}]` })
    const wide = Math.ceil(n / 8) * 8
    const right = isPacked ? this.#at("matmul", "b", b.panels, k * wide) : this.#at("matmul", "b", b, batch * k * n)
    const own = isPacked ? undefined : new Numbers(this.#memory, "f32", k * wide)
    const across = isTransposedA ? 4 : k * 4
    const along = isTransposedA ? m * 4 : 4
    const { matmulPackedF32, packMatrixF32 } = this.#module
    for (let i = 0; i < batch; i++) {
      if (own !== undefined) packMatrixF32(own.at, right + i * k * n * 4, k, n, isTransposedB ? 1 : 0)
      matmulPackedF32(to + i * m * n * 4, n * 4, from + i * m * k * 4, across, along, own?.at ?? right, m, k, n, biasAt, map, this.#scratch.at)
    }
    own?.free()
  }

  /** Of each row of `n`; `out` may be `x`. */
  softmax(out: Floats, x: Floats, n: number): void {
    const rows = this.#rows("softmax", x, n)
    this.#module.softmaxF32(this.#at("softmax", "out", out, x.length), this.#at("softmax", "x", x, x.length), rows, n)
  }

  /** Of each row of `n`; `out` may be `x`. */
  logSoftmax(out: Floats, x: Floats, n: number): void {
    const rows = this.#rows("logSoftmax", x, n)
    const to = this.#at("logSoftmax", "out", out, x.length)
    const scratch = new Numbers(this.#memory, "f32", n)
    this.#module.logSoftmaxF32(to, this.#at("logSoftmax", "x", x, x.length), rows, n, scratch.at)
    scratch.free()
  }

  #rows(kernel: string, x: Floats | Integers, n: number): number {
    return rowsOf(kernel, x, n)
  }

  /** Each row of `n` to a mean of 0 and a variance of 1, then `· gamma + beta`; `out` may be `x`. `epsilon` is added to the variance, default 1e-5. */
  layerNorm(out: Floats, x: Floats, n: number, { beta, epsilon = 1e-5, gamma }: { gamma?: Floats; beta?: Floats; epsilon?: number } = {}): void {
    const rows = this.#rows("layerNorm", x, n)
    const [g, b] = [this.#optional("layerNorm", "gamma", gamma, n), this.#optional("layerNorm", "beta", beta, n)]
    this.#module.layerNormF32(this.#at("layerNorm", "out", out, x.length), this.#at("layerNorm", "x", x, x.length), rows, n, g, b, epsilon)
  }

  /** Each row of `n` to a mean of squares of 1, then `· gamma`; `out` may be `x`. `epsilon` default 1e-5. */
  rmsNorm(out: Floats, x: Floats, n: number, { epsilon = 1e-5, gamma }: { gamma?: Floats; epsilon?: number } = {}): void {
    const rows = this.#rows("rmsNorm", x, n)
    const g = this.#optional("rmsNorm", "gamma", gamma, n)
    this.#module.rmsNormF32(this.#at("rmsNorm", "out", out, x.length), this.#at("rmsNorm", "x", x, x.length), rows, n, g, epsilon)
  }

  /** `[batch, channels, …]` by a mean and variance of each channel, then `· gamma + beta`; `out` may be `x`. `epsilon` default 1e-5. */
  batchNorm(
    out: Floats,
    x: Floats,
    of: {
      readonly mean: Floats
      readonly variance: Floats
      readonly gamma?: Floats
      readonly beta?: Floats
      readonly batch?: number
      readonly epsilon?: number
    },
  ): void {
    const { batch = 1, beta, epsilon = 1e-5, gamma, mean, variance } = of
    const channels = mean.length
    this.#sizes("batchNorm", { batch })
    const size = batch * channels === 0 ? 0 : x.length / (batch * channels)
    if (!Number.isInteger(size))
      throw new KernelError("Shape", {
        kernel: "batchNorm",
        operand: "x",
        expected: `a multiple of ${batch} × ${channels} numbers`,
        found: `${x.length} numbers`,
      })
    this.#module.batchNormF32(
      this.#at("batchNorm", "out", out, x.length),
      this.#at("batchNorm", "x", x, batch * channels * size),
      batch,
      channels,
      size,
      this.#at("batchNorm", "mean", mean, channels),
      this.#at("batchNorm", "variance", variance, channels),
      this.#optional("batchNorm", "gamma", gamma, channels),
      this.#optional("batchNorm", "beta", beta, channels),
      epsilon,
    )
  }

  /** Sizes of a convolution, with that of its output. @throws KernelError `Shape` */
  convolutionShape(of: Convolution): ConvolutionShape {
    const { batch = 1, groups = 1, inChannels, isTransposed = false, outChannels } = given("convolve", "of", of)
    const dimensions = given("convolve", "inSize", of.inSize).length
    const refuse = (operand: string, expected: string, found: unknown) =>
      new KernelError("Shape", { kernel: "convolve", operand, expected, found: String(found) })
    if (dimensions < 1 || dimensions > 3) throw refuse("inSize", "1 to 3 sizes", `${dimensions} sizes`)
    for (const operand of ["kernel", "stride", "dilation", "outputPadding"] as const) {
      const sizes = of[operand]
      if (sizes !== undefined && sizes.length !== dimensions) throw refuse(operand, `${dimensions} sizes`, `${sizes.length} sizes`)
    }
    if (of.padding !== undefined && of.padding.length !== 2 * dimensions) throw refuse("padding", `${2 * dimensions} sizes`, `${of.padding.length} sizes`)
    const inSize = three(of.inSize, 1)
    const kernel = three(of.kernel, 1)
    const stride = three(of.stride, 1)
    const dilation = three(of.dilation, 1)
    const padding = three(of.padding?.slice(0, dimensions), 0)
    const end = three(of.padding?.slice(dimensions), 0)
    const more = three(of.outputPadding, 0)
    for (const [operand, sizes, least] of [
      ["inSize", inSize, 0],
      ["kernel", kernel, 1],
      ["stride", stride, 1],
      ["dilation", dilation, 1],
      ["padding", [...padding, ...end], 0],
      ["outputPadding", more, 0],
      ["batch", [batch], 0],
      ["groups", [groups], 1],
      ["inChannels", [inChannels], 0],
      ["outChannels", [outChannels], 0],
    ] as const)
      for (const size of sizes) if (!(Number.isSafeInteger(size) && size >= least && size < 2 ** 31)) throw refuse(operand, `whole numbers from ${least}`, size)
    if (inChannels % groups !== 0) throw refuse("inChannels", `a multiple of ${groups} groups`, inChannels)
    if (outChannels % groups !== 0) throw refuse("outChannels", `a multiple of ${groups} groups`, outChannels)
    const outOf = (i: 0 | 1 | 2): number => {
      const reach = dilation[i] * (kernel[i] - 1)
      return isTransposed
        ? (inSize[i] - 1) * stride[i] - padding[i] - end[i] + reach + more[i] + 1
        : Math.floor((inSize[i] + padding[i] + end[i] - reach - 1) / stride[i]) + 1
    }
    const outSize: Size = [outOf(0), outOf(1), outOf(2)]
    for (const size of outSize)
      if (!(size >= 0 && size < 2 ** 31)) throw refuse("inSize", "a size that the kernel fits in", `${of.inSize.join(" × ")} with an output of ${size}`)
    return { batch, inChannels, inSize, outChannels, kernel, outSize, stride, padding, dilation, groups, isTransposed }
  }

  /**
   * Weights `[out, in / groups, …kernel]` (transposed: `[in, out / groups, …kernel]`) for many convolutions. Free its `weights`.
   * @throws KernelError `Length`, `Shape`, `Memory`
   */
  packConvolution(weights: Floats, of: Convolution): PackedConvolution {
    const shape = this.convolutionShape(of)
    const { groups, inChannels, isTransposed, outChannels } = shape
    const taps = volume(shape.kernel)
    const [channels, high] = [inChannels / groups, outChannels / groups]
    const k = channels * taps
    const from = this.#at("packConvolution", "weights", weights, outChannels * k)
    const rows = new Numbers(this.#memory, "f32", outChannels * k)
    const [to, source] = [rows.array, weights.array]
    if (isTransposed) {
      for (let group = 0; group < groups; group++)
        for (let o = 0; o < high; o++)
          for (let c = 0; c < channels; c++) {
            const first = ((group * channels + c) * high + o) * taps
            to.set(source.subarray(first, first + taps), ((group * high + o) * channels + c) * taps)
          }
    } else to.set(source)
    const isFinite = this.mode === "fast" || this.#module.areFiniteF32(from, outChannels * k) !== 0
    if (channels === 1 || !isFinite) return { shape, isPacked: false, weights: rows }
    try {
      const panels = new Numbers(this.#memory, "f32", groups * Math.ceil(high / 6) * 6 * k)
      this.#module.packConvolutionF32(panels.at, rows.at, outChannels, k, groups)
      return { shape, isPacked: true, weights: panels }
    } finally {
      rows.free()
    }
  }

  /** Images `[batch, in, …size]` to `[batch, out, …size]`, with a bias of each output channel and an activation. */
  convolve(
    out: Floats,
    x: Floats,
    packed: PackedConvolution,
    { activation = "none", bias }: { readonly bias?: Floats; readonly activation?: MapName } = {},
  ): void {
    const { isPacked, shape, weights } = packed
    const { batch, inChannels, inSize, outChannels, outSize } = shape
    const to = this.#at("convolve", "out", out, batch * outChannels * volume(outSize))
    const from = this.#at("convolve", "x", x, batch * inChannels * volume(inSize))
    const biasAt = this.#optional("convolve", "bias", bias, outChannels)
    const map = this.#map(activation)
    this.describe(shape)
    const at = this.#at("convolve", "weights", weights, weights.length)
    if (isPacked) this.#module.convolveF32(to, from, at, biasAt, map, this.#shape.at, this.#scratch.at, 0, volume(outSize))
    else this.#module.convolveEachF32(to, from, at, biasAt, map, this.#shape.at)
  }

  /** @internal Writes a shape down for a module, at what it answers. */
  describe(
    { batch, dilation, groups, inChannels, inSize, isTransposed, kernel, outChannels, outSize, padding, stride }: ConvolutionShape,
    end: ReadonlyArray<number> = [0, 0, 0],
  ): number {
    this.#shape.array.set([
      ...[batch, inChannels, ...inSize, outChannels, ...kernel, ...outSize],
      ...[...stride, ...padding, ...dilation, groups, isTransposed ? 1 : 0, ...end],
    ])
    return this.#shape.at
  }

  /**
   * The greatest or the mean of each window of images `[planes, …inSize]`. A mean counts what lies in the image, or with `isPadded` in its padding too.
   * A window in which nothing lies is -∞, or NaN.
   */
  pool(out: Floats, x: Floats, kind: "max" | "mean", of: Pooling): void {
    if (kind !== "max" && kind !== "mean")
      throw new KernelError("Unknown", { what: "kind of pooling", name: typeof kind === "string" ? kind : typeof kind, known: "max, mean" })
    const { inSize, planes } = given("pool", "of", of)
    const shape = this.convolutionShape({ ...of, inChannels: planes, outChannels: planes, groups: Math.max(1, planes) })
    const end = three(of.padding?.slice(inSize.length), 0)
    const to = this.#at("pool", "out", out, planes * volume(shape.outSize))
    const from = this.#at("pool", "x", x, planes * volume(shape.inSize))
    this.describe(shape, end)
    this.#module.poolF32(to, from, planes, this.#shape.at, kind === "mean" ? 1 : 0, of.isPadded === true ? 1 : 0)
  }

  /** The greatest or the mean of each plane, as `pool` has it of a window that is all of it; of nothing -∞, or NaN. */
  globalPool(out: Floats, x: Floats, kind: "max" | "mean", planes: number): void {
    const n = planes === 0 ? 0 : x.length / planes
    this.#sizes("globalPool", { planes, n })
    if (n === 0 && planes > 0) return this.folds.reduce(kind, { numbers: out, shape: [planes] }, { numbers: x, shape: [planes, 0] }, [1])
    this.pool(out, x, kind, { planes, inSize: [Math.max(n, 1)], kernel: [Math.max(n, 1)] })
  }

  /** `out[columns, rows]` of `x[rows, columns]`. */
  transpose(out: Floats, x: Floats, { columns, rows }: { readonly rows: number; readonly columns: number }): void {
    this.#sizes("transpose", { rows, columns })
    this.#module.transpose32(this.#at("transpose", "out", out, rows * columns), this.#at("transpose", "x", x, rows * columns), rows, columns)
  }

  /**
   * `out` of a tensor whose dimensions come in another order: dimension i of `out` is `order[i]` of `x`, whose sizes are `sizes`.
   * @throws KernelError `Shape` for an order that is no permutation, or over 8 dimensions
   */
  permute(out: Floats, x: Floats, sizes: ReadonlyArray<number>, order: ReadonlyArray<number>): void {
    this.moves.transpose({ numbers: out, shape: order.map((i) => sizes[i] ?? 0) }, { numbers: x, shape: sizes }, order)
  }

  /** Rows of `size` numbers of `x`, by their places, negative ones from the end. @throws KernelError `Index` for a place that is out of range */
  gather(out: Floats, x: Floats, places: Integers, size: number): void {
    const rows = this.#rows("gather", x, size)
    this.moves.gather({ numbers: out, shape: [places.length, size] }, { numbers: x, shape: [rows, size] }, { numbers: places, shape: [places.length] })
  }

  /** The greatest numbers of `x` and their places, as many as `values` has, the greatest first; a NaN is the greatest, and of equals the first comes first. */
  topk(values: Floats, places: Integers, x: Floats): void {
    const k = values.length
    if (k > x.length)
      throw new KernelError("Shape", { kernel: "topk", operand: "values", expected: `at most the ${x.length} numbers of "x"`, found: `${k} numbers` })
    const at = this.#at("topk", "places", places, k, "i32")
    this.#module.topkF32(this.#at("topk", "values", values, k), at, this.#at("topk", "x", x, x.length), x.length, k)
  }

  /** Of each row as long as the query: the dot product with it, or with `norms`, those of the rows, the cosine. */
  scores(out: Floats, x: Floats, query: Floats, norms?: Floats): void {
    const n = query.length
    const rows = this.#rows("scores", x, n)
    const to = this.#at("scores", "out", out, rows)
    const at = this.#at("scores", "query", query, n)
    const lengths = this.#optional("scores", "norms", norms, rows)
    const own = norms === undefined ? 1 : Math.fround(Math.sqrt(this.#module.dotF32(at, at, n)))
    this.#module.scoresF32(to, this.#at("scores", "x", x, x.length), rows, n, at, lengths, own)
  }

  /** Of each row of `n` numbers: the root of the sum of squares. */
  norms(out: Floats, x: Floats, n: number): void {
    const rows = this.#rows("norms", x, n)
    this.#module.normsF32(this.#at("norms", "out", out, rows), this.#at("norms", "x", x, x.length), rows, n)
  }

  /**
   * Rows of `n` numbers for many searches of the nearest. `x` is not copied and must stay as it is; a quarter of its bytes and 12 bytes a row are made beside it.
   * @throws KernelError `Shape`, `Memory`
   */
  packVectors(x: Floats, n: number): PackedVectors {
    const rows = this.#rows("packVectors", x, n)
    if (n > vectorLengthMax)
      throw new KernelError("Shape", { kernel: "packVectors", operand: "n", expected: `at most vectorLengthMax (${vectorLengthMax})`, found: String(n) })
    const from = this.#at("packVectors", "x", x, rows * n)
    const four = Math.ceil(rows / 4) * 4
    const bytes = new Numbers(this.#memory, "u8", this.#module.vectorBytes(rows, n))
    let about: Floats
    try {
      about = this.zeros(3 * four)
    } catch (error) {
      bytes.free()
      throw error
    }
    this.#module.normsF32(about.at, from, rows, n)
    this.#module.packVectorsI8(bytes.at, about.at + 4 * four, about.at + 8 * four, from, rows, n)
    return new PackedVectors(x, rows, n, bytes, about)
  }

  /**
   * What `scores` and then `topk` give, in a fraction of the time: the greatest cosines with the query, or dot products, and their rows, as many as `values` has.
   * @throws KernelError `Length`, `Shape`, `Memory` for 12 bytes a row
   */
  nearest(values: Floats, places: Integers, vectors: PackedVectors, query: Floats, by: "cosine" | "dot" = "cosine"): void {
    const { about, bytes, n, rows, x } = vectors
    const k = values.length
    if (k > rows) throw new KernelError("Shape", { kernel: "nearest", operand: "values", expected: `at most the ${rows} vectors`, found: `${k} numbers` })
    if (by !== "cosine" && by !== "dot") throw new KernelError("Unknown", { what: "score", name: String(by), known: "cosine, dot" })
    const four = Math.ceil(rows / 4) * 4
    const to = this.#at("nearest", "values", values, k)
    const at = this.#at("nearest", "places", places, k, "i32")
    const [from, asked] = [this.#at("nearest", "x", x, rows * n), this.#at("nearest", "query", query, n)]
    const packed = this.#at("nearest", "vectors", bytes, bytes.length, "u8")
    const norms = this.#at("nearest", "vectors", about, 3 * four)
    const own = Math.fround(Math.sqrt(this.#module.dotF32(asked, asked, n)))
    const scratch = new Numbers(this.#memory, "u8", this.#module.nearestScratch(rows, n))
    const isCosine = by === "cosine" ? 1 : 0
    this.#module.nearestF32(to, at, from, rows, n, asked, norms, own, isCosine, packed, norms + 4 * four, norms + 8 * four, k, scratch.at)
    scratch.free()
  }

  /**
   * `softmax(q · kᵀ · scale + mask) · v` of each head: `q[heads, queries, d]`, `k[heads, keys, d]`, `v[heads, keys, width]` to
   * `out[heads, queries, width]`. `scale` default 1 / √d; `mask[queries, keys]` is added.
   * @throws KernelError `Length`, `Shape`, `Memory` for the scores of one head and its panels
   */
  attention(out: Floats, q: Floats, k: Floats, v: Floats, of: Attention): void {
    const { d, heads, keys, mask, queries, scale, width = of.d } = of
    this.#sizes("attention", { heads, queries, keys, d, width })
    const tensor = (numbers: Floats, rows: number, columns: number): Tensor<"f32"> => ({ numbers, shape: [1, heads, rows, columns] })
    this.layers.attention(tensor(out, queries, width), tensor(q, queries, d), tensor(k, keys, d), tensor(v, keys, width), {
      ...(mask === undefined ? {} : { mask: { numbers: mask, shape: [queries, keys] } }),
      ...(scale === undefined ? {} : { scale }),
    })
  }

  /** Halves as floats, exactly. */
  fromHalves(out: Floats, x: Halves): void {
    this.#module.halfToFloat(this.#at("fromHalves", "out", out, x.length), this.#at("fromHalves", "x", x, x.length, "u16"), x.length)
  }

  /** Floats as halves, to the nearest, ties to even. */
  toHalves(out: Halves, x: Floats): void {
    this.#module.floatToHalf(this.#at("toHalves", "out", out, x.length, "u16"), this.#at("toHalves", "x", x, x.length), x.length)
  }

  /** Floats as integers, towards 0; what is beyond their range is its end, and NaN 0. */
  toIntegers(out: Integers, x: Floats): void {
    this.#module.floatToInt(this.#at("toIntegers", "out", out, x.length, "i32"), this.#at("toIntegers", "x", x, x.length), x.length)
  }

  /** Integers as floats, to the nearest, ties to even. */
  fromIntegers(out: Floats, x: Integers): void {
    this.#module.intToFloat(this.#at("fromIntegers", "out", out, x.length), this.#at("fromIntegers", "x", x, x.length, "i32"), x.length)
  }

  /** `out = x ∘ y` of integers of 32 bits, which wrap; `out` may be `x` or `y`. */
  integer(name: IntegerName, out: Integers, x: Integers, y: Integers): void {
    const op = integerNames.indexOf(name)
    if (op < 0) throw new KernelError("Unknown", { what: "operation", name, known: integerNames.join(", ") })
    const n = out.length
    this.#module.binaryI32(op, this.#at(name, "out", out, n, "i32"), this.#at(name, "x", x, n, "i32"), this.#at(name, "y", y, n, "i32"), n)
  }

  /** Quotients towards 0, or what is left of them; the least integer by -1 wraps. @throws KernelError `DivisionByZero` */
  divideIntegers(out: Integers, x: Integers, y: Integers, what: "quotient" | "rest" = "quotient"): void {
    const n = out.length
    const [to, from, by] = [this.#at("divide", "out", out, n, "i32"), this.#at("divide", "x", x, n, "i32"), this.#at("divide", "y", y, n, "i32")]
    const bad = this.#module.divideI32(to, from, by, n, what === "rest" ? 1 : 0)
    if (bad >= 0) throw new KernelError("DivisionByZero", { kernel: "divideIntegers", operand: "y", place: bad })
  }

  /** A right operand of 8 bits, `[k, n]` (or `[n, k]`), once for many products. Free its `panels` and `sums`. @throws KernelError `Memory`, `Shape` */
  packMatrix8(b: Bytes8, { isTransposed = false, k, n }: { readonly k: number; readonly n: number; readonly isTransposed?: boolean }): PackedMatrix8 {
    this.#sizes("packMatrix8", { k, n })
    if (k > depthMax8) throw new KernelError("Shape", { kernel: "packMatrix8", operand: "k", expected: `at most ${depthMax8}`, found: String(k) })
    const from = this.#at("packMatrix8", "b", b, k * n, "i8")
    const way = (this.#way8 ??= this.#module.byteProducts())
    const sums = new Numbers(this.#memory, "i32", n)
    let panels: Numbers<"u8">
    try {
      panels = new Numbers(this.#memory, "u8", this.#module.packedBytesI8(k, n, way))
    } catch (error) {
      sums.free()
      throw error
    }
    this.#module.packMatrixI8(panels.at, from, k, n, isTransposed ? 1 : 0, way)
    this.#module.columnSumsI8(sums.at, from, k, n, isTransposed ? 1 : 0)
    return { k, n, panels, sums }
  }

  /** `out[m, n]` of 32 bits `= a[m, k] · b`, exactly. */
  matmul8(out: Integers, a: Bytes8, { k, n, panels }: PackedMatrix8, m: number): void {
    this.#sizes("matmul8", { m })
    const to = this.#at("matmul8", "out", out, m * n, "i32")
    const from = this.#at("matmul8", "a", a, m * k, "i8")
    const right = this.#at("matmul8", "b", panels, this.#module.packedBytesI8(k, n, this.#way8 ?? 0), "u8")
    const scratch = new Numbers(this.#memory, "u8", this.#module.matmulScratchI8(k))
    this.#module.matmulI8(to, from, right, m, k, n, scratch.at, this.#way8 ?? 0)
    scratch.free()
  }

  /**
   * Sums of 32 bits as integers of 8: `sat8(roundeven((acc + bias) · factor) + zero)`, with a factor, and a bias where there is one, for each of the
   * `factors.length` columns. `zero` is the zero point, from -128 to 127, default 0.
   */
  requantize(out: Bytes8, acc: Integers, factors: Floats, { bias, zero = 0 }: { readonly bias?: Integers; readonly zero?: number } = {}): void {
    const n = factors.length
    const rows = this.#rows("requantize", acc, n)
    this.#zero("requantize", zero)
    const to = this.#at("requantize", "out", out, acc.length, "i8")
    const biasAt = bias === undefined ? 0 : this.#at("requantize", "bias", bias, n, "i32")
    this.#module.requantizeI8(to, this.#at("requantize", "acc", acc, acc.length, "i32"), rows, n, biasAt, this.#at("requantize", "factors", factors, n), zero)
  }

  #zero(kernel: string, zero: number): void {
    if (!(Number.isInteger(zero) && zero >= -128 && zero <= 127))
      throw new KernelError("Shape", { kernel, operand: "zero", expected: "a whole number from -128 to 127", found: String(zero) })
  }

  /** `sat8(roundeven(x / scale) + zero)`; NaN as 0. */
  quantize(out: Bytes8, x: Floats, scale: number, zero = 0): void {
    this.#zero("quantize", zero)
    this.#module.quantizeI8(this.#at("quantize", "out", out, x.length, "i8"), this.#at("quantize", "x", x, x.length), x.length, scale, zero)
  }

  /** `(x - zero) · scale`. */
  dequantize(out: Floats, x: Bytes8, scale: number, zero = 0): void {
    this.#zero("dequantize", zero)
    this.#module.dequantizeI8(this.#at("dequantize", "out", out, x.length), this.#at("dequantize", "x", x, x.length, "i8"), x.length, scale, zero)
  }
}
