/**
 * `U128` and `I128`: integers of 128 bits, immutable, with what goes beyond their range never lost: `add sub mul neg abs`
 * and conversions trap there, `tryAdd trySub tryMul` answer null. Methods instead of operators, because an editor's type
 * checker knows none on classes.
 *
 * Below them is what `decimal` needs: products of 256 bits and their division by 128 bits, in static memory and without an
 * object. Division is algorithm D of Knuth, The Art of Computer Programming, volume 2, 4.3.1, on limbs of 32 bits, because
 * WebAssembly multiplies and divides 64 bits at most.
 */

/** The wide number: 256 bits in 8 limbs, the least first, and a ninth for algorithm D. After a division it is the remainder. */
const wide: usize = memory.data(40, 8)
/** The divisor: 4 limbs. */
const divisor: usize = memory.data(16, 8)
/** The quotient: 8 limbs. */
const quotient: usize = memory.data(32, 8)

/** The high half of what `multiply64` returned the low half of. */
let high64: u64 = 0

/** 64 × 64 → 128 bits by four products of 32 bits: none of the sums below exceeds 64 bits, since (2³²−1)² + 2(2³²−1) = 2⁶⁴−1. */
function multiply64(a: u64, b: u64): u64 {
  const a0 = a & 0xffffffff
  const a1 = a >> 32
  const b0 = b & 0xffffffff
  const b1 = b >> 32
  const low = a0 * b0
  const middle = a1 * b0 + (low >> 32)
  const other = a0 * b1 + (middle & 0xffffffff)
  high64 = a1 * b1 + (middle >> 32) + (other >> 32)
  return (other << 32) | (low & 0xffffffff)
}

/** The wide number becomes a × b, of two magnitudes of 128 bits. */
export function multiplyWide(aLow: u64, aHigh: u64, bLow: u64, bHigh: u64): void {
  store<u64>(wide, multiply64(aLow, bLow))
  let w1 = high64
  let w2: u64 = 0
  let w3: u64 = 0
  if ((aHigh | bHigh) != 0) {
    let part = multiply64(aHigh, bLow)
    w1 += part
    w2 = high64 + u64(w1 < part)
    part = multiply64(aLow, bHigh)
    w1 += part
    const carried = high64 + u64(w1 < part)
    w2 += carried
    w3 = u64(w2 < carried)
    part = multiply64(aHigh, bHigh)
    w2 += part
    w3 += high64 + u64(w2 < part)
  }
  store<u64>(wide, w1, 8)
  store<u64>(wide, w2, 16)
  store<u64>(wide, w3, 24)
}

/** The wide number becomes one of 128 bits. */
export function setWide(low: u64, high: u64): void {
  store<u64>(wide, low)
  store<u64>(wide, high, 8)
  store<u64>(wide, 0, 16)
  store<u64>(wide, 0, 24)
}

/** The wide number becomes one of 256 bits, the least word first. */
export function setWords(w0: u64, w1: u64, w2: u64, w3: u64): void {
  store<u64>(wide, w0)
  store<u64>(wide, w1, 8)
  store<u64>(wide, w2, 16)
  store<u64>(wide, w3, 24)
}

/** The 64 bits of the wide number that begin at byte 0, 8, 16 or 24; after `divideWide` the remainder's. */
// @ts-ignore: decorator
@inline
export function wideAt(byte: usize): u64 {
  return load<u64>(wide + byte)
}

/** The same of the last quotient. */
// @ts-ignore: decorator
@inline
export function quotientAt(byte: usize): u64 {
  return load<u64>(quotient + byte)
}

// @ts-ignore: decorator
@inline
function limb(base: usize, at: i32): u64 {
  return load<u32>(base + ((<usize>at) << 2))
}
// @ts-ignore: decorator
@inline
function setLimb(base: usize, at: i32, value: u64): void {
  store<u32>(base + ((<usize>at) << 2), <u32>value)
}

