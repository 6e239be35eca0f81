/** What kernels need to know of their operands before they run: WebAssembly would read whatever lies there. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { InferenceModule } from "../inference.ts"
import { type KernelMemory, Numbers, type NumberType } from "../memory/memory.ts"
import { addressOf } from "../memory/operand.ts"
import { type Tensor, volumeOf } from "./tensor.ts"

/** Bytes of plans, and of the blocks that follow them (`broadcast.as.ts`). */
const planBytes = 1_024 + 3 * 2_048 + 64
/** Bytes of a number. */
export const bytesOf = (type: NumberType): 1 | 2 | 4 | 8 => (type === "f64" ? 8 : type === "u16" ? 2 : type === "i8" || type === "u8" ? 1 : 4)

export class Operands {
  readonly memory: KernelMemory
  readonly module: InferenceModule
  /** Plans of what tensors' kernels do, and what they work in. */
  readonly plan: Numbers<"u8">

  constructor(memory: KernelMemory, module: InferenceModule) {
    this.memory = memory
    this.module = module
    this.plan = new Numbers(memory, "u8", planBytes)
  }

  /** Where an operand lies. @throws KernelError `Type`, `Length`, `Freed` */
  at(kernel: string, operand: string, of: Numbers, length: number, type: NumberType = "f32"): number {
    return addressOf(this.memory, kernel, operand, of, length, type)
  }

  /** Where a tensor lies: of this type, or of one of these. @throws KernelError `Type`, `Shape`, `Length`, `Freed` */
  tensorAt(kernel: string, operand: string, { numbers, shape }: Tensor, types: NumberType | ReadonlyArray<NumberType>): number {
    const all = typeof types === "string" ? [types] : types
    if (!all.includes(numbers.type)) throw new KernelError("Type", { kernel, operand, expected: all.join(" or "), found: numbers.type })
    for (const size of shape)
      if (!(Number.isSafeInteger(size) && size >= 0))
        throw new KernelError("Shape", { kernel, operand, expected: "sizes that are whole numbers from 0", found: textOf(shape) })
    if (shape.length > 8) throw new KernelError("Shape", { kernel, operand, expected: "at most 8 dimensions", found: textOf(shape) })
    return this.at(kernel, operand, numbers, volumeOf(shape), numbers.type)
  }

  /** That a tensor has this shape. */
  expect(kernel: string, operand: string, { shape }: Tensor, expected: ReadonlyArray<number>): void {
    if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i]))
      throw new KernelError("Shape", { kernel, operand, expected: textOf(expected), found: textOf(shape) })
  }

  /** A dimension, of which negative ones are counted from the end. @throws KernelError `Shape` */
  axis(kernel: string, { shape }: Tensor, axis: number): number {
    const rank = shape.length
    if (!(Number.isInteger(axis) && axis >= -rank && axis < rank))
      throw new KernelError("Shape", { kernel, operand: "axis", expected: `a whole number from ${-rank} to ${rank - 1}`, found: String(axis) })
    return axis < 0 ? axis + rank : axis
  }

  /** An array that its owner frees. @throws KernelError `Memory` */
  make<T extends NumberType>(type: T, length: number): Numbers<T> {
    return new Numbers(this.memory, type, length)
  }

  /** Runs with arrays that are freed then, whatever happens. */
  with<A>(run: (make: <T extends NumberType>(type: T, length: number) => Numbers<T>) => A): A {
    const made: Array<Numbers> = []
    try {
      return run((type, length) => {
        const one = new Numbers(this.memory, type, length)
        made.push(one)
        return one
      })
    } finally {
      for (const one of made) one.free()
    }
  }

  /** Writes words of a plan and answers where it is. */
  planned(...parts: ReadonlyArray<ReadonlyArray<number>>): number {
    const { at } = this.plan
    new Int32Array(this.memory.memory.buffer, at).set(parts.flat())
    return at
  }
}

export const textOf = (shape: ReadonlyArray<number>): string => `[${shape.join(", ")}]`
