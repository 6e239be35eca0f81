/**
 * Append logs, as data: entries numbered 1, 2, 3 … without gaps within (tenant, key), each with the store's time. An
 * entry is never seen before the one below it. A full log refuses; nothing is dropped but what `trim` names.
 */
import type { Place } from "./place.ts"

export type LogOperation = Place &
  /** With `expect`, only if the entry gets this offset: otherwise `StorageError` `Conflict`, and nothing of the batch is kept. */
  (
    | { readonly op: "append"; readonly payload: Uint8Array; readonly expect?: bigint | undefined }
    /** Removes the entries with an offset less than `before`, those that are there. Offsets go on. */
    | { readonly op: "trim"; readonly before: bigint }
  )

export interface LogResults {
  /** The entry's offset. */
  readonly append: bigint
  /** How many entries were removed. */
  readonly trim: number
}

/**
 * Entries with an offset greater than `after`, oldest first: at most `countMax`, and no more than `bytesMax` of payloads
 * except that the first is given whatever its size.
 * @throws StorageError `Compacted` when the entry after `after` was trimmed
 */
export type LogQuestion = Place & { readonly ask: "log"; readonly after: bigint; readonly countMax: number; readonly bytesMax: number }

export interface LogEntry {
  readonly offset: bigint
  readonly payload: Uint8Array
  /** When it was appended, µs since the Unix epoch on the store's clock; never less than that of the entry below. */
  readonly appendedAtUs: number
}

export interface LogPage {
  readonly entries: ReadonlyArray<LogEntry>
  /** Offset of the oldest entry that is kept, or that the next will get. */
  readonly first: bigint
  /** Offset of the newest entry there ever was; 0 before the first. */
  readonly last: bigint
}

export interface LogAnswers {
  readonly log: LogPage
}

export const logLimits = {
  /** Bytes of one log's name, tenant included. */
  nameBytesMax: 1_024,
  /** Bytes of one entry. */
  payloadBytesMax: 1 << 20,
  /** Logs of one tenant. A log whose entries were all trimmed is still one: its offsets go on. */
  tenantLogsMax: 1_000,
  /** Entries kept in one log. */
  logEntriesMax: 1_000_000,
  /** Bytes of payloads kept in one log. */
  logBytesMax: 256 << 20,
  /** Bytes of payloads kept in all logs of one tenant. */
  tenantBytesMax: 256 << 20,
  /** Bytes of payloads kept in all logs of all tenants. */
  totalBytesMax: 1 << 30,
}
export type LogLimits = typeof logLimits
