/** Gradients of pooling (`pool.as.ts`), outputs ascending: all of a greatest goes to its first place, a NaN being the greatest, and a mean's to each of its places alike. */
import { settledScalar } from "../simd.as"
import { endTap, firstTap } from "./taps.as"

export function poolBackwardF32(dx: usize, x: usize, dy: usize, planes: i32, shape: usize, isMean: bool, isPadded: bool): void {
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
  const endD = inD + load<i32>(shape, 92)
  const endH = inH + load<i32>(shape, 96)
  const endW = inW + load<i32>(shape, 100)
  const step = <usize>dilW << 2
  const bytes = <usize>(inD * inH * inW) << 2
  for (; planes > 0; planes--, x += bytes, dx += bytes) {
    memory.fill(dx, 0, bytes)
    for (let oz = 0; oz < outD; oz++) {
      const z = oz * load<i32>(shape, 48) - load<i32>(shape, 60)
      const z0 = firstTap(z, dilD)
      const z1 = endTap(z, dilD, inD, kD)
      for (let oy = 0; oy < outH; oy++) {
        const y = oy * load<i32>(shape, 52) - load<i32>(shape, 64)
        const y0 = firstTap(y, dilH)
        const y1 = endTap(y, dilH, inH, kH)
        for (let ox = 0; ox < outW; ox++, dy += 4) {
          const first = ox * load<i32>(shape, 56) - load<i32>(shape, 68)
          const x0 = firstTap(first, dilW)
          const x1 = endTap(first, dilW, inW, kW)
          let share = load<f32>(dy)
          let most: f32 = 0
          let place: usize = -1
          if (isMean) {
            let count = max(z1 - z0, 0) * max(y1 - y0, 0) * max(x1 - x0, 0)
            if (isPadded) count = endTap(z, dilD, endD, kD) * endTap(y, dilH, endH, kH) * endTap(first, dilW, endW, kW)
            share /= <f32>count
          }
          for (let tz = z0; tz < z1; tz++)
            for (let ty = y0; ty < y1; ty++) {
              let at = <usize>(((z + tz * dilD) * inH + y + ty * dilH) * inW + first + x0 * dilW) << 2
              for (let tx = x0; tx < x1; tx++, at += step) {
                if (isMean) store<f32>(dx + at, settledScalar(load<f32>(dx + at) + share))
                else {
                  const next = load<f32>(x + at)
                  if (place != -1 && !(next > most) && !(next != next && most == most)) continue
                  place = at
                  most = next
                }
              }
            }
          if (place != -1) store<f32>(dx + place, settledScalar(load<f32>(dx + place) + share))
        }
      }
    }
  }
}
