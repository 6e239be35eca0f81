/** What pooling is in `bitexact`, of one image: the greatest of a window, or its sum, ascending, divided by a count. */
import type { ConvolutionShape } from "../convolve/convolve.ts"

export function pool(
  { dilation, inSize, kernel, outSize, padding, stride }: ConvolutionShape,
  x: Float32Array,
  { end, isPadded, kind }: { readonly kind: "max" | "mean"; readonly isPadded: boolean; readonly end: ReadonlyArray<number> },
): Float32Array {
  const out: Array<number> = []
  for (let oz = 0; oz < outSize[0]; oz++)
    for (let oy = 0; oy < outSize[1]; oy++)
      for (let ox = 0; ox < outSize[2]; ox++) {
        let value = kind === "max" ? Number.NEGATIVE_INFINITY : 0
        let [inside, padded] = [0, 0]
        for (let kz = 0; kz < kernel[0]; kz++)
          for (let ky = 0; ky < kernel[1]; ky++)
            for (let kx = 0; kx < kernel[2]; kx++) {
              const at = [
                oz * stride[0] - padding[0] + kz * dilation[0],
                oy * stride[1] - padding[1] + ky * dilation[1],
                ox * stride[2] - padding[2] + kx * dilation[2],
              ] as const
              if (at.every((place, i) => place < (inSize[i] as number) + (end[i] as number))) padded++
              if (!at.every((place, i) => place >= 0 && place < (inSize[i] as number))) continue
              inside++
              const next = x[(at[0] * inSize[1] + at[1]) * inSize[2] + at[2]] as number
              value = kind === "max" ? Math.max(value, next) : Math.fround(value + next)
            }
        out.push(kind === "max" ? value : value / (isPadded ? padded : inside))
      }
  return Float32Array.from(out)
}
