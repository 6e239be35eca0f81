/** The ports that guests see, over any store. A guest waits in its call: what must reach the disk blocks its thread. */
import type { BlobInfo, BlobLimits, BlobPort } from "../../host/port/blob.ts"
import type { EventLimits, EventPort } from "../../host/port/event.ts"
import type { KeyValueLimits, KeyValuePort } from "../../host/port/key-value.ts"
import { type Awaitable, checkLimit, compareUtf8, type Immediate } from "../../host/port/port.ts"
import { StorageError } from "../../schemas/error/storage.ts"
import type { BlobReference } from "../port/blob.ts"
import type { BlockingObjectStore, Kept, ObjectStore } from "../port/object.ts"
import { type Place, placeOf, textOf } from "../port/place.ts"
import type { Store } from "../port/store.ts"
import type { BlockingSealedObjects, SealedObjects } from "./sealed/objects.ts"

/** Lists below a prefix, which names a tenant, after a key that may be another's: before or after all of this one's. */
function within<A extends Awaitable<ReadonlyArray<string>>>(
  prefix: string,
  beyond: string | undefined,
  list: (place: Place, beyond: Uint8Array | undefined, tenant: string) => A,
): A | ReadonlyArray<string> {
  const place = placeOf(prefix)
  const tenant = prefix.slice(0, prefix.indexOf("/") + 1)
  const isWithin = beyond?.startsWith(tenant) === true
  if (beyond !== undefined && !isWithin && compareUtf8(beyond, tenant) > 0) return []
  return list(place, isWithin ? placeOf(beyond).key : undefined, tenant)
}

/** Key-value data of guests in a store. */
export function guestKeyValue(store: Store): Immediate<KeyValuePort> & { readonly limits: KeyValueLimits } {
  return {
    limits: store.limits.keyValue,
    get: (key) => store.askSync({ ask: "get", ...placeOf(key) })?.value,
    getVersioned(key) {
      const found = store.askSync({ ask: "get", ...placeOf(key) })
      return found === undefined ? undefined : { value: found.value, version: found.version }
    },
    set: (key, value) => void store.applySync([{ op: "set", ...placeOf(key), value }]),
    delete: (key) => store.applySync([{ op: "delete", ...placeOf(key) }])[0],
    has: (key) => store.askSync({ ask: "has", ...placeOf(key) }),
    list: (prefix, beyond, countMax) =>
      within(prefix, beyond, (place, from, tenant) => store.askSync({ ask: "list", ...place, beyond: from, countMax }).map((key) => tenant + key)),
    swap: (key, version, value) => store.applySync([{ op: "swap", ...placeOf(key), version, value }])[0] !== undefined,
    increment: (key, delta, min, max) => store.applySync([{ op: "increment", ...placeOf(key), delta, min, max }])[0],
  }
}

/** Events of guests in a store. */
export function guestEvent(store: Store): Immediate<EventPort> & {
  readonly limits: EventLimits
  /** Forgets a topic and its events; its numbers start again. True when it existed. */
  drop(topic: string): boolean
} {
  return {
    limits: store.limits.event,
    publish: (topic, payload) => store.applySync([{ op: "publish", ...placeOf(topic), payload }])[0],
    read: (topic, after, countMax) => store.askSync({ ask: "events", ...placeOf(topic), after, countMax }),
    drop: (topic) => store.applySync([{ op: "drop", ...placeOf(topic) }])[0],
  }
}

const hex = (digest: Uint8Array): string => Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString("hex")

const missing = (objects: ObjectStore, { digest }: BlobReference): StorageError =>
  new StorageError("Damaged", { store: objects.name, digest: hex(digest), detail: "it is referred to, and not there" })

type GuestBlob = BlobPort & { readonly limits: BlobLimits }

/**
 * Objects of guests: references in a store, bytes in another; with `sealed`, sealed by the keys of a sealed `store`. A reference is written only after the object is durable, so a crash
 * between the two leaves an object that nobody refers to, which is collected. Where objects are a network away the port
 * answers later, and a guest that cannot wait is refused when it is linked.
 */
export function guestBlob(store: Store, objects: ObjectStore, sealed?: SealedObjects): GuestBlob {
  const { blocking } = objects
  return blocking === undefined ? waitingBlob(store, objects, sealed) : blockingBlob(store, objects, blocking, sealed?.blocking)
}

const infoOf = (found: BlobReference | undefined): BlobInfo | undefined =>
  found === undefined ? undefined : { bytes: found.bytes, createdAtMs: found.createdAtUs / 1_000 }

