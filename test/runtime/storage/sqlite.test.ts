import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFile, mkdtemp, open, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import t from "tap"
import { Host, StorageError, tenantKey } from "../../../runtime/mod.ts"
import { storeLimitsFrom } from "../../../runtime/port/limits.ts"
import { placeOf } from "../../../runtime/port/place.ts"
import { clockBase, clockFrom } from "../../../runtime/storage/clock.ts"
import { guestEvent, guestKeyValue } from "../../../runtime/storage/guest.ts"
import { eraseTenant } from "../../../runtime/storage/record.ts"
import { watch } from "../../../runtime/storage/watch.ts"
import { SqliteReader, SqliteStore, SqliteWriter } from "../../../runtime/storage/sqlite/mod.ts"
import { answer, engines, start } from "../../host/engine.ts"
import { isFull, sample, seed } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-sqlite-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const program = fileURLToPath(new URL("sqlite-program.ts", import.meta.url))
const key = (name: string): string => tenantKey("ada", name)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString())
const refused = async (run: () => unknown): Promise<StorageError["reason"]["_tag"] | "nothing"> => {
  try {
    await run()
    return "nothing"
  } catch (error) {
    if (error instanceof StorageError) return error.reason._tag
    throw error
  }
}

t.test("what was written is there after the store is opened again, versions included", async (t) => {
  const path = newPath()
  let version: number | undefined
  {
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    for (let i = 0; i < 50; i++) keyValue.set(key(`k${i}`), bytes(`v${i}`))
    version = keyValue.getVersioned(key("k49"))?.version
  }
  await using store = await SqliteStore.open(path)
  const keyValue = guestKeyValue(store)
  t.equal(textOf(keyValue.get(key("k7"))), "v7")
  t.equal(keyValue.list(key(""), undefined, 100).length, 50)
  t.equal(keyValue.getVersioned(key("k49"))?.version, version)
  t.equal(keyValue.swap(key("k49"), version, bytes("new")), true)
  t.equal(store.reader.sequence, 51)
  t.same(store.reader.check(), [])
})

t.test("`SqliteWriter.commit()` keeps a group's other batches when one is refused", async (t) => {
  const path = newPath()
  using writer = SqliteWriter.open(path, { acceptLoss: false, limits: storeLimitsFrom({ keyValue: { valueBytesMax: 4 } }), clock: clockFrom(clockBase()) })
  using reader = new SqliteReader(path)
  const set = (name: string, value: string) => ({ op: "set" as const, ...placeOf(key(name)), value: bytes(value) })
  const outcomes = writer.commit([[set("a", "1")], [set("b", "2"), set("c", "too long")], [set("d", "4")]])
  t.same(
    outcomes.map((outcome) => ("error" in outcome ? (outcome.error as StorageError).code : "kept")),
    ["kept", "STELE-CAP-0008", "kept"],
  )
  t.same(reader.ask({ ask: "list", ...placeOf(key("")), beyond: undefined, countMax: 10 }), ["a", "d"])
  t.equal(reader.sequence, 1)
  t.same(reader.check(), [])
})

t.test("writers that wait at the same moment share commits, and what one is refused for concerns no other", async (t) => {
  await using store = await SqliteStore.open(newPath(), { keyValue: { valueBytesMax: 100 } })
  const writes = Array.from({ length: 300 }, (_, i) =>
    store.apply([{ op: "set", ...placeOf(key(`k${i}`)), value: bytes(i % 10 === 7 ? "x".repeat(101) : String(i)) }]).then(
      () => "kept",
      (error: { readonly code: string }) => error.code,
    ),
  )
  const found = await Promise.all(writes)
  t.same(
    found,
    Array.from({ length: 300 }, (_, i) => (i % 10 === 7 ? "STELE-CAP-0008" : "kept")),
  )
  t.equal(store.reader.ask({ ask: "list", ...placeOf(key("")), beyond: undefined, countMax: 1_000 }).length, 270)
  t.ok(store.reader.sequence < 100, `${store.reader.sequence} commits for 270 writes`)
  t.same(store.reader.check(), [])
})

