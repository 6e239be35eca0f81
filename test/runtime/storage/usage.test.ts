import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { fileURLToPath } from "node:url"
import t from "tap"
import { StorageError } from "../../../runtime/mod.ts"
import type { Store } from "../../../runtime/port/store.ts"
import { dayOf, dayText, msOf, type UsageAnswer, type UsageEntry, type UsageGroup, type UsageQuestion } from "../../../runtime/port/usage.ts"
import { usageIds } from "../../../runtime/service/usage-id.ts"
import { retain } from "../../../runtime/service/usage-retention.ts"
import { type DayRow, sumOfDay } from "../../../runtime/storage/usage-row.ts"
import { MemoryStore, type MemoryOptions } from "../../../runtime/storage/sqlite/memory.ts"
import { SqliteReader, SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import { digestOf, eraseTenant, recordsOf } from "../../../runtime/storage/record.ts"
import { packUsage, RollUp, tenantBytes, tenantText, unpackUsage, usageError } from "../../../runtime/storage/usage.ts"
import { Packer, Unpacker } from "../../../runtime/storage/varint.ts"
import { engines, start } from "../../host/engine.ts"
import { digest, idAt, record } from "./usage-record.ts"
import { isFull, seed } from "../../seed.ts"

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-usage-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const program = fileURLToPath(new URL("usage-program.ts", import.meta.url))
const dayMs = 86_400_000
const nowMs = Date.UTC(2026, 10, 15, 12)
const opened = (options: MemoryOptions = {}): MemoryStore => new MemoryStore({ clock: () => nowMs * 1_000, ...options })
const ada = tenantBytes("ada")

const entry = (ms: number, n = 0, given: Partial<UsageEntry> = {}): UsageEntry => ({ ...record(), id: idAt(ms, n), ...given })
/** Records entries of one tenant. */
async function put(store: Store, entries: ReadonlyArray<UsageEntry>, tenant = ada): Promise<ReadonlyArray<UsageAnswer>> {
  return (await store.apply([{ op: "record", tenant, records: packUsage(entries) }]))[0]
}
const sums = async (store: Store, by: "tenant" | "plugin" | "day" = "tenant", rest: object = {}): Promise<ReadonlyArray<UsageGroup>> =>
  store.ask({ ask: "usage", by, ...rest } as Extract<UsageQuestion, { readonly ask: "usage" }>)
const calls = async (store: Store): Promise<bigint> => (await sums(store)).reduce((all, group) => all + group.calls, 0n)
const all = async (store: Store, tenant = ada): Promise<ReadonlyArray<UsageEntry>> =>
  store.ask({ ask: "usageRecords", tenant, fromMs: 0, toMs: Infinity, countMax: 1e6 })
const seeded = (seed: number) => (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32

t.test("`record` keeps a record once, however often it is sent", async (t) => {
  await using store = opened()
  t.same(await put(store, [entry(nowMs, 1), entry(nowMs, 2)]), ["new", "new"])
  t.same(await put(store, [entry(nowMs, 2), entry(nowMs, 1), entry(nowMs, 3)]), ["known", "known", "new"])
  t.same(await put(store, [entry(nowMs, 4), entry(nowMs, 4)]), ["new", "known"])
  t.equal(await calls(store), 4n)
  t.same(await store.check(), [])
})

t.test("`record` answers `conflict` for a known id with another content, keeps the first, and takes its neighbours", async (t) => {
  await using store = opened()
  const first = entry(nowMs, 1, { wallNs: 5, fuel: 7n, hostCalls: { log: 1, "kv:read:*": 2 } })
  await put(store, [first])
  const others: ReadonlyArray<Partial<UsageEntry>> = [
    { wallNs: 6 },
    { fuel: 8n },
    { fuel: 0n },
    { plugin: digest(2) },
    { export: "other" },
    { outcome: "guest" },
    { memoryPeakBytes: 1 },
    { bytesIn: 0 },
    { bytesOut: 0 },
    { hostCalls: { log: 2, "kv:read:*": 2 } },
    { hostCalls: { log: 1 } },
    { dropped: 1 },
  ]
  for (const other of others)
    t.same(await put(store, [entry(nowMs, 2), { ...first, ...other }]).then((answers) => answers[1]), "conflict", JSON.stringify(Object.keys(other)))
  // The same, said in another order.
  t.same(await put(store, [{ ...first, hostCalls: { "kv:read:*": 2, log: 1 } }]), ["known"])
  t.equal(await calls(store), 2n)
  t.match((await all(store))[0], { wallNs: 5, fuel: 7n, hostCalls: { log: 1, "kv:read:*": 2 } })
  t.equal(usageError(store, first.id, "conflict")?.code, "STELE-STO-0060")
  t.same(await store.check(), [])
})

t.test("`record` takes late records and those out of order, each on its own day", async (t) => {
  await using store = opened()
  for (const days of [3, 1, 300, 2, 0]) t.same(await put(store, [entry(nowMs - days * dayMs, days)]), ["new"])
  t.same(
    (await sums(store, "day")).map(({ key }) => key),
    [300, 3, 2, 1, 0].map((days) => dayText(dayOf(idAt(nowMs - days * dayMs)))),
  )
  t.same(
    (await all(store)).map(({ id }) => msOf(id)),
    [300, 3, 2, 1, 0].map((days) => nowMs - days * dayMs),
  )
  t.same((await sums(store, "day", { fromDay: dayOf(idAt(nowMs)) - 2, toDay: dayOf(idAt(nowMs)) - 1 })).length, 2)
})

t.test("`record` refuses what is further ahead than a wrong clock, and takes clocks that are an hour off", async (t) => {
  await using store = opened()
  t.same(await put(store, [entry(nowMs + 3_600_000), entry(nowMs - 3_600_000), entry(nowMs + 2 * dayMs)]), ["new", "new", "ahead"])
  t.equal(await calls(store), 2n)
  t.match(usageError(store, idAt(nowMs + 2 * dayMs), "ahead", nowMs)?.reason, { _tag: "UsageAhead", aheadMs: 2 * dayMs })
})

t.test("sums are exact beyond 64 bits", async (t) => {
  await using store = opened()
  const most = 0xffff_ffff_ffff_ffffn
  const count = 300
  for (let round = 0; round < 3; round++)
    await put(
      store,
      Array.from({ length: count }, (_, n) =>
        entry(nowMs, round * count + n, { fuel: most, wallNs: Number.MAX_SAFE_INTEGER, bytesIn: Number.MAX_SAFE_INTEGER }),
      ),
    )
  t.match(await sums(store), [
    { calls: 900n, fuel: 900n * most, wallNs: 900n * BigInt(Number.MAX_SAFE_INTEGER), bytesIn: 900n * BigInt(Number.MAX_SAFE_INTEGER) },
  ])
  t.equal((await all(store))[0]?.fuel, most)
  t.same(await store.check(), [])
})

/** What a store should say after a history, by doing it in the simplest way. */
class Model {
  readonly kept = new Map<string, UsageEntry>()
  readonly counted: Array<UsageEntry> = []
  readonly forgotten = new Map<string, string>()

  put(tenant: string, each: UsageEntry): UsageAnswer {
    const id = Buffer.from(each.id).toString("hex")
    const key = `${tenant} ${id}`
    const old = this.kept.get(key)
    const text = (of: UsageEntry): string =>
      JSON.stringify({ ...of, id, tenant, fuel: String(of.fuel), hostCalls: Object.entries(of.hostCalls).toSorted(([a], [b]) => (a < b ? -1 : 1)) })
    if (old !== undefined) return text(old) === text(each) ? "known" : "conflict"
    if (id <= (this.forgotten.get(tenant) ?? "")) return "late"
    this.kept.set(key, { ...each, tenant })
    this.counted.push({ ...each, tenant })
    return "new"
  }

  forget(tenant: string, before: Uint8Array, countMax: number): number {
    const limit = Buffer.from(before).toString("hex")
    const ids = [...this.kept.keys()].filter((key) => key.startsWith(`${tenant} `)).map((key) => key.slice(tenant.length + 1))
    const gone = ids
      .filter((id) => id < limit)
      .toSorted()
      .slice(0, countMax)
    for (const id of gone) this.kept.delete(`${tenant} ${id}`)
    const last = gone.at(-1)
    if (last !== undefined) this.forgotten.set(tenant, last)
    return gone.length
  }

  sums(by: "tenant" | "plugin" | "day", only: (each: UsageEntry) => boolean = () => true): ReadonlyArray<UsageGroup> {
    const groups = Map.groupBy(this.counted.filter(only), (each) => (by === "day" ? dayText(dayOf(each.id)) : each[by]))
    return [...groups]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, entries]) => {
        const sum = (part: (each: UsageEntry) => number | bigint): bigint => entries.reduce((total, each) => total + BigInt(part(each)), 0n)
        const grants = [...new Set(entries.flatMap(({ hostCalls }) => Object.keys(hostCalls)))].toSorted()
        return {
          key,
          calls: BigInt(entries.filter(({ dropped }) => dropped === undefined).length),
          failed: BigInt(entries.filter(({ dropped, outcome }) => dropped === undefined && outcome !== "ok").length),
          dropped: sum(({ dropped = 0 }) => dropped),
          wallNs: sum(({ wallNs }) => wallNs),
          fuel: sum(({ fuel = 0n }) => fuel),
          memoryPeakBytes: BigInt(Math.max(...entries.map(({ memoryPeakBytes }) => memoryPeakBytes))),
          bytesIn: sum(({ bytesIn }) => bytesIn),
          bytesOut: sum(({ bytesOut }) => bytesOut),
          hostCalls: Object.fromEntries(grants.map((grant) => [grant, sum(({ hostCalls }) => hostCalls[grant] ?? 0)])),
        }
      })
  }
}

