/** The isolate's end of a pair of pipes, over blocking reads and writes. A message says its own length, in word `lengthWord`. */
import type { GuestChannel } from "./guest.ts"
import { type Encoder, headerBytes, type Incoming, lengthWord, messageBuffer } from "./wire.ts"

const readBytes = 64 << 10

export class Pipe implements GuestChannel {
  readonly data = undefined
  readonly #read: (into: Uint8Array) => number
  readonly #write: (bytes: Uint8Array) => void
  readonly #first = new Uint8Array(readBytes)

  /** `read` answers 0 when the other end is closed; `write` writes all. */
  constructor(read: (into: Uint8Array) => number, write: (bytes: Uint8Array) => void) {
    this.#read = read
    this.#write = write
  }

  isStopped(): boolean {
    return false
  }

  send(message: Encoder): void {
    this.#write(message.framed)
  }

  receive(): Incoming | undefined {
    const first = this.#first
    let have = 0
    while (have < headerBytes) {
      const count = this.#read(first.subarray(have))
      if (count === 0) return undefined
      have += count
    }
    // One message at a time: what was read is the beginning of this one and of no other.
    const total = new Uint32Array(first.buffer)[lengthWord] as number
    if (total < have) throw new Error("Cannot read the channel: its lengths cannot be")
    const whole = new Uint8Array(messageBuffer(total))
    whole.set(first.subarray(0, have))
    while (have < total) {
      const count = this.#read(whole.subarray(have, total))
      if (count === 0) return undefined
      have += count
    }
    return { buffer: whole.buffer, length: total }
  }
}
