/**
 * One upload to a server. Its name is its digest, which is known at the end: up to one part it stays in memory and is
 * put under its name; beyond, its parts go to a name of their own, and the server copies the whole to its place.
 */
import type { Hash } from "node:crypto"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest, Kept, Upload } from "../../port/object.ts"
import { checkBytes, checkDigest } from "../object/digest.ts"
import { SumsBuilder } from "../object/sums.ts"
import { isAbsent, isUnsupported, type S3Client } from "./client.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

export interface S3Place {
  readonly name: string
  readonly client: S3Client
  readonly objectBytesMax: number
  readonly partBytes: number
  stagingKey(id: string): string
  putWhole(digest: Digest, bytes: Buffer): Promise<void>
  copyStaged(digest: Digest, id: string): Promise<void>
  done(id: string): void
}

export class S3Upload implements Upload {
  readonly id: string
  readonly #place: S3Place
  readonly #hash: Hash = createHash("sha256")
  readonly #sums = new SumsBuilder()
  #block: Buffer = Buffer.alloc(0)
  #filled = 0
  #uploadId: string | undefined
  #parts: Array<{ readonly PartNumber: number; readonly ETag: string | undefined }> = []
  #sending: Promise<void> = Promise.resolve()
  #sent = 0
  #isBusy = false
  #isStaged = false
  #state: "open" | "failed" | "over" = "open"

  constructor(place: S3Place, id: string) {
    this.#place = place
    this.id = id
  }

  get bytes(): number {
    return this.#sent + this.#filled
  }

  #refuse(detail: string): StorageError {
    return new StorageError("Upload", { store: this.#place.name, upload: this.id, detail })
  }

  async #during<A>(run: () => Promise<A>): Promise<A> {
    if (this.#state !== "open") throw this.#refuse(this.#state === "over" ? "it has ended" : "a part of it was not taken")
    if (this.#isBusy) throw this.#refuse("the call before has not been answered yet")
    this.#isBusy = true
    try {
      return await run()
    } catch (error) {
      const typed = this.#place.client.typed(error)
      // What the server was not asked for leaves the upload as it was; so does a last step that can be asked for again.
      if (error !== typed && !this.#isStaged) this.#state = "failed"
      throw isAbsent(error) ? this.#refuse("it was removed as dead") : typed
    } finally {
      this.#isBusy = false
    }
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#during(async () => {
      checkBytes("chunk", chunk)
      const { name, objectBytesMax, partBytes } = this.#place
      const asked = this.bytes + chunk.length
      if (this.#isStaged) throw this.#refuse("it is being committed")
      if (asked > objectBytesMax) throw new StorageError("ObjectLimit", { store: name, limit: "objectBytesMax", unit: "bytes", max: objectBytesMax, asked })
      for (let at = 0; at < chunk.length;) {
        if (this.#filled === partBytes) await this.#flush()
        this.#grow(Math.min(partBytes, this.#filled + chunk.length - at))
        const taken = Math.min(chunk.length - at, this.#block.length - this.#filled)
        this.#block.set(chunk.subarray(at, at + taken), this.#filled)
        this.#filled += taken
        at += taken
      }
    })
  }

  /** Most objects are far smaller than a part. */
  #grow(wanted: number): void {
    if (wanted <= this.#block.length) return
    const grown = Buffer.alloc(Math.min(this.#place.partBytes, Math.max(wanted, this.#block.length * 2)))
    this.#block.copy(grown, 0, 0, this.#filled)
    this.#block = grown
  }

  /** Sends a full part, while the next one is filled. */
  async #flush(): Promise<void> {
    const part = this.#block.subarray(0, this.#filled)
    this.#hash.update(part)
    this.#sums.add(part)
    this.#sent += part.length
    this.#block = Buffer.alloc(0)
    this.#filled = 0
    await this.#sendPart(part)
  }

  async #sendPart(part: Buffer): Promise<void> {
    await this.#sending
    const { client } = this.#place
    const Key = this.#place.stagingKey(this.id)
    this.#uploadId ??= (await client.send("CreateMultipartUpload", { Key })).UploadId
    const PartNumber = this.#parts.length + 1
    const slot = { PartNumber, ETag: undefined as string | undefined }
    this.#parts.push(slot)
    this.#sending = client.send("UploadPart", { Key, UploadId: this.#uploadId, PartNumber, Body: part }).then(({ ETag }) => void (slot.ETag = ETag))
    // A failure is met by whoever waits for it next.
    this.#sending.catch(() => undefined)
  }

  commit(expected?: Digest): Promise<Kept> {
    return this.#during(async () => {
      if (expected !== undefined) checkDigest(expected)
      const bytes = this.bytes
      const rest = this.#block.subarray(0, this.#filled)
      const digest = this.#hash.copy().update(rest).digest("hex")
      if (expected !== undefined && expected !== digest) throw new StorageError("Mismatch", { store: this.#place.name, expected, actual: digest })
      if (this.#uploadId === undefined) await this.#place.putWhole(digest, rest)
      else {
        if (!this.#isStaged) await this.#stage(rest, digest)
        await this.#place.copyStaged(digest, this.id)
      }
      await this.#end()
      return { digest, bytes }
    })
  }

  /** The last part, with the sums behind it; then the whole is one object under the upload's own name. */
  async #stage(rest: Buffer, digest: Digest): Promise<void> {
    this.#sums.add(rest)
    const Key = this.#place.stagingKey(this.id)
    const UploadId = this.#uploadId
    await this.#sendPart(Buffer.concat([rest, this.#sums.trailer(digest)]))
    await this.#sending
    await this.#place.client.send("CompleteMultipartUpload", { Key, UploadId, MultipartUpload: { Parts: this.#parts } })
    this.#isStaged = true
  }

  /** Nothing of it can be read before it is whole, so there is nothing to go on with. */
  suspend(): Promise<void> {
    return this.abort()
  }

  async abort(): Promise<void> {
    if (this.#state !== "over") await this.#end()
  }

  async #end(): Promise<void> {
    this.#state = "over"
    const { client } = this.#place
    const Key = this.#place.stagingKey(this.id)
    try {
      await this.#sending.catch(() => undefined)
      if (this.#isStaged) await client.send("DeleteObject", { Key })
      else if (this.#uploadId !== undefined) await client.send("AbortMultipartUpload", { Key, UploadId: this.#uploadId })
    } catch (error) {
      // What stays behind is collected later, or by the bucket's own rule for incomplete uploads.
      if (!isUnsupported(error) && !isAbsent(error)) throw client.typed(error)
    } finally {
      this.#place.done(this.id)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort()
  }
}
