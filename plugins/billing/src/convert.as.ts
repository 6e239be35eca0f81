/** Numbers as they cross. */
import { Decimal, Fraction, Problem, ProblemKind } from "../bindings/charging"
import { Exact, Mode, overflowed, powerOfTen } from "./exact.as"

const placesMax: i32 = 18

/** Exact where 18 digits are enough, else rounded to them, or to as many of them as 128 bits hold. Never an overflow. */
export function decimalOf(value: Exact): Decimal {
  const shown = value.reduced()
  if (shown.under == 1 && shown.underHigh == 0) return new Decimal(shown.high, shown.low, 0)
  // 10^scale must be a multiple of the denominator, which then divides 10¹⁸.
  let scale = 0
  if (shown.underHigh == 0) while (scale < placesMax && powerOfTen(scale) % shown.under != 0) scale += 1
  else scale = placesMax
  for (; scale > 0; scale -= 1) {
    const scaled = shown.tryScaled(powerOfTen(scale))
    if (scaled !== null) return new Decimal(scaled.high, scaled.low, <u8>scale)
  }
  const whole = shown.whole(Mode.halfAway)
  return new Decimal(whole.high, whole.low, 0)
}

/** With the digits of money, where 128 bits hold them. */
export function amountOf(value: Exact, scale: i32): Decimal {
  if (value.isZero) return new Decimal(0, 0, <u8>scale)
  if (!value.hasScale(scale)) return decimalOf(value)
  const shown = value.tryScaled(powerOfTen(scale))
  return shown === null ? decimalOf(value) : new Decimal(shown.high, shown.low, <u8>scale)
}

export function fractionOf(value: Exact): Fraction {
  const shown = value.reduced()
  return new Fraction(new Decimal(shown.high, shown.low, 0), new Decimal(<i64>shown.underHigh, shown.under, 0))
}

/** Null where its scale is beyond 18, or its coefficient the least number. */
export function exactOf(value: Decimal): Exact | null {
  if (value.scale > <u8>placesMax || (value.high == i64.MIN_VALUE && value.low == 0)) return null
  return Exact.ofScaled(value.high, value.low, value.scale)
}

export function noDecimal(path: string): Problem {
  return new Problem(ProblemKind.malformed, path, "A decimal has a scale of at most 18 and a coefficient above -2^127")
}

export function overflow(path: string): Problem {
  return new Problem(ProblemKind.overflow, path, "What is computed here is beyond 128 bits")
}

/** A problem that was found with computed numbers: where one of them was beyond 128 bits, that is what is wrong. */
export function found(kind: ProblemKind, path: string, message: string): Problem {
  return overflowed ? overflow(path) : new Problem(kind, path, message)
}
