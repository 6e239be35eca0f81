// @long
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import t from "tap"
import { placeOf } from "../../../runtime/port/place.ts"
import type { Operation } from "../../../runtime/port/store.ts"
import { StorageError } from "../../../runtime/mod.ts"
import { Archiver, type ArchiveFiles, drill, folderFiles, follow, plan, readArchive, restore } from "../../../runtime/storage/archive/mod.ts"
import { objectsOf } from "../../../runtime/storage/storage.ts"
import { openObject, seal } from "../../../runtime/storage/archive/object.ts"
import { FolderStore } from "../../../runtime/storage/folder/mod.ts"
import { Mark } from "../../../runtime/storage/sqlite/mark.ts"
import { SqliteReader, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { isFull, seed } from "../../seed.ts"

t.setTimeout(900_000)
const folder = await mkdtemp(join(tmpdir(), "stele-archive-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, String(files++))
const programs = Object.fromEntries(["sqlite", "archive"].map((name) => [name, fileURLToPath(new URL(`${name}-program.ts`, import.meta.url))])) as {
  readonly sqlite: string
  readonly archive: string
}
let state = seed
const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
const below = (count: number): number => Math.floor(random() * count)

const set = (name: string, value: string | Uint8Array): Operation => ({ op: "set", ...placeOf(`ada/${name}`), value: Buffer.from(value) })
const refusal = async (run: () => unknown): Promise<string> => {
  try {
    await run()
    return "nothing"
  } catch (error) {
    if (error instanceof StorageError) return error.reason._tag
    throw error
  }
}

const streamOf = async function* (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Every row of every table as one digest. */
function rowsOf(path: string): string {
  const database = new DatabaseSync(path)
  try {
    const hash = createHash("sha256")
    const tables = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").all()
    for (const { name, sql } of tables) {
      hash.update(String(sql))
      const rows = database
        .prepare(`SELECT * FROM "${String(name)}"`)
        .all()
        .map((row) => JSON.stringify(Object.values(row).map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value)))))
      for (const row of rows.toSorted()) hash.update(row)
    }
    return hash.digest("hex")
  } finally {
    database.close()
  }
}

/** A batch of random changes, growing and shrinking the store. */
function someBatch(n: number): ReadonlyArray<Operation> {
  return Array.from({ length: 1 + below(6) }, (_, i): Operation => {
    const name = `k${below(300)}`
    if (n % 7 === 0 && i === 0) return { op: "publish", ...placeOf("ada/topic"), payload: randomBytes(below(2_000)) }
    return random() < 0.2 ? { op: "delete", ...placeOf(`ada/${name}`) } : set(name, randomBytes(below(random() < 0.1 ? 20_000 : 400)))
  })
}

for (const key of [undefined, randomBytes(32)])
  t.test(`\`restore()\` gives the very rows that each commit left, ${key === undefined ? "plain" : "encrypted"}`, async (t) => {
    const [path, archive] = [newPath(), newPath()]
    const expected = new Map<number, { readonly rows: string; readonly atUs: number }>()
    const commits = isFull ? 600 : 80
    {
      await using store = await SqliteStore.open(path)
      await store.apply([set("first", "value")])
      await using archiver = await Archiver.open({ path, files: folderFiles(archive), key, walBytesRestart: 100_000, generationBytesMax: 300_000 })
      for (let n = 0; n < commits; n++) {
        await store.apply([...someBatch(n), set("n", String(n))])
        expected.set(store.reader.sequence, { rows: rowsOf(path), atUs: Number(store.reader.info().committedAtMs) * 1_000 })
        if (random() < 0.2) await archiver.sync()
        if (n % 30 !== 29) continue
        // A transaction without a commit of its own, after which the file is smaller.
        await store.apply(Array.from({ length: 250 }, (_, i) => ({ op: "delete" as const, ...placeOf(`ada/k${i}`) })))
        const other = new DatabaseSync(path)
        other.exec("VACUUM")
        other.close()
      }
    }
    const { generations, gaps, problems } = await readArchive(folderFiles(archive))
    t.ok(generations.length > 1, `${generations.length} generations`)
    t.ok(generations.slice(1).every(({ isContinued }) => isContinued))
    t.same([gaps, problems], [[], []])
    const first = generations[0]?.first.sequence ?? 0
    const numbers = [...expected.keys()].filter((number) => number >= first)
    t.ok(numbers.length > commits - 30)
    for (let i = 0; i < (isFull || key === undefined ? 20 : 5); i++) {
      const number = i === 0 ? first : i === 1 ? (numbers.at(-1) as number) : (numbers[below(numbers.length)] as number)
      const { rows, atUs } = expected.get(number) ?? { rows: undefined, atUs: 0 }
      const restored = newPath()
      await restore(restored, { files: folderFiles(archive), key, target: { commit: number } })
      t.equal(rowsOf(restored), rows, `commit ${number}`)
      const { commit } = await plan({ files: folderFiles(archive), key, target: { atUs } })
      t.equal(commit, number, "the same by its time")
    }
    // The newest, page by page; and the store goes on from there.
    const restored = newPath()
    await restore(restored, { files: folderFiles(archive), key })
    t.ok((await readFile(restored)).equals(await readFile(path)), "every page is the live store's")
    await using store = await SqliteStore.open(restored)
    t.equal(store.refusal, undefined)
    await store.apply([set("after", "value")])
    t.same(store.reader.check(), [])
  })

t.test("no frame is lost while others write, checkpoint and restart the log, as long as the archiver holds it", async (t) => {
  for (const isHeld of [true, false]) {
    const [path, archive] = [newPath(), newPath()]
    await using store = await SqliteStore.open(path)
    await store.apply([set("first", "value")])
    const other = new DatabaseSync(path, { timeout: 0 })
    await using archiver = await Archiver.open({ path, files: folderFiles(archive), walBytesRestart: 50_000, ...(!isHeld && { walBytesMax: 0 }) })
    await archiver.sync()
    const modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]
    for (let n = 0; n < (isFull ? 1_000 : 120); n++) {
      await Promise.all(Array.from({ length: 1 + below(3) }, () => store.apply(someBatch(n))))
      if (random() < 0.5) other.prepare(`PRAGMA wal_checkpoint(${modes[below(4)]})`).get()
      if (random() < 0.3) await archiver.sync()
      // Without the hold the very same loses commits: the rule is what keeps them.
      if (!isHeld) archiver.relieve()
    }
    await archiver.sync()
    other.close()
    const { generations, gaps } = await readArchive(folderFiles(archive))
    t.equal(gaps.length > 0, !isHeld, `${isHeld ? "held" : "let go"}: ${gaps.length} gaps, ${generations.length} generations`)
    const restored = newPath()
    await restore(restored, { files: folderFiles(archive) })
    t.equal(rowsOf(restored), rowsOf(path))
  }
})

