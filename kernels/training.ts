/**
 * What training needs beside the kernels of inference: gradients and optimisers, over arrays of those same kernels, so that a step forward and a step back copy nothing.
 *
 * ```ts
 * import { openKernels, openTrainingKernels } from "stele/kernels"
 * const kernels = await openKernels()
 * const training = await openTrainingKernels(kernels)
 * using x = kernels.numbers([1, 2, 3, 4])
 * using w = kernels.numbers([0.5, -0.5])
 * using dy = kernels.numbers([1, -1])
 * using dw = kernels.zeros(2)
 * training.denseBackward({ dw }, { x, w, dy }, { m: 2, k: 2, n: 1 })
 * dw.array // [-2, -2]
 * training.sgd(w, dw, { rate: 0.1 })
 * w.array // [0.7, -0.3]
 * ```
 *
 * All are synchronous. A gradient replaces what its array held: where a value is used several times, its gradients are added (`kernels.add`). An array that is left out is not computed.
 */
import { KernelError } from "../schemas/error/kernel.ts"
import { transposed } from "./convolve/backward.ts"
import { phasesOf, spreadPhase } from "./convolve/phases.ts"
import type { ConvolutionShape } from "./convolve/convolve.ts"
import type { Attention, Convolution, Floats, Integers, Kernels, Pooling, ProductShape } from "./kernels.ts"
import { type GradientName, gradientNames, gradients } from "./math/backward.ts"
import { mapNumber } from "./math/number.ts"
import { Numbers, type NumberType } from "./memory/memory.ts"
import { type Builds, instantiated, type Mode } from "./memory/module.ts"
import { addressOf, checkSizes, rowsOf } from "./memory/operand.ts"

/** What `training.as.ts` exports. Addresses are in bytes, and 0 for what is left out; what each does is said at the kernel. */
export interface TrainingModule {
  readonly mapBackwardF32: (map: number, dx: number, of: number, dy: number, n: number, a: number, b: number) => void
  readonly columnSumsF32: (out: number, x: number, rows: number, n: number) => void
  readonly channelSumsF32: (out: number, x: number, batch: number, channels: number, size: number, scratch: number) => void
  readonly crossEntropyF32: (losses: number, dx: number, x: number, labels: number, rows: number, n: number) => number
  readonly crossEntropyOfF32: (losses: number, dx: number, x: number, p: number, rows: number, n: number, scratch: number) => void
  readonly softmaxBackwardF32: (dx: number, y: number, dy: number, rows: number, n: number) => void
  readonly logSoftmaxBackwardF32: (dx: number, y: number, dy: number, rows: number, n: number) => void
  readonly layerNormBackwardF32: (
    ...addresses: [dx: number, dgamma: number, dbeta: number, x: number, gamma: number, dy: number, rows: number, n: number, epsilon: number, scratch: number]
  ) => void
  readonly rmsNormBackwardF32: (
    ...addresses: [dx: number, dgamma: number, x: number, gamma: number, dy: number, rows: number, n: number, epsilon: number, scratch: number]
  ) => void
  readonly batchStatisticsF32: (mean: number, variance: number, x: number, batch: number, channels: number, size: number, scratch: number) => void
  readonly batchNormBackwardF32: (
    dx: number,
    dgamma: number,
    dbeta: number,
    x: number,
    mean: number,
    variance: number,
    gamma: number,
    dy: number,
    batch: number,
    channels: number,
    size: number,
    epsilon: number,
    scratch: number,
  ) => void
  readonly convolveWeightsScratch: () => number
  readonly convolveWeightsF32: (dw: number, x: number, dy: number, shape: number, scratch: number) => void
  readonly convolveWeightsEachF32: (dw: number, x: number, dy: number, shape: number) => void
  readonly poolBackwardF32: (dx: number, x: number, dy: number, planes: number, shape: number, isMean: number, isPadded: number) => void
  readonly gatherBackwardF32: (dx: number, rows: number, size: number, places: number, dy: number, count: number) => number
  readonly sgdF32: (w: number, dw: number, n: number, rate: number, decay: number) => void
  readonly momentumF32: (w: number, v: number, dw: number, n: number, rate: number, momentum: number, decay: number, isNesterov: number) => void
  readonly adamF32: (
    w: number,
    m: number,
    v: number,
    dw: number,
    n: number,
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    decay: number,
    isDecoupled: number,
    c1: number,
    c2: number,
  ) => void
  readonly uniformF32: (out: number, n: number, key: bigint, counter: bigint, upper: bigint, least: number, width: number, scratch: number) => void
  readonly dropoutF32: (
    ...addresses: [out: number, x: number, n: number, key: bigint, counter: bigint, upper: bigint, rate: number, factor: number, scratch: number]
  ) => void
  readonly lerpF32: (y: number, x: number, n: number, weight: number) => void
}

