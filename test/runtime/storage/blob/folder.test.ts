import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { chmod, copyFile, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import t from "tap"
import type { Digest, Upload } from "../../../../runtime/port/object.ts"
import { StorageError } from "../../../../runtime/mod.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { FolderWriter } from "../../../../runtime/storage/folder/writer.ts"
import { answer, engines, start } from "../../../host/engine.ts"
import { age, bytesFrom, collectedOf, digestOf } from "./cases.ts"
import { isFull, seed } from "../../../seed.ts"

t.setTimeout(1_200_000)
const folder = await mkdtemp(join(tmpdir(), "stele-folder-store-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let stores = 0
const newPath = (): string => join(folder, `store-${stores++}`)
const program = fileURLToPath(new URL("program.ts", import.meta.url))
const all = async (digests: ReadonlyArray<Digest>) => digests.map(() => true)

/** Files of objects below a folder, by path. */
async function objectFiles(path: string): Promise<ReadonlyArray<string>> {
  const names = await readdir(join(path, "objects"), { recursive: true })
  return names.filter((name) => name.length > 60).map((name) => join(path, "objects", name))
}

async function flip(path: string, at: number, bit: number): Promise<void> {
  const file = await open(path, "r+")
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = (byte[0] as number) ^ (1 << bit)
  await file.write(byte, 0, 1, at)
  await file.close()
}

t.test("objects are there after the store is opened again, and nobody else may read its files", async (t) => {
  const path = newPath()
  const [small, large] = [randomBytes(100), randomBytes(200_000)]
  {
    await using store = await FolderStore.open(path)
    for (const bytes of [small, large]) await store.put(bytes)
  }
  await using store = await FolderStore.open(path)
  for (const bytes of [small, large]) t.ok(bytes.equals((await store.read(digestOf(bytes))) as Buffer))
  for (const name of ["", "catalogue.db", "catalogue.db-mark", "objects", "objects/ab", "staging"])
    t.equal((await stat(join(path, name))).mode & 0o077, 0, name)
  for (const name of await objectFiles(path)) t.equal((await stat(name)).mode & 0o777, 0o600)
  t.same(await readdir(join(path, "staging")), [])
})

t.test("a folder that is another's, of a newer format, or nowhere is refused and left as it is", async (t) => {
  const theirs = newPath()
  await mkdir(theirs)
  await writeFile(join(theirs, "thesis.txt"), "mine")
  await t.rejects(FolderStore.open(theirs), { code: "STELE-STO-0003" })
  t.same(await readdir(theirs), ["thesis.txt"])
  await t.rejects(FolderStore.open(join(folder, "none", "x")), { code: "STELE-STO-0002" })
  await t.rejects(FolderStore.open(join(theirs, "thesis.txt")), { code: /STELE-STO-000[23]/ })
  const newer = newPath()
  await (await FolderStore.open(newer)).close()
  const database = new DatabaseSync(join(newer, "catalogue.db"))
  database.exec("PRAGMA user_version = 99")
  database.close()
  await t.rejects(FolderStore.open(newer), { code: "STELE-STO-0004" })
  await t.rejects(FolderStore.open(newPath(), { limits: { rowBytesMin: 1 } as object }), { code: "STELE-CFG-0001" })
})

t.test("a closed store refuses, and one whose catalogue went back in time only reads", async (t) => {
  const path = newPath()
  const store = await FolderStore.open(path)
  const { digest } = await store.put(Buffer.from("first"))
  await store.close()
  await store.close()
  for (const attempt of [() => store.read(digest), () => store.put(Buffer.from("x")), () => store.upload(), () => store.list(undefined, 1)])
    await t.rejects(attempt() as Promise<unknown>, { code: "STELE-STO-0010" })
  await copyFile(join(path, "catalogue.db"), join(path, "older"))
  {
    await using again = await FolderStore.open(path)
    await again.put(Buffer.from("second"))
  }
  await rename(join(path, "older"), join(path, "catalogue.db"))
  {
    await using lost = await FolderStore.open(path)
    t.match(lost.refusal, { code: "STELE-STO-0006" })
    t.equal(Buffer.from((await lost.read(digest)) as Uint8Array).toString(), "first")
    await t.rejects(lost.put(Buffer.from("x")), { code: "STELE-STO-0006" })
  }
  await using accepted = await FolderStore.open(path, { acceptLoss: true })
  await accepted.put(Buffer.from("x"))
})

t.test("more rows than may wait are refused, and those before are kept", async (t) => {
  await using store = await FolderStore.open(newPath(), { limits: { pendingMax: 5 } })
  const found = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      store.put(Buffer.from(`object ${i}`)).then(
        () => "kept",
        (error: StorageError) => error.code,
      ),
    ),
  )
  t.same(found, [...Array.from({ length: 5 }, () => "kept"), ...Array.from({ length: 3 }, () => "STELE-STO-0011")])
  t.equal((await store.list(undefined, 10)).length, 5)
})

t.test("what is damaged or gone is no answer, is named, and is whole again when the same bytes come", async (t) => {
  const path = newPath()
  const [row, file, gone, cut] = [randomBytes(500), randomBytes(300_000), randomBytes(150_000), randomBytes(140_000)]
  const objects = [row, file, gone, cut]
  {
    await using store = await FolderStore.open(path)
    for (const bytes of objects) await store.put(bytes)
  }
  const database = new DatabaseSync(join(path, "catalogue.db"))
  database.exec(`UPDATE object SET data = zeroblob(500) WHERE bytes = 500`)
  database.close()
  const files = await objectFiles(path)
  const of = (bytes: Buffer): string => files.find((name) => name.includes(digestOf(bytes))) as string
  await flip(of(file), 299_999, 3)
  await rm(of(gone))
  await truncate(of(cut), 100_000)
  await using store = await FolderStore.open(path)
  for (const bytes of objects) {
    await t.rejects(store.read(digestOf(bytes)), { code: "STELE-STO-0013" })
    t.throws(() => store.blocking.read(digestOf(bytes)), { code: "STELE-STO-0013" })
    await t.rejects(store.stream(digestOf(bytes)).then(collectedOf), { code: "STELE-STO-0013" })
  }
  t.ok(file.subarray(0, 1_000).equals((await store.read(digestOf(file), 0, 1_000)) as Buffer), "a part that is not damaged")
  await t.rejects(store.read(digestOf(file), 299_000), { code: "STELE-STO-0013" })
  t.same(
    new Map((await store.check(objects.map(digestOf))).map(({ digest, problem }) => [digest, problem])),
    new Map([row, file, gone, cut].map((bytes) => [digestOf(bytes), bytes === gone ? "missing" : "damaged"])),
  )
  for (const bytes of objects) await store.put(bytes)
  for (const bytes of objects) t.ok(bytes.equals((await store.read(digestOf(bytes))) as Buffer))
  t.same(await store.check(objects.map(digestOf)), [])
  t.equal((await objectFiles(path)).length, 3, "what was replaced is gone")
})

t.test("every flipped bit that changes an answer is found", async (t) => {
  const path = newPath()
  const objects = Array.from({ length: 60 }, (_, i) => bytesFrom(`object ${i}`, i % 10 === 9 ? 70_000 + i * 1_000 : 200 + i))
  const digests = objects.map(digestOf)
  {
    await using store = await FolderStore.open(path)
    for (const bytes of objects) await store.put(bytes)
  }
  const catalogue = join(path, "catalogue.db")
  const places = await Promise.all([catalogue, ...(await objectFiles(path))].map(async (name) => ({ name, size: (await stat(name)).size })))
  const flips = isFull ? 500 : 50
  let state = seed
  const random = (below: number): number => Math.floor(((state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32) * below)
  const counts = { same: 0, found: 0 }
  for (let i = 0; i < flips; i++) {
    const copy = newPath()
    await mkdir(join(copy, "staging"), { recursive: true })
    await symlink(join(path, "objects"), join(copy, "objects"))
    for (const name of ["catalogue.db", "catalogue.db-mark"]) await copyFile(join(path, name), join(copy, name))
    // Half of them where all the small ones are.
    const { name, size } = places[i % 2 === 0 ? 0 : random(places.length)] as { readonly name: string; readonly size: number }
    const at = random(size)
    const bit = random(8)
    await flip(name === catalogue ? join(copy, "catalogue.db") : name, at, bit)
    let isSame = true
    let isFound = false
    try {
      await using store = await FolderStore.open(copy)
      isFound = store.refusal !== undefined || (await store.check(digests)).length > 0
      for (const [n, digest] of digests.entries()) {
        const found = await store.read(digest).catch((error: unknown) => error)
        if (found instanceof Uint8Array) t.ok((objects[n] as Buffer).equals(found), "never other bytes")
        isSame &&= found instanceof Uint8Array
        if (found instanceof Error && !(found instanceof StorageError)) throw found
      }
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      isFound = true
    }
    t.ok(isSame || isFound, `bit ${bit} of byte ${at} in ${name}`)
    counts[isFound ? "found" : "same"]++
    if (name !== catalogue) await flip(name, at, bit)
    await rm(copy, { recursive: true })
  }
  t.comment(`${flips} flips: ${counts.found} found, ${counts.same} in bytes that answer nothing`)
  t.ok(counts.found > flips / 4)
})

t.test("nothing acknowledged is lost, and nothing is half, when the writer is killed at any moment", async (t) => {
  const rounds = isFull ? 100 : 10
  const path = newPath()
  const kept = new Set<Digest>()
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [program, "write", path], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    const wanted = 1 + ((round * 7) % 40)
    while (said.split("\n").length <= wanted) await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    for (const digest of said.split("\n").slice(0, -1)) kept.add(digest)
    await using store = await FolderStore.open(path)
    t.equal(store.refusal, undefined)
    t.same(await store.check(kept), [], `round ${round}`)
  }
  await using store = await FolderStore.open(path)
  await age(store, 0)
  await store.collect({ isLive: async (digests) => digests.map((digest) => kept.has(digest)), graceMs: 0 })
  t.same(await store.list(undefined, 100_000), [...kept].toSorted())
  t.same(await readdir(join(path, "staging")), [])
  const large = (await Promise.all([...kept].map((digest) => store.info(digest)))).filter((info) => (info?.bytes as number) > 65_536)
  t.equal((await objectFiles(path)).length, large.length, "no file without an object")
  t.comment(`${rounds} rounds, ${kept.size} objects acknowledged`)
})

t.test("an upload goes on after its process was killed, with what was durable, again and again", async (t) => {
  const path = newPath()
  let id = ""
  for (let round = 0; round < (isFull ? 20 : 3); round++) {
    const child = spawn(process.execPath, [program, "upload", path, ...(id === "" ? [] : [id])], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    // The sync of the first 8 MiB is over before the 17th is taken.
    while (said.split("\n").length <= 18 + round) await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    const lines = said.trimEnd().split("\n")
    id = lines[0]?.split(" ")[0] as string
    // At most 8 MiB are not synced, and as many again when the sync of those was under way.
    const written = Number(lines.at(-1)?.split(" ")[1])
    await using store = await FolderStore.open(path)
    const upload = await store.resume(id)
    t.ok(upload.bytes <= written && upload.bytes >= written - (18 << 20) && upload.bytes > 0, `${upload.bytes} of ${written}`)
    await upload.suspend()
  }
  await using store = await FolderStore.open(path)
  t.same(await store.list(undefined, 10), [], "nothing of it is visible")
  const upload = await store.resume(id)
  const from = upload.bytes
  const bytes = Buffer.concat(Array.from({ length: Math.ceil(from / 2 ** 20) + 1 }, (_, mib) => bytesFrom(`mib ${mib}`, 2 ** 20)))
  await upload.write(bytes.subarray(from))
  t.equal((await upload.commit(digestOf(bytes))).bytes, bytes.length)
  t.same(await store.check([digestOf(bytes)]), [])
  t.same(await readdir(join(path, "staging")), [])
})

t.test("`resume()` finds bytes that changed on the disk, and whatever is no state of an upload", async (t) => {
  const path = newPath()
  await using store = await FolderStore.open(path)
  const staged = async (): Promise<{ readonly id: string; readonly names: ReadonlyArray<string> }> => {
    const upload = await store.upload()
    await upload.write(randomBytes(1_000_000))
    await upload.suspend()
    return { id: upload.id, names: (await readdir(join(path, "staging"))).filter((name) => name.startsWith(upload.id)) }
  }
  const flipped = await staged()
  await flip(join(path, "staging", `${flipped.id}-0`), 500_000, 1)
  await t.rejects(store.resume(flipped.id), { code: "STELE-STO-0014", message: /not those that were written/ })
  const cut = await staged()
  await truncate(join(path, "staging", `${cut.id}-0`), 10)
  await t.rejects(store.resume(cut.id), { code: "STELE-STO-0014" })
  const stateless = await staged()
  t.equal(stateless.names.length, 2)
  await truncate(join(path, "staging", `${stateless.id}-0.state`), 3)
  await t.rejects(store.resume(stateless.id), { code: "STELE-STO-0014", message: /nothing of it/ })
  await t.rejects(store.resume("f".repeat(32)), { code: "STELE-STO-0014" })
})

t.test("of two that go on with one upload the later has it, and what the earlier writes harms nothing", async (t) => {
  const path = newPath()
  await using one = await FolderStore.open(path)
  await using two = await FolderStore.open(path)
  const bytes = randomBytes(20 << 20)
  const stale = await one.upload()
  await stale.write(bytes.subarray(0, 9 << 20))
  // Until the sync that began after 8 MiB has been noted.
  let taken: Upload | undefined
  for (let turn = 0; taken === undefined && turn < 1_000; turn++) {
    taken = await two.resume(stale.id).catch(() => undefined)
    if (taken === undefined) await new Promise((resume) => setTimeout(resume, 10))
  }
  await taken?.abort()
  await stale.write(randomBytes(1 << 20))
  await t.rejects(stale.commit(), { code: "STELE-STO-0014" })
  await stale.abort()
  const first = await one.upload()
  await first.write(bytes.subarray(0, 3 << 20))
  await first.suspend()
  const second = await one.resume(first.id)
  const third = await two.resume(first.id)
  await second.write(randomBytes(2 << 20))
  await third.write(bytes.subarray(third.bytes))
  t.equal((await third.commit()).digest, digestOf(bytes))
  await t.rejects(second.commit(), { code: "STELE-STO-0014" })
  t.ok(bytes.equals((await one.read(digestOf(bytes))) as Buffer))
  t.same(await two.check(), [])
})

t.test("`collect()` removes what dead uploads left behind, and nothing that is young or open", async (t) => {
  const path = newPath()
  await using store = await FolderStore.open(path)
  const live = await store.put(randomBytes(100_000))
  const orphan = randomBytes(80_000)
  const orphanPath = join(path, "objects", digestOf(orphan).slice(0, 2), `${digestOf(orphan)}-${"e".repeat(32)}-0`)
  await writeFile(orphanPath, orphan)
  const suspended = await store.upload()
  await suspended.write(randomBytes(200_000))
  await suspended.suspend()
  const open = await store.upload()
  await open.write(randomBytes(20 << 20))
  t.equal((await store.collect({ isLive: all, graceMs: 3_600_000 })).uploads, 0)
  // Their last write is a day ago. The date of a file's last change of name cannot be set, so the orphan stays for the grace time.
  for (const name of await readdir(join(path, "staging")))
    await utimes(join(path, "staging", name), new Date(Date.now() - 86_400_000), new Date(Date.now() - 86_400_000))
  t.same(await store.collect({ isLive: all, graceMs: 3_600_000 }), { objects: 0, bytes: 0, uploads: 1 })
  await t.rejects(store.resume(suspended.id), { code: "STELE-STO-0014" })
  t.equal((await open.commit()).bytes, 20 << 20)
  await new Promise((resume) => setTimeout(resume, 20))
  t.equal((await store.collect({ isLive: all, graceMs: 0 })).uploads, 1)
  await t.rejects(stat(orphanPath), { code: "ENOENT" })
  t.same(await store.check([live.digest]), [])
})

t.test("an object that is kept or re-used is never lost to collectors of other processes", async (t) => {
  const path = newPath()
  await using store = await FolderStore.open(path)
  const graceMs = 1_500
  const objects = Array.from({ length: 40 }, (_, i) => bytesFrom(`raced ${i}`, i % 4 === 3 ? 80_000 : 400))
  for (const bytes of objects) await store.put(bytes)
  const collectors = [0, 1].map(() => spawn(process.execPath, [program, "collect", path, String(graceMs)], { stdio: ["ignore", "pipe", "inherit"] }))
  for (const child of collectors) await once(child.stdout, "data")
  let checked = 0
  let removed = 0
  // Each is kept again about when its grace time ends, from both sides of that moment.
  await Promise.all(
    objects.map(async (bytes, i) => {
      const digest = digestOf(bytes)
      for (let round = 0; round < (isFull ? 40 : 2); round++) {
        await new Promise((resume) => setTimeout(resume, graceMs - 60 + ((i * 37 + round * 53) % 120)))
        const isThere = i % 2 === 0 && (await store.touch(digest))
        if (!isThere) {
          removed += (await store.info(digest)) === undefined ? 1 : 0
          await store.put(bytes)
        }
        const keptMs = performance.now()
        const found = await store.read(digest)
        // A machine that stood still for the grace time proves nothing.
        if (performance.now() - keptMs > graceMs / 2) continue
        checked++
        t.ok(found !== undefined && bytes.equals(found), `object ${i}, round ${round}`)
      }
    }),
  )
  for (const child of collectors) {
    child.kill("SIGKILL")
    await once(child, "close")
  }
  t.same(await store.check(), [])
  t.comment(`${checked} times kept, ${removed} times removed just before`)
  t.ok(checked > 0)
})

t.test("`FolderWriter.commit()` gives no row to a file that is gone, no answer to one who was too late, and its neighbours theirs", async (t) => {
  const path = newPath()
  let nowMs = 1_000_000
  using writer = FolderWriter.open(path, false, () => nowMs * 1_000)
  const key = (bytes: Buffer): Uint8Array => new Uint8Array(Buffer.from(digestOf(bytes), "hex"))
  const [kept, gone] = [Buffer.from("kept"), randomBytes(10)]
  const keep = { op: "keep" as const, digest: key(kept), bytes: 4, data: new Uint8Array(kept), file: null }
  const outcomes = writer.commit([{ op: "keep", digest: key(gone), bytes: 10, data: null, file: `${"a".repeat(32)}-0` }, keep])
  t.match(outcomes, [{ error: { code: "STELE-STO-0014" } }, { answer: true }])
  // A collector that looked before the object was kept again.
  nowMs += 5_000
  t.match(writer.commit([keep, { op: "drop", digest: key(kept), touchedMsMax: nowMs - 1 }]), [{ answer: true }, { answer: false }])
  // A clock that was set back makes nothing older than it was.
  nowMs -= 3_600_000
  t.match(
    writer.commit([
      { op: "touch", digest: key(kept) },
      { op: "drop", digest: key(kept), touchedMsMax: 1_004_999 },
    ]),
    [{ answer: true }, { answer: false }],
  )
  t.match(writer.commit([{ op: "drop", digest: key(kept), touchedMsMax: 1_005_000 }]), [{ answer: true }])
  // A file that got its row after a collector had found it without one, and one that never gets any.
  const [late, never] = ["b", "c"].map((letter) => `${letter.repeat(32)}-0`) as [string, string]
  const pathOf = (file: string): string => join(path, "objects", digestOf(gone).slice(0, 2), `${digestOf(gone)}-${file}`)
  for (const file of [late, never]) await writeFile(pathOf(file), gone)
  writer.commit([{ op: "keep", digest: key(gone), bytes: 10, data: null, file: late }])
  t.match(writer.commit([late, never].map((file) => ({ op: "sweep" as const, digest: key(gone), file }))), [{ answer: false }, { answer: true }])
  t.ok((await stat(pathOf(late))).isFile())
  await t.rejects(stat(pathOf(never)), { code: "ENOENT" })
})

t.test("a disk that is full refuses the write, keeps what was there and takes writes again", async (t) => {
  for (const blocks of [80, 300]) {
    const path = newPath()
    await (await FolderStore.open(path)).close()
    // A limit on the size of files stands in for a full disk: below that of a large object, then below that of the catalogue.
    const child = spawn("sh", ["-c", `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$1" write "$2"`, process.execPath, program, path], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    let said = ""
    let error = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    child.stderr.on("data", (data: Buffer) => (error += data.toString()))
    await once(child, "close")
    t.match(error, /STELE-STO-000[78]/)
    await using store = await FolderStore.open(path)
    const kept = said.split("\n").slice(0, -1)
    t.same(await store.check(kept), [], `${kept.length} acknowledged`)
    const bytes = randomBytes(400_000)
    await store.put(bytes)
    t.ok(bytes.equals((await store.read(digestOf(bytes))) as Buffer))
    await new Promise((resume) => setTimeout(resume, 20))
    await store.collect({ isLive: all, graceMs: 0 })
    t.same(await readdir(join(path, "staging")), [], "nothing is left of what was refused")
  }
})

t.test("a folder that may not be written to is refused by name", { skip: process.getuid?.() === 0 ? "root may write anywhere" : false }, async (t) => {
  const path = newPath()
  await mkdir(path)
  await chmod(path, 0o500)
  await t.rejects(FolderStore.open(join(path, "store")), { code: "STELE-STO-0002" })
})

t.test("processes of three engines keep the same objects in one folder, and each does all that a store does", async (t) => {
  const path = newPath()
  const kept = await Promise.all(engines.map((engine) => answer<ReadonlyArray<Digest>>(engine, program, ["share", path, "40"])))
  for (const digests of kept) t.same(digests, kept[0])
  await using store = await FolderStore.open(path)
  t.same(await store.list(undefined, 1_000), [...(kept[0] as ReadonlyArray<Digest>)].toSorted())
  t.same(await store.check(kept[0]), [])
  t.equal((await objectFiles(path)).length, 10)
  for (const engine of engines) {
    const { status, stdout, stderr } = await start(engine, program, ["conform", newPath()])
    t.equal(status, 0, stderr)
    t.same(JSON.parse(stdout), { resumedAt: 1_234_567, part: true, streamed: 3_000_001, objects: 3, collected: 0, check: [] }, engine)
  }
})

t.test("knowing where an object lies gives nothing: names outside the folder, links and folders are no objects", async (t) => {
  const path = newPath()
  await using store = await FolderStore.open(path)
  const secret = randomBytes(100_000)
  // A file under an object's very name, without a row, is nothing.
  await writeFile(join(path, "objects", digestOf(secret).slice(0, 2), `${digestOf(secret)}-${"a".repeat(32)}-0`), secret)
  t.equal(await store.read(digestOf(secret)), undefined)
  // A row that somebody changed to lead elsewhere is damaged, and is not followed.
  const { digest } = await store.put(randomBytes(90_000))
  await writeFile(join(path, "outside"), await readFile((await objectFiles(path)).find((name) => name.includes(digest)) as string))
  const database = new DatabaseSync(join(path, "catalogue.db"))
  database.exec(`UPDATE object SET file = '/../../outside'`)
  database.close()
  await t.rejects(store.read(digest), { code: "STELE-STO-0013" })
  t.equal(await store.delete(digest), true)
  t.ok((await stat(join(path, "outside"))).isFile(), "removed is what was written, and nothing else")
})
