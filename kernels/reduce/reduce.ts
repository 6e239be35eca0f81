/** What reductions are in `bitexact`: sums in 32 lanes, which are added by halves. */
const f = Math.fround

/** Adds what `at` gives for each place, in the one order of sums. */
function laned(n: number, at: (i: number) => number): number {
  const lanes = new Float32Array(32)
  for (let i = 0; i < n; i++) lanes[i % 32] = (lanes[i % 32] as number) + at(i)
  for (let half = 16; half >= 1; half /= 2) for (let i = 0; i < half; i++) lanes[i] = (lanes[i] as number) + (lanes[i + half] as number)
  return lanes[0] as number
}

export const sum = (x: Float32Array): number => laned(x.length, (i) => x[i] as number)
export const dot = (x: Float32Array, y: Float32Array): number => laned(x.length, (i) => f((x[i] as number) * (y[i] as number)))
/** Of nothing: NaN. */
export const mean = (x: Float32Array): number => f(sum(x) / x.length)

/** Zeros by their sign; NaN where one is. `Math.max` of two does both. */
export const max = (x: Float32Array): number => x.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
export const min = (x: Float32Array): number => x.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)

/** The first of the greatest; a NaN is the greatest. Of nothing -1. */
export function argmax(x: Float32Array): number {
  const nan = x.findIndex((value) => Number.isNaN(value))
  if (nan >= 0) return nan
  let at = -1
  x.forEach((value, i) => {
    if (at < 0 || value > (x[at] as number)) at = i
  })
  return at
}
