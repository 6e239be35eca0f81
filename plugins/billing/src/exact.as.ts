/**
 * Exact fractions of 128 bits over 128. Nothing is rounded but by `rounded`; what does not fit in lowest terms, and nothing else, sets
 * `overflowed`, which whoever computes for a caller looks at once at the end, and the value is then 0.
 *
 * Results are left unreduced while they fit: prices and quantities are decimals, whose denominators stay small by themselves.
 */
import { digitsOf, divideWide, magnitudeHigh, magnitudeLow, multiplyWide, quotientAt, readDigits, readHigh, readLow, setWide, setWords, startDigits, wideAt } from "../../sdk/int128.as"

export let overflowed: bool = false

export function clearOverflow(): void {
  overflowed = false
}

/** How a quotient goes to a whole number. The order is that of the policy's names in `policy.as.ts`. */
export enum Mode {
  halfAway,
  halfEven,
  halfOdd,
  halfDown,
  halfCeiling,
  halfFloor,
  up,
  down,
  ceiling,
  floor,
}

/** `middle` is below, at or above 0 as what was cut off is to a half. */
export function isRoundedUp(mode: Mode, isNegative: bool, isOdd: bool, middle: i32): bool {
  switch (mode) {
    case Mode.up:
      return true
    case Mode.down:
      return false
    case Mode.ceiling:
      return !isNegative
    case Mode.floor:
      return isNegative
  }
  if (middle != 0) return middle > 0
  switch (mode) {
    case Mode.halfEven:
      return isOdd
    case Mode.halfOdd:
      return !isOdd
    case Mode.halfDown:
      return false
    case Mode.halfCeiling:
      return !isNegative
    case Mode.halfFloor:
      return isNegative
  }
  return true
}

let gcdLow: u64 = 0
let gcdHigh: u64 = 0

/** Stein's algorithm: `gcdLow` and `gcdHigh` become the greatest common divisor of two magnitudes, the second of which is not 0. */
function gcd(aLow: u64, aHigh: u64, bLow: u64, bHigh: u64): void {
  if ((aLow | aHigh) == 0) {
    gcdLow = bLow
    gcdHigh = bHigh
    return
  }
  const aTwos = twos(aLow, aHigh)
  const bTwos = twos(bLow, bHigh)
  const shift = min(aTwos, bTwos)
  if (aTwos != 0) {
    const high = aHigh
    aHigh = shiftedHigh(high, aTwos)
    aLow = shiftedLow(aLow, high, aTwos)
  }
  if (bTwos != 0) {
    const high = bHigh
    bHigh = shiftedHigh(high, bTwos)
    bLow = shiftedLow(bLow, high, bTwos)
  }
  while ((aHigh | bHigh) != 0) {
    if (aHigh == bHigh && aLow == bLow) break
    if (aHigh < bHigh || (aHigh == bHigh && aLow < bLow)) {
      const low = aLow
      const high = aHigh
      aLow = bLow
      aHigh = bHigh
      bLow = low
      bHigh = high
    }
    aHigh = aHigh - bHigh - u64(aLow < bLow)
    aLow -= bLow
    const by = twos(aLow, aHigh)
    const high = aHigh
    aHigh = shiftedHigh(high, by)
    aLow = shiftedLow(aLow, high, by)
  }
  if ((aHigh | bHigh) == 0) {
    while (aLow != bLow) {
      if (aLow > bLow) {
        aLow -= bLow
        aLow >>= ctz(aLow)
      } else {
        bLow -= aLow
        bLow >>= ctz(bLow)
      }
    }
  }
  gcdHigh = shift == 0 ? aHigh : shift >= 64 ? aLow << (shift - 64) : (aHigh << shift) | (aLow >> (64 - shift))
  gcdLow = shift >= 64 ? 0 : aLow << shift
}

// @ts-ignore: decorator
@inline
function twos(low: u64, high: u64): u64 {
  return low != 0 ? ctz(low) : 64 + ctz(high)
}
// @ts-ignore: decorator
@inline
function shiftedLow(low: u64, high: u64, by: u64): u64 {
  return by == 0 ? low : by >= 64 ? high >> (by - 64) : (low >> by) | (high << (64 - by))
}
// @ts-ignore: decorator
@inline
function shiftedHigh(high: u64, by: u64): u64 {
  return by == 0 ? high : by >= 64 ? 0 : high >> by
}

