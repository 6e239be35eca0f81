/** Element by element over tensors whose shapes go together from the right, as NumPy has it. */
import { KernelError } from "../../schemas/error/kernel.ts"
import { doubleMaps } from "../double/double.ts"
import { integerMaps } from "../integer/integer.ts"
import { type MapName, mapNames, type MapWithName, mapWithNames } from "../math/math.ts"
import { mapNumber } from "../math/number.ts"
import type { NumberType } from "../memory/memory.ts"
import { type ComparisonName, comparisonNames } from "../vector/vector.ts"
import { bytesOf, type Operands } from "./operands.ts"
import { broadcastShape, merged, type Shape, stridesIn, type Tensor, volumeOf } from "./tensor.ts"

/** Operations of two numbers by the type of both, in the order of their numbers in `broadcast.as.ts`. */
export const operations = {
  f32: ["add", "sub", "mul", "div", "min", "max", "pow", "prelu"],
  f64: ["add", "sub", "mul", "div", "min", "max"],
  i32: ["add", "sub", "mul", "min", "max", "and", "or", "xor", "div", "rem"],
} as const
export type ElementName = (typeof operations)["f32" | "f64" | "i32"][number]

/** Kinds of `broadcast.as.ts`. */
export const kinds = { f32: 0, f64: 1, i32: 2 } as const
const comparisonKinds = 3
const whereKinds = { 1: 6, 2: 7, 4: 8, 8: 9 } as const

const mapsOf: Readonly<Record<"f32" | "f64" | "i32", ReadonlyArray<string>>> = {
  f32: [...mapNames, ...mapWithNames],
  f64: Object.keys(doubleMaps),
  i32: Object.keys(integerMaps),
}

/** Types of `cast.as.ts`. */
const types: ReadonlyArray<NumberType> = ["f32", "f64", "u16", "i32", "i8", "u8"]

export class Elements {
  readonly #operands: Operands

  constructor(operands: Operands) {
    this.#operands = operands
  }

  /**
   * `out = x ∘ y`, all of one type: of floats `add sub mul div min max pow prelu`, of doubles those but the last two, of integers, which wrap,
   * `add sub mul min max and or xor div rem`, of halves what floats have, rounded once. `prelu` is `x` where that is not below 0, and else `x · y`.
   * `out` may be an operand of its shape.
   * @throws KernelError `Shape`, `Type`, `Length`, `Freed`, `Unknown`, `DivisionByZero`; `Memory` for halves, which are widened
   */
  binary(name: ElementName, out: Tensor, x: Tensor, y: Tensor): void {
    const { type } = out.numbers
    if (type === "u16") return this.#asFloats(name, out, [x, y], (to, [a, b]) => this.binary(name, to, a as Tensor, b as Tensor))
    const known: ReadonlyArray<string> = type === "f32" || type === "f64" || type === "i32" ? operations[type] : []
    const op = known.indexOf(name)
    if (op < 0) throw new KernelError("Unknown", { what: `operation of ${type}`, name, known: known.join(", ") || "none" })
    const bad = this.#run(name, kinds[type as "f32"], op, out, [x, y], type)
    if (bad >= 0) throw new KernelError("DivisionByZero", { kernel: name, operand: "y", place: bad })
  }

