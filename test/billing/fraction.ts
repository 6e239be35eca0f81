/** Exact fractions of unbounded integers: the numbers of the oracle, which share nothing with the rules they judge. */

/** In lowest terms; `d` is positive. */
export interface Fraction {
  readonly n: bigint
  readonly d: bigint
}

const limit = 2n ** 127n - 1n
let beyond = false
const size = (n: bigint): bigint => (n < 0n ? -n : n)

/** What `body` answers, and whether a fraction on the way had a part beyond 2^127−1, which rules of 128 bits refuse. */
export function watched<A>(body: () => A): { readonly value: A; readonly wide: boolean } {
  const before = beyond
  beyond = false
  try {
    const value = body()
    return { value, wide: beyond }
  } finally {
    beyond ||= before
  }
}

export function fraction(n: bigint, d = 1n): Fraction {
  if (d === 0n) throw new RangeError(`Cannot divide ${n} by 0`)
  let a = size(n)
  let b = size(d)
  while (b !== 0n) [a, b] = [b, a % b]
  const by = d < 0n ? -a : a
  const reduced = { n: n / by, d: d / by }
  if (size(reduced.n) > limit || reduced.d > limit) beyond = true
  return reduced
}

export const zero = fraction(0n)
export const one = fraction(1n)
export const whole = (n: number | bigint): Fraction => fraction(BigInt(n))

/** Reads a decimal, or `a/b` of two of them. */
export function read(text: string): Fraction {
  const [top, bottom] = text.split("/") as [string, string?]
  if (bottom !== undefined) return over(read(top), read(bottom))
  const [, sign, digits, decimals = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? []
  if (digits === undefined) throw new SyntaxError(`Cannot read "${text}" as a decimal`)
  return fraction(BigInt(`${sign}${digits}${decimals}`), 10n ** BigInt(decimals.length))
}

export const plus = (a: Fraction, b: Fraction): Fraction => fraction(a.n * b.d + b.n * a.d, a.d * b.d)
export const negated = (a: Fraction): Fraction => ({ n: -a.n, d: a.d })
export const minus = (a: Fraction, b: Fraction): Fraction => plus(a, negated(b))
export const times = (a: Fraction, b: Fraction): Fraction => fraction(a.n * b.n, a.d * b.d)
export const over = (a: Fraction, b: Fraction): Fraction => fraction(a.n * b.d, a.d * b.n)
export const compare = (a: Fraction, b: Fraction): number => {
  const difference = a.n * b.d - b.n * a.d
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
export const same = (a: Fraction, b: Fraction): boolean => a.n === b.n && a.d === b.d
export const smaller = (a: Fraction, b: Fraction): Fraction => (compare(a, b) <= 0 ? a : b)
export const greater = (a: Fraction, b: Fraction): Fraction => (compare(a, b) >= 0 ? a : b)
export const total = (all: Iterable<Fraction>): Fraction => {
  let sum = zero
  for (const one of all) sum = plus(sum, one)
  return sum
}
export const isNegative = (a: Fraction): boolean => a.n < 0n
export const isPositive = (a: Fraction): boolean => a.n > 0n

export const floor = (a: Fraction): bigint => {
  const quotient = a.n / a.d
  return a.n < 0n && quotient * a.d !== a.n ? quotient - 1n : quotient
}
export const ceiling = (a: Fraction): bigint => -floor(negated(a))

export type RoundingMode = "halfAway" | "halfEven" | "halfOdd" | "halfDown" | "halfCeiling" | "halfFloor" | "up" | "down" | "ceiling" | "floor"

/** The multiple of `step` that `mode` takes for `a`: one of the two neighbours, told apart by where `a` lies between them. */
export function rounded(a: Fraction, step: Fraction, mode: RoundingMode): Fraction {
  const steps = over(a, step)
  const below = floor(steps)
  if (steps.d === 1n) return a
  const side = compare(minus(steps, whole(below)), fraction(1n, 2n))
  const negative = steps.n < 0n
  const above = {
    halfAway: side > 0 || (side === 0 && !negative),
    halfDown: side > 0 || (side === 0 && negative),
    halfEven: side > 0 || (side === 0 && below % 2n !== 0n),
    halfOdd: side > 0 || (side === 0 && below % 2n === 0n),
    halfCeiling: side >= 0,
    halfFloor: side > 0,
    up: !negative,
    down: negative,
    ceiling: true,
    floor: false,
  }[mode]
  return times(whole(above ? below + 1n : below), step)
}

/** As a decimal where it ends within 40 digits, else as `a/b`. */
export function text(a: Fraction): string {
  let scale = 0n
  while (scale < 40n && 10n ** scale % a.d !== 0n) scale += 1n
  if (10n ** scale % a.d !== 0n) return `${a.n}/${a.d}`
  const digits = (size(a.n) * (10n ** scale / a.d)).toString().padStart(Number(scale) + 1, "0")
  const at = digits.length - Number(scale)
  return `${a.n < 0n ? "-" : ""}${digits.slice(0, at)}${scale > 0n ? `.${digits.slice(at)}` : ""}`
}
