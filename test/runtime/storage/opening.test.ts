/** What opening a store does and does not do: no thread before there is enough for one to do, and the same promises with it and without. */
import { existsSync } from "node:fs"
import { mkdtemp, rename, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setImmediate } from "node:timers/promises"
import t from "tap"
import type { Operation } from "../../../runtime/port/store.ts"
import { StorageError } from "../../../runtime/mod.ts"
import { placeOf } from "../../../runtime/port/place.ts"
import { FolderStore } from "../../../runtime/storage/folder/mod.ts"
import { digestOf } from "../../../runtime/storage/object/digest.ts"
import { openStores } from "../../../runtime/storage/storage.ts"
import { Mark } from "../../../runtime/storage/sqlite/mark.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"

t.setTimeout(300_000)
const folder = await mkdtemp(join(tmpdir(), "stele-opening-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const place = placeOf("ada/k")
const set = (value: string | Uint8Array): Extract<Operation, { readonly op: "set" }> => ({ op: "set", ...place, value: Buffer.from(value as string) })
/** More than the calling thread writes for who can wait. */
const large = new Uint8Array(40_000).fill(1)
const valueOf = (store: SqliteStore): string | undefined => {
  const found = store.askSync({ ask: "get", ...place })
  return found && Buffer.from(found.value).toString()
}
const tagOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "nothing",
    (error: unknown) => (error instanceof StorageError ? error.reason._tag : String(error)),
  )

/** Threads that this process has started since, by what they have open: the engine's own event for it. */
function threads(): { readonly count: number } & Disposable {
  const counted = {
    count: 0,
    [Symbol.dispose]: () => void process.off("worker", add),
  }
  const add = (): void => void counted.count++
  process.on("worker", add)
  return counted
}

/** The engine's clock goes on by `stepMs` at each look, so that a test's writes take as long as it says. */
function clock(stepMs: number): { stepMs: number } & Disposable {
  const { now } = performance
  let nowMs = now.call(performance)
  const set = { stepMs, [Symbol.dispose]: () => void (performance.now = now) }
  performance.now = () => (nowMs += set.stepMs)
  return set
}

t.test("opening, reading, blocking writes and a promise now and then start no thread, and more than a little starts one", async (t) => {
  const path = newPath()
  using started = threads()
  using time = clock(0)
  const { store, objects, close } = await openStores(`sqlite:${path}`)
  t.equal(await store.ask({ ask: "get", ...place }), undefined)
  for (let i = 0; i < 100; i++) store.applySync([set(`v${i}`)])
  for (let i = 0; i < 100; i++) await store.apply([set(`awaited ${i}`)])
  await store.apply([])
  const kept = objects.blocking?.put(Buffer.from("small")).digest as string
  t.equal(await objects.touch(kept), true)
  t.same(objects.blocking?.put(large), { digest: digestOf(large), bytes: large.length })
  t.equal(started.count, 0)
  // More than 10 ms of a second.
  time.stepMs = 6
  for (const count of [0, 0, 1, 1]) {
    await store.apply([set(`slow ${count}`)])
    t.equal(started.count, count)
  }
  for (const count of [1, 1, 2, 2]) {
    await objects.put(Buffer.from(`object ${count}`))
    t.equal(started.count, count)
  }
  t.equal(valueOf(store as SqliteStore), "slow 1")
  t.same([await store.check(), await objects.check()], [[], []])
  await close()
})

t.test("a promise that is large, or one of many, starts a thread at once", async (t) => {
  using _ = clock(0)
  for (const many of [
    [[set(large)]],
    Array.from({ length: 65 }, () => [set("v")]),
    [Array.from({ length: 300 }, () => set("v"))],
    [[{ op: "erase" as const, tenant: place.tenant, countMax: 10 }]],
  ]) {
    using started = threads()
    await using store = await SqliteStore.open(newPath())
    await Promise.all(many.map((batch) => store.apply(batch)))
    t.equal(started.count, 1)
  }
  for (const many of [[large, large], Array.from({ length: 17 }, (_, i) => Buffer.from(`${i}`))]) {
    using started = threads()
    await using objects = await FolderStore.open(join(folder, `objects-${files++}`))
    await Promise.all(many.map((bytes) => objects.put(bytes)))
    t.equal(started.count, 1)
  }
})

t.test("writes are done in the order in which they were asked for while the thread starts, before and after", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const answers: Array<number> = []
  const ask = (value: string | Uint8Array): Promise<void> => store.apply([set(value)]).then(([version]) => void answers.push(version))
  const all = [ask("first"), ask(large)]
  const second = store.applySync([set("second")])[0]
  // The thread starts for this one, and those that block do not wait for it.
  all.push(ask(large))
  await setImmediate()
  all.push(ask("third"))
  const fourth = store.applySync([set("fourth")])[0]
  t.equal(valueOf(store), "fourth")
  all.push(ask(large), ask("fifth"))
  await Promise.all(all)
  t.equal(valueOf(store), "fifth")
  const sixth = store.applySync([set("sixth")])[0]
  t.same(
    answers,
    answers.toSorted((a, b) => a - b),
  )
  t.ok((answers[1] as number) < second && second < (answers[2] as number) && (answers[3] as number) < fourth && fourth < (answers[4] as number))
  t.ok(sixth > (answers.at(-1) as number))
  t.same(await store.check(), [])
})

