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
import { fromBase64 } from "../schemas/value/base64.ts"
import type { ConvolutionShape, Size } from "./convolve/convolve.ts"
import { type MapName, mapNames } from "./math/math.ts"
import { bytesMaxOfAll, KernelMemory, Numbers } from "./memory/memory.ts"
import { type BinaryName, type ComparisonName, comparisonNames } from "./vector/vector.ts"

/**
 * `bitexact`: the same bits on every engine and processor, those of the reference. `fast`: a multiplication and the addition after it may be one
 * rounding, and which NaN is written is the engine's choice.
 */
export type Mode = "bitexact" | "fast"
export const modes: ReadonlyArray<Mode> = ["bitexact", "fast"]

export interface KernelsOptions {
  /** Default `bitexact`. */
  readonly mode?: Mode
  /** Bytes of all arrays together; default 1 GiB, at most 4 GiB less 64 KiB. */
  readonly bytesMax?: number
}

export type Floats = Numbers<"f32">

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

/** Weights of a convolution, by `packConvolution`: as panels, or as they are where they go term by term. */
export interface PackedConvolution {
  readonly shape: ConvolutionShape
  readonly isPacked: boolean
  readonly weights: Floats
}

type Binary = (out: number, x: number, y: number, n: number) => void

/** What the module exports; addresses in bytes. */
interface Exports extends Record<`${BinaryName}F32`, Binary> {
  readonly addScalarF32: (out: number, x: number, s: number, n: number) => void
  readonly mulScalarF32: (out: number, x: number, s: number, n: number) => void
  readonly fmaF32: (out: number, x: number, y: number, z: number, n: number) => void
  readonly axpyF32: (y: number, s: number, x: number, n: number) => void
  readonly compareF32: (order: number, out: number, x: number, y: number, n: number) => void
  readonly compareBitsF32: (order: number, out: number, x: number, y: number, n: number) => void
  readonly mapF32: (map: number, out: number, x: number, n: number) => void
  readonly sumF32: (x: number, n: number) => number
  readonly meanF32: (x: number, n: number) => number
  readonly dotF32: (x: number, y: number, n: number) => number
  readonly maxOfF32: (x: number, n: number) => number
  readonly minOfF32: (x: number, n: number) => number
  readonly argmaxF32: (x: number, n: number) => number
  readonly packMatrixF32: (to: number, b: number, k: number, n: number, isTransposed: number) => void
  readonly matmulScratch: () => number
  readonly matmulPackedF32: (
    c: number,
    stride: number,
    a: number,
    across: number,
    along: number,
    packed: number,
    m: number,
    k: number,
    n: number,
    bias: number,
    activation: number,
    scratch: number,
  ) => void
  readonly softmaxF32: (out: number, x: number, rows: number, n: number) => void
  readonly logSoftmaxF32: (out: number, x: number, rows: number, n: number, scratch: number) => void
  readonly layerNormF32: (out: number, x: number, rows: number, n: number, gamma: number, beta: number, epsilon: number) => void
  readonly rmsNormF32: (out: number, x: number, rows: number, n: number, gamma: number, epsilon: number) => void
  readonly batchNormF32: (
    out: number,
    x: number,
    batch: number,
    channels: number,
    size: number,
    mean: number,
    variance: number,
    gamma: number,
    beta: number,
    epsilon: number,
  ) => void
  readonly packConvolutionF32: (to: number, weights: number, outChannels: number, k: number, groups: number) => void
  readonly areFiniteF32: (x: number, n: number) => number
  readonly convolutionScratch: () => number
  readonly convolveF32: (out: number, x: number, packed: number, bias: number, activation: number, shape: number, scratch: number) => void
  readonly convolveEachF32: (out: number, x: number, weights: number, bias: number, activation: number, shape: number) => void
}

/** Opens the kernels of a mode, in a memory of their own. @throws KernelError `Engine` without WebAssembly SIMD, `Unknown` mode, `Shape` of `bytesMax` */
export async function openKernels({ bytesMax = 1 << 30, mode = "bitexact" }: KernelsOptions = {}): Promise<Kernels> {
  if (!modes.includes(mode)) throw new KernelError("Unknown", { what: "mode", name: mode, known: modes.join(", ") })
  if (!(Number.isSafeInteger(bytesMax) && bytesMax > 0 && bytesMax <= bytesMaxOfAll - 65_536))
    throw new KernelError("Shape", { kernel: "openKernels", operand: "bytesMax", expected: `1 to ${bytesMaxOfAll - 65_536} bytes`, found: String(bytesMax) })
  const bytes = async (of: Mode): Promise<Uint8Array<ArrayBuffer>> => {
    const { wasm } = of === "fast" ? await import("./inference.fast.gen.ts") : await import("./inference.bitexact.gen.ts")
    return fromBase64(wasm) as Uint8Array<ArrayBuffer>
  }
  let module = await bytes(mode)
  // Where an engine has no relaxed SIMD the exact build is as good as `fast` gets.
  const isRelaxed = mode === "fast" && WebAssembly.validate(module)
  if (mode === "fast" && !isRelaxed) module = await bytes("bitexact")
  if (!WebAssembly.validate(module)) throw new KernelError("Engine", { detail: "this engine has no WebAssembly SIMD" })
  const memory = new KernelMemory(bytesMax)
  const { instance } = await WebAssembly.instantiate(module, { env: { memory: memory.memory } })
  return new Kernels(mode, memory, instance.exports as unknown as Exports)
}

const three = (of: ReadonlyArray<number> | undefined, other: number): Size => {
  const [a = other, b = other, c = other] = [...Array<number>(Math.max(0, 3 - (of?.length ?? 0))).fill(other), ...(of ?? [])]
  return [a, b, c]
}