t.test("a write of one caller is seen by its next read, blocking and awaited writes mixed", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const keyValue = guestKeyValue(store)
  await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      for (let n = 0; n < 20; n++) {
        const name = key(`k${i}`)
        if (n % 2 === 0) await store.apply([{ op: "set", ...placeOf(name), value: bytes(String(n)) }])
        else keyValue.set(name, bytes(String(n)))
        t.equal(textOf(keyValue.get(name)), String(n))
      }
    }),
  )
})

t.test("a value that cannot be sent, is shared, or changes after the call harms nobody", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const keyValue = guestKeyValue(store)
  const detached = bytes("gone")
  structuredClone(detached, { transfer: [detached.buffer] })
  t.throws(() => keyValue.set(key("a"), "text" as unknown as Uint8Array), { code: "STELE-CFG-0002" })
  t.throws(() => keyValue.set(key("a"), detached), TypeError)
  await t.rejects(store.apply([{ op: "set", ...placeOf(key("a")), value: (() => 1) as unknown as Uint8Array }]), { code: "STELE-CFG-0002" })
  const value = bytes("as asked for")
  const written = store.apply([{ op: "set", ...placeOf(key("b")), value }])
  value.fill(0)
  await written
  t.equal(textOf(keyValue.get(key("b"))), "as asked for")
  keyValue.set(key("c"), new Uint8Array(new SharedArrayBuffer(8)))
  t.equal(keyValue.get(key("c"))?.length, 8)
  t.equal(keyValue.has(key("a")), false)
  t.same(store.reader.check(), [])
})

t.test("a row whose bytes changed is no answer, and can be written over and deleted", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    for (const name of ["a", "b"]) guestKeyValue(store).set(key(name), bytes("value"))
  }
  const database = new DatabaseSync(path)
  database.exec("UPDATE key_value SET value = x'00'")
  database.close()
  await using store = await SqliteStore.open(path)
  const keyValue = guestKeyValue(store)
  t.equal(await refused(() => keyValue.get(key("a"))), "Corrupt")
  t.equal(await refused(() => keyValue.swap(key("a"), 1, bytes("x"))), "Corrupt")
  t.equal(store.reader.check().length > 0, true)
  keyValue.set(key("a"), bytes("new"))
  t.equal(keyValue.delete(key("b")), true)
  t.equal(textOf(keyValue.get(key("a"))), "new")
})

t.test("`check()` finds nothing wrong while another thread writes", async (t) => {
  await using store = await SqliteStore.open(newPath())
  let n = 0
  const checks = { areOver: false }
  const writing = (async () => {
    for (; !checks.areOver; n++) await Promise.all([0, 1, 2].map((i) => store.apply([{ op: "set", ...placeOf(key(`k${n}-${i}`)), value: bytes("v") }])))
  })()
  for (let i = 0; i < 30; i++) {
    t.same(store.reader.check(), [])
    await new Promise((resume) => setImmediate(resume))
  }
  checks.areOver = true
  await writing
})

t.test("a mark that cannot be written does not undo what is kept", async (t) => {
  const path = newPath()
  await symlink("/dev/full", `${path}-mark`)
  await using store = await SqliteStore.open(path)
  const keyValue = guestKeyValue(store)
  t.equal(keyValue.increment(key("n"), 1n, 0n, 10n), 1n)
  t.equal(keyValue.increment(key("n"), 1n, 0n, 10n), 2n)
})

t.test("more writes than may wait are refused, and those before are kept", async (t) => {
  await using store = await SqliteStore.open(newPath(), { pendingMax: 5 })
  const writes = Array.from({ length: 8 }, (_, i) =>
    store.apply([{ op: "set", ...placeOf(key(`k${i}`)), value: bytes("v") }]).then(
      () => "kept",
      (error: { readonly code: string }) => error.code,
    ),
  )
  t.same(await Promise.all(writes), [...Array.from({ length: 5 }, () => "kept"), ...Array.from({ length: 3 }, () => "STELE-STO-0011")])
})

t.test("`close()` keeps what was asked for before it, and a process with nothing to wait for ends by itself", async (t) => {
  const path = newPath()
  const store = await SqliteStore.open(path)
  const writes = Array.from({ length: 50 }, (_, i) => store.apply([{ op: "set", ...placeOf(key(`k${i}`)), value: bytes("v") }]))
  await store.close()
  await Promise.all(writes)
  t.equal(await refused(() => store.apply([])), "Closed")
  const { status, stderr } = await start("node", program, ["leave", path])
  t.equal(status, 0, stderr)
  await using again = await SqliteStore.open(path)
  t.equal(again.reader.ask({ ask: "list", ...placeOf(key("")), beyond: undefined, countMax: 1_000 }).length, 51)
})