t.test("sums are those of the records that were new, over random histories", async (t) => {
  const seeds = isFull ? 200 : 12
  const answers: Record<string, number> = {}
  for (let each = seed; each < seed + seeds; each++) {
    const random = seeded(each * 7_919)
    const below = (n: number): number => Math.floor(random() * n)
    const model = new Model()
    await using store = opened()
    const tenants = ["ada", "bob/%", "Ünal"]
    const outcomes = ["ok", "ok", "guest", "STELE-LIM-0001"] as const
    for (let step = 0; step < 30; step++) {
      const tenant = tenants[below(3)] as string
      if (random() < 0.15) {
        const [before, countMax] = [idAt(nowMs - below(6) * dayMs), 1 + below(12)]
        const [removed] = await store.apply([{ op: "forget", tenant: tenantBytes(tenant), beforeId: before, countMax }])
        t.equal(removed, model.forget(tenant, before, countMax), `seed ${each}`)
        continue
      }
      const entries = Array.from({ length: 1 + below(10) }, (): UsageEntry => {
        const n = below(60)
        // What belongs to an id hangs on it, mostly: then it is known, and otherwise a conflict.
        const of = random() < 0.1 ? below(1_000) : n
        return {
          ...record({
            plugin: digest(of % 3),
            tenant: "",
            outcome: outcomes[of % 4] as "ok",
            wallNs: of * 1_000,
            memoryPeakBytes: of,
            bytesIn: of,
            bytesOut: n,
          }),
          id: idAt(nowMs - (n % 6) * dayMs, n),
          ...(of % 2 === 0 ? {} : { fuel: BigInt(of) * 3n }),
          ...(of % 13 === 5 ? { dropped: of } : {}),
          hostCalls: Object.fromEntries(
            [
              ["log", of],
              ["kv:read:*", 1],
              ["config:x", 3],
            ].slice(0, of % 4),
          ),
        }
      })
      const wanted = entries.map((each) => model.put(tenant, each))
      t.same(await put(store, entries, tenantBytes(tenant)), wanted, `seed ${each}`)
      for (const answer of wanted) answers[answer] = (answers[answer] ?? 0) + 1
    }
    for (const by of ["tenant", "plugin", "day"] as const) t.same(await sums(store, by), model.sums(by), `seed ${each} by ${by}`)
    t.same(
      await sums(store, "day", { tenant: tenantBytes("bob/%"), plugin: digest(1) }),
      model.sums("day", (each) => each.tenant === "bob/%" && each.plugin === digest(1)),
    )
    t.same(
      await sums(store, "plugin", { fromDay: dayOf(idAt(nowMs)) - 3, toDay: dayOf(idAt(nowMs)) - 1 }),
      model.sums("plugin", ({ id }) => dayOf(id) >= dayOf(idAt(nowMs)) - 3 && dayOf(id) < dayOf(idAt(nowMs))),
    )
    t.equal((await Promise.all(tenants.map((tenant) => all(store, tenantBytes(tenant))))).flat().length, model.kept.size)
    t.same(await store.check(), [], `seed ${each}`)
  }
  for (const answer of ["new", "known", "conflict", "late"]) t.ok((answers[answer] ?? 0) > 10, `${answer}: ${answers[answer]}`)
})

