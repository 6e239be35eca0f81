/**
 * A tenant as a whole, as data: what is exported, moved between stores of any kind, compared and erased. For services; guests reach none of it.
 */
import type { OfTenant } from "./place.ts"

/**
 * One row, or whatever a table keeps under one name, with everything about it that a reader could tell: the same in every kind of
 * store. Integers are bigint and times are µs since the Unix epoch; `null` is absence. What a store can work out (sums,
 * counts, bytes) is not in it.
 */
export interface TenantRecord {
  /** Its place in the table: unique for the tenant, and what to ask `after`. How it orders is the table's own affair, and alike in every store. */
  readonly order: Uint8Array
  readonly fields: Readonly<Record<string, Uint8Array | bigint | string | null>>
}

export type TenantOperation = OfTenant &
  /**
   * Puts a record in its place as it was exported: versions, ends, offsets and times are kept. In the order of an
   * export; one that is there already is replaced, so that an import may be repeated from any record on. Whoever
   * watches the tenant's keys gets `Compacted`.
   * @throws StorageError `Record` for one that the table cannot be the origin of
   */
  (
    | {
        readonly op: "import"
        readonly table: string
        readonly record: TenantRecord
        /** Of the export's answer: this store's next one is greater. */
        readonly revision: number
      }
    /**
     * Removes up to `countMax` rows of the tenant, from whatever table, and says how many it were: less than `countMax`
     * means that nothing is left, not even the tenant's name. Nobody who watches is told.
     */
    | { readonly op: "erase"; readonly countMax: number; /** Of this table alone. */ readonly table?: string | undefined }
    /**
     * Puts other bytes into a field of one record, if it still has those that it had: for a layer that seals anew. Times and all else stay, a reference gets
     * a revision, and no quota refuses it. Of `blob_reference` its `digest`; of `queue` a job's `payload` and `error`, a schedule's `payload`, the `digest` of an idempotency key.
     * @throws StorageError `Record` for another table or field
     */
    | {
        readonly op: "rewrite"
        readonly table: string
        /** Of the record, as an export has it. */
        readonly order: Uint8Array
        readonly field: "digest" | "payload" | "error"
        readonly from: Uint8Array
        readonly to: Uint8Array
      }
  )

export type Rewrite = Extract<TenantOperation, { readonly op: "rewrite" }>

export interface TenantResults {
  readonly import: undefined
  readonly erase: number
  /** False when the record is gone, or the field has other bytes by now: then nothing was written. */
  readonly rewrite: boolean
}

export type TenantQuestion =
  /**
   * Records of one table after `after` (undefined: from the first): up to `countMax`, fewer when they are large, at least
   * one until there is none. What has ended on the store's clock is not in it.
   * @throws StorageError `Record` for a table that the store does not have
   */
  | (OfTenant & {
      readonly ask: "export"
      readonly table: string
      readonly after: Uint8Array | undefined
      readonly countMax: number
      /** Of what has many records under one name (a log, a topic), the first alone, which says where it begins and ends. */
      readonly headsOnly?: boolean | undefined
    })
  /** Tenants that have anything, by the bytes of their names, after `after`. */
  | { readonly ask: "tenants"; readonly after: Uint8Array | undefined; readonly countMax: number }
  /** Names of the tables, in the order in which they are imported. */
  | { readonly ask: "tables" }
  /** What every tenant's rows add up to, table by table: equal as long as nobody writes, and in every store that holds the same. */
  | { readonly ask: "totals" }

export interface TenantPage {
  readonly records: ReadonlyArray<TenantRecord>
  readonly isComplete: boolean
  /** As the question `revision` answers it. */
  readonly revision: number
}

/** What a tenant's rows in one table add up to. Rows that have ended and are not removed yet are in it. */
export interface TenantTotal extends OfTenant {
  readonly table: string
  readonly keys: number
  readonly bytes: number
  /** Exclusive or of the rows' sums. */
  readonly sums: number
}

export interface TenantAnswers {
  readonly export: TenantPage
  readonly tenants: ReadonlyArray<Uint8Array>
  readonly tables: ReadonlyArray<string>
  readonly totals: ReadonlyArray<TenantTotal>
}

/** Bytes of records that an export answers at once: after the record that goes over it, the page ends. */
export const exportBytesMax = 4 << 20