t.test("the log begins anew when it is archived, under writers that never pause", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await store.apply([set("first", "value")])
  await using archiver = await Archiver.open({ path, files: folderFiles(archive), walBytesRestart: 1 << 20 })
  const writers = { areOver: false }
  const writing = Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      for (let n = 0; !writers.areOver; n++) await store.apply([set(`k${i}-${n % 100}`, randomBytes(1_000))])
    }),
  )
  let most = 0
  for (const untilMs = performance.now() + 1_200; performance.now() < untilMs;) {
    await archiver.sync()
    most = Math.max(most, (await stat(`${path}-wal`)).size)
    await new Promise((resume) => setTimeout(resume, 50))
  }
  writers.areOver = true
  await writing
  await archiver.sync()
  const { generations, bytes } = await readArchive(folderFiles(archive))
  t.comment(`log at most ${most} bytes, archive ${bytes} bytes, ${generations[0]?.last.sequence} commits`)
  t.ok(most < 16 << 20, `the log was ${most} bytes long`)
  const restored = newPath()
  await restore(restored, { files: folderFiles(archive) })
  t.equal(rowsOf(restored), rowsOf(path))
})

t.test("a snapshot is what the store was, though the log begins anew over the frames that are in the database", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  const write = async (): Promise<void> => {
    for (let n = 0; n < 60; n++) await store.apply([set(`k${n}`, randomBytes(2_000))])
  }
  await write()
  const database = new DatabaseSync(path)
  const { busy, log, checkpointed } = database.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() ?? {}
  database.close()
  t.same([busy, checkpointed], [0, log], "nothing is in the log alone")
  const rows = rowsOf(path)
  const inner = folderFiles(archive)
  let isAnew = false
  const files: ArchiveFiles = {
    ...inner,
    async putIfAbsent(name, bytes) {
      // The snapshot is begun, and none of its pages is read.
      if (!isAnew) await write()
      isAnew = true
      return inner.putIfAbsent(name, bytes)
    },
  }
  await using archiver = await Archiver.open({ path, files })
  t.match(await archiver.sync(), { snapshot: "new", generation: 1 })
  const restored = newPath()
  await restore(restored, { files: inner })
  t.equal(rowsOf(restored), rows)
  await archiver.sync()
  await restore(newPath(), { files: inner })
})

/** A store and its archive with some segments, closed. */
async function some(key?: Uint8Array): Promise<{ readonly path: string; readonly archive: string }> {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await store.apply([set("first", "value")])
  await using archiver = await Archiver.open({ path, files: folderFiles(archive), key })
  for (let n = 0; n < 12; n++) {
    await store.apply([...someBatch(n), set("n", String(n))])
    if (n % 3 === 0) await archiver.sync()
  }
  return { path, archive }
}