t.test("`Host.open()` keeps key-value data in the file it is given", async (t) => {
  const path = newPath()
  {
    await using host = await Host.open({ storage: `sqlite:${path}`, cache: false })
    await host.ports.keyValue.set(key("k"), bytes("kept"))
  }
  await using host = await Host.open({ storage: `sqlite:${path}`, cache: false, ports: { keyValue: undefined } as object })
  t.equal(textOf(await host.ports.keyValue.get(key("k"))), "kept")
  await t.rejects(Host.open({ storage: "sqlight:x" }), { code: "STELE-STO-0001" })
  await t.rejects(Host.open({ storage: "sqlite:" }), { code: "STELE-STO-0001" })
  const postgres = await Host.open({ storage: "s3://me:secret@host/db" }).then(
    () => undefined,
    (error: unknown) => error as Error,
  )
  t.match(postgres, { code: "STELE-PLG-0007" })
  t.notMatch(postgres?.message, /secret/)
})

t.test("a store that is no store, of a newer format, or nowhere is refused by name and left as it is", async (t) => {
  const path = newPath()
  const foreign = new DatabaseSync(path)
  foreign.exec("CREATE TABLE theirs (x)")
  foreign.close()
  const before = await readFile(path)
  t.equal(await refused(() => SqliteStore.open(path)), "Foreign")
  t.ok(before.equals(await readFile(path)))
  const text = newPath()
  await writeFile(text, "not a database, and long enough to be read as the header of one".repeat(20))
  t.equal(await refused(() => SqliteStore.open(text)), "Unreachable")
  t.equal(await refused(() => SqliteStore.open(join(folder, "none", "x.db"))), "Unreachable")
  t.equal(await refused(() => SqliteStore.open(folder)), "Unreachable")
  const newer = newPath()
  await (await SqliteStore.open(newer)).close()
  const database = new DatabaseSync(newer)
  database.exec("PRAGMA user_version = 999")
  database.close()
  t.equal(await refused(() => SqliteStore.open(newer)), "Newer")
})

t.test("a store of the first format gets the tables it lacks and keeps what it has", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    guestKeyValue(store).set(key("k"), bytes("kept"))
  }
  const database = new DatabaseSync(path)
  for (const { name } of database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('commit_group', 'key_value', 'key_value_total')")
    .all())
    database.exec(`DROP TABLE ${String(name)}`)
  database.exec("DROP INDEX key_value_expiry; ALTER TABLE key_value DROP COLUMN expires_us; PRAGMA user_version = 1")
  database.close()
  await using store = await SqliteStore.open(path)
  t.equal(textOf(guestKeyValue(store).get(key("k"))), "kept")
  // What changed before changes were kept is not known: nobody may go on after a revision of then.
  const changes = (after: number) => store.askSync({ ask: "changes", ...placeOf(key("")), after, countMax: 10 })
  t.equal(await refused(() => changes(0)), "Compacted")
  t.same(changes(1), { changes: [], revision: 1 })
  t.equal(guestEvent(store).publish(key("t"), bytes("e")), 1n)
  t.same(store.reader.check(), [])
})

t.test("a closed store refuses", async (t) => {
  const store = await SqliteStore.open(newPath())
  const keyValue = guestKeyValue(store)
  await store.close()
  await store.close()
  t.equal(await refused(() => keyValue.get(key("k"))), "Closed")
  t.equal(await refused(() => keyValue.set(key("k"), bytes("v"))), "Closed")
})

t.test("commits that were acknowledged and are gone are noticed: the store can be read, and written when the loss is accepted", async (t) => {
  const path = newPath()
  const old = newPath()
  {
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    keyValue.set(key("k"), bytes("first"))
  }
  await copyFile(path, old)
  {
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    keyValue.set(key("k"), bytes("second"))
    keyValue.set(key("k"), bytes("third"))
  }
  // The database goes back in time, as when a log is cut off; the mark stays.
  await copyFile(old, path)
  {
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    t.match((store.refusal as StorageError | undefined)?.reason, { _tag: "Lost", found: 1, known: 3 })
    t.equal(textOf(keyValue.get(key("k"))), "first")
    t.equal(await refused(() => keyValue.set(key("k"), bytes("x"))), "Lost")
  }
  {
    await using store = await SqliteStore.open(path, { acceptLoss: true })
    guestKeyValue(store).set(key("k"), bytes("other"))
  }
  await using store = await SqliteStore.open(path)
  t.equal(store.refusal, undefined)
  t.equal(textOf(guestKeyValue(store).get(key("k"))), "other")
})

