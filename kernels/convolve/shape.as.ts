/**
 * A convolution as 23 whole numbers: batch, input channels, input size (3), output channels, kernel size (3), output size (3), stride (3),
 * padding at the beginning (3), dilation (3), groups, and 1 where it is transposed. Images are `[batch, channel, …size]`, weights
 * `[output channel, input channel of the group, …kernel]`.
 */
import { rows } from "../tile/tile.as"

@inline export const batchAt: usize = 0
@inline export const inChannelsAt: usize = 4
@inline export const inSizeAt: usize = 8
@inline export const outChannelsAt: usize = 20
@inline export const kernelAt: usize = 24
@inline export const outSizeAt: usize = 36
@inline export const strideAt: usize = 48
@inline export const paddingAt: usize = 60
@inline export const dilationAt: usize = 72
@inline export const groupsAt: usize = 84
@inline export const transposedAt: usize = 88

@inline export function field(shape: usize, at: usize): i32 {
  return load<i32>(shape + at)
}

/** Numbers of a size of three. */
@inline export function volume(size: usize): i32 {
  return load<i32>(size) * load<i32>(size, 4) * load<i32>(size, 8)
}

/** Rows with those that are missing to whole panels. */
@inline export function roundedUp(n: i32): i32 {
  return ((n + rows - 1) / rows) * rows
}

/** Where a tap of an output lies in the image, in one dimension; negative where it does not. */
@inline export function placeOf(output: i32, tap: i32, stride: i32, padding: i32, dilation: i32, size: i32, isTransposed: bool): i32 {
  if (!isTransposed) {
    const at = output * stride - padding + tap * dilation
    return at < size ? at : -1
  }
  const from = output + padding - tap * dilation
  if (from < 0 || from % stride != 0) return -1
  const at = from / stride
  return at < size ? at : -1
}
