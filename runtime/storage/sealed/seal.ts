/**
 * A sealed value: format, id of the key, nonce, ciphertext, tag. What is beside it (format, key's id, table, tenant, key) is part of the
 * tag: a value opens in its own place only. Sizes and places are not hidden; order and scans need them.
 */
import type { Place } from "../../port/place.ts"
import { newNonce, nonceBytes, tagBytes, Xaes } from "./xaes.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")

/** No text in UTF-8 has this byte before one of ASCII or another such byte: few values look sealed that are not. */
const format = 0xe1
export const idBytes = 8
const headBytes = 1 + idBytes + nonceBytes
/** Bytes that a sealed value has more than the value. */
export const sealBytes = headBytes + tagBytes

/** A key that seals: drawn, never derived, so that one made anew for the same tenant has another id. */
export interface SealingKey {
  readonly id: Uint8Array
  readonly secret: Uint8Array
  readonly cipher: Xaes
}

export const sealingKey = (id: Uint8Array, secret: Uint8Array): SealingKey => ({ id, secret, cipher: new Xaes(secret) })
export const newSealingKey = (): SealingKey => sealingKey(Uint8Array.from(randomBytes(idBytes)), Uint8Array.from(randomBytes(32)))

const tables = new Map<string, Buffer>()
function tableBytes(table: string): Buffer {
  let bytes = tables.get(table)
  if (bytes === undefined) {
    bytes = Buffer.from(table)
    tables.set(table, bytes)
  }
  return bytes
}

/** What a value is bound to: format, id of the key, table, tenant, key, each with its length. */
export function beside(id: Uint8Array, table: string, { tenant, key }: Place): Buffer {
  const name = tableBytes(table)
  const bytes = Buffer.allocUnsafe(1 + idBytes + 12 + name.length + tenant.length + key.length)
  bytes[0] = format
  bytes.set(id, 1)
  let at = 1 + idBytes
  for (const part of [name, tenant, key]) {
    bytes.writeUInt32BE(part.length, at)
    bytes.set(part, at + 4)
    at += 4 + part.length
  }
  return bytes
}

export function seal({ id, cipher }: SealingKey, table: string, place: Place, value: Uint8Array): Uint8Array {
  const nonce = newNonce()
  const [ciphertext, tag] = cipher.seal(nonce, value, beside(id, table, place))
  const sealed = new Uint8Array(sealBytes + value.length)
  sealed[0] = format
  sealed.set(id, 1)
  sealed.set(nonce, 1 + idBytes)
  sealed.set(ciphertext, headBytes)
  sealed.set(tag, headBytes + value.length)
  return sealed
}

/** Id of the key that sealed a value; undefined for what cannot be a sealed value. */
export const idOf = (value: Uint8Array): Uint8Array | undefined =>
  value.length >= sealBytes && value[0] === format ? value.subarray(1, 1 + idBytes) : undefined

export function isSameId(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < idBytes; i++) if (a[i] !== b[i]) return false
  return true
}

/** Undefined when it is not what this key sealed for this place. */
export function unseal({ id, cipher }: SealingKey, table: string, place: Place, sealed: Uint8Array): Uint8Array | undefined {
  const end = sealed.length - tagBytes
  const nonce = sealed.subarray(1 + idBytes, headBytes)
  return cipher.open(nonce, sealed.subarray(headBytes, end), sealed.subarray(end), beside(id, table, place))
}
