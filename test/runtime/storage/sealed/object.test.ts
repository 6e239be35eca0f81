import { createHash, randomBytes } from "node:crypto"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { tenantKey } from "../../../../host/port/port.ts"
import type { BlobReference } from "../../../../runtime/port/blob.ts"
import type { ObjectStore } from "../../../../runtime/port/object.ts"
import { type Place, placeOf } from "../../../../runtime/port/place.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { collectGarbage } from "../../../../runtime/service/garbage.ts"
import { checkReferred } from "../../../../runtime/service/object-check.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { guestBlob } from "../../../../runtime/storage/guest.ts"
import { eraseTenant } from "../../../../runtime/storage/record.ts"
import * as Sealed from "../../../../runtime/storage/sealed/mod.ts"
import {
  chunkBytes,
  headBytes,
  ObjectCipher,
  openChunks,
  placeOfChunks,
  plainBytesMax,
  sealedChunkBytes,
  sealObject,
} from "../../../../runtime/storage/sealed/object.ts"
import { newDataKey } from "../../../../runtime/storage/sealed/ring.ts"
import { S3Store } from "../../../../runtime/storage/s3/mod.ts"
import { MemoryStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { age, cases } from "../blob/cases.ts"
import { credentials, startS3 } from "../blob/s3.ts"
import { raw } from "../suite/case.ts"
import { roomWithout, type Room } from "./room.ts"
import { adapted } from "./objects.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-sealed-object-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const { masterFrom, roomForSeals, sealedObjectBytes } = Sealed
let folders = 0

const ada = raw("ada")
const master = () => masterFrom(randomBytes(32))
const open = () => FolderStore.open(join(folder, `objects-${folders++}`), { limits: { objectBytesMax: 12 << 20, readBytesMax: 7 << 20, uploadsMax: 25 } })
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const codeOf = async (run: () => unknown): Promise<string> => {
  try {
    const found = await run()
    return found === undefined ? "nothing" : "answered"
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error)
  }
}

/** A process: its keys, its sealed store, and the port that its guests see. */
function processOver(below: Store, objects: ObjectStore, key = master(), room: Room = Sealed) {
  const keyring = new room.Keyring(below, key, objects)
  const store = room.sealed(below, keyring)
  const sealed = new room.SealedObjects(keyring, objects)
  return { below, objects, key, keyring, store, sealed, blob: guestBlob(store, objects, sealed) }
}
const made = async (room: Room = Sealed) => processOver(new MemoryStore(roomForSeals({})), await open(), master(), room)
type Made = Awaited<ReturnType<typeof made>>
const another = ({ below, objects, key }: Made, room: Room = Sealed) => processOver(below, objects, key, room)
const reference = async ({ below }: Pick<Made, "below">, key: string): Promise<BlobReference> =>
  (await below.ask({ ask: "blob", ...placeOf(key) })) as BlobReference
const storedOf = async (made: Made, key: string): Promise<Uint8Array> => {
  const { digest } = await reference(made, key)
  return Buffer.concat(await Array.fromAsync((await made.objects.stream(hex(digest))) ?? []))
}
/** What somebody who writes the disks can do: another object, and a reference that names it. */
async function forge({ below, objects }: Pick<Made, "below" | "objects">, key: string, bytes: Uint8Array, size?: number): Promise<void> {
  const { digest } = await objects.put(bytes)
  const was = await reference({ below }, key)
  await below.apply([{ op: "link", ...placeOf(key), digest: Buffer.from(digest, "hex"), bytes: size ?? was.bytes }])
}
const k = (name: string, tenant = "ada"): string => tenantKey(tenant, name)
const waiting = (objects: ObjectStore): ObjectStore =>
  new Proxy(objects, {
    get(target, name) {
      if (name === "blocking") return undefined
      const found: unknown = Reflect.get(target, name, target)
      return typeof found === "function" ? found.bind(target) : found
    },
  })

const sizes = [0, 1, 17, 65_535, 65_536, 65_537, 131_072, 196_608, 1_048_577, 6 << 20]

