import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { type UsageAnswer, type UsageEntry } from "../../../../runtime/port/usage.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { Host } from "../../../../runtime/mod.ts"
import { usageObserver } from "../../../../runtime/service/usage.ts"
import { PostgresReader, PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { digestOf, recordsOf } from "../../../../runtime/storage/record.ts"
import { MemoryStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { openStores } from "../../../../runtime/storage/storage.ts"
import { packUsage, tenantBytes } from "../../../../runtime/storage/usage.ts"
import type { StorageError } from "../../../../schemas/error/storage.ts"
import { jsonError, stele } from "../../command-line.ts"
import { digest, idAt, record } from "../usage-record.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"

t.setTimeout(120_000)
const dayMs = 86_400_000
const nowMs = Date.now()
const ada = tenantBytes("ada")
const bob = tenantBytes("bob")
const entry = (n: number, given: Partial<UsageEntry> = {}, ms = nowMs): UsageEntry => ({ ...record(), id: idAt(ms, n), ...given })
const recordOf = (entries: ReadonlyArray<UsageEntry>, tenant = ada) => ({ op: "record" as const, tenant, records: packUsage(entries) })
const put = async (store: Store, entries: ReadonlyArray<UsageEntry>, tenant = ada): Promise<ReadonlyArray<UsageAnswer>> =>
  (await store.apply([recordOf(entries, tenant)]))[0]
const calls = async (store: Store): Promise<ReadonlyArray<string>> =>
  (await store.ask({ ask: "usage", by: "tenant" })).map(({ key, calls: count }) => `${key} ${count}`)
const seeded =
  (seed: number) =>
  (most: number): number =>
    Math.floor(((seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32) * most)
const codeOf = (run: () => Promise<unknown>): Promise<string> =>
  run().then(
    () => "nothing",
    (error: unknown) => (error as StorageError).code,
  )

function tests(server: Server, folder: string): void {
  const { password } = server
  const open = ({ service, worker }: Database, more: object = {}) => PostgresStore.open(service, { password, worker, connectionsMax: 2, ...more })

  t.test("operations that share a commit are answered as by the store in memory, whatever is among them", async (t) => {
    const random = seeded(7)
    await using store = await open(await migrated(server))
    await using memory = new MemoryStore({})
    const one = () => {
      const operations = Array.from({ length: 1 + random(3) }, () => {
        const n = random(40)
        if (random(4) === 0) return { op: "forget" as const, tenant: ada, beforeId: idAt(nowMs - 3 * dayMs + random(3) * dayMs, 0), countMax: 1 + random(4) }
        const entries = Array.from({ length: random(5) }, (_, i) =>
          entry((n + i) % 40, { plugin: digest(n % 3), wallNs: random(8) === 0 ? 5 : 1_000, hostCalls: { [`g${n % 4}`]: n } }, nowMs - ((n + i) % 4) * dayMs),
        )
        return recordOf(entries)
      })
      // What is refused takes its whole batch with it, and nothing of its neighbours'.
      return random(5) === 0 ? [...operations, { op: "record" as const, tenant: ada, records: Uint8Array.of(9) }] : operations
    }
    const answered = async (each: Store, batches: ReadonlyArray<ReturnType<typeof one>>): Promise<string> => {
      const found = await Promise.allSettled(batches.map((batch) => each.apply(batch)))
      return JSON.stringify(found.map((result) => (result.status === "fulfilled" ? result.value : (result.reason as Error).message)))
    }
    for (let round = 0; round < 60; round++) {
      const batches = Array.from({ length: 1 + random(5) }, one)
      t.equal(await answered(store, batches), await answered(memory, batches), `round ${round}`)
    }
    t.same(await digestOf(store, ada, "usage"), await digestOf(memory, ada, "usage"), "exports")
    t.same(await store.ask({ ask: "usage", by: "plugin", tenant: ada }), await memory.ask({ ask: "usage", by: "plugin", tenant: ada }), "sums")
    for (const countMax of [1, 3, 7]) {
      const orders: Array<string> = []
      for (let after: Uint8Array | undefined; ;) {
        const page = await store.ask({ ask: "export", tenant: ada, table: "usage", after, countMax })
        orders.push(...page.records.map(({ order }) => Buffer.from(order).toString("hex")))
        after = page.records.at(-1)?.order
        if (page.isComplete || after === undefined) break
      }
      const whole: Array<string> = []
      for await (const { order } of recordsOf(memory, ada, "usage")) whole.push(Buffer.from(order).toString("hex"))
      t.same(orders, whole, `pages of ${countMax}`)
    }
    t.same(await store.check(), [])
  })

  t.test("a refused batch that forgot and recorded leaves both undone, for its neighbours in the commit, too", async (t) => {
    await using store = await open(await migrated(server))
    await put(store, [entry(1), entry(2)])
    const forget = { op: "forget" as const, tenant: ada, beforeId: idAt(nowMs + 1), countMax: 5 }
    const bad = { op: "record" as const, tenant: ada, records: Uint8Array.of(9) }
    const found = await Promise.allSettled([
      store.apply([recordOf([entry(3, { export: "never" })]), forget, bad]),
      store.apply([recordOf([entry(1), entry(4, { export: "kept" })])]),
    ])
    t.same(
      found.map(({ status }) => status),
      ["rejected", "fulfilled"],
    )
    t.same((found[1] as PromiseFulfilledResult<unknown>).value, [["known", "new"]])
    const left = await store.ask({ ask: "usageRecords", tenant: ada, fromMs: 0, toMs: Infinity, countMax: 9 })
    t.same(
      left.map((each) => each.export),
      [record().export, record().export, "kept"],
    )
    t.same(await calls(store), ["ada 3"])
    t.same(await put(store, [entry(0, {}, nowMs - dayMs)]), ["new"], "nothing is too late")
    t.same(await store.check(), [])
  })

  t.test("steps of retention that share a commit, pages of an export and steps of an erasure each leave what belongs together", async (t) => {
    await using store = await open(await migrated(server))
    // Numbered in this order, exported in the other.
    await put(store, [entry(1, { plugin: digest(2) }), entry(2, { plugin: digest(1) }), entry(3), entry(4), entry(5)])
    const forget = (countMax: number) => store.apply([{ op: "forget", tenant: ada, beforeId: idAt(nowMs + 1), countMax }])
    t.same(await Promise.all([forget(1), forget(2)]), [[1], [2]])
    t.same(await store.check(), [])
    const page = (after: Uint8Array | undefined, countMax: number) => store.ask({ ask: "export", tenant: ada, table: "usage", after, countMax })
    const whole = await page(undefined, 100)
    t.equal(whole.records.length, 5)
    for (const [i, each] of whole.records.entries()) t.same((await page(whole.records[i - 1]?.order, 1)).records, [each], `record ${i}`)
    for (let count = 1; count === 1;) {
      ;[count] = await store.apply([{ op: "erase", tenant: ada, countMax: 1 }])
      t.same(await store.check(), [], "after a step of an erasure")
    }
    t.same(await calls(store), [])
  })

  t.test("processes that send the same records at the same time keep each once", async (t) => {
    const database = await migrated(server)
    const stores = await Promise.all([open(database), open(database), open(database)])
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, round) =>
        put(
          stores[round % 3] as Store,
          Array.from({ length: 20 }, (_each, n) => entry((round >> 1) * 10 + n)),
        ),
      ),
    )
    t.equal(answers.flat().filter((answer) => answer === "new").length, 160)
    t.same(await calls(stores[0] as Store), ["ada 160"])
    t.same(await (stores[0] as Store).check(), [])
    for (const store of stores) await store.close()
  })

  t.test("a session for services answers for the tenant that is named, and sees no other's rows", async (t) => {
    const database = await migrated(server)
    await using store = await open(database)
    // Their names have the same numbers, and other texts.
    await put(store, [entry(1, { plugin: digest(1), hostCalls: { log: 1 } })])
    await put(store, [entry(1, { plugin: digest(2), hostCalls: { clock: 2 } }), entry(2)], bob)
    await put(store, [entry(5, { tenant: "", hostCalls: { log: 4 } })], new Uint8Array(0))
    await store.apply([{ op: "forget", tenant: ada, beforeId: idAt(nowMs + 1), countMax: 1 }])
    const all = await store.ask({ ask: "usage", by: "day" })
    t.same(all[0]?.hostCalls, { clock: 2n, log: 5n })
    t.same(await calls(store), [" 1", "ada 1", "bob 2"])
    t.same(
      (await store.ask({ ask: "usageTenants" })).map(({ tenant, records }) => `${Buffer.from(tenant).toString()} ${records}`),
      [" 1", "bob 2"],
    )
    await using service = await PostgresStore.open(database.service, { password, connectionsMax: 1 })
    t.same(
      (await service.ask({ ask: "usage", by: "plugin", tenant: bob })).map(({ key }) => key),
      [digest(1), digest(2)],
    )
    t.equal(await codeOf(() => service.ask({ ask: "usage", by: "tenant" })), "STELE-STO-0022")
    t.equal(await codeOf(() => service.ask({ ask: "usageTenants" })), "STELE-STO-0022")
    t.throws(() => service.askSync({ ask: "usage", by: "tenant" }), { code: "STELE-STO-0022" })
    const seen = (table: string, tenant: string): string =>
      server.sql(
        `SET ROLE stele_service; SELECT set_config('stele.tenant', encode('${tenant}', 'hex'), false); SELECT count(*) FROM stele.${table}`,
        database.name,
      )
    for (const table of ["usage", "usage_name", "usage_day", "usage_forgotten"]) {
      t.match(seen(table, ""), /(^|\n)0$/, `${table}, unbound`)
      t.match(seen(table, "eve"), /\n0$/, `${table}, somebody else`)
    }
    t.match(seen("usage", "bob"), /\n2$/)
    t.match(seen("usage_forgotten", "ada"), /\n1$/)
  })

  t.test("names are kept that no index of the server takes", async (t) => {
    await using store = await open(await migrated(server))
    // A repeated one would be compressed until it fits.
    const same = randomBytes(2_000).toString("hex")
    const long = (end: string): string => same + end
    t.same(await put(store, [entry(1, { export: long("a") }), entry(2, { export: long("b") }), entry(3, { export: long("a") })]), ["new", "new", "new"])
    const found = await store.ask({ ask: "usageRecords", tenant: ada, fromMs: 0, toMs: Infinity, countMax: 9 })
    t.same(
      found.map((each) => each.export),
      [long("a"), long("b"), long("a")],
    )
    t.same(await store.check(), [])
  })

  t.test("what was changed in a row of usage is found, and not added to", async (t) => {
    const changes = [
      ["usage", "UPDATE stele.usage SET payload = set_byte(payload, 3, get_byte(payload, 3) # 1)", "usageRecords"],
      ["usage_day", "UPDATE stele.usage_day SET payload = set_byte(payload, 0, 9)", "usage"],
      ["usage_day", "DELETE FROM stele.usage_day", undefined],
      ["usage_name", "UPDATE stele.usage_name SET name = set_byte(name, 0, 80) WHERE id = 1", "usageRecords"],
      ["usage_name", "UPDATE stele.usage_name SET sum = sum # 1", "record"],
      ["usage_forgotten", "UPDATE stele.usage_forgotten SET id = set_byte(id, 15, 77)", "record"],
      ["usage", "DELETE FROM stele.usage", undefined],
    ] as const
    for (const [table, sql, asked] of changes) {
      const database = await migrated(server)
      await using store = await open(database)
      await put(store, [entry(0, {}, nowMs - 2 * dayMs), entry(1), entry(2)])
      await store.apply([{ op: "forget", tenant: ada, beforeId: idAt(nowMs - dayMs), countMax: 5 }])
      t.same(await store.check(), [], "whole")
      server.sql(sql, database.name)
      t.equal(
        (await store.check()).some((finding) => finding.table === table),
        true,
        sql,
      )
      const ask = {
        usage: () => store.ask({ ask: "usage", by: "tenant", tenant: ada }),
        usageRecords: () => store.ask({ ask: "usageRecords", tenant: ada, fromMs: 0, toMs: Infinity, countMax: 9 }),
        record: () => put(store, [entry(3)]),
      }
      if (asked !== undefined) t.equal(await codeOf(ask[asked]), "STELE-STO-0005", asked)
      if (table === "usage_day" && asked !== undefined) t.equal(await codeOf(ask.record), "STELE-STO-0005", "record")
    }
  })

  t.test("the observer of a service writes for many tenants, and removes what is too old of those", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password, connectionsMax: 4, usage: { ageMsMax: 100 * dayMs } })
    const old = nowMs - 101 * dayMs
    await put(store, [entry(1, {}, old), entry(2)])
    await put(store, [entry(1, {}, old)], bob)
    await using observer = usageObserver(store)
    for (let n = 0; n < 50; n++) observer.emit({ type: "usage", record: record({ tenant: n % 2 === 0 ? "ada" : `tenant ${n}` }) })
    await observer.flush()
    t.equal(observer.counts.recorded, 50)
    t.equal(observer.problem, undefined)
    const left = async (tenant: Uint8Array): Promise<number> =>
      (await store.ask({ ask: "usageRecords", tenant, fromMs: 0, toMs: nowMs - 100 * dayMs, countMax: 9 })).length
    t.same([await left(ada), await left(bob)], [0, 1], "of the tenants that it wrote for")
    await using reader = await PostgresReader.open(database.worker, { password })
    t.equal((await reader.usage({ ask: "usage", by: "tenant" })).length, 27)
    t.same(await reader.check(), [])
  })

  t.test("`Host.open()` records usage in a database; `stele usage` and `openStores()` see all tenants as the worker role", async (t) => {
    const database = await migrated(server)
    const [file, wrong] = [join(folder, "password"), join(folder, "wrong")]
    await writeFile(file, `${password}\n`)
    await writeFile(wrong, "wrong\n")
    process.env["STELE_STORAGE_PASSWORD_FILE"] = file
    process.env["XDG_DATA_HOME"] = folder
    {
      await using host = await Host.open({ storage: database.service })
      await using plugin = await host.load("plugins/examples/greeter/build/greeter.wasm", { tenant: "ada", grants: ["log", "kv:read:prices/*"] })
      await plugin.call("acme:greeter/api#greet", [{ name: "Ada" }])
    }
    const json = (...args: ReadonlyArray<string>) => stele(["usage", database.service, ...args, "--json"])
    t.match(JSON.parse(json().stdout), { by: "tenant", usage: [{ tenant: "ada", calls: "1", failed: "0" }], total: { calls: "1" } })
    t.match(JSON.parse(json("--by", "plugin", "--tenant", "ada").stdout).usage, [{ plugin: /^sha256:/, calls: "1" }])
    t.same(JSON.parse(json("--tenant", "bob").stdout).usage, [])
    const refused = stele(["usage", database.service, "--json"], { env: { STELE_STORAGE_WORKER_PASSWORD_FILE: wrong } })
    t.equal(refused.code, 5)
    t.match(jsonError(refused), { code: "STELE-STO-0020", fix: /STELE_STORAGE_WORKER_PASSWORD_FILE/ })
    const own = await openStores(database.service)
    t.equal(await codeOf(() => own.store.check()), "STELE-STO-0022")
    await own.close()
    const all = await openStores(database.service, { overseer: true })
    t.same(await all.store.check(), [])
    t.same(await calls(all.store), ["ada 1"])
    t.equal(
      (await all.store.ask({ ask: "totals" })).some(({ table, keys }) => table === "usage" && keys === 1),
      true,
    )
    await all.close()
    process.env["STELE_STORAGE_WORKER_PASSWORD_FILE"] = wrong
    const denied = await openStores(database.service, { overseer: true })
    t.equal(await codeOf(() => denied.store.check()), "STELE-STO-0020")
    await denied.close()
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  const folder = await mkdtemp(join(tmpdir(), "stele-postgres-usage-"))
  t.teardown(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })
  tests(server, folder)
}
