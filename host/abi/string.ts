/**
 * Strings in the three encodings of CanonicalABI.md (`load_string`, `store_string`), tuned per length.
 *
 * A JavaScript loop beats the platform's encoder and decoder only for short strings; the break-even points below are
 * from docs/adr/0007-canonical-abi-closures.md. Views are little-endian, as every platform served is.
 */
import { type AbiContext, AbiTrap, type StringEncoding } from "./context.ts"
import { allocate, charge, checkRange } from "./memory.ts"
import { mismatch } from "./mismatch.ts"

/** Lowers a string: returns its pointer and leaves its length in code units, tagged, in `cx.loweredLength`. */
export type LowerString = (cx: AbiContext, value: unknown) => number
/** Lifts `length` code units (tagged) at `at`. */
export type LiftString = (cx: AbiContext, at: number, length: number) => string

/** Up to this many code units a loop over char codes is at least as fast as `TextDecoder` and `TextEncoder` (Node 26, Deno 2.9, Bun 1.4). */
const shortUnits = 24
/** UTF-16 units whose UTF-8 is sure to fit the scratch buffer; above, the encoder allocates. */
const scratchUnits = 4096
/** CanonicalABI.md `MAX_STRING_BYTE_LENGTH`. */
const stringBytesMax = 2 ** 31 - 1
/** CanonicalABI.md `UTF16_TAG`. */
const utf16Tag = 0x8000_0000

const encoder = new TextEncoder()
/**
 * Not `fatal`: Deno's fatal decoder takes 2.3 times as long. What it replaced shows as U+FFFD, which is rare enough in
 * valid text to decode a second time, fatally.
 */
const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true })
const utf8Fatal = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })
/** Not fatal: a lone surrogate becomes U+FFFD (HOST.md §1 "Values"). */
const utf16Decoder = new TextDecoder("utf-16le", { ignoreBOM: true })

/** Written before and read after one `realloc`, during which no host code can run: one buffer serves every context. */
const scratch = new Uint8Array(scratchUnits * 3)
/** Views of the first n bytes of `scratch`, made once each: making one (20 ns) takes longer than copying 63 bytes. */
const scratchViews: Array<Uint8Array | undefined> = Array.from({ length: 513 }, () => undefined)
const scratchHead = (n: number): Uint8Array => (n < scratchViews.length ? (scratchViews[n] ??= scratch.subarray(0, n)) : scratch.subarray(0, n))

/** Arrays of each short length: `fromCharCode` over an array of exact length makes a flat string in one step. */
const units: ReadonlyArray<Array<number>> = Array.from({ length: shortUnits + 1 }, (_, n) => new Array<number>(n).fill(0))
const { fromCharCode } = String

const bytesOf = (length: number): number => (length <= stringBytesMax ? length : mismatch("a string of less than 2^31 bytes", length))

function lowerUtf8(cx: AbiContext, value: unknown): number {
  if (typeof value !== "string") mismatch("string", value)
  const n = value.length
  if (n <= shortUnits) {
    let seen = 0
    for (let i = 0; i < n; i++) seen |= value.charCodeAt(i)
    if (seen < 0x80) {
      const at = allocate(cx, 1, n)
      const { u8 } = cx
      for (let i = 0; i < n; i++) u8[at + i] = value.charCodeAt(i)
      cx.loweredLength = n
      return at
    }
  }
  // The encoder writes U+FFFD for a lone surrogate. Encoded aside first, so that one realloc asks for the exact length.
  if (n <= scratchUnits) {
    const { written } = encoder.encodeInto(value, scratch)
    const at = allocate(cx, 1, written)
    cx.u8.set(scratchHead(written), at)
    cx.loweredLength = written
    return at
  }
  const bytes = encoder.encode(value)
  const at = allocate(cx, 1, bytesOf(bytes.length))
  cx.u8.set(bytes, at)
  cx.loweredLength = bytes.length
  return at
}