t.test("a loss that is accepted stays accepted, also when nothing is left", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    guestKeyValue(store).set(key("k"), bytes("v"))
  }
  await rm(path)
  for (const options of [{ acceptLoss: true }, {}]) {
    await using store = await SqliteStore.open(path, options)
    t.equal(store.refusal, undefined)
  }
})

t.test("a database of the same length with another history is noticed", async (t) => {
  const [path, other] = [newPath(), newPath()]
  for (const [where, value] of [
    [path, "mine"],
    [other, "theirs"],
  ] as const) {
    await using store = await SqliteStore.open(where)
    guestKeyValue(store).set(key("k"), bytes(value))
  }
  await copyFile(other, path)
  await using store = await SqliteStore.open(path)
  t.match((store.refusal as StorageError | undefined)?.reason, { _tag: "Lost", found: 1, known: 1 })
})

t.test("a mark that is damaged or missing claims nothing", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    for (const value of ["1", "2", "3"]) guestKeyValue(store).set(key("k"), bytes(value))
  }
  for (const damage of [() => truncate(`${path}-mark`, 7), () => rm(`${path}-mark`), () => writeFile(`${path}-mark`, Buffer.alloc(1_024, 0xff))]) {
    await damage()
    await using store = await SqliteStore.open(path)
    t.equal(store.refusal, undefined)
    guestKeyValue(store).set(key("k"), bytes("4"))
  }
})

t.test("every flipped bit that changes an answer is found", async (t) => {
  const path = newPath()
  const names = Array.from({ length: 200 }, (_, i) => `name-${i}`)
  /** What a store says of ends, entries, references and changes. */
  const answers = (store: SqliteStore): string => {
    const [ada, bob] = [placeOf(key("")), placeOf(tenantKey("bob", ""))]
    const found = [
      store.askSync({ ask: "entries", ...bob, beyond: undefined, countMax: 1_000, bytesMax: 1e6 }),
      store.askSync({ ask: "log", ...placeOf(key("log")), after: 0n, countMax: 1_000, bytesMax: 1e6 }),
      store.askSync({ ask: "blobs", ...ada, beyond: undefined, countMax: 1_000 }),
      store.askSync({ ask: "changes", ...ada, after: 0, countMax: 1_000 }),
    ]
    return JSON.stringify(found, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
    )
  }
  let all = ""
  {
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    for (const name of names) keyValue.set(key(name), bytes(`value of ${name}, some forty bytes of it in all`))
    for (const name of names) guestEvent(store).publish(key("topic"), bytes(`event about ${name}`))
    await store.apply(names.map((name) => ({ op: "set", ...placeOf(tenantKey("bob", name)), value: bytes(name), ttlMs: 3_600_000 })))
    await store.apply(names.map((name) => ({ op: "append", ...placeOf(key("log")), payload: bytes(`entry about ${name}`) })))
    await store.apply(names.map((name, i) => ({ op: "link", ...placeOf(key(name)), digest: new Uint8Array(32).fill(i), bytes: i })))
    all = answers(store)
  }
  const { size } = await stat(path)
  const flips = isFull ? 2_000 : 150
  let state = seed
  const random = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32
  const counts = { same: 0, found: 0 }
  for (let i = 0; i < flips; i++) {
    const copy = newPath()
    await copyFile(path, copy)
    await copyFile(`${path}-mark`, `${copy}-mark`)
    const at = Math.floor(random() * size)
    const file = await open(copy, "r+")
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0] = (byte[0] as number) ^ (1 << Math.floor(random() * 8))
    await file.write(byte, 0, 1, at)
    await file.close()
    let isFound = false
    let isSame = true
    try {
      await using store = await SqliteStore.open(copy)
      isFound = store.refusal !== undefined || store.reader.check().length > 0
      const keyValue = guestKeyValue(store)
      for (const name of names) isSame &&= textOf(keyValue.get(key(name))) === `value of ${name}, some forty bytes of it in all`
      isSame &&= keyValue.list(key(""), undefined, 1_000).length === names.length
      const { events, lost } = guestEvent(store).read(key("topic"), 0n, 1_000)
      isSame &&= lost === 0n && names.every((name, n) => textOf(events[n]?.payload) === `event about ${name}`)
      isSame &&= answers(store) === all
    } catch (error) {
      // SQLite's own refusal counts as found: it is an error with a code, not an answer.
      isFound = error instanceof StorageError
    }
    t.ok(isSame || isFound, `bit flipped in byte ${at}`)
    counts[isFound ? "found" : "same"]++
    for (const suffix of ["", "-mark", "-wal", "-shm"]) await rm(copy + suffix, { force: true })
  }
  t.comment(`${flips} flips: ${counts.found} found, ${counts.same} in bytes that answer nothing`)
  t.ok(counts.found > 0 && counts.same >= 0)
})

