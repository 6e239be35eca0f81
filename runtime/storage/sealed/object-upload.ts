/**
 * An upload that is sealed on its way in, chunk by chunk: what is durable of it is ciphertext. Whoever goes on with one that was suspended, or whose
 * process died, opens what is there and seals it anew by a key of its own: no chunk is ever sealed twice by one key, whatever other bytes come
 * the second time.
 */
import type { Hash } from "node:crypto"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest, Kept, Upload } from "../../port/object.ts"
import type { Place } from "../../port/place.ts"
import { checkBytes, checkDigest } from "../object/digest.ts"
import { noUpload } from "../folder/staging.ts"
import { chunkBytes, digestBytes, headBytes, ObjectCipher, objectKeyId, sealedChunkBytes } from "./object.ts"
import { isSameId, type SealingKey } from "./seal.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** An object that is kept: `digest` is that of its ciphertext, by which it is linked; `bytes` those before. */
export interface SealedKept extends Kept {
  /** The key that it is sealed by. */
  readonly keyId: Uint8Array
  /** SHA-256 of the plain bytes. */
  readonly plainDigest: Digest
}

export interface SealedUploadPlace {
  readonly store: string
  readonly place: Place
  readonly key: SealingKey
  readonly objectBytesMax: number
}

export class SealedUpload implements Upload {
  readonly #upload: Upload
  readonly #to: SealedUploadPlace
  readonly #cipher: ObjectCipher
  readonly #hash: Hash = createHash("sha256")
  readonly #chunk = new Uint8Array(chunkBytes)
  #filled = 0
  #number = 0
  #isBegun = false
  /** The last chunk is written: what is left to do is to keep it. */
  #ended: Digest | undefined
  #isBusy = false
  /** A chunk of it was not taken, or it is over: nothing can follow. */
  #isOver = false

  constructor(upload: Upload, to: SealedUploadPlace) {
    this.#upload = upload
    this.#to = to
    this.#cipher = ObjectCipher.draw(to.key, to.place)
  }

  /** Of the upload below. One that is gone on with has another one. */
  get id(): string {
    return this.#upload.id
  }

  get bytes(): number {
    return this.#number * chunkBytes + this.#filled
  }

  /** One call at a time, and none after a chunk was not taken: what the store has is not known then. */
  async #during<A>(run: () => Promise<A>): Promise<A> {
    if (this.#isOver) throw noUpload(this.#to.store, this.id, "it has ended, or a write to it has failed")
    if (this.#isBusy) throw noUpload(this.#to.store, this.id, "the call before has not been answered yet")
    this.#isBusy = true
    try {
      return await run()
    } finally {
      this.#isBusy = false
    }
  }

  async #put(parts: ReadonlyArray<Uint8Array>): Promise<void> {
    try {
      if (!this.#isBegun) await this.#upload.write(this.#cipher.head)
      this.#isBegun = true
      for (const part of parts) await this.#upload.write(part)
    } catch (error) {
      this.#isOver = true
      throw error
    }
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#during(async () => {
      checkBytes("chunk", chunk)
      const { store, objectBytesMax } = this.#to
      if (this.#ended !== undefined) throw noUpload(store, this.id, "it is being committed")
      const asked = this.bytes + chunk.length
      if (asked > objectBytesMax) throw new StorageError("ObjectLimit", { store, limit: "objectBytesMax", unit: "bytes", max: objectBytesMax, asked })
      for (let at = 0; at < chunk.length;) {
        // A full chunk waits for what follows: the last one is sealed as such.
        if (this.#filled === chunkBytes) await this.#flush()
        const taken = Math.min(chunk.length - at, chunkBytes - this.#filled)
        this.#chunk.set(chunk.subarray(at, at + taken), this.#filled)
        this.#filled += taken
        at += taken
      }
    })
  }

  async #flush(): Promise<void> {
    this.#hash.update(this.#chunk)
    const parts = this.#cipher.seal(this.#number, "more", this.#chunk)
    this.#number++
    this.#filled = 0
    await this.#put(parts)
  }

  /** `expected` is a digest of the plain bytes. */
  commit(expected?: Digest): Promise<SealedKept> {
    return this.#during(async () => {
      if (expected !== undefined) checkDigest(expected)
      const rest = this.#chunk.subarray(0, this.#filled)
      const { key, store } = this.#to
      const bytes = this.bytes
      const plainDigest = this.#ended ?? this.#hash.copy().update(rest).digest("hex")
      if (expected !== undefined && expected !== plainDigest) throw new StorageError("Mismatch", { store, expected, actual: plainDigest })
      if (this.#ended === undefined) {
        this.#ended = plainDigest
        await this.#put(this.#cipher.seal(this.#number, "last", rest, Buffer.from(plainDigest, "hex")))
      }
      // What passes, an overloaded disk, leaves it to be asked for again.
      const { digest } = await this.#upload.commit()
      this.#isOver = true
      return { digest, bytes, keyId: key.id, plainDigest }
    })
  }

  /** What there is of a chunk is sealed apart from what a whole one would be, and this key seals nothing more. */
  suspend(): Promise<void> {
    return this.#during(async () => {
      if (this.#ended === undefined) await this.#put(this.#filled === 0 ? [] : this.#cipher.seal(this.#number, "rest", this.#chunk.subarray(0, this.#filled)))
      this.#isOver = true
      await this.#upload.suspend()
    })
  }

  async abort(): Promise<void> {
    this.#isOver = true
    await this.#upload.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await this.#upload[Symbol.asyncDispose]()
  }
}

