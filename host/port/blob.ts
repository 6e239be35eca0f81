import { type Awaitable, checkLimit, type Immediate, limitsFrom, type Port, tenantOf, utf8Length } from "./port.ts"
import { SortedMap } from "./sorted-map.ts"

export interface BlobInfo {
  readonly bytes: number
  /** Milliseconds since the Unix epoch. */
  readonly createdAtMs: number
}

/**
 * Large immutable values by key (`tenantKey`): an object is replaced whole, never changed. The host's content store is
 * the objects under `contentKey(digest)`. A refused request throws `CapabilityError` `PortLimit`.
 */
export interface BlobPort extends Port {
  /** Bytes from `start` up to `end` (exclusive, clipped to the size; default whole), or undefined when there is no such object. A copy. */
  get(key: string, start?: number, end?: number): Awaitable<Uint8Array | undefined>
  put(key: string, value: Uint8Array): Awaitable<void>
  /** True when the object existed. */
  delete(key: string): Awaitable<boolean>
  info(key: string): Awaitable<BlobInfo | undefined>
  /** Up to `countMax` keys that start with `prefix` and come after `after`, in UTF-8 order. */
  list(prefix: string, after: string | undefined, countMax: number): Awaitable<ReadonlyArray<string>>
}

export const blobLimits = {
  /** Bytes of one key's UTF-8 form, tenant included. */
  keyBytesMax: 2_048,
  /** Bytes of one object. */
  objectBytesMax: 64 << 20,
  /** Objects of one tenant. */
  tenantObjectsMax: 100_000,
  /** Bytes of one tenant's objects. */
  tenantBytesMax: 256 << 20,
  /** Bytes of all tenants together. */
  totalBytesMax: 1 << 30,
}
export type BlobLimits = typeof blobLimits

/** An object store in memory, lost with the process. `nowMs` dates the objects. */
export function memoryBlob(
  options: Partial<BlobLimits> = {},
  nowMs: () => number = Date.now,
): Immediate<BlobPort> & { readonly limits: BlobLimits; readonly size: number } {
  const limits = limitsFrom("blob", blobLimits, options)
  const objects = new SortedMap<{ readonly value: Uint8Array; readonly createdAtMs: number }>()
  const usage = new Map<string, { objects: number; bytes: number }>()
  let totalBytes = 0
  return {
    limits,
    get size() {
      return objects.size
    },
    get: (key, start = 0, end) => objects.get(key)?.value.slice(start, end),
    put(key, value) {
      checkLimit("blob", "keyBytesMax", "bytes", limits.keyBytesMax, utf8Length(key))
      checkLimit("blob", "objectBytesMax", "bytes", limits.objectBytesMax, value.length)
      const tenant = tenantOf(key)
      const used = usage.get(tenant) ?? { objects: 0, bytes: 0 }
      const old = objects.get(key)
      const grown = value.length - (old?.value.length ?? 0)
      if (old === undefined) checkLimit("blob", "tenantObjectsMax", "objects", limits.tenantObjectsMax, used.objects + 1)
      checkLimit("blob", "tenantBytesMax", "bytes", limits.tenantBytesMax, used.bytes + grown)
      checkLimit("blob", "totalBytesMax", "bytes", limits.totalBytesMax, totalBytes + grown)
      objects.set(key, { value: Uint8Array.from(value), createdAtMs: nowMs() })
      if (old === undefined) used.objects++
      used.bytes += grown
      totalBytes += grown
      usage.set(tenant, used)
    },
    delete(key) {
      const old = objects.get(key)
      if (old === undefined) return false
      objects.delete(key)
      const tenant = tenantOf(key)
      const used = usage.get(tenant) as { objects: number; bytes: number }
      used.bytes -= old.value.length
      totalBytes -= old.value.length
      if (--used.objects === 0) usage.delete(tenant)
      return true
    },
    info(key) {
      const object = objects.get(key)
      return object === undefined ? undefined : { bytes: object.value.length, createdAtMs: object.createdAtMs }
    },
    list: (prefix, after, countMax) => objects.keys(prefix, after, countMax),
  }
}
