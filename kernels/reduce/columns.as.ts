/** Sums of which the last dimension is left, rows ascending, and sums of the channels of images. */
import { loaded, settled, settledScalar, stored } from "../simd.as"
import { sumF32 } from "./reduce.as"

/** `out[j] = Σ x[i, j]`, i ascending, from +0: sixteen columns at a time, which are a line of the cache. */
export function columnSumsF32(out: usize, x: usize, rows: i32, n: i32): void {
  const step = <usize>n << 2
  for (; n >= 16; n -= 16, out += 64, x += 64) {
    let a = f32x4.splat(0)
    let b = a
    let c = a
    let d = a
    for (let i = rows, from = x; i > 0; i--, from += step) {
      a = f32x4.add(a, v128.load(from))
      b = f32x4.add(b, v128.load(from, 16))
      c = f32x4.add(c, v128.load(from, 32))
      d = f32x4.add(d, v128.load(from, 48))
    }
    v128.store(out, settled(a))
    v128.store(out, settled(b), 16)
    v128.store(out, settled(c), 32)
    v128.store(out, settled(d), 48)
  }
  while (n > 0) {
    const isWhole = n >= 4
    let sum = f32x4.splat(0)
    for (let i = rows, from = x; i > 0; i--, from += step) sum = f32x4.add(sum, loaded(from, isWhole))
    stored(out, settled(sum), isWhole)
    const part: usize = isWhole ? 16 : 4
    n -= <i32>(part >> 2)
    out += part
    x += part
  }
}

/** One channel of images `[batch, channels, size]`, side by side; `x` is where it begins in the first. */
export function gatherChannel(to: usize, x: usize, batch: i32, channels: i32, size: i32): void {
  const bytes = <usize>size << 2
  const step = bytes * <usize>channels
  if (size == 1) for (; batch > 0; batch--, to += 4, x += step) store<f32>(to, load<f32>(x))
  else for (; batch > 0; batch--, to += bytes, x += step) memory.copy(to, x, bytes)
}

/** Of each channel, over images and places, in the one order of sums. `scratch` holds a channel of all images. */
export function channelSumsF32(out: usize, x: usize, batch: i32, channels: i32, size: i32, scratch: usize): void {
  for (let channel = 0; channel < channels; channel++, out += 4, x += <usize>size << 2) {
    gatherChannel(scratch, x, batch, channels, size)
    store<f32>(out, settledScalar(sumF32(scratch, batch * size)))
  }
}
