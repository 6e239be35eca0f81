/** The rows of usage: their tables, what each holds, and the sums by which a change in one is seen. */
import { sumOf } from "../row.ts"

/**
 * The tables of usage. A record is one row keyed by tenant and id: ids of one time lie together, so that a new one goes to the
 * end and one sent again finds itself. `docs/adr/0015-usage.md` has the figures of the other shapes.
 */
export const usageTables = `
  CREATE TABLE usage (
    tenant BLOB NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_name (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    name BLOB NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (tenant, name)
  ) STRICT;
  CREATE TABLE usage_day (
    tenant BLOB NOT NULL,
    day INTEGER NOT NULL,
    plugin INTEGER NOT NULL,
    payload BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, plugin)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_forgotten (
    tenant BLOB PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    sum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage_total (
    tenant BLOB PRIMARY KEY,
    keys INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    sums INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`

export interface UsageRow {
  readonly id: Uint8Array
  readonly payload: Uint8Array
  readonly sum: number
}

export interface DayRow {
  readonly tenant: Uint8Array
  readonly day: number
  readonly plugin: number
  readonly payload: Uint8Array
  readonly sum: number
}

/** What a row costs in the file besides its bytes: its length, its sum, its part of half-empty pages; measured. */
const rowBytes = 20
export const bytesOfRow = (tenant: Uint8Array, payload: Uint8Array): number => tenant.length + 16 + payload.length + rowBytes

const utf8 = new TextEncoder()
export const none = new Uint8Array(0)

export const sumOfRow = (tenant: Uint8Array, id: Uint8Array, payload: Uint8Array): number => sumOf({ tenant, key: id }, payload, 0)
export const sumOfName = (tenant: Uint8Array, name: Uint8Array, id: number): number => sumOf({ tenant, key: name }, none, id)
export const sumOfDay = (tenant: Uint8Array, day: number, plugin: number, payload: Uint8Array): number =>
  sumOf({ tenant, key: utf8.encode(String(plugin)) }, payload, day)
