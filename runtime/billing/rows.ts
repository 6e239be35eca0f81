/** Rows of an entity's books: where they are, and how they are read a page at a time. */
import type { Entry } from "../port/key-value.ts"
import { type Place, textOf } from "../port/place.ts"
import type { Store } from "../port/store.ts"
import { StorageError } from "../../schemas/error/storage.ts"

const utf8 = new TextEncoder()

/** Whose books they are: the legal entity that sells. One store tenant, so that one batch changes all of it. */
export interface Books {
  readonly store: Store
  readonly entity: string
}

/** The store tenant of an entity's books. */
export const tenantOf = (entity: string): Uint8Array => utf8.encode(`billing.${entity}`)

export const rowAt = (entity: string, key: string): Place => ({ tenant: tenantOf(entity), key: utf8.encode(key) })

const pageBytes = 1 << 20
const pageRows = 1_000

/** Rows whose keys start with `prefix`, in key order, those beyond a key; each page is one moment. */
export async function* rowsOf({ store, entity }: Books, prefix: string, after?: string): AsyncGenerator<Entry> {
  for (let beyond: Uint8Array | undefined = after === undefined ? undefined : utf8.encode(after); ;) {
    const page = await store.ask({ ask: "entries", ...rowAt(entity, prefix), beyond, countMax: pageRows, bytesMax: pageBytes })
    yield* page.entries
    beyond = page.entries.at(-1)?.key
    if (page.isComplete || beyond === undefined) return
  }
}

/** Whether a batch was refused because of the condition on this row. */
export const isConflictAt = (error: unknown, { key }: Place): boolean =>
  error instanceof StorageError && error.reason._tag === "Conflict" && error.reason.table === "key_value" && error.reason.key === textOf(key)

/** Whether a batch was refused because something it rests on has changed. */
export const isConflict = (error: unknown): boolean => error instanceof StorageError && error.reason._tag === "Conflict"
