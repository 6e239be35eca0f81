/**
 * The isolate's end of a pair of pipes, over blocking reads and writes. A message says its own length, in word `lengthWord`.
 * Several may come at once: a read takes all that is there, and they are handed out one after the other.
 */
import type { GuestChannel } from "./guest.ts"
import { type Encoder, headerBytes, type Incoming, lengthWord, messageBuffer } from "./wire.ts"

const readBytes = 64 << 10

export class Pipe implements GuestChannel {
  readonly data = undefined
  readonly #read: (into: Uint8Array) => number
  readonly #write: (bytes: Uint8Array) => void
  readonly #there = new Uint8Array(readBytes)
  #from = 0
  #to = 0
  /** A message that is not longer lies here until the next one is asked for. */
  readonly #short = new Uint8Array(messageBuffer(readBytes))
  readonly #words = new Uint32Array(this.#short.buffer)

  /** `read` answers 0 when the other end is closed; `write` writes all; `isOrphan`: whoever reads it is gone. */
  constructor(read: (into: Uint8Array) => number, write: (bytes: Uint8Array) => void, isOrphan: () => boolean) {
    this.#read = read
    this.#write = write
    this.isStopped = isOrphan
  }

  readonly isStopped: () => boolean

  get hasMore(): boolean {
    return this.#to > this.#from
  }

  send(message: Encoder): void {
    this.#write(message.framed)
  }

  receive(): Incoming | undefined {
    if (!this.#fill(this.#short, 0, headerBytes)) return undefined
    const length = this.#words[lengthWord] as number
    if (length < headerBytes) throw new Error("Cannot read the channel: its lengths cannot be")
    let whole = this.#short
    if (length > readBytes) {
      whole = new Uint8Array(messageBuffer(length))
      whole.set(this.#short.subarray(0, headerBytes))
    }
    return this.#fill(whole, headerBytes, length) ? { buffer: whole.buffer, length } : undefined
  }

  /** Reads into `whole` from `at` until `end`; false when the other end is closed. */
  #fill(whole: Uint8Array, at: number, end: number): boolean {
    while (at < end) {
      if (this.#from === this.#to) {
        // What is long goes where it belongs.
        const isLong = end - at >= readBytes
        const count = this.#read(isLong ? whole.subarray(at, end) : this.#there)
        if (count === 0) return false
        if (isLong) {
          at += count
          continue
        }
        this.#from = 0
        this.#to = count
      }
      const part = this.#there.subarray(this.#from, Math.min(this.#to, this.#from + end - at))
      whole.set(part, at)
      at += part.length
      this.#from += part.length
    }
    return true
  }
}
