/** Sealed objects as a store of objects by their plain digests, for its conformance cases: what is kept is linked under its digest. */
import { type Place, placeOf } from "../../../../runtime/port/place.ts"
import type { Digest, Kept, ObjectStore, Upload } from "../../../../runtime/port/object.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { checkDigest } from "../../../../runtime/storage/object/digest.ts"
import type { SealedKept, SealedObjects } from "../../../../runtime/storage/sealed/mod.ts"

/** Where an upload goes whose digest is not known yet: all of them to one place. */
const place = placeOf("ada/objects")

export function adapted({ store, sealed, objects }: { readonly store: Store; readonly sealed: SealedObjects; readonly objects: ObjectStore }): ObjectStore {
  /** What was kept, by its plain digest: the port of guests has keys for it. */
  const known = new Map<Digest, SealedKept>()
  const ids = new Map<string, string>()
  const keep = (kept: SealedKept): Kept => {
    known.set(kept.plainDigest, kept)
    return { digest: kept.plainDigest, bytes: kept.bytes }
  }
  const referred = (digest: Digest) => {
    const kept = known.get(checkDigest(digest))
    return kept === undefined ? undefined : { ...place, digest: Buffer.from(kept.digest, "hex"), bytes: kept.bytes, revision: 1 }
  }
  const uploading = (id: string, upload: Awaited<ReturnType<SealedObjects["upload"]>>): Upload => {
    ids.set(id, upload.id)
    return {
      id,
      get bytes() {
        return upload.bytes
      },
      write: (chunk) => upload.write(chunk),
      commit: async (expected) => keep(await upload.commit(expected)),
      async suspend() {
        await upload.suspend()
        open.delete(id)
      },
      abort: () => upload.abort(),
      [Symbol.asyncDispose]: () => Promise.resolve(upload[Symbol.asyncDispose]()),
    }
  }
  const open = new Set<string>()
  const begin = async (id: string | undefined, at: Place = place): Promise<Upload> => {
    const upload = id === undefined ? await sealed.upload(at) : await sealed.resume(at, ids.get(id) ?? id)
    const name = id ?? upload.id
    open.add(name)
    return uploading(name, upload)
  }
  const { blocking } = sealed
  const own: Partial<ObjectStore> = {
    upload: () => begin(undefined),
    resume: (id) => begin(id),
    put: async (value) => keep(await sealed.put(place, value)),
    read: async (digest, start, end) => {
      const found = referred(digest)
      return found === undefined ? undefined : Buffer.from((await sealed.read(found, start, end)) as Uint8Array)
    },
    stream: async (digest, start, end) => {
      const found = referred(digest)
      return found === undefined ? undefined : sealed.stream(found, start, end)
    },
    info: async (digest) => {
      const kept = known.get(checkDigest(digest))
      return kept === undefined ? undefined : { digest, bytes: kept.bytes, touchedAtMs: 0 }
    },
    check: async () => [...(await objects.check()), ...(await store.check()).map(({ detail }) => ({ digest: undefined, problem: "damaged" as const, detail }))],
    limits: { ...objects.limits, objectBytesMax: sealed.objectBytesMax },
    ...(blocking === undefined
      ? {}
      : {
          blocking: {
            put: (value) => keep(blocking.put(place, value)),
            read: (digest, start, end) => {
              const found = referred(digest)
              return found === undefined ? undefined : Buffer.from(blocking.read(found, start, end) as Uint8Array)
            },
            info: (digest) => ({ digest, bytes: known.get(digest)?.bytes ?? 0, touchedAtMs: 0 }),
          },
        }),
  }
  return new Proxy(objects, {
    get(target, name) {
      const found: unknown = Reflect.get(own, name) ?? Reflect.get(target, name, target)
      return typeof found === "function" ? found.bind(target) : found
    },
  })
}
