/** What kernels that move numbers do: where the number of each place comes from. */
import { indices, placeIn, type Values } from "../broadcast/broadcast.ts"
import type { Shape } from "../tensor/tensor.ts"

/** Each place of `shape` from the place of `x` that `from` gives for it, or `other` where it gives none. */
export const moved = (shape: Shape, x: Values, from: (index: ReadonlyArray<number>) => ReadonlyArray<number> | undefined, other = 0): ReadonlyArray<number> =>
  Array.from(indices(shape), (index) => {
    const place = from(index)
    return place === undefined ? other : (x.values[placeIn(x.shape, place)] as number)
  })
