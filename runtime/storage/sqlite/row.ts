/** What rows of every table share: a place under a tenant, and a sum over everything in the row. */
import { ConfigError } from "../../../schemas/error/config.ts"

const { crc32 } = process.getBuiltinModule("node:zlib")

/** Where a row is: the tenant's part of a port's key, and the rest. UTF-8. */
export interface Place {
  readonly tenant: Uint8Array
  readonly key: Uint8Array
}

const utf8 = new TextEncoder()

/** A port's key, `tenant/name`, as bytes. Half a surrogate pair would become U+FFFD: two keys would be one. */
export function placeOf(key: string): Place {
  if (!key.isWellFormed()) throw new ConfigError("Option", { option: "key", expected: "well-formed text", actual: "half a surrogate pair" })
  const slash = key.indexOf("/")
  if (slash < 0) throw new ConfigError("Option", { option: "key", expected: "a tenant, a slash and a name", actual: JSON.stringify(key.slice(0, 100)) })
  return { tenant: utf8.encode(key.slice(0, slash)), key: utf8.encode(key.slice(slash + 1)) }
}

/** A byte order mark at the start of a key belongs to it. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
/** A key's bytes as text again. */
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes)

/** What a key counts against a quota: all of it, tenant and slash included. */
export const bytesOf = ({ tenant, key }: Place): number => tenant.length + 1 + key.length

/** CRC-32 over the lengths, the number and the bytes of a row: nothing of it can change, or move to another key, unseen. */
export function sumOf({ tenant, key }: Place, value: Uint8Array, number: number): number {
  const head = new DataView(new ArrayBuffer(20))
  head.setUint32(0, tenant.length)
  head.setUint32(4, key.length)
  head.setUint32(8, value.length)
  head.setBigUint64(12, BigInt(number))
  return crc32(value, crc32(key, crc32(tenant, crc32(head))))
}

/** A caller's count as a LIMIT: a negative one is no limit to SQLite, and a fraction an error. */
export const rowsMax = (count: number): number => (count > 0 ? Math.min(Math.ceil(count), Number.MAX_SAFE_INTEGER) : 0)
