/**
 * Garbage: objects that nobody refers to. Whoever keeps an object begins its grace time anew, durably, before the reference is written, so what is old
 * and has no reference gets none any more, whoever writes meanwhile. First an index says which objects those may be, then every
 * reference is read to prove it, and the store of objects removes what is still as old under its own lock. Killed at any moment, it has removed garbage or
 * nothing; in two processes at once, each piece once.
 */
import { StorageError } from "../../schemas/error/storage.ts"
import type { Collected, Digest, ObjectStore } from "../port/object.ts"
import type { Store } from "../port/store.ts"
import { originOf } from "../storage/move/journal.ts"
import { keepReferred } from "./reference-proof.ts"

/** Age in ms from which an object without a reference is garbage: 24 h. */
export const graceMsDefault = 86_400_000
/** Objects that one collection takes up; what is left is for the next. */
const deadMax = 100_000
/** Digests of one question: so long a guest on the same thread waits. */
const pageRows = 100

export interface GarbageOptions {
  /** Age in ms from which an object without a reference, and an upload without progress, is removed. Default `graceMsDefault`. */
  readonly graceMs?: number
  /** Count what would be removed, and remove nothing. Uploads are not counted. */
  readonly isDryRun?: boolean
  /** Lets others go on; called between steps of a millisecond or so. May throw to end it. */
  readonly pause?: () => Promise<void>
}

export interface Garbage extends Collected {
  /** False when there may be more: it was too much for once, or references changed all the time. */
  readonly isComplete: boolean
}

const { setTimeout } = process.getBuiltinModule("node:timers")
const breath = (): Promise<void> => new Promise((resume) => void setTimeout(resume, 1))

const unlinked = async (store: Store, digests: ReadonlyArray<Digest>): Promise<ReadonlyArray<Digest>> => {
  const linked = await store.ask({ ask: "linked", digests: digests.map((digest) => new Uint8Array(Buffer.from(digest, "hex"))) })
  // Anything but a clear no keeps it.
  return digests.filter((_, i) => linked[i] === false)
}

/** An object whose row is damaged is left to `check()`. */
async function sizeOf(objects: ObjectStore, digest: Digest, beforeMs: number): Promise<number | undefined> {
  try {
    const found = await objects.info(digest)
    return found === undefined || found.touchedAtMs > beforeMs ? undefined : found.bytes
  } catch (error) {
    if (error instanceof StorageError && error.reason._tag === "Damaged") return undefined
    throw error
  }
}

/**
 * Removes objects that nobody refers to, once their grace time is over.
 * @throws StorageError `Corrupt` when references are not what was written: then nothing is removed; `Moving`; `Role` on a store that was opened for one
 * tenant at a time; ConfigError; whatever the stores throw
 */
export async function collectGarbage(
  store: Store,
  objects: ObjectStore,
  { graceMs = graceMsDefault, isDryRun = false, pause = breath }: GarbageOptions = {},
): Promise<Garbage> {
  const from = await originOf(store)
  // Its objects come before their references.
  if (from !== undefined) throw new StorageError("Moving", { store: store.name, from })
  const beforeMs = Date.now() - graceMs
  const sizes = new Map<Digest, number>()
  for (let after: Digest | undefined; sizes.size < deadMax;) {
    const page = await objects.list(after, pageRows)
    for (const digest of await unlinked(store, page)) {
      const bytes = await sizeOf(objects, digest, beforeMs)
      if (bytes !== undefined) sizes.set(digest, bytes)
    }
    after = page.at(-1)
    if (after === undefined) break
    await pause()
  }
  const dead = new Set(sizes.keys())
  const isProved = dead.size === 0 || (await keepReferred(store, dead, pause))
  if (!isProved) dead.clear()
  const isComplete = isProved && sizes.size < deadMax
  if (isDryRun) return { objects: dead.size, bytes: dead.values().reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0), uploads: 0, isComplete }
  const isLive = async (digests: ReadonlyArray<Digest>): Promise<ReadonlyArray<boolean>> => {
    const asked = digests.filter((digest) => dead.has(digest))
    const gone = new Set<Digest>()
    for (let at = 0; at < asked.length; at += pageRows) {
      for (const digest of await unlinked(store, asked.slice(at, at + pageRows))) gone.add(digest)
      await pause()
    }
    return digests.map((digest) => !gone.has(digest))
  }
  return { ...(await objects.collect({ isLive, graceMs })), isComplete }
}
