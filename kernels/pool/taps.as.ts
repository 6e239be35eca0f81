/** Which places of a window lie in the image, in one dimension. */

/** The first tap whose place is not before 0. */
@inline export function firstTap(first: i32, dilation: i32): i32 {
  return first >= 0 ? 0 : (dilation - 1 - first) / dilation
}

/** One more than the last tap whose place is in the image. */
@inline export function endTap(first: i32, dilation: i32, size: i32, taps: i32): i32 {
  const inside = first >= size ? 0 : (size - 1 - first) / dilation + 1
  return inside < taps ? inside : taps
}