t.test("objects of every size are read whole and in parts, by guests that block and by those that wait; sizes are what they say", async (t) => {
  const all = await made()
  const { blob, keyring } = all
  const waits = guestBlob(all.store, waiting(all.objects), new Sealed.SealedObjects(keyring, waiting(all.objects)))
  t.equal(waits.isAsync, true)
  for (const size of sizes) {
    const bytes = randomBytes(size)
    const key = k(`${size}`)
    await (size % 2 === 0 ? blob : waits).put(key, bytes)
    t.equal((await storedOf(all, key)).length, sealedObjectBytes(size), `${size} are sealed as ${sealedObjectBytes(size)}`)
    t.equal(plainBytesMax(sealedObjectBytes(size)), size)
    t.equal((await blob.info(key))?.bytes, size)
    for (const port of [blob, waits]) {
      t.ok(bytes.equals((await port.get(key)) as Uint8Array), `${size} whole`)
      for (const [start, end] of [
        [0, 1],
        [size >> 1, (size >> 1) + 70_000],
        [65_530, 65_545],
        [Math.max(0, size - 5), size + 5],
        [size, size + 1],
        [size + 10, undefined],
        [5, 2],
      ] as const)
        t.ok(bytes.subarray(start, end).equals((await port.get(key, start, end)) as Uint8Array), `${size} from ${start} to ${end}`)
    }
    const streamed = await all.sealed.stream({ ...placeOf(key), ...(await reference(all, key)) })
    t.ok(bytes.equals(Buffer.concat(await Array.fromAsync(streamed ?? []))), `${size} as a stream`)
  }
  t.same(await all.store.check(), [])
  t.same(await checkReferred(all.below, all.objects), [])
  await all.objects.close()
})

t.test("what every store of objects does with bytes that come and go, one that seals does", async (t) => {
  for (const { group, title, unsupported, run } of cases) {
    // Sealed twice, the same bytes are two objects.
    if (!["put", "upload", "limits", "blocking"].includes(group) || title.startsWith("the same bytes are one object")) continue
    await t.test(title, async (t) => {
      const all = await made()
      const store = adapted(all)
      if (unsupported?.(store) === undefined)
        await run(store, {
          same: (found, wanted, message = "the same") => void t.strictSame(found, wanted, message),
          rejects: async (attempt, code, message = "refused") => void (await t.rejects(attempt(), { code }, message)),
        })
      await all.objects.close()
    })
  }
})

t.test("nothing of an object, nor its digest, is in the files in the clear: neither kept, nor on its way, nor suspended", async (t) => {
  const path = join(folder, "clear")
  const objects = await FolderStore.open(path)
  const all = processOver(new MemoryStore(roomForSeals({})), objects)
  const word = Buffer.from("the quick brown fox jumps over the lazy dog")
  const large = Buffer.alloc(1 << 20, word)
  all.blob.put(k("small"), word)
  all.blob.put(k("large"), large)
  const upload = await all.sealed.upload(placeOf(k("u")))
  await upload.write(large)
  await upload.write(large)
  const look = async (): Promise<Buffer> => {
    const names = (await readdir(path, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    return Buffer.concat(await Promise.all(names.map((entry) => readFile(join(entry.parentPath, entry.name)))))
  }
  const during = await look()
  await upload.suspend()
  for (const found of [during, await look()])
    for (const each of [word, word.subarray(4, 20), Buffer.from(sha(word), "hex"), Buffer.from(sha(large), "hex")]) t.equal(found.includes(each), false)
  await objects.close()
})

t.test("every bit of a sealed object that is another is found, and so is one that is shorter or longer", async (t) => {
  const all = await made()
  all.blob.put(k("k"), Buffer.from("a value"))
  const stored = await storedOf(all, k("k"))
  const codes: Record<string, number> = {}
  const note = async (bytes: Uint8Array, size?: number): Promise<void> => {
    await forge(all, k("k"), bytes, size)
    const code = await codeOf(() => all.blob.get(k("k")))
    codes[code] = (codes[code] ?? 0) + 1
  }
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const other = Uint8Array.from(stored)
    other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7))
    await note(other)
  }
  t.same(codes, { "STELE-STO-0070": stored.length * 8 - 64, "STELE-STO-0071": 64 })
  for (let size = 0; size < stored.length; size += 5) for (const claimed of [7, 0, 3, 8]) await note(stored.subarray(0, size), claimed)
  for (const claimed of [0, 6, 8, 65_536, 70_000]) await note(stored, claimed)
  t.same(Object.keys(codes).toSorted(), ["STELE-STO-0070", "STELE-STO-0071"])
  await note(stored, 7)
  t.equal(codes["answered"], 1)
  await all.objects.close()
})

