import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { memoryObserver, type ObserverEvent } from "../../../host/port/mod.ts"
import { Host, StorageError } from "../../../runtime/mod.ts"
import type { Store } from "../../../runtime/port/store.ts"
import type { UsageEntry } from "../../../runtime/port/usage.ts"
import { usageObserver } from "../../../runtime/service/usage.ts"
import { MemoryStore, type MemoryOptions } from "../../../runtime/storage/sqlite/memory.ts"
import { SqliteReader } from "../../../runtime/storage/sqlite/mod.ts"
import { tenantBytes } from "../../../runtime/storage/usage.ts"
import { example, jsonError, stele } from "../command-line.ts"
import { digest, record } from "../storage/usage-record.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-usage-service-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const used = (given: Parameters<typeof record>[0] = {}): ObserverEvent => ({ type: "usage", record: record(given) })
const all = (store: Store, tenant = "ada"): Promise<ReadonlyArray<UsageEntry>> =>
  store.ask({ ask: "usageRecords", tenant: tenantBytes(tenant), fromMs: 0, toMs: Infinity, countMax: 1e6 })
const totals = async (store: Store) => (await store.ask({ ask: "usage", by: "tenant" })).map(({ key, calls, dropped }) => ({ key, calls, dropped }))

/** A store whose `apply` fails as `fail` says, before or after it was done. */
function failing(
  options: MemoryOptions,
  fail: (attempt: number) => { readonly error: Error; readonly isDone: boolean } | undefined,
): MemoryStore & { attempts: number } {
  const store = new MemoryStore(options)
  const apply = store.apply.bind(store)
  return Object.assign(store, {
    attempts: 0,
    async apply(this: { attempts: number }, batch: Parameters<typeof apply>[0]) {
      const failure = fail(this.attempts++)
      if (failure === undefined) return apply(batch)
      if (failure.isDone) await apply(batch)
      throw failure.error
    },
  }) as MemoryStore & { attempts: number }
}
const busy = new StorageError("Busy", { store: "memory", waitedMs: 1 })

t.test("`emit()` writes nothing itself; `flush()` and `close()` write everything, by tenant and in order", async (t) => {
  await using store = new MemoryStore()
  const observer = usageObserver(store)
  for (let i = 0; i < 2_500; i++) observer.emit(used({ wallNs: i, tenant: i % 5 === 0 ? "bob" : "ada" }))
  t.same(await totals(store), [])
  t.match(observer.counts, { recorded: 0, waiting: 2_500, dropped: 0 })
  await observer.flush()
  t.same(await totals(store), [
    { key: "ada", calls: 2_000n, dropped: 0n },
    { key: "bob", calls: 500n, dropped: 0n },
  ])
  t.same(
    (await all(store, "bob")).map(({ wallNs }) => wallNs),
    Array.from({ length: 500 }, (_, i) => i * 5),
  )
  observer.emit(used())
  await observer.close()
  t.match(observer.counts, { recorded: 2_501, waiting: 0, dropped: 0 })
  observer.emit(used())
  t.equal(observer.dropped, 1)
  t.same(await store.check(), [])
})

t.test("what is emitted is written within the time it may wait, without being asked for", async (t) => {
  await using store = new MemoryStore()
  await using observer = usageObserver(store, { waitMsMax: 20 })
  const isWritten = new Promise<void>((done) => void store.onCommit(done))
  observer.emit(used())
  await isWritten
  t.same(await totals(store), [{ key: "ada", calls: 1n, dropped: 0n }])
})

t.test("every event goes on to the next observer, and those that are no usage are counted", async (t) => {
  await using store = new MemoryStore()
  const next = memoryObserver({ eventsMax: 3 })
  await using observer = usageObserver(store, { next })
  const events: ReadonlyArray<ObserverEvent> = [
    used(),
    { type: "denial", plugin: digest(1), tenant: "ada", grant: "log" },
    { type: "grant", plugin: digest(1), tenant: "ada", change: "granted", grant: "log" },
    { type: "stop", plugin: digest(1), tenant: "ada", export: "x", code: "STELE-LIM-0001", message: "" },
  ]
  for (const event of events) observer.emit(event)
  t.same(next.events, events.slice(0, 3))
  t.equal(observer.dropped, 1)
  t.match(observer.counts, { denials: 1, grants: 1, stops: 1, waiting: 1 })
})

