/**
 * Convolutions in one, two or three dimensions, as products of matrices whose right operand is never written down as a whole: panels of eight
 * outputs are gathered from the image while they are needed. What lies outside the image is no term of a sum; a zero in a panel is the same as
 * no term while weights are finite, and weights that are not go one by one. `shape.as.ts` says what a shape is.
 */
import { mapF32 } from "../math/math.as"
import { isFast, madd } from "../simd.as"
import { columns, copy, depthMax, packA, panelA, panelB, rows, tile } from "../tile/tile.as"
import { addScalarF32 } from "../vector/vector.as"
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
  roundedUp,
  strideAt,
  transposedAt,
  volume,
} from "./shape.as"

/** Weights of all groups as panels of six output channels, block of k by block: `k` times the group's channels rounded up to six, a group. */
export function packConvolutionF32(to: usize, weights: usize, outChannels: i32, k: i32, groups: i32): void {
  const high = outChannels / groups
  const tall = roundedUp(high)
  for (; groups > 0; groups--, weights += (<usize>high * <usize>k) << 2)
    for (let at = 0; at < k; at += depthMax) {
      const depth = min(depthMax, k - at)
      packA(to, weights + (<usize>at << 2), <usize>k << 2, 4, high, depth)
      to += (<usize>tall * <usize>depth) << 2
    }
}

/** Whether no number is infinite or NaN. */
export function areFiniteF32(x: usize, n: i32): bool {
  for (; n > 0; n--, x += 4) if (!(abs<f32>(load<f32>(x)) < Infinity)) return false
  return true
}

/** Bytes that `convolveF32` works in. */
export function convolutionScratch(): i32 {
  return (depthMax * columns + rows * columns + 3 * columns) << 2
}

/** A panel of the eight outputs from `left` on: k from `at`, `depth` of them. `places` holds three whole numbers an output. */
function gather(to: usize, shape: usize, image: usize, left: i32, at: i32, depth: i32, places: usize): void {
  const size = shape + inSizeAt
  const kernel = shape + kernelAt
  const outs = shape + outSizeAt
  const stride = shape + strideAt
  const padding = shape + paddingAt
  const dilation = shape + dilationAt
  const inD = load<i32>(size)
  const inH = load<i32>(size, 4)
  const inW = load<i32>(size, 8)
  const kD = load<i32>(kernel)
  const kH = load<i32>(kernel, 4)
  const kW = load<i32>(kernel, 8)
  const outH = load<i32>(outs, 4)
  const outW = load<i32>(outs, 8)
  const isTransposed = field(shape, transposedAt) != 0
  const count = min(columns, volume(outs) - left)
  for (let i = 0; i < count; i++) {
    const pixel = left + i
    const place = places + <usize>i * 12
    store<i32>(place, pixel / (outW * outH))
    store<i32>(place, (pixel / outW) % outH, 4)
    store<i32>(place, pixel % outW, 8)
  }
  // Neighbours of one row meet rows of the image; where they are a step of one apart, they lie side by side in it too.
  const isRow = load<i32>(places, 8) + count <= outW
  const isSideBySide = count == columns && isRow && load<i32>(stride, 8) == 1
  let tapW = at % kW
  let tapH = (at / kW) % kH
  let tapD = (at / (kW * kH)) % kD
  let channel = image + ((<usize>(at / (kW * kH * kD)) * <usize>(inD * inH * inW)) << 2)
  for (; depth > 0; depth--, to += panelB) {
    if (isRow) {
      const z = placeOf(load<i32>(places), tapD, load<i32>(stride), load<i32>(padding), load<i32>(dilation), inD, isTransposed)
      const y = placeOf(load<i32>(places, 4), tapH, load<i32>(stride, 4), load<i32>(padding, 4), load<i32>(dilation, 4), inH, isTransposed)
      const row = channel + (<usize>((z * inH + y) * inW) << 2)
      const reach = tapW * load<i32>(dilation, 8) - load<i32>(padding, 8)
      const x = load<i32>(places, 8) + (isTransposed ? -reach : reach)
      if (z < 0 || y < 0) {
        v128.store(to, f32x4.splat(0))
        v128.store(to, f32x4.splat(0), 16)
      } else if (isSideBySide && x >= 0 && x + columns <= inW) {
        v128.store(to, v128.load(row + (<usize>x << 2)))
        v128.store(to, v128.load(row + (<usize>x << 2), 16), 16)
      } else
        for (let i = 0; i < columns; i++) {
          const from = isSideBySide
            ? x + i
            : placeOf(load<i32>(places, 8) + i, tapW, load<i32>(stride, 8), load<i32>(padding, 8), load<i32>(dilation, 8), inW, isTransposed)
          store<f32>(to + (<usize>i << 2), i < count && from >= 0 && from < inW ? load<f32>(row + (<usize>from << 2)) : 0)
        }
    } else
      for (let i = 0; i < columns; i++) {
        let value: f32 = 0
        if (i < count) {
          const place = places + <usize>i * 12
          const z = placeOf(load<i32>(place), tapD, load<i32>(stride), load<i32>(padding), load<i32>(dilation), inD, isTransposed)
          const y = placeOf(load<i32>(place, 4), tapH, load<i32>(stride, 4), load<i32>(padding, 4), load<i32>(dilation, 4), inH, isTransposed)
          const x = placeOf(load<i32>(place, 8), tapW, load<i32>(stride, 8), load<i32>(padding, 8), load<i32>(dilation, 8), inW, isTransposed)
          if (z >= 0 && y >= 0 && x >= 0) value = load<f32>(channel + (<usize>((z * inH + y) * inW + x) << 2))
        }
        store<f32>(to + (<usize>i << 2), value)
      }
    if (++tapW < kW) continue
    tapW = 0
    if (++tapH < kH) continue
    tapH = 0
    if (++tapD < kD) continue
    tapD = 0
    channel += <usize>(inD * inH * inW) << 2
  }
}