const cut = (stored: Uint8Array, number: number): Uint8Array =>
  stored.subarray(headBytes + number * sealedChunkBytes, headBytes + Math.min((number + 1) * sealedChunkBytes, stored.length))

t.test("chunks that are exchanged, doubled, missing, cut off or another object's are refused", async (t) => {
  const all = await made()
  const size = 4 * chunkBytes
  const bytes = Buffer.alloc(size, randomBytes(chunkBytes))
  for (const key of [k("a"), k("b")]) all.blob.put(key, bytes)
  const [a, b] = [await storedOf(all, k("a")), await storedOf(all, k("b"))]
  const [head, tail] = [a.subarray(0, headBytes), a.subarray(headBytes + 4 * sealedChunkBytes)]
  const chunks = [0, 1, 2, 3].map((number) => cut(a, number)) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  const of = (...parts: ReadonlyArray<Uint8Array>) => Buffer.concat([head, ...parts])
  const wholes: Readonly<Record<string, readonly [bytes: Uint8Array, size: number]>> = {
    exchanged: [of(chunks[1], chunks[0], chunks[2], chunks[3], tail), size],
    doubled: [of(chunks[0], ...chunks, tail), size + chunkBytes],
    missing: [of(chunks[0], chunks[2], chunks[3], tail), size - chunkBytes],
    "cut off between chunks": [of(chunks[0], chunks[1], chunks[2]), 3 * chunkBytes - 32],
    "cut off, and said to be": [of(chunks[0], chunks[1]), 2 * chunkBytes],
    "another object's": [of(cut(b, 0), ...chunks.slice(1), tail), size],
    "another object": [b, size],
    "another object's end": [of(...chunks.slice(0, 3), cut(b, 3), b.subarray(headBytes + 4 * sealedChunkBytes)), size],
    "without its end": [of(...chunks), size],
    "two in one": [Buffer.concat([a, b]), size * 2],
  }
  for (const [what, [stored, claimed]] of Object.entries(wholes)) {
    await forge(all, k("a"), stored, claimed)
    t.equal(await codeOf(() => all.blob.get(k("a"))), "STELE-STO-0070", what)
    t.equal((await all.store.check()).length, 1, `${what}: found by check()`)
    t.match((await all.store.check())[0], { table: "blob_reference", key: "a" })
  }
  // Within the size that is said, a chunk answers for itself; what depends on the end asks the end.
  await forge(all, k("a"), of(chunks[0], chunks[1]), 2 * chunkBytes)
  t.equal(await codeOf(() => all.blob.get(k("a"), 10, 20)), "answered")
  for (const [start, end] of [
    [2 * chunkBytes, undefined],
    [2 * chunkBytes + 5, 2 * chunkBytes + 9],
    [chunkBytes, 3 * chunkBytes],
    [10 * chunkBytes, 10 * chunkBytes + 1],
  ] as const)
    t.equal(await codeOf(() => all.blob.get(k("a"), start, end)), "STELE-STO-0070", `${start} to ${end}`)
  await all.objects.close()
})

/** What a reference answers that was given the object of another place, of the same tenant and of another one. */
async function moved(room: Room): Promise<ReadonlyArray<string>> {
  const all = await made(room)
  all.blob.put(k("k"), Buffer.from("ours"))
  all.blob.put(k("l"), Buffer.from("also ours"))
  all.blob.put(k("k", "bob"), Buffer.from("bob's"))
  const stored = await storedOf(all, k("k"))
  await forge(all, k("l"), stored, 4)
  await forge(all, k("k", "bob"), stored, 4)
  const found = [await codeOf(() => all.blob.get(k("l"))), await codeOf(() => all.blob.get(k("k", "bob"))), await codeOf(() => all.blob.get(k("k")))]
  await all.objects.close()
  return found
}

t.test("an object of another key or tenant is refused; without its place beside it, one of another key is answered", async (t) => {
  t.same(await moved(Sealed), ["STELE-STO-0070", "STELE-STO-0071", "answered"])
  t.same(await moved(await roomWithout(folder, "object.ts", '.update(beside(id, "object", place))', "")), ["answered", "STELE-STO-0071", "answered"])
})

