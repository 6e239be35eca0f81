/**
 * Which objects a tenant has, as data: references from its keys to the digests of objects that something else stores. Knowing a digest
 * gives nothing: an object is reached through a key of one's own, and `link` is asked for only by the service that
 * has taken in the object's bytes. Quotas count each reference in full, shared objects too.
 */
import { blobLimits } from "../../host/port/blob.ts"
import type { Place } from "./place.ts"

export type BlobOperation = Place &
  /** The key stands for this object from now on, whatever it stood for before. */
  (
    | {
        readonly op: "link"
        /** SHA-256, 32 bytes. */
        readonly digest: Uint8Array
        /** Size of the object; of one that is sealed, before it was. */
        readonly bytes: number
        /** For a sealed store alone, which wants it: the key that the object is sealed by. No store below sees it. */
        readonly keyId?: Uint8Array
      }
    | { readonly op: "unlink" }
  )

export interface BlobResults {
  /** The reference's revision. */
  readonly link: number
  /** True when the key stood for an object. */
  readonly unlink: boolean
}

export interface BlobReference {
  readonly digest: Uint8Array
  readonly bytes: number
  /** When it was linked, µs since the Unix epoch on the store's clock. */
  readonly createdAtUs: number
  readonly revision: number
}

export type BlobQuestion =
  | (Place &
      (
        | { readonly ask: "blob" }
        /** References whose keys start with `key` and come after `beyond`, in key order. */
        | { readonly ask: "blobs"; readonly beyond: Uint8Array | undefined; readonly countMax: number }
      ))
  /**
   * Which of these objects any tenant refers to, in the order asked: for the collection of garbage, never for guests. A yes is a row held against
   * its sum; a no is the word of an index, which has none, and nothing to delete an object by alone (`runtime/service/garbage.ts`).
   * @throws StorageError `Corrupt`
   */
  | { readonly ask: "linked"; readonly digests: ReadonlyArray<Uint8Array> }
  /** References of all tenants in the order of tenant and key, those that come after `beyond`: for backup, never for guests. */
  | { readonly ask: "references"; readonly beyond: Place | undefined; readonly countMax: number }

export interface BlobAnswers {
  readonly blob: BlobReference | undefined
  readonly blobs: ReadonlyArray<BlobReference & { readonly key: Uint8Array }>
  readonly linked: ReadonlyArray<boolean>
  readonly references: ReadonlyArray<BlobReference & Place>
}

/** The port's own: bytes are those of the objects. */
export const blobStoreLimits = blobLimits
