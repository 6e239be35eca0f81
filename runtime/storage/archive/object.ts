/**
 * One object of an archive as bytes: a header that says what it is, its body in chunks, and the SHA-256 of all of it.
 *
 *     magic, format, length of the header, header (JSON), chunks (length with the last one flagged, bytes), digest
 *
 * Chunks are compressed (Zstandard, level 1: 487 MiB/s where deflate made 71), and with a key sealed by AES-256-GCM under a key of this object alone: HKDF of the archive's key and
 * a random salt of 32 bytes. The nonce is the chunk's number and whether it is the last (STREAM, Hoang et al. 2015), so that
 * none is used twice, and a chunk that is missing, moved or cut off is found; the header is authenticated with each.
 */
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { derive, keyCheck } from "./key.ts"
import type { ArchiveFiles } from "./file.ts"

const { createCipheriv, createDecipheriv, createHash, randomBytes } = process.getBuiltinModule("node:crypto")
const { constants, zstdCompressSync, zstdDecompressSync } = process.getBuiltinModule("node:zlib")

const magic = Buffer.from("STELEBAK")
/** The format that this code writes. */
export const objectFormat = 1
const prefixBytes = 16
export const digestBytes = 32
const tagBytes = 16
/** Of a body in one chunk. */
const chunkBytes = 1 << 20
const headerBytesMax = 1 << 20
/** A chunk that does not shrink grows by what the compression and the tag add. */
const storedBytesMax = chunkBytes + 1_024
const lastFlag = 0x8000_0000

/** What every header carries when there is a key. */
interface Sealed {
  readonly salt?: string
  readonly keyCheck?: string
}

const nonceOf = (chunk: number, isLast: boolean): Uint8Array => {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(chunk, 7)
  nonce[11] = isLast ? 1 : 0
  return nonce
}