const objectsIn = async (archive: string): Promise<ReadonlyArray<string>> => (await folderFiles(archive).list()).map(({ name }) => join(archive, name))

t.test("every flipped bit, every cut and every missing object is found, or changes nothing", async (t) => {
  const key = randomBytes(32)
  for (const given of [undefined, key]) {
    const { path, archive } = await some(given)
    const rows = rowsOf(path)
    const objects = await objectsIn(archive)
    const sizes = await Promise.all(objects.map(async (object) => (await stat(object)).size))
    const counts = { found: 0, same: 0 }
    const tryIt = async (what: string): Promise<void> => {
      const restored = newPath()
      let isFound = false
      try {
        await restore(restored, { files: folderFiles(archive), key: given })
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        isFound = true
      }
      t.ok(isFound || rowsOf(restored) === rows, what)
      t.equal(existsSync(restored), !isFound, "nothing is left where a restore was refused")
      counts[isFound ? "found" : "same"]++
      await rm(restored, { force: true })
    }
    for (let i = 0; i < (isFull ? 200 : 30); i++) {
      const n = below(objects.length)
      const [object, size] = [objects[n] as string, sizes[n] as number]
      const before = await readFile(object)
      const after = Buffer.from(before)
      const at = below(size)
      after[at] = (after[at] as number) ^ (1 << below(8))
      await writeFile(object, i % 10 === 9 ? before.subarray(0, at) : after)
      await tryIt(`${i % 10 === 9 ? "cut at" : "bit of"} byte ${at} of ${object}`)
      await writeFile(object, before)
    }
    // The last is no loss that the archive could know of: only the store does.
    for (const object of objects.slice(0, -1)) {
      await rename(object, `${archive}-aside`)
      await tryIt(`without ${object}`)
      await rename(`${archive}-aside`, object)
    }
    t.equal(counts.same, 0, "no byte of an object is without meaning")
    t.comment(`${given === undefined ? "plain" : "encrypted"}: ${counts.found} found`)
  }
})

t.test("a segment of another archive in the place of one is found, and what is before it can be restored", async (t) => {
  const [{ archive }, other] = [await some(), await some()]
  const objects = await objectsIn(archive)
  const place = objects[2] as string
  await copyFile(place.replace(archive, other.archive), place)
  t.equal(await refusal(() => restore(newPath(), { files: folderFiles(archive) })), "ArchiveDamaged")
  const { problems, generations } = await readArchive(folderFiles(archive))
  t.equal(problems.length, 1)
  const restored = newPath()
  const { commit } = await restore(restored, { files: folderFiles(archive), target: { commit: generations[0]?.last.sequence } })
  using reader = new SqliteReader(restored)
  t.equal(reader.sequence, commit)
})

t.test("`openObject()` finds chunks that are moved, left out or cut off under a digest made anew", async (t) => {
  const key = randomBytes(32)
  const gather = async (parts: AsyncIterable<Uint8Array>): Promise<Buffer> => Buffer.concat(await Array.fromAsync(parts))
  const body = randomBytes((3 << 20) + 5)
  const whole = await gather(seal({ kind: "blob" }, [body], key, () => {}))
  const read = async (bytes: Uint8Array, given: Uint8Array | undefined = key): Promise<Buffer> => {
    const { body } = await openObject("x", "archive", streamOf(bytes), given)
    return gather(body)
  }
  t.ok((await read(whole)).equals(body))
  const headBytes = 16 + whole.readUInt32BE(12)
  const chunks: Array<Buffer> = []
  for (let at = headBytes; at < whole.length - 32;) {
    const length = 4 + (whole.readUInt32BE(at) & 0x7fff_ffff)
    chunks.push(whole.subarray(at, at + length))
    at += length
  }
  t.equal(chunks.length, 4)
  const [a, b, c, d] = chunks as [Buffer, Buffer, Buffer, Buffer]
  const asLast = (chunk: Buffer): Buffer => {
    const copy = Buffer.from(chunk)
    copy[0] = (copy[0] as number) | 0x80
    return copy
  }
  const head = whole.subarray(0, headBytes)
  const otherHead = Buffer.from(head.toString("latin1").replace('"blob"', '"blub"'), "latin1")
  for (const [what, parts] of [
    ["moved", [head, b, a, c, d]],
    ["left out", [head, a, c, d]],
    ["cut off", [head, a, b, asLast(c)]],
    ["twice", [head, a, a, b, c, d]],
    ["another header", [otherHead, a, b, c, d]],
  ] as const) {
    const bytes = Buffer.concat(parts)
    const forged = Buffer.concat([bytes, createHash("sha256").update(bytes).digest()])
    t.equal(await refusal(() => read(forged)), "ArchiveDamaged", what)
  }
  t.equal(await refusal(() => read(whole, randomBytes(32))), "ArchiveKey")
  t.notOk(whole.includes(body.subarray(0, 16)))
})

