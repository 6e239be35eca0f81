/**
 * One upload into a folder. Up to `rowBytesMax` it stays in memory and becomes a row of the catalogue. Beyond, it goes to a
 * file in `staging`, half a MiB written while the next is hashed, synced every 8 MiB beside the writing, and is moved to
 * its place when it is complete.
 */
import type { Hash } from "node:crypto"
import { ConfigError } from "../../../schemas/error/config.ts"
import { SteleError } from "../../../schemas/error/family.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Digest, Kept, Upload } from "../../port/object.ts"
import { checkBytes, checkDigest } from "../object/digest.ts"
import { SumsBuilder } from "../object/sums.ts"
import { detailOf } from "../sqlite/database.ts"
import { objectFile, objectsOf } from "./catalogue.ts"
import { Descriptor } from "./descriptor.ts"
import { type FolderSyncs, isMissing } from "./file.ts"
import { noUpload, ProgressFile, stagedFile, stateFile } from "./staging.ts"
import type { Operation } from "./writer.ts"
import { promised } from "./promised.ts"

const { createHash } = process.getBuiltinModule("node:crypto")
const { join } = process.getBuiltinModule("node:path")
const { crc32 } = process.getBuiltinModule("node:zlib")

/** Bytes of one write. Two are in memory for each upload: one that is filled and one that is written. */
const blockBytes = 512 << 10
/** Bytes after which what was written is synced, so that an upload that dies loses no more than these. */
const syncBytes = 8 << 20

const mild = new Set(["Digest", "Mismatch", "ObjectLimit", "Overloaded", "Busy"])

export interface UploadPlace {
  readonly folder: string
  readonly rowBytesMax: number
  readonly objectBytesMax: number
  readonly syncs: FolderSyncs
  ask(operation: Operation): Promise<boolean>
  /** Called once, when the upload is no longer open. */
  done(id: string): void
}

export class FolderUpload implements Upload {
  readonly id: string
  readonly #place: UploadPlace
  readonly #turn: number
  readonly #hash: Hash = createHash("sha256")
  readonly #sums = new SumsBuilder()
  /** CRC-32 of everything given to the file, for `resume` to hold against what it finds. */
  #sum = 0
  #block: Buffer
  #filled = 0
  #spare: Buffer | undefined
  #handle: Descriptor | undefined
  #progress: ProgressFile | undefined
  #writing: Promise<void> = Promise.resolve()
  #syncing: Promise<void> = Promise.resolve()
  #written = 0
  #syncedAt = 0
  #isBusy = false
  /** Its file has left `staging`: what is left to do is the row. */
  #isMoved = false
  #state: "open" | "failed" | "over" = "open"

  constructor(place: UploadPlace, id: string, turn = 0) {
    this.#place = place
    this.id = id
    this.#turn = turn
    this.#block = Buffer.allocUnsafe(place.rowBytesMax)
  }

  get bytes(): number {
    return this.#written + this.#filled
  }

