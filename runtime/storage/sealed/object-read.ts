/** Reading a sealed object by its reference: whole or in part, each chunk proved; and one from before as it is. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { BlobReference } from "../../port/blob.ts"
import { type Place, textOf } from "../../port/place.ts"
import { clip } from "../object/digest.ts"
import { type Held, hexOf, type Keyring } from "./keyring.ts"
import {
  chunkBytes,
  chunksOf,
  digestBytes,
  headBytes,
  ObjectCipher,
  objectKeyId,
  openChunks,
  placeOfChunks,
  sealedChunkBytes,
  sealedObjectBytes,
} from "./object.ts"
import type { DataKey } from "./ring.ts"
import { isSameId } from "./seal.ts"
import { read, type Steps } from "./step.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

/** Chunks that are read at once: 8 MiB, if a store reads so much. */
const readChunksMax = 128
/** How many may be read of a store that reads no more than so many bytes. */
export const chunksAtOnce = (readBytesMax = Number.POSITIVE_INFINITY): number =>
  Math.max(1, Math.min(readChunksMax, Math.floor((readBytesMax - digestBytes) / sealedChunkBytes)))

export interface Range {
  readonly start: number
  readonly end: number | undefined
  /** Chunks that are read at once. */
  readonly atOnce: number
}

export type Referred = Place & Pick<BlobReference, "digest" | "bytes" | "revision">

/** As it is named in a tenant's references. */
export const table = "blob_reference"

export const objectBroken = (keyring: Keyring, { key }: Place): StorageError =>
  new StorageError("SealBroken", { store: keyring.store.name, table, key: textOf(key) })

/**
 * The key that an object is sealed by; undefined for one from before. No such object can name a key of its tenant: ids are drawn later, and told to
 * nobody.
 * @throws StorageError `SealBroken`, `KeyMissing`
 */
export function* keyOf(keyring: Keyring, { tenant, key, revision }: Referred, head: Uint8Array): Steps<DataKey | undefined> {
  const id = objectKeyId(head)
  const named = (held: Held | undefined): DataKey | undefined => (id === undefined ? undefined : held?.ring.keys.find((each) => isSameId(each.id, id)))
  const wasPlain = (held: Held | undefined): boolean => {
    const plainUpTo = held === undefined ? keyring.state.plainUpTo : held.ring.plainUpTo
    return plainUpTo !== undefined && revision <= plainUpTo
  }
  let held = yield* keyring.held(tenant)
  const known = named(held)
  if (known !== undefined) return known
  if (id === undefined && wasPlain(held)) return undefined
  held = yield* keyring.read(tenant)
  const found = named(held)
  if (found !== undefined) return found
  if (wasPlain(held)) return undefined
  throw id === undefined ? objectBroken(keyring, { tenant, key }) : keyring.missing(tenant, id)
}

/**
 * Bytes from `start` to `end` of what a reference stands for; undefined when its object is not there.
 * @throws StorageError `SealBroken`, `KeyMissing`
 */
export function* readObject(keyring: Keyring, referred: Referred, range: Range): Steps<Uint8Array | undefined> {
  const pieces: Array<Uint8Array> = []
  const isThere = yield* piecesOf(keyring, referred, range, (piece) => pieces.push(piece))
  return isThere ? (pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)) : undefined
}

/** The same piece by piece, each proved before it is handed on; false when the object is not there. */
export function* piecesOf(keyring: Keyring, referred: Referred, { start, end, atOnce }: Range, take: (piece: Uint8Array) => unknown): Steps<boolean> {
  const { bytes } = referred
  const range = clip(bytes, start, end)
  const name = hexOf(referred.digest)
  const isSmall = chunksOf(bytes) === 1
  const first = yield* read(name, 0, isSmall ? sealedObjectBytes(bytes) : headBytes)
  if (first === undefined) return false
  const key = yield* keyOf(keyring, referred, first)
  if (key === undefined) return yield* plainPieces(name, range.start, range.end, atOnce * chunkBytes, take)
  const cipher = ObjectCipher.of(key, referred, first)
  // What ends where the object is said to end is believed when its last chunk has said so.
  const dependsOnEnd = start < (end ?? Number.POSITIVE_INFINITY) && (end === undefined || end > bytes)
  const count = chunksOf(bytes)
  const from = dependsOnEnd && range.start >= range.end ? count - 1 : Math.floor(range.start / chunkBytes)
  const to = dependsOnEnd ? count : Math.ceil(range.end / chunkBytes)
  const hash = range.start === 0 && range.end === bytes ? createHash("sha256") : undefined
  for (let at = from; at < to; at += atOnce) {
    const until = Math.min(to, at + atOnce)
    const place = placeOfChunks(bytes, at, until)
    const sealed = isSmall ? first.subarray(headBytes) : yield* read(name, ...place)
    if (sealed === undefined) return false
    const open = openChunks(cipher, bytes, at, until, sealed)
    if (open === undefined) throw objectBroken(keyring, referred)
    for (const [i, chunk] of open.plain.entries()) {
      const begin = (at + i) * chunkBytes
      hash?.update(chunk)
      const piece = chunk.subarray(Math.max(0, range.start - begin), Math.max(0, range.end - begin))
      if (piece.length > 0) take(piece)
    }
    if (hash !== undefined && open.digest !== undefined && Buffer.compare(hash.digest(), open.digest) !== 0) throw objectBroken(keyring, referred)
  }
  return true
}

/** Reads all of it, and keeps nothing. @throws StorageError `Damaged` also when it is not there */
export function* readAll(keyring: Keyring, referred: Referred): Steps<void> {
  if (yield* piecesOf(keyring, referred, { start: 0, end: undefined, atOnce: chunksAtOnce(keyring.objects?.limits["readBytesMax"]) }, () => {})) return
  throw new StorageError("Damaged", { store: keyring.objects?.name ?? "", digest: hexOf(referred.digest), detail: "it is referred to, and not there" })
}

function* plainPieces(name: string, start: number, end: number, bytes: number, take: (piece: Uint8Array) => unknown): Steps<boolean> {
  for (let at = start; at < end || at === start; at += bytes) {
    const piece = yield* read(name, at, Math.min(end, at + bytes))
    if (piece === undefined) return false
    if (piece.length > 0) take(piece)
  }
  return true
}
