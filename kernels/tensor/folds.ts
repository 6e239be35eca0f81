/** Many numbers of tensors to one: reductions over any dimensions, places of the greatest, and sums of products of doubles. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { Numbers } from "../memory/memory.ts"
import { kinds, operations } from "./elements.ts"
import { Moves } from "./moves.ts"
import { bytesOf, type Operands, textOf } from "./operands.ts"
import { merged, stridesIn, stridesOf, type Tensor, volumeOf } from "./tensor.ts"

export const foldNames = ["sum", "mean", "max", "min", "prod"] as const
export type FoldName = (typeof foldNames)[number]

/** What a fold does, and what it begins at. */
const steps = { sum: ["add", 0], mean: ["add", 0], prod: ["mul", 1], max: ["max", Number.NEGATIVE_INFINITY], min: ["min", Number.POSITIVE_INFINITY] } as const
const types = ["f32", "f64", "i32"] as const
type FoldType = (typeof types)[number]

export class Folds {
  readonly #operands: Operands
  readonly #moves: Moves

  constructor(operands: Operands) {
    this.#operands = operands
    this.#moves = new Moves(operands)
  }

  /**
   * `x` over `axes`, by default all: `out` has the others, or all with 1 in the place of those. Floats, doubles, halves (as floats, rounded once) and
   * integers, which wrap and have no mean. Over dimensions of which one is the last, numbers are added in 32 lanes, else in their order. Of nothing a sum is 0, a
   * product 1, a mean NaN, the greatest -∞ and the least ∞, or the ends of integers.
   * @throws KernelError `Shape`, `Type`, `Length`, `Freed`, `Unknown`; `Memory` for a copy, where dimensions that are kept come after some that are not and before the last
   */
  reduce(name: FoldName, out: Tensor, x: Tensor, axes: ReadonlyArray<number> = x.shape.map((_, i) => i)): void {
    const operands = this.#operands
    if (!foldNames.includes(name)) throw new KernelError("Unknown", { what: "reduction", name, known: foldNames.join(", ") })
    if (x.numbers.type === "u16") return this.#asFloats(name, out, x, axes)
    const from = operands.tensorAt(name, "x", x, types)
    const type = x.numbers.type as FoldType
    if (type === "i32" && name === "mean") throw new KernelError("Type", { kernel: name, operand: "x", expected: "f32 or f64", found: type })
    const isReduced = x.shape.map(() => false)
    for (const axis of axes) isReduced[operands.axis(name, x, axis)] = true
    const kept = x.shape.filter((_, i) => !isReduced[i])
    const all = x.shape.map((size, i) => (isReduced[i] === true ? 1 : size))
    operands.expect(name, "out", out, out.shape.length === all.length ? all : kept)
    const to = operands.tensorAt(name, "out", out, type)
    const rows = volumeOf(kept)
    const n = volumeOf(x.shape.filter((_, i) => isReduced[i]))
    const isLast = isReduced.at(-1) ?? false
    if (rows === 0) return
    const [step, identity] = steps[name]
    const op = (operations[type] as ReadonlyArray<string>).indexOf(step)
    const begin = type === "i32" ? Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, identity)) : identity
    if (n > 0 && isLast) {
      const first = isReduced.indexOf(true)
      const isRow = isReduced.every((one, i) => one === i >= first)
      if (isRow) this.#rows(name, type, op, begin, to, from, rows, n)
      else
        operands.with((make) => {
          const order = [...x.shape.keys()].sort((a, b) => Number(isReduced[a]) - Number(isReduced[b]))
          const numbers = make(type, x.numbers.length)
          this.#moves.transpose({ numbers, shape: order.map((i) => x.shape[i] as number) }, x, order)
          this.#rows(name, type, op, begin, to, numbers.at, rows, n)
        })
    } else {
      this.#moves.fill(out, begin)
      if (n > 0) this.#ascending(type, op, to, from, x, all)
    }
    if (name === "mean" && (type === "f64" || n === 0 || !isLast)) this.#divide(type, to, rows, n)
  }

  /** Rows one behind the other. */
  #rows(name: FoldName, type: FoldType, op: number, begin: number, to: number, from: number, rows: number, n: number): void {
    const { module } = this.#operands
    const place = ["sum", "mean", "max", "min"].indexOf(name)
    if (type === "f32" && place >= 0) return module.rowsF32(place, to, from, rows, n)
    const { identity, scratch } = this.#scratch(type, begin)
    module.foldRows(kinds[type], op, bytesOf(type), to, from, 0, rows, n, identity, scratch)
  }

  /** Each number of `x`, in its order, upon the one of `out` that it belongs to. */
  #ascending(type: FoldType, op: number, to: number, from: number, x: Tensor, all: ReadonlyArray<number>): void {
    const size = bytesOf(type)
    const bytes = (of: ReadonlyArray<number>): ReadonlyArray<number> => of.map((stride) => stride * size)
    const own = bytes(stridesIn(all, x.shape))
    const { sizes, strides } = merged({ sizes: x.shape, strides: [own, own, bytes(stridesOf(x.shape)), x.shape.map(() => 0)] })
    // Of a row, all numbers would be read before one is written.
    const isOne = strides[0]?.at(-1) === 0
    const plan = this.#operands.planned(isOne ? [...sizes, 1] : sizes, ...strides.map((of) => (isOne ? [...of, 0] : of)))
    this.#operands.module.broadcast(kinds[type], op, size, size, to, to, from, 0, plan, sizes.length + (isOne ? 1 : 0))
  }

  #divide(type: FoldType, to: number, rows: number, n: number): void {
    const { identity } = this.#scratch(type, n)
    const size = bytesOf(type)
    const plan = this.#operands.planned([rows], [size], [size], [0], [0])
    this.#operands.module.broadcast(kinds[type], operations[type].indexOf("div" as never), size, size, to, to, identity, 0, plan, 1)
  }

  /** A number written down, and room beside it. */
  #scratch(type: FoldType, value: number): { readonly identity: number; readonly scratch: number } {
    const { memory, plan } = this.#operands
    // Where plans end, and blocks of operands do not begin.
    const identity = plan.at + 960
    const view = new DataView(memory.memory.buffer, identity, 8)
    if (type === "f32") view.setFloat32(0, value, true)
    else if (type === "f64") view.setFloat64(0, value, true)
    else view.setInt32(0, value, true)
    return { identity, scratch: plan.at + 1_024 }
  }

  #asFloats(name: FoldName, out: Tensor, x: Tensor, axes: ReadonlyArray<number>): void {
    const from = this.#operands.tensorAt(name, "x", x, "u16")
    const to = this.#operands.tensorAt(name, "out", out, "u16")
    this.#operands.with((make) => {
      const [wide, result] = [make("f32", x.numbers.length), make("f32", out.numbers.length)]
      this.#operands.module.halfToFloat(wide.at, from, wide.length)
      this.reduce(name, { numbers: result, shape: out.shape }, { numbers: wide, shape: x.shape }, axes)
      this.#operands.module.floatToHalf(to, result.at, result.length)
    })
  }

  /** Places along a dimension of the greatest or the least, the first of equals; a NaN is the greatest. `out` lacks the dimension or has 1 there. */
  places(kind: "max" | "min", out: Tensor<"i32">, x: Tensor, axis: number): void {
    const kernel = kind === "max" ? "argmax" : "argmin"
    if (kind !== "max" && kind !== "min") throw new KernelError("Unknown", { what: "kind of place", name: String(kind), known: "max, min" })
    const from = this.#operands.tensorAt(kernel, "x", x, types)
    const place = this.#operands.axis(kernel, x, axis)
    const n = x.shape[place] as number
    const [before, after] = [x.shape.slice(0, place), x.shape.slice(place + 1)]
    this.#operands.expect(kernel, "out", out, out.shape.length === x.shape.length ? [...before, 1, ...after] : [...before, ...after])
    const to = this.#operands.tensorAt(kernel, "out", out, "i32")
    if (out.numbers.length === 0) return
    if (n === 0) throw new KernelError("Shape", { kernel, operand: "x", expected: `at least 1 along dimension ${place}`, found: textOf(x.shape) })
    this.#operands.module.placesOf(types.indexOf(x.numbers.type as FoldType), kind === "min" ? 1 : 0, to, from, volumeOf(before), n, volumeOf(after))
  }

  /** Of the last dimension the greatest and their places, as many as `values` has there, the greatest first; a NaN is the greatest, and of equals the first comes first. */
  topk(values: Tensor<"f32">, places: Tensor<"i32">, x: Tensor<"f32">): void {
    const from = this.#operands.tensorAt("topk", "x", x, "f32")
    this.#operands.axis("topk", x, -1)
    const n = x.shape.at(-1) as number
    const k = values.shape.at(-1) ?? 0
    if (k > n)
      throw new KernelError("Shape", { kernel: "topk", operand: "values", expected: `at most ${n} along the last dimension`, found: textOf(values.shape) })
    const before = x.shape.slice(0, -1)
    for (const [operand, of] of [
      ["values", values],
      ["places", places],
    ] as const)
      this.#operands.expect("topk", operand, of, [...before, k])
    const to = this.#operands.tensorAt("topk", "values", values, "f32")
    const at = this.#operands.tensorAt("topk", "places", places, "i32")
    const rows = volumeOf(before)
    for (let row = 0; row < rows; row++) this.#operands.module.topkF32(to + row * k * 4, at + row * k * 4, from + row * n * 4, n, k)
  }

  /** The sum of products of doubles, in 32 lanes. */
  dot(x: Numbers<"f64">, y: Numbers<"f64">): number {
    const n = x.length
    const [xAt, yAt] = [this.#operands.at("dot", "x", x, n, "f64"), this.#operands.at("dot", "y", y, n, "f64")]
    const { identity, scratch } = this.#scratch("f64", 0)
    this.#operands.module.foldRows(kinds.f64, 0, 8, scratch + 512, xAt, yAt, 1, n, identity, scratch)
    return new DataView(this.#operands.memory.memory.buffer).getFloat64(scratch + 512, true)
  }

  /**
   * Products of matrices of doubles, `[…, m, k] · […, k, n]`, one sum over k each, ascending. `out` is neither of them.
   * @throws KernelError `Shape`, `Type`, `Length`, `Freed`
   */
  matmul(out: Tensor<"f64">, a: Tensor<"f64">, b: Tensor<"f64">): void {
    const from = this.#operands.tensorAt("matmul", "a", a, "f64")
    const by = this.#operands.tensorAt("matmul", "b", b, "f64")
    const [m = 0, k = 0] = a.shape.slice(-2)
    const n = b.shape.at(-1) ?? 0
    const batch = a.shape.slice(0, -2)
    if (a.shape.length < 2) throw new KernelError("Shape", { kernel: "matmul", operand: "a", expected: "at least 2 dimensions", found: textOf(a.shape) })
    this.#operands.expect("matmul", "b", b, [...batch, k, n])
    this.#operands.expect("matmul", "out", out, [...batch, m, n])
    const to = this.#operands.tensorAt("matmul", "out", out, "f64")
    for (let i = 0; i < volumeOf(batch); i++) this.#operands.module.matmulF64(to + i * m * n * 8, from + i * m * k * 8, by + i * k * n * 8, m, k, n)
  }
}
