/** Whole numbers in as few bytes as they need (LEB128, unsigned), and bytes with their length: what packed rows are made of. */

export class Packer {
  #bytes = new Uint8Array(1_024)
  #length = 0

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#length + count, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  /** A whole number ≥ 0, of any size. */
  number(value: number | bigint): void {
    this.#room(10)
    if (typeof value === "number") {
      if (!(value >= 0) || !Number.isSafeInteger(value)) throw new RangeError(`Cannot pack ${value}: it is not a whole number from 0 to 2^53 - 1`)
      for (; value > 0x7fff_ffff; value = Math.floor(value / 128)) this.#bytes[this.#length++] = (value % 128) | 128
      for (; value > 127; value >>>= 7) this.#bytes[this.#length++] = (value & 127) | 128
      this.#bytes[this.#length++] = value
      return
    }
    if (value < 0n) throw new RangeError(`Cannot pack ${value}: it is below 0`)
    if (value <= 0x1f_ffff_ffff_ffffn) return this.number(Number(value))
    for (; value > 127n; value >>= 7n) {
      this.#room(1)
      this.#bytes[this.#length++] = Number(value & 127n) | 128
    }
    this.#room(1)
    this.#bytes[this.#length++] = Number(value)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Bytes with their length before them. */
  bytes(bytes: Uint8Array): void {
    this.number(bytes.length)
    this.raw(bytes)
  }

  /** Everything packed since the last time. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }
}

/** Reads what a `Packer` wrote; throws `RangeError` where the bytes end too early or a number is too large. */
export class Unpacker {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  #next(): number {
    const byte = this.#bytes[this.#at++]
    if (byte === undefined) throw new RangeError("It ends too early")
    return byte
  }

  /** A number, exactly: as a bigint where a number could not be. */
  value(): number | bigint {
    const start = this.#at
    let value = 0
    let unit = 1
    for (let count = 0; count < 7; count++, unit *= 128) {
      const byte = this.#next()
      value += (byte & 127) * unit
      if (byte < 128) return value
    }
    this.#at = start
    let large = 0n
    for (let shift = 0n; shift < 140n; shift += 7n) {
      const byte = this.#next()
      large |= BigInt(byte & 127) << shift
      if (byte < 128) return large > 0x1f_ffff_ffff_ffffn ? large : Number(large)
    }
    throw new RangeError("A number is too large")
  }

  /** A number up to 2^53 - 1. */
  number(): number {
    const value = this.value()
    if (typeof value === "bigint") throw new RangeError(`${value} is too large`)
    return value
  }

  raw(length: number): Uint8Array {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError("It ends too early")
    const bytes = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return bytes
  }

  rest(): Uint8Array {
    return this.raw(this.#bytes.length - this.#at)
  }

  bytes(): Uint8Array {
    return this.raw(this.number())
  }
}
