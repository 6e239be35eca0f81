/** Sets that a caller awaits are written by its own thread: each rule of that is attacked, holds, is taken out, and then the same attack must succeed. */
import { join } from "node:path"
import t from "tap"
import { placeOf } from "../../../../runtime/port/place.ts"
import * as whole from "../../../../runtime/storage/postgres/mod.ts"
import { StorageError } from "../../../../schemas/error/storage.ts"
import { mutant } from "../mutant.ts"
import { startProxy } from "./proxy.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"

type Source = typeof whole

t.setTimeout(600_000)
const module = new URL("../../../../runtime/storage/postgres/mod.ts", import.meta.url)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const set = (key: string, value: string) => ({ op: "set" as const, ...placeOf(key), value: bytes(value) })
const add = (key: string) => ({ op: "increment" as const, ...placeOf(key), delta: 1n, min: 0n, max: 1n << 62n })
const get = async (store: whole.PostgresStore, key: string): Promise<string | undefined> => {
  const found = await store.ask({ ask: "get", ...placeOf(key) })
  return found === undefined ? undefined : Buffer.from(found.value).toString()
}
/** The next set of the tenant does not go by the thread, unless that takes more than a second: there is a session, and the tenant is known. */
const known = async (store: whole.PostgresStore): Promise<void> => {
  await get(store, "ada/known")
  await store.apply([set("ada/known", "v")])
}

const outcome = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    return JSON.stringify(await run(), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error)
  }
}

