/**
 * A sealed object: `0xe2 ‖ id of the data key (8) ‖ salt (32)`, then chunks of 64 KiB, each with its tag; the last one has the SHA-256 of the plain bytes
 * behind what is left of them. Each object has a key of its own: HKDF-SHA256 of the tenant's data key, the salt, and the place (tenant and key of
 * its reference). The nonce of a chunk is its number and what it is (STREAM, Hoang et al. 2015), and no number is sealed twice in one way by one
 * key, since whoever goes on with an upload draws another salt. So chunks that are changed, exchanged, doubled, missing or cut off do not open, nor
 * does an object in another place.
 */
import type { Place } from "../../port/place.ts"
import { beside, idBytes, type SealingKey } from "./seal.ts"
import { tagBytes } from "./xaes.ts"

const { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } = process.getBuiltinModule("node:crypto")

/** No text in UTF-8 has it before a byte of ASCII, and no sealed value has it. */
const format = 0xe2
const saltBytes = 32
export const headBytes = 1 + idBytes + saltBytes
/** Of plain bytes. One byte costs a read of so many; an object is 1/4,096 larger than it was. */
export const chunkBytes = 64 << 10
export const sealedChunkBytes = chunkBytes + tagBytes
/** Of the SHA-256 behind the last chunk. */
export const digestBytes = 32

/** What a chunk is: one that others follow, the last, or what there is of one when an upload is suspended. */
export type ChunkKind = "more" | "last" | "rest"
const kinds: Readonly<Record<ChunkKind, number>> = { more: 0, last: 1, rest: 2 }
/** A number has four bytes of the nonce. */
export const chunksMax = 2 ** 32

export const chunksOf = (bytes: number): number => Math.max(1, Math.ceil(bytes / chunkBytes))
/** Bytes that an object of so many has when it is sealed. */
export const sealedObjectBytes = (bytes: number): number => headBytes + bytes + chunksOf(bytes) * tagBytes + digestBytes
/** The most that an object may have, so that no more than this are kept of it. */
export const plainBytesMax = (sealedMax: number): number => {
  const body = sealedMax - headBytes - digestBytes
  return Math.max(0, body - Math.max(1, Math.ceil(body / sealedChunkBytes)) * tagBytes)
}

/** Id of the data key that an object names; undefined for what cannot be a sealed one. */
export const objectKeyId = (head: Uint8Array): Uint8Array | undefined =>
  head.length >= headBytes && head[0] === format ? head.subarray(1, 1 + idBytes) : undefined

/** The key of one object. */
export class ObjectCipher {
  readonly head: Uint8Array
  readonly #key: Uint8Array

  private constructor({ id, secret }: SealingKey, place: Place, head: Uint8Array) {
    this.head = head
    const info = createHash("sha256")
      .update("stele sealed object")
      .update(head.subarray(0, 1))
      .update(beside(id, "object", place))
      .digest()
    this.#key = new Uint8Array(hkdfSync("sha256", secret, head.subarray(1 + idBytes, headBytes), info, 32))
  }

  /** Of a new object: with a salt that no other has. */
  static draw(key: SealingKey, place: Place): ObjectCipher {
    return new ObjectCipher(key, place, Uint8Array.from([format, ...key.id, ...randomBytes(saltBytes)]))
  }

  /** Of an object whose head was read. */
  static of(key: SealingKey, place: Place, head: Uint8Array): ObjectCipher {
    return new ObjectCipher(key, place, head.slice(0, headBytes))
  }

  #nonce(number: number, kind: ChunkKind): Uint8Array {
    if (!(number < chunksMax)) throw new RangeError(`Cannot seal chunk ${number}: an object has fewer than ${chunksMax}`)
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32BE(number, 7)
    nonce[11] = kinds[kind]
    return nonce
  }

  /** Ciphertext and tag. */
  seal(number: number, kind: ChunkKind, ...plain: ReadonlyArray<Uint8Array>): ReadonlyArray<Uint8Array> {
    const cipher = createCipheriv("aes-256-gcm", this.#key, this.#nonce(number, kind), { authTagLength: tagBytes })
    const parts = plain.map((part) => cipher.update(part))
    cipher.final()
    return [...parts, cipher.getAuthTag()]
  }

  /** Undefined when it is not what was sealed as this. */
  open(number: number, kind: ChunkKind, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.length < tagBytes) return undefined
    const end = sealed.length - tagBytes
    const decipher = createDecipheriv("aes-256-gcm", this.#key, this.#nonce(number, kind), { authTagLength: tagBytes }).setAuthTag(sealed.subarray(end))
    const plain = decipher.update(sealed.subarray(0, end))
    try {
      decipher.final()
    } catch {
      return undefined
    }
    return plain
  }
}

/** All of an object at once, with the SHA-256 of its plain bytes. */
export function sealObject(key: SealingKey, place: Place, plain: Uint8Array): { readonly sealed: Uint8Array; readonly digest: string } {
  const digest = createHash("sha256").update(plain).digest()
  const cipher = ObjectCipher.draw(key, place)
  const sealed = new Uint8Array(sealedObjectBytes(plain.length))
  sealed.set(cipher.head)
  let at = headBytes
  const last = chunksOf(plain.length) - 1
  for (let number = 0; number <= last; number++) {
    const chunk = plain.subarray(number * chunkBytes, (number + 1) * chunkBytes)
    const parts = number < last ? cipher.seal(number, "more", chunk) : cipher.seal(number, "last", chunk, digest)
    for (const part of parts) {
      sealed.set(part, at)
      at += part.length
    }
  }
  return { sealed, digest: digest.toString("hex") }
}

/** Where chunk `from` to `to` (exclusive) of an object lie. */
export const placeOfChunks = (bytes: number, from: number, to: number): readonly [start: number, end: number] => [
  headBytes + from * sealedChunkBytes,
  Math.min(sealedObjectBytes(bytes), headBytes + to * sealedChunkBytes + (to >= chunksOf(bytes) ? digestBytes : 0)),
]

/** Chunks `from` to `to` (exclusive) of an object of `bytes`, opened; the digest apart, when the last is among them. Undefined when one does not open. */
export function openChunks(
  cipher: ObjectCipher,
  bytes: number,
  from: number,
  to: number,
  sealed: Uint8Array,
): { readonly plain: ReadonlyArray<Uint8Array>; readonly digest: Uint8Array | undefined } | undefined {
  const count = chunksOf(bytes)
  const plain: Array<Uint8Array> = []
  let digest: Uint8Array | undefined
  for (let number = from; number < to; number++) {
    const isLast = number === count - 1
    const at = (number - from) * sealedChunkBytes
    const size = isLast ? bytes - number * chunkBytes + digestBytes : chunkBytes
    const chunk = sealed.subarray(at, at + size + tagBytes)
    const open = chunk.length === size + tagBytes ? cipher.open(number, isLast ? "last" : "more", chunk) : undefined
    if (open === undefined) return undefined
    if (isLast) digest = open.subarray(open.length - digestBytes)
    plain.push(isLast ? open.subarray(0, open.length - digestBytes) : open)
  }
  return { plain, digest }
}