t.test("no two objects have a key in common, nor two chunks a nonce: the same bytes are other ones each time", async (t) => {
  const key = newDataKey()
  const place: Place = placeOf(k("k"))
  const bytes = new Uint8Array(3 * chunkBytes)
  const seen = new Set<string>()
  for (let i = 0; i < 20; i++) {
    const { sealed } = sealObject(key, place, bytes)
    seen.add(hex(sealed.subarray(0, headBytes)))
    for (let chunk = 0; chunk < 3; chunk++) seen.add(hex(cut(sealed, chunk).subarray(0, 32)))
  }
  t.equal(seen.size, 80)
  const cipher = ObjectCipher.draw(key, place)
  const kinds = (["more", "last", "rest"] as const).flatMap((kind) =>
    [0, 1, 255, 256, 65_536].map((number) => hex(Buffer.concat(cipher.seal(number, kind, new Uint8Array(32))))),
  )
  t.equal(new Set(kinds).size, 15)
  t.throws(() => cipher.seal(2 ** 32, "more", bytes), RangeError)
  for (const [number, kind] of [
    [1, "more"],
    [0, "last"],
    [0, "rest"],
  ] as const)
    t.equal(cipher.open(number, kind, Buffer.concat(cipher.seal(0, "more", bytes))), undefined)
  const { sealed } = sealObject(key, place, bytes)
  t.equal(
    openChunks(ObjectCipher.of(newDataKey(), place, sealed), bytes.length, 0, 1, sealed.subarray(...placeOfChunks(bytes.length, 0, 1))),
    undefined,
    "wrong key",
  )
})

t.test("keys rotate and objects are sealed anew while guests read and write; then the old keys open nothing and the old objects are garbage", async (t) => {
  const all = await made()
  const [one, two, three] = [all, another(all), another(all)] as const
  const contents = new Map<string, Buffer>()
  const put = (made: Made, name: string, size: number): void => {
    contents.set(name, randomBytes(size))
    made.blob.put(k(name), contents.get(name) as Buffer)
  }
  for (let i = 0; i < 12; i++) put(one, `o${i}`, i % 3 === 0 ? 200_000 : 100 * i)
  const before = await reference(one, k("o1"))
  const ended = { writing: false }
  let rounds = 0
  const rotating = [one, two].map(async ({ keyring }) => {
    for (; !ended.writing || rounds < 2; rounds++) {
      await Sealed.rotate(keyring, ada)
      await Sealed.reseal(keyring, ada, 5)
    }
  })
  for (let i = 0; i < 60; i++) {
    put(three, `o${i % 15}`, 50 + i * 40)
    for (const name of [`o${i % 12}`, `o${(i * 7) % 12}`]) t.ok((contents.get(name) as Buffer).equals(three.blob.get(k(name)) as Uint8Array), name)
    await new Promise((resume) => setTimeout(resume, 1))
  }
  ended.writing = true
  await Promise.all(rotating)
  await Sealed.reseal(one.keyring, ada)
  t.equal((await reference(one, k("o11"))).createdAtUs > 0, true)
  t.equal(one.keyring.cached(ada)?.ring.keys.length, 1)
  for (const each of [one, two, three, another(all)]) {
    for (const [name, bytes] of contents) t.ok(bytes.equals(each.blob.get(k(name)) as Uint8Array), name)
    t.same(await each.store.check(), [])
  }
  t.equal(await codeOf(() => one.sealed.blocking?.read({ ...placeOf(k("o1")), ...before })), "STELE-STO-0071", "by its first key")
  t.same(await checkReferred(all.below, all.objects), [])
  await age(all.objects, 0)
  const collected = await collectGarbage(all.store, all.objects, { graceMs: 0 })
  t.ok(collected.objects > contents.size, `${collected.objects} old objects`)
  t.equal((await all.objects.list(undefined, 1_000)).length, contents.size)
  for (const [name, bytes] of contents) t.ok(bytes.equals(three.blob.get(k(name)) as Uint8Array), name)
  await all.objects.close()
})

t.test("a reference keeps its time and size when its object is sealed anew", async (t) => {
  const all = await made()
  all.blob.put(k("k"), randomBytes(100_000))
  const before = await all.blob.info(k("k"))
  const was = await reference(all, k("k"))
  await Sealed.rotate(all.keyring, ada)
  t.equal(await Sealed.reseal(all.keyring, ada), 1)
  const now = await reference(all, k("k"))
  t.same(await all.blob.info(k("k")), before)
  t.notSame(now.digest, was.digest)
  t.ok(now.revision > was.revision)
  t.equal(await Sealed.reseal(all.keyring, ada), 0, "and once only")
  await all.objects.close()
})

