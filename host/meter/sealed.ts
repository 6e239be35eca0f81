/** Rewritten modules on disk, sealed so that only what this installation wrote is ever compiled. Only where there is a disk to keep them on. */
import type { CacheStore } from "../platform/platform.ts"
import type { Json, Rewritten } from "./cache.ts"
import type { Digests } from "./digests.ts"
import { injectedNameBytes } from "./needs.ts"

const utf8 = new TextEncoder()

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

/** What a disk entry holds, compiled. */
export interface FromDisk {
  readonly module: WebAssembly.Module
  readonly notes: Json
  /** Of the binary. */
  readonly size: number
}

export interface Sealed {
  /** Undefined when there is none; "dropped" when there was one and anything about it was wrong. */
  get(key: string, injectedName: Uint8Array): Promise<FromDisk | "dropped" | undefined>
  /** Seals and writes. What fails is a write that did not happen: the next process rewrites again. */
  put(key: string, made: Rewritten): Promise<void>
}

export function sealedIn(store: CacheStore, digests: Digests): Sealed {
  const hmac: Hmac = (bytes) => digests.hmacSha256(store.secret, bytes)
  return {
    async get(key, injectedName) {
      try {
        const entry = await store.get(key)
        if (entry === undefined) return undefined
        const found = await open(hmac, key, entry, injectedName)
        if (found !== undefined)
          return { module: await WebAssembly.compile(found.bytes as Uint8Array<ArrayBuffer>), notes: found.notes, size: found.bytes.length }
      } catch {
        // Sealed by this installation and yet not compiled: another engine wrote it, with features that this one lacks.
      }
      await store.drop(key).catch(() => undefined)
      return "dropped"
    },
    async put(key, made) {
      try {
        await store.put(key, await seal(hmac, key, made))
      } catch {
        // The next process rewrites again.
      }
    },
  }
}