/** One sum, term by term. */
function one(shape: usize, image: usize, weights: usize, channels: i32, pixel: i32): f32 {
  const size = shape + inSizeAt
  const kernel = shape + kernelAt
  const strides = shape + strideAt
  const padding = shape + paddingAt
  const dilation = shape + dilationAt
  const inW = load<i32>(size, 8)
  const strideW = load<i32>(strides, 8)
  const padW = load<i32>(padding, 8)
  const dilW = load<i32>(dilation, 8)
  const outH = load<i32>(shape + outSizeAt, 4)
  const outW = load<i32>(shape + outSizeAt, 8)
  const isTransposed = field(shape, transposedAt) != 0
  const oz = pixel / (outW * outH)
  const oy = (pixel / outW) % outH
  const ox = pixel % outW
  const taps = <usize>load<i32>(kernel, 8) << 2
  let sum = f32x4.splat(0)
  for (let channel = 0; channel < channels; channel++, image += <usize>volume(size) << 2)
    for (let tapD = 0; tapD < load<i32>(kernel); tapD++) {
      const z = placeOf(oz, tapD, load<i32>(strides), load<i32>(padding), load<i32>(dilation), load<i32>(size), isTransposed)
      for (let tapH = 0; tapH < load<i32>(kernel, 4); tapH++, weights += taps) {
        const y = placeOf(oy, tapH, load<i32>(strides, 4), load<i32>(padding, 4), load<i32>(dilation, 4), load<i32>(size, 4), isTransposed)
        if (z < 0 || y < 0) continue
        const row = image + (<usize>((z * load<i32>(size, 4) + y) * inW) << 2)
        for (let tapW = 0; tapW < load<i32>(kernel, 8); tapW++) {
          const x = placeOf(ox, tapW, strideW, padW, dilW, inW, isTransposed)
          if (x < 0) continue
          sum = madd(v128.load32_zero(weights + (<usize>tapW << 2)), v128.load32_zero(row + (<usize>x << 2)), sum)
        }
      }
    }
  return f32x4.extract_lane(sum, 0)
}

/** Bias of a channel (0: none) and activation of its outputs. */
@inline function finish(out: usize, n: i32, bias: usize, activation: i32): void {
  if (bias != 0) addScalarF32(out, out, load<f32>(bias), n)
  if (activation != 0 || (!isFast && bias == 0)) mapF32(activation, out, out, n)
}

/**
 * By weights that `packConvolutionF32` packed, which are finite. `bias` is a number an output channel, or 0. Of each channel's outputs those from `first`, a
 * multiple of eight, up to `last`.
 */
