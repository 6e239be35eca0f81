/** The rows of usage, in every database alike: what each holds, the sums by which a change in one is seen, their order in an export. */
import type { TenantRecord } from "../port/tenant.ts"

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

/** What a row costs in a file besides its bytes: its length, its sum, its part of half-empty pages; measured. */
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

/** An export's kinds of records, in their order: how far retention went, the roll-ups, the records. */
export const kinds = { forgotten: 0, day: 1, record: 2 }

export const orderOfForgotten = Uint8Array.of(kinds.forgotten)
export const orderOfRecord = (id: Uint8Array): Uint8Array => Buffer.concat([Uint8Array.of(kinds.record), id])
/** A day and the plugin's name: numbers of names are a store's own. */
export function orderOfDay(day: number, plugin: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(5)
  bytes[0] = kinds.day
  bytes.writeUInt32BE(day, 1)
  return Buffer.concat([bytes, plugin])
}
export const byOrder = (a: TenantRecord, b: TenantRecord): number => Buffer.compare(a.order, b.order)
