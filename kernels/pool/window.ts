/** Which places of an image a window of pooling sees: one definition for what is pooled and for its gradient. */
import type { ConvolutionShape } from "../convolve/convolve.ts"

export interface Window {
  /** Places in the image `[depth, height, width]`, ascending. */
  readonly inside: ReadonlyArray<number>
  /** Taps in the image and its padding. */
  readonly padded: number
}

/** Of each output, in their order. `end`: padding at the end, by dimension. */
export function* windows({ dilation, inSize, kernel, outSize, padding, stride }: ConvolutionShape, end: ReadonlyArray<number>): Generator<Window> {
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
        yield { inside, padded }
      }
}
