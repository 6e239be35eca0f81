/** Numbers of tensors to other places, whatever their type. `out` is never an operand. */
import { KernelError } from "../../schemas/error/kernel.ts"
import { bytesOf, type Operands, textOf } from "./operands.ts"
import { type Loops, merged, type Shape, stridesIn, stridesOf, type Tensor, volumeOf } from "./tensor.ts"

const every = ["f32", "f64", "i32", "u16", "i8", "u8"] as const

export class Moves {
  readonly #operands: Operands

  constructor(operands: Operands) {
    this.#operands = operands
  }

  /** Dimension i of `out` is dimension `order[i]` of `x`; by default they come the other way round. */
  transpose(out: Tensor, x: Tensor, order: ReadonlyArray<number> = x.shape.map((_, i) => x.shape.length - 1 - i)): void {
    if (order.length !== x.shape.length || x.shape.some((_, i) => !order.includes(i)))
      throw new KernelError("Shape", { kernel: "transpose", operand: "order", expected: `a permutation of ${x.shape.length} dimensions`, found: textOf(order) })
    const strides = stridesOf(x.shape)
    const shape = order.map((i) => x.shape[i] as number)
    const [to, from, size] = this.#pair("transpose", out, x, shape)
    const loops = { sizes: shape, strides: [stridesOf(shape), order.map((i) => strides[i] as number)] }
    if (!this.#turn(loops, size, to, from)) this.#copy(loops, size, to, from)
  }

  /** What is two dimensions that change places, of numbers of 32 bits, and perhaps many such one behind the other, in blocks. */
  #turn(loops: Loops, size: number, to: number, from: number): boolean {
    const { sizes, strides } = merged(loops)
    const [columns = 0, rows = 0] = sizes.slice(-2)
    const many = sizes.length === 3 ? (sizes[0] as number) : 1
    const [down, along] = (strides[1] ?? []).slice(-2)
    const isApart = many === 1 || (strides[1]?.[0] === rows * columns && rows * columns >= 64)
    if (size !== 4 || sizes.length < 2 || sizes.length > 3 || down !== 1 || along !== columns || !isApart) return false
    for (let i = 0; i < many; i++) this.#operands.module.transpose32(to + i * rows * columns * 4, from + i * rows * columns * 4, rows, columns)
    return true
  }

  /** Tensors one behind the other along a dimension; they are alike in the others. */
  concat(out: Tensor, parts: ReadonlyArray<Tensor>, axis: number): void {
    this.#along("concat", out, parts, axis, (whole, part, size, loops) => this.#copy(loops, size, whole, part))
  }