/** Whether the product has more than 127 bits. */
// @ts-ignore: decorator
@inline
function isWide(): bool {
  return (wideAt(16) | wideAt(24)) != 0 || <i64>wideAt(8) < 0
}

const powers = new StaticArray<u64>(20)
for (let i = 0; i < 20; i += 1) powers[i] = i == 0 ? 1 : powers[i - 1] * 10

/** 10⁰ … 10¹⁹: the latter is the greatest in 64 bits. */
export function powerOfTen(exponent: i32): u64 {
  return powers[exponent]
}

export class Exact {
  /** The numerator in two's complement, the denominator, which is positive and below 2¹²⁷. */
  constructor(
    readonly low: u64,
    readonly high: i64,
    readonly under: u64,
    readonly underHigh: u64,
  ) {}

  static readonly zero: Exact = new Exact(0, 0, 1, 0)
  static readonly one: Exact = new Exact(1, 0, 1, 0)
  static readonly hundred: Exact = new Exact(100, 0, 1, 0)

  static of(value: i64): Exact {
    return new Exact(<u64>value, value >> 63, 1, 0)
  }
  static ofU64(value: u64): Exact {
    return new Exact(value, 0, 1, 0)
  }
  /** coefficient ÷ 10^`scale`, which is 0 … 18. */
  static ofScaled(high: i64, low: u64, scale: i32): Exact {
    if ((low | <u64>high) == 0) return Exact.zero
    return new Exact(low, high, powerOfTen(scale), 0)
  }
  private static signed(isNegative: bool, low: u64, high: u64, under: u64, underHigh: u64): Exact {
    if (<i64>high < 0) return Exact.fail()
    return isNegative ? new Exact(~low + 1, <i64>(~high + u64(low == 0)), under, underHigh) : new Exact(low, <i64>high, under, underHigh)
  }
  private static fail(): Exact {
    overflowed = true
    return Exact.zero
  }

  get isZero(): bool {
    return (this.low | <u64>this.high) == 0
  }
  get isNegative(): bool {
    return this.high < 0
  }
  get isPositive(): bool {
    return this.high >= 0 && !this.isZero
  }
  get isWhole(): bool {
    const value = this.reduced()
    return value.under == 1 && value.underHigh == 0
  }

