/** What sums over rows and of channels are in `bitexact`. */
import { sum } from "./reduce.ts"

/** Over rows of `n`, ascending, from +0. */
export function columnSums(x: Float32Array, n: number): Float32Array {
  const out = new Float32Array(n)
  x.forEach((value, i) => (out[i % n] = (out[i % n] as number) + value))
  return out
}

export interface Images {
  readonly batch: number
  readonly channels: number
  readonly size: number
}

/** One channel of images `[batch, channels, size]`, side by side. */
export const channelOf = (x: Float32Array, { batch, channels, size }: Images, channel: number): Float32Array =>
  Float32Array.from({ length: batch * size }, (_, i) => x[(Math.floor(i / size) * channels + channel) * size + (i % size)] as number)

/** Of each channel, over images and places, in 32 lanes. */
export const channelSums = (x: Float32Array, of: Images): Float32Array => Float32Array.from({ length: of.channels }, (_, i) => sum(channelOf(x, of, i)))