  /** One call at a time, and none after the end; what the disk refuses ends the upload. */
  async #during<A>(run: () => Promise<A>): Promise<A> {
    if (this.#state !== "open") throw noUpload(this.#place.folder, this.id, this.#state === "over" ? "it has ended" : "a write to it has failed")
    if (this.#isBusy) throw noUpload(this.#place.folder, this.id, "the call before has not been answered yet")
    this.#isBusy = true
    try {
      return await run()
    } catch (error) {
      // What is the caller's mistake, or passes, leaves the upload as it was.
      if (error instanceof ConfigError || (error instanceof StorageError && mild.has(error.reason._tag))) throw error
      this.#state = "failed"
      if (error instanceof SteleError) throw error
      throw new StorageError("Failed", { store: this.#place.folder, detail: detailOf(error) }, { cause: error })
    } finally {
      this.#isBusy = false
    }
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#during(async () => {
      checkBytes("chunk", chunk)
      const { folder, objectBytesMax } = this.#place
      const asked = this.bytes + chunk.length
      if (this.#isMoved) throw noUpload(folder, this.id, "it is being committed")
      if (asked > objectBytesMax) throw new StorageError("ObjectLimit", { store: folder, limit: "objectBytesMax", unit: "bytes", max: objectBytesMax, asked })
      for (let at = 0; at < chunk.length;) {
        if (this.#filled === this.#block.length) await this.#flush()
        const taken = Math.min(chunk.length - at, this.#block.length - this.#filled)
        this.#block.set(chunk.subarray(at, at + taken), this.#filled)
        this.#filled += taken
        at += taken
      }
    })
  }

  /** Hands the full block to the disk and goes on with the other one. */
  async #flush(): Promise<void> {
    if (this.#handle === undefined) await this.#makeFile()
    const block = this.#block.subarray(0, this.#filled)
    this.#hash.update(block)
    this.#sums.add(block)
    this.#sum = crc32(block, this.#sum)
    // The other block is free once it is written.
    await this.#writing
    const at = this.#written
    this.#written += block.length
    this.#writing = (this.#handle as Descriptor).writeAt(block, at)
    // A failure is met by whoever waits for it next.
    this.#writing.catch(() => undefined)
    const next = this.#spare ?? Buffer.allocUnsafe(blockBytes)
    // The first block was small, as most objects are.
    this.#spare = this.#block.length === blockBytes ? this.#block : undefined
    this.#block = next
    this.#filled = 0
    if (this.#written - this.#syncedAt >= syncBytes) await this.#beginSync()
  }

  async #makeFile(): Promise<void> {
    const { folder } = this.#place
    try {
      this.#handle = await Descriptor.open(stagedFile(folder, this.id, this.#turn), "wx")
    } catch (error) {
      throw (error as { readonly code?: unknown }).code === "EEXIST" ? noUpload(folder, this.id, "it was resumed elsewhere") : error
    }
    this.#progress = new ProgressFile(stateFile(folder, this.id, this.#turn))
  }

  /** Syncs what has been handed over, beside what is written next. */
  async #beginSync(): Promise<void> {
    await this.#syncing
    const [bytes, sum, written] = [this.#written, this.#sum, this.#writing]
    this.#syncedAt = bytes
    this.#syncing = written.then(() => this.#handle?.datasync()).then(() => this.#progress?.write({ bytes, sum }))
    this.#syncing.catch(() => undefined)
  }

  commit(expected?: Digest): Promise<Kept> {
    return this.#during(async () => {
      if (expected !== undefined) checkDigest(expected)
      const { folder, syncs } = this.#place
      const bytes = this.bytes
      const isSmall = this.#handle === undefined
      const rest = this.#block.subarray(0, this.#filled)
      const digest = this.#hash.copy().update(rest).digest("hex")
      if (expected !== undefined && expected !== digest) throw new StorageError("Mismatch", { store: folder, expected, actual: digest })
      const key = Buffer.from(digest, "hex")
      if (isSmall) await this.#place.ask({ op: "keep", digest: new Uint8Array(key), bytes, data: new Uint8Array(rest), file: null })
      else {
        if (!this.#isMoved) await this.#move(digest)
        await syncs.sync(join(objectsOf(folder), digest.slice(0, 2)))
        await this.#place.ask({ op: "keep", digest: new Uint8Array(key), bytes, data: null, file: `${this.id}-${this.#turn}` })
      }
      await this.#end(true)
      return { digest, bytes }
    })
  }

  /** Ends the file and moves it to its place, where nobody sees it until it has a row. */
  async #move(digest: Digest): Promise<void> {
    const { folder } = this.#place
    await this.#flush()
    await this.#writing
    await (this.#handle as Descriptor).writeAt(this.#sums.trailer(digest), this.#written)
    await this.#syncing
    await (this.#handle as Descriptor).datasync()
    try {
      await promised().rename(stagedFile(folder, this.id, this.#turn), objectFile(folder, digest, `${this.id}-${this.#turn}`))
    } catch (error) {
      throw isMissing(error) ? noUpload(folder, this.id, "it was resumed elsewhere, or removed as dead") : error
    }
    this.#isMoved = true
  }

  suspend(): Promise<void> {
    return this.#during(async () => {
      await this.#flush()
      await this.#writing
      await this.#beginSync()
      await this.#syncing
      await this.#place.syncs.sync(join(this.#place.folder, "staging"))
      await this.#end(false)
    })
  }

  /** Takes over what an earlier turn left, before anything else is written. */
  async adopt(pieces: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const piece of pieces) await this.write(piece)
    await this.#during(async () => {
      await this.#flush()
      await this.#beginSync()
      await this.#syncing
    })
  }

  async abort(): Promise<void> {
    if (this.#state === "over") return
    await this.#end(true)
  }

  /** Lets go of the file and leaves it as it is: what of it is durable can be resumed. */
  release(): Promise<void> {
    return this.#end(false)
  }

  async #end(isRemoved: boolean): Promise<void> {
    if (this.#state === "over") return
    this.#state = "over"
    try {
      // Nothing writes to a file that is closed below.
      await Promise.allSettled([this.#writing, this.#syncing])
      await this.#handle?.close()
      this.#progress?.close()
      if (!isRemoved || this.#progress === undefined) return
      const { folder } = this.#place
      for (const path of [stagedFile(folder, this.id, this.#turn), stateFile(folder, this.id, this.#turn)]) await promised().rm(path, { force: true })
    } finally {
      this.#place.done(this.id)
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort()
  }
}
