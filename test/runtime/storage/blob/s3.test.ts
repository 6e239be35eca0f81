import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as sdk from "@aws-sdk/client-s3"
import t from "tap"
import type { Digest } from "../../../../runtime/port/object.ts"
import { StorageError } from "../../../../runtime/mod.ts"
import { type S3Options, S3Store } from "../../../../runtime/storage/s3/mod.ts"
import { answer, engines } from "../../../host/engine.ts"
import { age, collectedOf, digestOf } from "./cases.ts"
import { credentials, startS3 } from "./s3.ts"
import { isFull } from "../../../seed.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-s3-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const server = await startS3(folder)
t.teardown(() => server.stop())
const load = async (): Promise<unknown> => sdk
let stores = 0
const address = (endpoint = server.front): string => `s3://objects/test-${stores++}?endpoint=${endpoint}`
const open = (at = address(), options: S3Options = {}): Promise<S3Store> => S3Store.open(at, { credentials, load, ...options })
const none = async (digests: ReadonlyArray<Digest>) => digests.map(() => false)
const client = new sdk.S3Client({
  endpoint: server.direct,
  region: "us-east-1",
  forcePathStyle: true,
  credentials,
  requestChecksumCalculation: "WHEN_REQUIRED",
})
t.teardown(() => client.destroy())
const Bucket = "objects"
const failure = async (run: Promise<unknown>): Promise<StorageError> =>
  run.then(
    () => t.fail("it was not refused") as never,
    (error: unknown) => {
      if (error instanceof StorageError) return error
      throw error
    },
  )

t.test("an address says where, and never who", async (t) => {
  const hostile = [
    "s3:",
    "s3://",
    "s3://key:secret@bucket/x",
    "s3://bucket:99/x",
    "s3://bucket/x?secret=hidden",
    "s3://bucket/x?endpoint=http://key:secret@host",
    "s3://bucket/../x%2f..%2fy",
    "s3://bucket/a%00b",
    "s3://Bucket_/x",
    "s3://bucket/x#y",
    "http://bucket/x",
  ]
  for (const text of hostile) {
    const error = await failure(open(text))
    t.equal(error.code, "STELE-STO-0001", text)
    t.notMatch(JSON.stringify(error), /secret@|hidden/, text)
  }
  await using store = await open(`s3://objects/deep/er/?endpoint=${server.direct}&region=eu-1`)
  t.equal(store.name, "s3://objects/deep/er/")
})

t.test("a missing package, bucket, server or key is named, with what to do, and without the key", async (t) => {
  const missing = await failure(S3Store.open(address(), { credentials, load: () => import("@aws-sdk/there-is-none" as string) }))
  t.match(missing, { code: "STELE-STO-0019", fix: "npm install @aws-sdk/client-s3" })
  t.match(await failure(open(`s3://no-such-bucket?endpoint=${server.direct}`)), { code: "STELE-STO-0018", message: /there is no bucket "no-such-bucket"/ })
  t.match(await failure(open(`s3://objects?endpoint=http://127.0.0.1:1`, { timing: { attemptsMax: 2 } })), { code: "STELE-STO-0018", message: /ECONNREFUSED/ })
  const secret = "never-shown-secret"
  const denied = [await failure(open(address(server.direct), { credentials: { accessKeyId: "nobody", secretAccessKey: secret } }))]
  // s3rver does not check signatures of version 4; a server that does answers so.
  await server.faults({ deny: "SignatureDoesNotMatch" })
  denied.push(await failure(open(address(), { credentials: { accessKeyId: "S3RVER", secretAccessKey: secret } })))
  await server.faults({ deny: "AccessDenied" })
  denied.push(await failure(open(address(), { credentials: { accessKeyId: "S3RVER", secretAccessKey: secret } })))
  await server.faults({})
  for (const [i, name] of ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"].entries()) {
    t.match(denied[i], { code: "STELE-STO-0017", exitCode: 5, isRetryable: false, reason: { detail: name } })
    t.notMatch(`${JSON.stringify(denied[i])}${denied[i]?.stack}`, new RegExp(secret))
  }
})