t.test("records over what may wait are dropped and counted, and the store knows of them by tenant and plugin", async (t) => {
  await using store = new MemoryStore()
  const observer = usageObserver(store, { recordsMax: 10 })
  for (let i = 0; i < 25; i++) observer.emit(used({ plugin: digest(i % 2) }))
  t.equal(observer.dropped, 15)
  await observer.close()
  t.match(observer.counts, { recorded: 10, dropped: 15, waiting: 0 })
  t.same(await totals(store), [{ key: "ada", calls: 10n, dropped: 15n }])
  t.same(
    (await store.ask({ ask: "usage", by: "plugin" })).map(({ calls, dropped, failed }) => [calls, dropped, failed]),
    [
      [5n, 8n, 0n],
      [5n, 7n, 0n],
    ],
  )
  t.match((await all(store)).filter(({ dropped }) => dropped !== undefined)[0], { outcome: "STELE-STO-0063", wallNs: 0 })
  t.same(await store.check(), [])
})

t.test("a write that fails is tried again with the same ids: done or not, it counts once", async (t) => {
  await using store = failing({}, (attempt) => (attempt < 2 ? { error: busy, isDone: attempt % 2 === 1 } : undefined))
  const observer = usageObserver(store)
  for (let i = 0; i < 30; i++) observer.emit(used({ wallNs: i }))
  await observer.flush()
  t.equal(store.attempts, 3)
  t.equal(observer.problem, undefined)
  t.same(await totals(store), [{ key: "ada", calls: 30n, dropped: 0n }])
  t.equal((await all(store)).length, 30)
  await observer.close()
})

t.test("a store that takes no more keeps `close()` for a bounded time, and what is lost is counted and said", async (t) => {
  await using stuck = failing({}, () => ({ error: busy, isDone: false }))
  const observer = usageObserver(stuck, { closeMsMax: 300 })
  for (let i = 0; i < 7; i++) observer.emit(used())
  const startedMs = performance.now()
  await observer.close()
  t.ok(performance.now() - startedMs < 5_000)
  t.match(observer.counts, { recorded: 0, dropped: 7, waiting: 0 })
  t.match(observer.problem, { code: "STELE-STO-0063", message: /usage of 7 calls/ })
  await using closed = failing({}, () => ({ error: new StorageError("Closed", { store: "memory" }), isDone: false }))
  const other = usageObserver(closed)
  other.emit(used())
  await t.rejects(other.flush(), { code: "STELE-STO-0010" })
  await other.close()
  t.equal(other.dropped, 1)
})

t.test("a record that the store refuses takes none of its neighbours with it", async (t) => {
  await using store = new MemoryStore({ usage: { nameBytesMax: 100 } })
  const observer = usageObserver(store)
  const bad = [{ export: "x".repeat(200) }, { wallNs: -1 }, { wallNs: Number.NaN }, { tenant: "\ud800" }]
  for (let i = 0; i < 40; i++) observer.emit(used(i % 10 === 3 ? (bad[(i - 3) / 10] as object) : { wallNs: i }))
  await observer.close()
  t.match(observer.counts, { recorded: 36, dropped: 4, waiting: 0 })
  t.same(await totals(store), [{ key: "ada", calls: 36n, dropped: 0n }])
  t.match(observer.problem, { code: "STELE-STO-0063" })
})

t.test("a store that is full of records takes new ones, since the oldest make room", async (t) => {
  let us = Date.UTC(2026, 10, 15) * 1_000
  const clock = (): number => us
  await using store = new MemoryStore({ clock, usage: { bytesMax: 10_000, totalBytesMax: 15_000 } })
  const observer = usageObserver(store, { clock, batchRecordsMax: 40 })
  for (let i = 0; i < 1_000; i++) {
    us += 1_000_000
    observer.emit(used({ wallNs: i }))
    if (i % 40 === 39) await observer.flush()
  }
  await observer.close()
  t.same(await totals(store), [{ key: "ada", calls: 1_000n, dropped: 0n }])
  const kept = await all(store)
  t.ok(kept.length < 300, `${kept.length} records kept`)
  t.equal(kept.at(-1)?.wallNs, 999)
  t.same(await store.check(), [])
})