t.test("`forget` removes the oldest and keeps the sums; what is as old is then refused, since nobody can know it", async (t) => {
  await using store = opened()
  await put(
    store,
    Array.from({ length: 10 }, (_, n) => entry(nowMs - (10 - n) * 1_000, n)),
  )
  t.same(await store.apply([{ op: "forget", tenant: ada, beforeId: idAt(nowMs), countMax: 4 }]), [4])
  t.equal(await calls(store), 10n)
  t.equal((await all(store)).length, 6)
  t.same(await put(store, [entry(nowMs - 10_000, 0), entry(nowMs - 20_000, 99), entry(nowMs - 6_000, 4)]), ["late", "late", "known"])
  t.equal(await calls(store), 10n)
  t.same(await store.check(), [])
  t.equal(usageError(store, idAt(1), "late")?.code, "STELE-STO-0061")
})

t.test("`retain()` removes by age and by bytes, the oldest of all tenants first, and nothing else", async (t) => {
  await using aged = opened({ usage: { ageMsMax: 10 * dayMs } })
  await put(
    aged,
    [1, 9, 11, 40].map((days) => entry(nowMs - days * dayMs, days)),
  )
  t.equal(await retain(aged, nowMs), 2)
  t.same(
    (await all(aged)).map(({ id }) => nowMs - msOf(id)),
    [9 * dayMs, dayMs],
  )
  t.equal(await retain(aged, nowMs), 0)
  await using full = opened({ usage: { bytesMax: 15_000 } })
  const bob = tenantBytes("bob")
  for (let n = 0; n < 400; n++) await put(full, [entry(nowMs - (400 - n) * 1_000, n)], n % 4 === 0 ? bob : ada)
  const before = (await full.ask({ ask: "usageTenants" })).reduce((sum, { bytes }) => sum + bytes, 0)
  t.ok(before > 18_000, `${before}`)
  const removed = await retain(full, nowMs)
  const tenants = await full.ask({ ask: "usageTenants" })
  const bytes = tenants.reduce((sum, each) => sum + each.bytes, 0)
  t.ok(bytes <= 15_000 && bytes > 12_000, `${bytes} bytes`)
  const left = [...(await all(full)), ...(await all(full, bob))].map(({ id }) => msOf(id))
  t.equal(left.length, 400 - removed)
  t.equal(Math.min(...left), nowMs - left.length * 1_000)
  t.equal(await calls(full), 400n)
  t.same(await full.check(), [])
})

