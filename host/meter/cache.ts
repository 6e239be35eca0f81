/**
 * Rewritten core modules, kept on two levels: compiled in memory, as bytes on disk. Instrumenting costs up to 100 ms
 * a megabyte and compiling most of the rest of a cold load; both are the same every time for the same key.
 *
 * The rewriter's imports stand under a module name that is random in every process, so that no guest can name them.
 * On disk that name is blank: an entry says at which offsets it stands, and loading writes this process's name there.
 */
import type { CacheStore } from "../platform/platform.ts"

/** Bytes of the injected module name: 16 random bytes in base64url. Fixed, so that it can be overwritten in place. */
export const injectedNameBytes = 22

/** Everything that the rewritten bytes depend on. Two modules that agree in all of it are the same. */
export interface RewriteKey {
  /** SHA-256 of the core module as it stands in the component, lowercase hex. */
  readonly coreDigest: string
  /** Metering tier and mechanism: `deadline-epoch`, `deadline-slice`, `fuel`, `yield`, `off`. */
  readonly tier: string
  readonly costTableVersion: number
  readonly instrumenterVersion: number
  /** Pages; the maximum written into the binary. */
  readonly memoryPagesMax: number
  /** Elements; the maximum written into the binary. */
  readonly tableElementsMax: number
  /** Features accepted or lowered, in any order. */
  readonly features: ReadonlyArray<string>
  /** Further options that change the result (`stackBytesMax`, a module's place in the component), by name. */
  readonly options?: Readonly<Record<string, string | number | boolean>>
}

/** What the rewriter made of one core module. */
export interface Rewritten {
  readonly bytes: Uint8Array
  /** Where in `bytes` the injected module name stands, `injectedNameBytes` long at each. */
  readonly nameOffsets: ReadonlyArray<number>
  /** What else the linker must know of the result, as JSON: kept with the bytes. */
  readonly notes: Json
}

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [name: string]: Json }

/** A module ready to instantiate. */
export interface CompiledModule {
  readonly module: WebAssembly.Module
  readonly notes: Json
  readonly from: "memory" | "disk" | "rewriter"
}

export interface ModuleCacheOptions {
  /** Bytes of modules kept compiled, counted as their binary size; suggested 256 MiB. 0 keeps none. */
  readonly memoryBytesMax: number
  /** This process's injected module name, `injectedNameBytes` ASCII characters. */
  readonly injectedName: string
  /** The disk, or undefined for memory only. */
  readonly store: CacheStore | undefined
  /** Default: WebCrypto's. */
  readonly digests?: Digests
}

export interface ModuleCacheCounts {
  readonly memoryHits: number
  readonly diskHits: number
  readonly misses: number
  /** Disk entries dropped because they were damaged, forged, or of another key. */
  readonly dropped: number
  /** Bytes held in memory. */
  readonly memoryBytes: number
}

export interface ModuleCache {
  /**
   * The compiled module of `key`, from memory, else from disk, else from `rewrite`. Concurrent calls with one key share
   * one answer. Whatever is wrong with the disk is a miss; errors of `rewrite` and of compiling its result are thrown.
   */
  compile(key: RewriteKey, rewrite: () => Rewritten | Promise<Rewritten>): Promise<CompiledModule>
  /** Resolves when every entry begun has been written or given up; the host awaits it on `close`. */
  flush(): Promise<void>
  readonly counts: ModuleCacheCounts
}

const utf8 = new TextEncoder()
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")

/** Bytes WebCrypto accepts: not those of a shared buffer, and not a whole buffer where a part is meant. */
const plain = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => bytes as Uint8Array<ArrayBuffer>

/** The key as text: each field with its name, sorted lists, so that no two keys read alike. */
export const keyText = (key: RewriteKey): string =>
  JSON.stringify([
    "stele-rewrite",
    key.coreDigest,
    key.tier,
    key.costTableVersion,
    key.instrumenterVersion,
    key.memoryPagesMax,
    key.tableElementsMax,
    key.features.toSorted(),
    Object.entries(key.options ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ])

/** SHA-256 of `keyText`, lowercase hex: the entry's name. */
export const cacheKey = async (key: RewriteKey, digests: Digests = webDigests): Promise<string> => digests.sha256(utf8.encode(keyText(key)))

/** SHA-256 as lowercase hex, and HMAC-SHA-256. A platform's own may be at hand sooner than WebCrypto, which takes 6 ms to load on Node. */
export interface Digests {
  sha256(bytes: Uint8Array): Promise<string>
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Promise<Uint8Array>
}

export const webDigests: Digests = {
  sha256: async (bytes) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", plain(bytes)))),
  async hmacSha256(key, bytes) {
    const hmac = await crypto.subtle.importKey("raw", plain(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"])
    return new Uint8Array(await crypto.subtle.sign("HMAC", hmac, plain(bytes)))
  },
}

/** Compares in time that depends on the lengths only. */
function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] ?? 0)
  return difference === 0
}

// An entry: magic (8) | u32 header length, little-endian | header, JSON {offsets, notes} | module with blank names |
// HMAC-SHA-256 (32) over the key's hex and everything before, so that an entry cannot be moved under another key.
const magic = utf8.encode("STELEMC1")
const macBytes = 32

type Hmac = (bytes: Uint8Array) => Promise<Uint8Array>

/** `text ‖ bytes`, for one pass of the HMAC. */
function keyed(text: string, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(text.length + bytes.length)
  out.set(utf8.encode(text))
  out.set(bytes, text.length)
  return out
}

