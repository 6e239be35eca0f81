/**
 * A price as whole numbers, and the loop that prices a column. A quantity above 0 is a search among bounds, one product, one sum,
 * one division. A batch takes the path of 64 bits where its greatest quantity proves that nothing exceeds them, else that of 128.
 *
 * An amount has the scale of the quantity and the price together; `divisor` of it are one step of rounding.
 */
import { Mode } from "./exact.as"
import { divideWide, quotientAt, setWide } from "../../sdk/int128.as"

/** A tier's words: bound, lower, base (low, high), price, size. Bounds are inclusive; the last is the greatest number. */
const tierBytes: usize = 48
const BOUND: usize = 0
const LOWER: usize = 8
const BASE: usize = 16
const BASE_HIGH: usize = 24
const PRICE: usize = 32
const SIZE: usize = 40

export class Ladder {
  private words: StaticArray<u64>
  private count: i32 = 0
  hasSizes: bool = false
  /** Amounts from tier `clampedFrom` on are at least and at most these, at their scale. */
  clampedFrom: i32 = i32.MAX_VALUE
  least: u64 = 0
  most: u64 = u64.MAX_VALUE
  /** The greatest base and price, from which the path follows. */
  private baseMax: u64 = 0
  private isBaseWide: bool = false
  private priceMax: u64 = 0

  constructor(
    tiersMax: i32,
    /** Of the quantities it is for. */
    readonly scale: i32,
    readonly divisor: u64,
    /** Smallest units of the currency in a step of rounding. */
    readonly stepUnits: i64,
    readonly mode: Mode,
  ) {
    // Four at least, so that up to four are found without a branch.
    this.words = new StaticArray<u64>(max(tiersMax, 4) * 6)
    for (let i = 0; i < max(tiersMax, 4); i += 1) this.words[i * 6] = <u64>i64.MAX_VALUE
  }

  add(bound: i64, lower: i64, baseLow: u64, baseHigh: u64, price: u64, size: u64): void {
    const at = changetype<usize>(this.words) + <usize>this.count * tierBytes
    this.count += 1
    store<i64>(at, bound, BOUND)
    store<i64>(at, lower, LOWER)
    store<u64>(at, baseLow, BASE)
    store<u64>(at, baseHigh, BASE_HIGH)
    store<u64>(at, price, PRICE)
    store<u64>(at, size, SIZE)
    if (size != 0) this.hasSizes = true
    if (baseHigh != 0 || <i64>baseLow < 0) this.isBaseWide = true
    this.baseMax = max(this.baseMax, baseLow)
    this.priceMax = max(this.priceMax, price)
  }

  /** Whether amounts of quantities up to `most`, and what rounding adds to them, fit 63 bits. */
  private isNarrow(most: u64): bool {
    if (this.isBaseWide || this.divisor > u64.MAX_VALUE >> 2) return false
    const high = multiplyHigh(most, this.priceMax)
    const low = most * this.priceMax
    if (high != 0 || <i64>low < 0) return false
    const sum = low + this.baseMax
    return <i64>sum >= 0 && sum < (u64.MAX_VALUE >> 1) - this.divisor
  }

  /** Whether the last batch had quantities that are not above 0. */
  hasOthers: bool = false

  /**
   * Prices quantities above 0 into `out`; those that are not are left as they are. False where an amount is beyond 64 bits.
   */
  run(quantities: StaticArray<i64>, out: StaticArray<i64>): bool {
    let most: i64 = 0
    let least: i64 = 1
    for (let i = 0; i < quantities.length; i += 1) {
      const q = unchecked(quantities[i])
      most = max(most, q)
      least = min(least, q)
    }
    this.hasOthers = least <= 0
    const isPlain = !this.hasSizes && this.clampedFrom == i32.MAX_VALUE && this.mode != Mode.halfEven && this.mode != Mode.halfOdd
    if (this.isNarrow(<u64>most)) {
      if (isPlain) this.plain(quantities, out)
      else this.narrow(quantities, out)
      return true
    }
    return this.wide(quantities, out, most >> 32 == 0)
  }

  /** What is added before dividing; amounts are not negative here. */
  private get bias(): u64 {
    switch (this.mode) {
      case Mode.up:
      case Mode.ceiling:
        return this.divisor - 1
      case Mode.down:
      case Mode.floor:
        return 0
      case Mode.halfDown:
      case Mode.halfFloor:
        return (this.divisor - 1) >> 1
    }
    return this.divisor >> 1
  }
  /** One less where it was a half, and the neighbour that is wanted is the other. */
  // @ts-ignore: decorator
  @inline
  private untied(quotient: u64, rest: u64): u64 {
    if (rest != 0 || (this.divisor & 1) != 0) return quotient
    const isOdd = (quotient & 1) != 0
    return (this.mode == Mode.halfEven && isOdd) || (this.mode == Mode.halfOdd && !isOdd) ? quotient - 1 : quotient
  }

  private plain(quantities: StaticArray<i64>, out: StaticArray<i64>): void {
    const words = changetype<usize>(this.words)
    const divisor = this.divisor
    const bias = this.bias
    const units = this.stepUnits
    const last = this.count - 1
    let from = changetype<usize>(quantities)
    let to = changetype<usize>(out)
    const end = from + ((<usize>quantities.length) << 3)
    if (last < 4) {
      const b0 = load<i64>(words, 0)
      const b1 = load<i64>(words, 48)
      const b2 = load<i64>(words, 96)
      for (; from < end; from += 8, to += 8) {
        const q = load<i64>(from)
        if (q <= 0) continue
        const tier = words + (usize(q > b0) + usize(q > b1) + usize(q > b2)) * tierBytes
        const amount = load<u64>(tier, BASE) + <u64>(q - load<i64>(tier, LOWER)) * load<u64>(tier, PRICE)
        store<i64>(to, <i64>((amount + bias) / divisor) * units)
      }
      return
    }
    for (; from < end; from += 8, to += 8) {
      const q = load<i64>(from)
      if (q <= 0) continue
      const tier = words + <usize>this.find(q) * tierBytes
      const amount = load<u64>(tier, BASE) + <u64>(q - load<i64>(tier, LOWER)) * load<u64>(tier, PRICE)
      store<i64>(to, <i64>((amount + bias) / divisor) * units)
    }
  }

