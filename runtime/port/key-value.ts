/** What a store does for the key-value port, as data. */
import type { Versioned } from "../../host/port/key-value.ts"
import type { Place } from "./place.ts"

export type KeyValueOperation = Place &
  (
    | { readonly op: "set"; readonly value: Uint8Array }
    /** Writes if the key still has this version (`undefined`: still does not exist). */
    | { readonly op: "swap"; readonly version: number | undefined; readonly value: Uint8Array }
    /** Adds to the value read as a decimal integer in ASCII; a `CounterError` outside `min` to `max`. */
    | { readonly op: "increment"; readonly delta: bigint; readonly min: bigint; readonly max: bigint }
    | { readonly op: "delete" }
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
}

export type KeyValueQuestion = Place &
  (
    | { readonly ask: "get" }
    | { readonly ask: "has" }
    /** Keys that start with `key` and come after `beyond`, in key order. */
    | { readonly ask: "list"; readonly beyond: Uint8Array | undefined; readonly countMax: number }
  )

export interface KeyValueAnswers {
  readonly get: Versioned | undefined
  readonly has: boolean
  readonly list: ReadonlyArray<string>
}
