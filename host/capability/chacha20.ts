/**
 * ChaCha20 keystream (RFC 8439 §2.3 and §2.4) as the generator of `random:seeded`: 32-bit integer operations only, so
 * every engine gives the same bytes. Not used for secrecy here; it is a well-specified function with published vectors.
 *
 * Seeded random version 1: key = the seed's UTF-8 bytes, zero-padded to 32; nonce = 12 bytes, the first 4 the stream's
 * number (little-endian), the rest zero; block counter from 0.
 */
const rounds = 10

function quarter(x: Uint32Array, a: number, b: number, c: number, d: number): void {
  // §2.1, with the additions modulo 2^32 done by the array.
  x[a]! += x[b]!
  x[d] = rotate(x[d]! ^ x[a]!, 16)
  x[c]! += x[d]!
  x[b] = rotate(x[b]! ^ x[c]!, 12)
  x[a]! += x[b]!
  x[d] = rotate(x[d]! ^ x[a]!, 8)
  x[c]! += x[d]!
  x[b] = rotate(x[b]! ^ x[c]!, 7)
}
const rotate = (word: number, by: number): number => (word << by) | (word >>> (32 - by))

/** Longest seed: the key's 32 bytes. */
export const seedBytesMax = 32

/** An endless stream of bytes from a seed (UTF-8, at most 32 bytes) and a stream number. */
export class SeededBytes {
  readonly #state = new Uint32Array(16)
  readonly #words = new Uint32Array(16)
  readonly #block = new Uint8Array(64)
  #at = 64

  constructor(seed: string, stream: number) {
    const key = new Uint8Array(seedBytesMax)
    key.set(new TextEncoder().encode(seed))
    const words = new DataView(key.buffer)
    // §2.3: "expand 32-byte k", the key, the counter, the nonce.
    this.#state.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574])
    for (let i = 0; i < 8; i++) this.#state[4 + i] = words.getUint32(4 * i, true)
    this.#state[13] = stream
  }

  /** Fills `into` with the next bytes. */
  fill(into: Uint8Array): Uint8Array {
    for (let i = 0; i < into.length;) {
      if (this.#at === 64) this.#next()
      const count = Math.min(64 - this.#at, into.length - i)
      into.set(this.#block.subarray(this.#at, this.#at + count), i)
      this.#at += count
      i += count
    }
    return into
  }

  #next(): void {
    const x = this.#words
    x.set(this.#state)
    for (let i = 0; i < rounds; i++) {
      quarter(x, 0, 4, 8, 12)
      quarter(x, 1, 5, 9, 13)
      quarter(x, 2, 6, 10, 14)
      quarter(x, 3, 7, 11, 15)
      quarter(x, 0, 5, 10, 15)
      quarter(x, 1, 6, 11, 12)
      quarter(x, 2, 7, 8, 13)
      quarter(x, 3, 4, 9, 14)
    }
    const out = new DataView(this.#block.buffer)
    for (let i = 0; i < 16; i++) out.setUint32(4 * i, x[i]! + this.#state[i]!, true)
    // 2^38 bytes until the counter wraps: more than any call can draw.
    this.#state[12]!++
    this.#at = 0
  }
}
