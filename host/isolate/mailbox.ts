/**
 * A mailbox between two threads: one message at a time, in turns. Whose turn it is stands in a control word that the other
 * side waits on: the isolate by `Atomics.wait`, its parent, which must not block, by `Atomics.waitAsync` (5 µs there and back on
 * Node, 7 on Deno, 15 on Bun; a message port takes 7, 12 and 13). The message lies in shared memory; one that does not fit
 * goes in parts, each answered by the turn coming back.
 */
import type { GuestChannel } from "./guest.ts"
import { type Encoder, type Incoming, messageBuffer } from "./wire.ts"

/** Bytes of the shared memory: a mebibyte and what stands around it. Untouched pages cost nothing. */
export const mailboxBytes = (1 << 20) + (64 << 10)
export const controlWords = 16

const TURN = 0
/** Bytes of this part, and of the whole message. */
const PART = 1
const TOTAL = 2
/** 1: the guest that runs is to stop at its next look at the clock. */
export const STOP = 3

/** Values of TURN. The isolate begins: it says when it is ready. */
const PARENT = 0
const ISOLATE = 1

export interface Mailbox {
  readonly control: SharedArrayBuffer
  readonly data: SharedArrayBuffer
}

export function createMailbox(): Mailbox {
  const control = new SharedArrayBuffer(controlWords * 4)
  new Int32Array(control)[TURN] = ISOLATE
  return { control, data: new SharedArrayBuffer(mailboxBytes) }
}

abstract class Side {
  readonly data: SharedArrayBuffer
  protected readonly words: Int32Array
  readonly #bytes: Uint8Array
  readonly #other: number

  constructor({ control, data }: Mailbox, other: number) {
    this.data = data
    this.words = new Int32Array(control)
    this.#bytes = new Uint8Array(data)
    this.#other = other
  }

  protected pass(part: number, total: number): void {
    Atomics.store(this.words, PART, part)
    Atomics.store(this.words, TOTAL, total)
    this.turn()
  }

  protected turn(): void {
    Atomics.store(this.words, TURN, this.#other)
    Atomics.notify(this.words, TURN)
  }

  /** Writes the part of a message that begins at `from`; how many bytes that were. */
  protected put(message: Uint8Array, from: number): number {
    const part = message.subarray(from, from + mailboxBytes)
    this.#bytes.set(part)
    return part.length
  }

  /** The part that is there, as it lies or as the beginning of a longer one; undefined when it is not a possible one. */
  protected arrived(bytesMax: number): { readonly part: number; readonly total: number } | undefined {
    const part = Atomics.load(this.words, PART)
    const total = Atomics.load(this.words, TOTAL) >>> 0
    return part < 64 || part > mailboxBytes || total < part || total > bytesMax ? undefined : { part, total }
  }

  protected take(into: Uint8Array, at: number, part: number): void {
    into.set(this.#bytes.subarray(0, part), at)
  }
}

/** The isolate's end: it blocks. */
export class IsolateSide extends Side implements GuestChannel {
  constructor(mailbox: Mailbox) {
    super(mailbox, PARENT)
  }

  #wait(): void {
    while (Atomics.load(this.words, TURN) === PARENT) Atomics.wait(this.words, TURN, PARENT)
  }

  /** The parent writes its next message when it has the answer. */
  readonly hasMore = false

  isStopped(): boolean {
    return Atomics.load(this.words, STOP) === 1
  }

  send(message: Encoder): void {
    const { length } = message
    if (message.isHome) return this.pass(length, length)
    const { bytes } = message
    for (let at = 0; at < length;) {
      const part = this.put(bytes, at)
      at += part
      this.pass(part, length)
      if (at < length) this.#wait()
    }
  }

  receive(): Incoming {
    this.#wait()
    const first = this.arrived(Infinity)
    if (first === undefined) throw new Error("Cannot read the mailbox: its lengths cannot be")
    if (first.total === first.part) return { buffer: this.data, length: first.total }
    const whole = new Uint8Array(messageBuffer(first.total))
    for (let at = 0, part = first.part; ;) {
      this.take(whole, at, part)
      at += part
      if (at >= first.total) return { buffer: whole.buffer, length: first.total }
      this.turn()
      this.#wait()
      part = this.arrived(Infinity)?.part ?? 0
    }
  }
}

/** The parent's end: it never blocks. */
export class ParentSide extends Side {
  #isClosed = false

  constructor(mailbox: Mailbox) {
    super(mailbox, ISOLATE)
  }

  /** Ends whatever waits. */
  close(): void {
    this.#isClosed = true
    Atomics.notify(this.words, TURN)
  }

  /** Resolves when it is the parent's turn, or false when the mailbox is closed. */
  async #wait(): Promise<boolean> {
    while (Atomics.load(this.words, TURN) === ISOLATE) {
      if (this.#isClosed) return false
      const waited = Atomics.waitAsync(this.words, TURN, ISOLATE)
      if (waited.async) await waited.value
    }
    return !this.#isClosed
  }

  /** Sends a message and waits for the next one; undefined when the isolate is gone, "garbage" when what it sent cannot be. */
  async exchange(message: Encoder | undefined, bytesMax: number): Promise<Incoming | "garbage" | undefined> {
    if (message !== undefined) {
      const { length } = message
      if (message.isHome) this.pass(length, length)
      else {
        const { bytes } = message
        for (let at = 0; at < length;) {
          const part = this.put(bytes, at)
          at += part
          this.pass(part, length)
          if (at < length && !(await this.#wait())) return undefined
        }
      }
    }
    if (!(await this.#wait())) return undefined
    const first = this.arrived(bytesMax)
    if (first === undefined) return "garbage"
    if (first.total === first.part) return { buffer: this.data, length: first.total }
    const whole = new Uint8Array(messageBuffer(first.total))
    for (let at = 0, part = first.part; ;) {
      if (at + part > first.total) return "garbage"
      this.take(whole, at, part)
      at += part
      if (at === first.total) return { buffer: whole.buffer, length: first.total }
      this.turn()
      if (!(await this.#wait())) return undefined
      const next = this.arrived(bytesMax)
      if (next === undefined || next.total !== first.total) return "garbage"
      part = next.part
    }
  }
}
