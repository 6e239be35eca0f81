import { VerifyError } from "../error/verify.ts"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Arrays of each short length: `fromCharCode` over an array of exact length makes a flat string in one step. */
const codesOf: ReadonlyArray<Array<number>> = Array.from({ length: 65 }, (_, length) => new Array<number>(length).fill(0))

/**
 * Cursor over a WebAssembly binary, core module or component. Every read is bounds-checked and ends in a `VerifyError`
 * with the byte offset; nothing is allocated by a count before the bytes for it are known to exist.
 */
export class Reader {
  readonly bytes: Uint8Array
  at: number
  end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  fail(detail: string, offset = this.at): never {
    throw new VerifyError("Malformed", { offset, detail })
  }

  byte(): number {
    if (this.at >= this.end) this.fail("unexpected end")
    return this.bytes[this.at++] as number
  }

  /** Unsigned LEB128 of at most 32 bits. */
  u32(): number {
    const from = this.at
    let result = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      if (shift === 28 && byte > 0x0f) this.fail("a number of more than 32 bits", from)
      result |= (byte & 0x7f) << shift
      if (byte < 0x80) return result >>> 0
    }
    return this.fail("a number of more than 32 bits", from)
  }

  /** Skips a signed LEB128 of at most `bits` bits. */
  skipSigned(bits: 32 | 33 | 64): void {
    const from = this.at
    const bytesMax = Math.ceil(bits / 7)
    for (let count = 1; count <= bytesMax; count++) {
      const byte = this.byte()
      if (byte >= 0x80) continue
      if (count === bytesMax) {
        // The bits beyond `bits` must all equal the sign bit (core specification 5.2.2).
        const used = bits - 7 * (bytesMax - 1)
        const top = (byte & 0x7f) >> (used - 1)
        if (top !== 0 && top !== 0x7f >> (used - 1)) this.fail(`a number of more than ${bits} bits`, from)
      }
      return
    }
    this.fail(`a number of more than ${bits} bits`, from)
  }

  /** Signed LEB128 of at most 33 bits: block types. */
  s33(): number {
    const from = this.at
    this.skipSigned(33)
    let result = 0
    let scale = 1
    for (let i = from; i < this.at; i++) {
      result += ((this.bytes[i] as number) & 0x7f) * scale
      scale *= 128
    }
    return ((this.bytes[this.at - 1] as number) & 0x40) !== 0 ? result - scale : result
  }

  skip(count: number): void {
    if (count > this.end - this.at) this.fail("unexpected end")
    this.at += count
  }

  /** A name: length and UTF-8 bytes, at most `bytesMax` of them. */
  text(bytesMax: number): string {
    const from = this.at
    const length = this.u32()
    if (length > bytesMax) this.fail(`a name of ${length} bytes, the longest is ${bytesMax}`, from)
    const start = this.at
    this.skip(length)
    // Most names are short and ASCII: a call of the decoder costs more.
    const codes = codesOf[length]
    if (codes !== undefined) {
      let bits = 0
      for (let i = 0; i < length; i++) bits |= codes[i] = this.bytes[start + i] as number
      if (bits < 0x80) return String.fromCharCode.apply(null, codes)
    }
    try {
      return utf8.decode(this.bytes.subarray(start, this.at))
    } catch {
      return this.fail("a name that is not UTF-8", from)
    }
  }
}