  /** The other way round. */
  split(parts: ReadonlyArray<Tensor>, x: Tensor, axis: number): void {
    this.#along("split", x, parts, axis, (whole, part, size, { sizes, strides: [wide = [], own = []] }) =>
      this.#copy({ sizes, strides: [own, wide] }, size, part, whole),
    )
  }

  #along(
    kernel: string,
    whole: Tensor,
    parts: ReadonlyArray<Tensor>,
    axis: number,
    run: (whole: number, part: number, size: number, loops: Loops) => void,
  ): void {
    const operands = this.#operands
    const { type } = whole.numbers
    const at = operands.tensorAt(kernel, kernel === "split" ? "x" : "out", whole, every)
    const place = operands.axis(kernel, whole, axis)
    const strides = stridesOf(whole.shape)
    const sizes = parts.map((part) => part.shape[place] ?? 0)
    const total = sizes.reduce((all, size) => all + size, 0)
    if (total !== whole.shape[place])
      throw new KernelError("Shape", { kernel, operand: "parts", expected: `${whole.shape[place]} along dimension ${place}`, found: String(total) })
    // All of them, before anything is written.
    const addresses = parts.map((part, i) => {
      operands.expect(
        kernel,
        `parts[${i}]`,
        part,
        whole.shape.map((size, k) => (k === place ? (sizes[i] as number) : size)),
      )
      return operands.tensorAt(kernel, `parts[${i}]`, part, type)
    })
    let from = 0
    parts.forEach(({ shape }, i) => {
      const size = bytesOf(type)
      run(at + from * (strides[place] as number) * size, addresses[i] as number, size, { sizes: shape, strides: [strides, stridesOf(shape)] })
      from += sizes[i] as number
    })
  }

  /** Of each dimension as many as `out` has, from `begin` on, `steps` apart (default 1; below 0 they go back; never 0). */
  slice(out: Tensor, x: Tensor, begin: ReadonlyArray<number>, steps: ReadonlyArray<number> = begin.map(() => 1)): void {
    const rank = x.shape.length
    const sizes = out.shape
    const refuse = (operand: string, expected: string, found: unknown) => new KernelError("Shape", { kernel: "slice", operand, expected, found: String(found) })
    for (const [operand, of] of [
      ["begin", begin],
      ["steps", steps],
      ["out", sizes],
    ] as const)
      if (of.length !== rank) throw refuse(operand, `${rank} numbers`, textOf(of))
    x.shape.forEach((size, i) => {
      const [first, step, count] = [begin[i] as number, steps[i] as number, sizes[i] as number]
      if (!(Number.isSafeInteger(step) && step !== 0)) throw refuse("steps", "whole numbers other than 0", textOf(steps))
      const last = first + step * (count - 1)
      const isInside = (place: number): boolean => Number.isSafeInteger(place) && place >= 0 && place < size
      if (count > 0 && !(isInside(first) && isInside(last)))
        throw refuse("begin", `places within ${textOf(x.shape)} for ${count} of dimension ${i} at steps of ${step}`, textOf(begin))
    })
    const [to, from, size] = this.#pair("slice", out, x, sizes)
    const strides = stridesOf(x.shape)
    const offset = begin.reduce((sum, first, i) => sum + first * (strides[i] as number), 0)
    this.#copy({ sizes, strides: [stridesOf(sizes), strides.map((stride, i) => stride * (steps[i] as number))] }, size, to, from + offset * size)
  }

  /** `x` as often as its sizes of 1 need it to have `out`'s shape, from the right. */
  expand(out: Tensor, x: Tensor): void {
    const missing = out.shape.length - x.shape.length
    if (missing < 0 || x.shape.some((size, i) => size !== 1 && size !== out.shape[i + missing]))
      throw new KernelError("Shape", { kernel: "expand", operand: "x", expected: `sizes of ${textOf(out.shape)} from the right, or 1`, found: textOf(x.shape) })
    const [to, from, size] = this.#pair("expand", out, x, out.shape)
    this.#copy({ sizes: out.shape, strides: [stridesOf(out.shape), stridesIn(x.shape, out.shape)] }, size, to, from)
  }

  /** `x` side by side with itself, `out` being so many times as large in each dimension. */
  tile(out: Tensor, x: Tensor): void {
    const isMany = out.shape.length === x.shape.length && x.shape.every((size, i) => (size === 0 ? out.shape[i] === 0 : (out.shape[i] as number) % size === 0))
    if (!isMany) throw new KernelError("Shape", { kernel: "tile", operand: "out", expected: `multiples of ${textOf(x.shape)}`, found: textOf(out.shape) })
    const [to, from, size] = this.#pair("tile", out, x, out.shape)
    const [wide, own] = [stridesOf(out.shape), stridesOf(x.shape)]
    // Each dimension as two: which copy, and where in it.
    const pairs = <A>(of: (i: number) => readonly [A, A]): ReadonlyArray<A> => x.shape.flatMap((_, i) => of(i))
    const loops = {
      sizes: pairs((i) => [x.shape[i] === 0 ? 0 : (out.shape[i] as number) / (x.shape[i] as number), x.shape[i] as number]),
      strides: [pairs((i) => [(wide[i] as number) * (x.shape[i] as number), wide[i] as number]), pairs((i) => [0, own[i] as number])],
    }
    this.#copy(loops, size, to, from)
  }

  /** `x` within `out` from `begin` on, and `value` around it, default 0. */
  pad(out: Tensor, x: Tensor, begin: ReadonlyArray<number>, value = 0): void {
    const fits = begin.length === x.shape.length && x.shape.length === out.shape.length
    const isInside = (first: number, i: number) => Number.isSafeInteger(first) && first >= 0 && first + (x.shape[i] as number) <= (out.shape[i] as number)
    if (!fits || !begin.every(isInside))
      throw new KernelError("Shape", {
        kernel: "pad",
        operand: "begin",
        expected: `places of ${textOf(x.shape)} within ${textOf(out.shape)}`,
        found: textOf(begin),
      })
    const [to, from, size] = this.#pair("pad", out, x, out.shape)
    const strides = stridesOf(out.shape)
    this.#fill(out, to, value)
    const offset = begin.reduce((sum, first, i) => sum + first * (strides[i] as number), 0)
    this.#copy({ sizes: x.shape, strides: [strides, stridesOf(x.shape)] }, size, to + offset * size, from)
  }

  /** The same number everywhere; a NaN is the canonical one. Of halves it is their bits. */
  fill(out: Tensor, value: number): void {
    this.#fill(out, this.#operands.tensorAt("fill", "out", out, every), value)
  }

  #fill({ numbers }: Tensor, to: number, value: number): void {
    if (numbers.length === 0) return
    const { plan } = this.#operands
    const { buffer } = this.#operands.memory.memory
    const one = new DataView(buffer, plan.at + 1_024, 8)
    if (numbers.type === "f64") one.setFloat64(0, value, true)
    else if (numbers.type === "f32") one.setFloat32(0, value, true)
    else if (numbers.type === "u16") one.setUint16(0, value, true)
    else one.setInt32(0, value, true)
    if (Number.isNaN(value) && numbers.type === "f32") one.setUint32(0, 0x7fc00000, true)
    if (Number.isNaN(value) && numbers.type === "f64") one.setBigUint64(0, 0x7ff8000000000000n, true)
    this.#copy({ sizes: [numbers.length], strides: [[1], [0]] }, bytesOf(numbers.type), to, plan.at + 1_024)
  }

  /**
   * Parts of `x` along a dimension, by their places, negative ones from the end: in the place of that dimension `out` has those of `places`. An embedding
   * is this along the first.
   * @throws KernelError `Index` for a place that is out of range, before anything is written
   */
  gather(out: Tensor, x: Tensor, places: Tensor<"i32">, axis = 0): void {
    const operands = this.#operands
    const at = operands.tensorAt("gather", "places", places, "i32")
    const place = operands.axis("gather", x, axis)
    const size = x.shape[place] as number
    const [before, after] = [x.shape.slice(0, place), x.shape.slice(place + 1)]
    const [to, from, bytes] = this.#pair("gather", out, x, [...before, ...places.shape, ...after])
    const bad = operands.module.gather(to, from, volumeOf(before), size, volumeOf(after) * bytes, at, places.numbers.length)
    if (bad >= 0) throw new KernelError("Index", { kernel: "gather", operand: "places", place: bad, found: places.numbers.array[bad] as number, size })
  }

  #pair(kernel: string, out: Tensor, x: Tensor, shape: Shape): readonly [to: number, from: number, size: number] {
    const { type } = x.numbers
    const from = this.#operands.tensorAt(kernel, "x", x, every)
    this.#operands.expect(kernel, "out", out, shape)
    return [this.#operands.tensorAt(kernel, "out", out, type), from, bytesOf(type)]
  }

  #copy({ sizes, strides }: Loops, size: number, to: number, from: number): void {
    if (volumeOf(sizes) === 0) return
    const loops = merged({ sizes, strides })
    const plan = this.#operands.planned(loops.sizes, ...loops.strides.map((of) => of.map((stride) => stride * size)))
    this.#operands.module.copyStrided(size, to, from, plan, loops.sizes.length)
  }
}