function tests(server: Server): void {
  const { password } = server
  const findings = async ({ worker }: Database): Promise<ReadonlyArray<unknown>> => {
    await using reader = await whole.PostgresReader.open(worker, { password })
    return await reader.check()
  }
  const through = async (database: Database) => {
    const proxy = await startProxy({ path: join(server.socket, `.s.PGSQL.${server.port}`) })
    return { proxy, address: `postgres://stele_service@127.0.0.1:${proxy.port}/${database.name}?sslmode=disable` }
  }

  /** The same attack on the source as it is, and on one that lacks `from`; the thread is whole in both. */
  const rule = (title: string, from: string, to: string, expected: string, attack: (source: Source, database: Database) => Promise<unknown>): void =>
    void t.test(title, async (t) => {
      t.equal(await outcome(async () => attack(whole, await migrated(server))), expected)
      const without = await mutant<Source>(module, "postgres/direct.ts", from, to)
      t.not(await outcome(async () => attack(without, await migrated(server))), expected, "without it")
    })

  rule("a set whose answer was lost is not made again", 'await this.#bridge.ask("wasKept", doubt)', "false", "[2,0]", async ({ PostgresStore }, database) => {
    const { proxy, address } = await through(database)
    const store = await PostgresStore.open(address, { password })
    await known(store)
    let cuts = 1
    proxy.at = (sql) => (sql.includes("key_value_set") && cuts-- > 0 ? "cut after" : undefined)
    await store.apply([set("ada/a", "1")])
    const revision = await store.ask({ ask: "revision", ...placeOf("ada/a") })
    await store.close()
    await proxy.close()
    return [revision, Math.max(cuts, 0)]
  })

  rule("a set that did not reach the server is made", 'await this.#bridge.ask("wasKept", doubt)', "true", '["1",2]', async ({ PostgresStore }, database) => {
    const { proxy, address } = await through(database)
    const store = await PostgresStore.open(address, { password })
    await known(store)
    let cuts = 1
    proxy.at = (sql) => (sql.includes("key_value_set") && cuts-- > 0 ? "cut before" : undefined)
    const [version] = await store.apply([set("ada/a", "1")])
    const value = await get(store, "ada/a")
    await store.close()
    await proxy.close()
    return [value, version]
  })

  rule(
    "the mark: what was written here must be on the server that the thread writes to",
    "if (seen === undefined) return",
    "if (seen !== null) return",
    '"STELE-STO-0006"',
    async ({ PostgresStore }, database) => {
      // Once a second a set goes by the thread: on a busy machine with another store, until this one did not.
      let [store, startedMs]: [whole.PostgresStore | undefined, number] = [undefined, Number.NEGATIVE_INFINITY]
      while (store === undefined || performance.now() - startedMs > 900) {
        await store?.close()
        store = await PostgresStore.open(database.service, { password })
        await get(store, "ada/known")
        startedMs = performance.now()
        await store.apply([set("ada/known", "v")])
        server.sql(
          "DROP TABLE IF EXISTS public.was, public.groups; CREATE TABLE public.was AS SELECT * FROM stele.tenant; CREATE TABLE public.groups AS SELECT * FROM stele.commit_group",
          database.name,
        )
        await store.apply([set("ada/a", "1")])
      }
      server.sql(
        "DELETE FROM stele.tenant; INSERT INTO stele.tenant SELECT * FROM public.was; DELETE FROM stele.commit_group; INSERT INTO stele.commit_group SELECT * FROM public.groups",
        database.name,
      )
      const found = await outcome(async () => store.apply([set("ada/a", "2")]))
      await store.close()
      return found
    },
  )

  rule(
    "batches of a tenant are carried out in the order in which they were asked for",
    "if (lane === undefined || lane.far > 0) return",
    "if (lane === undefined || lane.known === undefined) return",
    '["11",10]',
    async ({ PostgresStore }, database) => {
      const { proxy, address } = await through(database)
      const store = await PostgresStore.open(address, { password })
      await known(store)
      let delays = 1
      proxy.at = (sql) => (sql.includes("key_value_set") && delays-- > 0 ? 500 : undefined)
      const first = store.apply([set("ada/n", "10")])
      // By now it is on its way.
      await new Promise((done) => setImmediate(done))
      const second = store.apply([add("ada/n")])
      const third = store.apply([set("ada/m", "x")])
      await Promise.all([first, second, third])
      const found = [await get(store, "ada/n"), 10]
      await store.close()
      await proxy.close()
      return found
    },
  )

  t.test("a call that blocks does not wait for a set of its own thread, nor is either lost", async (t) => {
    const database = await migrated(server)
    await using store = await whole.PostgresStore.open(database.service, { password })
    await known(store)
    const rounds = 50
    const atMs = performance.now()
    for (let round = 1; round <= rounds; round++) {
      const asked = [store.apply([set("ada/a", String(round))]), store.apply([set("ada/b", String(round)), set("ada/c", String(round))])]
      // Neither sent, made and sent, or answered: wherever it is.
      for (let turn = 0; turn < round % 5; turn++) await Promise.resolve()
      if (round % 3 === 0) await new Promise((done) => setImmediate(done))
      t.same(store.applySync([add("ada/n")]), [BigInt(round)])
      await Promise.all(asked)
      t.same([await get(store, "ada/a"), await get(store, "ada/c")], [String(round), String(round)])
    }
    // The lock would have been waited for, for 4 s each time.
    t.ok((performance.now() - atMs) / rounds < 1_000)
    t.same(await findings(database), [])
  })

  t.test("two processes and their threads write for one tenant: nothing is lost, whoever knows what", async (t) => {
    const database = await migrated(server)
    await using one = await whole.PostgresStore.open(database.service, { password })
    await using two = await whole.PostgresStore.open(database.service, { password })
    for (let round = 0; round < 40; round++) {
      await Promise.all(
        [one, two].flatMap((store, i) => [
          store.apply([set(`ada/${i}`, String(round))]),
          ...(round % 3 === 0 ? [store.apply([add("ada/n")])] : []),
          ...(round % 4 === 0 ? [store.apply(Array.from({ length: 30 }, (_, n) => set(`ada/${i}-${n}`, String(round))))] : []),
        ]),
      )
      if (round % 5 === 0) one.applySync([set("ada/blocking", String(round))])
      for (const [i, store] of [one, two].entries()) t.equal(await get(store, `ada/${i}`), String(round))
    }
    t.equal(await get(one, "ada/n"), "28")
    t.same(await findings(database), [])
  })

  t.test("more than may wait is refused, and closing waits for what does", async (t) => {
    const database = await migrated(server)
    const store = await whole.PostgresStore.open(database.service, { password, pendingMax: 3 })
    await known(store)
    const asked = [1, 2, 3, 4].map((n) => outcome(() => store.apply([set("ada/a", String(n))])))
    const closed = store.close()
    t.same(await Promise.all(asked), ["[2]", "[3]", "[4]", "STELE-STO-0011"])
    t.equal(await outcome(() => store.apply([set("ada/a", "5")])), "STELE-STO-0010")
    await closed
    t.same(await findings(database), [])
  })

  t.test("the server ends its sessions, or itself, while sets are under way: each is there once", async (t) => {
    const database = await migrated(server)
    await using store = await whole.PostgresStore.open(database.service, { password })
    await known(store)
    const state = { acknowledged: 0, count: 0, isOver: false }
    const writing = (async () => {
      for (let n = 1; !state.isOver || n < 20; n++) {
        try {
          await store.apply([set("ada/a", String(n))])
          state.acknowledged = n
          state.count++
        } catch (error) {
          // A server that takes long to start: nothing was kept.
          if (!(error instanceof StorageError && ["Failed", "Unreachable"].includes(error.reason._tag))) throw error
        }
      }
    })()
    for (let round = 0; round < 4; round++) {
      for (const until = state.acknowledged + 10; state.acknowledged < until;) await new Promise((done) => setImmediate(done))
      if (round % 2 === 0) server.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'stele_service'", database.name)
      else {
        await server.stop("immediate")
        await server.start()
      }
    }
    state.isOver = true
    await writing
    t.equal(await get(store, "ada/a"), String(state.acknowledged))
    t.equal(await store.ask({ ask: "revision", ...placeOf("ada/a") }), state.count + 1)
    t.same(await findings(database), [])
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  tests(server)
}
