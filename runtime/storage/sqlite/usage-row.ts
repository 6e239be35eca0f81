/** The rows of usage: their tables, what each holds, and the sums by which a change in one is seen. */

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

export const none = new Uint8Array(0)

const { crc32 } = process.getBuiltinModule("node:zlib")
/** One call for all of a row costs a third of one for each part of it, and there is one for each row read. */
let scratch = Buffer.alloc(8_192)

/** CRC-32 over a row's parts with their lengths and its number: nothing of it can change, or move to another key, unseen. */
function sumOfParts(tenant: Uint8Array, key: Uint8Array, payload: Uint8Array, number: number): number {
  const length = 20 + tenant.length + key.length + payload.length
  if (length > scratch.length) scratch = Buffer.alloc(2 * length)
  scratch.writeUInt32LE(tenant.length, 0)
  scratch.writeUInt32LE(key.length, 4)
  scratch.writeUInt32LE(payload.length, 8)
  scratch.writeUInt32LE(Math.floor(number / 0x1_0000_0000), 12)
  scratch.writeUInt32LE(number >>> 0, 16)
  scratch.set(tenant, 20)
  scratch.set(key, 20 + tenant.length)
  scratch.set(payload, 20 + tenant.length + key.length)
  return crc32(scratch.subarray(0, length))
}

export const sumOfRow = (tenant: Uint8Array, id: Uint8Array, payload: Uint8Array): number => sumOfParts(tenant, id, payload, 0)
export const sumOfName = (tenant: Uint8Array, name: Uint8Array, id: number): number => sumOfParts(tenant, name, none, id)
/** A day and a plugin's number in one: both are far below 2^26. */
export const sumOfDay = (tenant: Uint8Array, day: number, plugin: number, payload: Uint8Array): number =>
  sumOfParts(tenant, none, payload, day * 0x400_0000 + plugin)