/** What is linked: an object by its digest, with the key that it is sealed by if it is. */
const linkOf = (place: Place, { digest, bytes, ...kept }: Kept & { readonly keyId?: Uint8Array }) =>
  ({ op: "link", ...place, digest: Buffer.from(digest, "hex"), bytes, ...("keyId" in kept ? { keyId: kept.keyId } : {}) }) as const

/** How often an object is sealed anew whose key was rotated between its sealing and its reference. */
const sealsMax = 16
const isStale = (error: unknown): boolean => error instanceof StorageError && error.reason._tag === "KeyStale"

/** A reference that was given another object between its reading and the object's: by a writer, or by whoever seals anew. */
class Rereading {
  #last: string | undefined

  /** May it be read again? Not if it is what it was. */
  mayGoOn({ digest, revision }: BlobReference): boolean {
    const now = `${hex(digest)} ${revision}`
    const isOther = now !== this.#last
    this.#last = now
    return isOther
  }
}

/** The key of what was read may have been given up meanwhile, or nothing plain be taken any more: then the reference has another object. */
const isGone = (error: unknown): boolean => error instanceof StorageError && (error.reason._tag === "KeyMissing" || error.reason._tag === "SealBroken")

function blockingBlob(store: Store, objects: ObjectStore, blocking: BlockingObjectStore, sealed: BlockingSealedObjects | undefined): Immediate<GuestBlob> {
  const reference = (key: string): BlobReference | undefined => store.askSync({ ask: "blob", ...placeOf(key) })
  return {
    limits: store.limits.blob,
    get(key, start = 0, end) {
      for (const again = new Rereading(); ;) {
        const found = reference(key)
        if (found === undefined) return undefined
        let refusal: unknown = missing(objects, found)
        try {
          const bytes = sealed === undefined ? blocking.read(hex(found.digest), start, end) : sealed.read({ ...placeOf(key), ...found }, start, end)
          if (bytes !== undefined) return bytes
        } catch (error) {
          if (!isGone(error)) throw error
          refusal = error
        }
        // Unlinked since, by another process, and collected: then the key stands for something else by now, or for nothing.
        if (!again.mayGoOn(found)) throw refusal
      }
    },
    put(key, value) {
      const place = placeOf(key)
      checkLimit("blob", "objectBytesMax", "bytes", store.limits.blob.objectBytesMax, value.length)
      for (let attempt = 1; ; attempt++) {
        const kept = sealed === undefined ? blocking.put(value) : sealed.put(place, value)
        try {
          store.applySync([linkOf(place, kept)])
          return
        } catch (error) {
          if (!isStale(error) || attempt >= sealsMax) throw error
        }
      }
    },
    delete: (key) => store.applySync([{ op: "unlink", ...placeOf(key) }])[0],
    info: (key) => infoOf(reference(key)),
    list: (prefix, beyond, countMax) =>
      within(prefix, beyond, (place, from, tenant) => store.askSync({ ask: "blobs", ...place, beyond: from, countMax }).map(({ key }) => tenant + textOf(key))),
  }
}

function waitingBlob(store: Store, objects: ObjectStore, sealed: SealedObjects | undefined): GuestBlob {
  const reference = (key: string): Promise<BlobReference | undefined> => store.ask({ ask: "blob", ...placeOf(key) })
  return {
    isAsync: true,
    limits: store.limits.blob,
    async get(key, start = 0, end) {
      for (const again = new Rereading(); ;) {
        const found = await reference(key)
        if (found === undefined) return undefined
        let refusal: unknown = missing(objects, found)
        try {
          const bytes = await (sealed === undefined ? objects.read(hex(found.digest), start, end) : sealed.read({ ...placeOf(key), ...found }, start, end))
          if (bytes !== undefined) return bytes
        } catch (error) {
          if (!isGone(error)) throw error
          refusal = error
        }
        if (!again.mayGoOn(found)) throw refusal
      }
    },
    async put(key, value) {
      const place = placeOf(key)
      checkLimit("blob", "objectBytesMax", "bytes", store.limits.blob.objectBytesMax, value.length)
      for (let attempt = 1; ; attempt++) {
        const kept = await (sealed === undefined ? objects.put(value) : sealed.put(place, value))
        try {
          await store.apply([linkOf(place, kept)])
          return
        } catch (error) {
          if (!isStale(error) || attempt >= sealsMax) throw error
        }
      }
    },
    delete: async (key) => (await store.apply([{ op: "unlink", ...placeOf(key) }]))[0],
    info: async (key) => infoOf(await reference(key)),
    list: async (prefix, beyond, countMax) =>
      within(prefix, beyond, (place, from, tenant) =>
        store.ask({ ask: "blobs", ...place, beyond: from, countMax }).then((found) => found.map(({ key }) => tenant + textOf(key))),
      ),
  }
}