t.test("a transaction starts the thread, and who blocks meanwhile does not wait for it", async (t) => {
  await using store = await SqliteStore.open(newPath())
  const beginning = store.transaction()
  store.applySync([set("blocking")])
  const transaction = await beginning
  await transaction.run({ service: "s", text: "CREATE TABLE s_t (x INTEGER) STRICT" })
  await transaction.commit()
  t.equal(valueOf(store), "blocking")
  t.same(await store.check(), [])
})

t.test("what was asked for before closing is kept whether the thread runs, starts, or does not", async (t) => {
  for (const turns of [0, 1, 2, 20, 200]) {
    const path = newPath()
    const store = await SqliteStore.open(path)
    const asked = [store.apply([set(large)]), store.apply([set(`after ${turns}`)])]
    for (let i = 0; i < turns; i++) await setImmediate()
    await Promise.all([...asked, store.close()])
    await using again = await SqliteStore.open(path)
    t.equal(valueOf(again), `after ${turns}`)
    t.equal(again.refusal, undefined)
  }
})

t.test("opening and reading do not wait for who writes, and one who can wait does not block this thread", async (t) => {
  const path = newPath()
  await (await openStores(`sqlite:${path}`)).close()
  using other = new DatabaseSync(path)
  using beside = new DatabaseSync(join(`${path}-objects`, "catalogue.db"))
  for (const each of [other, beside]) each.exec("BEGIN IMMEDIATE")
  const { store, objects, close } = await openStores(`sqlite:${path}`)
  t.equal(await store.ask({ ask: "get", ...place }), undefined)
  const startedMs = performance.now()
  const written = [store.apply([set("waited")]), objects.put(Buffer.from("waited"))]
  await setImmediate()
  t.ok(performance.now() - startedMs < 5_000, "had both waited on this thread it would have taken 10,000 ms")
  for (const each of [other, beside]) each.exec("ROLLBACK")
  await Promise.all(written)
  t.equal(valueOf(store as SqliteStore), "waited")
  await close()
})

t.test("a file that is not the one opened gets no thread, and none is made in its place", async (t) => {
  const path = newPath()
  await using store = await SqliteStore.open(path)
  await rename(path, `${path}.moved`)
  t.equal(await tagOf(store.apply([set(large)])), "Unreachable")
  t.equal(existsSync(path), false)
  store.applySync([set("still there")])
  t.equal(valueOf(store), "still there")
  await rename(`${path}.moved`, path)
  await store.apply([set(large)])
  const objects = await FolderStore.open(`${path}-objects`)
  const catalogue = join(`${path}-objects`, "catalogue.db")
  await rename(catalogue, `${catalogue}.moved`)
  t.equal(await tagOf(Promise.all(Array.from({ length: 20 }, (_, i) => objects.put(Buffer.from(`${i}`))))), "Unreachable")
  t.equal(existsSync(catalogue), false)
  await rename(`${catalogue}.moved`, catalogue)
  await objects.put(new Uint8Array(60_000))
  await objects.close()
})

t.test("what a thread finds when it opens the file is each one's error, and tried again", async (t) => {
  const path = newPath()
  await using store = await SqliteStore.open(path)
  using other = new DatabaseSync(path)
  const { user_version: format } = other.prepare("PRAGMA user_version").get() as { readonly user_version: number }
  other.exec("PRAGMA user_version = 999")
  t.same(await Promise.all([tagOf(store.apply([set(large)])), tagOf(store.apply([set("x")]))]), ["Newer", "Newer"])
  other.exec(`PRAGMA user_version = ${format}`)
  await store.apply([set(large)])
  t.equal(store.refusal, undefined)
})

t.test("a commit that went missing after opening is noticed when the thread starts: nothing is written on top", async (t) => {
  const path = newPath()
  await using store = await SqliteStore.open(path, { acceptLoss: true })
  store.applySync([set("kept")])
  const mark = Mark.open(`${path}-mark`)
  mark.reset({ sequence: 99, digest: new Uint8Array(32).fill(9) })
  mark.close()
  t.equal(await tagOf(store.apply([set(large)])), "Lost")
  t.equal(await tagOf(store.apply([set("x")])), "Lost")
  t.equal(await tagOf((async () => store.applySync([set("x")]))()), "Lost")
  t.equal(valueOf(store), "kept")
})
