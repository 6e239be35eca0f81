/**
 * `Decimal`: an exact number with 18 places after the point, in 128 bits: ±170,141,183,460,469,231,731.687303715884105727.
 * Sums and differences are exact; products and quotients are computed with 256 bits and rounded once, by a named rule. What
 * is out of range is never wrapped: `add sub mul div …` trap there, `tryAdd …` answer null.
 *
 * One scale for all values instead of one for each: there is one form of a number, so equal values are equal words and
 * nothing about a sum depends on the order of its parts.
 */
import {
  digitsOf,
  divideWide,
  I128,
  magnitudeHigh,
  magnitudeLow,
  multiplyWide,
  quotientAt,
  readDigits,
  readHigh,
  readLow,
  setWide,
  startDigits,
  wideAt,
} from "./int128.as"
import { err, ok, Result } from "./result.as"

/** How what does not fit is rounded. The names are those of ECMA-402's and Java's rules, whichever says more. */
export enum Rounding {
  /** To the nearest, the middle away from 0: 2.5 → 3, −2.5 → −3. What invoices expect, and the default. */
  halfAway,
  /** To the nearest, the middle to the even neighbour: 2.5 → 2, 3.5 → 4. Without a drift over many. */
  halfEven,
  /** To the nearest, the middle toward 0: 2.5 → 2, −2.5 → −2. */
  halfToward,
  /** To the nearest, the middle toward +∞: 2.5 → 3, −2.5 → −2. */
  halfCeiling,
  /** To the nearest, the middle toward −∞: 2.5 → 2, −2.5 → −3. */
  halfFloor,
  /** Away from 0. */
  up,
  /** Toward 0. */
  down,
  /** Toward +∞. */
  ceiling,
  /** Toward −∞. */
  floor,
  /** Not at all: what would have to be rounded traps, or is null of `try…`. */
  exact,
}

export enum DecimalReason {
  /** It is no number. */
  syntax,
  /** It is beyond ±1.7 × 10²⁰. */
  range,
  /** It has more than 18 places, and the rounding is `exact`. */
  precision,
}

/** Why a text was refused. */
export class DecimalError {
  constructor(
    readonly reason: DecimalReason,
    /** Where, in UTF-16 code units. */
    readonly offset: i32,
  ) {}
  toString(): string {
    if (this.reason == DecimalReason.range) return "Cannot read a decimal: it is out of range"
    if (this.reason == DecimalReason.precision) return "Cannot read a decimal: it has more than 18 places"
    return `Cannot read a decimal: no number is expected to go on like this at offset ${this.offset}`
  }
}

const places: i32 = 18
const one: u64 = 1_000_000_000_000_000_000

/** 10⁰ … 10¹⁹: the latter is the greatest in 64 bits. */
function powerOfTen(exponent: i32): u64 {
  let power: u64 = 1
  for (; exponent > 0; exponent -= 1) power *= 10
  return power
}

/** Whether a quotient is to be one more in magnitude. `middle` is below, at or above 0 as the remainder is to half of the divisor. */
function isRoundedUp(mode: Rounding, isNegative: bool, isOdd: bool, middle: i32): bool {
  switch (mode) {
    case Rounding.up:
      return true
    case Rounding.down:
      return false
    case Rounding.ceiling:
      return !isNegative
    case Rounding.floor:
      return isNegative
  }
  if (middle != 0) return middle > 0
  if (mode == Rounding.halfAway) return true
  if (mode == Rounding.halfEven) return isOdd
  if (mode == Rounding.halfCeiling) return !isNegative
  return mode == Rounding.halfFloor && isNegative
}

/** The magnitude of the last `divideRounded`. */
let roundedLow: u64 = 0
let roundedHigh: u64 = 0