/** Of training. */
export const builds: Builds = { bitexact: () => import("./training.bitexact.gen.ts"), fast: () => import("./training.fast.gen.ts") }

/** Opens training over the arrays of these kernels, in their mode. @throws KernelError `Engine` */
export async function openTrainingKernels(kernels: Kernels): Promise<TrainingKernels> {
  return new TrainingKernels(kernels, await instantiated<TrainingModule>(builds, kernels.mode, kernels.parts.memory.memory))
}

export interface SgdOptions {
  /** What a gradient is multiplied with. */
  readonly rate: number
  /** Of weights, added to the gradient as `decay · w`. Default 0. */
  readonly decay?: number
}

export interface MomentumOptions extends SgdOptions {
  /** What is kept of the velocity. Default 0.9. */
  readonly momentum?: number
  /** Looks one step ahead, after Nesterov. Default false. */
  readonly isNesterov?: boolean
}

export interface AdamOptions extends SgdOptions {
  /** Default 0.9. */
  readonly beta1?: number
  /** Default 0.999. */
  readonly beta2?: number
  /** Default 1e-8. */
  readonly epsilon?: number
  /** The decay takes `rate · decay · w` of the weights and is not in the gradient: AdamW. Default false. */
  readonly isDecoupled?: boolean
}

/** A place in the random numbers of a seed. */
export interface RandomStream {
  /** Of 64 bits: what is above them is not looked at. */
  readonly seed: bigint
  /** Of 128 bits: each is four numbers. Default 0. What a call answers is the next one. */
  readonly counter?: bigint
}

/** What Adam keeps of parameters between steps. Who stores these arrays, and the parameters, goes on from there bit for bit. */
export interface AdamState {
  readonly m: Floats
  readonly v: Floats
  /** The powers of both betas, which begin at 1 and are multiplied at each step. */
  readonly powers: Floats
}

const volume = ([d, h, w]: readonly [number, number, number]): number => d * h * w

export class TrainingKernels {
  readonly kernels: Kernels
  readonly mode: Mode
  readonly #module: TrainingModule
  readonly #parts: Kernels["parts"]

  constructor(kernels: Kernels, module: TrainingModule) {
    this.kernels = kernels
    this.#parts = kernels.parts
    this.mode = kernels.mode
    this.#module = module
  }

  #at(kernel: string, operand: string, of: Numbers | undefined, length: number, type: NumberType = "f32"): number {
    if (of === undefined) throw new KernelError("Type", { kernel, operand, expected: type, found: "left out" })
    return addressOf(this.#parts.memory, kernel, operand, of, length, type)
  }

