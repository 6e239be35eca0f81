/** The gradient of rows by their places. */
import { addF32 } from "../vector/vector.as"

/**
 * `dx`, of `rows` rows of `size` numbers: zeros, to which each row of `dy` is added at its place, ascending; negative places are from the end. Answers the first place that is out of
 * range, before anything is written, or -1.
 */
export function gatherBackwardF32(dx: usize, rows: i32, size: i32, places: usize, dy: usize, count: i32): i32 {
  for (let i = 0; i < count; i++) {
    const place = load<i32>(places + (<usize>i << 2))
    if (place < -rows || place >= rows) return i
  }
  const bytes = <usize>size << 2
  memory.fill(dx, 0, bytes * <usize>rows)
  for (; count > 0; count--, places += 4, dy += bytes) {
    const place = load<i32>(places)
    const to = dx + bytes * <usize>(place < 0 ? place + rows : place)
    addF32(to, to, dy, size)
  }
  return -1
}