/** Divides the wide number: the quotient is in `quotientAt`, the remainder in `wideAt`. Traps when the divisor is 0. */
export function divideWide(dLow: u64, dHigh: u64): void {
  if ((dLow | dHigh) == 0) unreachable()
  memory.fill(quotient, 0, 32)
  let length = 8
  while (length > 0 && limb(wide, length - 1) == 0) length -= 1
  if (length <= 2 && dHigh == 0) {
    const value = load<u64>(wide)
    store<u64>(quotient, value / dLow)
    store<u64>(wide, value % dLow)
    return
  }
  if (dHigh == 0 && dLow >> 32 == 0) {
    let rest: u64 = 0
    for (let at = length - 1; at >= 0; at -= 1) {
      const part = (rest << 32) | limb(wide, at)
      setLimb(quotient, at, part / dLow)
      rest = part % dLow
    }
    setWide(rest, 0)
    return
  }
  store<u64>(divisor, dLow)
  store<u64>(divisor, dHigh, 8)
  let size = 4
  while (limb(divisor, size - 1) == 0) size -= 1
  if (length < size) return
  // D1: the divisor's highest bit becomes 1, so that a digit of the quotient is guessed wrong by 2 at most.
  const shift = <u64>clz<u32>(<u32>limb(divisor, size - 1))
  setLimb(wide, length, 0)
  if (shift != 0) {
    for (let at = size - 1; at > 0; at -= 1) setLimb(divisor, at, (limb(divisor, at) << shift) | (limb(divisor, at - 1) >> (32 - shift)))
    setLimb(divisor, 0, limb(divisor, 0) << shift)
    for (let at = length; at > 0; at -= 1) setLimb(wide, at, (limb(wide, at) << shift) | (limb(wide, at - 1) >> (32 - shift)))
    setLimb(wide, 0, limb(wide, 0) << shift)
  }
  const top = limb(divisor, size - 1)
  const second = limb(divisor, size - 2)
  for (let at = length - size; at >= 0; at -= 1) {
    // D3: guess from two limbs, corrected by a third.
    const two = (limb(wide, at + size) << 32) | limb(wide, at + size - 1)
    let guess = two / top
    let rest = two % top
    while (guess >> 32 != 0 || guess * second > ((rest << 32) | limb(wide, at + size - 2))) {
      guess -= 1
      rest += top
      if (rest >> 32 != 0) break
    }
    // D4: multiply and subtract.
    let carry: u64 = 0
    let borrow: u64 = 0
    for (let i = 0; i < size; i += 1) {
      const product = guess * limb(divisor, i) + carry
      carry = product >> 32
      const difference = limb(wide, at + i) - (product & 0xffffffff) - borrow
      setLimb(wide, at + i, difference)
      borrow = (difference >> 32) & 1
    }
    const difference = limb(wide, at + size) - carry - borrow
    setLimb(wide, at + size, difference)
    if (((difference >> 32) & 1) != 0) {
      // D6: it was one too much, which happens for about 2 of 2³² guesses.
      guess -= 1
      carry = 0
      for (let i = 0; i < size; i += 1) {
        const sum = limb(wide, at + i) + limb(divisor, i) + carry
        setLimb(wide, at + i, sum)
        carry = sum >> 32
      }
      setLimb(wide, at + size, limb(wide, at + size) + carry)
    }
    setLimb(quotient, at, guess)
  }
  // D8: the remainder, shifted back.
  if (shift != 0) for (let at = 0; at < size; at += 1) setLimb(wide, at, (limb(wide, at) >> shift) | (limb(wide, at + 1) << (32 - shift)))
  for (let at = size; at < 8; at += 1) setLimb(wide, at, 0)
}

/** UTF-16 digits, the last of them at the end: a sign, 39 digits, a point. */
const digits: usize = memory.data(96, 8)
const digitsEnd: usize = digits + 96

/** Writes the decimal digits of a magnitude so that they end at `digitsEnd`, at least `least` of them; returns where they begin. */
function writeDigits(low: u64, high: u64, least: i32): usize {
  let at = digitsEnd
  const full = digitsEnd - ((<usize>least) << 1)
  while (high != 0) {
    setWide(low, high)
    divideWide(1_000_000_000, 0)
    let part = <u32>wideAt(0)
    for (let i = 0; i < 9; i += 1) {
      at -= 2
      store<u16>(at, <u16>(48 + (part % 10)))
      part /= 10
    }
    low = quotientAt(0)
    high = quotientAt(8)
  }
  while (low != 0 || at > full) {
    at -= 2
    store<u16>(at, <u16>(48 + (low % 10)))
    low /= 10
  }
  return at
}