t.test("SlowDown is waited out, for a bounded number of attempts", async (t) => {
  await using store = await open(address(), { timing: { attemptsMax: 3 } })
  await server.faults({ slow: 2 })
  const bytes = randomBytes(1_000)
  await store.put(bytes)
  t.ok(bytes.equals((await store.read(digestOf(bytes))) as Buffer))
  await server.faults({ slow: 3 })
  t.match(await failure(store.put(randomBytes(10))), { code: "STELE-STO-0018", isRetryable: true, message: /503 SlowDown/ })
  await server.faults({})
})

t.test("a server that never answers is given up", async (t) => {
  await t.rejects(open(address(), { timing: { requestMsMax: 600_000 } }), { code: "STELE-CFG-0002" })
  await t.rejects(open(address(), { timing: { patience: 1 } as object }), { code: "STELE-CFG-0001" })
  await using store = await open(address(), { timing: { requestMsMax: 300, attemptsMax: 1 } })
  await server.faults({ hang: 5 })
  const startedMs = performance.now()
  t.match(await failure(store.put(randomBytes(10))), { code: "STELE-STO-0018" })
  t.ok(performance.now() - startedMs < 5_000)
  await server.faults({})
})

t.test("what changed on the server is no answer, is named, and is whole again when the same bytes come", async (t) => {
  const at = address()
  const prefix = /objects\/(test-\d+)/.exec(at)?.[1] as string
  await using store = await open(at)
  const [small, large, cut, swapped] = [randomBytes(300), randomBytes(300_000), randomBytes(200_000), randomBytes(100_000)]
  for (const bytes of [small, large, cut, swapped]) await store.put(bytes)
  const change = async (bytes: Buffer, how: (stored: Buffer) => Buffer): Promise<void> => {
    const Key = `${prefix}/objects/${digestOf(bytes)}`
    const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key }))
    await client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: how(Buffer.from((await Body?.transformToByteArray()) as Uint8Array)) }))
  }
  const flipped = (at: number) => (stored: Buffer) => {
    stored[at] = (stored[at] as number) ^ 4
    return stored
  }
  await change(small, flipped(200))
  await change(large, flipped(200_000))
  await change(cut, (stored) => stored.subarray(0, 199_000))
  const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key: `${prefix}/objects/${digestOf(large)}` }))
  const other = Buffer.from((await Body?.transformToByteArray()) as Uint8Array)
  await change(swapped, () => other)
  for (const bytes of [small, large, cut, swapped]) {
    await t.rejects(store.read(digestOf(bytes)), { code: "STELE-STO-0013" })
    await t.rejects(store.stream(digestOf(bytes)).then(collectedOf), { code: "STELE-STO-0013" })
  }
  await t.rejects(store.read(digestOf(large), 199_990, 200_010), { code: "STELE-STO-0013" })
  t.ok(large.subarray(0, 10).equals((await store.read(digestOf(large), 0, 10)) as Buffer), "a part that is not damaged")
  t.same(
    new Map((await store.check()).map(({ digest, problem }) => [digest, problem])),
    new Map([small, large, cut, swapped].map((bytes) => [digestOf(bytes), "damaged"])),
  )
  for (const bytes of [small, large, cut, swapped]) await store.put(bytes)
  for (const bytes of [small, large, cut, swapped]) t.ok(bytes.equals((await store.read(digestOf(bytes))) as Buffer))
  t.same(await store.check(), [])
})

t.test("every flipped bit of a stored object is found by a read of all of it, or of the part that it is in", async (t) => {
  const at = address(server.direct)
  const prefix = /objects\/(test-\d+)/.exec(at)?.[1] as string
  await using store = await open(at)
  const bytes = randomBytes(140_000)
  const digest = digestOf(bytes)
  await store.put(bytes)
  const Key = `${prefix}/objects/${digest}`
  const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key }))
  const stored = Buffer.from((await Body?.transformToByteArray()) as Uint8Array)
  for (let i = 0; i < (isFull ? 200 : 30); i++) {
    // The last 76 bytes are sums and footer.
    const place = i % 3 === 0 ? stored.length - 1 - ((i * 7) % 76) : (i * 7_919) % bytes.length
    const changed = Buffer.from(stored)
    changed[place] = (changed[place] as number) ^ (1 << (i % 8))
    await client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: changed }))
    const found = await store.check()
    // 4 bytes of the footer are zero and not read as anything but by its sum.
    t.same(
      found.map((finding) => finding.digest),
      [digest],
      `byte ${place}`,
    )
    if (place < bytes.length) await t.rejects(store.read(digest, place, place + 1), { code: "STELE-STO-0013" })
  }
})