t.test("a wrong key, none, or one too many is refused by name, by backup and restore", async (t) => {
  const key = randomBytes(32)
  const sealed = await some(key)
  const plain = await some()
  for (const [{ path, archive }, given] of [
    [sealed, randomBytes(32)],
    [sealed, undefined],
    [plain, key],
  ] as const) {
    t.equal(await refusal(() => restore(newPath(), { files: folderFiles(archive), key: given })), "ArchiveKey")
    t.equal(await refusal(() => Archiver.open({ path, files: folderFiles(archive), key: given })), "ArchiveKey")
  }
  t.equal((await readArchive(folderFiles(sealed.archive))).isEncrypted, true)
})

/** Files that fail when told to, as a full or an absent disk does. */
function failing(inner: ArchiveFiles): ArchiveFiles & { isDown: boolean } {
  const down = { ...inner, isDown: false }
  return Object.assign(down, {
    async putIfAbsent(name: string, bytes: AsyncIterable<Uint8Array>) {
      if (down.isDown) throw new StorageError("ArchiveUnreachable", { archive: inner.place, detail: "no space left on device" })
      return inner.putIfAbsent(name, bytes)
    },
  })
}

t.test("a store goes on while its archive takes nothing: its log stays bounded, and what is missing shows as a gap", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await store.apply([set("first", "value")])
  const place = failing(folderFiles(archive))
  const walBytesMax = 400_000
  await using archiver = await Archiver.open({ path, files: place, walBytesMax })
  await archiver.sync()
  // For a while: nothing is lost.
  place.isDown = true
  for (let n = 0; n < 5; n++) await store.apply([set(`k${n}`, "kept")])
  t.equal(await refusal(() => archiver.sync()), "ArchiveUnreachable")
  place.isDown = false
  t.match(await archiver.sync(), { generation: 1, commit: 6 })
  // For too long: the log is let go.
  place.isDown = true
  let isReleased = false
  for (let n = 0; n < 100; n++) {
    await store.apply([set(`big${n}`, randomBytes(20_000))])
    if (n % 10 === 0) {
      isReleased = archiver.relieve() || isReleased
      t.equal(await refusal(() => archiver.sync()), "ArchiveUnreachable")
    }
  }
  t.ok(isReleased)
  archiver.relieve()
  await store.apply([set("last", "value")])
  place.isDown = false
  t.match(await archiver.sync(), { generation: 2, snapshot: "new", commit: 107 })
  const { gaps, problems } = await readArchive(folderFiles(archive))
  t.match(gaps, [{ after: 6, before: 107 }])
  t.same(problems, [])
  t.equal(await refusal(() => restore(newPath(), { files: folderFiles(archive), target: { commit: 50 } })), "NotArchived")
  t.equal(await refusal(() => plan({ files: folderFiles(archive), target: { atUs: (gaps[0]?.afterUs as number) + 1_000 } })), "NotArchived")
  for (const commit of [6, 107]) t.equal((await restore(newPath(), { files: folderFiles(archive), target: { commit } })).commit, commit)
  // Let go, it is SQLite's own to keep short: a thousand pages and what one commit brings.
  t.ok((await stat(`${path}-wal`)).size < 6 << 20)
})

t.test("a folder that is full leaves no half object, and one that is removed under way is begun anew", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  for (let n = 0; n < 20; n++) await store.apply([set(`k${n}`, randomBytes(20_000))])
  // A limit on the size of files stands in for a full disk.
  const child = spawn("sh", ["-c", `trap '' XFSZ; ulimit -f 100; exec "$0" "$@"`, process.execPath, programs.archive, "follow", path, archive, "100"], {
    stdio: ["ignore", "ignore", "pipe"],
  })
  let said = ""
  child.stderr.on("data", (data: Buffer) => (said += data.toString()))
  await once(child, "close")
  t.match(said, /STELE-STO-0030|Cannot use the archive/)
  t.same(await objectsIn(archive), [])
  await using archiver = await Archiver.open({ path, files: folderFiles(archive) })
  await archiver.sync()
  await rm(archive, { recursive: true })
  await store.apply([set("a", "1")])
  t.equal(await refusal(() => archiver.sync()), "ArchiveUnreachable")
  t.notOk(existsSync(archive), "a disk that is not mounted is not written to")
  await mkdir(archive)
  await store.apply([set("b", "2")])
  t.equal(await refusal(() => archiver.sync()), "ArchiveUnreachable", "no segment without what it continues")
  t.match(await archiver.sync(), { snapshot: "new", commit: 22 })
  const restored = newPath()
  await restore(restored, { files: folderFiles(archive) })
  t.equal(rowsOf(restored), rowsOf(path))
})

