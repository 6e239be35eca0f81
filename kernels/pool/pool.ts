/** What pooling is in `bitexact`, of one image: the greatest of a window, or its sum, ascending, divided by a count. */
import type { ConvolutionShape } from "../convolve/convolve.ts"
import { windows } from "./window.ts"

export function pool(
  shape: ConvolutionShape,
  x: Float32Array,
  { end, isPadded, kind }: { readonly kind: "max" | "mean"; readonly isPadded: boolean; readonly end: ReadonlyArray<number> },
): Float32Array {
  return Float32Array.from(windows(shape, end), ({ inside, padded }) => {
    const values = inside.map((place) => x[place] as number)
    if (kind === "max") return values.reduce((most, next) => Math.max(most, next), Number.NEGATIVE_INFINITY)
    return values.reduce((sum, next) => Math.fround(sum + next), 0) / (isPadded ? padded : inside.length)
  })
}
