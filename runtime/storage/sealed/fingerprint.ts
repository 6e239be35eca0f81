/**
 * What a store compares for an idempotency key when payloads are sealed, which differ each time: the digest that it would have compared, by a
 * permutation of its own for each tenant, queue and idempotency key. Equal only for what is equal under one idempotency key, which the store must see; the same
 * after a rotation; and taken back by whoever has the key, so that an export has the digest. AES-256 on each half of a SHA-256: halves are
 * alike with a chance of 2^-128.
 */
import type { Place } from "../../port/place.ts"

const { createCipheriv, createDecipheriv, createHmac } = process.getBuiltinModule("node:crypto")

const format = 0xe1
export const digestBytes = 32
const utf8 = new TextEncoder()

/** The key of one idempotency key. */
function keyOf(print: Uint8Array, { key }: Place, idempotencyKey: string): Buffer {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, key.length)
  return createHmac("sha256", print).update(length).update(key).update(utf8.encode(idempotencyKey)).digest()
}

export function fingerprintOf(print: Uint8Array, queue: Place, idempotencyKey: string, digest: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-ecb", keyOf(print, queue, idempotencyKey), null).setAutoPadding(false)
  return Uint8Array.from([format, ...cipher.update(digest)])
}

/** A digest is one byte shorter: nothing that a store worked out by itself looks like one. */
export const isFingerprint = (stored: Uint8Array): boolean => stored.length === 1 + digestBytes && stored[0] === format

/** The digest again. */
export function digestIn(print: Uint8Array, queue: Place, idempotencyKey: string, fingerprint: Uint8Array): Uint8Array {
  const decipher = createDecipheriv("aes-256-ecb", keyOf(print, queue, idempotencyKey), null).setAutoPadding(false)
  return Uint8Array.from(decipher.update(fingerprint.subarray(1)))
}
