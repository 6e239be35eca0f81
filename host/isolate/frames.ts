/**
 * The parent's end of a process's output: messages read from a stream of bytes, which say their own length in word
 * `lengthWord`. Each message that is sent entitles the process to one of its own: more than that is garbage, and so is more
 * than was asked for. A process that sends a byte at a time costs no more than one that sends all at once: each byte is copied
 * into one buffer, and that one doubles.
 */
import { headerBytes, type Incoming, lengthWord, messageBuffer } from "./wire.ts"

type Message = Incoming | "garbage" | undefined

const none = new Uint8Array(messageBuffer(0))

export class Frames {
  #bytes = none
  #have = 0
  #bytesMax = headerBytes
  /** Messages that the process may send. */
  #owed = 0
  /** Whole messages that nobody has asked for yet. */
  readonly #whole: Array<Incoming> = []
  #wholeBytes = 0
  #resolve: ((message: Message) => void) | undefined
  #isOver = false
  #isGarbage = false
  readonly #onGarbage: () => void

  /** `onGarbage`: the process has said what it must not, whether somebody waits for it or not. */
  constructor(onGarbage: () => void) {
    this.#onGarbage = onGarbage
  }

  /** It may answer once more, in no more than `bytesMax` bytes. */
  owe(bytesMax: number): void {
    this.#owed++
    this.#bytesMax = bytesMax
  }

  push(chunk: Uint8Array): void {
    // Bytes of one that has gone astray: it is being ended.
    for (let at = 0; at < chunk.length && !this.#isOver;) at += this.#take(chunk.subarray(at))
  }

  /** Takes what belongs to the message that is coming: how many bytes that were. */
  #take(chunk: Uint8Array): number {
    if (this.#owed === 0) return this.#garbage()
    // All that is there until its length is known, and no more than that length then.
    const known = this.#have < headerBytes ? headerBytes : this.#length()
    const part = chunk.subarray(0, known - this.#have)
    const have = this.#have + part.length
    if (have > this.#bytes.length) this.#grow(have)
    this.#bytes.set(part, this.#have)
    this.#have = have
    if (have < headerBytes) return part.length
    const length = this.#length()
    if (length < headerBytes || length > this.#bytesMax) return this.#garbage()
    if (have === length) this.#arrived(length)
    return part.length
  }

  #length(): number {
    return new DataView(this.#bytes.buffer).getUint32(lengthWord * 4, true)
  }

  #grow(have: number): void {
    const larger = new Uint8Array(messageBuffer(Math.max(have, firstBytes, Math.min(2 * this.#bytes.length, this.#bytesMax))))
    larger.set(this.#bytes.subarray(0, this.#have))
    this.#bytes = larger
  }

  #arrived(length: number): void {
    const { buffer } = this.#bytes
    this.#bytes = none
    this.#have = 0
    this.#owed--
    if (this.#resolve !== undefined) return this.#settle({ buffer, length })
    this.#whole.push({ buffer, length })
    this.#wholeBytes += length
    // One that waits for its parent sends nothing, so this is what came at once.
    if (this.#wholeBytes > this.#bytesMax + chunkBytesMax) this.#garbage()
  }

  /** How many bytes of a chunk it takes: all. */
  #garbage(): number {
    this.#isOver = true
    this.#isGarbage = true
    this.#bytes = none
    this.#whole.length = 0
    this.#onGarbage()
    this.#settle("garbage")
    return Infinity
  }

  #settle(message: Message): void {
    const resolve = this.#resolve
    this.#resolve = undefined
    resolve?.(message)
  }

  /** The next message; undefined when there will be none. */
  next(): Promise<Message> {
    const message = this.#whole.shift()
    if (message !== undefined) {
      this.#wholeBytes -= message.length
      return Promise.resolve(message)
    }
    if (this.#isOver) return Promise.resolve(this.#isGarbage ? "garbage" : undefined)
    return new Promise((resolve) => (this.#resolve = resolve))
  }

  end(): void {
    this.#isOver = true
    this.#settle(undefined)
  }
}

/** Most messages are short. */
const firstBytes = 256
/** What a stream hands over at once. */
const chunkBytesMax = 64 << 10
