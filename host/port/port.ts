/**
 * What all ports share: a method answers now or later, a key carries its tenant, and what is over a limit is refused by
 * name. A port is a plain object; the Effect services over the same interfaces are in `host/port/layer.ts`.
 */
import { CapabilityError, ConfigError } from "../../schemas/error/mod.ts"

/** A port may answer at once (memory, SQLite) or later (network); what can wait for it is decided when linking. */
export type Awaitable<A> = A | Promise<A>

export interface Port {
  /** True when any method may return a promise: a guest that cannot wait is then refused at link time. Absent means never. */
  readonly isAsync?: boolean
}

/** A port whose methods all answer at once, as the memory ones do. */
export type Immediate<P> = { readonly [K in keyof P]: P[K] extends (...args: infer A) => infer R ? (...args: A) => Exclude<R, Promise<unknown>> : P[K] }

/**
 * The key that a port sees for a name of a tenant. The tenant comes first with "/" escaped, so no choice of name
 * reaches another tenant's keys. The empty tenant is the host's own (content store); plugins never run under it.
 */
export const tenantKey = (tenant: string, name: string): string => tenantPrefix(tenant) + name

const prefixes = new Map<string, string>()

/** Everything before the name in `tenantKey`: ends in the key's first "/". */
export function tenantPrefix(tenant: string): string {
  let prefix = prefixes.get(tenant)
  if (prefix === undefined) {
    prefix = `${tenant.replaceAll("%", "%25").replaceAll("/", "%2F")}/`
    // Tenants are few next to calls; a host with very many just escapes again.
    if (prefixes.size >= 4096) prefixes.clear()
    prefixes.set(tenant, prefix)
  }
  return prefix
}

/** The tenant part of a key, for per-tenant quotas. */
export const tenantOf = (key: string): string => key.slice(0, key.indexOf("/") + 1)

/** Name of the content-addressed object of a digest `sha256:…`, under the host's own tenant: `blob.get(contentKey(digest))`. */
export const contentKey = (digest: string): string => tenantKey("", digest.replace(":", "/"))

/**
 * Order of strings by the bytes of their UTF-8 form (memcmp). Code unit order differs from it only where one side has a
 * surrogate and the other a unit from U+E000 up; moving surrogates above those repairs it.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}
const rank = (unit: number): number => (unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800)

/** Length of a string's UTF-8 form in bytes, without encoding it. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    bytes += unit < 0x800 ? 1 : 2
    // A pair is 4 bytes for its 2 units; a lone half becomes U+FFFD, 3 bytes.
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++
  }
  return bytes
}

/** Parts as one. */
export function joined(parts: ReadonlyArray<Uint8Array>): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Refuses `actual` over a port's limit, with an error that names both. */
export function checkLimit(port: string, limit: string, unit: string, max: number, actual: number): void {
  if (actual > max) throw new CapabilityError("PortLimit", { port, limit, unit, max, actual })
}

/** Is this a port's refusal of one request, which a guest may be told as its interface's error instead of being stopped? */
export const isPortLimit = (error: unknown): error is CapabilityError => error instanceof CapabilityError && error.reason._tag === "PortLimit"

/** Options over defaults; an unknown key or a value that is not a number ≥ 0 is a `ConfigError`. */
export function limitsFrom<L extends Readonly<Record<string, number>>>(port: string, defaults: L, given: Partial<L> = {}): L {
  const limits: Record<string, number> = { ...defaults }
  for (const [key, value] of Object.entries(given)) {
    if (!Object.hasOwn(defaults, key)) throw new ConfigError("UnknownOption", { option: `${port}.${key}`, known: Object.keys(defaults) })
    if (value === undefined) continue
    if (typeof value !== "number" || !(value >= 0))
      throw new ConfigError("Option", { option: `${port}.${key}`, expected: "a number ≥ 0", actual: String(value) })
    limits[key] = value
  }
  return limits as unknown as L
}
