/** Where something of a tenant is kept, whatever keeps it. */
import { ConfigError } from "../../schemas/error/config.ts"

/** A tenant's name, UTF-8. */
export interface OfTenant {
  readonly tenant: Uint8Array
}

/** The tenant's part of a port's key, and the rest. UTF-8; ordered as bytes, so that every store agrees on the order. */
export interface Place extends OfTenant {
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
