/**
 * Collection on a server that knows no transactions. A collector says what it is about to remove, in a mark, before it
 * looks at the object's date a last time; whoever keeps an object looks for a mark after it is written. With reads that see every
 * write before them, as S3 has them, one of the two sees the other: the collector the new date, and lets it be, or
 * the writer the mark, and writes again when it is gone. A mark says nothing after `markMsMax`: by then its collector
 * has removed or given up, since it does not begin to remove after `decideMsMax`, and its request ends by the rest.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Collected, CollectOptions, Digest, ObjectInfo } from "../../port/object.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import type { S3Address } from "./address.ts"
import { isAbsent, isUnsupported, type S3Client } from "./client.ts"

const { setTimeout: sleep } = process.getBuiltinModule("node:timers/promises")

export const decideMsMax = 10_000
export const markMsMax = 90_000
const pageRows = 500
/** A server dates by the second: what it dates within one may be younger than it says. */
const dateMs = 1_000

export class Marks {
  readonly #address: S3Address
  readonly #client: S3Client

  constructor(address: S3Address, client: S3Client) {
    this.#address = address
    this.#client = client
  }

  #key(digest: string): string {
    return `${this.#address.prefix}collecting/${digest}`
  }

  /** Writes, and again as long as somebody was removing it at that moment. */
  async keep(digest: Digest, write: () => Promise<void>): Promise<void> {
    for (let turn = 0; turn < 10; turn++) {
      await write()
      if (await this.#wait(digest)) return
    }
    throw new StorageError("Busy", { store: this.#address.name, waitedMs: 10 * markMsMax })
  }

  /** True when nobody removes the object; false after somebody did, or could have. */
  async #wait(digest: Digest): Promise<boolean> {
    const Key = this.#key(digest)
    const startedMs = performance.now()
    let first: string | undefined
    for (let waitMs = 20; ; waitMs = Math.min(1_000, waitMs * 2)) {
      const mark = await this.#client.send("HeadObject", { Key }).catch(absent)
      if (mark === undefined) return first === undefined
      const name = `${mark.ETag} ${mark.LastModified?.getTime()}`
      if (first !== undefined && first !== name) return false
      first = name
      if (performance.now() - startedMs > markMsMax) {
        await this.#client.send("DeleteObject", { Key })
        return false
      }
      await sleep(waitMs)
    }
  }

  /** Removes the object, if it is no younger than `beforeMs` by the server's clock. */
  async remove(Key: string, digest: Digest, beforeMs: number): Promise<boolean> {
    const mark = this.#key(digest)
    const startedMs = performance.now()
    await this.#client.send("PutObject", { Key: mark, Body: crypto.randomUUID() })
    try {
      const head = await this.#client.send("HeadObject", { Key }).catch(absent)
      if (head === undefined || isYoung(head.LastModified, beforeMs) || performance.now() - startedMs > decideMsMax) return false
      await this.#client.send("DeleteObject", { Key })
      return true
    } finally {
      await this.#client.send("DeleteObject", { Key: mark })
    }
  }

  /** What the server takes the time to be. */
  async nowMs(): Promise<number> {
    const Key = `${this.#address.prefix}collecting/now`
    await this.#client.send("PutObject", { Key, Body: crypto.randomUUID() })
    const now = (await this.#client.send("HeadObject", { Key })).LastModified?.getTime()
    if (now === undefined) throw new StorageError("Remote", { store: this.#address.name, detail: "it dates nothing" })
    return now
  }
}

function absent(error: unknown): undefined {
  if (isAbsent(error)) return undefined
  throw error
}

const isYoung = (date: Date | undefined, beforeMs: number): boolean => date === undefined || date.getTime() + dateMs > beforeMs

interface Collecting {
  readonly address: S3Address
  readonly client: S3Client
  readonly marks: Marks
  page(after: Digest | undefined, countMax: number): Promise<ReadonlyArray<ObjectInfo>>
  isOpen(id: string): boolean
}

export async function collectS3({ isLive, graceMs }: CollectOptions, of: Collecting): Promise<Collected> {
  if (!(graceMs >= 0)) throw new ConfigError("Option", { option: "graceMs", expected: "a number ≥ 0", actual: String(graceMs) })
  const beforeMs = (await of.marks.nowMs()) - graceMs
  let objects = 0
  let bytes = 0
  let after: Digest | undefined
  for (;;) {
    const page = await of.page(after, pageRows)
    after = page.at(-1)?.digest
    if (after === undefined) break
    const old = page.filter(({ touchedAtMs }) => !isYoung(new Date(touchedAtMs), beforeMs))
    if (old.length === 0) continue
    const live = await isLive(old.map(({ digest }) => digest))
    for (const [i, { digest, bytes: size }] of old.entries()) {
      // Anything but a clear no keeps it: an answer that is short is no answer.
      if (live[i] !== false || !(await of.marks.remove(`${of.address.prefix}objects/${digest}`, digest, beforeMs))) continue
      objects++
      bytes += size
    }
  }
  return { objects, bytes, uploads: (await sweepParts(of, beforeMs)) + (await sweepStaged(of, beforeMs)) }
}

/** Uploads in parts that were never completed. They cost what they hold, and no list of objects shows them. */
async function sweepParts({ address, client, isOpen }: Collecting, beforeMs: number): Promise<number> {
  const Prefix = `${address.prefix}staging/`
  let swept = 0
  for (let from: object = {}; ;) {
    let page
    try {
      page = await client.send("ListMultipartUploads", { Prefix, ...from })
    } catch (error) {
      if (isUnsupported(error)) return swept
      throw error
    }
    for (const { Key = "", UploadId, Initiated } of page.Uploads ?? []) {
      // Not every server heeds the prefix.
      if (!Key.startsWith(Prefix) || isYoung(Initiated, beforeMs) || isOpen(Key.slice(Prefix.length))) continue
      await client.send("AbortMultipartUpload", { Key, UploadId }).catch(absent)
      swept++
    }
    if (page.IsTruncated !== true) return swept
    from = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
  }
}

/** Uploads that were completed and never copied to their place. */
async function sweepStaged({ address, client, isOpen }: Collecting, beforeMs: number): Promise<number> {
  const Prefix = `${address.prefix}staging/`
  let swept = 0
  for (let from: object = {}; ;) {
    const page = await client.send("ListObjectsV2", { Prefix, MaxKeys: 1_000, ...from })
    for (const { Key = "", LastModified } of page.Contents ?? []) {
      from = { StartAfter: Key }
      if (isYoung(LastModified, beforeMs) || isOpen(Key.slice(Prefix.length))) continue
      await client.send("DeleteObject", { Key })
      swept++
    }
    if (page.IsTruncated !== true) return swept
  }
}