t.test("`emit()` costs less than a microsecond", async (t) => {
  await using store = new MemoryStore()
  const event = used({ hostCalls: { log: 1 } })
  let bestNs = Infinity
  for (let round = 0; round < 20; round++) {
    const observer = usageObserver(store, { batchRecordsMax: 10_000 })
    const startedMs = performance.now()
    for (let i = 0; i < 9_999; i++) observer.emit(event)
    bestNs = Math.min(bestNs, ((performance.now() - startedMs) * 1e6) / 9_999)
    await observer.close()
  }
  t.comment(`${Math.round(bestNs)} ns`)
  t.ok(bestNs < 1_000, `${bestNs} ns`)
})

t.test("`Host.open()` with a durable storage records usage, beside the observer it was given, unless told not to", async (t) => {
  const path = join(folder, "host.db")
  const observer = memoryObserver()
  const call = async (options: Parameters<typeof Host.open>[0]): Promise<void> => {
    await using host = await Host.open({ storage: `sqlite:${path}`, cache: false, ...options })
    const plugin = await host.load(example("greeter"), { grants: ["log", "kv:read:prices/*"], tenant: "ada/x", metering: "fuel" })
    await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
  }
  await call({ ports: { observer } })
  await call({})
  await call({ usage: false })
  await t.rejects(Host.open({ usage: "no" as unknown as boolean }), { code: "STELE-CFG-0002" })
  using reader = new SqliteReader(path)
  t.match(reader.ask({ ask: "usage", by: "tenant" }), [{ key: "ada/x", calls: 2n, failed: 0n, hostCalls: { log: 2n } }])
  const [first] = reader.ask({ ask: "usageRecords", tenant: tenantBytes("ada/x"), fromMs: 0, toMs: Infinity, countMax: 10 })
  const { id: _, ...rest } = first as UsageEntry
  const emitted = observer.events.find(({ type }) => type === "usage") as Extract<ObserverEvent, { readonly type: "usage" }>
  t.same(rest, emitted.record)
})

t.test("`stele usage` shows what `stele call --storage` cost, by what is asked for", (t) => {
  const storage = `sqlite:${join(folder, "call.db")}`
  for (const tenant of ["ada", "ada", "bob"])
    t.equal(
      stele(["call", example("greeter"), "greet", '{name: "Ada"}', "--grant", "log", "--grant", "kv:read:prices/*", "--tenant", tenant, "--storage", storage])
        .code,
      0,
    )
  const text = stele(["usage", storage]).stdout
  t.match(text, /^tenant +calls +failed +time/)
  t.match(text, /^ada +█* *2 +0 /m)
  t.match(text, /^all +3 +0 /m)
  t.match(text, /kv:read:prices\/\* +3/)
  const { usage, total } = JSON.parse(stele(["usage", storage, "--by", "day", "--tenant", "bob", "--json"]).stdout) as Record<string, unknown>
  t.match(usage, [{ day: /^\d{4}-\d\d-\d\d$/, calls: "1", hostCalls: { log: "1" } }])
  t.match(total, { calls: "1", dropped: "0" })
  const [plugin] = (JSON.parse(stele(["usage", storage, "--by", "plugin", "--json"]).stdout) as { readonly usage: ReadonlyArray<{ readonly plugin: string }> })
    .usage
  t.match(JSON.parse(stele(["usage", storage, "--plugin", plugin?.plugin.slice(7, 15) ?? "", "--json"]).stdout), { total: { calls: "3" } })
  t.match(stele(["usage", storage, "--from", "2001-01-01", "--to", "2001-01-02"]).stdout, /No usage/)
  for (const [words, code] of [
    [["--by", "dya"], "STELE-CFG-0003"],
    [["--from", "2026-02-30"], "STELE-CFG-0002"],
    [["--plugin", "zz"], "STELE-CFG-0003"],
  ] as const)
    t.equal(jsonError(stele(["usage", storage, ...words, "--json"]))["code"], code)
  t.match(JSON.parse(stele(["usage", "--json"], { env: { STELE_STORAGE: storage } }).stdout), { total: { calls: "3" } })
  t.equal(jsonError(stele(["usage", `sqlite:${join(folder, "none.db")}`, "--json"]))["code"], "STELE-STO-0002")
  t.end()
})
