import { VerifyError } from "../../schemas/error/verify.ts"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Cursor over a binary. Every read is bounds-checked and ends in a `VerifyError` with the byte offset; nothing is
 * allocated by a count before the bytes for it are known to exist.
 */
export class Reader {
  readonly bytes: Uint8Array
  readonly end: number
  at: number

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  malformed(detail: string, offset: number = this.at): VerifyError {
    return new VerifyError("Malformed", { offset, detail })
  }

  unsupported(feature: string, offset: number = this.at): VerifyError {
    return new VerifyError("Unsupported", { offset, feature })
  }

  get isAtEnd(): boolean {
    return this.at >= this.end
  }

  byte(): number {
    if (this.at >= this.end) throw this.malformed("unexpected end")
    return this.bytes[this.at++] as number
  }

  /** Unsigned LEB128 of 32 bits (core specification §5.2.2): at most 5 bytes, no bits beyond 32. */
  u32(): number {
    const start = this.at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      if (shift === 28 && byte > 0x0f) throw this.malformed("integer does not fit 32 bits", start)
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw this.malformed("integer is longer than 5 bytes", start)
  }

  /** Signed LEB128 of 33 bits, as used where a type index or a negative opcode may stand. */
  s33(): number {
    const start = this.at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (shift === 28 && (byte & 0x70) !== 0 && (byte & 0x70) !== 0x70) throw this.malformed("integer does not fit 33 bits", start)
        return (byte & 0x40) === 0 ? value : value - 2 ** (shift + 7)
      }
    }
    throw this.malformed("integer is longer than 5 bytes", start)
  }

  /** A vector's length; each element takes at least `bytesMin` bytes, so a length beyond the rest is refused before anything is allocated. */
  count(bytesMin = 1): number {
    const start = this.at
    const count = this.u32()
    if (count * bytesMin > this.end - this.at) throw this.malformed(`a vector of ${count} elements does not fit the section`, start)
    return count
  }

  name(): string {
    const start = this.at
    const length = this.u32()
    if (length > this.end - this.at) throw this.malformed("a name does not fit the section", start)
    if (length > nameBytesMax) throw this.malformed(`a name is longer than ${nameBytesMax} bytes`, start)
    const from = this.at
    this.at += length
    // Most names are short and ASCII: a call of the decoder costs more than their loop.
    if (length <= 64) {
      let text = ""
      let at = from
      for (; at < this.at; at++) {
        const byte = this.bytes[at] as number
        if (byte >= 0x80) break
        text += String.fromCharCode(byte)
      }
      if (at === this.at) return text
    }
    try {
      return utf8.decode(this.bytes.subarray(from, this.at))
    } catch {
      throw this.malformed("a name is not UTF-8", start)
    }
  }

  /** A reader over the next `length` bytes, which this one skips. */
  slice(length: number): Reader {
    if (length > this.end - this.at) throw this.malformed("a section does not fit the file")
    const inner = new Reader(this.bytes, this.at, this.at + length)
    this.at += length
    return inner
  }
}

/** Longest name accepted anywhere, in bytes. Names reach messages, maps and logs. */
export const nameBytesMax = 4096