/** Divides the wide number by a magnitude and rounds; false where the quotient has more than 128 bits, or is rounded though it must not be. */
function divideRounded(dLow: u64, dHigh: u64, isNegative: bool, mode: Rounding): bool {
  divideWide(dLow, dHigh)
  if ((quotientAt(16) | quotientAt(24)) != 0) return false
  let low = quotientAt(0)
  let high = quotientAt(8)
  const restLow = wideAt(0)
  const restHigh = wideAt(8)
  if ((restLow | restHigh) != 0) {
    if (mode == Rounding.exact) return false
    // The remainder against what it lacks to the divisor: twice the remainder may have 129 bits.
    const lackLow = dLow - restLow
    const lackHigh = dHigh - restHigh - u64(dLow < restLow)
    const middle = restHigh == lackHigh ? i32(restLow > lackLow) - i32(restLow < lackLow) : restHigh > lackHigh ? 1 : -1
    if (isRoundedUp(mode, isNegative, (low & 1) != 0, middle)) {
      low += 1
      if (low == 0) {
        high += 1
        if (high == 0) return false
      }
    }
  }
  roundedLow = low
  roundedHigh = high
  return true
}

/** Traps where there is no result. */
function must(value: Decimal | null): Decimal {
  if (value === null) unreachable()
  return value as Decimal
}

export class Decimal {
  /** The value × 10¹⁸, in two's complement. */
  private constructor(
    private readonly low: u64,
    private readonly high: i64,
  ) {}

  private static from(isNegative: bool, low: u64, high: u64): Decimal | null {
    if (<i64>high < 0 && !(isNegative && high << 1 == 0 && low == 0)) return null
    return isNegative ? new Decimal(~low + 1, <i64>(~high + u64(low == 0))) : new Decimal(low, <i64>high)
  }

  static get zero(): Decimal {
    return new Decimal(0, 0)
  }
  static get max(): Decimal {
    return new Decimal(u64.MAX_VALUE, i64.MAX_VALUE)
  }
  static get min(): Decimal {
    return new Decimal(0, i64.MIN_VALUE)
  }
  /** A whole number. */
  static of(value: i64): Decimal {
    return must(Decimal.ofScaled(value, 0))
  }
  /** value ÷ 10^`exponent`, which is 0 … 18: `ofScaled(1999, 2)` is 19.99. Null for no such exponent. */
  static ofScaled(value: i64, exponent: i32): Decimal | null {
    if (<u32>exponent > <u32>places) return null
    multiplyWide(magnitudeLow(<u64>value, value >> 63), 0, powerOfTen(places - exponent), 0)
    return Decimal.from(value < 0, wideAt(0), wideAt(8))
  }
  /** From the value × 10¹⁸. */
  static ofUnscaled(value: I128): Decimal {
    return new Decimal(value.low, value.high)
  }

