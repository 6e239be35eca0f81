/**
 * Objects on a server that speaks the S3 API: `objects/DIGEST` each, as it is up to 64 KiB, beyond with sums behind it. Uploads in
 * parts go to `staging/ID` first. The server dates what is kept, and its clock alone is asked for ages.
 */
import { limitsFrom } from "../../../host/port/port.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Collected, CollectOptions, Digest, Kept, ObjectFinding, ObjectInfo, ObjectStore, Upload } from "../../port/object.ts"
import { checkObjects, missingOf } from "../object/check.ts"
import { checkBytes, checkDigest, clip, digestOf, isDigest, newUploadId } from "../object/digest.ts"
import { chunkBytes, footerBytes, readFooter, Sums, SumsBuilder } from "../object/sums.ts"
import { type S3Address, s3Address } from "./address.ts"
import { isAbsent, isPrecondition, isUnsupported, S3Client, type S3Credentials, type S3Timing } from "./client.ts"
import { collectS3, decideMsMax, markMsMax, Marks } from "./collect.ts"
import { S3Upload } from "./upload.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export const s3Limits = {
  /** Bytes of one object: a server copies no more than 5 GiB in one request. */
  objectBytesMax: 5 * 2 ** 30 - (1 << 20),
  /** Bytes of one read into memory; what is longer is read as a stream. */
  readBytesMax: 64 << 20,
  /** Bytes of one part, at least 5 MiB (S3's own limit). An upload holds two in memory. */
  partBytes: 8 << 20,
  /** Uploads open at the same time; the next is refused. */
  uploadsMax: 16,
}
export type S3Limits = typeof s3Limits

const s3Timing: S3Timing = { attemptsMax: 6, connectMsMax: 5_000, requestMsMax: 60_000 }

export interface S3Options {
  readonly limits?: Partial<S3Limits>
  readonly timing?: Partial<S3Timing>
  /** Default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file that AWS_SHARED_CREDENTIALS_FILE names, as the SDK finds them. */
  readonly credentials?: S3Credentials
  /** Where the SDK comes from. Default: `import("@aws-sdk/client-s3")`. */
  readonly load?: () => Promise<unknown>
}

/** Sums of large objects kept in memory: an object under a digest never becomes another one. */
const sumsMax = 64

/** How many bytes of an object lie in `storedBytes`: as they are, or with the sums behind them. */
export function bytesOf(storedBytes: number): number {
  if (storedBytes <= chunkBytes) return storedBytes
  const chunks = Math.ceil((storedBytes - footerBytes) / (chunkBytes + 4))
  return storedBytes - footerBytes - chunks * 4
}

export class S3Store implements ObjectStore {
  readonly name: string
  readonly limits: S3Limits
  readonly isResumable = false
  readonly #address: S3Address
  readonly #client: S3Client
  readonly #marks: Marks
  readonly #open = new Set<string>()
  readonly #sums = new Map<Digest, Sums>()
  /** Does the server know `If-None-Match: *`? Asked once. */
  #isConditional = true
  #isClosed = false

  private constructor(address: S3Address, limits: S3Limits, client: S3Client) {
    this.name = address.name
    this.limits = limits
    this.#address = address
    this.#client = client
    this.#marks = new Marks(address, client)
  }

  /**
   * Opens what is there: the bucket must exist.
   * @throws ConfigError; StorageError `Address`, `Driver`, `Denied`, `Remote`
   */
  static async open(address: string, options: S3Options = {}): Promise<S3Store> {
    const at = s3Address(address)
    const limits = limitsFrom("s3", s3Limits, options.limits)
    const timing = limitsFrom("s3", s3Timing as unknown as Record<string, number>, options.timing as Record<string, number>) as unknown as S3Timing
    // A collector's last request must be over before its mark says nothing any more.
    const requestMsMax = markMsMax - decideMsMax
    if (timing.requestMsMax > requestMsMax)
      throw new ConfigError("Option", { option: "s3.requestMsMax", expected: `at most ${requestMsMax}`, actual: String(timing.requestMsMax) })
    const client = await S3Client.load(at, options.load, options.credentials, timing)
    const store = new S3Store(at, limits, client)
    try {
      await store.list(undefined, 1)
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }

  #key(digest: Digest): string {
    return `${this.#address.prefix}objects/${checkDigest(digest)}`
  }