  #optional(kernel: string, operand: string, of: Floats | undefined, length: number): number {
    return of === undefined ? 0 : this.#at(kernel, operand, of, length)
  }

  /** Numbers to work in while `run` does. */
  #within<A>(length: number, run: (scratch: Floats) => A): A {
    const scratch = new Numbers(this.#parts.memory, "f32", length)
    try {
      return run(scratch)
    } finally {
      scratch.free()
    }
  }

  /**
   * Of `y = x · w + bias`, as `kernels.matmul` has it: `dx = dy · wᵀ`, `dw = xᵀ · dy`, and `db`, the sum of the rows of dy. `[m, k] · [k, n]`; with `isTransposedB` w and dw are
   * `[n, k]`. Of an activation the gradient comes first (`mapBackward`).
   * @throws KernelError `Length`, `Shape`, `Memory` for panels
   */
  denseBackward(
    out: { readonly dx?: Floats; readonly dw?: Floats; readonly db?: Floats },
    { dy, w, x }: { readonly x: Floats; readonly w: Floats; readonly dy: Floats },
    { isTransposedB = false, k, m, n }: Pick<ProductShape, "m" | "k" | "n" | "isTransposedB">,
  ): void {
    const kernel = "denseBackward"
    checkSizes(kernel, { m, k, n })
    const from = this.#at(kernel, "dy", dy, m * n)
    this.#at(kernel, "x", x, m * k)
    this.#at(kernel, "w", w, k * n)
    this.#optional(kernel, "dx", out.dx, m * k)
    this.#optional(kernel, "dw", out.dw, k * n)
    const db = this.#optional(kernel, "db", out.db, n)
    if (out.dw !== undefined)
      if (isTransposedB) this.kernels.matmul(out.dw, dy, x, { m: n, k: m, n: k, isTransposedA: true })
      else this.kernels.matmul(out.dw, x, dy, { m: k, k: m, n, isTransposedA: true })
    if (db !== 0) this.#module.columnSumsF32(db, from, m, n)
    if (out.dx !== undefined) this.kernels.matmul(out.dx, dy, w, { m, k: n, n: k, isTransposedB: !isTransposedB })
  }

  /**
   * Of a function of `kernels.map` or `mapWith`, with the same parameters, or of an activation: `dx = dy · f'`. It is taken from `y`, what the function gave, for relu, sigmoid, tanh, exp
   * and sqrt, and for the others from `x`, what it was given. Of relu and abs at 0 it is 0. `dx` may be any of the others.
   */
  mapBackward(
    name: GradientName,
    { dx }: { readonly dx: Floats },
    of: { readonly x?: Floats; readonly y?: Floats; readonly dy: Floats },
    parameters: ReadonlyArray<number> = [],
  ): void {
    const [map, a, b] = mapNumber(name, parameters, gradientNames)
    const kernel = `${name} backward`
    const n = dx.length
    const to = this.#at(kernel, "dx", dx, n)
    const operand = gradients[name].of
    this.#module.mapBackwardF32(map, to, this.#at(kernel, operand, of[operand], n), this.#at(kernel, "dy", of.dy, n), n, a, b)
  }

  /** Of `kernels.softmax` of rows of `n`, from what it gave: `dx = y (dy - Σ dy y)`. `dx` may be `dy`. */
  softmaxBackward({ dx }: { readonly dx: Floats }, { dy, y }: { readonly y: Floats; readonly dy: Floats }, n: number): void {
    const [to, of, from, rows] = this.#rowsBackward("softmaxBackward", dx, { y }, dy, n)
    this.#module.softmaxBackwardF32(to, of, from, rows, n)
  }

  /** Of `kernels.logSoftmax` of rows of `n`, from what it gave: `dx = dy - exp(y) Σ dy`. `dx` may be `dy`. */
  logSoftmaxBackward({ dx }: { readonly dx: Floats }, { dy, y }: { readonly y: Floats; readonly dy: Floats }, n: number): void {
    const [to, of, from, rows] = this.#rowsBackward("logSoftmaxBackward", dx, { y }, dy, n)
    this.#module.logSoftmaxBackwardF32(to, of, from, rows, n)
  }

  #rowsBackward(kernel: string, dx: Floats, of: { readonly x: Floats } | { readonly y: Floats }, dy: Floats, n: number): [number, number, number, number] {
    const [[operand, array]] = Object.entries(of) as [[string, Floats]]
    const rows = rowsOf(kernel, dy, n, "dy")
    const { length } = dy
    return [this.#at(kernel, "dx", dx, length), this.#at(kernel, operand, array, length), this.#at(kernel, "dy", dy, length), rows]
  }

  /**
   * The mean over rows of `n` of the cross entropy of a softmax of `x`, and in `dx` its gradient, `(softmax - p) / rows`. `labels`: of each row its class, from 0, or as floats a probability
   * of each class, which sum to 1 in a row. `losses`, where it is given, gets that of each row. Nothing overflows: the greatest is taken away first. Of no rows the mean is NaN. `dx` may be `x`.
   * @throws KernelError `Length`, `Shape` for a label that is no class, `Memory`
   */
  crossEntropy(
    { dx, losses }: { readonly dx: Floats; readonly losses?: Floats },
    { labels, x }: { readonly x: Floats; readonly labels: Integers | Floats },
    n: number,
  ): number {
    const kernel = "crossEntropy"
    const rows = rowsOf(kernel, x, n)
    const [to, from] = [this.#at(kernel, "dx", dx, x.length), this.#at(kernel, "x", x, x.length)]
    const given = this.#optional(kernel, "losses", losses, rows)
    const areClasses = labels.type === "i32"
    const at = areClasses ? this.#at(kernel, "labels", labels, rows, "i32") : this.#at(kernel, "labels", labels, x.length)
    return this.#within(rows + n, ({ at: scratch }) => {
      const each = given === 0 ? scratch + n * 4 : given
      if (!areClasses) this.#module.crossEntropyOfF32(each, to, from, at, rows, n, scratch)
      else {
        const bad = this.#module.crossEntropyF32(each, to, from, at, rows, n)
        if (bad >= 0)
          throw new KernelError("Shape", { kernel, operand: `labels[${bad}]`, expected: `a class from 0 to ${n - 1}`, found: String(labels.array[bad]) })
      }
      return this.#parts.module.meanF32(each, rows)
    })
  }

  /** Of `kernels.layerNorm` of rows of `n`, with the same `epsilon`, default 1e-5. `dx` may be `dy`. @throws KernelError `Length`, `Shape`, `Memory` for two rows */
  layerNormBackward(
    out: { readonly dx: Floats; readonly dgamma?: Floats; readonly dbeta?: Floats },
    { dy, gamma, x }: { readonly x: Floats; readonly gamma?: Floats; readonly dy: Floats },
    n: number,
    { epsilon = 1e-5 }: { readonly epsilon?: number } = {},
  ): void {
    const kernel = "layerNormBackward"
    const [to, of, from, rows] = this.#rowsBackward(kernel, out.dx, { x }, dy, n)
    const g = this.#optional(kernel, "gamma", gamma, n)
    const [dgamma, dbeta] = [this.#optional(kernel, "dgamma", out.dgamma, n), this.#optional(kernel, "dbeta", out.dbeta, n)]
    this.#within(2 * n, ({ at }) => this.#module.layerNormBackwardF32(to, dgamma, dbeta, of, g, from, rows, n, epsilon, at))
  }

  /** Of `kernels.rmsNorm` of rows of `n`, with the same `epsilon`, default 1e-5. `dx` may be `dy`. @throws KernelError `Length`, `Shape`, `Memory` for two rows */
  rmsNormBackward(
    out: { readonly dx: Floats; readonly dgamma?: Floats },
    { dy, gamma, x }: { readonly x: Floats; readonly gamma?: Floats; readonly dy: Floats },
    n: number,
    { epsilon = 1e-5 }: { readonly epsilon?: number } = {},
  ): void {
    const kernel = "rmsNormBackward"
    const [to, of, from, rows] = this.#rowsBackward(kernel, out.dx, { x }, dy, n)
    const [g, dgamma] = [this.#optional(kernel, "gamma", gamma, n), this.#optional(kernel, "dgamma", out.dgamma, n)]
    this.#within(2 * n, ({ at }) => this.#module.rmsNormBackwardF32(to, dgamma, of, g, from, rows, n, epsilon, at))
  }

  /** Numbers of a channel of an image. */
  #sizeOf(kernel: string, x: Floats, batch: number, channels: number): number {
    checkSizes(kernel, { batch })
    const size = batch * channels === 0 ? 0 : x.length / (batch * channels)
    if (!Number.isInteger(size))
      throw new KernelError("Shape", { kernel, operand: "x", expected: `a multiple of ${batch} × ${channels} numbers`, found: `${x.length} numbers` })
    return size
  }

  /**
   * Mean and variance (÷ n) of each channel of `[batch, channels, …]`, over images and places: what `kernels.batchNorm` takes while a net learns. What it takes afterwards, the averages of
   * many batches, follows them by `lerp`.
   * @throws KernelError `Length`, `Shape`, `Memory` for a channel
   */
  batchStatistics({ mean, variance }: { readonly mean: Floats; readonly variance: Floats }, x: Floats, { batch = 1 }: { readonly batch?: number } = {}): void {
    const kernel = "batchStatistics"
    const channels = mean.length
    const size = this.#sizeOf(kernel, x, batch, channels)
    const [means, variances] = [this.#at(kernel, "mean", mean, channels), this.#at(kernel, "variance", variance, channels)]
    const from = this.#at(kernel, "x", x, batch * channels * size)
    this.#within(batch * size, ({ at }) => this.#module.batchStatisticsF32(means, variances, from, batch, channels, size, at))
  }

  /**
   * Of `kernels.batchNorm` by the batch's own statistics, `batchStatistics`. `dx` may be `dy`. `epsilon` as before, default 1e-5.
   * @throws KernelError `Length`, `Shape`, `Memory` for two channels
   */
  batchNormBackward(
    out: { readonly dx: Floats; readonly dgamma?: Floats; readonly dbeta?: Floats },
    of: { readonly x: Floats; readonly mean: Floats; readonly variance: Floats; readonly gamma?: Floats; readonly dy: Floats },
    { batch = 1, epsilon = 1e-5 }: { readonly batch?: number; readonly epsilon?: number } = {},
  ): void {
    const kernel = "batchNormBackward"
    const channels = of.mean.length
    const size = this.#sizeOf(kernel, of.x, batch, channels)
    const n = batch * channels * size
    const to = this.#at(kernel, "dx", out.dx, n)
    const [dgamma, dbeta] = [this.#optional(kernel, "dgamma", out.dgamma, channels), this.#optional(kernel, "dbeta", out.dbeta, channels)]
    const [x, dy, gamma] = [this.#at(kernel, "x", of.x, n), this.#at(kernel, "dy", of.dy, n), this.#optional(kernel, "gamma", of.gamma, channels)]
    const [mean, variance] = [this.#at(kernel, "mean", of.mean, channels), this.#at(kernel, "variance", of.variance, channels)]
    this.#within(2 * batch * size, ({ at }) =>
      this.#module.batchNormBackwardF32(to, dgamma, dbeta, x, mean, variance, gamma, dy, batch, channels, size, epsilon, at),
    )
  }

  /**
   * Of `kernels.convolve`: `dx` is the transposed convolution of dy, `dw` a sum over images and outputs, `db` that of each channel. Weights and `dw` are
   * `[out, in / groups, …kernel]`, transposed `[in, out / groups, …kernel]`.
   * @throws KernelError `Length`, `Shape`, `Memory` for panels
   */
  convolveBackward(
    out: { readonly dx?: Floats; readonly dw?: Floats; readonly db?: Floats },
    { dy, w, x }: { readonly x: Floats; readonly w: Floats; readonly dy: Floats },
    of: Convolution,
  ): void {
    const kernel = "convolveBackward"
    const { kernels } = this
    const shape = kernels.convolutionShape(of)
    const { batch, groups, inChannels, inSize, isTransposed, outChannels, outSize } = shape
    const inputs = batch * inChannels * volume(inSize)
    const outputs = batch * outChannels * volume(outSize)
    const weights = (outChannels * inChannels * volume(shape.kernel)) / groups
    const [images, from] = [this.#at(kernel, "x", x, inputs), this.#at(kernel, "dy", dy, outputs)]
    this.#at(kernel, "w", w, weights)
    const { dx } = out
    this.#optional(kernel, "dx", dx, inputs)
    const [dw, db] = [this.#optional(kernel, "dw", out.dw, weights), this.#optional(kernel, "db", out.db, outChannels)]
    const size = volume(outSize)
    if (db !== 0) this.#within(batch * size, ({ at }) => this.#module.channelSumsF32(db, from, batch, outChannels, size, at))
    const back = transposed(shape)
    if (dw !== 0)
      if (isTransposed) this.#weights(dw, from, images, inputs, back)
      else this.#weights(dw, images, from, outputs, shape)
    if (dx !== undefined) this.#imageGradient(dx, dy, w, shape, back)
  }

  /** `dx` by the transposed convolution, phase by phase where it steps by more than one. */
  #imageGradient(dx: Floats, dy: Floats, w: Floats, { isTransposed, stride }: ConvolutionShape, back: ConvolutionShape): void {
    if (isTransposed || volume(stride) === 1) return this.#convolved(dx, dy, w, back)
    const taps = volume(back.kernel)
    // Phases that no tap meets are 0.
    dx.array.fill(0)
    for (const phase of phasesOf(back)) {
      const count = phase.taps.length
      if (count === 0) continue
      this.#within((w.length / taps) * count, (part) =>
        this.#within(back.batch * back.outChannels * volume(phase.shape.outSize), (image) => {
          const [from, to] = [w.array, part.array]
          for (let i = 0; i < to.length; i++) to[i] = from[Math.floor(i / count) * taps + (phase.taps[i % count] as number)] as number
          this.#convolved(image, dy, part, phase.shape)
          spreadPhase(dx.array, image.array, phase, back)
        }),
      )
    }
  }

  /** By weights as the library takes them. */
  #convolved(out: Floats, x: Floats, w: Floats, shape: ConvolutionShape): void {
    const { groups, inChannels, isTransposed, kernel, outChannels } = shape
    // Weights alone matter here; sizes are those of the shape.
    const packed = this.kernels.packConvolution(w, { inChannels, outChannels, groups, isTransposed, inSize: kernel, kernel })
    try {
      this.kernels.convolve(out, x, { ...packed, shape })
    } finally {
      packed.weights.free()
    }
  }

  /** Of weights of a convolution that is not transposed. */
  #weights(dw: number, x: number, dy: number, outputs: number, shape: ConvolutionShape): void {
    const at = this.kernels.describe(shape)
    if (this.mode === "fast" || this.#parts.module.areFiniteF32(dy, outputs) !== 0)
      this.#within(this.#module.convolveWeightsScratch() / 4, (scratch) => this.#module.convolveWeightsF32(dw, x, dy, at, scratch.at))
    else this.#module.convolveWeightsEachF32(dw, x, dy, at)
  }

  /** Of `kernels.pool`: all of a greatest goes to the first place that has it, and a mean's to each of its places alike. */
  poolBackward({ dx }: { readonly dx: Floats }, { dy, x }: { readonly x: Floats; readonly dy: Floats }, kind: "max" | "mean", of: Pooling): void {
    if (kind !== "max" && kind !== "mean") throw new KernelError("Unknown", { what: "kind of pooling", name: String(kind), known: "max, mean" })
    const kernel = "poolBackward"
    const { planes } = of
    const shape = this.kernels.convolutionShape({ ...of, inChannels: planes, outChannels: planes, groups: Math.max(1, planes) })
    const dimensions = of.inSize.length
    const end = [...Array<number>(3 - dimensions).fill(0), ...(of.padding?.slice(dimensions) ?? Array<number>(dimensions).fill(0))]
    const inputs = planes * volume(shape.inSize)
    const [to, images] = [this.#at(kernel, "dx", dx, inputs), this.#at(kernel, "x", x, inputs)]
    const from = this.#at(kernel, "dy", dy, planes * volume(shape.outSize))
    this.#module.poolBackwardF32(to, images, from, planes, this.kernels.describe(shape, end), kind === "mean" ? 1 : 0, of.isPadded === true ? 1 : 0)
  }

  /**
   * Of `kernels.gather`, as of an embedding: `dx` is zeros, to which each row of dy, of `size` numbers, is added at its place, ascending.
   * @throws KernelError `Length`, `Shape` for a place that is out of range
   */
  gatherBackward({ dx }: { readonly dx: Floats }, { dy, places }: { readonly places: Integers; readonly dy: Floats }, size: number): void {
    const kernel = "gatherBackward"
    const rows = rowsOf(kernel, dx, size, "dx")
    const count = places.length
    const [to, at] = [this.#at(kernel, "dx", dx, dx.length), this.#at(kernel, "places", places, count, "i32")]
    const bad = this.#module.gatherBackwardF32(to, rows, size, at, this.#at(kernel, "dy", dy, count * size), count)
    if (bad >= 0) throw new KernelError("Shape", { kernel, operand: `places[${bad}]`, expected: `${-rows} to ${rows - 1}`, found: String(places.array[bad]) })
  }

  /** Products in `kernels.matmul`'s order, of addresses. `across` and `along` of A are bytes from a row to the next, and from a column. */
  #product(
    c: number,
    [a, across, along]: readonly [number, number, number],
    [b, isTransposed]: readonly [number, boolean],
    m: number,
    k: number,
    n: number,
  ): void {
    const { module, scratch } = this.#parts
    this.#within(k * Math.ceil(n / 8) * 8, ({ at }) => {
      module.packMatrixF32(at, b, k, n, isTransposed ? 1 : 0)
      module.matmulPackedF32(c, n * 4, a, across, along, at, m, k, n, 0, 0, scratch)
    })
  }

  /** `softmax(q · kᵀ · scale + mask)` of a head. */
  #scores(to: number, q: number, k: number, mask: number, { d, keys, queries }: Attention, scale: number): void {
    const { addF32, mulScalarF32, softmaxF32 } = this.#parts.module
    const n = queries * keys
    this.#product(to, [q, d * 4, 4], [k, true], queries, d, keys)
    mulScalarF32(to, to, scale, n)
    if (mask !== 0) addF32(to, to, mask, n)
    softmaxF32(to, to, queries, keys)
  }

  /**
   * `kernels.attention`, which keeps in `weights[heads, queries, keys]` what each key counts for each query: `attentionBackward` need not compute it again.
   * @throws KernelError `Length`, `Shape`, `Memory` for panels
   */
  attention(
    { out, weights }: { readonly out: Floats; readonly weights: Floats },
    of: { readonly q: Floats; readonly k: Floats; readonly v: Floats },
    shape: Attention,
  ): void {
    const { d, heads, keys, mask, q, k, queries, scale, v, width } = this.#attention("attention", of, shape)
    const to = this.#at("attention", "out", out, heads * queries * width)
    const kept = this.#at("attention", "weights", weights, heads * queries * keys)
    for (let head = 0; head < heads; head++) {
      const part = kept + head * queries * keys * 4
      this.#scores(part, q + head * queries * d * 4, k + head * keys * d * 4, mask, shape, scale)
      this.#product(to + head * queries * width * 4, [part, keys * 4, 4], [v + head * keys * width * 4, false], queries, keys, width)
    }
  }

  #attention(kernel: string, { k, q, v }: { readonly q: Floats; readonly k: Floats; readonly v: Floats }, of: Attention) {
    const { d, heads, keys, queries, width = of.d } = of
    checkSizes(kernel, { heads, queries, keys, d, width })
    const operands = {
      q: this.#at(kernel, "q", q, heads * queries * d),
      k: this.#at(kernel, "k", k, heads * keys * d),
      v: this.#at(kernel, "v", v, heads * keys * width),
      mask: this.#optional(kernel, "mask", of.mask, queries * keys),
    }
    return { d, heads, keys, queries, width, scale: Math.fround(of.scale ?? Math.fround(1 / Math.fround(Math.sqrt(d)))), ...operands }
  }

  /**
   * Of attention. With P the weights of a head and S its scores: `dv = Pᵀ · dy`, `dP = dy · vᵀ`, `dS = P (dP - Σ dP P) · scale`, `dq = dS · k`, `dk = dSᵀ · q`. `weights` are those that
   * `attention` of these kernels kept, and are computed again where they are left out, a head at a time.
   * @throws KernelError `Length`, `Shape`, `Memory` for the scores of a head twice, and panels
   */
  attentionBackward(
    out: { readonly dq?: Floats; readonly dk?: Floats; readonly dv?: Floats },
    of: { readonly q: Floats; readonly k: Floats; readonly v: Floats; readonly weights?: Floats; readonly dy: Floats },
    shape: Attention,
  ): void {
    const kernel = "attentionBackward"
    const { d, heads, keys, mask, q, k, queries, scale, v, width } = this.#attention(kernel, of, shape)
    const n = queries * keys
    const from = this.#at(kernel, "dy", of.dy, heads * queries * width)
    const kept = this.#optional(kernel, "weights", of.weights, heads * n)
    const dq = this.#optional(kernel, "dq", out.dq, heads * queries * d)
    const [dk, dv] = [this.#optional(kernel, "dk", out.dk, heads * keys * d), this.#optional(kernel, "dv", out.dv, heads * keys * width)]
    this.#within(2 * n, (scratch) => {
      for (let head = 0; head < heads; head++) {
        const [queryAt, keyAt, valueAt] = [head * queries * d * 4, head * keys * d * 4, head * keys * width * 4]
        const dy = from + head * queries * width * 4
        const weights = kept === 0 ? scratch.at + n * 4 : kept + head * n * 4
        if (kept === 0) this.#scores(weights, q + queryAt, k + keyAt, mask, shape, scale)
        if (dv !== 0) this.#product(dv + valueAt, [weights, 4, keys * 4], [dy, false], keys, queries, width)
        const scores = scratch.at
        this.#product(scores, [dy, width * 4, 4], [v + valueAt, true], queries, width, keys)
        this.#module.softmaxBackwardF32(scores, weights, scores, queries, keys)
        this.#parts.module.mulScalarF32(scores, scores, scale, n)
        if (dq !== 0) this.#product(dq + queryAt, [scores, keys * 4, 4], [k + keyAt, false], queries, keys, d)
        if (dk !== 0) this.#product(dk + keyAt, [scores, 4, keys * 4], [q + queryAt, false], keys, queries, d)
      }
    })
  }

  /** A step down the gradient, in place: `w -= rate · (dw + decay · w)`. */
  sgd(w: Floats, dw: Floats, { decay = 0, rate }: SgdOptions): void {
    const n = w.length
    this.#module.sgdF32(this.#at("sgd", "w", w, n), this.#at("sgd", "dw", dw, n), n, rate, decay)
  }

  /** A step by a velocity, which begins at 0, in place: `v = momentum · v + g`, `w -= rate · v`; after Nesterov `w -= rate · (momentum · v + g)`. g is `dw + decay · w`. */
  momentum(w: Floats, dw: Floats, velocity: Floats, { decay = 0, isNesterov = false, momentum = 0.9, rate }: MomentumOptions): void {
    const n = w.length
    const [at, v] = [this.#at("momentum", "w", w, n), this.#at("momentum", "velocity", velocity, n)]
    this.#module.momentumF32(at, v, this.#at("momentum", "dw", dw, n), n, rate, momentum, decay, isNesterov ? 1 : 0)
  }

  /** What Adam keeps of so many parameters, before the first step. Free all three. @throws KernelError `Memory`, `Shape` */
  adamState(length: number): AdamState {
    const m = this.kernels.zeros(length)
    let v: Floats | undefined
    try {
      v = this.kernels.zeros(length)
      return { m, v, powers: this.kernels.numbers([1, 1]) }
    } catch (error) {
      m.free()
      v?.free()
      throw error
    }
  }

  /**
   * A step of Adam (Kingma and Ba 2015), in place: `m = β₁ m + (1 - β₁) g`, `v = β₂ v + (1 - β₂) g²`, both divided by 1 less the power of their β, and `w -= rate · m / (√v + epsilon)`. g is
   * `dw + decay · w`, or `isDecoupled` dw alone.
   */
  adam(w: Floats, dw: Floats, { m, powers, v }: AdamState, of: AdamOptions): void {
    const { beta1 = 0.9, beta2 = 0.999, decay = 0, epsilon = 1e-8, isDecoupled = false, rate } = of
    const n = w.length
    const [at, from] = [this.#at("adam", "w", w, n), this.#at("adam", "dw", dw, n)]
    const [first, second] = [this.#at("adam", "m", m, n), this.#at("adam", "v", v, n)]
    this.#at("adam", "powers", powers, 2)
    const both = powers.array
    // Each multiplication is rounded to a float, where it is stored.
    both[0] = (both[0] as number) * Math.fround(beta1)
    both[1] = (both[1] as number) * Math.fround(beta2)
    const [c1, c2] = [1 - (both[0] as number), 1 - (both[1] as number)]
    this.#module.adamF32(at, first, second, from, n, rate, beta1, beta2, epsilon, decay, isDecoupled ? 1 : 0, c1, c2)
  }

  /** What follows a number, in place: `y += weight · (x - y)`. Averages of weights, or of a norm's statistics. */
  lerp(y: Floats, x: Floats, weight: number): void {
    const n = y.length
    this.#module.lerpF32(this.#at("lerp", "y", y, n), this.#at("lerp", "x", x, n), n, weight)
  }

  /**
   * The norm of all gradients together, the root of the sum of each one's `dot` with itself; where it is over `most`, each is multiplied by `most / norm`, in place.
   */
  clipByNorm(gradients: ReadonlyArray<Floats>, most: number): number {
    const { dotF32, mulScalarF32 } = this.#parts.module
    const all = gradients.map((one, i) => [this.#at("clipByNorm", `gradients[${i}]`, one, one.length), one.length] as const)
    const norm = Math.fround(Math.sqrt(all.reduce((sum, [at, n]) => Math.fround(sum + dotF32(at, at, n)), 0)))
    if (norm > most) for (const [at, n] of all) mulScalarF32(at, at, Math.fround(most) / norm, n)
    return norm
  }

  /**
   * Random numbers from `least` (default 0) to `most` (1), such as weights to begin with: Philox4x32-10 of seed and counter, the same in both modes.
   * @returns the counter to go on with
   */
  uniform(out: Floats, { counter = 0n, least = 0, most = 1, seed }: RandomStream & { readonly least?: number; readonly most?: number }): bigint {
    const n = out.length
    const at = this.#at("uniform", "out", out, n)
    const width = Math.fround(most) - Math.fround(least)
    this.#within(16, (scratch) => this.#module.uniformF32(at, n, seed, counter, counter >> 64n, least, width, scratch.at))
    return counterAfter(counter, n)
  }

  /**
   * `x / (1 - rate)`, and 0 in the place of a part of `rate` of the numbers, which random ones choose. The gradient is the same call of dy, with the same counter. `out` may be `x`.
   * @returns the counter to go on with
   * @throws KernelError `Length`, `Shape` for a rate that is not from 0 to below 1
   */
  dropout(out: Floats, x: Floats, { counter = 0n, rate, seed }: RandomStream & { readonly rate: number }): bigint {
    const kernel = "dropout"
    if (!(rate >= 0 && Math.fround(rate) < 1))
      throw new KernelError("Shape", { kernel, operand: "rate", expected: "a number from 0 to below 1", found: String(rate) })
    const n = out.length
    const [to, from] = [this.#at(kernel, "out", out, n), this.#at(kernel, "x", x, n)]
    const factor = 1 / Math.fround(1 - Math.fround(rate))
    this.#within(16, (scratch) => this.#module.dropoutF32(to, from, n, seed, counter, counter >> 64n, rate, factor, scratch.at))
    return counterAfter(counter, n)
  }
}

/** Four numbers a counter; of 128 bits. */
const counterAfter = (counter: bigint, n: number): bigint => BigInt.asUintN(128, counter + BigInt(Math.ceil(n / 4)))