const volume = ([d, h, w]: Size): number => d * h * w

export class Kernels {
  readonly mode: Mode
  readonly #memory: KernelMemory
  readonly #module: Exports
  /** Panels and edges of products and convolutions. */
  readonly #scratch: Numbers<"u8">
  /** Of a convolution, for the module. */
  readonly #shape: Numbers<"i32">

  constructor(mode: Mode, memory: KernelMemory, module: Exports) {
    this.mode = mode
    this.#memory = memory
    this.#module = module
    this.#scratch = new Numbers(memory, "u8", Math.max(module.matmulScratch(), module.convolutionScratch()))
    this.#shape = new Numbers(memory, "i32", 23)
  }

  /** Bytes that arrays have, those of the kernels themselves among them. */
  get bytesUsed(): number {
    return this.#memory.used
  }

  /** An array with these numbers. @throws KernelError `Memory` */
  numbers(values: ArrayLike<number>): Floats {
    const made = new Numbers(this.#memory, "f32", values.length)
    made.array.set(values)
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

  #made<T extends "f32" | "i32" | "u8">(type: T, length: number): Numbers<T> {
    if (!(Number.isSafeInteger(length) && length >= 0))
      throw new KernelError("Shape", { kernel: "allocation", operand: "length", expected: "a whole number from 0", found: String(length) })
    return new Numbers(this.#memory, type, length)
  }

  /** Where an operand lies. */
  #at(kernel: string, operand: string, of: Numbers, length: number, type = "f32"): number {
    if (of.type !== type) throw new KernelError("Type", { kernel, operand, expected: type, found: of.type })
    if (of.length !== length) throw new KernelError("Length", { kernel, operand, expected: length, found: of.length })
    if (!of.isIn(this.#memory)) throw new KernelError("Freed", { kernel, operand })
    return of.at
  }

  #optional(kernel: string, operand: string, of: Floats | undefined, length: number): number {
    return of === undefined ? 0 : this.#at(kernel, operand, of, length)
  }

  #binary(name: BinaryName, out: Floats, x: Floats, y: Floats): void {
    const n = out.length
    this.#module[`${name}F32`](this.#at(name, "out", out, n), this.#at(name, "x", x, n), this.#at(name, "y", y, n), n)
  }

  /** `out = x + y`; `out` may be `x` or `y`, here and in the five that follow. */
  add(out: Floats, x: Floats, y: Floats): void {
    this.#binary("add", out, x, y)
  }

  sub(out: Floats, x: Floats, y: Floats): void {
    this.#binary("sub", out, x, y)
  }

  mul(out: Floats, x: Floats, y: Floats): void {
    this.#binary("mul", out, x, y)
  }

  div(out: Floats, x: Floats, y: Floats): void {
    this.#binary("div", out, x, y)
  }

  /** The lesser of each two; NaN where one is, and -0 below +0. */
  min(out: Floats, x: Floats, y: Floats): void {
    this.#binary("min", out, x, y)
  }

  /** The greater of each two; NaN where one is, and +0 above -0. */
  max(out: Floats, x: Floats, y: Floats): void {
    this.#binary("max", out, x, y)
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
    for (const [operand, size] of Object.entries(sizes))
      if (!(Number.isSafeInteger(size) && size >= 0 && size < 2 ** 31))
        throw new KernelError("Shape", { kernel, operand, expected: "a whole number from 0 to 2147483647", found: String(size) })
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
    const { activation = "none", batch = 1, bias, isTransposedA = false, isTransposedB = false, k, m, n } = shape
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

  #rows(kernel: string, x: Floats, n: number): number {
    this.#sizes(kernel, { n })
    if (n === 0 ? x.length !== 0 : x.length % n !== 0)
      throw new KernelError("Shape", { kernel, operand: "n", expected: `a divisor of the ${x.length} numbers of "x"`, found: String(n) })
    return n === 0 ? 0 : x.length / n
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
    const { batch = 1, groups = 1, inChannels, isTransposed = false, outChannels } = of
    const dimensions = of.inSize.length
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
    const panels = new Numbers(this.#memory, "f32", groups * Math.ceil(high / 6) * 6 * k)
    this.#module.packConvolutionF32(panels.at, rows.at, outChannels, k, groups)
    rows.free()
    return { shape, isPacked: true, weights: panels }
  }

  /** Images `[batch, in, …size]` to `[batch, out, …size]`, with a bias of each output channel and an activation. */
  convolve(
    out: Floats,
    x: Floats,
    packed: PackedConvolution,
    { activation = "none", bias }: { readonly bias?: Floats; readonly activation?: MapName } = {},
  ): void {
    const { isPacked, shape, weights } = packed
    const { batch, dilation, groups, inChannels, inSize, isTransposed, kernel, outChannels, outSize, padding, stride } = shape
    const to = this.#at("convolve", "out", out, batch * outChannels * volume(outSize))
    const from = this.#at("convolve", "x", x, batch * inChannels * volume(inSize))
    const biasAt = this.#optional("convolve", "bias", bias, outChannels)
    const map = this.#map(activation)
    this.#shape.array.set([batch, inChannels, ...inSize, outChannels, ...kernel, ...outSize, ...stride, ...padding, ...dilation, groups, isTransposed ? 1 : 0])
    const at = this.#at("convolve", "weights", weights, weights.length)
    if (isPacked) this.#module.convolveF32(to, from, at, biasAt, map, this.#shape.at, this.#scratch.at)
    else this.#module.convolveEachF32(to, from, at, biasAt, map, this.#shape.at)
  }
}