/** Seals a rewritten module as a disk entry; the injected name is blanked in a copy. */
export async function seal(hmac: Hmac, key: string, { bytes, nameOffsets, notes }: Rewritten): Promise<Uint8Array> {
  const header = utf8.encode(JSON.stringify({ offsets: nameOffsets, notes }))
  const start = magic.length + 4 + header.length
  const entry = new Uint8Array(start + bytes.length + macBytes)
  entry.set(magic)
  new DataView(entry.buffer).setUint32(magic.length, header.length, true)
  entry.set(header, magic.length + 4)
  entry.set(bytes, start)
  for (const offset of nameOffsets) entry.fill(0, start + offset, start + offset + injectedNameBytes)
  const end = entry.length - macBytes
  entry.set(await hmac(keyed(key, entry.subarray(0, end))), end)
  return entry
}

/** Opens a disk entry and writes `injectedName` where it belongs; undefined when anything about it is wrong. */
export async function open(hmac: Hmac, key: string, entry: Uint8Array, injectedName: Uint8Array): Promise<Rewritten | undefined> {
  const end = entry.length - macBytes
  const headerAt = magic.length + 4
  if (end < headerAt || magic.some((byte, i) => entry[i] !== byte)) return undefined
  // After this every byte is one that this installation wrote.
  if (!isEqual(await hmac(keyed(key, entry.subarray(0, end))), entry.subarray(end))) return undefined
  const headerLength = new DataView(entry.buffer, entry.byteOffset).getUint32(magic.length, true)
  const header = JSON.parse(new TextDecoder().decode(entry.subarray(headerAt, headerAt + headerLength))) as {
    readonly offsets: ReadonlyArray<number>
    readonly notes: Json
  }
  const bytes = entry.slice(headerAt + headerLength, end)
  for (const offset of header.offsets) bytes.set(injectedName, offset)
  return { bytes, nameOffsets: header.offsets, notes: header.notes }
}

interface Kept {
  readonly module: WebAssembly.Module
  readonly notes: Json
  readonly size: number
}

/** @throws RangeError when the injected name is not `injectedNameBytes` ASCII characters */
export function createModuleCache({ memoryBytesMax, injectedName, store, digests = webDigests }: ModuleCacheOptions): ModuleCache {
  const name = utf8.encode(injectedName)
  if (name.length !== injectedNameBytes)
    throw new RangeError(`Cannot use a name of ${name.length} bytes as the injected module name: it must have ${injectedNameBytes}`)
  // Insertion order is order of use: a hit is taken out and put back at the end.
  const kept = new Map<string, Kept>()
  const running = new Map<string, Promise<CompiledModule>>()
  const writes = new Set<Promise<void>>()
  const counts = { memoryHits: 0, diskHits: 0, misses: 0, dropped: 0, memoryBytes: 0 }
  const hmacOf =
    (disk: CacheStore): Hmac =>
    (bytes) =>
      digests.hmacSha256(disk.secret, bytes)

  function keep(key: string, module: WebAssembly.Module, notes: Json, size: number): void {
    if (size > memoryBytesMax) return
    kept.set(key, { module, notes, size })
    counts.memoryBytes += size
    for (const [oldest, { size: freed }] of kept) {
      if (counts.memoryBytes <= memoryBytesMax) break
      kept.delete(oldest)
      counts.memoryBytes -= freed
    }
  }

  async function fromDisk(disk: CacheStore, key: string): Promise<CompiledModule | undefined> {
    try {
      const entry = await disk.get(key)
      if (entry === undefined) return undefined
      const found = await open(hmacOf(disk), key, entry, name)
      if (found !== undefined) {
        const module = await WebAssembly.compile(plain(found.bytes))
        keep(key, module, found.notes, found.bytes.length)
        counts.diskHits++
        return { module, notes: found.notes, from: "disk" }
      }
    } catch {
      // Sealed by this installation and yet not compiled: another engine wrote it, with features that this one lacks.
    }
    counts.dropped++
    await disk.drop(key).catch(() => undefined)
    return undefined
  }

  async function toDisk(disk: CacheStore, key: string, made: Rewritten): Promise<void> {
    try {
      await disk.put(key, await seal(hmacOf(disk), key, made))
    } catch {
      // The next process rewrites again.
    }
  }

  async function make(key: string, rewrite: () => Rewritten | Promise<Rewritten>): Promise<CompiledModule> {
    const found = store === undefined ? undefined : await fromDisk(store, key)
    if (found !== undefined) return found
    counts.misses++
    const made = await rewrite()
    const module = await WebAssembly.compile(plain(made.bytes))
    keep(key, module, made.notes, made.bytes.length)
    if (store !== undefined) {
      const write: Promise<void> = toDisk(store, key, made).finally(() => writes.delete(write))
      writes.add(write)
    }
    return { module, notes: made.notes, from: "rewriter" }
  }

  return {
    async compile(fields, rewrite) {
      const key = await cacheKey(fields, digests)
      const hit = kept.get(key)
      if (hit !== undefined) {
        kept.delete(key)
        kept.set(key, hit)
        counts.memoryHits++
        return { module: hit.module, notes: hit.notes, from: "memory" }
      }
      const shared = running.get(key)
      if (shared !== undefined) return shared
      const promise = make(key, rewrite).finally(() => running.delete(key))
      running.set(key, promise)
      return promise
    },
    async flush() {
      while (writes.size > 0) await Promise.all(writes)
    },
    counts,
  }
}
