/** Indices in the order that a comparison gives: stable, n log n whatever comes. `context` is what a closure would hold. */
export function sortedIndices<C>(from: i32, to: i32, context: C, compare: (context: C, a: i32, b: i32) => i32): StaticArray<i32> {
  const length = to - from
  let a = new StaticArray<i32>(length)
  for (let i = 0; i < length; i += 1) unchecked((a[i] = from + i))
  if (length < 2) return a
  let b = new StaticArray<i32>(length)
  for (let width = 1; width < length; width <<= 1) {
    for (let start = 0; start < length; start += width << 1) {
      const middle = min<i32>(start + width, length)
      const end = min<i32>(start + (width << 1), length)
      let left = start
      let right = middle
      for (let at = start; at < end; at += 1) {
        const isLeft = left < middle && (right >= end || compare(context, unchecked(a[left]), unchecked(a[right])) <= 0)
        unchecked((b[at] = isLeft ? a[left] : a[right]))
        left += i32(isLeft)
        right += i32(!isLeft)
      }
    }
    const other = a
    a = b
    b = other
  }
  return a
}