  /**
   * Reads what JSON allows as a number, and zeros before it: `-12.50`, `1e-5`. More than 18 places are refused, unless a rounding is
   * named.
   */
  static parse(text: string, mode: Rounding = Rounding.exact): Result<Decimal, DecimalError> {
    const end = text.length
    let at = 0
    const isNegative = end > 0 && text.charCodeAt(0) == 45
    if (isNegative) at = 1
    const whole = at
    while (at < end && <u32>(text.charCodeAt(at) - 48) <= 9) at += 1
    const point = at
    if (at == whole) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.syntax, at))
    let digitsEnd = at
    if (at < end && text.charCodeAt(at) == 46) {
      at += 1
      const fraction = at
      while (at < end && <u32>(text.charCodeAt(at) - 48) <= 9) at += 1
      if (at == fraction) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.syntax, at))
      digitsEnd = at
    }
    // Beyond this any number is 0 or out of range, whatever its digits are.
    const exponentMax: i64 = 1 << 40
    let exponent: i64 = 0
    if (at < end && (text.charCodeAt(at) | 32) == 101) {
      at += 1
      const sign = at < end ? text.charCodeAt(at) : 0
      if (sign == 45 || sign == 43) at += 1
      const digits = at
      while (at < end && <u32>(text.charCodeAt(at) - 48) <= 9) {
        exponent = min<i64>(exponent * 10 + (text.charCodeAt(at) - 48), exponentMax)
        at += 1
      }
      if (at == digits) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.syntax, at))
      if (sign == 45) exponent = -exponent
    }
    if (at != end) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.syntax, at))
    return Decimal.assemble(text, whole, point, digitsEnd, exponent, isNegative, mode)
  }

  /** The digits of `text` in [whole, point) and, after a point, to `end`, × 10^`exponent`. */
  private static assemble(
    text: string,
    whole: i32,
    point: i32,
    end: i32,
    exponent: i64,
    isNegative: bool,
    mode: Rounding,
  ): Result<Decimal, DecimalError> {
    // Zeros before the first digit that counts say nothing, and may be many.
    let first = whole
    while (first < end && (first == point || text.charCodeAt(first) == 48)) first += 1
    if (first == end) return ok<Decimal, DecimalError>(Decimal.zero)
    /** Digits from `first` that are whole numbers of 10⁻¹⁸; may be below 0 and beyond the digits there are. */
    const before: i64 = first < point ? point - first : point + 1 - first
    const kept: i64 = before + exponent + places
    const there: i64 = end - first - i32(first < point && end > point)
    // 2¹²⁷ has 39 digits.
    if (kept > 39) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.range, first))
    const taken = <i32>max<i64>(min<i64>(kept, there), 0)
    let stop = first + taken
    if (first < point && stop > point) stop += 1
    startDigits()
    let isRead: bool = true
    if (first < point && stop > point) isRead = readDigits(text, first, point) && readDigits(text, point + 1, stop)
    else isRead = readDigits(text, first, stop)
    for (let zero: i64 = taken; isRead && zero < kept; zero += 1) isRead = readDigits("0", 0, 1)
    let low = readLow
    let high = readHigh
    // What is cut off: nothing, or something that is below, at or above half of the last place.
    let cut = stop
    let isCut = false
    for (let at = cut; at < end && !isCut; at += 1) isCut = at != point && text.charCodeAt(at) != 48
    if (isRead && isCut) {
      if (mode == Rounding.exact && Decimal.from(isNegative, low, high) !== null)
        return err<Decimal, DecimalError>(new DecimalError(DecimalReason.precision, cut))
      if (cut == point) cut += 1
      let middle = -1
      if (kept >= 0) {
        const digit = text.charCodeAt(cut) - 48
        let rest = false
        for (let at = cut + 1; at < end && !rest; at += 1) rest = at != point && text.charCodeAt(at) != 48
        middle = digit > 5 || (digit == 5 && rest) ? 1 : digit == 5 ? 0 : -1
      }
      if (isRoundedUp(mode, isNegative, (low & 1) != 0, middle)) {
        low += 1
        high += u64(low == 0)
        isRead = (low | high) != 0
      }
    }
    const value = isRead ? Decimal.from(isNegative, low, high) : null
    if (value === null) return err<Decimal, DecimalError>(new DecimalError(DecimalReason.range, first))
    return ok<Decimal, DecimalError>(value)
  }

  get isNegative(): bool {
    return this.high < 0
  }
  get isZero(): bool {
    return (this.low | <u64>this.high) == 0
  }
  /** −1, 0 or 1. */
  get sign(): i32 {
    return this.high < 0 ? -1 : i32(!this.isZero)
  }
  /** The value × 10¹⁸. */
  get unscaled(): I128 {
    return new I128(this.low, this.high)
  }

  tryAdd(other: Decimal): Decimal | null {
    const low = this.low + other.low
    const high = this.high + other.high + i64(low < this.low)
    return ((this.high ^ high) & (other.high ^ high)) < 0 ? null : new Decimal(low, high)
  }
  trySub(other: Decimal): Decimal | null {
    const high = this.high - other.high - i64(this.low < other.low)
    return ((this.high ^ other.high) & (this.high ^ high)) < 0 ? null : new Decimal(this.low - other.low, high)
  }
  tryMul(other: Decimal, mode: Rounding = Rounding.halfAway): Decimal | null {
    this.multiply(other)
    return Decimal.rounded(one, 0, this.high < 0 != other.high < 0, mode)
  }
  /** Null out of range, and by 0. */
  tryDiv(other: Decimal, mode: Rounding = Rounding.halfAway): Decimal | null {
    if (other.isZero) return null
    multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), one, 0)
    return Decimal.rounded(magnitudeLow(other.low, other.high), magnitudeHigh(other.low, other.high), this.high < 0 != other.high < 0, mode)
  }
  /** this × `by` ÷ `over`, rounded once: the product between has 256 bits. A part of a month is `price.mulDiv(days, daysOfMonth)`. */
  tryMulDiv(by: Decimal, over: Decimal, mode: Rounding = Rounding.halfAway): Decimal | null {
    if (over.isZero) return null
    this.multiply(by)
    return Decimal.rounded(
      magnitudeLow(over.low, over.high),
      magnitudeHigh(over.low, over.high),
      (this.high < 0 != by.high < 0) != over.high < 0,
      mode,
    )
  }
  /** By a whole number: exact. */
  tryTimes(count: i64): Decimal | null {
    multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), magnitudeLow(<u64>count, count >> 63), 0)
    return (wideAt(16) | wideAt(24)) != 0 ? null : Decimal.from(this.high < 0 != count < 0, wideAt(0), wideAt(8))
  }
  /** To `exponent` places, 0 … 18: 2 for most money, 0 for yen, 3 for dinars. Null for no such exponent, and out of range. */
  tryRound(exponent: i32, mode: Rounding = Rounding.halfAway): Decimal | null {
    if (<u32>exponent > <u32>places) return null
    const unit = powerOfTen(places - exponent)
    const isNegative = this.high < 0
    setWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high))
    if (!divideRounded(unit, 0, isNegative, mode)) return null
    multiplyWide(roundedLow, roundedHigh, unit, 0)
    return (wideAt(16) | wideAt(24)) != 0 ? null : Decimal.from(isNegative, wideAt(0), wideAt(8))
  }

  private multiply(other: Decimal): void {
    multiplyWide(
      magnitudeLow(this.low, this.high),
      magnitudeHigh(this.low, this.high),
      magnitudeLow(other.low, other.high),
      magnitudeHigh(other.low, other.high),
    )
  }
  private static rounded(dLow: u64, dHigh: u64, isNegative: bool, mode: Rounding): Decimal | null {
    return divideRounded(dLow, dHigh, isNegative, mode) ? Decimal.from(isNegative, roundedLow, roundedHigh) : null
  }

  add(other: Decimal): Decimal {
    return must(this.tryAdd(other))
  }
  sub(other: Decimal): Decimal {
    return must(this.trySub(other))
  }
  mul(other: Decimal, mode: Rounding = Rounding.halfAway): Decimal {
    return must(this.tryMul(other, mode))
  }
  div(other: Decimal, mode: Rounding = Rounding.halfAway): Decimal {
    return must(this.tryDiv(other, mode))
  }
  mulDiv(by: Decimal, over: Decimal, mode: Rounding = Rounding.halfAway): Decimal {
    return must(this.tryMulDiv(by, over, mode))
  }
  times(count: i64): Decimal {
    return must(this.tryTimes(count))
  }
  round(exponent: i32, mode: Rounding = Rounding.halfAway): Decimal {
    return must(this.tryRound(exponent, mode))
  }
  /** Traps for the least number. */
  neg(): Decimal {
    return must(Decimal.from(this.high >= 0, magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high)))
  }
  abs(): Decimal {
    return this.high < 0 ? this.neg() : this
  }

  /** Below, at or above 0, as `this` is to `other`. */
  compare(other: Decimal): i32 {
    return this.high == other.high ? i32(this.low > other.low) - i32(this.low < other.low) : this.high < other.high ? -1 : 1
  }
  equals(other: Decimal): bool {
    return this.low == other.low && this.high == other.high
  }

  /** With as many places as it needs: `-12.5`, `0.00001`, `3`. Never an exponent, never `-0`. */
  toString(): string {
    const text = digitsOf(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), this.high < 0, places + 1)
    const point = text.length - places
    let end = text.length
    while (end > point && text.charCodeAt(end - 1) == 48) end -= 1
    return end == point ? text.substring(0, point) : `${text.substring(0, point)}.${text.substring(point, end)}`
  }
  /** With exactly `exponent` places, 0 … 18: `19.90`. Traps for no such exponent, and where rounding leaves the range. */
  toFixed(exponent: i32, mode: Rounding = Rounding.halfAway): string {
    const value = this.round(exponent, mode)
    const text = digitsOf(magnitudeLow(value.low, value.high), magnitudeHigh(value.low, value.high), value.high < 0, places + 1)
    const point = text.length - places
    return exponent == 0 ? text.substring(0, point) : `${text.substring(0, point)}.${text.substring(point, point + exponent)}`
  }
}
