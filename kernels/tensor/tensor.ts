/** Numbers with a shape, row-major, and where the numbers of one lie for another. */
import { KernelError } from "../../schemas/error/kernel.ts"
import type { Numbers, NumberType } from "../memory/memory.ts"

/** At most 8 dimensions; none is one number. */
export interface Tensor<T extends NumberType = NumberType> {
  readonly numbers: Numbers<T>
  readonly shape: ReadonlyArray<number>
}

export type Shape = ReadonlyArray<number>

export const volumeOf = (shape: Shape): number => shape.reduce((all, size) => all * size, 1)

/** Numbers between neighbours of each dimension. */
export function stridesOf(shape: Shape): ReadonlyArray<number> {
  const strides: Array<number> = []
  let step = 1
  for (const size of shape.toReversed()) {
    strides.unshift(step)
    step *= size
  }
  return strides
}

/** What shapes become together: right-aligned, and a size of 1 is what the others are (as NumPy has it). @throws KernelError `Shape` */
export function broadcastShape(kernel: string, shapes: ReadonlyArray<Shape>): Shape {
  const rank = Math.max(0, ...shapes.map(({ length }) => length))
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes.map((shape) => shape[shape.length - rank + i] ?? 1)
    const size = sizes.find((one) => one !== 1) ?? 1
    if (sizes.some((one) => one !== 1 && one !== size))
      throw new KernelError("Shape", {
        kernel,
        operand: "shape",
        expected: "shapes that go together from the right, of equal sizes or 1",
        found: shapes.map((shape) => `[${shape.join(", ")}]`).join(" and "),
      })
    return size
  })
}

/** Strides of a tensor that is seen as one of a larger shape: 0 where it has one number for many. */
export function stridesIn(shape: Shape, out: Shape): ReadonlyArray<number> {
  const own = stridesOf(shape)
  const missing = out.length - shape.length
  return out.map((size, i) => (i < missing || (shape[i - missing] === 1 && size !== 1) ? 0 : (own[i - missing] as number)))
}

export interface Loops {
  readonly sizes: ReadonlyArray<number>
  /** Of each operand, of each size. */
  readonly strides: ReadonlyArray<ReadonlyArray<number>>
}

/** The same places in the same order by fewer and longer loops; at least one. */
export function merged({ sizes, strides }: Loops): Loops {
  const outSizes: Array<number> = []
  const outStrides: Array<Array<number>> = strides.map(() => [])
  sizes.forEach((size, i) => {
    if (size === 1) return
    const last = outSizes.length - 1
    const joins = last >= 0 && strides.every((of, k) => outStrides[k]?.[last] === (of[i] as number) * size)
    if (joins) outSizes[last] = (outSizes[last] as number) * size
    else outSizes.push(size)
    strides.forEach((of, k) => {
      const into = outStrides[k] as Array<number>
      if (joins) into[last] = of[i] as number
      else into.push(of[i] as number)
    })
  })
  if (outSizes.length > 0) return { sizes: outSizes, strides: outStrides }
  return { sizes: [1], strides: strides.map(() => [0]) }
}