/** The decimal digits of a magnitude of 128 bits, at least `least` (39 at most) of them, with a sign before them. */
export function digitsOf(low: u64, high: u64, isNegative: bool, least: i32 = 1): string {
  let at = writeDigits(low, high, least)
  if (isNegative) {
    at -= 2
    store<u16>(at, 45)
  }
  return String.UTF16.decodeUnsafe(at, digitsEnd - at)
}

/** The magnitude that `readDigits` read. */
export let readLow: u64 = 0
export let readHigh: u64 = 0

/** Appends the digits of `text` between two places to what was read; false beyond 128 bits. Only digits may be there. */
export function readDigits(text: string, from: i32, to: i32): bool {
  let low = readLow
  let high = readHigh
  for (let at = from; at < to; at += 1) {
    const digit = <u64>(text.charCodeAt(at) - 48)
    if ((high | (low >> 60)) == 0) {
      low = low * 10 + digit
      continue
    }
    const top = multiply64(high, 10)
    if (high64 != 0) return false
    low = multiply64(low, 10)
    high = top + high64
    if (high < top) return false
    low += digit
    if (low < digit) {
      high += 1
      if (high == 0) return false
    }
  }
  readLow = low
  readHigh = high
  return true
}

/** Starts reading anew. */
export function startDigits(): void {
  readLow = 0
  readHigh = 0
}

/** Whether there are digits, and nothing else, from `from` to the end. */
function areDigits(text: string, from: i32): bool {
  if (from >= text.length) return false
  for (let at = from; at < text.length; at += 1) if (<u32>(text.charCodeAt(at) - 48) > 9) return false
  return true
}

function compareWords(aHigh: u64, aLow: u64, bHigh: u64, bLow: u64): i32 {
  return aHigh == bHigh ? i32(aLow > bLow) - i32(aLow < bLow) : i32(aHigh > bHigh) - i32(aHigh < bHigh)
}

/** Traps where there is nothing: for a result that is out of range. */
function must<T>(value: T | null): T {
  if (value === null) unreachable()
  return value as T
}

/** 0 … 2¹²⁸−1. */
export class U128 {
  constructor(
    readonly low: u64,
    readonly high: u64,
  ) {}

  static of(value: u64): U128 {
    return new U128(value, 0)
  }
  static get max(): U128 {
    return new U128(u64.MAX_VALUE, u64.MAX_VALUE)
  }

  /** Decimal digits and nothing else; null for other text and beyond the range. */
  static parse(text: string): U128 | null {
    if (!areDigits(text, 0)) return null
    startDigits()
    return readDigits(text, 0, text.length) ? new U128(readLow, readHigh) : null
  }

  tryAdd(other: U128): U128 | null {
    const low = this.low + other.low
    const carry = u64(low < this.low)
    const partial = this.high + other.high
    const high = partial + carry
    return partial < this.high || high < partial ? null : new U128(low, high)
  }
  trySub(other: U128): U128 | null {
    return this.compare(other) < 0 ? null : new U128(this.low - other.low, this.high - other.high - u64(this.low < other.low))
  }
  tryMul(other: U128): U128 | null {
    multiplyWide(this.low, this.high, other.low, other.high)
    return (wideAt(16) | wideAt(24)) != 0 ? null : new U128(wideAt(0), wideAt(8))
  }
  add(other: U128): U128 {
    return must<U128>(this.tryAdd(other))
  }
  sub(other: U128): U128 {
    return must<U128>(this.trySub(other))
  }
  mul(other: U128): U128 {
    return must<U128>(this.tryMul(other))
  }
  /** Traps when `other` is 0. */
  div(other: U128): U128 {
    setWide(this.low, this.high)
    divideWide(other.low, other.high)
    return new U128(quotientAt(0), quotientAt(8))
  }
  /** Traps when `other` is 0. */
  rem(other: U128): U128 {
    setWide(this.low, this.high)
    divideWide(other.low, other.high)
    return new U128(wideAt(0), wideAt(8))
  }
  /** this × `by` ÷ `over`, rounded down once: the product has 256 bits. Null when the quotient is out of range; traps when `over` is 0. */
  tryMulDiv(by: U128, over: U128): U128 | null {
    multiplyWide(this.low, this.high, by.low, by.high)
    divideWide(over.low, over.high)
    return (quotientAt(16) | quotientAt(24)) != 0 ? null : new U128(quotientAt(0), quotientAt(8))
  }