const otherBytes = "what is there of it is not what was sealed for this place"

/**
 * The plain bytes of an upload that was left: all whole chunks, and what was suspended of the last one. A chunk that is cut off was
 * never durable, and is not given.
 * @throws StorageError `Upload` for what is no upload to this place, or by a key that is gone
 */
export async function* openStaged(
  staged: AsyncIterable<Uint8Array>,
  { store, place, id }: { readonly store: string; readonly place: Place; readonly id: string },
  keys: ReadonlyArray<SealingKey>,
): AsyncGenerator<Uint8Array, void, void> {
  let pending: Uint8Array = new Uint8Array(0)
  let cipher: ObjectCipher | undefined
  let number = 0
  for await (const piece of staged) {
    pending = pending.length === 0 ? piece : Buffer.concat([pending, piece])
    if (cipher === undefined) {
      if (pending.length < headBytes) continue
      const keyId = objectKeyId(pending)
      const key = keyId === undefined ? undefined : keys.find((each) => isSameId(each.id, keyId))
      if (key === undefined) throw noUpload(store, id, "it is not sealed by a key that the tenant still has")
      cipher = ObjectCipher.of(key, place, pending)
      pending = pending.subarray(headBytes)
    }
    // What is not longer than the last chunk may be may be that one.
    for (; pending.length > sealedChunkBytes + digestBytes; pending = pending.subarray(sealedChunkBytes)) {
      const open = cipher.open(number++, "more", pending.subarray(0, sealedChunkBytes))
      if (open === undefined) throw noUpload(store, id, otherBytes)
      yield open
    }
  }
  if (cipher === undefined) return
  const last = cipher.open(number, "last", pending)
  if (last !== undefined) return yield last.subarray(0, last.length - digestBytes)
  const rest = cipher.open(number, "rest", pending)
  if (rest !== undefined) return yield rest
  if (pending.length < sealedChunkBytes) return
  const open = cipher.open(number, "more", pending.subarray(0, sealedChunkBytes))
  if (open === undefined) throw noUpload(store, id, otherBytes)
  yield open
  const short = cipher.open(number + 1, "rest", pending.subarray(sealedChunkBytes))
  if (short !== undefined) yield short
}
