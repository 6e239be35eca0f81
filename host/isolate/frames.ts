/**
 * The parent's end of a process's output: messages read from a stream of bytes, which say their own length in word
 * `lengthWord`. What comes unasked is garbage, and so is more than was asked for. A process that sends a byte at a time costs
 * no more than one that sends all at once: each byte is copied into one buffer, and that one doubles.
 */
import { headerBytes, type Incoming, lengthWord, messageBuffer } from "./wire.ts"

const none = new Uint8Array(messageBuffer(0))

export class Frames {
  #bytes = none
  #have = 0
  #bytesMax = 0
  #resolve: ((message: Incoming | "garbage" | undefined) => void) | undefined
  #isOver = false
  readonly #onGarbage: () => void

  /** `onGarbage`: the process has said what it must not, whether somebody waits for it or not. */
  constructor(onGarbage: () => void) {
    this.#onGarbage = onGarbage
  }

  push(chunk: Uint8Array): void {
    // Bytes of one that has gone astray: it is being ended.
    if (this.#isOver) return
    if (this.#resolve === undefined) return this.#garbage()
    const have = this.#have + chunk.length
    if (have > this.#bytes.length) this.#grow(have)
    this.#bytes.set(chunk, this.#have)
    this.#have = have
    if (have < headerBytes) return
    const length = new DataView(this.#bytes.buffer).getUint32(lengthWord * 4, true)
    if (length < headerBytes || length > this.#bytesMax || have > length) return this.#garbage()
    if (have < length) return
    const { buffer } = this.#bytes
    this.#bytes = none
    this.#have = 0
    this.#settle({ buffer, length })
  }

  #grow(have: number): void {
    const larger = new Uint8Array(messageBuffer(Math.max(have, Math.min(2 * this.#bytes.length, this.#bytesMax))))
    larger.set(this.#bytes.subarray(0, this.#have))
    this.#bytes = larger
  }

  #garbage(): void {
    this.#isOver = true
    this.#bytes = none
    this.#onGarbage()
    this.#settle("garbage")
  }

  #settle(message: Incoming | "garbage" | undefined): void {
    const resolve = this.#resolve
    this.#resolve = undefined
    resolve?.(message)
  }

  next(bytesMax: number): Promise<Incoming | "garbage" | undefined> {
    if (this.#isOver) return Promise.resolve("garbage")
    this.#bytesMax = bytesMax
    return new Promise((resolve) => (this.#resolve = resolve))
  }

  end(): void {
    this.#isOver = true
    this.#settle(undefined)
  }
}