  /** The first tier whose bound is not below q. */
  // @ts-ignore: decorator
  @inline
  private find(q: i64): i32 {
    const words = changetype<usize>(this.words)
    if (this.count <= 4) return i32(q > load<i64>(words, 0)) + i32(q > load<i64>(words, 48)) + i32(q > load<i64>(words, 96))
    return this.search(q)
  }
  private search(q: i64): i32 {
    const words = changetype<usize>(this.words)
    let from = 0
    let to = this.count - 1
    while (from < to) {
      const middle = (from + to) >> 1
      if (q > load<i64>(words + <usize>middle * tierBytes)) from = middle + 1
      else to = middle
    }
    return from
  }

  private narrow(quantities: StaticArray<i64>, out: StaticArray<i64>): void {
    const words = changetype<usize>(this.words)
    const divisor = this.divisor
    const bias = this.bias
    for (let i = 0; i < quantities.length; i += 1) {
      const q = unchecked(quantities[i])
      if (q <= 0) continue
      const at = this.find(q)
      const tier = words + <usize>at * tierBytes
      let units = <u64>(q - load<i64>(tier, LOWER))
      const size = load<u64>(tier, SIZE)
      if (size != 0) units = units / size + u64(units % size != 0)
      let amount = load<u64>(tier, BASE) + units * load<u64>(tier, PRICE)
      if (at >= this.clampedFrom) amount = min(max(amount, this.least), this.most)
      amount += bias
      const quotient = amount / divisor
      unchecked((out[i] = <i64>this.untied(quotient, amount - quotient * divisor) * this.stepUnits))
    }
  }

  private wide(quantities: StaticArray<i64>, out: StaticArray<i64>, isShort: bool): bool {
    const words = changetype<usize>(this.words)
    const divisor = this.divisor
    const bias = this.bias
    const steps = <u64>i64.MAX_VALUE / <u64>this.stepUnits
    const shift = clz(divisor)
    const normal = divisor << shift
    // ⌊(2¹²⁸ − 1) ÷ normal⌋ − 2⁶⁴
    setWide(u64.MAX_VALUE, ~normal)
    divideWide(normal, 0)
    const reciprocal = quotientAt(0)
    const clampedFrom = this.clampedFrom
    const hasSizes = this.hasSizes
    const isTied = this.mode == Mode.halfEven || this.mode == Mode.halfOdd
    const stepUnits = this.stepUnits
    for (let i = 0; i < quantities.length; i += 1) {
      const q = unchecked(quantities[i])
      if (q <= 0) continue
      const at = this.find(q)
      const tier = words + <usize>at * tierBytes
      let units = <u64>(q - load<i64>(tier, LOWER))
      if (hasSizes) {
        const size = load<u64>(tier, SIZE)
        if (size != 0) units = units / size + u64(units % size != 0)
      }
      const price = load<u64>(tier, PRICE)
      const product = units * price
      let low = product + load<u64>(tier, BASE)
      // Half of the products are 0 where units have 32 bits.
      const upperHalf = isShort ? (units * (price >> 32) + ((units * (price & 0xffffffff)) >> 32)) >> 32 : multiplyHigh(units, price)
      let high = upperHalf + load<u64>(tier, BASE_HIGH) + u64(low < product)
      if (at >= clampedFrom) {
        if (high == 0) low = max(low, this.least)
        if (high != 0 || low > this.most) {
          if (this.most != u64.MAX_VALUE) {
            low = this.most
            high = 0
          }
        }
      }
      low += bias
      high += u64(low < bias)
      if (high >= divisor) return false
      // Möller and Granlund, "Improved division by invariant integers", algorithm 4: no division by what is the same for all.
      const upper = shift == 0 ? high : (high << shift) | (low >> (64 - shift))
      const lower = low << shift
      const guess = reciprocal * upper
      const q0 = guess + lower
      let quotient = multiplyHigh(reciprocal, upper) + upper + u64(q0 < guess) + 1
      let rest = lower - quotient * normal
      // Without a branch: it is as often so as not.
      const isOver = u64(rest > q0)
      quotient -= isOver
      rest += (0 - isOver) & normal
      if (rest >= normal) {
        quotient += 1
        rest -= normal
      }
      if (isTied) quotient = this.untied(quotient, rest)
      if (quotient > steps) return false
      unchecked((out[i] = <i64>quotient * stepUnits))
    }
    return true
  }
}

/** The high half of a product: none of the sums exceeds 64 bits, since (2³²−1)² + 2(2³²−1) = 2⁶⁴−1. */
// @ts-ignore: decorator
@inline
export function multiplyHigh(a: u64, b: u64): u64 {
  const a0 = a & 0xffffffff
  const a1 = a >> 32
  const b0 = b & 0xffffffff
  const b1 = b >> 32
  const middle = a1 * b0 + ((a0 * b0) >> 32)
  const other = a0 * b1 + (middle & 0xffffffff)
  return a1 * b1 + (middle >> 32) + (other >> 32)
}