t.test("tenants are apart: an id of one is nobody else's, and one's records and erasure are its own", async (t) => {
  await using store = opened()
  const bob = tenantBytes("bob")
  t.same(await put(store, [entry(nowMs, 1)]), ["new"])
  t.same(await put(store, [entry(nowMs, 1, { wallNs: 5 })], bob), ["new"])
  t.same(
    (await all(store)).map(({ tenant, wallNs }) => [tenant, wallNs]),
    [["ada", 1_000]],
  )
  t.same(
    (await sums(store, "tenant", { tenant: bob })).map(({ key }) => key),
    ["bob"],
  )
  await store.apply([{ op: "forget", tenant: bob, beforeId: idAt(nowMs + 1), countMax: 10 }])
  t.same(await put(store, [entry(nowMs - 1, 7)]), ["new"])
  t.ok((await eraseTenant(store, ada, 2)) > 0)
  t.same(
    (await sums(store)).map(({ key }) => key),
    ["bob"],
  )
  t.same(await store.check(), [])
  t.same((await store.ask({ ask: "tenants", after: undefined, countMax: 10 })).map(tenantText), ["bob"])
})

t.test("a tenant's usage is the same in the store that it is imported into, and counts on there", async (t) => {
  await using store = opened()
  await using other = opened()
  await put(other, [entry(nowMs, 99, { plugin: digest(9), hostCalls: { other: 1 } })])
  for (let n = 0; n < 60; n++)
    await put(store, [entry(nowMs - (n % 5) * dayMs, n, { plugin: digest(n % 7), hostCalls: n % 2 === 0 ? { log: n } : { "kv:read:*": 1, log: 2 } })])
  await store.apply([{ op: "forget", tenant: ada, beforeId: idAt(nowMs), countMax: 10 }])
  await eraseTenant(other, ada)
  // Twice, as when it was broken off: what is there already is replaced.
  for (let round = 0; round < 2; round++)
    for await (const each of recordsOf(store, ada, "usage")) await other.apply([{ op: "import", tenant: ada, table: "usage", record: each, revision: 1 }])
  t.same(await digestOf(other, ada, "usage"), await digestOf(store, ada, "usage"))
  t.same(await other.check(), [])
  const pages: Array<string> = []
  for (let after: Uint8Array | undefined; ;) {
    const page = await store.ask({ ask: "export", tenant: ada, table: "usage", after, countMax: 3 })
    pages.push(...page.records.map(({ order }) => Buffer.from(order).toString("hex")))
    after = page.records.at(-1)?.order
    if (page.isComplete) break
  }
  t.same(pages, [...new Set(pages)].toSorted())
  const [oldest] = await all(store)
  t.same(await put(other, [oldest as UsageEntry, entry(nowMs - 300 * dayMs, 1), entry(nowMs, 500)]), ["known", "late", "new"])
  t.equal(await calls(other), 61n)
  t.same(await other.check(), [])
  for (const order of [Buffer.of(9), Buffer.of(2, 1), Buffer.alloc(3, 1)])
    await t.rejects(other.apply([{ op: "import", tenant: ada, table: "usage", record: { order, fields: {} }, revision: 1 }]), { code: "STELE-STO-0042" })
})

