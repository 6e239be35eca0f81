/** A tenant's data keys, and what a store says of itself: records of fixed form, each a value sealed by a master key. */
import { checkLimit } from "../../../host/port/port.ts"
import { idBytes, newSealingKey, sealBytes, type SealingKey, sealingKey } from "./seal.ts"
import { keyBytes } from "./xaes.ts"

export interface DataKey extends SealingKey {
  /** Milliseconds since the Unix epoch, on the clock of the process that made it. */
  readonly createdAtMs: number
}

export interface Ring {
  /** Newest first: the first one seals, the others are there to open what they sealed. Never empty. */
  readonly keys: readonly [DataKey, ...ReadonlyArray<DataKey>]
  /**
   * What makes fingerprints of jobs, which must be the same after a rotation: drawn with the first key, exchanged with none. It seals nothing.
   * Undefined where the keys are from before there were any.
   */
  readonly print: Uint8Array | undefined
  /** Values with a version up to this may have been written before the store was sealed; undefined: none was. */
  readonly plainUpTo: number | undefined
}

/** Data keys of one tenant at a time: as many rotations as may go without a reseal. */
export const tenantKeysMax = 64

/** Without a key for fingerprints, and with one. */
const formats = [1, 2] as const
const stateFormat = 1
const headBytes = 1 + 8 + 2
const entryBytes = idBytes + keyBytes + 8
/** Bytes that a tenant's one data key takes in the store, its place not counted. */
export const ringBytes = sealBytes + headBytes + keyBytes + entryBytes
/** The same for as many keys as there may be. */
export const ringBytesMax = sealBytes + headBytes + keyBytes + entryBytes * tenantKeysMax
/** Bytes of what a store says of itself. */
export const stateBytes = sealBytes + 9

export const newDataKey = (): DataKey => ({ ...newSealingKey(), createdAtMs: Date.now() })
export const newPrint = (): Uint8Array => Uint8Array.from(process.getBuiltinModule("node:crypto").randomBytes(keyBytes))
export const newRing = (plainUpTo: number | undefined): Ring => ({ keys: [newDataKey()], print: newPrint(), plainUpTo })

/** With another key in front. @throws CapabilityError `PortLimit` */
export function rotated({ keys, ...ring }: Ring): Ring {
  checkLimit("storageKey", "tenantKeysMax", "keys", tenantKeysMax, keys.length + 1)
  return { ...ring, keys: [newDataKey(), ...keys] }
}

/** No revision is as great as this. */
const none = 0xffff_ffff_ffff_ffffn
const revisionOf = (stored: bigint): number | undefined => (stored === none ? undefined : Number(stored))

export function encodeRing({ keys, print, plainUpTo }: Ring): Uint8Array {
  const printBytes = print === undefined ? 0 : keyBytes
  const bytes = new Uint8Array(headBytes + printBytes + entryBytes * keys.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = formats[print === undefined ? 0 : 1]
  view.setBigUint64(1, plainUpTo === undefined ? none : BigInt(plainUpTo))
  view.setUint16(9, keys.length)
  if (print !== undefined) bytes.set(print, headBytes)
  for (const [i, { id, secret, createdAtMs }] of keys.entries()) {
    const at = headBytes + printBytes + entryBytes * i
    bytes.set(id, at)
    bytes.set(secret, at + idBytes)
    view.setBigUint64(at + idBytes + keyBytes, BigInt(createdAtMs))
  }
  return bytes
}

/** Undefined for what no version up to this one has written. */
export function decodeRing(bytes: Uint8Array): Ring | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const printBytes = bytes[0] === formats[1] ? keyBytes : 0
  const first = headBytes + printBytes
  if (!formats.includes(bytes[0] as 1) || bytes.length < first + entryBytes || bytes.length !== first + entryBytes * view.getUint16(9)) return undefined
  const keys = Array.from({ length: view.getUint16(9) }, (_, i): DataKey => {
    const at = first + entryBytes * i
    const key = sealingKey(bytes.slice(at, at + idBytes), bytes.slice(at + idBytes, at + idBytes + keyBytes))
    return { ...key, createdAtMs: Number(view.getBigUint64(at + idBytes + keyBytes)) }
  })
  const print = printBytes === 0 ? undefined : bytes.slice(headBytes, first)
  return { keys: keys as unknown as Ring["keys"], print, plainUpTo: revisionOf(view.getBigUint64(1)) }
}

/** What a store says of itself. */
export interface SealedState {
  /** Tenants without keys of their own may have values up to this revision that were written before; undefined: none has. */
  readonly plainUpTo: number | undefined
}

export function encodeState({ plainUpTo }: SealedState): Uint8Array {
  const bytes = new Uint8Array(9)
  bytes[0] = stateFormat
  new DataView(bytes.buffer).setBigUint64(1, plainUpTo === undefined ? none : BigInt(plainUpTo))
  return bytes
}

export function decodeState(bytes: Uint8Array): SealedState | undefined {
  if (bytes[0] !== stateFormat || bytes.length !== 9) return undefined
  return { plainUpTo: revisionOf(new DataView(bytes.buffer, bytes.byteOffset, 9).getBigUint64(1)) }
}
