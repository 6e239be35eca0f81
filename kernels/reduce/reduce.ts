/** What reductions are in `bitexact`: sums in 32 lanes, which are added by halves. */
const f = Math.fround

const add = (x: number, y: number): number => f(x + y)

/** Puts numbers together in the one order of sums. */
export function laned(x: ArrayLike<number>, step: (a: number, b: number) => number, identity: number): number {
  const lanes = Array<number>(32).fill(identity)
  for (let i = 0; i < x.length; i++) lanes[i % 32] = step(lanes[i % 32] as number, x[i] as number)
  for (let half = 16; half >= 1; half /= 2) for (let i = 0; i < half; i++) lanes[i] = step(lanes[i] as number, lanes[i + half] as number)
  return lanes[0] as number
}

export const sum = (x: Float32Array): number => laned(x, add, 0)
export const dot = (x: Float32Array, y: Float32Array): number =>
  laned(
    x.map((value, i) => value * (y[i] as number)),
    add,
    0,
  )
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