t.test("two archivers on one archive: the second is refused, and gets its turn when the first is gone", async (t) => {
  const { path, archive } = await some()
  {
    await using _ = await Archiver.open({ path, files: folderFiles(archive) })
    t.equal(await refusal(() => Archiver.open({ path, files: folderFiles(archive) })), "ArchiveBusy")
  }
  // Where there is no lock, the names are: whoever comes second to one has lost.
  const unlocked = { ...folderFiles(archive), lock: async () => () => {} }
  await using store = await SqliteStore.open(path)
  await store.apply([set("x", "1")])
  await using a = await Archiver.open({ path, files: unlocked })
  await using b = await Archiver.open({ path, files: unlocked })
  await a.sync()
  t.equal(await refusal(() => b.sync()), "ArchiveBusy")
  t.same((await readArchive(unlocked)).problems, [])
})

t.test("a folder with other files is not written to, and one without a backup is none", async (t) => {
  const { path } = await some()
  const other = newPath()
  await mkdir(other)
  t.equal(await refusal(() => readArchive(folderFiles(other))), "NotArchive")
  await writeFile(join(other, "letter.txt"), "dear")
  t.equal(await refusal(() => Archiver.open({ path, files: folderFiles(other) })), "NotArchive")
  t.equal(await refusal(() => readArchive(folderFiles(newPath()))), "ArchiveUnreachable")
})

t.test("a store that was restored to an earlier commit goes on in the same archive, and both histories can be restored", async (t) => {
  const { path, archive } = await some()
  const place = folderFiles(archive)
  const before = rowsOf(path)
  {
    await using store = await SqliteStore.open(path)
    t.equal(await refusal(() => restore(path, { files: place, target: { commit: 5 } })), "Exists")
    t.equal(await refusal(() => restore(path, { files: place, target: { commit: 5 }, replace: true })), "Busy")
    t.equal(store.reader.sequence, 13)
  }
  await restore(path, { files: place, target: { commit: 5 }, replace: true })
  t.equal(Mark.peek(`${path}-mark`)?.sequence, 5)
  {
    await using store = await SqliteStore.open(path)
    t.equal(store.refusal, undefined, "its mark is that of the restored commit")
    for (let n = 0; n < 8; n++) await store.apply([set("other", String(n))])
    t.same(store.reader.check(), [])
    await using archiver = await Archiver.open({ path, files: place })
    t.match(await archiver.sync(), { generation: 2, snapshot: "new", commit: 13 })
  }
  for (const [generation, rows] of [
    [1, before],
    [2, rowsOf(path)],
    [undefined, rowsOf(path)],
  ] as const) {
    const restored = newPath()
    await restore(restored, { files: place, target: { commit: 13, generation } })
    t.equal(rowsOf(restored), rows)
  }
  t.same(
    (await readdir(folder)).filter((name) => name.includes("restoring")),
    [],
  )
})

t.test("times in an archive never go back when the clock does, and say that they are not the calendar's", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await (await SqliteStore.open(path)).close()
  const hourUs = 3_600_000_000
  const startUs = Date.now() * 1_000
  await using archiver = await Archiver.open({ path, files: folderFiles(archive) })
  await archiver.sync()
  const database = new DatabaseSync(path)
  // As writers of another version with another clock leave them.
  for (const [n, offUs] of [0, 1, hourUs, hourUs + 1, 2, -hourUs, 3].entries()) {
    database.prepare("INSERT INTO commit_group (sequence, revision, digest, committed_us) VALUES (?, ?, ?, ?)").run(n + 1, n, randomBytes(32), startUs + offUs)
    await archiver.sync()
  }
  database.close()
  const { generations } = await readArchive(folderFiles(archive))
  const segments = generations[0]?.segments ?? []
  const times = segments.map(({ header }) => header.commit.orderedUs)
  t.same(
    times,
    times.toSorted((a, b) => a - b),
  )
  t.same(
    segments.map(({ header }) => header.isClockOff),
    [false, false, true, true, true, true, false],
  )
  for (let commit = 1; commit <= 7; commit++) {
    const restored = newPath()
    await restore(restored, { files: folderFiles(archive), target: { commit } })
    using reader = new SqliteReader(restored)
    t.equal(reader.sequence, commit)
  }
  t.equal((await plan({ files: folderFiles(archive), target: { atUs: startUs + 5 } })).commit, 2)
  t.equal((await plan({ files: folderFiles(archive), target: { atUs: startUs + hourUs + 1 } })).commit, 7)
})

