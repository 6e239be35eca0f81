/**
 * What a store does for usage records, as data. A record has an id that says when it was (UUID version 7, RFC 9562 §5.7): sent
 * again it is known, with another content it is a conflict. `runtime/storage/usage.ts` packs records into the bytes named here.
 */
import type { UsageRecord } from "../../host/port/observer.ts"

/** A usage record with its id. The id's time is the record's: there is no second one to disagree with it. */
export interface UsageEntry extends UsageRecord {
  /** 16 bytes. */
  readonly id: Uint8Array
  /** Calls whose own records were dropped and for which this entry stands; it is then no call itself, and has no costs. */
  readonly dropped?: number
}

/**
 * What became of one record: `new` and `known` are kept, the others are not. `conflict`: the id is there with another
 * content. `late`: it is older than what retention has removed, and nobody knows whether it was among that. `ahead`: its
 * time is further ahead of the store's than a wrong clock explains.
 */
export type UsageAnswer = "new" | "known" | "conflict" | "late" | "ahead"

export type UsageOperation =
  /** Records of one tenant, packed. Those that are refused take nothing from their neighbours. */
  | { readonly op: "record"; readonly tenant: Uint8Array; readonly records: Uint8Array }
  /** Removes the tenant's oldest records with ids below `beforeId`; roll-ups stay, and nothing as old is taken again. */
  | { readonly op: "forget"; readonly tenant: Uint8Array; readonly beforeId: Uint8Array; readonly countMax: number }

export interface UsageResults {
  /** In the order of the records. */
  readonly record: ReadonlyArray<UsageAnswer>
  /** How many were removed. */
  readonly forget: number
}

export type UsageBy = "tenant" | "plugin" | "day"

export type UsageQuestion =
  /** Sums from the roll-ups. Days are counted from 1970-01-01 in UTC, both included; without `tenant`, of all tenants. */
  | {
      readonly ask: "usage"
      readonly by: UsageBy
      readonly tenant?: Uint8Array
      readonly plugin?: string
      readonly fromDay?: number
      readonly toDay?: number
    }
  /** A tenant's records from `fromMs` up to but without `toMs`, in the order of their ids, those after `after`. */
  | {
      readonly ask: "usageRecords"
      readonly tenant: Uint8Array
      readonly fromMs: number
      readonly toMs: number
      readonly after?: Uint8Array
      readonly countMax: number
    }
  /**
   * What a tenant's records of a time add up to, by plugin, export and outcome: `countMax` records, those after `after`. Read from the records themselves,
   * each held against its sum, so any time can be asked for; ask again with `last` until there is none.
   */
  | {
      readonly ask: "usageSums"
      readonly tenant: Uint8Array
      readonly fromMs: number
      readonly toMs: number
      readonly after?: Uint8Array
      readonly countMax: number
    }
  /** Records as `usageRecords` gives them, in columns: for whoever reads millions. */
  | {
      readonly ask: "usageColumns"
      readonly tenant: Uint8Array
      readonly fromMs: number
      readonly toMs: number
      readonly after?: Uint8Array
      readonly countMax: number
    }
  /** Who has records, how many, and how old: what retention goes by. */
  | { readonly ask: "usageTenants" }

/** What records add up to. Exact: no sum has an upper end. */
export interface UsageSums {
  readonly calls: bigint
  /** Calls with another outcome than `ok`. */
  readonly failed: bigint
  /** Calls that are in no other sum, since their records were dropped. */
  readonly dropped: bigint
  readonly wallNs: bigint
  readonly fuel: bigint
  /** The most that one call had. */
  readonly memoryPeakBytes: bigint
  readonly bytesIn: bigint
  readonly bytesOut: bigint
  /** Host calls by the grant that allowed them. */
  readonly hostCalls: Readonly<Record<string, bigint>>
}

export interface UsageGroup extends UsageSums {
  /** A tenant, a plugin's digest, or a day as `2026-11-30`. */
  readonly key: string
}

