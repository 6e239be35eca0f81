/** The order of `topk`: the greatest first, a NaN greater than all, of equals the first first. */
export function topk(x: Float32Array, k: number): ReadonlyArray<number> {
  const rank = (value: number): number => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : value)
  const isNaN = (value: number): number => Number(Number.isNaN(value))
  return Array.from(x.keys())
    .sort((a, b) => {
      const [v, w] = [x[a] as number, x[b] as number]
      if (isNaN(v) !== isNaN(w)) return isNaN(w) - isNaN(v)
      return rank(v) === rank(w) ? a - b : rank(w) - rank(v)
    })
    .slice(0, k)
}
