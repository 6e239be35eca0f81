/**
 * The `f64` that is nearest to a decimal text, halves to even (IEEE 754-2019, 5.12). AssemblyScript's `parseFloat` is not: for
 * exponents beyond what a float holds exactly it is some or many places off.
 *
 * Short numbers are one exact multiplication or division (Clinger, How to Read Floating Point Numbers Accurately, 1990). Others
 * start from an approximation, and the neighbours of it are compared with the text in whole numbers, exactly.
 */

/** Two whole numbers in limbs of 32 bits, the least first: 800 digits × 5³¹⁰ × 2¹³⁸⁵ have 4,800 bits. */
const left: usize = memory.data(768, 8)
const right: usize = memory.data(768, 8)
/** Digits that are kept; of those after them it counts whether one is not 0. No middle of two floats has more than 767. */
const digitsMax: i32 = 800

/** Multiplies and adds; returns how many limbs there are then. */
function multiply(base: usize, length: i32, by: u64, plus: u64): i32 {
  let carry = plus
  for (let i = 0; i < length; i += 1) {
    const at = base + (<usize>i << 2)
    carry += <u64>load<u32>(at) * by
    store<u32>(at, <u32>carry)
    carry >>= 32
  }
  if (carry == 0) return length
  store<u32>(base + (<usize>length << 2), <u32>carry)
  return length + 1
}
function multiplyByFives(base: usize, length: i32, exponent: i32): i32 {
  // 5¹³ is the greatest of 32 bits.
  for (; exponent >= 13; exponent -= 13) length = multiply(base, length, 1_220_703_125, 0)
  for (; exponent > 0; exponent -= 1) length = multiply(base, length, 5, 0)
  return length
}
function shiftLeft(base: usize, length: i32, bits: i32): i32 {
  const limbs = bits >> 5
  memory.copy(base + (<usize>limbs << 2), base, <usize>length << 2)
  memory.fill(base, 0, <usize>limbs << 2)
  return multiply(base, length + limbs, 1 << (bits & 31), 0)
}

/** The number as digits × 10^power, in `left`. */
let leftLength: i32 = 0
let power: i32 = 0

/** Below, at or above 0, as the number is to the middle between the float of these bits and the next. */
function compareToMiddle(bits: u64, digits: StaticArray<u32>): i32 {
  memory.copy(left, changetype<usize>(digits), <usize>digits.length << 2)
  let length = multiplyByFives(left, digits.length, max<i32>(power, 0))
  const exponent = <i32>(bits >> 52)
  const fraction = bits & 0xfffffffffffff
  const middle = ((exponent == 0 ? fraction : fraction | (1 << 52)) << 1) + 1
  store<u64>(right, middle)
  let other = multiplyByFives(right, middle >> 32 == 0 ? 1 : 2, max<i32>(-power, 0))
  // The number is 2^power times what is in `left` now, the middle 2^(exponent − 1076) times what is in `right`.
  const shift = power - (max<i32>(exponent, 1) - 1076)
  if (shift > 0) length = shiftLeft(left, length, shift)
  else other = shiftLeft(right, other, -shift)
  if (length != other) return length > other ? 1 : -1
  for (let at = <usize>(length - 1) << 2; ; at -= 4) {
    const a = load<u32>(left + at)
    const b = load<u32>(right + at)
    if (a != b) return a > b ? 1 : -1
    if (at == 0) return 0
  }
  return 0
}

/** Whether the number rounds to the float of these bits or to one below. */
function isUpTo(bits: u64, digits: StaticArray<u32>): bool {
  const order = compareToMiddle(bits, digits)
  return order < 0 || (order == 0 && (bits & 1) == 0)
}

const infinity: u64 = 0x7ff0000000000000

function powerOfTen(exponent: i32): f64 {
  let value: f64 = 1
  let base: f64 = 10
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) value *= base
    base *= base
  }
  return value
}

/** The nearest float to a number as JSON writes it (RFC 8259, §6); beyond the range ±∞. */
export function nearestF64(text: string): f64 {
  const isNegative = text.charCodeAt(0) == 45
  let at = i32(isNegative)
  let count = 0
  let isPoint: bool = false
  let isMore: bool = false
  let first: u64 = 0
  leftLength = 0
  power = 0
  for (; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit == 46) {
      isPoint = true
      continue
    }
    const digit = <u32>(unit - 48)
    if (digit > 9) break
    if (isPoint) power -= 1
    if (count == 0 && digit == 0) continue
    if (count >= digitsMax) {
      power += 1
      isMore = isMore || digit != 0
      continue
    }
    count += 1
    if (count <= 19) first = first * 10 + digit
    else {
      if (count == 20) {
        store<u64>(left, first)
        leftLength = 2
      }
      leftLength = multiply(left, leftLength, 10, digit)
    }
  }
  if (at < text.length) {
    at += 1
    const sign = text.charCodeAt(at)
    if (sign == 45 || sign == 43) at += 1
    let exponent = 0
    for (; at < text.length; at += 1) exponent = min<i32>(exponent * 10 + (text.charCodeAt(at) - 48), 1_000_000)
    power += sign == 45 ? -exponent : exponent
  }
  let value: f64
  if (count == 0 || count + power < -324) value = 0
  else if (count + power > 310) value = Infinity
  else if (first < 1 << 53 && count <= 19 && power >= -22 && power <= 22) value = power < 0 ? <f64>first / powerOfTen(-power) : <f64>first * powerOfTen(power)
  else {
    if (count <= 19) {
      store<u64>(left, first)
      leftLength = first >> 32 == 0 ? 1 : 2
    }
    if (isMore) {
      leftLength = multiply(left, leftLength, 10, 1)
      power -= 1
    }
    value = search(first, count)
  }
  return isNegative ? -value : value
}

/** From the first digits to a float near the number, and from there to the nearest. */
function search(first: u64, count: i32): f64 {
  const digits = new StaticArray<u32>(leftLength)
  memory.copy(changetype<usize>(digits), left, <usize>leftLength << 2)
  const scale = power + max<i32>(count - 19, 0)
  // In two steps: 10³²⁴ is no float.
  const half = scale / 2
  let guess = <f64>first
  guess = half < 0 ? guess / powerOfTen(-half) : guess * powerOfTen(half)
  guess = scale < 0 ? guess / powerOfTen(half - scale) : guess * powerOfTen(scale - half)
  /** The least bits that it rounds to or below are in (low, high]. */
  let high = min<u64>(reinterpret<u64>(guess), infinity)
  let low = high
  let step: u64 = 1
  while (high < infinity && !isUpTo(high, digits)) {
    low = high + 1
    high = min<u64>(high + step, infinity)
    step <<= 1
  }
  if (low == high && high > 0) {
    // It rounds to this or to one below: go down until it does not.
    while (low > 0) {
      const lower = low - min<u64>(step, low)
      if (!isUpTo(lower, digits)) {
        low = lower + 1
        break
      }
      high = lower
      low = lower
      step <<= 1
    }
  }
  while (low < high) {
    const middle = low + ((high - low) >> 1)
    if (isUpTo(middle, digits)) high = middle
    else low = middle + 1
  }
  return reinterpret<f64>(high)
}