  /** Bits that leave at an end are lost; a shift by 128 or more leaves 0. */
  shl(bits: u32): U128 {
    if (bits >= 128) return new U128(0, 0)
    if (bits >= 64) return new U128(0, this.low << (bits - 64))
    return bits == 0 ? this : new U128(this.low << bits, (this.high << bits) | (this.low >> (64 - bits)))
  }
  shr(bits: u32): U128 {
    if (bits >= 128) return new U128(0, 0)
    if (bits >= 64) return new U128(this.high >> (bits - 64), 0)
    return bits == 0 ? this : new U128((this.low >> bits) | (this.high << (64 - bits)), this.high >> bits)
  }
  and(other: U128): U128 {
    return new U128(this.low & other.low, this.high & other.high)
  }
  or(other: U128): U128 {
    return new U128(this.low | other.low, this.high | other.high)
  }
  xor(other: U128): U128 {
    return new U128(this.low ^ other.low, this.high ^ other.high)
  }
  not(): U128 {
    return new U128(~this.low, ~this.high)
  }
  get leadingZeros(): i32 {
    return <i32>(this.high != 0 ? clz(this.high) : 64 + clz(this.low))
  }

  /** Below, at or above 0, as `this` is to `other`. */
  compare(other: U128): i32 {
    return compareWords(this.high, this.low, other.high, other.low)
  }
  equals(other: U128): bool {
    return this.low == other.low && this.high == other.high
  }
  get isZero(): bool {
    return (this.low | this.high) == 0
  }
  get fitsU64(): bool {
    return this.high == 0
  }
  /** Traps beyond 64 bits. */
  toU64(): u64 {
    if (!this.fitsU64) unreachable()
    return this.low
  }
  /** Null where the sign would not fit. */
  toI128(): I128 | null {
    return <i64>this.high < 0 ? null : new I128(this.low, <i64>this.high)
  }
  toString(): string {
    return digitsOf(this.low, this.high, false)
  }
}

/** −2¹²⁷ … 2¹²⁷−1, in two's complement. */
export class I128 {
  constructor(
    readonly low: u64,
    readonly high: i64,
  ) {}

  static of(value: i64): I128 {
    return new I128(<u64>value, value >> 63)
  }
  static ofU64(value: u64): I128 {
    return new I128(value, 0)
  }
  static get max(): I128 {
    return new I128(u64.MAX_VALUE, i64.MAX_VALUE)
  }
  static get min(): I128 {
    return new I128(0, i64.MIN_VALUE)
  }

  /** A number with this sign and magnitude, or null where there is none. */
  static tryFrom(isNegative: bool, low: u64, high: u64): I128 | null {
    // −2¹²⁷ alone has a magnitude that is no positive number.
    if (<i64>high < 0 && !(isNegative && high << 1 == 0 && low == 0)) return null
    return isNegative ? new I128(~low + 1, <i64>(~high + u64(low == 0))) : new I128(low, <i64>high)
  }

  /** Decimal digits, with `-` before them or nothing; null for other text and beyond the range. */
  static parse(text: string): I128 | null {
    const isNegative = text.length > 0 && text.charCodeAt(0) == 45
    const from = i32(isNegative)
    if (!areDigits(text, from)) return null
    startDigits()
    return readDigits(text, from, text.length) ? I128.tryFrom(isNegative, readLow, readHigh) : null
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
  /** The magnitude, which always fits. */
  get magnitude(): U128 {
    return new U128(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high))
  }

