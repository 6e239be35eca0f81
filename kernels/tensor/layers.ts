/** Layers that are made of several kernels. `out` is no operand. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { Numbers } from "../memory/memory.ts"
import type { Elements } from "./elements.ts"
import type { Folds } from "./folds.ts"
import type { Moves } from "./moves.ts"
import { type Operands, textOf } from "./operands.ts"
import { merged, stridesIn, stridesOf, type Tensor, volumeOf } from "./tensor.ts"

type Floats = Tensor<"f32">

export interface HeadsOfAttention {
  /** Default 1 / √d. */
  readonly scale?: number
  /** Of a shape that goes with `[batch, heads, queries, keys]`: floats are added to the scores, and where integers are 0 a key counts nothing. */
  readonly mask?: Tensor
  /** A query sees no key that comes after it, where the last of both are of one time. Default false. */
  readonly isCausal?: boolean
}

/** Of `broadcast.as.ts`. */
const [addKind, whereKind] = [0, 8] as const

export class Layers {
  readonly #operands: Operands
  readonly #elements: Elements
  readonly #folds: Folds
  readonly #moves: Moves
  /** What products work in. */
  readonly #scratch: number

  constructor(operands: Operands, elements: Elements, folds: Folds, moves: Moves, scratch: number) {
    this.#operands = operands
    this.#elements = elements
    this.#folds = folds
    this.#moves = moves
    this.#scratch = scratch
  }

