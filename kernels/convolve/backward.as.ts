/**
 * The gradient of a convolution's weights: of each group `dy[channel, pixel] · taps[pixel, weight]`, pixels ascending, image by image. Panels of eight weights are gathered from the image
 * while they are needed, as those of outputs are in `convolve.as.ts`. The gradient of the image is itself a convolution, the transposed one.
 */
import { endTap, firstTap } from "../pool/taps.as"
import { madd, settled, settledScalar } from "../simd.as"
import { columns, copy, depthMax, packA, panelA, panelB, rows, tile } from "../tile/tile.as"
import {
  batchAt,
  dilationAt,
  field,
  groupsAt,
  inChannelsAt,
  inSizeAt,
  kernelAt,
  outChannelsAt,
  outSizeAt,
  paddingAt,
  placeOf,
  strideAt,
  volume,
} from "./shape.as"

/** Channels whose panels are made at a time: weights are gathered anew for the next ones. */
@inline const bandMax: i32 = 480

/** Bytes that `convolveWeightsF32` works in. */
export function convolveWeightsScratch(): i32 {
  return (bandMax * depthMax + depthMax * columns + rows * columns) << 2
}

/** What weight `weight` of a channel meets at `depth` pixels from `at` on, each a panel's row apart; 0 outside the image. */
function gatherWeight(to: usize, shape: usize, image: usize, weight: i32, at: i32, depth: i32): void {
  const inD = load<i32>(shape + inSizeAt)
  const inH = load<i32>(shape + inSizeAt, 4)
  const inW = load<i32>(shape + inSizeAt, 8)
  const kD = load<i32>(shape + kernelAt)
  const kH = load<i32>(shape + kernelAt, 4)
  const kW = load<i32>(shape + kernelAt, 8)
  const outH = load<i32>(shape + outSizeAt, 4)
  const outW = load<i32>(shape + outSizeAt, 8)
  const strideD = load<i32>(shape + strideAt)
  const strideH = load<i32>(shape + strideAt, 4)
  const strideW = load<i32>(shape + strideAt, 8)
  const channel = image + (<usize>((weight / (kW * kH * kD)) * (inD * inH * inW)) << 2)
  const fromD = ((weight / (kW * kH)) % kD) * load<i32>(shape + dilationAt) - load<i32>(shape + paddingAt)
  const fromH = ((weight / kW) % kH) * load<i32>(shape + dilationAt, 4) - load<i32>(shape + paddingAt, 4)
  const fromW = (weight % kW) * load<i32>(shape + dilationAt, 8) - load<i32>(shape + paddingAt, 8)
  let oz = at / (outW * outH)
  let oy = (at / outW) % outH
  let ox = at % outW
  while (depth > 0) {
    const run = min(outW - ox, depth)
    const z = oz * strideD + fromD
    const y = oy * strideH + fromH
    const x = ox * strideW + fromW
    const isInside = z >= 0 && z < inD && y >= 0 && y < inH
    const begin = isInside ? min(firstTap(x, strideW), run) : run
    const end = isInside ? max(endTap(x, strideW, inW, run), begin) : run
    let i = 0
    for (; i < begin; i++, to += panelB) store<f32>(to, 0)
    let from = channel + (<usize>((z * inH + y) * inW + x + i * strideW) << 2)
    for (; i < end; i++, to += panelB, from += <usize>strideW << 2) store<f32>(to, load<f32>(from))
    for (; i < run; i++, to += panelB) store<f32>(to, 0)
    depth -= run
    ox = 0
    if (++oy < outH) continue
    oy = 0
    oz++
  }
}

/** Adds what pixels of one image and group, from `at` on, give `high` channels from `band` on. */
function convolveBand(dw: usize, x: usize, dy: usize, shape: usize, band: i32, high: i32, at: i32, panel: usize, scratch: usize): void {
  const n = volume(shape + outSizeAt)
  const k = (field(shape, inChannelsAt) / field(shape, groupsAt)) * volume(shape + kernelAt)
  const depth = min(depthMax, n - at)
  const edge = panel + ((depthMax * columns) << 2)
  const stride = <usize>k << 2
  packA(scratch, dy + (<usize>(band * n + at) << 2), <usize>n << 2, 4, high, depth)
  for (let left = 0; left < k; left += columns) {
    const broad = min(columns, k - left)
    for (let i = 0; i < broad; i++) gatherWeight(panel + (<usize>i << 2), shape, x, left + i, at, depth)
    let a = scratch
    for (let row = 0; row < high; row += rows, a += <usize>depth * panelA) {
      const to = dw + stride * <usize>(band + row) + (<usize>left << 2)
      const tall = min(rows, high - row)
      if (tall == rows && broad == columns) tile(a, panel, depth, to, stride, true)
      else {
        copy(edge, panelB, to, stride, tall, broad)
        tile(a, panel, depth, edge, panelB, true)
        copy(to, stride, edge, panelB, tall, broad)
      }
    }
  }
}