t.test("an archiver goes on in its generation when the log still has everything, and not when it may not", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  const once = async (): Promise<unknown> => {
    await using archiver = await Archiver.open({ path, files: folderFiles(archive) })
    return await archiver.sync()
  }
  await store.apply([set("a", "1")])
  t.match(await once(), { generation: 1, snapshot: "new" })
  await store.apply([set("a", "2")])
  t.match(await once(), { generation: 1, index: 1, commit: 2 })
  t.equal(await once(), undefined)
  const other = new DatabaseSync(path)
  other.exec("PRAGMA wal_checkpoint(RESTART)")
  other.close()
  await store.apply([set("a", "3")])
  t.match(await once(), { generation: 2, snapshot: "new", commit: 3 })
})

t.test("commits are archived also while a snapshot is written, and the newest is the newest before it has caught up", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  for (let n = 0; n < 30; n++) await store.apply([set(`k${n}`, randomBytes(100_000))])
  const inner = folderFiles(archive)
  let slowly: (() => Promise<void>) | undefined
  let isDown = false
  const files: ArchiveFiles = {
    ...inner,
    async putIfAbsent(name, bytes) {
      if (isDown && name.endsWith("2/0000000001.segment")) throw new StorageError("ArchiveUnreachable", { archive, detail: "it is away" })
      const slow = async function* (): AsyncGenerator<Uint8Array> {
        for await (const part of bytes) {
          if (name.endsWith("2/0000000000.snapshot")) await slowly?.()
          yield part
        }
      }
      return inner.putIfAbsent(name, slow())
    },
  }
  await using archiver = await Archiver.open({ path, files, generationBytesMax: 10_000 })
  await archiver.sync()
  const seen: Array<number> = []
  let n = 0
  slowly = async () => {
    await store.apply([set("n", String(++n))])
    await new Promise((resume) => setTimeout(resume, 350))
    seen.push(archiver.commit)
  }
  isDown = true
  for (let i = 0; i < 70; i++) await store.apply([set("big", randomBytes(100_000))])
  t.equal(await refusal(() => archiver.sync()), "ArchiveUnreachable", "after its snapshot, when it was to catch up")
  t.ok((seen.at(-1) as number) > (seen[0] as number), `commits ${seen.join(", ")} archived while the snapshot was written`)
  const { generations, gaps, problems } = await readArchive(inner)
  t.same([gaps, problems], [[], []])
  t.ok((generations[0]?.last.sequence as number) > (generations[1]?.last.sequence as number))
  t.equal((await plan({ files: inner })).commit, generations[0]?.last.sequence)
  t.equal((await plan({ files: inner, target: { atUs: generations[0]?.last.orderedUs } })).commit, generations[0]?.last.sequence)
  isDown = false
  slowly = undefined
  t.match(await archiver.sync(), { generation: 2, index: 1 })
  t.equal((await plan({ files: inner })).generation, 2)
  for (const generation of [1, 2]) {
    const restored = newPath()
    await restore(restored, { files: inner, target: { commit: generations[0]?.last.sequence, generation } })
    if (generation === 1) continue
    await restore(`${restored}-newest`, { files: inner })
    t.equal(rowsOf(`${restored}-newest`), rowsOf(path))
  }
})

t.test("old generations are deleted when a new one is whole, and no more than that", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await using archiver = await Archiver.open({ path, files: folderFiles(archive), generationBytesMax: 20_000, generationsMax: 2 })
  for (let n = 0; n < 60; n++) {
    await store.apply([set("k", randomBytes(2_000))])
    await archiver.sync()
  }
  const { generations, gaps, problems } = await readArchive(folderFiles(archive))
  t.equal(generations.length, 2)
  t.ok((generations[0]?.generation ?? 0) > 1)
  t.same([gaps, problems], [[], []])
})

