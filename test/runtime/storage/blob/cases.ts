/** What every store of objects does, whatever keeps them: the cases of the conformance suite. */
import { createHash, randomBytes } from "node:crypto"
import type { Digest, ObjectStore } from "../../../../runtime/port/object.ts"

export interface Check {
  same(found: unknown, wanted: unknown, message?: string): void
  rejects(attempt: () => Promise<unknown>, code: string, message?: string): Promise<void>
}

export interface Case {
  readonly group: string
  readonly title: string
  /** Why a store does not have it; undefined: it does. */
  readonly unsupported?: (store: ObjectStore) => string | undefined
  readonly run: (store: ObjectStore, check: Check) => Promise<void>
}

export const digestOf = (bytes: Uint8Array): Digest => createHash("sha256").update(bytes).digest("hex")
export const collectedOf = async (pieces: AsyncIterable<Uint8Array> | undefined): Promise<Buffer | undefined> =>
  pieces === undefined ? undefined : Buffer.concat(await Array.fromAsync(pieces))
/** Bytes that anybody can make again from their number, or a place in an upload. */
export function bytesFrom(seed: string, length: number): Buffer {
  const block = createHash("sha512").update(seed).digest()
  return Buffer.alloc(length, block)
}

/** Object sizes on both sides of what stores treat differently: rows, chunks, blocks, parts. */
export const sizes = [0, 1, 17, 65_535, 65_536, 65_537, 131_072, 524_288, 524_289, 1_048_577, 6 << 20]
/** Waits until all objects are older than `graceMs` by the clock that dates them, which for some servers ticks by the second. */
export async function age(store: ObjectStore, graceMs: number): Promise<void> {
  const dates = await Promise.all((await store.list(undefined, 1_000)).map(async (digest) => (await store.info(digest))?.touchedAtMs ?? 0))
  const newest = Math.max(...dates)
  const untilMs = newest + graceMs + (newest % 1_000 === 0 ? 2_000 : 1)
  while (Date.now() <= untilMs) await new Promise((resume) => setTimeout(resume, 20))
}
const nothing = digestOf(Buffer.from("never kept"))
const notResumable = (store: ObjectStore): string | undefined => (store.isResumable ? undefined : "uploads end with their process")
const notBlocking = (store: ObjectStore): string | undefined => (store.blocking === undefined ? "every answer comes over a network" : undefined)
const none = async (digests: ReadonlyArray<Digest>): Promise<ReadonlyArray<boolean>> => digests.map(() => false)

