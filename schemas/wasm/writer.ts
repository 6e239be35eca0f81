/** Bytes of a WebAssembly binary, core module or component, one after the other. */
const utf8 = new TextEncoder()

export class Writer {
  #bytes: Uint8Array
  #length = 0

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity)
  }

  get length(): number {
    return this.#length
  }

  #room(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }

  byte(value: number): this {
    this.#room(1)
    this.#bytes[this.#length++] = value
    return this
  }

  /** Unsigned LEB128. */
  u32(value: number): this {
    let rest = value
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.byte((rest & 0x7f) | 0x80)
    return this.byte(rest)
  }

  /** Signed LEB128 of an integer of at most 32 bits. */
  s32(value: number): this {
    let rest = value
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  raw(bytes: ArrayLike<number>): this {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** A name: its length in bytes and its UTF-8. */
  text(text: string): this {
    const bytes = utf8.encode(text)
    return this.u32(bytes.length).raw(bytes)
  }

  /** A count, and each item as `write` puts it. */
  vector<A>(items: ReadonlyArray<A>, write: (item: A, index: number) => void): this {
    this.u32(items.length)
    for (const [i, item] of items.entries()) write(item, i)
    return this
  }

  /** A section: its id, its size and its contents. */
  section(id: number, contents: Writer): this {
    return this.byte(id).u32(contents.length).raw(contents.bytes())
  }

  /** What has been written; the view is the writer's own until more is written. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}
