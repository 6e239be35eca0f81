/**
 * A store of objects that keeps them sealed: each by its tenant's data key, for the place of its reference alone, and named by the digest of its
 * ciphertext. What is kept is linked by `link` with its `keyId`, which a sealed store refuses when the key was given up meanwhile: then the object is put again.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest, ObjectStore, Upload } from "../../port/object.ts"
import { type Place, textOf } from "../../port/place.ts"
import { checkBytes, clip } from "../object/digest.ts"
import { hexOf, type Keyring } from "./keyring.ts"
import { plainBytesMax, sealObject } from "./object.ts"
import { chunksAtOnce, piecesOf, type Range, readObject, type Referred } from "./object-read.ts"
import { openStaged, type SealedKept, SealedUpload, type SealedUploadPlace } from "./object-upload.ts"
import { run, runPieces, runSync, type Steps } from "./step.ts"

/** For a guest that must have its answer in the call. */
export interface BlockingSealedObjects {
  put(place: Place, value: Uint8Array): SealedKept
  read(referred: Referred, start?: number, end?: number): Uint8Array | undefined
}

export class SealedObjects {
  readonly #keyring: Keyring
  readonly #objects: ObjectStore
  /** Absent where every answer comes over a network. */
  readonly blocking: BlockingSealedObjects | undefined

  /** `keyring` knows where the objects are. */
  constructor(keyring: Keyring, objects: ObjectStore) {
    this.#keyring = keyring
    this.#objects = objects
    const { blocking } = objects
    if (blocking !== undefined)
      this.blocking = {
        put: (place, value) => {
          const sealed = runSync(keyring.store, this.#sealing(place, value))
          return { ...sealed.kept, digest: blocking.put(sealed.bytes).digest }
        },
        read: (referred, start, end) => runSync(keyring.store, readObject(keyring, referred, this.#range(referred, start, end)), blocking),
      }
  }

  get name(): string {
    return this.#objects.name
  }

  /** Bytes of one object, before it is sealed. */
  get objectBytesMax(): number {
    return plainBytesMax(this.#objects.limits["objectBytesMax"] ?? Number.MAX_SAFE_INTEGER)
  }

  /** Into memory goes no more than the store of objects itself reads. @throws StorageError `ObjectLimit` */
  #range({ bytes }: Referred, start = 0, end?: number): Range {
    const range = clip(bytes, start, end)
    const max = this.#objects.limits["readBytesMax"]
    const asked = range.end - range.start
    if (max !== undefined && asked > max) throw new StorageError("ObjectLimit", { store: this.name, limit: "readBytesMax", unit: "bytes", max, asked })
    return { start, end, atOnce: chunksAtOnce(max) }
  }

  *#sealing(place: Place, value: Uint8Array): Steps<{ readonly bytes: Uint8Array; readonly kept: Omit<SealedKept, "digest"> }> {
    // Taken now: shared memory could change between a chunk and the digest.
    const plain = new Uint8Array(checkBytes("value", value))
    const max = this.objectBytesMax
    if (plain.length > max) throw new StorageError("ObjectLimit", { store: this.name, limit: "objectBytesMax", unit: "bytes", max, asked: plain.length })
    const [key] = (yield* this.#keyring.ensured(place.tenant)).ring.keys
    const { sealed, digest } = sealObject(key, place, plain)
    return { bytes: sealed, kept: { bytes: plain.length, keyId: key.id, plainDigest: digest } }
  }

  /**
   * Keeps an object for the reference of this place.
   * @throws StorageError `ObjectLimit`, and those of the stores
   */
  async put(place: Place, value: Uint8Array): Promise<SealedKept> {
    const { bytes, kept } = await run(this.#keyring.store, this.#sealing(place, value))
    return { ...kept, digest: (await this.#objects.put(bytes)).digest }
  }

  /**
   * Bytes from `start` to `end` (exclusive, clipped to the size; default all) of what a reference stands for, as it was read from a store; undefined when its object is
   * not there any more.
   * @throws StorageError `ObjectLimit` over `readBytesMax`; `SealBroken`; `KeyMissing`: also after the reference was given another object, so it is read again then; `Damaged`
   */
  async read(referred: Referred, start?: number, end?: number): Promise<Uint8Array | undefined> {
    return await run(this.#keyring.store, readObject(this.#keyring, referred, this.#range(referred, start, end)), this.#objects)
  }

  /** The same piece by piece, each proved before it is handed out, and all of it at the end. */
  async stream(referred: Referred, start?: number, end?: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    if ((await this.#objects.info(hexOf(referred.digest))) === undefined) return undefined
    return this.#stream(referred, start, end)
  }

  async *#stream(referred: Referred, start = 0, end?: number): AsyncGenerator<Uint8Array, void, void> {
    const range = { start, end, atOnce: chunksAtOnce(this.#objects.limits["readBytesMax"]) }
    const isThere = yield* runPieces<boolean, Uint8Array>(this.#keyring.store, this.#objects, (take) => piecesOf(this.#keyring, referred, range, take))
    if (!isThere) throw new StorageError("Damaged", { store: this.name, digest: hexOf(referred.digest), detail: "it was removed while it was read" })
  }

  /** Starts an upload for the reference of this place. */
  async upload(place: Place): Promise<SealedUpload> {
    const to = await this.#to(place)
    return new SealedUpload(await this.#objects.upload(), to)
  }

  async #to(place: Place): Promise<SealedUploadPlace> {
    const { ring } = await run(this.#keyring.store, this.#keyring.ensured(place.tenant))
    return {
      store: this.name,
      place: { tenant: new Uint8Array(place.tenant), key: new Uint8Array(place.key) },
      key: ring.keys[0],
      objectBytesMax: this.objectBytesMax,
    }
  }

  /**
   * Goes on with an upload to the same place: what is durable of it is sealed anew, under another id; the old one is collected like any that died.
   * @throws StorageError `Upload` also when the key that it was sealed by is gone
   */
  async resume(place: Place, id: string): Promise<SealedUpload> {
    const staged = await this.#objects.staged(id)
    const held = await run(this.#keyring.store, this.#keyring.read(place.tenant))
    const upload = await this.upload(place)
    try {
      for await (const piece of openStaged(staged, { store: this.name, place, id }, held?.ring.keys ?? [])) await upload.write(piece)
      return upload
    } catch (error) {
      await upload.abort()
      throw error
    }
  }
}

/**
 * The same object sealed by another key, or for the first time, kept beside the one before.
 * @throws StorageError `Damaged`, `SealBroken`, `KeyMissing`
 */
export async function resealedObject(keyring: Keyring, objects: ObjectStore, referred: Referred, to: SealedUploadPlace["key"]): Promise<Digest> {
  const pieces = await new SealedObjects(keyring, objects).stream(referred)
  if (pieces === undefined)
    throw new StorageError("Damaged", {
      store: objects.name,
      digest: hexOf(referred.digest),
      detail: `"${textOf(referred.key)}" refers to it, and it is not there`,
    })
  const { tenant, key } = referred
  // What was kept is kept again, whatever the limits are by now.
  const upload: Upload = new SealedUpload(await objects.upload(), {
    store: objects.name,
    place: { tenant, key },
    key: to,
    objectBytesMax: Number.MAX_SAFE_INTEGER,
  })
  await using open = upload
  for await (const piece of pieces) await open.write(piece)
  return (await open.commit()).digest
}
