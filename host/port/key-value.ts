import { type Awaitable, checkLimit, type Immediate, limitsFrom, type Port, tenantOf, utf8Length } from "./port.ts"
import { SortedMap } from "./sorted-map.ts"

/** A value with the version that `swap` compares. */
export interface Versioned {
  readonly value: Uint8Array
  /** Greater after every write of the key; never reused, also not after a deletion. */
  readonly version: number
}

/**
 * Small values by key. Keys are strings ordered by the memcmp of their UTF-8 form, made by `tenantKey`; values are
 * copied in and out. Every method is atomic by itself. A refused request throws `CapabilityError` `PortLimit`.
 */
export interface KeyValuePort extends Port {
  get(key: string): Awaitable<Uint8Array | undefined>
  getVersioned(key: string): Awaitable<Versioned | undefined>
  set(key: string, value: Uint8Array): Awaitable<void>
  /** True when the key existed. */
  delete(key: string): Awaitable<boolean>
  has(key: string): Awaitable<boolean>
  /** Up to `countMax` keys that start with `prefix` and come after `after`, in key order. */
  list(prefix: string, after: string | undefined, countMax: number): Awaitable<ReadonlyArray<string>>
  /** Writes if the key still has this version (`undefined`: still does not exist); false, and nothing written, otherwise. */
  swap(key: string, version: number | undefined, value: Uint8Array): Awaitable<boolean>
  /**
   * Adds `delta` to the value read as a decimal integer in ASCII (absent: 0) and writes the sum back in that form.
   * Throws `CounterError`, and writes nothing, when the value is not an integer or the sum leaves `min` to `max`.
   */
  increment(key: string, delta: bigint, min: bigint, max: bigint): Awaitable<bigint>
}

/** `increment` met a value that is not a counter, or would leave the counter's range. */
export class CounterError extends Error {
  override readonly name = "CounterError"
}

export const keyValueLimits = {
  /** Bytes of one key's UTF-8 form, tenant included. */
  keyBytesMax: 2_048,
  /** Bytes of one value. */
  valueBytesMax: 1 << 20,
  /** Keys of one tenant. */
  tenantKeysMax: 100_000,
  /** Bytes of one tenant's keys and values. */
  tenantBytesMax: 64 << 20,
  /** Bytes of all tenants together. */
  totalBytesMax: 256 << 20,
}
export type KeyValueLimits = typeof keyValueLimits

/** A decimal integer of at most 20 digits, the most that s64 and u64 need. */
const counter = /^-?[0-9]{1,20}$/

/** Reads a counter for `increment`; shared with other layers so that all agree on the form. */
export function readCounter(value: Uint8Array | undefined): bigint {
  if (value === undefined) return 0n
  const text = value.length <= 21 ? String.fromCharCode(...value) : ""
  if (!counter.test(text)) throw new CounterError("Cannot increment the value: it is not a decimal integer")
  return BigInt(text)
}

/** Adds within the range; shared with other layers. */
export function addCounter(current: bigint, delta: bigint, min: bigint, max: bigint): bigint {
  const sum = current + delta
  if (sum < min || sum > max) throw new CounterError(`Cannot increment the value beyond ${sum < min ? min : max}: it would be ${sum}`)
  return sum
}

interface Usage {
  keys: number
  bytes: number
}

/** A key-value store in memory, lost with the process. Limits are checked before anything changes. */
export function memoryKeyValue(options: Partial<KeyValueLimits> = {}): Immediate<KeyValuePort> & { readonly limits: KeyValueLimits; readonly size: number } {
  const limits = limitsFrom("keyValue", keyValueLimits, options)
  const entries = new SortedMap<{ value: Uint8Array; version: number }>()
  const usage = new Map<string, Usage>()
  let totalBytes = 0
  let clock = 0

  function write(key: string, value: Uint8Array): void {
    const keyBytes = utf8Length(key)
    checkLimit("keyValue", "keyBytesMax", "bytes", limits.keyBytesMax, keyBytes)
    checkLimit("keyValue", "valueBytesMax", "bytes", limits.valueBytesMax, value.length)
    const tenant = tenantOf(key)
    const used = usage.get(tenant) ?? { keys: 0, bytes: 0 }
    const old = entries.get(key)
    const grown = value.length - (old === undefined ? -keyBytes : old.value.length)
    if (old === undefined) checkLimit("keyValue", "tenantKeysMax", "keys", limits.tenantKeysMax, used.keys + 1)
    checkLimit("keyValue", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
    checkLimit("keyValue", "totalBytesMax", "bytes", limits.totalBytesMax, totalBytes + grown)
    entries.set(key, { value: Uint8Array.from(value), version: ++clock })
    if (old === undefined) used.keys++
    used.bytes += grown
    totalBytes += grown
    usage.set(tenant, used)
  }

  return {
    limits,
    get size() {
      return entries.size
    },
    get: (key) => entries.get(key)?.value.slice(),
    getVersioned(key) {
      const entry = entries.get(key)
      return entry === undefined ? undefined : { value: entry.value.slice(), version: entry.version }
    },
    set: write,
    delete(key) {
      const old = entries.get(key)
      if (old === undefined) return false
      entries.delete(key)
      const tenant = tenantOf(key)
      const used = usage.get(tenant) as Usage
      const bytes = old.value.length + utf8Length(key)
      used.bytes -= bytes
      totalBytes -= bytes
      if (--used.keys === 0) usage.delete(tenant)
      return true
    },
    has: (key) => entries.get(key) !== undefined,
    list: (prefix, after, countMax) => entries.keys(prefix, after, countMax),
    swap(key, version, value) {
      if (entries.get(key)?.version !== version) return false
      write(key, value)
      return true
    },
    increment(key, delta, min, max) {
      const sum = addCounter(readCounter(entries.get(key)?.value), delta, min, max)
      write(key, new TextEncoder().encode(sum.toString()))
      return sum
    },
  }
}