t.test("nothing acknowledged is lost, and nothing is half, when the writer is killed at any moment", async (t) => {
  const rounds = isFull ? 100 : 10
  const path = newPath()
  let acknowledged = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [program, "write", path, "k"], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    const wanted = 1 + ((round * 7) % 23)
    while (said.split("\n").length <= wanted) await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    acknowledged = Number(said.split("\n").slice(0, -1).at(-1))
    await using store = await SqliteStore.open(path)
    const keyValue = guestKeyValue(store)
    const [left, right] = ["left", "right"].map((name) => Number(textOf(keyValue.get(key(`k-${name}`)))))
    t.equal(left, right, `round ${round}: both or neither`)
    t.ok((left as number) >= acknowledged, `round ${round}: ${left} written, ${acknowledged} acknowledged`)
    t.equal(store.refusal, undefined)
    t.same(store.reader.check(), [])
  }
  t.comment(`${rounds} rounds, ${acknowledged} writes acknowledged`)
})

t.test("processes of three engines count one key up together", async (t) => {
  const path = newPath()
  for (const { status, stderr } of await Promise.all(engines.map((engine) => start(engine, program, ["add", path, "40"])))) t.equal(status, 0, stderr)
  await using store = await SqliteStore.open(path)
  t.equal(textOf(guestKeyValue(store).get(key("count"))), String(40 * engines.length))
  t.equal(store.reader.sequence, 40 * engines.length)
  t.equal(store.refusal, undefined)
  t.same(store.reader.check(), [])
  for (const engine of engines) {
    const { found, findings } = await answer<{ readonly found: Record<string, string>; readonly findings: ReadonlyArray<unknown> }>(engine, program, [
      "read",
      path,
    ])
    t.same(found, { [key("count")]: String(40 * engines.length) }, String(engine))
    t.same(findings, [])
  }
})

t.test("who watches sees every change of three processes, in order and once, and who follows a log no entry before the one below it", async (t) => {
  const path = newPath()
  await using store = await SqliteStore.open(path)
  const times = 30
  const { tenant, key: prefix } = placeOf(key("count"))
  const ending = new AbortController()
  const watching = (async () => {
    const seen: Array<number> = []
    for await (const { revision } of watch(store, { tenant, prefix, after: 0, signal: ending.signal })) {
      seen.push(revision)
      if (seen.length === times * engines.length) break
    }
    return seen
  })()
  const following = { isOver: false }
  const followed = (async () => {
    let last = 0n
    while (!following.isOver || last < BigInt(times * engines.length)) {
      const page = await store.ask({ ask: "log", ...placeOf(key("log")), after: last, countMax: 100, bytesMax: 1e6 })
      for (const { offset } of page.entries) {
        if (offset !== last + 1n) t.fail(`${offset} after ${last}`)
        last = offset
      }
      await new Promise((resume) => setTimeout(resume, 1))
    }
    return last
  })()
  const runs = await Promise.all(engines.flatMap((engine) => ["add", "append"].map((what) => start(engine, program, [what, path, String(times)]))))
  for (const { status, stderr } of runs) t.equal(status, 0, stderr)
  following.isOver = true
  t.equal(await followed, BigInt(times * engines.length))
  const late = setTimeout(() => ending.abort(), 5_000)
  const seen = await watching
  clearTimeout(late)
  t.equal(seen.length, times * engines.length, "every change")
  t.ok(seen.every((revision, i) => revision > (seen[i - 1] ?? 0)))
  t.same(await store.check(), [])
})

