/** Images of 8 bits as the left operands of products. */
import { dilationAt, field, groupsAt, inChannelsAt, inSizeAt, kernelAt, outSizeAt, paddingAt, placeOf, strideAt, transposedAt, volume } from "../convolve/shape.as"

/**
 * What `count` outputs from `first` on are sums of, a row each: the places of a group's channels that its kernel takes (`shape.as.ts`). `zero` stands for what
 * lies outside the image.
 */
export function columnsI8(to: usize, image: usize, shape: usize, first: i32, count: i32, zero: i32): void {
  const size = shape + inSizeAt
  const kernel = shape + kernelAt
  const stride = shape + strideAt
  const padding = shape + paddingAt
  const dilation = shape + dilationAt
  const inD = load<i32>(size)
  const inH = load<i32>(size, 4)
  const inW = load<i32>(size, 8)
  const kW = load<i32>(kernel, 8)
  const outH = load<i32>(shape + outSizeAt, 4)
  const outW = load<i32>(shape + outSizeAt, 8)
  const isTransposed = field(shape, transposedAt) != 0
  const step = load<i32>(dilation, 8)
  const channels = field(shape, inChannelsAt) / field(shape, groupsAt)
  const taps = <usize>volume(kernel)
  const images = <usize>volume(size)
  for (let pixel = first; pixel < first + count; pixel++, to += taps * <usize>channels) {
    const outZ = pixel / (outW * outH)
    const outY = (pixel / outW) % outH
    const outX = pixel % outW
    const left = outX * load<i32>(stride, 8) - load<i32>(padding, 8)
    // All taps of a row lie in the image's.
    const isInside = !isTransposed && left >= 0 && left + (kW - 1) * step < inW
    let rowTo = to
    for (let tapD = 0; tapD < load<i32>(kernel); tapD++) {
      const z = placeOf(outZ, tapD, load<i32>(stride), load<i32>(padding), load<i32>(dilation), inD, isTransposed)
      for (let tapH = 0; tapH < load<i32>(kernel, 4); tapH++, rowTo += kW) {
        const y = placeOf(outY, tapH, load<i32>(stride, 4), load<i32>(padding, 4), load<i32>(dilation, 4), inH, isTransposed)
        const isThere = z >= 0 && y >= 0
        let at = rowTo
        let from = image + (z * inH + y) * inW
        for (let c = 0; c < channels; c++, at += taps, from += images)
          if (isInside && isThere) for (let tapW = 0; tapW < kW; tapW++) store<u8>(at + tapW, load<u8>(from + (left + tapW * step)))
          else
            for (let tapW = 0; tapW < kW; tapW++) {
              const x = placeOf(outX, tapW, load<i32>(stride, 8), load<i32>(padding, 8), step, inW, isTransposed)
              store<u8>(at + tapW, isThere && x >= 0 ? load<u8>(from + x) : <u8>zero)
            }
      }
    }
  }
}
