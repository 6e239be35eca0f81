/** What the gradient of rows by their places is in `bitexact`: rows of `dy` in their order, from +0. */
export function gatherBackward(rows: number, size: number, places: Int32Array, dy: Float32Array): Float32Array {
  const dx = new Float32Array(rows * size)
  places.forEach((place, i) => {
    const to = (place < 0 ? place + rows : place) * size
    for (let j = 0; j < size; j++) dx[to + j] = (dx[to + j] as number) + (dy[i * size + j] as number)
  })
  return dx
}