t.test("objects that rows refer to are in the archive with them, and come back with them", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  const key = randomBytes(32)
  const kept = new Map<string, Buffer>()
  await using objects = await FolderStore.open(objectsOf(path))
  await using store = await SqliteStore.open(path)
  const link = async (name: string, bytes: Buffer): Promise<string> => {
    const { digest } = await objects.put(bytes)
    kept.set(digest, bytes)
    await store.apply([{ op: "link", ...placeOf(`ada/${name}`), digest: Buffer.from(digest, "hex"), bytes: bytes.length }])
    return digest
  }
  const expected: Array<ReadonlyArray<string>> = []
  let lost: string
  {
    await using archiver = await Archiver.open({ path, files: folderFiles(archive), key, objects })
    const names = new Map<string, string>()
    for (let n = 0; n < 5; n++) {
      names.set(`b${n % 3}`, await link(`b${n % 3}`, randomBytes(n === 4 ? 3 << 20 : 100)))
      expected.push([...names.values()])
      await archiver.sync()
    }
    t.equal(archiver.missingBlobs, 0)
    // One that is gone before it could be archived keeps nothing else from being saved.
    lost = await link("lost", randomBytes(50))
    await objects.delete(lost)
    await archiver.sync()
    t.equal(archiver.missingBlobs, 1)
  }
  t.equal((await readArchive(folderFiles(archive))).blobs, 5)
  t.notOk(
    (await objectsIn(archive)).some((name) => [...kept.keys()].some((digest) => name.includes(digest))),
    "a name tells nobody what is kept",
  )
  const open = (folder: string): Promise<FolderStore> => FolderStore.open(folder)
  for (const [n, digests] of expected.entries()) {
    const restored = newPath()
    const { missingBlobs } = await restore(restored, { files: folderFiles(archive), key, objects: open, target: { commit: n + 1 } })
    t.same(missingBlobs, [])
    await using found = await FolderStore.open(objectsOf(restored))
    t.same(await found.list(undefined, 9), digests.toSorted())
    for (const digest of digests) t.ok((await found.read(digest, 0, 4 << 20))?.every((byte, at) => byte === kept.get(digest)?.[at]))
    t.same(await found.check(digests), [])
  }
  const restored = newPath()
  t.same((await restore(restored, { files: folderFiles(archive), key, objects: open })).missingBlobs, [lost])
  // In the place of a store its objects are replaced with it.
  await restore(restored, { files: folderFiles(archive), key, objects: open, target: { commit: 1 }, replace: true })
  await using found = await FolderStore.open(objectsOf(restored))
  t.same(await found.list(undefined, 9), expected[0])
})

t.test("`drill()` measures what a loss would cost", async (t) => {
  const { path, archive } = await some()
  const whole = await drill({ files: folderFiles(archive), path })
  t.match(whole, { restored: { commit: 13 }, rpoMs: 0, missing: 0, isAgainstStore: true })
  t.ok(whole.rtoMs > 0 && whole.lagMs.segments === 4)
  {
    await using store = await SqliteStore.open(path)
    await store.apply([set("x", "1")])
    await store.apply([set("x", "2")])
    await new Promise((resume) => setTimeout(resume, 20))
    const behind = await drill({ files: folderFiles(archive), path })
    t.equal(behind.missing, 2)
    t.ok(behind.rpoMs >= 20, `${behind.rpoMs} ms`)
  }
})

const readyOf = async (child: ChildProcess): Promise<void> =>
  void (await Promise.race([once(child.stdout as NodeJS.ReadableStream, "data"), once(child, "close")]))

t.test("archiver and writer are killed at any moment: the archive is whole, and lacks at most the last second", async (t) => {
  const rounds = isFull ? 50 : 5
  const [path, archive] = [newPath(), newPath()]
  await (await SqliteStore.open(path)).close()
  const acknowledged: Array<readonly [n: number, atMs: number]> = []
  const children = new Map<string, ChildProcess>()
  const startWriter = (): void => {
    const child = spawn(process.execPath, [programs.sqlite, "write", path, "k"], { stdio: ["ignore", "pipe", "ignore"] })
    child.stdout.on("data", (data: Buffer) => {
      for (const line of data.toString().trim().split("\n")) acknowledged.push([Number(line), performance.now()])
    })
    children.set("writer", child)
  }
  const startArchiver = async (): Promise<void> => {
    const child = spawn(process.execPath, [programs.archive, "follow", path, archive, "200"], { stdio: ["ignore", "pipe", "inherit"] })
    children.set("archiver", child)
    await readyOf(child)
  }
  const end = async (name: string): Promise<void> => {
    const child = children.get(name)
    children.delete(name)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, "close")
    child.kill("SIGKILL")
    await closed
  }
  t.teardown(async () => void (await Promise.all([end("writer"), end("archiver")])))
  let worstMs = 0
  for (let round = 0; round < rounds; round++) {
    if (!children.has("writer")) startWriter()
    if (!children.has("archiver")) await startArchiver()
    await new Promise((resume) => setTimeout(resume, 100 + below(round % 5 === 0 ? 1_500 : 250)))
    const atMs = performance.now()
    const victims = [["archiver"], ["writer", "archiver"], ["writer"]][below(3)] as ReadonlyArray<string>
    await Promise.all(victims.map(end))
    if (!victims.includes("archiver")) continue
    const { generations, problems } = await readArchive(folderFiles(archive))
    t.same(problems, [], `round ${round}`)
    const restored = newPath()
    const { commit } = await restore(restored, { files: folderFiles(archive) })
    t.equal(commit, generations.at(-1)?.last.sequence)
    using reader = new SqliteReader(restored)
    const [left, right] = ["left", "right"].map((name) => Number(Buffer.from(reader.ask({ ask: "get", ...placeOf(`ada/k-${name}`) })?.value ?? []).toString()))
    t.equal(left, right, `round ${round}: both or neither`)
    t.equal(left, commit, `round ${round}: a prefix of the commits`)
    const promised = acknowledged.findLast(([, saidMs]) => saidMs < atMs - 1_000)?.[0] ?? 0
    t.ok(commit >= promised, `round ${round}: ${commit} archived, ${promised} acknowledged a second before`)
    const missed = acknowledged.find(([n, saidMs]) => n > commit && saidMs <= atMs)
    worstMs = Math.max(worstMs, missed === undefined ? 0 : atMs - missed[1])
  }
  await end("archiver")
  await end("writer")
  t.comment(`${rounds} rounds, ${acknowledged.length} commits acknowledged, oldest one lost ${worstMs.toFixed(0)} ms old`)
  t.ok(acknowledged.length > rounds)
})

