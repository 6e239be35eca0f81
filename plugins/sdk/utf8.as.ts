/**
 * UTF-8 (RFC 3629) and AssemblyScript's strings, which are UTF-16. Bytes are `StaticArray<u8>`, as bindings have a
 * `list<u8>`. Two forms of each direction: what cannot be is replaced by U+FFFD as the Encoding Standard of the WHATWG says,
 * once for each maximal part, or refused with its place. A byte order mark is a character like any other.
 */
import { err, ok, Result } from "./result.as"

/** Where bytes stop being UTF-8. */
export class Utf8Error {
  constructor(
    /** Of the first byte of what is no character. */
    readonly offset: i32,
  ) {}
  toString(): string {
    return `Cannot read UTF-8: no character begins like this at byte ${this.offset}`
  }
}

/** What `take` read: a code point, or −1. */
let point: i32 = 0

/** Bytes that one character, or a maximal part of one, takes at `at`: table 3-7 of the Unicode Standard. */
function take(at: usize, end: usize): usize {
  const first = <i32>load<u8>(at)
  point = first
  if (first < 0x80) return 1
  let least = 0x80
  let most = 0xbf
  let more: usize = 1
  let value = first & 0x1f
  point = -1
  if (first < 0xc2 || first > 0xf4) return 1
  if (first >= 0xf0) {
    more = 3
    value = first & 7
    if (first == 0xf0) least = 0x90
    else if (first == 0xf4) most = 0x8f
  } else if (first >= 0xe0) {
    more = 2
    value = first & 0xf
    if (first == 0xe0) least = 0xa0
    else if (first == 0xed) most = 0x9f
  }
  for (let i: usize = 1; i <= more; i += 1) {
    if (at + i >= end) return i
    const byte = <i32>load<u8>(at + i)
    if (byte < least || byte > most) return i
    least = 0x80
    most = 0xbf
    value = (value << 6) | (byte & 0x3f)
  }
  point = value
  return more + 1
}

/** Bytes from `at` that are surely ASCII, eight at a time. */
// @ts-ignore: decorator
@inline
function asciiBytes(at: usize, end: usize): usize {
  let to = at
  while (to + 8 <= end && (load<u64>(to) & 0x8080808080808080) == 0) to += 8
  return to - at
}

/** UTF-16 code units of the text, with U+FFFD for what is no UTF-8; `invalid` is where the first such is, or −1. */
let invalid: i32 = -1
function count(from: usize, end: usize): i32 {
  invalid = -1
  let units: i32 = 0
  for (let at = from; at < end; ) {
    const plain = asciiBytes(at, end)
    at += plain
    units += <i32>plain
    if (at >= end) break
    const bytes = take(at, end)
    if (point < 0 && invalid < 0) invalid = <i32>(at - from)
    units += 1 + i32(point > 0xffff)
    at += bytes
  }
  return units
}

function build(from: usize, end: usize, units: i32): string {
  if (units == 0) return ""
  // @ts-ignore: of AssemblyScript's runtime
  const text = changetype<string>(__new(<usize>units << 1, idof<string>()))
  let to = changetype<usize>(text)
  for (let at = from; at < end; ) {
    const bytes = take(at, end)
    at += bytes
    const value = point < 0 ? 0xfffd : point
    if (value > 0xffff) {
      store<u16>(to, <u16>(0xd7c0 + (value >> 10)))
      store<u16>(to, <u16>(0xdc00 + (value & 0x3ff)), 2)
      to += 4
    } else {
      store<u16>(to, <u16>value)
      to += 2
    }
  }
  return text
}

/** Where the first thing is that is no UTF-8, or −1. */
export function invalidUtf8At(bytes: StaticArray<u8>): i32 {
  const from = changetype<usize>(bytes)
  count(from, from + <usize>bytes.length)
  return invalid
}

/** As `new TextDecoder("utf-8", { ignoreBOM: true })` does. */
export function decodeUtf8(bytes: StaticArray<u8>): string {
  const from = changetype<usize>(bytes)
  const end = from + <usize>bytes.length
  return build(from, end, count(from, end))
}

