const utf8 = new TextEncoder()

/** Unsigned LEB128 of a u32. */
export function leb(value: number): Array<number> {
  const out: Array<number> = []
  let rest = value >>> 0
  for (; rest >= 0x80; rest >>>= 7) out.push((rest & 0x7f) | 0x80)
  out.push(rest)
  return out
}

/** Signed LEB128 of a safe integer. */
export function sleb(value: number): Array<number> {
  const out: Array<number> = []
  for (let rest = value; ;) {
    const byte = rest & 0x7f
    rest = Math.floor(rest / 128)
    // The sign bit of the last byte says what the rest is.
    if (rest === ((byte & 0x40) === 0 ? 0 : -1)) return [...out, byte]
    out.push(byte | 0x80)
  }
}

/** A growing byte buffer with the encodings the rewriter needs. Positions are stable: nothing moves once written. */
export class Writer {
  bytes: Uint8Array<ArrayBuffer>
  at = 0

  constructor(capacity: number) {
    this.bytes = new Uint8Array(Math.max(64, capacity))
  }

  /** Makes room for `count` more bytes; writers below call it themselves, except `push`. */
  reserve(count: number): void {
    const wanted = this.at + count
    if (wanted <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(wanted, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.at))
    this.bytes = grown
  }

  /** One byte, without a capacity check: callers reserve first. */
  push(byte: number): void {
    this.bytes[this.at++] = byte
  }

  byte(byte: number): void {
    this.reserve(1)
    this.bytes[this.at++] = byte
  }

  u32(value: number): void {
    this.reserve(5)
    let rest = value >>> 0
    while (rest >= 0x80) {
      this.bytes[this.at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.bytes[this.at++] = rest
  }

  /** Signed 32-bit LEB128. */
  s32(value: number): void {
    this.reserve(5)
    let rest = value | 0
    for (;;) {
      const byte = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0)) {
        this.bytes[this.at++] = byte
        return
      }
      this.bytes[this.at++] = byte | 0x80
    }
  }

  /** Leaves five bytes for a u32 that is known later; answers their position for `patch`. */
  hole(): number {
    this.reserve(5)
    const at = this.at
    this.at += 5
    return at
  }

  /** Fills a hole, as a padded LEB128. */
  patch(at: number, value: number): void {
    let rest = value >>> 0
    for (let i = 0; i < 4; i++) {
      this.bytes[at + i] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.bytes[at + 4] = rest
  }

  /** Copies `source[from, to)`. Short runs by hand: `subarray` costs about as much as forty bytes. */
  copy(source: Uint8Array, from: number, to: number): void {
    const count = to - from
    this.reserve(count)
    if (count < 48) for (let i = from; i < to; i++) this.bytes[this.at++] = source[i] as number
    else {
      this.bytes.set(source.subarray(from, to), this.at)
      this.at += count
    }
  }

  list(bytes: ArrayLike<number>): void {
    this.reserve(bytes.length)
    for (let i = 0; i < bytes.length; i++) this.bytes[this.at++] = bytes[i] as number
  }

  text(text: string): void {
    const bytes = utf8.encode(text)
    this.u32(bytes.length)
    this.copy(bytes, 0, bytes.length)
  }

  /** A section whose contents `write` produces. */
  section(id: number, write: () => void): void {
    this.byte(id)
    const size = this.hole()
    const start = this.at
    write()
    this.patch(size, this.at - start)
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(0, this.at)
  }
}
