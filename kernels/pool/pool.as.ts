/**
 * The greatest or the mean of windows, in one to three dimensions. `shape` is that of a convolution (`convolve.as.ts`), of which channels and groups
 * are not looked at: `planes` images lie one behind the other. What lies outside the image is in no window.
 */
import { settledScalar } from "../simd.as"
import { endTap, firstTap } from "./taps.as"

/** `isMean`: the sum, ascending, divided by the taps in the image, or with `isPadded` by all of those within the image and its padding. */
export function poolF32(out: usize, x: usize, planes: i32, shape: usize, isMean: bool, isPadded: bool): void {
  const inD = load<i32>(shape, 8)
  const inH = load<i32>(shape, 12)
  const inW = load<i32>(shape, 16)
  const kD = load<i32>(shape, 24)
  const kH = load<i32>(shape, 28)
  const kW = load<i32>(shape, 32)
  const outD = load<i32>(shape, 36)
  const outH = load<i32>(shape, 40)
  const outW = load<i32>(shape, 44)
  const dilD = load<i32>(shape, 72)
  const dilH = load<i32>(shape, 76)
  const dilW = load<i32>(shape, 80)
  // Padding at the end, where a mean counts it.
  const endD = inD + load<i32>(shape, 92)
  const endH = inH + load<i32>(shape, 96)
  const endW = inW + load<i32>(shape, 100)
  for (; planes > 0; planes--, x += <usize>(inD * inH * inW) << 2)
    for (let oz = 0; oz < outD; oz++) {
      const z = oz * load<i32>(shape, 48) - load<i32>(shape, 60)
      const z1 = endTap(z, dilD, inD, kD)
      for (let oy = 0; oy < outH; oy++) {
        const y = oy * load<i32>(shape, 52) - load<i32>(shape, 64)
        const y1 = endTap(y, dilH, inH, kH)
        for (let ox = 0; ox < outW; ox++, out += 4) {
          const first = ox * load<i32>(shape, 56) - load<i32>(shape, 68)
          const x0 = firstTap(first, dilW)
          const x1 = endTap(first, dilW, inW, kW)
          let value: f32 = isMean ? 0 : -Infinity
          let count = 0
          for (let tz = firstTap(z, dilD); tz < z1; tz++)
            for (let ty = firstTap(y, dilH); ty < y1; ty++) {
              let from = x + (<usize>(((z + tz * dilD) * inH + y + ty * dilH) * inW + first + x0 * dilW) << 2)
              for (let tx = x0; tx < x1; tx++, from += <usize>dilW << 2, count++) {
                const next = load<f32>(from)
                value = isMean ? value + next : max<f32>(value, next)
              }
            }
          if (isMean) {
            if (isPadded) count = endTap(z, dilD, endD, kD) * endTap(y, dilH, endH, kH) * endTap(first, dilW, endW, kW)
            value = value / <f32>count
          }
          store<f32>(out, settledScalar(value))
        }
      }
    }
}