/** What a guest reads that it put while the key went between the object and its reference. */
async function latePut(room: Room): Promise<string> {
  const all = await made(room)
  all.blob.put(k("first"), Buffer.from("first"))
  const slow = another(all, room)
  slow.blob.put(k("second"), Buffer.from("second"))
  const { sealed, store } = slow
  let isDone = false
  const upload = await sealed.upload(placeOf(k("k")))
  await upload.write(Buffer.from("late"))
  await room.rotate(all.keyring, ada)
  await room.reseal(all.keyring, ada)
  const kept = await upload.commit()
  const link = (each: typeof kept) =>
    store.apply([{ op: "link", ...placeOf(k("k")), digest: Buffer.from(each.digest, "hex"), bytes: each.bytes, keyId: each.keyId }])
  const code = await codeOf(async () => {
    await link(kept)
    isDone = true
    return true
  })
  if (!isDone) slow.blob.put(k("k"), Buffer.from("late"))
  const read = await codeOf(() => another(all, room).blob.get(k("k")))
  await all.objects.close()
  return `${code}, ${read}`
}

t.test("an object whose key was given up before it was linked is refused, and put again by the newest one", async (t) => {
  t.equal(await latePut(Sealed), "STELE-STO-0079, answered")
  t.equal(
    await latePut(await roomWithout(folder, "batch.ts", "  const link = stale(held)\n", "  const link = [].at(0) as ReturnType<typeof stale>\n")),
    "answered, STELE-STO-0071",
  )
})

t.test("a link without a key, and a layer's own operation, are refused by a sealed store", async (t) => {
  const all = await made()
  const digest = new Uint8Array(32)
  t.equal(await codeOf(() => all.store.apply([{ op: "link", ...placeOf(k("k")), digest, bytes: 1 }])), "STELE-CFG-0002")
  t.equal(await codeOf(() => all.store.apply([{ op: "link", ...placeOf(k("k")), digest, bytes: 1, keyId: new Uint8Array(8) }])), "STELE-STO-0079")
  t.equal(
    await codeOf(() => all.store.apply([{ op: "rewrite", tenant: ada, table: "blob_reference", order: raw("k"), field: "digest", from: digest, to: digest }])),
    "STELE-CFG-0002",
  )
  await all.objects.close()
})

/** The store below, which does something once, after the first reference was read. */
function between(below: Store, work: () => unknown): Store {
  let isDone = false
  const ask: Store["ask"] = async (question) => {
    const answer = await below.ask(question)
    if (!isDone && question.ask === "export" && question.table === "blob_reference") {
      isDone = true
      await work()
    }
    return answer
  }
  return new Proxy(below, {
    get(target, name) {
      if (name === "ask") return ask
      const found: unknown = Reflect.get(target, name, target)
      return typeof found === "function" ? found.bind(target) : found
    },
  })
}

t.test("a reseal that was overtaken puts no object back: not over a newer one, not where there is none any more", async (t) => {
  const all = await made()
  for (const name of ["k", "gone", "same"]) all.blob.put(k(name), Buffer.from(`old ${name}`))
  const keeper = processOver(
    between(all.below, async () => {
      await all.blob.put(k("k"), Buffer.from("newer"))
      await all.blob.delete(k("gone"))
      await age(all.objects, 0)
      await collectGarbage(all.store, all.objects, { graceMs: 0 })
    }),
    all.objects,
    all.key,
  )
  await Sealed.rotate(keeper.keyring, ada)
  await Sealed.reseal(keeper.keyring, ada)
  const text = async (name: string) => Buffer.from((await all.blob.get(k(name))) ?? []).toString()
  t.same([await text("k"), await text("gone"), await text("same")], ["newer", "", "old same"])
  t.equal(all.blob.info(k("gone")), undefined)
  await all.objects.close()
})