  tryAdd(other: I128): I128 | null {
    const low = this.low + other.low
    const high = this.high + other.high + i64(low < this.low)
    return ((this.high ^ high) & (other.high ^ high)) < 0 ? null : new I128(low, high)
  }
  trySub(other: I128): I128 | null {
    const high = this.high - other.high - i64(this.low < other.low)
    return ((this.high ^ other.high) & (this.high ^ high)) < 0 ? null : new I128(this.low - other.low, high)
  }
  tryMul(other: I128): I128 | null {
    multiplyWide(
      magnitudeLow(this.low, this.high),
      magnitudeHigh(this.low, this.high),
      magnitudeLow(other.low, other.high),
      magnitudeHigh(other.low, other.high),
    )
    return (wideAt(16) | wideAt(24)) != 0 ? null : I128.tryFrom(this.high < 0 != other.high < 0, wideAt(0), wideAt(8))
  }
  add(other: I128): I128 {
    return must<I128>(this.tryAdd(other))
  }
  sub(other: I128): I128 {
    return must<I128>(this.trySub(other))
  }
  mul(other: I128): I128 {
    return must<I128>(this.tryMul(other))
  }
  private divide(other: I128): void {
    setWide(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high))
    divideWide(magnitudeLow(other.low, other.high), magnitudeHigh(other.low, other.high))
  }
  /** Rounded toward 0. Traps when `other` is 0, and for the least number by −1. */
  div(other: I128): I128 {
    this.divide(other)
    return must<I128>(I128.tryFrom(this.high < 0 != other.high < 0, quotientAt(0), quotientAt(8)))
  }
  /** With the sign of `this`. Traps when `other` is 0. */
  rem(other: I128): I128 {
    this.divide(other)
    return must<I128>(I128.tryFrom(this.high < 0, wideAt(0), wideAt(8)))
  }
  /** Traps for the least number. */
  neg(): I128 {
    return must<I128>(I128.tryFrom(this.high >= 0, magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high)))
  }
  /** Traps for the least number. */
  abs(): I128 {
    return this.high < 0 ? this.neg() : this
  }

  /** Bits that leave at an end are lost. */
  shl(bits: u32): I128 {
    if (bits >= 128) return new I128(0, 0)
    if (bits >= 64) return new I128(0, <i64>(this.low << (bits - 64)))
    return bits == 0 ? this : new I128(this.low << bits, (this.high << bits) | <i64>(this.low >> (64 - bits)))
  }
  /** Keeps the sign: a shift by 127 or more leaves 0 or −1. */
  shr(bits: u32): I128 {
    if (bits >= 64) {
      const by = <i64>min<u32>(bits - 64, 63)
      return new I128(<u64>(this.high >> by), this.high >> 63)
    }
    return bits == 0 ? this : new I128((this.low >> bits) | (<u64>this.high << (64 - bits)), this.high >> bits)
  }
  and(other: I128): I128 {
    return new I128(this.low & other.low, this.high & other.high)
  }
  or(other: I128): I128 {
    return new I128(this.low | other.low, this.high | other.high)
  }
  xor(other: I128): I128 {
    return new I128(this.low ^ other.low, this.high ^ other.high)
  }
  not(): I128 {
    return new I128(~this.low, ~this.high)
  }

  /** Below, at or above 0, as `this` is to `other`. */
  compare(other: I128): i32 {
    return this.high == other.high ? i32(this.low > other.low) - i32(this.low < other.low) : this.high < other.high ? -1 : 1
  }
  equals(other: I128): bool {
    return this.low == other.low && this.high == other.high
  }
  get fitsI64(): bool {
    return this.high == <i64>this.low >> 63
  }
  /** Traps beyond 64 bits. */
  toI64(): i64 {
    if (!this.fitsI64) unreachable()
    return <i64>this.low
  }
  toString(): string {
    return digitsOf(magnitudeLow(this.low, this.high), magnitudeHigh(this.low, this.high), this.high < 0)
  }
}

/** The low half of the magnitude of a number in two's complement. */
// @ts-ignore: decorator
@inline
export function magnitudeLow(low: u64, high: i64): u64 {
  return high < 0 ? ~low + 1 : low
}
/** The high half. */
// @ts-ignore: decorator
@inline
export function magnitudeHigh(low: u64, high: i64): u64 {
  return high < 0 ? ~(<u64>high) + u64(low == 0) : <u64>high
}
