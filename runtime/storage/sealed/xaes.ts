/**
 * XAES-256-GCM (C2SP, c2sp.org/XAES-256-GCM): AES-256-GCM with a nonce of 192 bits, by a key of its own for each nonce's first half,
 * derived with CMAC as NIST SP 800-108r1 has it. Nonces are drawn at random: two in 2^80 are alike with a chance of 2^-32, so
 * there is no number of seals at which a key must be given up and none that processes would have to count together; with
 * the 96 bits of plain GCM that number is 2^32 (NIST SP 800-38D §8.3).
 */
import type { Cipheriv } from "node:crypto"

const { createCipheriv, createDecipheriv, randomFillSync } = process.getBuiltinModule("node:crypto")

export const keyBytes = 32
export const nonceBytes = 24
export const tagBytes = 16

/** Nonces drawn at once: a call for each would cost more than the rest of a seal. */
const drawn = Buffer.alloc(nonceBytes * 256)
let used = drawn.length

/** 24 random bytes. */
export function newNonce(): Uint8Array {
  if (used === drawn.length) {
    randomFillSync(drawn)
    used = 0
  }
  used += nonceBytes
  return Uint8Array.from(drawn.subarray(used - nonceBytes, used))
}

export class Xaes {
  /** AES-256 alone has no state from block to block: one cipher serves all seals. */
  readonly #aes: Cipheriv
  readonly #subkey: Buffer
  readonly #blocks = Buffer.alloc(32)

  constructor(key: Uint8Array) {
    if (key.length !== keyBytes) throw new RangeError(`Cannot use ${key.length} bytes as a key of ${keyBytes}`)
    this.#aes = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false)
    // CMAC's first subkey, NIST SP 800-38B §6.1: a whole block needs no other.
    const block = this.#aes.update(Buffer.alloc(16))
    const isCarried = (block[0] as number) >= 0x80
    this.#subkey = Buffer.from(block.map((byte, i) => ((byte << 1) | ((block[i + 1] ?? 0) >> 7)) & 0xff))
    if (isCarried) this.#subkey[15] = (this.#subkey[15] as number) ^ 0x87
  }

  /** The key of one nonce: CMAC over counter, the letter X, no byte, and the nonce's first half, for counters 1 and 2. */
  #derive(nonce: Uint8Array): Buffer {
    const blocks = this.#blocks
    for (let half = 0; half < 2; half++) {
      const at = half * 16
      blocks[at] = 0
      blocks[at + 1] = half + 1
      blocks[at + 2] = 0x58
      blocks[at + 3] = 0
      blocks.set(nonce.subarray(0, 12), at + 4)
      for (let i = 0; i < 16; i++) blocks[at + i] = (blocks[at + i] as number) ^ (this.#subkey[i] as number)
    }
    return this.#aes.update(blocks)
  }

  /** Ciphertext and tag. */
  seal(nonce: Uint8Array, plain: Uint8Array, beside: Uint8Array): readonly [ciphertext: Uint8Array, tag: Uint8Array] {
    const cipher = createCipheriv("aes-256-gcm", this.#derive(nonce), nonce.subarray(12), { authTagLength: tagBytes }).setAAD(beside)
    const ciphertext = cipher.update(plain)
    cipher.final()
    return [ciphertext, cipher.getAuthTag()]
  }

  /** Undefined when this key did not seal these bytes with this nonce and what is beside them. */
  open(nonce: Uint8Array, ciphertext: Uint8Array, tag: Uint8Array, beside: Uint8Array): Uint8Array | undefined {
    const cipher = createDecipheriv("aes-256-gcm", this.#derive(nonce), nonce.subarray(12), { authTagLength: tagBytes }).setAAD(beside).setAuthTag(tag)
    const plain = cipher.update(ciphertext)
    try {
      cipher.final()
    } catch {
      return undefined
    }
    return new Uint8Array(plain.buffer, plain.byteOffset, plain.length)
  }
}