  reduced(): Exact {
    if (this.under == 1 && this.underHigh == 0) return this
    if (this.isZero) return Exact.zero
    gcd(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), this.under, this.underHigh)
    if (gcdLow == 1 && gcdHigh == 0) return this
    const byLow = gcdLow
    const byHigh = gcdHigh
    setWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high))
    divideWide(byLow, byHigh)
    const low = quotientAt(0)
    const high = quotientAt(8)
    setWide(this.under, this.underHigh)
    divideWide(byLow, byHigh)
    return Exact.signed(this.high < 0, low, high, quotientAt(0), quotientAt(8))
  }

  neg(): Exact {
    return Exact.signed(this.high >= 0, magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), this.under, this.underHigh)
  }
  abs(): Exact {
    return this.high < 0 ? this.neg() : this
  }

  add(other: Exact): Exact {
    if (other.isZero) return this
    if (this.isZero) return other
    if (this.under == other.under && this.underHigh == other.underHigh) {
      const low = this.low + other.low
      const high = this.high + other.high + i64(low < this.low)
      if (((this.high ^ high) & (other.high ^ high)) >= 0 && !(high == i64.MIN_VALUE && low == 0)) return new Exact(low, high, this.under, this.underHigh)
    }
    if ((this.underHigh | other.underHigh) == 0) {
      // Decimals: one denominator divides the other.
      const isFiner = this.under >= other.under
      const finer = isFiner ? this : other
      const coarser = isFiner ? other : this
      if (finer.under % coarser.under == 0) {
        multiplyWide(magnitudeLow(coarser.low, coarser.high), magnitudeHigh(coarser.low, coarser.high), finer.under / coarser.under, 0)
        if (!isWide()) {
          let low = wideAt(0)
          let high = <i64>wideAt(8)
          if (coarser.high < 0) {
            high = <i64>(~(<u64>high) + u64(low == 0))
            low = ~low + 1
          }
          const sumLow = finer.low + low
          const sumHigh = finer.high + high + i64(sumLow < low)
          if (((finer.high ^ sumHigh) & (high ^ sumHigh)) >= 0 && !(sumHigh == i64.MIN_VALUE && sumLow == 0)) return new Exact(sumLow, sumHigh, finer.under, 0)
        }
      }
    }
    const a = this.reduced()
    const b = other.reduced()
    gcd(a.under, a.underHigh, b.under, b.underHigh)
    const byLow = gcdLow
    const byHigh = gcdHigh
    setWide(b.under, b.underHigh)
    divideWide(byLow, byHigh)
    multiplyWide(magnitudeLow(a.low, a.high), magnitudeHigh(a.low, a.high), quotientAt(0), quotientAt(8))
    let w0 = wideAt(0)
    let w1 = wideAt(8)
    let w2 = wideAt(16)
    let w3 = wideAt(24)
    setWide(a.under, a.underHigh)
    divideWide(byLow, byHigh)
    const otherLow = quotientAt(0)
    const otherHigh = quotientAt(8)
    multiplyWide(magnitudeLow(b.low, b.high), magnitudeHigh(b.low, b.high), otherLow, otherHigh)
    let v0 = wideAt(0)
    let v1 = wideAt(8)
    let v2 = wideAt(16)
    let v3 = wideAt(24)
    let isNegative = a.high < 0
    if (isNegative == b.high < 0) {
      // Both have 254 bits at most.
      w0 += v0
      let carry = u64(w0 < v0)
      w1 += carry
      carry = u64(w1 < carry)
      w1 += v1
      carry += u64(w1 < v1)
      w2 += carry
      carry = u64(w2 < carry)
      w2 += v2
      carry += u64(w2 < v2)
      w3 += v3 + carry
    } else {
      const isLess = w3 != v3 ? w3 < v3 : w2 != v2 ? w2 < v2 : w1 != v1 ? w1 < v1 : w0 < v0
      if (isLess) {
        isNegative = !isNegative
        let word = w0
        w0 = v0
        v0 = word
        word = w1
        w1 = v1
        v1 = word
        word = w2
        w2 = v2
        v2 = word
        word = w3
        w3 = v3
        v3 = word
      }
      let borrow = u64(w0 < v0)
      w0 -= v0
      let next = u64(w1 < v1 || w1 - v1 < borrow)
      w1 = w1 - v1 - borrow
      borrow = next
      next = u64(w2 < v2 || w2 - v2 < borrow)
      w2 = w2 - v2 - borrow
      w3 = w3 - v3 - next
    }
    if ((w0 | w1 | w2 | w3) == 0) return Exact.zero
    // What the sum has in common with the denominator divides `by` (Knuth, volume 2, 4.5.1).
    setWords(w0, w1, w2, w3)
    divideWide(byLow, byHigh)
    gcd(wideAt(0), wideAt(8), byLow, byHigh)
    const commonLow = gcdLow
    const commonHigh = gcdHigh
    setWide(b.under, b.underHigh)
    divideWide(commonLow, commonHigh)
    multiplyWide(otherLow, otherHigh, quotientAt(0), quotientAt(8))
    if (isWide()) return Exact.fail()
    const under = wideAt(0)
    const underHigh = wideAt(8)
    setWords(w0, w1, w2, w3)
    divideWide(commonLow, commonHigh)
    if ((quotientAt(16) | quotientAt(24)) != 0) return Exact.fail()
    return Exact.signed(isNegative, quotientAt(0), quotientAt(8), under, underHigh)
  }
  sub(other: Exact): Exact {
    if (other.isZero) return this
    if (this.under == other.under && this.underHigh == other.underHigh) {
      const low = this.low - other.low
      const high = this.high - other.high - i64(this.low < other.low)
      if (((this.high ^ other.high) & (this.high ^ high)) >= 0 && !(high == i64.MIN_VALUE && low == 0)) return new Exact(low, high, this.under, this.underHigh)
    }
    return this.add(other.neg())
  }

  mul(other: Exact): Exact {
    if (this.isZero || other.isZero) return Exact.zero
    const done = Exact.product(this, other)
    if (done !== null) return done
    // Lowest terms, crosswise: what is then too much is too much.
    const a = this.reduced()
    const b = other.reduced()
    const left = new Exact(a.low, a.high, b.under, b.underHigh).reduced()
    const right = new Exact(b.low, b.high, a.under, a.underHigh).reduced()
    const product = Exact.product(new Exact(left.low, left.high, right.under, right.underHigh), new Exact(right.low, right.high, left.under, left.underHigh))
    return product === null ? Exact.fail() : product
  }
  private static product(a: Exact, b: Exact): Exact | null {
    multiplyWide(a.under, a.underHigh, b.under, b.underHigh)
    if (isWide()) return null
    const under = wideAt(0)
    const underHigh = wideAt(8)
    multiplyWide(magnitudeLow(a.low, a.high), magnitudeHigh(a.low, a.high), magnitudeLow(b.low, b.high), magnitudeHigh(b.low, b.high))
    if (isWide()) return null
    return Exact.signed(a.high < 0 != b.high < 0, wideAt(0), wideAt(8), under, underHigh)
  }
  /** By what is not 0. */
  div(other: Exact): Exact {
    const over = other.abs()
    const upside = new Exact(over.under, <i64>over.underHigh, over.low, <u64>over.high)
    return this.mul(other.high < 0 ? upside.neg() : upside)
  }
  times(count: i64): Exact {
    return this.mul(Exact.of(count))
  }

  /** Below, at or above 0, as `this` is to `other`: never an overflow. */
  compare(other: Exact): i32 {
    if (this.high < 0 != other.high < 0) return this.high < 0 ? -1 : 1
    multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), other.under, other.underHigh)
    const w0 = wideAt(0)
    const w1 = wideAt(8)
    const w2 = wideAt(16)
    const w3 = wideAt(24)
    multiplyWide(magnitudeLow(other.low, other.high), magnitudeHigh(other.low, other.high), this.under, this.underHigh)
    let order = i32(w3 > wideAt(24)) - i32(w3 < wideAt(24))
    if (order == 0) order = i32(w2 > wideAt(16)) - i32(w2 < wideAt(16))
    if (order == 0) order = i32(w1 > wideAt(8)) - i32(w1 < wideAt(8))
    if (order == 0) order = i32(w0 > wideAt(0)) - i32(w0 < wideAt(0))
    return this.high < 0 ? -order : order
  }
  equals(other: Exact): bool {
    return this.compare(other) == 0
  }
  min(other: Exact): Exact {
    return this.compare(other) <= 0 ? this : other
  }
  max(other: Exact): Exact {
    return this.compare(other) >= 0 ? this : other
  }

  /** To a whole number. */
  whole(mode: Mode): Exact {
    if (this.under == 1 && this.underHigh == 0) return this
    setWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high))
    divideWide(this.under, this.underHigh)
    let low = quotientAt(0)
    let high = quotientAt(8)
    const restLow = wideAt(0)
    const restHigh = wideAt(8)
    if ((restLow | restHigh) != 0) {
      // The remainder against what it lacks to the divisor: twice the remainder may have more bits.
      const lackLow = this.under - restLow
      const lackHigh = this.underHigh - restHigh - u64(this.under < restLow)
      const middle = restHigh == lackHigh ? i32(restLow > lackLow) - i32(restLow < lackLow) : restHigh > lackHigh ? 1 : -1
      if (isRoundedUp(mode, this.high < 0, (low & 1) != 0, middle)) {
        low += 1
        high += u64(low == 0)
      }
    }
    return Exact.signed(this.high < 0, low, high, 1, 0)
  }
  /** To a multiple of `step`. */
  rounded(step: Exact, mode: Mode): Exact {
    if (step.low == 1 && step.high == 0 && step.underHigh == 0) {
      // A power of ten: what has no more digits is itself, and the rest is one product and one division.
      if (this.underHigh == 0 && step.under % this.under == 0) return this
      multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), step.under, 0)
      if (!isWide()) {
        const whole = Exact.signed(this.high < 0, wideAt(0), wideAt(8), this.under, this.underHigh).whole(mode)
        return new Exact(whole.low, whole.high, step.under, 0)
      }
    }
    return this.div(step).whole(mode).mul(step).reduced()
  }
  /** Whether 10^`scale` makes a whole number of it; up to 19. */
  hasScale(scale: i32): bool {
    if (this.underHigh == 0 && powerOfTen(scale) % this.under == 0) return true
    const value = this.reduced()
    return value.underHigh == 0 && powerOfTen(scale) % value.under == 0
  }
  /** Its coefficient at `scale`, where it has no more digits. */
  coefficient(scale: i32): Exact {
    return this.mul(Exact.ofU64(powerOfTen(scale))).reduced()
  }
  /** Times `power`, as a whole number with a half away from zero; null where that is beyond 127 bits. */
  tryScaled(power: u64): Exact | null {
    if (this.underHigh == 0 && power % this.under == 0) {
      const by = power / this.under
      if (by == 1) return this.under == 1 ? this : new Exact(this.low, this.high, 1, 0)
      multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), by, 0)
      if (isWide()) return null
      return Exact.signed(this.high < 0, wideAt(0), wideAt(8), 1, 0)
    }
    multiplyWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), power, 0)
    divideWide(this.under, this.underHigh)
    let low = quotientAt(0)
    let high = quotientAt(8)
    const restLow = wideAt(0)
    const restHigh = wideAt(8)
    const lackLow = this.under - restLow
    const lackHigh = this.underHigh - restHigh - u64(this.under < restLow)
    const isUp = (restLow | restHigh) != 0 && (restHigh == lackHigh ? restLow >= lackLow : restHigh > lackHigh)
    low += u64(isUp)
    high += u64(isUp && low == 0)
    if ((quotientAt(16) | quotientAt(24)) != 0 || <i64>high < 0) return null
    return this.high < 0 ? new Exact(~low + 1, <i64>(~high + u64(low == 0)), 1, 0) : new Exact(low, <i64>high, 1, 0)
  }
  get fitsI64(): bool {
    const whole = this.reduced()
    return whole.under == 1 && whole.underHigh == 0 && whole.high == <i64>whole.low >> 63
  }

  /** `12.5`; `10/3` where no 18 digits hold it. */
  toString(): string {
    const value = this.reduced()
    let scale = 0
    while (scale < 18 && !value.hasScale(scale)) scale += 1
    const shown = value.hasScale(scale) ? value.tryScaled(powerOfTen(scale)) : null
    if (shown === null) return `${text(value.low, value.high)}/${digitsOf(value.under, value.underHigh, false)}`
    const digits = digitsOf(magnitudeLow(shown.low, shown.high), magnitudeHigh(shown.low, shown.high), false, scale + 1)
    const sign = shown.high < 0 ? "-" : ""
    const point = digits.length - scale
    return scale == 0 ? sign + digits : `${sign}${digits.substring(0, point)}.${digits.substring(point)}`
  }
}

function text(low: u64, high: i64): string {
  return digitsOf(magnitudeLow(low, high), magnitudeHigh(low, high), high < 0)
}

/** Reads `-?digits[.digits]`, 18 after the point at most; null for other text and beyond 127 bits. */
export function readDecimal(source: string): Exact | null {
  const end = source.length
  const isNegative = end > 0 && source.charCodeAt(0) == 45
  let at = i32(isNegative)
  const from = at
  while (at < end && <u32>(source.charCodeAt(at) - 48) <= 9) at += 1
  const point = at
  if (point == from || (source.charCodeAt(from) == 48 && point > from + 1)) return null
  if (at < end) {
    if (source.charCodeAt(at) != 46) return null
    at += 1
    while (at < end && <u32>(source.charCodeAt(at) - 48) <= 9) at += 1
    if (at != end || at == point + 1 || at - point - 1 > 18) return null
  }
  startDigits()
  if (!readDigits(source, from, point)) return null
  if (point < end && !readDigits(source, point + 1, end)) return null
  if (<i64>readHigh < 0) return null
  const low = readLow
  const high = <i64>readHigh
  const value = Exact.ofScaled(high, low, point < end ? end - point - 1 : 0)
  return isNegative ? value.neg() : value
}
