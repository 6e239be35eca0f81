/**
 * A store of objects: immutable bytes named by their SHA-256. Whose they are is kept elsewhere, as references from a tenant's
 * key to a digest; here a digest is a name and no permission, and nothing lists objects by who put them.
 *
 * An object that nobody refers to is collected once its grace time is over, so a reference is written within the
 * grace time after the answer of `commit`, `put` or `touch`; each of them begins it anew, durably.
 */

/** SHA-256, 64 lower-case hexadecimal digits. */
export type Digest = string

export interface Kept {
  readonly digest: Digest
  readonly bytes: number
}

export interface ObjectInfo extends Kept {
  /** When its grace time last began; milliseconds since the Unix epoch. */
  readonly touchedAtMs: number
}

/** Bytes on their way in. Invisible until `commit` has answered. One call at a time. */
export interface Upload extends AsyncDisposable {
  readonly id: string
  /** Bytes taken so far. */
  readonly bytes: number
  /** Takes a copy of `chunk`. StorageError `ObjectLimit`, `Failed`, `Upload`. */
  write(chunk: Uint8Array): Promise<void>
  /** Durable when it answers. With `expected`, other bytes are a `Mismatch`. StorageError `Failed`, `Unknown`, `Upload`, `Overloaded`. */
  commit(expected?: Digest): Promise<Kept>
  /** Makes what was written durable and lets go of the upload, for `resume` by anybody who has the id. */
  suspend(): Promise<void>
  /** Gives it up. Disposal does the same, unless it was committed or suspended. */
  abort(): Promise<void>
}

/** What is wrong with one object, or with the store as a whole where `digest` is undefined. */
export interface ObjectFinding {
  readonly digest: Digest | undefined
  readonly problem: "damaged" | "missing"
  readonly detail: string
}

export interface CollectOptions {
  /** For each digest, in order: is there a reference to it? Asked after the grace time, in batches of at most 500. */
  isLive(digests: ReadonlyArray<Digest>): Promise<ReadonlyArray<boolean>>
  /** Age in ms from which an object without a reference, and an upload without progress, is removed. */
  readonly graceMs: number
}

export interface Collected {
  readonly objects: number
  readonly bytes: number
  /** Leftovers of uploads that died. */
  readonly uploads: number
}

/** For a guest that must have its answer in the call: each blocks the thread. */
export interface BlockingObjectStore {
  put(value: Uint8Array): Kept
  read(digest: Digest, start?: number, end?: number): Uint8Array | undefined
  info(digest: Digest): ObjectInfo | undefined
}

export interface ObjectStore extends AsyncDisposable {
  /** As it was named, without credentials. */
  readonly name: string
  readonly limits: Readonly<Record<string, number>>
  /** Absent where every answer comes over a network. */
  readonly blocking?: BlockingObjectStore
  /** Can an upload go on after its process has died? If not, `resume` throws `Upload` and `suspend` aborts. */
  readonly isResumable: boolean

  /** Starts an upload. StorageError `Overloaded` when `uploadsMax` are open. */
  upload(): Promise<Upload>
  /** Goes on with an upload: its `bytes` are what was durable. StorageError `Upload`, `Overloaded`. */
  resume(id: string): Promise<Upload>
  /** What is durable of an upload that nobody has open, proved piece by piece; it stays as it is. StorageError `Upload`. */
  staged(id: string): Promise<AsyncIterable<Uint8Array>>
  put(value: Uint8Array): Promise<Kept>
  /** Begins the grace time anew; false when there is no such object. */
  touch(digest: Digest): Promise<boolean>
  /**
   * Bytes from `start` to `end` (exclusive, clipped to the size; default all), or undefined when there is no such object.
   * StorageError `Digest`; `Damaged` rather than other bytes than were kept; `ObjectLimit` over `readBytesMax`.
   */
  read(digest: Digest, start?: number, end?: number): Promise<Uint8Array | undefined>
  /** The same piece by piece, each verified before it is handed out, and all of it at the end. */
  stream(digest: Digest, start?: number, end?: number): Promise<AsyncIterable<Uint8Array> | undefined>
  info(digest: Digest): Promise<ObjectInfo | undefined>
  /** True when the object existed. References to it are the caller's business. */
  delete(digest: Digest): Promise<boolean>
  /** Up to `countMax` digests after `after`, in order. */
  list(after: Digest | undefined, countMax: number): Promise<ReadonlyArray<Digest>>
  /** Reads everything: what is damaged, and what of `expected` (the digests that are referred to) is missing. */
  check(expected?: Iterable<Digest> | AsyncIterable<Digest>): Promise<ReadonlyArray<ObjectFinding>>
  /** Removes what nobody refers to. Runs beside everything else: what is kept or touched meanwhile stays. */
  collect(options: CollectOptions): Promise<Collected>
  close(): Promise<void>
}