  #stagingKey(id: string): string {
    return `${this.#address.prefix}staging/${id}`
  }

  #check(): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.name })
  }

  /** What the server refuses, typed; undefined for what is not there. */
  async #asking<A>(run: () => Promise<A>): Promise<A | undefined> {
    this.#check()
    try {
      return await run()
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw this.#client.typed(error)
    }
  }

  async upload(): Promise<Upload> {
    this.#check()
    const { uploadsMax, objectBytesMax, partBytes } = this.limits
    if (this.#open.size >= uploadsMax) throw new StorageError("Overloaded", { store: this.name, pendingMax: uploadsMax })
    const id = newUploadId()
    this.#open.add(id)
    const place = {
      name: this.name,
      client: this.#client,
      objectBytesMax,
      partBytes,
      stagingKey: (of: string) => this.#stagingKey(of),
      putWhole: (digest: Digest, bytes: Buffer) => this.#putWhole(digest, bytes),
      copyStaged: (digest: Digest, of: string) => this.#keep(digest, async () => void (await this.#copy(this.#stagingKey(of), this.#key(digest)))),
      done: (ended: string) => this.#open.delete(ended),
    }
    return new S3Upload(place, id)
  }

  async resume(id: string): Promise<Upload> {
    throw new StorageError("Upload", { store: this.name, upload: String(id).slice(0, 64), detail: "uploads to a server end with their process" })
  }

  async staged(id: string): Promise<AsyncIterable<Uint8Array>> {
    throw new StorageError("Upload", { store: this.name, upload: String(id).slice(0, 64), detail: "uploads to a server end with their process" })
  }

  async put(value: Uint8Array): Promise<Kept> {
    this.#check()
    checkBytes("value", value)
    await using upload = await this.upload()
    await upload.write(value)
    return await upload.commit()
  }

  async #putWhole(digest: Digest, bytes: Buffer): Promise<void> {
    let body = bytes
    if (bytes.length > chunkBytes) {
      const sums = new SumsBuilder()
      sums.add(bytes)
      body = Buffer.concat([bytes, sums.trailer(digest)])
    }
    await this.#keep(digest, () => this.#write(digest, body))
  }

  /** Writes until no collector can be about to remove what was written: see `Marks`. */
  async #keep(digest: Digest, write: () => Promise<void>): Promise<void> {
    await this.#asking(() => this.#marks.keep(digest, write))
  }

  /** A new object is put where none is. One that is there, with these bytes, is dated anew; with others, it is replaced. */
  async #write(digest: Digest, Body: Buffer): Promise<void> {
    const put = { Key: this.#key(digest), Body, ContentLength: Body.length }
    if (this.#isConditional) {
      try {
        await this.#client.send("PutObject", { ...put, IfNoneMatch: "*" })
        return
      } catch (error) {
        if (isUnsupported(error)) this.#isConditional = false
        else if (!isPrecondition(error)) throw error
      }
      if (this.#isConditional && (await this.#holds(digest, Body)) && (await this.#redate(digest))) return
    }
    await this.#client.send("PutObject", put)
  }

  /** Are these the bytes under the digest? By the server's MD5 of them; where its tag is something else, nobody knows. */
  async #holds(digest: Digest, body: Buffer): Promise<boolean> {
    const { ETag, ContentLength } = await this.#client.send("HeadObject", { Key: this.#key(digest) })
    return ContentLength === body.length && ETag?.replaceAll('"', "") === createHash("md5").update(body).digest("hex")
  }

  /** The server's own copy, which it dates; answers that date. */
  async #copy(from: string, Key: string): Promise<Date | undefined> {
    const CopySource = [this.#address.bucket, ...from.split("/")].map(encodeURIComponent).join("/")
    // A copy onto itself is one only with other metadata.
    const Metadata = { kept: new Date().toISOString() }
    return (await this.#client.send("CopyObject", { Key, CopySource, MetadataDirective: "REPLACE", Metadata })).CopyObjectResult?.LastModified
  }

  /** Dates an object anew by a copy onto itself. False when its date is the same second's, or the server leaves dates alone. */
  async #redate(digest: Digest): Promise<boolean> {
    const Key = this.#key(digest)
    const before = (await this.#client.send("HeadObject", { Key })).LastModified
    const after = await this.#copy(Key, Key)
    return before !== undefined && after !== undefined && after > before
  }

  async touch(digest: Digest): Promise<boolean> {
    const Key = this.#key(digest)
    const isThere = await this.#asking(async () => {
      await this.#client.send("HeadObject", { Key })
      await this.#marks.keep(digest, async () => {
        if (await this.#redate(digest)) return
        // By way of another name, which every server dates.
        const staged = this.#stagingKey(newUploadId())
        await this.#copy(Key, staged)
        await this.#copy(staged, Key)
        await this.#client.send("DeleteObject", { Key: staged })
      })
      return true
    })
    return isThere === true
  }

  async info(digest: Digest): Promise<ObjectInfo | undefined> {
    const Key = this.#key(digest)
    const head = await this.#asking(() => this.#client.send("HeadObject", { Key }))
    return head === undefined ? undefined : { digest, bytes: bytesOf(head.ContentLength ?? 0), touchedAtMs: head.LastModified?.getTime() ?? 0 }
  }

  #damaged(digest: Digest, detail: string): StorageError {
    return new StorageError("Damaged", { store: this.name, digest, detail })
  }

  async read(digest: Digest, start?: number, end?: number): Promise<Uint8Array | undefined> {
    const info = await this.info(digest)
    if (info === undefined) return undefined
    const range = clip(info.bytes, start, end)
    const { readBytesMax: max } = this.limits
    const asked = range.end - range.start
    if (asked > max) throw new StorageError("ObjectLimit", { store: this.name, limit: "readBytesMax", unit: "bytes", max, asked })
    const pieces = await this.#stream(info, range.start, range.end)
    return pieces === undefined ? undefined : Buffer.concat(await Array.fromAsync(pieces))
  }

  async stream(digest: Digest, start?: number, end?: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    const info = await this.info(digest)
    if (info === undefined) return undefined
    const range = clip(info.bytes, start, end)
    return this.#stream(info, range.start, range.end)
  }

  async #stream({ digest, bytes }: ObjectInfo, start: number, end: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    if (bytes <= chunkBytes) {
      const whole = await this.#bytes(digest)
      if (whole === undefined) return undefined
      if (digestOf(whole) !== digest) throw this.#damaged(digest, "its bytes are not those of its digest")
      return one(whole.subarray(start, end))
    }
    const sums = this.#sums.get(digest) ?? (await this.#readSums(digest, bytes))
    return sums === undefined ? undefined : this.#pieces(sums, start, end)
  }

  /** `from` to `to` (inclusive, as HTTP counts) of what is stored, or all of it. */
  async #bytes(digest: Digest, from?: number, to?: number): Promise<Buffer | undefined> {
    return this.#asking(async () => Buffer.concat(await Array.fromAsync(await this.#body(digest, from, to))))
  }

  async #body(digest: Digest, from?: number, to?: number): Promise<AsyncIterable<Uint8Array>> {
    const Range = from === undefined ? {} : { Range: `bytes=${from}-${to}` }
    const { Body } = await this.#client.send("GetObject", { Key: this.#key(digest), ...Range })
    return Body ?? one(new Uint8Array())
  }

  async #readSums(digest: Digest, bytes: number): Promise<Sums | undefined> {
    const stored = bytes + Math.ceil(bytes / chunkBytes) * 4 + footerBytes
    const trailer = await this.#bytes(digest, bytes, stored - 1)
    if (trailer === undefined) return undefined
    const footer = trailer.length < footerBytes ? undefined : readFooter(trailer.subarray(-footerBytes), stored)
    if (footer === undefined || footer.digest !== digest || footer.bytes !== bytes) throw this.#damaged(digest, "it is cut short or its footer changed")
    const sums = Sums.of(footer, trailer.subarray(0, -footerBytes))
    if (sums === undefined) throw this.#damaged(digest, "its sums changed")
    if (this.#sums.size >= sumsMax) this.#sums.delete(this.#sums.keys().next().value as Digest)
    this.#sums.set(digest, sums)
    return sums
  }

  /** Whole chunks as they arrive, each proved before it is handed out. */
  async *#pieces(sums: Sums, start: number, end: number): AsyncGenerator<Uint8Array, void, void> {
    if (start >= end) return
    const { digest, bytes, chunkBytes: chunk } = sums.footer
    const around = sums.around(start, end)
    const isWhole = start === 0 && end === bytes
    const hash = createHash("sha256")
    let at = around.start
    let pending = Buffer.alloc(0)
    const proved = (piece: Buffer): Buffer => {
      const damaged = sums.damageIn(piece, at)
      if (damaged !== undefined) throw this.#damaged(digest, `the ${chunk} bytes from ${damaged} are not those that were written`)
      const wanted = piece.subarray(Math.max(0, start - at), Math.max(0, Math.min(piece.length, end - at)))
      at += piece.length
      if (isWhole) hash.update(wanted)
      return wanted
    }
    try {
      for await (const piece of await this.#body(digest, around.start, around.end - 1)) {
        pending = pending.length === 0 ? Buffer.from(piece) : Buffer.concat([pending, piece])
        const ready = pending.length - (pending.length % chunk)
        if (ready === 0) continue
        yield proved(pending.subarray(0, ready))
        pending = pending.subarray(ready)
      }
    } catch (error) {
      throw this.#client.typed(error)
    }
    if (at + pending.length !== around.end) throw this.#damaged(digest, "it is cut short")
    if (pending.length > 0) yield proved(pending)
    if (isWhole && hash.digest("hex") !== digest) throw this.#damaged(digest, "its bytes are not those of its digest")
  }

  async delete(digest: Digest): Promise<boolean> {
    const Key = this.#key(digest)
    if ((await this.info(digest)) === undefined) return false
    await this.#asking(() => this.#client.send("DeleteObject", { Key }))
    this.#sums.delete(digest)
    return true
  }

  async list(after: Digest | undefined, countMax: number): Promise<ReadonlyArray<Digest>> {
    return (await this.#page(after, countMax)).map(({ digest }) => digest)
  }

  /** Digests with their dates. What is there under other names is not ours. */
  async #page(after: Digest | undefined, countMax: number): Promise<ReadonlyArray<ObjectInfo>> {
    const Prefix = `${this.#address.prefix}objects/`
    const found: Array<ObjectInfo> = []
    for (let StartAfter = after === undefined ? undefined : this.#key(after); found.length < countMax;) {
      const from = StartAfter === undefined ? {} : { StartAfter }
      const page = await this.#asking(() => this.#client.send("ListObjectsV2", { Prefix, MaxKeys: Math.min(1_000, countMax - found.length), ...from }))
      for (const { Key = "", LastModified, Size = 0 } of page?.Contents ?? []) {
        const digest = Key.slice(Prefix.length)
        if (isDigest(digest)) found.push({ digest, bytes: bytesOf(Size), touchedAtMs: LastModified?.getTime() ?? 0 })
        StartAfter = Key
      }
      if (page?.IsTruncated !== true) break
    }
    return found
  }

  async check(expected?: Iterable<Digest> | AsyncIterable<Digest>): Promise<ReadonlyArray<ObjectFinding>> {
    // What is known from before is not what is there now.
    this.#sums.clear()
    return [...(await checkObjects(this)), ...(expected === undefined ? [] : await missingOf(this, expected))]
  }

  async collect(options: CollectOptions): Promise<Collected> {
    // What the caller's own question fails with is no word of the server's.
    let own: { readonly error: unknown } | undefined
    const isLive = (digests: ReadonlyArray<Digest>) =>
      options.isLive(digests).catch((error: unknown) => {
        own = { error }
        throw new ConfigError("Option", { option: "isLive", expected: "an answer", actual: "an error" }, { cause: error })
      })
    const collecting = this.#asking(() =>
      collectS3(
        { ...options, isLive },
        {
          address: this.#address,
          client: this.#client,
          marks: this.#marks,
          page: (after, countMax) => this.#page(after, countMax),
          isOpen: (id) => this.#open.has(id),
        },
      ),
    )
    const collected = await collecting.catch((error: unknown) => {
      throw own === undefined ? error : own.error
    })
    return collected ?? { objects: 0, bytes: 0, uploads: 0 }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
  if (bytes.length > 0) yield bytes
}