t.test("without the store's objects at hand no key goes that references may need; a lost object keeps its key too", async (t) => {
  const all = await made()
  all.blob.put(k("k"), Buffer.from("kept"))
  const blind = new Sealed.Keyring(all.below, all.key)
  await Sealed.rotate(blind, ada)
  t.equal(await codeOf(() => Sealed.reseal(blind, ada)), "STELE-CFG-0002")
  t.equal(await codeOf(() => all.blob.get(k("k"))), "answered")
  await all.objects.delete(hex((await reference(all, k("k"))).digest))
  t.equal(await codeOf(() => Sealed.reseal(all.keyring, ada)), "STELE-STO-0013")
  t.equal(all.keyring.cached(ada)?.ring.keys.length, 2)
  all.blob.delete(k("k"))
  await Sealed.reseal(all.keyring, ada)
  t.equal(all.keyring.cached(ada)?.ring.keys.length, 1)
  await all.objects.close()
})

t.test("objects from before are read, whatever they look like, until everything is sealed; then no plain one is", async (t) => {
  const objects = await open()
  const below = new MemoryStore(roomForSeals({}))
  const plain = guestBlob(below, objects)
  const like = Buffer.concat([Buffer.of(0xe2), randomBytes(200)])
  const large = randomBytes(300_000)
  await plain.put(k("like"), like)
  await plain.put(k("large"), large)
  await plain.put(k("empty"), new Uint8Array(0))
  const all = processOver(below, objects)
  await Sealed.openKeyring("env:STELE_TEST_OBJECT_KEY", below).catch(() => undefined)
  const { run } = await import("../../../../runtime/storage/sealed/step.ts")
  await run(below, all.keyring.open(true))
  const same = async (key: string, bytes: Uint8Array) => t.ok(Buffer.from((await all.blob.get(key)) as Uint8Array).equals(bytes), key)
  const look = async () => {
    await same(k("like"), like)
    await same(k("large"), large)
    t.ok(Buffer.from((await all.blob.get(k("large"), 65_000, 66_000)) as Uint8Array).equals(large.subarray(65_000, 66_000)))
    await same(k("empty"), new Uint8Array(0))
  }
  await look()
  all.blob.put(k("new"), Buffer.from("sealed"))
  await forge(all, k("new"), Buffer.from("put there without the key"), 25)
  t.equal(await codeOf(() => all.blob.get(k("new"))), "STELE-STO-0070")
  all.blob.put(k("new"), Buffer.from("sealed"))
  t.match(await Sealed.resealAll(all.keyring), { records: 3 })
  await look()
  t.same(await all.store.check(), [])
  await age(objects, 0)
  await collectGarbage(all.store, objects, { graceMs: 0 })
  for (const digest of await objects.list(undefined, 100)) for (const bytes of [like, large]) t.not(digest, sha(bytes))
  await forge(all, k("large"), large)
  t.equal(await codeOf(() => all.blob.get(k("large"))), "STELE-STO-0070")
  await objects.close()
})

t.test("an erased tenant's objects open for nobody, and what it puts under its name again does", async (t) => {
  const all = await made()
  all.blob.put(k("k"), Buffer.from("secret"))
  all.blob.put(k("k", "bob"), Buffer.from("bob's"))
  const was = await reference(all, k("k"))
  await eraseTenant(all.store, ada)
  t.equal(all.blob.get(k("k")), undefined)
  all.blob.put(k("l"), Buffer.from("new"))
  for (const each of [all, another(all)]) {
    await each.below.apply([{ op: "link", ...placeOf(k("k")), digest: was.digest, bytes: was.bytes }])
    t.equal(await codeOf(() => each.blob.get(k("k"))), "STELE-STO-0071")
    t.equal(await codeOf(() => each.blob.get(k("l"))), "answered")
    t.equal(await codeOf(() => each.blob.get(k("k", "bob"))), "answered")
  }
  await all.objects.close()
})

