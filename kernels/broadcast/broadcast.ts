/** What operations on tensors and folds of them are in `bitexact`, place by place. */
import { laned } from "../reduce/reduce.ts"
import { type Shape, volumeOf } from "../tensor/tensor.ts"

/** The places of a shape, in their order. */
export function* indices(shape: Shape): Generator<ReadonlyArray<number>> {
  for (let place = 0; place < volumeOf(shape); place++) {
    const index: Array<number> = []
    let rest = place
    for (const size of shape.toReversed()) {
      index.unshift(rest % size)
      rest = Math.floor(rest / size)
    }
    yield index
  }
}

/** Where a place lies in a tensor: dimensions of size 1, and those it lacks at the front, have one number for all. */
export const placeIn = (shape: Shape, index: ReadonlyArray<number>): number =>
  shape.reduce((at, size, i) => at * size + (size === 1 ? 0 : (index[index.length - shape.length + i] as number)), 0)

export interface Values {
  readonly values: ArrayLike<number>
  readonly shape: Shape
}

/** `f` of the numbers that the operands have for each place of `shape`. */
export const elementwise = (shape: Shape, operands: ReadonlyArray<Values>, f: (...of: ReadonlyArray<number>) => number): ReadonlyArray<number> =>
  Array.from(indices(shape), (index) => f(...operands.map((one) => one.values[placeIn(one.shape, index)] as number)))

/**
 * The numbers of each place that is kept, put together by `step`: in 32 lanes where the last dimension is one of `axes`, else one after the other. Both
 * begin at `identity`.
 */
export function fold({ shape, values }: Values, axes: ReadonlyArray<number>, step: (a: number, b: number) => number, identity: number): ReadonlyArray<number> {
  const kept = shape.map((size, i) => (axes.includes(i) ? 1 : size))
  const groups = Array.from({ length: volumeOf(kept) }, (): Array<number> => [])
  let place = 0
  for (const index of indices(shape)) groups[placeIn(kept, index)]?.push(values[place++] as number)
  return groups.map((of) => (axes.includes(shape.length - 1) ? laned(of, step, identity) : of.reduce((all, value) => step(all, value), identity)))
}