export function tryDecodeUtf8(bytes: StaticArray<u8>): Result<string, Utf8Error> {
  const from = changetype<usize>(bytes)
  const end = from + <usize>bytes.length
  const units = count(from, end)
  return invalid >= 0 ? err<string, Utf8Error>(new Utf8Error(invalid)) : ok<string, Utf8Error>(build(from, end, units))
}

/** Reads the code point at unit `at` into `point`, −1 for half a pair; returns how many units it has. */
function takeUnits(at: usize, end: usize): usize {
  const unit = <i32>load<u16>(at)
  point = unit
  if ((unit & 0xf800) != 0xd800) return 2
  const next = at + 2 < end ? <i32>load<u16>(at, 2) : 0
  if (unit >= 0xdc00 || (next & 0xfc00) != 0xdc00) {
    point = -1
    return 2
  }
  point = 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00)
  return 4
}

/** Bytes that the text has in UTF-8; half of a pair has three, as U+FFFD. `invalid` is where the first such is. */
export function utf8Length(text: string): i32 {
  const from = changetype<usize>(text)
  const end = from + (<usize>text.length << 1)
  let bytes: i32 = 0
  invalid = -1
  for (let at = from; at < end; ) {
    const units = takeUnits(at, end)
    if (point < 0 && invalid < 0) invalid = <i32>((at - from) >> 1)
    bytes += point < 0 ? 3 : 1 + i32(point > 0x7f) + i32(point > 0x7ff) + i32(point > 0xffff)
    at += units
  }
  return bytes
}

/** Whether surrogates stand in pairs only. */
export function isWellFormed(text: string): bool {
  utf8Length(text)
  return invalid < 0
}

function write(text: string, bytes: i32): StaticArray<u8> {
  const out = new StaticArray<u8>(bytes)
  let to = changetype<usize>(out)
  const from = changetype<usize>(text)
  const end = from + (<usize>text.length << 1)
  for (let at = from; at < end; ) {
    at += takeUnits(at, end)
    const value = point < 0 ? 0xfffd : point
    if (value < 0x80) {
      store<u8>(to, <u8>value)
      to += 1
      continue
    }
    if (value < 0x800) {
      store<u8>(to, <u8>(0xc0 | (value >> 6)))
      to += 1
    } else {
      if (value < 0x10000) {
        store<u8>(to, <u8>(0xe0 | (value >> 12)))
      } else {
        store<u8>(to, <u8>(0xf0 | (value >> 18)))
        to += 1
        store<u8>(to, <u8>(0x80 | ((value >> 12) & 0x3f)))
      }
      store<u8>(to, <u8>(0x80 | ((value >> 6) & 0x3f)), 1)
      to += 2
    }
    store<u8>(to, <u8>(0x80 | (value & 0x3f)))
    to += 1
  }
  return out
}

/** As `TextEncoder` does. */
export function encodeUtf8(text: string): StaticArray<u8> {
  return write(text, utf8Length(text))
}

/** Null for a text with half of a pair. */
export function tryEncodeUtf8(text: string): StaticArray<u8> | null {
  const bytes = utf8Length(text)
  return invalid >= 0 ? null : write(text, bytes)
}

/**
 * Below, at or above 0 by code points, which is the order of the bytes in UTF-8. `<` of strings is by units: it has
 * U+1F600, whose first is a surrogate, before U+FFFD.
 */
export function compareCodePoints(a: string, b: string): i32 {
  const length = min<i32>(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    let left = a.charCodeAt(i)
    let right = b.charCodeAt(i)
    if (left == right) continue
    // Surrogates stand for what comes after all other units.
    if (left >= 0xd800 && right >= 0xd800) {
      left = left >= 0xe000 ? left - 0x800 : left + 0x2000
      right = right >= 0xe000 ? right - 0x800 : right + 0x2000
    }
    return left < right ? -1 : 1
  }
  return i32(a.length > length) - i32(b.length > length)
}
