/** What gradients of pooling are in `bitexact`, of one image. */
import type { ConvolutionShape } from "../convolve/convolve.ts"

export function poolBackward(
  { dilation, inSize, kernel, outSize, padding, stride }: ConvolutionShape,
  x: Float32Array,
  dy: Float32Array,
  { end, isPadded, kind }: { readonly kind: "max" | "mean"; readonly isPadded: boolean; readonly end: ReadonlyArray<number> },
): Float32Array {
  const dx = new Float32Array(x.length)
  let output = 0
  for (let oz = 0; oz < outSize[0]; oz++)
    for (let oy = 0; oy < outSize[1]; oy++)
      for (let ox = 0; ox < outSize[2]; ox++) {
        const inside: Array<number> = []
        let padded = 0
        for (let kz = 0; kz < kernel[0]; kz++)
          for (let ky = 0; ky < kernel[1]; ky++)
            for (let kx = 0; kx < kernel[2]; kx++) {
              const at = [
                oz * stride[0] - padding[0] + kz * dilation[0],
                oy * stride[1] - padding[1] + ky * dilation[1],
                ox * stride[2] - padding[2] + kx * dilation[2],
              ] as const
              if (at.every((place, i) => place < (inSize[i] as number) + (end[i] as number))) padded++
              if (at.every((place, i) => place >= 0 && place < (inSize[i] as number))) inside.push((at[0] * inSize[1] + at[1]) * inSize[2] + at[2])
            }
        const of = dy[output++] as number
        const add = (place: number, value: number) => (dx[place] = (dx[place] as number) + value)
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