export function convolveF32(
  out: usize,
  x: usize,
  packed: usize,
  bias: usize,
  activation: i32,
  shape: usize,
  scratch: usize,
  first: i32,
  last: i32,
): void {
  const groups = field(shape, groupsAt)
  const channels = field(shape, inChannelsAt) / groups
  const high = field(shape, outChannelsAt) / groups
  const tall = roundedUp(high)
  const k = channels * volume(shape + kernelAt)
  const n = volume(shape + outSizeAt)
  const stride = <usize>n << 2
  const inSize = <usize>(channels * volume(shape + inSizeAt)) << 2
  const edge = scratch + ((depthMax * columns) << 2)
  const places = edge + ((rows * columns) << 2)
  for (let batch = field(shape, batchAt); batch > 0; batch--) {
    let weights = packed
    let biases = bias
    for (let group = 0; group < groups; group++, x += inSize) {
      for (let at = 0; at < k; at += depthMax) {
        const depth = min(depthMax, k - at)
        for (let left = first; left < last; left += columns) {
          gather(scratch, shape, x, left, at, depth, places)
          let panel = weights
          for (let row = 0; row < high; row += rows, panel += <usize>depth * panelA) {
            const to = out + stride * <usize>row + (<usize>left << 2)
            if (row + rows <= high && left + columns <= last) tile(panel, scratch, depth, to, stride, at > 0)
            else {
              const part = min(rows, high - row)
              const broad = min(columns, last - left)
              if (at > 0) copy(edge, panelB, to, stride, part, broad)
              tile(panel, scratch, depth, edge, panelB, at > 0)
              copy(to, stride, edge, panelB, part, broad)
            }
          }
        }
        weights += (<usize>tall * <usize>depth) << 2
      }
      for (let row = 0; row < high; row++, out += stride) {
        const own = out + (<usize>first << 2)
        if (k == 0) memory.fill(own, 0, <usize>(last - first) << 2)
        finish(own, last - first, biases, activation)
        if (biases != 0) biases += 4
      }
    }
  }
}

/** By weights as they are, term by term: where some are infinite or NaN, and where a group has one input channel. */
export function convolveEachF32(out: usize, x: usize, weights: usize, bias: usize, activation: i32, shape: usize): void {
  const groups = field(shape, groupsAt)
  const channels = field(shape, inChannelsAt) / groups
  const high = field(shape, outChannelsAt) / groups
  const k = channels * volume(shape + kernelAt)
  const n = volume(shape + outSizeAt)
  const inSize = <usize>(channels * volume(shape + inSizeAt)) << 2
  for (let batch = field(shape, batchAt); batch > 0; batch--) {
    let row = weights
    let biases = bias
    for (let group = 0; group < groups; group++, x += inSize)
      for (let channel = 0; channel < high; channel++, row += <usize>k << 2, out += <usize>n << 2) {
        if (channels == 1) depthwise(out, x, row, shape)
        else for (let pixel = 0; pixel < n; pixel++) store<f32>(out + (<usize>pixel << 2), one(shape, x, row, channels, pixel))
        finish(out, n, biases, activation)
        if (biases != 0) biases += 4
      }
  }
}

/** One channel of one channel: four neighbours at a time where they and all of their taps lie in the image's rows. */
function depthwise(out: usize, image: usize, weights: usize, shape: usize): void {
  const inD = load<i32>(shape + inSizeAt)
  const inH = load<i32>(shape + inSizeAt, 4)
  const inW = load<i32>(shape + inSizeAt, 8)
  const kD = load<i32>(shape + kernelAt)
  const kH = load<i32>(shape + kernelAt, 4)
  const kW = load<i32>(shape + kernelAt, 8)
  const outD = load<i32>(shape + outSizeAt)
  const outH = load<i32>(shape + outSizeAt, 4)
  const outW = load<i32>(shape + outSizeAt, 8)
  const strides = shape + strideAt
  const padding = shape + paddingAt
  const dilation = shape + dilationAt
  const isTransposed = field(shape, transposedAt) != 0
  const padW = load<i32>(padding, 8)
  const dilW = load<i32>(dilation, 8)
  const isRow = load<i32>(strides, 8) == 1
  // What a tap reaches goes up, or down where it is transposed.
  const step = isTransposed ? -(dilW << 2) : dilW << 2
  let pixel = 0
  for (let z = 0; z < outD; z++)
    for (let y = 0; y < outH; y++)
      for (let x = 0; x < outW; ) {
        const first = isTransposed ? x + padW : x - padW
        const last = first + (kW - 1) * (isTransposed ? -dilW : dilW)
        if (!isRow || min(first, last) < 0 || x + 4 > outW || max(first, last) + 4 > inW) {
          store<f32>(out + (<usize>pixel << 2), one(shape, image, weights, 1, pixel))
          x++
          pixel++
          continue
        }
        let sum = f32x4.splat(0)
        let w = weights
        for (let tapD = 0; tapD < kD; tapD++) {
          const inZ = placeOf(z, tapD, load<i32>(strides), load<i32>(padding), load<i32>(dilation), inD, isTransposed)
          for (let tapH = 0; tapH < kH; tapH++) {
            const inY = placeOf(y, tapH, load<i32>(strides, 4), load<i32>(padding, 4), load<i32>(dilation, 4), inH, isTransposed)
            if (inZ < 0 || inY < 0) {
              w += <usize>kW << 2
              continue
            }
            let from = image + (<usize>((inZ * inH + inY) * inW + first) << 2)
            for (let tapW = 0; tapW < kW; tapW++, w += 4, from += step) sum = madd(v128.load32_splat(w), v128.load(from), sum)
          }
        }
        v128.store(out + (<usize>pixel << 2), sum)
        x += 4
        pixel += 4
      }
}