  /**
   * `softmax(q · kᵀ · scale + mask) · v`: `q[batch, heads, queries, d]`, `k[batch, keyHeads, keys, d]`, `v[batch, keyHeads, keys, width]`,
   * `out[batch, heads, queries, width]`. `heads` is a multiple of `keyHeads`, of which each serves as many queries' heads, one after the other. A query that no
   * key counts for is NaN; a finite mask such as -3.4e38 makes it the mean instead.
   * @throws KernelError `Shape`, `Type`, `Length`, `Freed`; `Memory` for the scores of one head and its panels
   */
  attention(out: Floats, q: Floats, k: Floats, v: Floats, { isCausal = false, mask, scale }: HeadsOfAttention = {}): void {
    const operands = this.#operands
    const qAt = operands.tensorAt("attention", "q", q, "f32")
    const kAt = operands.tensorAt("attention", "k", k, "f32")
    const vAt = operands.tensorAt("attention", "v", v, "f32")
    if (q.shape.length !== 4)
      throw new KernelError("Shape", { kernel: "attention", operand: "q", expected: "[batch, heads, queries, d]", found: textOf(q.shape) })
    const [batch, heads, queries, d] = q.shape as readonly [number, number, number, number]
    const [keyHeads = 0, keys = 0] = k.shape.slice(1)
    const width = v.shape[3] ?? 0
    operands.expect("attention", "k", k, [batch, keyHeads, keys, d])
    operands.expect("attention", "v", v, [batch, keyHeads, keys, width])
    operands.expect("attention", "out", out, [batch, heads, queries, width])
    if (keyHeads === 0 ? heads !== 0 : heads % keyHeads !== 0)
      throw new KernelError("Shape", { kernel: "attention", operand: "q", expected: `a multiple of ${keyHeads} heads`, found: textOf(q.shape) })
    const to = operands.tensorAt("attention", "out", out, "f32")
    const masks = mask === undefined ? undefined : this.#masks(mask, [batch, heads, queries, keys])
    const factor = Math.fround(scale ?? Math.fround(1 / Math.fround(Math.sqrt(d))))
    if (out.numbers.length === 0) return
    const shared = heads / keyHeads
    operands.with((make) => {
      const scores = make("f32", queries * keys)
      const [left, right] = [make("f32", d * Math.ceil(keys / 8) * 8), make("f32", keys * Math.ceil(width / 8) * 8)]
      const { causalF32, matmulPackedF32, mulScalarF32, packMatrixF32, softmaxF32 } = operands.module
      for (let head = 0; head < batch * heads; head++) {
        const own = Math.floor(head / shared)
        if (head % shared === 0) {
          packMatrixF32(left.at, kAt + own * keys * d * 4, d, keys, 1)
          packMatrixF32(right.at, vAt + own * keys * width * 4, keys, width, 0)
        }
        matmulPackedF32(scores.at, keys * 4, qAt + head * queries * d * 4, d * 4, 4, left.at, queries, d, keys, 0, 0, this.#scratch)
        mulScalarF32(scores.at, scores.at, factor, queries * keys)
        masks?.(scores, head)
        if (isCausal) causalF32(scores.at, queries, keys, keys - queries)
        softmaxF32(scores.at, scores.at, queries, keys)
        matmulPackedF32(to + head * queries * width * 4, width * 4, scores.at, keys * 4, 4, right.at, queries, keys, width, 0, 0, this.#scratch)
      }
    })
  }

  /** Puts the mask of a head upon its scores. */
  #masks(mask: Tensor, shape: readonly [batch: number, heads: number, queries: number, keys: number]): (scores: Numbers<"f32">, head: number) => void {
    const operands = this.#operands
    const at = operands.tensorAt("attention", "mask", mask, ["f32", "i32"])
    const missing = shape.length - mask.shape.length
    if (missing < 0 || mask.shape.some((size, i) => size !== 1 && size !== shape[i + missing]))
      throw new KernelError("Shape", {
        kernel: "attention",
        operand: "mask",
        expected: `sizes of ${textOf(shape)} from the right, or 1`,
        found: textOf(mask.shape),
      })
    const strides = stridesIn(mask.shape, shape).map((stride) => stride * 4)
    const sizes = shape.slice(2)
    const own = stridesOf(sizes).map((stride) => stride * 4)
    const none = [0, 0]
    const isAdded = mask.numbers.type === "f32"
    const loops = merged({ sizes, strides: isAdded ? [own, own, strides.slice(2), none] : [own, own, none, strides.slice(2)] })
    const infinity = operands.plan.at + 960
    return (scores, head) => {
      const place = at + Math.floor(head / shape[1]) * (strides[0] as number) + (head % shape[1]) * (strides[1] as number)
      const plan = operands.planned(loops.sizes, ...loops.strides)
      new DataView(operands.memory.memory.buffer).setFloat32(infinity, Number.NEGATIVE_INFINITY, true)
      const { broadcast } = operands.module
      if (isAdded) broadcast(addKind, 0, 4, 4, scores.at, scores.at, place, 0, plan, loops.sizes.length)
      else broadcast(whereKind, 0, 4, 4, scores.at, scores.at, infinity, place, plan, loops.sizes.length)
    }
  }

  /**
   * Attention of rows in which the heads lie side by side: `q[batch, queries, heads · d]`, `k[batch, keys, keyHeads · d]`, `v[batch, keys, keyHeads · width]`,
   * `out[batch, queries, heads · width]`. `keyHeads` default `heads`.
   * @throws KernelError `Shape`, `Type`, `Length`, `Freed`, `Memory` for a copy of all of them
   */
  multiHeadAttention(
    out: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    { heads, keyHeads = heads, ...of }: HeadsOfAttention & { readonly heads: number; readonly keyHeads?: number },
  ): void {
    const parted = (operand: string, { numbers, shape }: Floats, count: number): Floats => {
      const [batch, rows, all] = shape
      if (batch === undefined || rows === undefined || all === undefined || shape.length !== 3 || !(Number.isInteger(count) && count > 0) || all % count !== 0)
        throw new KernelError("Shape", { kernel: "multiHeadAttention", operand, expected: `[batch, rows, a multiple of ${count} heads]`, found: textOf(shape) })
      return { numbers, shape: [batch, rows, count, all / count] }
    }
    const order = [0, 2, 1, 3]
    this.#operands.with((make) => {
      const turned = ({ numbers, shape }: Floats): Floats => ({ numbers: make("f32", numbers.length), shape: order.map((i) => shape[i] as number) })
      const byHead = (operand: string, x: Floats, count: number): Floats => {
        const from = parted(operand, x, count)
        const to = turned(from)
        this.#moves.transpose(to, from, order)
        return to
      }
      const whole = parted("out", out, heads)
      const result = turned(whole)
      this.attention(result, byHead("q", q, heads), byHead("k", k, keyHeads), byHead("v", v, keyHeads), of)
      this.#moves.transpose(whole, result, order)
    })
  }

  /** `exp(x - max)` along a dimension, divided by their sum: in 32 lanes where it is the last, else in its order. `out` may be `x`. @throws KernelError `Memory` */
  softmax(out: Floats, x: Floats, axis: number): void {
    this.#soft("softmax", out, x, axis)
  }

  /** `(x - max) - log(Σ exp(x - max))` along a dimension, the sum as of `softmax`. `out` may be `x`. @throws KernelError `Memory` */
  logSoftmax(out: Floats, x: Floats, axis: number): void {
    this.#soft("logSoftmax", out, x, axis)
  }

  #soft(kernel: "softmax" | "logSoftmax", out: Floats, x: Floats, axis: number): void {
    const operands = this.#operands
    const from = operands.tensorAt(kernel, "x", x, "f32")
    const place = operands.axis(kernel, x, axis)
    operands.expect(kernel, "out", out, x.shape)
    const to = operands.tensorAt(kernel, "out", out, "f32")
    if (x.numbers.length === 0) return
    const n = x.shape[place] as number
    const rows = x.numbers.length / n
    operands.with((make) => {
      const { logSoftmaxF32, softmaxF32 } = operands.module
      if (place === x.shape.length - 1) {
        if (kernel === "softmax") softmaxF32(to, from, rows, n)
        else logSoftmaxF32(to, from, rows, n, make("f32", n).at)
        return
      }
      const one: Floats = { numbers: make("f32", rows), shape: x.shape.map((size, i) => (i === place ? 1 : size)) }
      const each: Floats = kernel === "softmax" ? out : { numbers: make("f32", x.numbers.length), shape: x.shape }
      this.#folds.reduce("max", one, x, [place])
      this.#elements.binary("sub", out, x, one)
      this.#elements.map("exp", each, out)
      this.#folds.reduce("sum", one, each, [place])
      if (kernel === "logSoftmax") this.#elements.map("log", one, one)
      this.#elements.binary(kernel === "softmax" ? "div" : "sub", out, out, one)
    })
  }

  /**
   * `x[batch, channels, …]` with its channels in `groups`, each to a mean of 0 and a variance of 1, then `· gamma + beta` of each channel. `epsilon` is added to
   * the variance, default 1e-5. `out` may be `x`.
   */
  groupNorm(
    out: Floats,
    x: Floats,
    { beta, epsilon = 1e-5, gamma, groups }: { readonly groups: number; readonly gamma?: Floats; readonly beta?: Floats; readonly epsilon?: number },
  ): void {
    const operands = this.#operands
    const [batch, channels] = x.shape
    if (batch === undefined || channels === undefined || !(Number.isInteger(groups) && groups > 0) || channels % groups !== 0)
      throw new KernelError("Shape", { kernel: "groupNorm", operand: "x", expected: `[batch, a multiple of ${groups} channels, …]`, found: textOf(x.shape) })
    const from = operands.tensorAt("groupNorm", "x", x, "f32")
    operands.expect("groupNorm", "out", out, x.shape)
    const to = operands.tensorAt("groupNorm", "out", out, "f32")
    const perChannel = (operand: string, one: Floats | undefined): Floats | undefined => {
      if (one === undefined) return undefined
      operands.expect("groupNorm", operand, one, [channels])
      operands.tensorAt("groupNorm", operand, one, "f32")
      return { numbers: one.numbers, shape: [channels, ...x.shape.slice(2).map(() => 1)] }
    }
    const [factor, term] = [perChannel("gamma", gamma), perChannel("beta", beta)]
    if (x.numbers.length === 0) return
    operands.module.layerNormF32(to, from, batch * groups, volumeOf(x.shape) / (batch * groups), 0, 0, epsilon)
    if (factor !== undefined) this.#elements.binary("mul", out, out, factor)
    if (term !== undefined) this.#elements.binary("add", out, out, term)
  }
}
