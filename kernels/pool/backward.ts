/** What gradients of pooling are in `bitexact`, of one image. */
import type { ConvolutionShape } from "../convolve/convolve.ts"
import { windows } from "./window.ts"

export function poolBackward(
  shape: ConvolutionShape,
  x: Float32Array,
  dy: Float32Array,
  { end, isPadded, kind }: { readonly kind: "max" | "mean"; readonly isPadded: boolean; readonly end: ReadonlyArray<number> },
): Float32Array {
  const dx = new Float32Array(x.length)
  const add = (place: number, value: number) => (dx[place] = (dx[place] as number) + value)
  let output = 0
  for (const { inside, padded } of windows(shape, end)) {
    const of = dy[output++] as number
    if (kind === "mean") for (const place of inside) add(place, Math.fround(of / (isPadded ? padded : inside.length)))
    else {
      const nan = inside.find((place) => Number.isNaN(x[place]))
      const [first] = inside
      if (nan !== undefined) add(nan, of)
      else if (first !== undefined)
        add(
          inside.reduce((best, place) => ((x[place] as number) > (x[best] as number) ? place : best), first),
          of,
        )
    }
  }
  return dx
}
