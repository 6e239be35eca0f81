/**
 * Rewritten core modules, kept on two levels: compiled in memory, as bytes on disk. Instrumenting costs up to 100 ms
 * a megabyte and compiling most of the rest of a cold load; both are the same every time for the same key.
 *
 * The rewriter's imports stand under a module name that is random in every process, so that no guest can name them.
 * On disk that name is blank: an entry says at which offsets it stands, and loading writes this process's name there.
 */
import { type Digests, webDigests } from "./digests.ts"
import { injectedNameBytes } from "./needs.ts"
import type { Sealed } from "./sealed.ts"

const utf8 = new TextEncoder()

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
  /** Undefined for memory only. */
  readonly disk: Sealed | undefined
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

interface Kept {
  readonly module: WebAssembly.Module
  readonly notes: Json
  readonly size: number
}

/** @throws RangeError when the injected name is not `injectedNameBytes` ASCII characters */
export function createModuleCache({ memoryBytesMax, injectedName, disk, digests = webDigests }: ModuleCacheOptions): ModuleCache {
  const name = utf8.encode(injectedName)
  if (name.length !== injectedNameBytes)
    throw new RangeError(`Cannot use a name of ${name.length} bytes as the injected module name: it must have ${injectedNameBytes}`)
  // Insertion order is order of use: a hit is taken out and put back at the end.
  const kept = new Map<string, Kept>()
  const running = new Map<string, Promise<CompiledModule>>()
  const writes = new Set<Promise<void>>()
  const counts = { memoryHits: 0, diskHits: 0, misses: 0, dropped: 0, memoryBytes: 0 }
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

  async function make(key: string, rewrite: () => Rewritten | Promise<Rewritten>): Promise<CompiledModule> {
    const found = await disk?.get(key, name)
    if (found !== undefined && found !== "dropped") {
      keep(key, found.module, found.notes, found.size)
      counts.diskHits++
      return { module: found.module, notes: found.notes, from: "disk" }
    }
    if (found === "dropped") counts.dropped++
    counts.misses++
    const made = await rewrite()
    const module = await WebAssembly.compile(made.bytes as Uint8Array<ArrayBuffer>)
    keep(key, module, made.notes, made.bytes.length)
    if (disk !== undefined) {
      const write: Promise<void> = disk.put(key, made).finally(() => writes.delete(write))
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