function liftUtf8(cx: AbiContext, at: number, length: number): string {
  checkRange(cx, at, length, 1)
  charge(cx, length)
  const { u8 } = cx
  if (length <= shortUnits) {
    const codes = units[length] as Array<number>
    let seen = 0
    for (let i = 0; i < length; i++) {
      const unit = u8[at + i] as number
      seen |= unit
      codes[i] = unit
    }
    if (seen < 0x80) return fromCharCode.apply(null, codes)
  }
  const bytes = u8.subarray(at, at + length)
  const text = utf8Decoder.decode(bytes)
  if (text.includes("\ufffd")) {
    try {
      utf8Fatal.decode(bytes)
    } catch {
      throw new AbiTrap(`string at ${at} is not UTF-8`)
    }
  }
  return text
}

function storeUtf16(cx: AbiContext, text: string): number {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
  const n = wellFormed.length
  const at = allocate(cx, 2, bytesOf(2 * n))
  const { u16 } = cx
  const begin = at >>> 1
  for (let i = 0; i < n; i++) u16[begin + i] = wellFormed.charCodeAt(i)
  return at
}

function lowerUtf16(cx: AbiContext, value: unknown): number {
  if (typeof value !== "string") mismatch("string", value)
  const at = storeUtf16(cx, value)
  cx.loweredLength = value.length
  return at
}

function liftUtf16(cx: AbiContext, at: number, length: number): string {
  checkRange(cx, at, 2 * length, 2)
  charge(cx, 2 * length)
  if (length > shortUnits) return utf16Decoder.decode(cx.u8.subarray(at, at + 2 * length))
  const codes = units[length] as Array<number>
  const { u16 } = cx
  const begin = at >>> 1
  let seen = 0
  for (let i = 0; i < length; i++) {
    const unit = u16[begin + i] as number
    seen |= unit
    codes[i] = unit
  }
  const text: string = fromCharCode.apply(null, codes)
  return seen < 0xd800 ? text : text.toWellFormed()
}

/** Latin-1 when every unit fits a byte, UTF-16 with the tag otherwise: the choice is made before the one allocation. */
function lowerLatin1OrUtf16(cx: AbiContext, value: unknown): number {
  if (typeof value !== "string") mismatch("string", value)
  const n = value.length
  let seen = 0
  for (let i = 0; i < n && seen < 0x100; i++) seen |= value.charCodeAt(i)
  if (seen >= 0x100) {
    const at = storeUtf16(cx, value)
    cx.loweredLength = n + utf16Tag
    return at
  }
  const at = allocate(cx, 2, bytesOf(n))
  const { u8 } = cx
  for (let i = 0; i < n; i++) u8[at + i] = value.charCodeAt(i)
  cx.loweredLength = n
  return at
}

function liftLatin1OrUtf16(cx: AbiContext, at: number, tagged: number): string {
  if (tagged >= utf16Tag) return liftUtf16(cx, at, tagged - utf16Tag)
  checkRange(cx, at, tagged, 2)
  charge(cx, tagged)
  const { u8 } = cx
  // Widened, because the encoding label "latin1" means windows-1252 on the web, which differs from 0x80 to 0x9F.
  if (tagged > shortUnits) return utf16Decoder.decode(new Uint16Array(u8.subarray(at, at + tagged)))
  const codes = units[tagged] as Array<number>
  for (let i = 0; i < tagged; i++) codes[i] = u8[at + i] as number
  return fromCharCode.apply(null, codes)
}

export const lowerString: { readonly [E in StringEncoding]: LowerString } = { utf8: lowerUtf8, utf16: lowerUtf16, "latin1+utf16": lowerLatin1OrUtf16 }
export const liftString: { readonly [E in StringEncoding]: LiftString } = { utf8: liftUtf8, utf16: liftUtf16, "latin1+utf16": liftLatin1OrUtf16 }