export const cases: ReadonlyArray<Case> = [
  ...sizes.map((size) => ({
    group: "put",
    title: `\`put()\` keeps ${size} bytes, whole, in part and as a stream`,
    run: async (store: ObjectStore, check: Check) => {
      const bytes = randomBytes(size)
      const digest = digestOf(bytes)
      check.same(await store.put(bytes), { digest, bytes: size })
      check.same(bytes.equals((await store.read(digest)) as Buffer), true, "whole")
      check.same(bytes.equals((await collectedOf(await store.stream(digest))) as Buffer), true, "stream")
      for (const [start, end] of [
        [0, 1],
        [size >> 1, (size >> 1) + 70_000],
        [Math.max(0, size - 5), size + 5],
        [size, size + 1],
        [5, 2],
      ] as const) {
        check.same(bytes.subarray(start, end).equals((await store.read(digest, start, end)) as Buffer), true, `${start} to ${end}`)
        check.same(bytes.subarray(start, end).equals((await collectedOf(await store.stream(digest, start, end))) as Buffer), true, `stream ${start} to ${end}`)
      }
      check.same((await store.info(digest))?.bytes, size)
    },
  })),
  ...[0, 10, 65_536, 3 << 20, 11 << 20].map((size) => ({
    group: "upload",
    title: `\`upload()\` keeps ${size} bytes that come in pieces of any size`,
    run: async (store: ObjectStore, check: Check) => {
      const bytes = randomBytes(size)
      await using upload = await store.upload()
      for (let at = 0, length = 1; at < size; at += length, length = Math.min(length * 7 + 3, 2 << 20)) await upload.write(bytes.subarray(at, at + length))
      check.same(upload.bytes, size)
      check.same(await store.info(digestOf(bytes)), undefined, "invisible before")
      check.same(await upload.commit(digestOf(bytes)), { digest: digestOf(bytes), bytes: size })
      check.same(bytes.equals((await collectedOf(await store.stream(digestOf(bytes)))) as Buffer), true)
      check.same(await store.check([digestOf(bytes)]), [])
    },
  })),
  {
    group: "upload",
    title: "`commit()` refuses other bytes than were said, and keeps nothing of them",
    run: async (store, check) => {
      for (const size of [10, 200_000]) {
        const bytes = randomBytes(size)
        await using upload = await store.upload()
        await upload.write(bytes)
        await check.rejects(() => upload.commit(nothing), "STELE-STO-0015")
        check.same(await store.info(digestOf(bytes)), undefined)
        await check.rejects(() => upload.commit("../../etc/passwd"), "STELE-STO-0012")
      }
    },
  },
  {
    group: "upload",
    title: "`abort()` and disposal leave nothing, and an upload that has ended takes nothing",
    run: async (store, check) => {
      const bytes = randomBytes(300_000)
      {
        await using upload = await store.upload()
        await upload.write(bytes)
      }
      const upload = await store.upload()
      await upload.write(bytes)
      await upload.abort()
      await upload.abort()
      await check.rejects(() => upload.write(bytes), "STELE-STO-0014")
      await check.rejects(() => upload.commit(), "STELE-STO-0014")
      check.same(await store.info(digestOf(bytes)), undefined)
      check.same(await store.list(undefined, 10), [])
    },
  },
  {
    group: "upload",
    title: "a chunk that changes after `write()` was answered changes nothing",
    run: async (store, check) => {
      const chunk = randomBytes(100_000)
      const bytes = Buffer.from(chunk)
      const upload = await store.upload()
      await upload.write(chunk)
      chunk.fill(0)
      await upload.write(new Uint8Array(new SharedArrayBuffer(70_000)))
      const { digest } = await upload.commit()
      check.same(digest, digestOf(Buffer.concat([bytes, Buffer.alloc(70_000)])))
      check.same((await store.read(digest))?.length, 170_000)
    },
  },
  {
    group: "upload",
    title: "one more upload than may be open is refused, and one that ends makes room",
    run: async (store, check) => {
      const open = []
      for (let i = 0; i < (store.limits["uploadsMax"] as number); i++) open.push(await store.upload())
      await check.rejects(() => store.upload(), "STELE-STO-0011")
      await open[0]?.abort()
      open[0] = await store.upload()
      for (const upload of open) await upload.abort()
    },
  },
  {
    group: "upload",
    title: "`resume()` goes on with what was suspended, across many rests",
    unsupported: notResumable,
    run: async (store, check) => {
      const bytes = randomBytes(900_000)
      let upload = await store.upload()
      const { id } = upload
      for (let at = 0; at < bytes.length; at += 100_001) {
        await upload.write(bytes.subarray(at, at + 100_001))
        await upload.suspend()
        upload = await store.resume(id)
        check.same(upload.bytes, Math.min(at + 100_001, bytes.length))
        await check.rejects(() => store.resume(id), "STELE-STO-0014", "it is open")
      }
      check.same(await upload.commit(), { digest: digestOf(bytes), bytes: bytes.length })
      check.same(bytes.equals((await store.read(digestOf(bytes))) as Buffer), true)
      await check.rejects(() => store.resume(id), "STELE-STO-0014", "it is kept")
    },
  },
  {
    group: "names",
    title: "what is no digest is refused by every method, whatever it looks like",
    run: async (store, check) => {
      await store.put(Buffer.from("x"))
      const hostile: ReadonlyArray<unknown> = [
        "",
        "..",
        "../catalogue.db",
        "a".repeat(63),
        "A".repeat(64),
        `${"a".repeat(63)}/`,
        `${"a".repeat(64)}\n`,
        "%2e%2e",
        "\0",
        7,
        undefined,
        {},
      ]
      for (const digest of hostile as ReadonlyArray<Digest>) {
        await check.rejects(async () => store.read(digest), "STELE-STO-0012")
        await check.rejects(async () => store.stream(digest), "STELE-STO-0012")
        await check.rejects(async () => store.info(digest), "STELE-STO-0012")
        await check.rejects(async () => store.delete(digest), "STELE-STO-0012")
        await check.rejects(async () => store.touch(digest), "STELE-STO-0012")
        if (digest !== undefined) await check.rejects(async () => store.list(digest, 1), "STELE-STO-0012")
      }
      for (const id of ["", "..", "../objects/aa", "f".repeat(31), `${"f".repeat(32)}/..`, 7] as ReadonlyArray<string>)
        await check.rejects(async () => store.resume(id), "STELE-STO-0014")
      check.same((await store.list(undefined, 10)).length, 1)
    },
  },
  {
    group: "names",
    title: "an object that is not there is no error",
    run: async (store, check) => {
      check.same(await store.read(nothing), undefined)
      check.same(await store.stream(nothing), undefined)
      check.same(await store.info(nothing), undefined)
      check.same(await store.touch(nothing), false)
      check.same(await store.delete(nothing), false)
    },
  },
  {
    group: "names",
    title: "`list()` goes through all digests in order, page by page",
    run: async (store, check) => {
      const kept = await Promise.all(Array.from({ length: 25 }, (_, i) => store.put(Buffer.from(`object ${i}`))))
      const wanted = kept.map(({ digest }) => digest).toSorted()
      const found: Array<Digest> = []
      for (;;) {
        const page = await store.list(found.at(-1), 7)
        if (page.length === 0) break
        found.push(...page)
      }
      check.same(found, wanted)
      check.same(await store.list(wanted[3], 2), wanted.slice(4, 6))
    },
  },
  {
    group: "put",
    title: "the same bytes are one object, however often and by whichever way they come",
    run: async (store, check) => {
      for (const size of [40, 100_000]) {
        const bytes = randomBytes(size)
        await Promise.all([store.put(bytes), store.put(bytes), store.put(bytes)])
        await using upload = await store.upload()
        await upload.write(bytes)
        await upload.commit()
        check.same(bytes.equals((await store.read(digestOf(bytes))) as Buffer), true)
      }
      check.same((await store.list(undefined, 10)).length, 2)
      check.same(await store.check(), [])
    },
  },
  {
    group: "put",
    title: "what is no bytes is refused, and so is a range that is none",
    run: async (store, check) => {
      await check.rejects(async () => store.put("text" as unknown as Uint8Array), "STELE-CFG-0002")
      const { digest } = await store.put(Buffer.from("x"))
      for (const start of [-1, 0.5, Number.NaN]) await check.rejects(async () => store.read(digest, start), "STELE-CFG-0002")
    },
  },
  {
    group: "limits",
    title: "an object over `objectBytesMax`, and a read over `readBytesMax`, name the limit",
    run: async (store, check) => {
      const { objectBytesMax, readBytesMax } = store.limits as { readonly objectBytesMax: number; readonly readBytesMax: number }
      await check.rejects(() => store.put(new Uint8Array(objectBytesMax + 1)), "STELE-STO-0016")
      await using upload = await store.upload()
      await upload.write(new Uint8Array(objectBytesMax))
      await check.rejects(() => upload.write(new Uint8Array(1)), "STELE-STO-0016")
      const { digest } = await upload.commit()
      await check.rejects(() => store.read(digest), "STELE-STO-0016")
      check.same((await store.read(digest, 0, readBytesMax))?.length, readBytesMax)
      check.same((await collectedOf(await store.stream(digest)))?.length, objectBytesMax)
    },
  },
  {
    group: "delete",
    title: "`delete()` removes an object, which can be kept again",
    run: async (store, check) => {
      for (const size of [20, 90_000]) {
        const bytes = randomBytes(size)
        const { digest } = await store.put(bytes)
        check.same(await store.delete(digest), true)
        check.same(await store.delete(digest), false)
        check.same(await store.read(digest), undefined)
        await store.put(bytes)
        check.same(bytes.equals((await store.read(digest)) as Buffer), true)
      }
    },
  },
  {
    group: "collect",
    title: "`collect()` removes what nobody refers to and keeps the rest",
    run: async (store, check) => {
      const kept = await Promise.all(Array.from({ length: 20 }, (_, i) => store.put(randomBytes(i % 2 === 0 ? 50 : 80_000))))
      const live = new Set(kept.filter((_, i) => i % 3 === 0).map(({ digest }) => digest))
      const dead = kept.filter(({ digest }) => !live.has(digest))
      await age(store, 0)
      const found = await store.collect({ isLive: async (digests) => digests.map((digest) => live.has(digest)), graceMs: 0 })
      check.same(found, { objects: dead.length, bytes: dead.reduce((sum, { bytes }) => sum + bytes, 0), uploads: 0 })
      check.same(await store.list(undefined, 100), [...live].toSorted())
      check.same(await store.check(live), [])
    },
  },
  {
    group: "collect",
    title: "`collect()` leaves everything that is younger than its grace time, and asks nobody about it",
    run: async (store, check) => {
      const { digest } = await store.put(Buffer.from("young"))
      const asked: Array<Digest> = []
      const isLive = async (digests: ReadonlyArray<Digest>) => {
        asked.push(...digests)
        return none(digests)
      }
      check.same(await store.collect({ isLive, graceMs: 60_000 }), { objects: 0, bytes: 0, uploads: 0 })
      check.same(asked, [])
      check.same((await store.info(digest))?.bytes, 5)
      await check.rejects(() => store.collect({ isLive, graceMs: -1 }), "STELE-CFG-0002")
    },
  },
  ...(["put", "commit", "touch"] as const).map((way) => ({
    group: "collect",
    title: `an object that is re-used by \`${way}()\` while \`collect()\` runs is kept`,
    run: async (store: ObjectStore, check: Check) => {
      const objects = [30, 100_000].map((size) => randomBytes(size))
      for (const bytes of objects) await store.put(bytes)
      const graceMs = 100
      await age(store, graceMs)
      const isLive = async (digests: ReadonlyArray<Digest>) => {
        for (const bytes of objects) {
          if (way === "put") await store.put(bytes)
          else if (way === "touch") await store.touch(digestOf(bytes))
          else {
            const upload = await store.upload()
            await upload.write(bytes)
            await upload.commit()
          }
        }
        return none(digests)
      }
      check.same((await store.collect({ isLive, graceMs })).objects, 0)
      for (const bytes of objects) check.same(bytes.equals((await store.read(digestOf(bytes))) as Buffer), true)
    },
  })),
  {
    group: "collect",
    title: "an answer of `isLive` that is short, or fails, removes nothing",
    run: async (store, check) => {
      await store.put(Buffer.from("a"))
      await age(store, 0)
      check.same((await store.collect({ isLive: async () => [], graceMs: 0 })).objects, 0)
      await store.collect({ isLive: () => Promise.reject(new Error("down")), graceMs: 0 }).then(
        () => check.same("nothing", "an error"),
        (error: Error) => check.same(error.message, "down"),
      )
      check.same((await store.list(undefined, 10)).length, 1)
    },
  },
  {
    group: "check",
    title: "`check()` names what is referred to and not there",
    run: async (store, check) => {
      const { digest } = await store.put(Buffer.from("there"))
      const findings = await store.check([digest, nothing])
      check.same(
        findings.map((finding) => [finding.digest, finding.problem]),
        [[nothing, "missing"]],
      )
    },
  },
  {
    group: "blocking",
    title: "a guest that blocks puts, reads and asks",
    unsupported: notBlocking,
    run: async (store, check) => {
      const blocking = store.blocking as NonNullable<ObjectStore["blocking"]>
      for (const size of sizes) {
        const bytes = randomBytes(size)
        const awaited = [store.put(randomBytes(100)), store.put(randomBytes(100_000))]
        check.same(blocking.put(bytes), { digest: digestOf(bytes), bytes: size })
        check.same(bytes.equals(blocking.read(digestOf(bytes)) as Buffer), true)
        check.same(bytes.subarray(size >> 1, (size >> 1) + 9).equals(blocking.read(digestOf(bytes), size >> 1, (size >> 1) + 9) as Buffer), true)
        check.same(blocking.info(digestOf(bytes))?.bytes, size)
        await Promise.all(awaited)
      }
      check.same(blocking.read(nothing), undefined)
      check.same(await store.check(), [])
    },
  },
]