  /** Integers 1 where it holds and 0 where not; of two tensors of floats, doubles, integers or halves. */
  compare(order: ComparisonName, out: Tensor<"i32">, x: Tensor, y: Tensor): void {
    const { type } = x.numbers
    if (type === "u16")
      return this.#operands.with((make) => {
        const [a, b] = [x, y].map((one) => this.#widened(order, one, make)) as [Tensor, Tensor]
        this.compare(order, out, a, b)
      })
    const op = comparisonNames.indexOf(order)
    if (op < 0) throw new KernelError("Unknown", { what: "comparison", name: order, known: comparisonNames.join(", ") })
    if (type !== "f32" && type !== "f64" && type !== "i32")
      throw new KernelError("Type", { kernel: order, operand: "x", expected: "f32, f64, i32 or u16", found: type })
    this.#run(order, comparisonKinds + kinds[type], op, out, [x, y], type, "i32")
  }

  /** `out = mask ? x : y`, of any type: the mask's integers, unless 0, take `x`. */
  where(out: Tensor, mask: Tensor<"i32">, x: Tensor, y: Tensor): void {
    const { type } = out.numbers
    this.#run("where", whereKinds[bytesOf(type)], 0, out, [x, y], type, type, mask)
  }

  /** `out = f(x)`, of one shape; of doubles `relu sqrt abs neg sign floor ceil round trunc`, of integers `neg abs sign not`. `out` may be `x`. */
  map(name: MapName | MapWithName | "not", out: Tensor, x: Tensor, parameters: ReadonlyArray<number> = []): void {
    const { type } = out.numbers
    this.#operands.expect(name, "out", out, x.shape)
    if (type === "u16") return this.#asFloats(name, out, [x], (to, [a]) => this.map(name, to, a as Tensor, parameters))
    const known = type === "f32" || type === "f64" || type === "i32" ? mapsOf[type] : []
    const map = known.indexOf(name)
    if (map < 0) throw new KernelError("Unknown", { what: `function of ${type}`, name, known: known.join(", ") || "none" })
    const to = this.#operands.tensorAt(name, "out", out, type)
    const from = this.#operands.tensorAt(name, "x", x, type)
    const n = out.numbers.length
    const { mapF64, mapI32, mapWithF32 } = this.#operands.module
    if (type === "f64") return mapF64(map, to, from, n)
    if (type === "i32") return mapI32(map, to, from, n)
    const [number, a, b] = mapNumber(name as MapName, parameters, mapsOf.f32 as ReadonlyArray<MapName>)
    mapWithF32(number, to, from, n, a, b)
  }

  /**
   * Numbers of one type as those of another, of one shape: to the nearest, halves to even; to integers towards 0, of which those that are out of range are its ends
   * and NaN 0. Halves (`u16`) are floats of 16 bits.
   */
  cast(out: Tensor, x: Tensor): void {
    this.#operands.expect("cast", "out", out, x.shape)
    const to = this.#operands.tensorAt("cast", "out", out, types)
    const from = this.#operands.tensorAt("cast", "x", x, types)
    const n = x.numbers.length
    const { castNumbers, floatToHalf, floatToInt, halfToFloat, intToFloat } = this.#operands.module
    const pair = `${x.numbers.type} ${out.numbers.type}`
    if (pair === "f32 u16") floatToHalf(to, from, n)
    else if (pair === "u16 f32") halfToFloat(to, from, n)
    else if (pair === "f32 i32") floatToInt(to, from, n)
    else if (pair === "i32 f32") intToFloat(to, from, n)
    else castNumbers(types.indexOf(out.numbers.type), types.indexOf(x.numbers.type), to, from, n, this.#operands.plan.at)
  }

  /** By loops over what moves together. Answers the place of a divisor that is 0, or -1. */
  #run(
    kernel: string,
    kind: number,
    op: number,
    out: Tensor,
    [x, y]: readonly [x: Tensor, y: Tensor],
    type: NumberType,
    outType: NumberType = type,
    mask?: Tensor<"i32">,
  ): number {
    const operands = this.#operands
    const xAt = operands.tensorAt(kernel, "x", x, type)
    const yAt = operands.tensorAt(kernel, "y", y, type)
    const maskAt = mask === undefined ? 0 : operands.tensorAt(kernel, "mask", mask, "i32")
    const shape = broadcastShape(kernel, [x.shape, y.shape, ...(mask === undefined ? [] : [mask.shape])])
    operands.expect(kernel, "out", out, shape)
    const to = operands.tensorAt(kernel, "out", out, outType)
    if (volumeOf(shape) === 0) return -1
    const [size, outSize] = [bytesOf(type), bytesOf(outType)]
    const bytes = (of: Shape, each: number): ReadonlyArray<number> => stridesIn(of, shape).map((stride) => stride * each)
    const loops = merged({ sizes: shape, strides: [bytes(shape, outSize), bytes(x.shape, size), bytes(y.shape, size), bytes(mask?.shape ?? [], 4)] })
    const plan = operands.planned(loops.sizes, ...loops.strides)
    return operands.module.broadcast(kind, op, size, outSize, to, xAt, yAt, maskAt, plan, loops.sizes.length)
  }

  #widened(kernel: string, x: Tensor, make: (type: "f32", length: number) => Tensor["numbers"]): Tensor {
    const from = this.#operands.tensorAt(kernel, "operand", x, "u16")
    const numbers = make("f32", x.numbers.length)
    this.#operands.module.halfToFloat(numbers.at, from, numbers.length)
    return { numbers, shape: x.shape }
  }

  /** Halves as floats, which are rounded once when all is done. */
  #asFloats(kernel: string, out: Tensor, from: ReadonlyArray<Tensor>, run: (out: Tensor, from: ReadonlyArray<Tensor>) => void): void {
    const to = this.#operands.tensorAt(kernel, "out", out, "u16")
    this.#operands.with((make) => {
      const result = make("f32", out.numbers.length)
      run(
        { numbers: result, shape: out.shape },
        from.map((one) => this.#widened(kernel, one, make)),
      )
      this.#operands.module.floatToHalf(to, result.at, result.length)
    })
  }
}