t.test("bytes that are no records are refused, and nothing of them is kept", async (t) => {
  await using store = opened()
  const good = packUsage([entry(nowMs, 1, { hostCalls: { log: 1 }, fuel: 5n }), entry(nowMs, 2)])
  const random = seeded(seed)
  let refused = 0
  for (let i = 0; i < (isFull ? 20_000 : 2_000); i++) {
    const bytes = Uint8Array.from(good)
    const cut = random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
    for (let flips = Math.floor(random() * 4); flips > 0; flips--) cut[Math.floor(random() * cut.length)] = Math.floor(random() * 256)
    try {
      await store.apply([{ op: "record", tenant: ada, records: cut }])
    } catch (error) {
      t.match((error as { readonly code: string }).code, /^STELE-(CFG-0002|CAP-0008)$/, String(error))
      refused++
    }
  }
  t.ok(refused > 100, `${refused} refused`)
  t.same(await store.check(), [])
  t.throws(() => unpackUsage(packUsage([{ ...entry(nowMs), id: new Uint8Array(16) }])), { code: "STELE-CFG-0002" })
  for (const bad of [{ wallNs: -1 }, { wallNs: 1.5 }, { bytesIn: Number.NaN }, { fuel: -1n }, { fuel: 1n << 64n }, { id: new Uint8Array(3) }])
    t.throws(() => packUsage([entry(nowMs, 0, bad)]), RangeError)
})

t.test("a batch that is too large, a name that is too long and a store that is full are refused by the limit's name", async (t) => {
  await using store = opened({ usage: { recordsMax: 2, nameBytesMax: 100, totalBytesMax: 900 } })
  const refusal = (entries: ReadonlyArray<UsageEntry>) => t.rejects(put(store, entries), { code: "STELE-CAP-0008" })
  await refusal([entry(nowMs, 1), entry(nowMs, 2), entry(nowMs, 3)])
  await refusal([entry(nowMs, 1, { export: "x".repeat(101) })])
  let kept = 0
  await t.rejects(
    (async () => {
      for (; kept < 1_000; kept++) await put(store, [entry(nowMs, kept)])
    })(),
    { code: "STELE-CAP-0008", message: /totalBytesMax/ },
  )
  t.ok(kept > 5 && kept < 20, `${kept} kept`)
  t.equal(await calls(store), BigInt(kept))
})

