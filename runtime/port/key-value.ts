/** What a store does for the key-value port, as data. */
import { keyValueLimits, type Versioned } from "../../host/port/key-value.ts"
import type { OfTenant, Place } from "./place.ts"

/**
 * A value may have an end: `ttlMs` after the group that wrote it, on the store's clock. From then on its key is absent
 * for every question, operation and quota; its row is removed in bounded steps by later groups, each removal a
 * change of kind "expire". A whole number of ms from 1 to `ttlMsMax`, else `ConfigError`.
 */
interface Ending {
  readonly ttlMs?: number | undefined
}

export type KeyValueOperation = Place &
  /** Without `ttlMs` the value has no end, whatever the one before it had. */
  (
    | ({
        readonly op: "set"
        readonly value: Uint8Array
        /** The value has the end of the one before it, if that has one: what an increment does. Not together with `ttlMs`. */
        readonly keepsEnd?: true
      } & Ending)
    /** Writes, as `set` does, if the key still has this version (`undefined`: still does not exist). */
    | ({ readonly op: "swap"; readonly version: number | undefined; readonly value: Uint8Array } & Ending)
    /** Adds to the value read as a decimal integer in ASCII; a `CounterError` outside `min` to `max`. Keeps the value's end. */
    | { readonly op: "increment"; readonly delta: bigint; readonly min: bigint; readonly max: bigint }
    | { readonly op: "delete" }
    /**
     * A condition of its whole batch: as the operations before it in the batch left it, the key has this version
     * (`undefined`: does not exist). Otherwise `StorageError` `Conflict`, and nothing of the batch is kept.
     */
    | { readonly op: "require"; readonly version: number | undefined }
  )

/** What each operation answers with. */
export interface KeyValueResults {
  /** The key's version. */
  readonly set: number
  /** The key's version; undefined when it had another one and nothing was written. */
  readonly swap: number | undefined
  readonly increment: bigint
  /** True when the key existed. */
  readonly delete: boolean
  readonly require: undefined
}

export type KeyValueQuestion =
  | (Place &
      (
        | { readonly ask: "get" }
        | { readonly ask: "has" }
        /** Keys that start with `key` and come after `beyond`, in key order. */
        | { readonly ask: "list"; readonly beyond: Uint8Array | undefined; readonly countMax: number }
        /**
         * The same with values: at most `countMax` of them, and no more than `bytesMax` of keys and values together
         * except that the first is given whatever its size.
         */
        | { readonly ask: "entries"; readonly beyond: Uint8Array | undefined; readonly countMax: number; readonly bytesMax: number }
        /**
         * Changes of keys that start with `key`, with a revision greater than `after`, in order of revision.
         * @throws StorageError `Compacted` when some of them are not kept any more, or `after` is beyond the store's newest
         */
        | { readonly ask: "changes"; readonly after: number; readonly countMax: number }
      ))
  /** A revision that everything committed for the tenant is at or below, and everything to come above. */
  | (OfTenant & { readonly ask: "revision" })

export interface Stored extends Versioned {
  /** When the value ends, µs since the Unix epoch on the store's clock; undefined: never. */
  readonly expiresAtUs: number | undefined
}

export interface Entry extends Stored {
  readonly key: Uint8Array
}

export interface Entries {
  readonly entries: ReadonlyArray<Entry>
  /** False when there is more: ask again beyond the last key. */
  readonly isComplete: boolean
  /** As the question `revision` answers it at the same moment: changes after it are not in `entries` yet, all others are. */
  readonly revision: number
}

/**
 * One change of one key. Revisions rise within a tenant, become visible in order, and are those that writes answer with
 * (a key's version is the revision of its last write). They have gaps.
 */
export interface Change {
  readonly revision: number
  readonly key: Uint8Array
  readonly kind: "set" | "delete" | "expire"
}

export interface Changes {
  readonly changes: ReadonlyArray<Change>
  /** Nothing up to here is missing from the answer: what to ask `after` next time. */
  readonly revision: number
}

export interface KeyValueAnswers {
  readonly get: Stored | undefined
  readonly has: boolean
  readonly list: ReadonlyArray<string>
  readonly entries: Entries
  readonly changes: Changes
  readonly revision: number
}

/** What a store keeps of keys and values: the port's own limits and those of what only services see. */
export const keyValueStoreLimits = {
  ...keyValueLimits,
  /** Milliseconds that a value may be given to live: about ten years. */
  ttlMsMax: 315_360_000_000,
  /** Changes of one tenant that are kept at least for those who watch, unless they are too old. Up to a quarter more may be there. */
  tenantChangesMax: 10_000,
  /** Milliseconds that a change is kept at most after the tenant's next write: an hour. */
  changeAgeMsMax: 3_600_000,
}