/** The body in pieces of exactly `chunkBytes`, but for the last. */
async function* chunked(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<readonly [chunk: Uint8Array, isLast: boolean]> {
  let gathered: Array<Uint8Array> = []
  let length = 0
  for await (const whole of body) {
    for (let part = whole; part.length > 0;) {
      if (length === chunkBytes) {
        yield [Buffer.concat(gathered), false]
        gathered = []
        length = 0
      }
      const taken = part.subarray(0, chunkBytes - length)
      gathered.push(taken)
      length += taken.length
      part = part.subarray(taken.length)
    }
  }
  yield [Buffer.concat(gathered), true]
}

/** The bytes of an object; `onDigest` hears its digest before the last of them. */
export async function* seal(
  header: object,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  key: Uint8Array | undefined,
  onDigest: (digest: string) => void,
): AsyncGenerator<Uint8Array> {
  const salt = randomBytes(32)
  const sealed: Sealed = key === undefined ? {} : { salt: salt.toString("hex"), keyCheck: keyCheck(key, salt) }
  const json = Buffer.from(JSON.stringify({ ...header, ...sealed }))
  const prefix = Buffer.alloc(prefixBytes)
  magic.copy(prefix)
  prefix.writeUInt32BE(objectFormat, 8)
  prefix.writeUInt32BE(json.length, 12)
  const head = Buffer.concat([prefix, json])
  const hash = createHash("sha256").update(head)
  yield head
  const objectKey = key === undefined ? undefined : derive(key, salt, "object")
  const authenticated = createHash("sha256").update(head).digest()
  let chunk = 0
  for await (const [plain, isLast] of chunked(body)) {
    let stored: Uint8Array = zstdCompressSync(plain, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
    if (objectKey !== undefined) {
      const cipher = createCipheriv("aes-256-gcm", objectKey, nonceOf(chunk, isLast)).setAAD(authenticated)
      stored = Buffer.concat([cipher.update(stored), cipher.final(), cipher.getAuthTag()])
    }
    const length = Buffer.alloc(4)
    length.writeUInt32BE(((isLast ? lastFlag : 0) | stored.length) >>> 0)
    hash.update(length).update(stored)
    yield length
    yield stored
    chunk++
  }
  const digest = hash.digest()
  onDigest(digest.toString("hex"))
  yield digest
}

/** Takes exact counts of bytes from pieces of any length. */
class Pieces {
  readonly #pieces: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array()

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /** Undefined when there are fewer. */
  async take(count: number): Promise<Buffer | undefined> {
    const parts: Array<Uint8Array> = []
    for (let missing = count; missing > 0;) {
      if (this.#rest.length === 0) {
        const next = await this.#pieces.next()
        if (next.done === true) return undefined
        this.#rest = next.value
        continue
      }
      const part = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(part.length)
      parts.push(part)
      missing -= part.length
    }
    return Buffer.concat(parts)
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
  }
}

export interface Opened {
  readonly header: Readonly<Record<string, unknown>>
  /** The body, once. It throws at the first chunk that is not as it was written; what it gave before is proved only when it ends without. */
  readonly body: AsyncGenerator<Uint8Array, void>
  /** Of the whole object, once the body has ended. */
  digest: string | undefined
  close(): Promise<void>
}

/**
 * Reads an object's header; the body follows when asked for.
 * @throws StorageError `ArchiveDamaged`, `ArchiveNewer`; the body also `ArchiveKey`
 */
export async function openObject(name: string, place: string, bytes: AsyncIterable<Uint8Array>, key: Uint8Array | undefined): Promise<Opened> {
  const damaged = (detail: string): StorageError => new StorageError("ArchiveDamaged", { archive: place, object: name, detail })
  const pieces = new Pieces(bytes)
  try {
    const { head, header } = await headOf(pieces, place, damaged)
    const opened: Opened = {
      header,
      body: bodyOf(
        pieces,
        head,
        () => keyFor(header, key, place),
        damaged,
        (digest) => (opened.digest = digest),
      ),
      digest: undefined,
      close: () => pieces.close(),
    }
    return opened
  } catch (error) {
    await pieces.close()
    throw error
  }
}

async function headOf(
  pieces: Pieces,
  archive: string,
  damaged: (detail: string) => StorageError,
): Promise<{ readonly head: Uint8Array; readonly header: Sealed & Opened["header"] }> {
  const prefix = await pieces.take(prefixBytes)
  if (prefix === undefined || !prefix.subarray(0, magic.length).equals(magic)) throw damaged("it is no object of an archive")
  const format = prefix.readUInt32BE(8)
  // Small numbers are formats to come; others are damage.
  if (format > objectFormat && format < 1_000) throw new StorageError("ArchiveNewer", { archive, format, known: objectFormat })
  const length = prefix.readUInt32BE(12)
  const json = format !== objectFormat || length > headerBytesMax ? undefined : await pieces.take(length)
  if (json === undefined) throw damaged("its header is not whole")
  try {
    return { head: Buffer.concat([prefix, json]), header: JSON.parse(json.toString()) as Sealed & Opened["header"] }
  } catch {
    throw damaged("its header is not as it was written")
  }
}

async function* bodyOf(
  pieces: Pieces,
  head: Uint8Array,
  key: () => Uint8Array | undefined,
  damaged: (detail: string) => StorageError,
  onDigest: (digest: string) => void,
): Opened["body"] {
  const hash = createHash("sha256").update(head)
  const authenticated = createHash("sha256").update(head).digest()
  let refusal: unknown
  let objectKey: Uint8Array | undefined
  try {
    objectKey = key()
  } catch (error) {
    // Of an object that was changed this is not the key's fault: its digest is looked at first.
    refusal = error
  }
  try {
    for (let chunk = 0, isLast = false; !isLast; chunk++) {
      const length = await pieces.take(4)
      if (length === undefined) throw damaged("it is cut off")
      isLast = (length.readUInt32BE() & lastFlag) !== 0
      const count = (length.readUInt32BE() & ~lastFlag) >>> 0
      const stored = count > storedBytesMax ? undefined : await pieces.take(count)
      if (stored === undefined) throw damaged("it is cut off, or not as it was written")
      hash.update(length).update(stored)
      if (refusal !== undefined) continue
      try {
        yield unseal(stored, objectKey, nonceOf(chunk, isLast), authenticated)
      } catch (error) {
        if (error instanceof SteleError) throw error
        throw damaged(`chunk ${chunk} is not as it was written`)
      }
    }
    const digest = await pieces.take(digestBytes)
    if (digest === undefined || !digest.equals(hash.digest())) throw damaged("its digest is another one")
    if (refusal !== undefined) throw refusal
    if ((await pieces.take(1)) !== undefined) throw damaged("something follows its end")
    onDigest(digest.toString("hex"))
  } finally {
    await pieces.close()
  }
}

function unseal(stored: Buffer, key: Uint8Array | undefined, nonce: Uint8Array, authenticated: Uint8Array): Uint8Array {
  if (key === undefined) return zstdDecompressSync(stored, { maxOutputLength: chunkBytes })
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes }).setAAD(authenticated)
  decipher.setAuthTag(stored.subarray(Math.max(0, stored.length - tagBytes)))
  const plain = Buffer.concat([decipher.update(stored.subarray(0, -tagBytes)), decipher.final()])
  return zstdDecompressSync(plain, { maxOutputLength: chunkBytes })
}

/** The key of one object, or undefined when it is not sealed. */
function keyFor({ salt, keyCheck: check }: Sealed, key: Uint8Array | undefined, archive: string): Uint8Array | undefined {
  if (salt === undefined && check === undefined) {
    // With a key, an object without one is somebody else's.
    if (key !== undefined) throw new StorageError("ArchiveKey", { archive, detail: "it is not encrypted, and a key was given" })
    return undefined
  }
  if (key === undefined) throw new StorageError("ArchiveKey", { archive, detail: "it is encrypted, and no key was given" })
  const bytes = Buffer.from(String(salt), "hex")
  if (keyCheck(key, bytes) !== check) throw new StorageError("ArchiveKey", { archive, detail: "the key is another one, or the object was changed" })
  return derive(key, bytes, "object")
}

/**
 * Seals an object and puts it under a name that nobody has; answers the digest and the size of what was put, in bytes.
 * @throws StorageError `ArchiveBusy` when the name is taken: somebody else writes to the archive; `ArchiveUnreachable`
 */
export async function putObject(
  files: ArchiveFiles,
  key: Uint8Array | undefined,
  name: string,
  header: object,
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ readonly digest: string; readonly bytes: number }> {
  let digest = ""
  let bytes = 0
  const counted = async function* (parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const part of parts) {
      bytes += part.length
      yield part
    }
  }
  const isNew = await files.putIfAbsent(name, counted(seal(header, body, key, (found) => (digest = found))))
  if (!isNew) throw new StorageError("ArchiveBusy", { archive: files.place })
  return { digest, bytes }
}