t.test("a restore that is killed leaves a whole store or none", async (t) => {
  const { path, archive } = await some()
  const rows = rowsOf(path)
  const counts = { whole: 0, none: 0 }
  let tookMs = 0
  for (let round = 0; round < (isFull ? 50 : 4); round++) {
    const restored = newPath()
    const child = spawn(process.execPath, [programs.archive, "restore", archive, restored], { stdio: ["ignore", "pipe", "ignore"] })
    const closed = once(child, "close")
    await readyOf(child)
    const startedMs = performance.now()
    // The first is left alone, and says how long the moments last in which the others are killed.
    if (round > 0) {
      await new Promise((resume) => setTimeout(resume, random() * 1.2 * tookMs))
      child.kill("SIGKILL")
    }
    await closed
    if (round === 0) tookMs = performance.now() - startedMs
    const isThere = existsSync(restored)
    if (isThere) {
      await using store = await SqliteStore.open(restored)
      t.equal(store.refusal, undefined)
      t.equal(rowsOf(restored), rows)
    }
    counts[isThere ? "whole" : "none"]++
  }
  t.comment(`${counts.whole} whole, ${counts.none} none`)
  t.ok(counts.whole > 0)
})

t.test("`follow()` archives until it is told to end, and lets a log go while the archive hangs", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await store.apply([set("a", "1")])
  const told = new AbortController()
  const hanging: { until?: Promise<void> } = {}
  const inner = folderFiles(archive)
  const place: ArchiveFiles = {
    ...inner,
    async putIfAbsent(name, bytes) {
      await hanging.until
      return inner.putIfAbsent(name, bytes)
    },
  }
  const events: Array<string> = []
  await using archiver = await Archiver.open({ path, files: place, walBytesMax: 300_000 })
  const waiting = new Map<string, () => void>()
  const heard = (what: string): Promise<void> => new Promise((resume) => waiting.set(what, resume))
  const archived = heard("archived")
  const hear = ({ what }: { readonly what: string }): void => {
    events.push(what)
    waiting.get(what)?.()
  }
  const done = follow(archiver, told.signal, hear, 20)
  await archived
  let release = (): void => {}
  hanging.until = new Promise((resume) => (release = resume))
  const released = heard("released")
  for (let n = 0; n < 30; n++) await store.apply([set(`k${n}`, randomBytes(20_000))])
  await released
  const again = heard("archived")
  release()
  await again
  told.abort()
  await done
  t.ok(events.includes("released"))
  t.equal(archiver.commit, 31)
  const restored = newPath()
  await restore(restored, { files: folderFiles(archive) })
  t.equal(rowsOf(restored), rowsOf(path))
})

t.test("damage of the log is not archived", async (t) => {
  const [path, archive] = [newPath(), newPath()]
  await using store = await SqliteStore.open(path)
  await store.apply([set("a", "1")])
  await using archiver = await Archiver.open({ path, files: folderFiles(archive) })
  await archiver.sync()
  const value = randomBytes(500)
  await store.apply([set("b", value)])
  const at = (await readFile(`${path}-wal`)).lastIndexOf(value)
  t.ok(at > 0)
  const wal = await open(`${path}-wal`, "r+")
  await wal.write(Buffer.from([(value[0] as number) ^ 1]), 0, 1, at)
  await wal.close()
  t.equal(await refusal(() => archiver.sync()), "Overwritten")
  t.equal((await readArchive(folderFiles(archive))).generations[0]?.segments.length, 0)
})