/** Where every `dy` is finite, so that 0 in a panel is no term. */
export function convolveWeightsF32(dw: usize, x: usize, dy: usize, shape: usize, scratch: usize): void {
  const groups = field(shape, groupsAt)
  const channels = field(shape, inChannelsAt) / groups
  const high = field(shape, outChannelsAt) / groups
  const k = channels * volume(shape + kernelAt)
  const n = volume(shape + outSizeAt)
  const stride = <usize>k << 2
  const panel = scratch + ((bandMax * depthMax) << 2)
  memory.fill(dw, 0, stride * <usize>(groups * high))
  for (let batch = field(shape, batchAt); batch > 0; batch--) {
    let out = dw
    for (let group = groups; group > 0; group--) {
      for (let band = 0; band < high; band += bandMax)
        for (let at = 0; at < n; at += depthMax) convolveBand(out, x, dy, shape, band, min(bandMax, high - band), at, panel, scratch)
      x += <usize>(channels * volume(shape + inSizeAt)) << 2
      dy += <usize>(high * n) << 2
      out += stride * <usize>high
    }
  }
  settle(dw, groups * high * k)
}

/** The one NaN. */
function settle(x: usize, n: i32): void {
  for (; n >= 4; n -= 4, x += 16) v128.store(x, settled(v128.load(x)))
  for (; n > 0; n--, x += 4) store<f32>(x, settledScalar(load<f32>(x)))
}

/** Term by term: where some `dy` are infinite or NaN. */
export function convolveWeightsEachF32(dw: usize, x: usize, dy: usize, shape: usize): void {
  const groups = field(shape, groupsAt)
  const channels = field(shape, inChannelsAt) / groups
  const high = field(shape, outChannelsAt) / groups
  const size = shape + inSizeAt
  const kernel = shape + kernelAt
  const strides = shape + strideAt
  const padding = shape + paddingAt
  const dilation = shape + dilationAt
  const inH = load<i32>(size, 4)
  const inW = load<i32>(size, 8)
  const kH = load<i32>(kernel, 4)
  const kW = load<i32>(kernel, 8)
  const outH = load<i32>(shape + outSizeAt, 4)
  const outW = load<i32>(shape + outSizeAt, 8)
  const image = <usize>volume(size) << 2
  const n = volume(shape + outSizeAt)
  for (let channel = 0; channel < groups * high; channel++)
    for (let weight = 0; weight < channels * volume(kernel); weight++, dw += 4) {
      const tapD = weight / (kH * kW) % load<i32>(kernel)
      const tapH = weight / kW % kH
      const tapW = weight % kW
      let sum = f32x4.splat(0)
      for (let batch = 0; batch < field(shape, batchAt); batch++) {
        const from = x + image * <usize>((batch * groups + channel / high) * channels + weight / volume(kernel))
        const by = dy + (<usize>((batch * groups * high + channel) * n) << 2)
        for (let pixel = 0; pixel < n; pixel++) {
          const oz = pixel / (outW * outH)
          const oy = pixel / outW % outH
          const z = placeOf(oz, tapD, load<i32>(strides), load<i32>(padding), load<i32>(dilation), load<i32>(size), false)
          const y = placeOf(oy, tapH, load<i32>(strides, 4), load<i32>(padding, 4), load<i32>(dilation, 4), inH, false)
          const column = placeOf(pixel % outW, tapW, load<i32>(strides, 8), load<i32>(padding, 8), load<i32>(dilation, 8), inW, false)
          if (z < 0 || y < 0 || column < 0) continue
          sum = madd(v128.load32_zero(by + (<usize>pixel << 2)), v128.load32_zero(from + (<usize>((z * inH + y) * inW + column) << 2)), sum)
        }
      }
      store<f32>(dw, settledScalar(f32x4.extract_lane(sum, 0)))
    }
}