t.test("a clock that is set an hour on or back, before a store is opened or meanwhile, makes no value live longer or shorter", async (t) => {
  const real = Date.now
  t.teardown(() => (Date.now = real))
  const hourMs = 3_600_000
  for (const firstMs of [hourMs, -hourMs, 0])
    for (const thenMs of [hourMs, -hourMs]) {
      const path = newPath()
      const ends = async (store: SqliteStore, name: string): Promise<number> => {
        const startedMs = performance.now()
        await store.apply([{ op: "set", ...placeOf(key(name)), value: bytes("v"), ttlMs: 60 }])
        Date.now = () => real() + thenMs
        while (store.askSync({ ask: "has", ...placeOf(key(name)) }) && performance.now() - startedMs < 5_000)
          await new Promise((resume) => setTimeout(resume, 2))
        return performance.now() - startedMs
      }
      Date.now = () => real() + firstMs
      {
        await using store = await SqliteStore.open(path)
        const livedMs = await ends(store, "a")
        t.ok(livedMs >= 59 && livedMs < 3_000, `${livedMs} ms, opened at ${firstMs}, set to ${thenMs}`)
      }
      // The newest commit may be an hour ahead of this process: its time goes on from there, it does not stand still.
      Date.now = real
      await using store = await SqliteStore.open(path)
      const livedMs = await ends(store, "b")
      t.ok(livedMs >= 59 && livedMs < 3_000, `${livedMs} ms, opened again`)
      Date.now = real
    }
})

t.test("of an erased tenant the file has no byte", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    for (let i = 0; i < 40; i++)
      await store.apply([
        { op: "set", ...placeOf(key(`name-of-ada-${i % 7}`)), value: bytes("secret-of-ada".repeat(1 + i * 20)) },
        { op: "append", ...placeOf(key("log-of-ada")), payload: bytes("secret-of-ada") },
        { op: "publish", ...placeOf(key("topic-of-ada")), payload: bytes("secret-of-ada") },
        { op: "set", ...placeOf(tenantKey("bob", `k${i}`)), value: bytes("secret-of-bob") },
      ])
    t.ok((await eraseTenant(store, placeOf(key("")).tenant, 7)) > 80)
    t.same(await store.check(), [])
  }
  // The last to close takes the log into the file and removes it.
  const found = (await readFile(path)).toString("latin1")
  t.match(found, /secret-of-bob/)
  t.notMatch(found, /of-ada/)
  await t.rejects(stat(`${path}-wal`))
})

t.test("the suite passes on every engine", async (t) => {
  // A short run has the whole in `conformance.test.ts`, on this engine.
  const share = isFull ? 1 : 8
  for (const [i, engine] of engines.entries()) {
    const found = await answer<{ readonly run: number }>(engine, "../runtime/storage/suite-program.ts", ["memory", String(share), String(sample + i)])
    t.match(found, { failed: [] }, engine)
    t.ok(found.run >= Math.floor(200 / share), `${found.run} cases`)
  }
})

t.test("a disk that is full refuses the write, keeps what was there and takes writes again", async (t) => {
  const path = newPath()
  await (await SqliteStore.open(path)).close()
  // A limit on the size of files stands in for a full disk.
  const child = spawn("sh", ["-c", `trap '' XFSZ; ulimit -f 200; exec "$0" "$1" write "$2" k`, process.execPath, program, path], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let said = ""
  let error = ""
  child.stdout.on("data", (data: Buffer) => (said += data.toString()))
  child.stderr.on("data", (data: Buffer) => (error += data.toString()))
  await once(child, "close")
  t.match(error, /STELE-STO-000[78]/)
  const acknowledged = Number(said.split("\n").slice(0, -1).at(-1) ?? 0)
  await using store = await SqliteStore.open(path)
  const keyValue = guestKeyValue(store)
  t.ok(Number(textOf(keyValue.get(key("k-left"))) ?? 0) >= acknowledged)
  t.equal(textOf(keyValue.get(key("k-left"))), textOf(keyValue.get(key("k-right"))))
  keyValue.set(key("after"), bytes("room"))
  t.same(store.reader.check(), [])
})