/** What calls of one plugin, export and outcome add up to. Exact: no sum has an upper end. */
export interface UsageKind {
  readonly plugin: string
  readonly export: string
  readonly outcome: string
  readonly calls: bigint
  /** Calls that are in no other sum, since their records were dropped. */
  readonly dropped: bigint
  readonly wallNs: bigint
  readonly fuel: bigint
  /** Each call's time × the most memory that it had, in bytes × ns. */
  readonly byteNs: bigint
  readonly bytesIn: bigint
  readonly bytesOut: bigint
  /** By whatever grant. */
  readonly hostCalls: bigint
}

export interface UsagePart {
  /** In the order of their names. */
  readonly kinds: ReadonlyArray<UsageKind>
  /** Id of the last record in it; undefined where none is left. */
  readonly last: Uint8Array | undefined
}

/** Records, a number of each column for each, in the order of their ids. */
export interface UsageColumns {
  /** Kinds of calls among them. */
  readonly kinds: ReadonlyArray<Pick<UsageKind, "plugin" | "export" | "outcome">>
  /** Of each record, the place of its kind. */
  readonly kind: Uint32Array
  /** 16 bytes a record. */
  readonly ids: Uint8Array
  /** Calls whose records were dropped; where there are any, the record is of them, and all else of it is 0. */
  readonly dropped: Float64Array
  readonly wallNs: Float64Array
  /** 0 where none was counted. */
  readonly fuel: BigUint64Array
  readonly memoryPeakBytes: Float64Array
  readonly bytesIn: Float64Array
  readonly bytesOut: Float64Array
  /** By whatever grant. */
  readonly hostCalls: Float64Array
  /** Id of the last record; undefined where none is left. */
  readonly last: Uint8Array | undefined
}

export interface UsageTenant {
  readonly tenant: Uint8Array
  readonly records: number
  /** Of its records, what a row costs besides its bytes included. */
  readonly bytes: number
  /** Id of its oldest record. */
  readonly oldest: Uint8Array | undefined
}

export interface UsageAnswers {
  /** In the order of their keys. */
  readonly usage: ReadonlyArray<UsageGroup>
  readonly usageRecords: ReadonlyArray<UsageEntry>
  readonly usageSums: UsagePart
  readonly usageColumns: UsageColumns
  readonly usageTenants: ReadonlyArray<UsageTenant>
}

export const usageLimits = {
  /** Age from which retention removes records; their sums stay. In ms; default 400 days: a year's bill and the time to dispute it. */
  ageMsMax: 400 * 86_400_000,
  /** Bytes of records, of all tenants, above which retention removes the oldest; the file is about as large. Default 4 GiB. */
  bytesMax: 4 * 1024 ** 3,
  /** Bytes of records above which more are refused, should nobody carry out retention. Default 8 GiB. */
  totalBytesMax: 8 * 1024 ** 3,
  /** How far a record's time may be ahead of the store's, in ms; default one day. */
  aheadMsMax: 86_400_000,
  /** Records of one operation. */
  recordsMax: 10_000,
  /** Bytes of a plugin's, export's or grant's name. */
  nameBytesMax: 4_096,
}
export type UsageLimits = typeof usageLimits

/** When a record was, by its id: ms since the Unix epoch. */
export function msOf(id: Uint8Array): number {
  const view = new DataView(id.buffer, id.byteOffset, id.length)
  return view.getUint32(0) * 65_536 + view.getUint16(4)
}

/** Ids of this time and later are not below it. */
export function firstId(ms: number): Uint8Array {
  const id = new Uint8Array(16)
  const view = new DataView(id.buffer)
  const whole = Math.min(Math.max(0, Math.ceil(ms)), 2 ** 48 - 1)
  view.setUint32(0, Math.floor(whole / 65_536))
  view.setUint16(4, whole % 65_536)
  return id
}

const dayMs = 86_400_000
/** Days since 1970-01-01, UTC. */
export const dayOf = (id: Uint8Array): number => Math.floor(msOf(id) / dayMs)
export const dayText = (day: number): string => new Date(day * dayMs).toISOString().replace(/T.*/, "")