t.test("an upload that died leaves parts, which are collected once they are old, and an open one's are not", async (t) => {
  const at = address()
  const before = await server.faults({})
  await using store = await open(at, { limits: { partBytes: 5 << 20 } })
  {
    // Of a process that is gone nobody aborts anything.
    await using dead = await open(at, { limits: { partBytes: 5 << 20 } })
    const upload = await dead.upload()
    await upload.write(randomBytes(11 << 20))
  }
  const mine = await store.upload()
  const bytes = randomBytes(12 << 20)
  await mine.write(bytes)
  await mine.write(Buffer.alloc(0))
  t.equal(await server.faults({}), before + 2)
  t.equal((await store.collect({ isLive: none, graceMs: 3_600_000 })).uploads, 0)
  await new Promise((resume) => setTimeout(resume, 2_100))
  t.equal((await store.collect({ isLive: none, graceMs: 0 })).uploads, 1)
  t.equal((await mine.commit()).digest, digestOf(bytes))
  t.equal(await server.faults({}), before)
  t.ok(bytes.equals((await collectedOf(await store.stream(digestOf(bytes)))) as Buffer))
  const aborted = await store.upload()
  await aborted.write(bytes)
  await aborted.abort()
  t.equal(await server.faults({}), before, "aborting leaves none")
})

t.test("a collector that has decided and a writer that comes then do not lose the object", async (t) => {
  const at = address()
  const prefix = /objects\/(test-\d+)/.exec(at)?.[1] as string
  await using store = await open(at)
  const bytes = Buffer.from("raced")
  const { digest } = await store.put(bytes)
  // A collector between its last look and its removal: its mark is there, the object still is.
  const mark = `${prefix}/collecting/${digest}`
  await client.send(new sdk.PutObjectCommand({ Bucket, Key: mark, Body: "x" }))
  const kept = store.put(bytes)
  let isKept = false
  void kept.then(() => (isKept = true))
  await new Promise((resume) => setTimeout(resume, 300))
  t.equal(isKept, false, "it waits for the mark to go")
  await client.send(new sdk.DeleteObjectCommand({ Bucket, Key: `${prefix}/objects/${digest}` }))
  await client.send(new sdk.DeleteObjectCommand({ Bucket, Key: mark }))
  await kept
  t.ok(bytes.equals((await store.read(digest)) as Buffer))
})

t.test("objects that are kept while collectors run all the time are never lost", async (t) => {
  const at = address()
  await using store = await open(at)
  await using other = await open(at)
  const objects = Array.from({ length: 12 }, (_, i) => Buffer.from(`raced ${i}`))
  for (const bytes of objects) await store.put(bytes)
  await age(store, 0)
  const work = { isOver: false }
  const collecting = (async () => {
    let removed = 0
    while (!work.isOver) removed += (await other.collect({ isLive: none, graceMs: 1_000 })).objects
    return removed
  })()
  let checked = 0
  await Promise.all(
    objects.map(async (bytes, i) => {
      for (let round = 0; round < (isFull ? 10 : 1); round++) {
        await new Promise((resume) => setTimeout(resume, 1_900 + ((i * 97 + round * 311) % 1_200)))
        const startedMs = performance.now()
        const { digest } = await store.put(bytes)
        const found = await store.read(digest)
        // Nothing is collected that is younger than its grace time.
        if (performance.now() - startedMs > 900) continue
        checked++
        t.ok(found !== undefined && bytes.equals(found), `object ${i}, round ${round}`)
      }
    }),
  )
  work.isOver = true
  t.comment(`${checked} times kept, ${await collecting} times removed before`)
  t.ok(checked > 0)
})

t.test("it works on three engines, with the key from the environment", async (t) => {
  const program = fileURLToPath(new URL("s3-program.ts", import.meta.url))
  for (const engine of engines) {
    const at = address()
    const env = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" }
    t.same(await answer(engine, program, [at], { env }), { read: true, part: true, listed: 2, check: [] }, engine)
  }
  const file = join(folder, "credentials")
  await writeFile(file, "[default]\naws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n", { mode: 0o600 })
  const env = { AWS_SHARED_CREDENTIALS_FILE: file, AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" }
  t.same(await answer("node", program, [address()], { env }), { read: true, part: true, listed: 2, check: [] })
})