t.test("a row of usage whose bytes changed, or that is gone, is found and is no answer", async (t) => {
  const damages: ReadonlyArray<readonly [sql: string, ask: boolean]> = [
    ["UPDATE usage SET payload = zeroblob(length(payload)) WHERE id = (SELECT min(id) FROM usage)", false],
    ["UPDATE usage SET sum = sum + 4294967296", false],
    ["DELETE FROM usage WHERE id = (SELECT max(id) FROM usage)", false],
    ["UPDATE usage SET tenant = x'6361'", false],
    ["UPDATE usage_day SET payload = (SELECT payload FROM usage_day ORDER BY day DESC LIMIT 1)", true],
    ["UPDATE usage_day SET day = day + 1 WHERE day = (SELECT max(day) FROM usage_day)", true],
    ["DELETE FROM usage_day WHERE day = (SELECT max(day) FROM usage_day)", false],
    ["UPDATE usage_name SET name = x'00' WHERE name = CAST('log' AS BLOB)", true],
    ["UPDATE usage_name SET id = 1000 WHERE name = CAST('ok' AS BLOB)", false],
    ["UPDATE usage_forgotten SET id = zeroblob(16)", false],
    ["DELETE FROM usage_forgotten", false],
  ]
  for (const [sql, isAsked] of damages) {
    const path = newPath()
    {
      await using store = await SqliteStore.open(path)
      for (const days of [5, 4, 3, 2]) await put(store, [entry(Date.now() - days * dayMs, days, { wallNs: days, hostCalls: { log: days } })])
      await store.apply([{ op: "forget", tenant: ada, beforeId: idAt(Date.now()), countMax: 1 }])
      t.same(store.reader.check(), [])
    }
    const database = new DatabaseSync(path)
    t.ok(Number(database.prepare(sql).run().changes) > 0, sql)
    database.close()
    using reader = new SqliteReader(path)
    t.ok(reader.check().length > 0, sql)
    if (isAsked) t.throws(() => reader.ask({ ask: "usage", by: "day" }), StorageError, sql)
    if (/^UPDATE usage SET (payload|sum)/.test(sql))
      t.throws(() => reader.ask({ ask: "usageSums", tenant: ada, fromMs: 0, toMs: Infinity, countMax: 9 }), { code: "STELE-STO-0005" }, sql)
  }
})

t.test("`check()` finds sums that are whole rows and not those of their records", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    await put(store, [entry(Date.now(), 1), entry(Date.now(), 2)])
  }
  const database = new DatabaseSync(path)
  const { day, plugin, payload, sum } = database.prepare("SELECT day, plugin, payload, sum FROM usage_day").get() as unknown as DayRow
  const twice = new RollUp()
  twice.addRow(payload)
  twice.addRow(payload)
  const wrong = twice.pack(new Packer())
  const wrongSum = sumOfDay(ada, day, plugin, wrong)
  database.prepare("UPDATE usage_day SET payload = ?, sum = ?").run(wrong, wrongSum)
  for (const row of database.prepare("SELECT tenant, sums FROM usage_total").all())
    database.prepare("UPDATE usage_total SET sums = ? WHERE tenant = ?").run((Number(row["sums"]) ^ sum ^ wrongSum) >>> 0, row["tenant"] as Uint8Array)
  database.close()
  using reader = new SqliteReader(path)
  t.match(reader.check(), [{ table: "usage_day", detail: /do not add up/ }])
})

t.test("ids go up within a millisecond, over more than it has, and when the clock stands or goes back", (t) => {
  let us = nowMs * 1_000
  const next = usageIds(() => us)
  let last = Buffer.alloc(16)
  for (let i = 0; i < 20_000; i++) {
    if (i === 10_000) us -= 3_600_000_000
    const id = Buffer.alloc(16)
    next(id, 0)
    if (Buffer.compare(id, last) <= 0 || (id[6] as number) >> 4 !== 7 || (id[8] as number) >> 6 !== 2)
      t.fail(`id ${i}: ${id.toString("hex")} after ${last.toString("hex")}`)
    last = id
  }
  t.ok(msOf(last) - nowMs < 10, `${msOf(last) - nowMs} ms ahead`)
  us = (nowMs + 1_000) * 1_000
  next(last, 0)
  t.equal(msOf(last), nowMs + 1_000)
  t.end()
})