t.test("an upload is gone on with after its process died or rested, under another key, and no chunk of it is sealed twice by one", async (t) => {
  const all = await made()
  const place = placeOf(k("u"))
  const bytes = randomBytes(1_500_000)
  let upload = await all.sealed.upload(place)
  const heads = new Set<string>()
  for (let at = 0; at < bytes.length;) {
    await upload.write(bytes.subarray(at, at + 400_003))
    at += 400_003
    const { id } = upload
    await upload.suspend()
    heads.add(hex(Buffer.concat(await Array.fromAsync(await all.objects.staged(id))).subarray(0, headBytes)))
    upload = await all.sealed.resume(place, id)
    t.equal(upload.bytes, Math.min(at, bytes.length), "nothing of what was suspended is missing")
    t.not(upload.id, id)
    const twice = await all.sealed.resume(place, id)
    t.equal(twice.bytes, upload.bytes, "the one before is there until it is collected")
    await twice.abort()
  }
  t.equal(heads.size, 4)
  await t.rejects(upload.commit(sha(Buffer.from("other"))), { code: "STELE-STO-0015" })
  const kept = await upload.commit(sha(bytes))
  t.equal(kept.plainDigest, sha(bytes))
  await all.store.apply([{ op: "link", ...place, digest: Buffer.from(kept.digest, "hex"), bytes: kept.bytes, keyId: kept.keyId }])
  t.ok(bytes.equals((await all.blob.get(k("u"))) as Uint8Array))
  await t.rejects(upload.write(bytes), { code: "STELE-STO-0014" })
  await all.objects.close()
})

t.test("what is left of an upload to another place, or by a key that is gone, is not gone on with", async (t) => {
  const all = await made()
  const begin = async (): Promise<string> => {
    const upload = await all.sealed.upload(placeOf(k("u")))
    await upload.write(randomBytes(300_000))
    await upload.suspend()
    return upload.id
  }
  const id = await begin()
  await t.rejects(all.sealed.resume(placeOf(k("v")), id), { code: "STELE-STO-0014" })
  await t.rejects(all.sealed.resume(placeOf(k("u", "bob")), id), { code: "STELE-STO-0014" })
  await (await all.sealed.resume(placeOf(k("u")), id)).abort()
  await Sealed.rotate(all.keyring, ada)
  t.equal((await all.sealed.resume(placeOf(k("u")), id)).bytes, 300_000, "the old key is still there")
  await Sealed.reseal(all.keyring, ada)
  await t.rejects(all.sealed.resume(placeOf(k("u")), id), { code: "STELE-STO-0014" })
  await t.rejects(all.sealed.resume(placeOf(k("u")), "f".repeat(32)), { code: "STELE-STO-0014" })
  await all.objects.close()
})

t.test("an object over the limits is refused before anything of it is kept", async (t) => {
  const all = await made()
  t.throws(() => all.blob.put(k("k"), new Uint8Array(65 << 20)), { code: "STELE-CAP-0008" })
  t.throws(() => all.blob.put(k("k"), new Uint8Array(12 << 20)), { code: "STELE-STO-0016" })
  const max = all.sealed.objectBytesMax
  t.equal(sealedObjectBytes(max) <= 12 << 20 && sealedObjectBytes(max + 1) > 12 << 20, true)
  all.blob.put(k("k"), new Uint8Array(max))
  t.equal(await codeOf(() => all.blob.get(k("k"))), "STELE-STO-0016", "over what is read into memory at once")
  t.equal((await all.blob.get(k("k"), 9 << 20))?.length, max - (9 << 20))
  t.equal((await all.objects.list(undefined, 9)).length, 1)
  await all.objects.close()
})

t.test("objects on a server are sealed the same way, read in parts and sealed anew; uploads end with their process there", async (t) => {
  const server = await startS3(join(folder, "s3"))
  t.teardown(() => server.stop())
  const objects = await S3Store.open(`s3://objects/sealed?endpoint=${server.front}`, { credentials, load: () => import("@aws-sdk/client-s3") })
  const all = processOver(new MemoryStore(roomForSeals({})), objects)
  t.equal(all.sealed.blocking, undefined)
  const [small, large] = [randomBytes(100), randomBytes(300_000)]
  await all.blob.put(k("small"), small)
  await all.blob.put(k("large"), large)
  for (const round of ["first", "resealed"]) {
    t.ok(small.equals((await all.blob.get(k("small"))) as Uint8Array), round)
    t.ok(large.equals((await all.blob.get(k("large"))) as Uint8Array))
    t.ok(large.subarray(65_530, 200_000).equals((await all.blob.get(k("large"), 65_530, 200_000)) as Uint8Array))
    await Sealed.rotate(all.keyring, ada)
    t.equal(await Sealed.reseal(all.keyring, ada), 2)
  }
  t.same(await all.store.check(), [])
  const upload = await all.sealed.upload(placeOf(k("u")))
  await upload.write(large)
  await upload.suspend()
  await t.rejects(all.sealed.resume(placeOf(k("u")), upload.id), { code: "STELE-STO-0014" })
  await objects.close()
})