t.test("numbers are read as they were packed", (t) => {
  const numbers = [
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 49 - 1,
    2 ** 49,
    Number.MAX_SAFE_INTEGER,
    2n ** 53n,
    2n ** 64n - 1n,
    2n ** 100n,
  ]
  const packer = new Packer()
  for (const number of numbers) packer.number(number)
  const unpacker = new Unpacker(packer.take())
  for (const number of numbers) t.equal(unpacker.value(), number)
  t.ok(unpacker.isAtEnd)
  t.throws(() => unpacker.value(), RangeError)
  t.end()
})

t.test("what was flushed is there, and nothing twice, when the process is killed at any moment", async (t) => {
  const rounds = isFull ? 50 : 8
  const path = newPath()
  let acknowledged = 0
  let next = 0
  for (let round = 0; round < rounds; round++) {
    const child = spawn(process.execPath, [program, "emit", path, String(next)], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (data: Buffer) => (said += data.toString()))
    const wanted = 1 + ((round * 7) % 23)
    while (said.split("\n").length <= wanted) await once(child.stdout, "data")
    child.kill("SIGKILL")
    await once(child, "close")
    const numbers = said.split("\n").slice(0, -1).map(Number)
    await using store = await SqliteStore.open(path)
    const kept = (await all(store)).map(({ wallNs }) => wallNs)
    const mine = kept.filter((wallNs) => wallNs > next).toSorted((a, b) => a - b)
    acknowledged += (numbers.at(-1) ?? next) - next
    // All up to the last that was flushed; what came after it may be there, without a gap and once.
    t.same(
      mine,
      Array.from({ length: mine.length }, (_, i) => next + 1 + i),
      `round ${round}`,
    )
    t.ok(mine.length >= (numbers.at(-1) ?? next) - next, `round ${round}: ${mine.length} kept, flushed up to ${numbers.at(-1)} from ${next}`)
    t.equal((await sums(store))[0]?.calls, BigInt(kept.length))
    t.same(store.reader.check(), [])
    next = Math.max(next, ...kept) + 1_000
  }
  t.comment(`${rounds} rounds, ${acknowledged} calls flushed`)
})

t.test("processes of all engines that record the same calls into one file count each once", async (t) => {
  const path = newPath()
  const ranges = [
    [0, 400],
    [200, 400],
    [0, 200],
    [500, 300],
  ] as const
  for (const { status, stderr } of await Promise.all(
    ranges.map(([from, count], i) => start(engines[i % engines.length] ?? "node", program, ["record", path, String(from), String(count)])),
  ))
    t.equal(status, 0, stderr)
  await using store = await SqliteStore.open(path)
  t.match(await sums(store), [{ calls: 800n, wallNs: BigInt((799 * 800) / 2) }])
  t.equal((await all(store)).length, 800)
  t.same(store.reader.check(), [])
})

t.test("the file of a store that records without end stays within what retention leaves it", async (t) => {
  const path = newPath()
  const bytesMax = 2_000_000
  {
    await using store = await SqliteStore.open(path, { usage: { bytesMax } })
    const next = usageIds(() => Date.now() * 1_000)
    const rounds = isFull ? 400 : 90
    for (let round = 0; round < rounds; round++) {
      const entries = Array.from({ length: 1_000 }, (_, n): UsageEntry => {
        const id = new Uint8Array(16)
        next(id, 0)
        return { ...record({ wallNs: n, hostCalls: { log: 1 } }), id }
      })
      await put(store, entries)
      if (round % 5 === 4) await retain(store, Date.now())
    }
    t.equal(await calls(store), BigInt(rounds * 1_000))
    t.same(store.reader.check(), [])
  }
  const { size } = await stat(path)
  t.ok(size < 1.6 * bytesMax, `${size} bytes of file for ${bytesMax} of records`)
})
