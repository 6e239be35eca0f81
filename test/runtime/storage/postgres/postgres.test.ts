// @long
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { placeOf } from "../../../../runtime/port/place.ts"
import type { Operation, Question } from "../../../../runtime/port/store.ts"
import { collectGarbage } from "../../../../runtime/service/garbage.ts"
import { FolderStore } from "../../../../runtime/storage/folder/mod.ts"
import { migratePostgres, PostgresReader, PostgresStore } from "../../../../runtime/storage/postgres/mod.ts"
import { format } from "../../../../runtime/storage/postgres/schema.ts"
import { MemoryStore } from "../../../../runtime/storage/sqlite/mod.ts"
import { StorageError } from "../../../../schemas/error/storage.ts"
import { mutant } from "../mutant.ts"
import { startProxy } from "./proxy.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"
import { isFull } from "../../../seed.ts"

t.setTimeout(600_000)
const program = fileURLToPath(new URL("program.ts", import.meta.url))
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (value: Uint8Array | undefined): string | undefined => (value === undefined ? undefined : Buffer.from(value).toString())
const set = (key: string, value: string) => ({ op: "set" as const, ...placeOf(key), value: bytes(value) })
const add = (key: string) => ({ op: "increment" as const, ...placeOf(key), delta: 1n, min: 0n, max: 1n << 62n })
const get = async (store: PostgresStore, key: string): Promise<string | undefined> => textOf((await store.ask({ ask: "get", ...placeOf(key) }))?.value)
const refused = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    await run()
    return "nothing"
  } catch (error) {
    if (error instanceof StorageError) return `${error.code} ${error.reason._tag}`
    throw error
  }
}
async function checked(database: Database, password: string): Promise<ReadonlyArray<unknown>> {
  await using reader = await PostgresReader.open(database.worker, { password })
  return await reader.check()
}

function tests(server: Server): void {
  const { password } = server

  t.test("a store is not opened by a role that could go past a tenant, nor where it is not what it should be", async (t) => {
    const database = await migrated(server)
    const { name } = database
    const open = (address: string, more: object = {}) => refused(async () => (await PostgresStore.open(address, { password, ...more })).close())
    server.sql(
      `CREATE ROLE past LOGIN BYPASSRLS PASSWORD '${password}'; CREATE ROLE grandson LOGIN PASSWORD '${password}'; GRANT owner TO grandson; CREATE ROLE stranger LOGIN PASSWORD '${password}'`,
    )
    for (const role of ["postgres", "past", "owner", "grandson", "stele_worker", "stranger"])
      t.equal(await open(server.address(role, name)), "STELE-STO-0022 Role", role)
    t.equal(await open(database.service), "nothing")
    t.equal(await open(database.service, { password: "wrong" }), "STELE-STO-0020 Login")
    t.equal(await open(server.address("stele_service", "nowhere")), "STELE-STO-0021 NoDatabase")
    t.equal(await open("postgres://stele_service:secret@localhost/x"), "STELE-STO-0024 PasswordShown")
    t.equal(await open("postgres://localhost"), "STELE-STO-0001 Address")
    t.equal(await open(`postgres://stele_service@127.0.0.1:1/${name}`), "STELE-STO-0002 Unreachable")
    server.database("blank")
    t.equal(await open(server.address("stele_service", "blank")), "STELE-STO-0023 Older")
    server.sql("UPDATE stele.format SET number = 99, serves_from = 99", name)
    t.equal(await open(database.service), "STELE-STO-0004 Newer")
    t.equal(await refused(() => migratePostgres(database.owner, { password })), "STELE-STO-0004 Newer")
    // What the next version only adds to, this one serves beside it.
    server.sql(`UPDATE stele.format SET number = ${format + 1}, serves_from = ${format}`, name)
    t.equal(await open(database.service), "nothing")
    server.sql("ALTER TABLE stele.event NO FORCE ROW LEVEL SECURITY", name)
    t.equal(await open(database.service), "STELE-STO-0022 Role")
    t.equal(await refused(() => PostgresReader.open(database.service, { password })), "STELE-STO-0022 Role")
  })

  t.test("a store of the first format is refused until it is migrated, and then has what it had", async (t) => {
    server.database("first")
    const at = (user: string) => server.address(user, "first")
    const older = await mutant<{ readonly migratePostgres: typeof migratePostgres }>(
      new URL("../../../../runtime/storage/postgres/mod.ts", import.meta.url),
      "postgres/migrate.ts",
      "next < migrations.length",
      "next < 1",
    )
    await older.migratePostgres(at("owner"), { password })
    t.equal(server.sql("SELECT number FROM stele.format", "first"), "1")
    t.equal(await refused(async () => (await PostgresStore.open(at("stele_service"), { password })).close()), "STELE-STO-0023 Older")
    const number = (to: number) => server.sql(`UPDATE stele.format SET number = ${to}`, "first")
    // What a count writes is in both formats the same.
    number(format)
    {
      await using store = await PostgresStore.open(at("stele_service"), { password })
      await store.apply([add("ada/n"), { ...set("ada/a", "before"), ttlMs: 60_000 }])
    }
    number(1)
    const { from, to } = await migratePostgres(at("owner"), { password })
    t.same([from, to], [1, format])
    await using store = await PostgresStore.open(at("stele_service"), { password })
    for (const value of ["1", "2", "3"]) await store.apply([set("ada/a", value)])
    t.same([await get(store, "ada/n"), await get(store, "ada/a"), await get(store, "ada/none")], ["1", "3", undefined])
    t.same(await checked({ name: "first", owner: at("owner"), service: at("stele_service"), worker: at("stele_worker") }, password), [])
  })

  t.test("`migratePostgres()` sets up once, whoever else does at the same time, and says what is missing", async (t) => {
    server.database("twice")
    const owner = server.address("owner", "twice")
    const [one, two] = await Promise.all([migratePostgres(owner, { password }), migratePostgres(owner, { password })])
    t.same(new Set([one.from, two.from]), new Set([0, one.to]))
    t.match(one.address, /^postgres:\/\/stele_service@/)
    server.sql("CREATE DATABASE others; ", "postgres")
    t.equal(await refused(() => migratePostgres(server.address("owner", "others"), { password })), "STELE-STO-0026 Privilege")
    server.sql("CREATE SCHEMA stele", "others")
    t.equal(await refused(() => migratePostgres(server.address("postgres", "others"), { password })), "STELE-STO-0003 Foreign")
  })

  t.test(
    "`collectGarbage()` removes what no tenant refers to, nothing while a row is not what was written, and asks the role that sees all tenants",
    async (t) => {
      const database = await migrated(server)
      const folder = await mkdtemp(join(tmpdir(), "stele-postgres-garbage-"))
      t.teardown(() => rm(folder, { recursive: true, force: true }))
      await using objects = await FolderStore.open(join(folder, "objects"))
      await using store = await PostgresStore.open(database.service, { password, worker: database.worker })
      for (const key of ["ada/k", "bob/k", "/host's"]) {
        const { digest, bytes: size } = await objects.put(bytes(key))
        await store.apply([{ op: "link", ...placeOf(key), digest: Buffer.from(digest, "hex"), bytes: size }])
      }
      await objects.put(bytes("nobody's"))
      await new Promise((resume) => setTimeout(resume, 5))
      const digest = server.sql(
        "UPDATE stele.blob_reference SET bytes = bytes + 1 WHERE key = 'k' AND tenant = 'bob' RETURNING encode(digest, 'hex')",
        database.name,
      )
      await t.rejects(store.ask({ ask: "linked", digests: [Buffer.from(digest.slice(0, 64), "hex")] }), { code: "STELE-STO-0005" })
      await t.rejects(collectGarbage(store, objects, { graceMs: 0 }), { code: "STELE-STO-0005" })
      server.sql("UPDATE stele.blob_reference SET bytes = bytes - 1 WHERE key = 'k' AND tenant = 'bob'", database.name)
      t.match(await collectGarbage(store, objects, { graceMs: 0 }), { objects: 1, bytes: 8, isComplete: true })
      t.same((await objects.list(undefined, 10)).length, 3)
      server.sql("DELETE FROM stele.blob_reference WHERE tenant = 'bob'", database.name)
      await t.rejects(collectGarbage(store, objects, { graceMs: 0 }), { code: "STELE-STO-0005" })
      t.same((await objects.list(undefined, 10)).length, 3)
      await using service = await PostgresStore.open(database.service, { password })
      await t.rejects(collectGarbage(service, objects, { graceMs: 0 }), { code: "STELE-STO-0022" })
    },
  )

  t.test("the server itself keeps tenants apart, whatever a service's session says", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    for (const tenant of ["ada", "bob", ""])
      await store.apply([set(`${tenant}/k`, `of ${tenant}`), { op: "publish", ...placeOf(`${tenant}/t`), payload: bytes("p") }])
    const as = (tenant: string, sql: string): string => {
      const setting = `SET stele.tenant = '${Buffer.from(tenant).toString("hex")}'`
      return server.sql(`SET ROLE stele_service; SET client_min_messages = error; ${setting}; ${sql}`, database.name)
    }
    const names = server
      .sql("SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'stele'::regnamespace AND relkind = 'r' AND relname <> 'format'", database.name)
      .split(" ")
    t.ok(names.length >= 10, names.join())
    for (const name of names) {
      t.equal(as("", `SELECT count(*) FROM stele.${name}`), "0", `${name}, unbound`)
      t.equal(as("eve", `SELECT count(*) FROM stele.${name}`), "0", `${name}, somebody else`)
      t.equal(as("ada", `SELECT count(*) FROM stele.${name} WHERE tenant <> 'ada'`), "0", `${name}, ada's`)
    }
    t.equal(as("ada", "SELECT count(*) FROM stele.key_value"), "1")
    t.equal(as("ada", "WITH gone AS (DELETE FROM stele.key_value WHERE tenant = 'bob' RETURNING 1) SELECT count(*) FROM gone"), "0")
    t.equal(as("ada", "WITH gone AS (UPDATE stele.key_value SET value = '' WHERE tenant <> 'ada' RETURNING 1) SELECT count(*) FROM gone"), "0")
    t.throws(() => as("ada", "INSERT INTO stele.total VALUES ('bob', 'x', 0, 0, 0)"), /row-level security/)
    t.throws(() => as("ada", "UPDATE stele.total SET tenant = 'bob'"), /row-level security/)
    t.throws(() => as("ada", "SET row_security = off; SELECT count(*) FROM stele.key_value"), /row-level security/)
    t.throws(() => as("ada", "SET ROLE stele_worker; SET SESSION AUTHORIZATION stele_service; SET ROLE stele_worker"), /permission denied/)
    for (const tenant of ["ada", "bob", ""]) t.equal(await get(store, `${tenant}/k`), `of ${tenant}`)
    // Without its policy the same attack succeeds: it is the policy that refuses it.
    server.sql("ALTER TABLE stele.key_value DISABLE ROW LEVEL SECURITY", database.name)
    t.equal(as("eve", "SELECT count(*) FROM stele.key_value"), "3")
  })

  t.test("tenants at random operations never see each other, and see what a store of their own would show", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    const tenants = ["ada", "bob", "ad", ""]
    const rounds = isFull ? 300 : 20
    let state = 20_261_121
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const operation = (place: { readonly tenant: Uint8Array; readonly key: Uint8Array }): Operation => {
      const [value, payload] = [bytes(`${random(1_000)}`), bytes("x".repeat(random(30)))]
      const all: ReadonlyArray<Operation> = [
        { op: "set", ...place, value },
        { op: "delete", ...place },
        { op: "swap", ...place, version: undefined, value },
        { op: "increment", ...place, delta: 1n, min: 0n, max: 999_999n },
        { op: "publish", ...place, payload },
        { op: "drop", ...place },
        { op: "append", ...place, payload },
        { op: "trim", ...place, before: BigInt(random(8)) },
        { op: "link", ...place, digest: new Uint8Array(32).fill(random(4)), bytes: random(9) },
        { op: "unlink", ...place },
        { op: "require", ...place, version: undefined },
      ]
      return all[random(all.length)] as Operation
    }
    /** What a store of its own says, but for revisions and times, which are the store's. */
    const shown = (value: unknown): unknown =>
      JSON.stringify(value, (name, each: unknown) =>
        ["version", "revision", "createdAtUs", "appendedAtUs"].includes(name)
          ? 0
          : typeof each === "bigint"
            ? `${each}n`
            : each instanceof Uint8Array
              ? Buffer.from(each).toString("hex")
              : each,
      )
    const questions = (tenant: string, key: string): ReadonlyArray<Question> => {
      const [place, all] = [placeOf(`${tenant}/${key}`), { ...placeOf(`${tenant}/`), beyond: undefined, countMax: 100 }]
      return [
        { ask: "entries", ...all, bytesMax: 1e6 },
        { ask: "list", ...all },
        { ask: "blobs", ...all },
        { ask: "events", ...place, after: 0n, countMax: 100 },
        { ask: "log", ...place, after: 1_000n, countMax: 1, bytesMax: 1 },
      ]
    }
    await Promise.all(
      tenants.map(async (tenant) => {
        await using own = new MemoryStore({})
        for (let round = 0; round < rounds; round++) {
          const keys = ["a", "b", "c"]
          const batch = Array.from({ length: 1 + random(4) }, () => operation(placeOf(`${tenant}/${keys[random(3)]}`)))
          const answers = await Promise.all(
            [store, own].map((each) =>
              each.apply(batch).then(
                (found) => shown(found.map((one) => (typeof one === "number" ? "number" : one))),
                (error: { readonly code?: string }) => error.code ?? "counter",
              ),
            ),
          )
          t.equal(answers[0], answers[1], `${tenant} ${round}: ${batch.map(({ op }) => op).join(" ")}`)
          if (round % 10 === 9)
            for (const question of questions(tenant, keys[random(3)] as string))
              t.equal(shown(await store.ask(question)), shown(await own.ask(question)), `${tenant} ${round}: ${question.ask}`)
        }
      }),
    )
    t.same(await checked(database, password), [])
  })

  t.test("a batch that two tenants share, and a tenant that is none, are refused", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    t.equal(await refused(() => store.apply([set("ada/k", "v"), set("bob/k", "v")])), "STELE-STO-0028 Tenants")
    t.equal(await refused(() => store.ask({ ask: "get", tenant: Uint8Array.of(0xfe), key: bytes("k") })), "STELE-STO-0027 Tenant")
    t.equal(await refused(() => store.apply([set(`${"x".repeat(513)}/k`, "v")])), "STELE-STO-0027 Tenant")
    t.equal(await refused(() => store.ask({ ask: "tenants", after: undefined, countMax: 1 })), "STELE-STO-0022 Role")
  })

  t.test("a connection cut before COMMIT reaches the server: the group is made again, once", async (t) => {
    const database = await migrated(server)
    const proxy = await startProxy({ path: join(server.socket, `.s.PGSQL.${server.port}`) })
    const store = await PostgresStore.open(`postgres://stele_service@127.0.0.1:${proxy.port}/${database.name}?sslmode=disable`, { password, connectionsMax: 2 })
    await store.apply([add("ada/n")])
    for (const where of ["COMMIT", "UPDATE stele.tenant", "FOR UPDATE"]) {
      let cuts = 1
      proxy.at = (sql) => (sql.includes(where) && cuts-- > 0 ? "cut before" : undefined)
      await store.apply([add("ada/n")])
      t.equal(cuts < 1, true, where)
    }
    t.equal(await get(store, "ada/n"), "4")
    await store.close()
    await proxy.close()
    t.same(await checked(database, password), [])
  })

  t.test("a connection lost while COMMIT is answered: what became of it is found, and nothing is done twice", async (t) => {
    const database = await migrated(server)
    const proxy = await startProxy({ path: join(server.socket, `.s.PGSQL.${server.port}`) })
    const store = await PostgresStore.open(`postgres://stele_service@127.0.0.1:${proxy.port}/${database.name}?sslmode=disable`, { password, connectionsMax: 2 })
    await store.apply([add("ada/n")])
    for (let round = 0; round < 5; round++) {
      let cuts = 1
      proxy.at = (sql) => (sql === "COMMIT" && cuts-- > 0 ? "cut after" : undefined)
      t.same(await store.apply([add("ada/n")]), [BigInt(round + 2)])
      t.equal(cuts < 1, true)
    }
    t.equal(await get(store, "ada/n"), "6")
    await store.close()
    await proxy.close()
    t.same(await checked(database, password), [])
  })

  t.test("a commit that takes 2 s: who reads a log sees no entry before the one below it", async (t) => {
    const database = await migrated(server)
    const proxy = await startProxy({ path: join(server.socket, `.s.PGSQL.${server.port}`) })
    const slow = await PostgresStore.open(`postgres://stele_service@127.0.0.1:${proxy.port}/${database.name}?sslmode=disable`, { password })
    await using fast = await PostgresStore.open(database.service, { password })
    const append = (payload: string) => [{ op: "append" as const, ...placeOf("ada/log"), payload: bytes(payload) }]
    await slow.apply(append("first"))
    let delays = 1
    proxy.at = (sql) => (sql === "COMMIT" && delays-- > 0 ? 2_000 : undefined)
    const slowly = slow.apply(append("slow"))
    await new Promise((done) => setTimeout(done, 300))
    const quickly = fast.apply(append("fast"))
    const seen: Array<string> = []
    for (let after = 0n; after < 3n;) {
      const { entries } = await fast.ask({ ask: "log", ...placeOf("ada/log"), after, countMax: 10, bytesMax: 1e6 })
      for (const { offset, payload } of entries) seen.push(`${offset} ${textOf(payload)}`)
      after = entries.at(-1)?.offset ?? after
    }
    t.same([...(await slowly), ...(await quickly)], [2n, 3n])
    t.same(seen, ["1 first", "2 slow", "3 fast"])
    await slow.close()
    await proxy.close()
  })

  t.test("the server's clock decides: that of a process does not", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    const now = Date.now
    try {
      for (const hours of [1, -1]) {
        Date.now = () => now() + hours * 3_600_000
        await store.apply([{ ...set("ada/k", "v"), ttlMs: 60_000 }])
        const found = await store.ask({ ask: "get", ...placeOf("ada/k") })
        t.ok(Math.abs((found?.expiresAtUs ?? 0) / 1_000 - now() - 60_000) < 30_000, `${hours} h`)
      }
    } finally {
      Date.now = now
    }
  })

  const start = (args: ReadonlyArray<string>) =>
    spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, PGPASSWORD: password } })

  t.test("three processes count one key up: none is lost", async (t) => {
    const database = await migrated(server)
    const times = isFull ? 300 : 20
    const exits = await Promise.all([1, 2, 3].map(async () => (await once(start(["add", database.service, String(times)]), "exit"))[0] as number))
    t.same(exits, [0, 0, 0])
    await using store = await PostgresStore.open(database.service, { password })
    t.equal(await get(store, "ada/count"), String(3 * times))
    t.same(await checked(database, password), [])
  })

  t.test("kill -9 of a writer: what was acknowledged is there, and both keys or neither", async (t) => {
    const database = await migrated(server)
    const rounds = isFull ? 100 : 4
    await using store = await PostgresStore.open(database.service, { password })
    let acknowledged = 0
    for (let round = 0; round < rounds; round++) {
      const child = start(["write", database.service, "w"])
      let said = ""
      await new Promise<void>((resolve) => {
        child.stdout.on("data", (text: Buffer) => {
          said += text.toString()
          if (said.split("\n").length > 3 + (round % 7)) resolve()
        })
      })
      child.kill("SIGKILL")
      await once(child, "exit")
      acknowledged = Math.max(acknowledged, ...said.split("\n").slice(0, -1).map(Number))
      // A commit of the dead one may still be on its way: whoever writes next waits for it.
      await store.apply([set("ada/other", String(round))])
      const [left, right] = [await get(store, "ada/w-left"), await get(store, "ada/w-right")]
      t.equal(left, right)
      t.ok(Number(left) >= acknowledged && Number(left) <= acknowledged + 1, `${left} after ${acknowledged}`)
    }
    t.same(await checked(database, password), [])
  })

  t.test("a row whose bytes changed is no answer, and `check()` names it", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    await store.apply([set("ada/a", "v"), set("ada/b", "v")])
    server.sql("UPDATE stele.key_value SET value = 'w' WHERE key = 'a'; DELETE FROM stele.key_value WHERE key = 'b'", database.name)
    t.equal(await refused(() => store.ask({ ask: "get", ...placeOf("ada/a") })), "STELE-STO-0005 Corrupt")
    t.same((await checked(database, password)).length, 2)
    server.sql("UPDATE stele.tenant SET revision = revision + 1", database.name)
    t.equal(await refused(() => store.apply([set("ada/c", "v")])), "STELE-STO-0005 Corrupt")
  })

  t.test("a server that has lost what this process saw committed is not written to", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    await store.apply([set("ada/a", "1")])
    server.sql("CREATE TABLE public.was AS SELECT * FROM stele.tenant", database.name)
    await store.apply([set("ada/a", "2")])
    server.sql("DELETE FROM stele.tenant; INSERT INTO stele.tenant SELECT * FROM public.was", database.name)
    t.equal(await refused(() => store.apply([set("ada/a", "3")])), "STELE-STO-0006 Lost")
    t.equal(await get(store, "ada/a"), "2")
    await store.apply([set("bob/a", "1")])
  })

  // The last: it takes the server away.
  t.test("a server that is stopped, crashes and comes back under load: what was acknowledged is there", async (t) => {
    const database = await migrated(server)
    await using store = await PostgresStore.open(database.service, { password })
    const acknowledged = new Map<string, number>()
    const isOver = { is: false }
    const failures = new Map<string, number>()
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let i = 1; !isOver.is; i++) {
        try {
          await store.apply([set(`${writer % 3 === 0 ? "bob" : "ada"}/w${writer}`, String(i))])
          acknowledged.set(`${writer % 3 === 0 ? "bob" : "ada"}/w${writer}`, i)
        } catch (error) {
          failures.set((error as StorageError).code, (failures.get((error as StorageError).code) ?? 0) + 1)
        }
      }
    })
    for (const how of ["fast", "immediate"] as const) {
      await new Promise((done) => setTimeout(done, 400))
      await server.stop(how)
      await new Promise((done) => setTimeout(done, 200))
      await server.start()
    }
    await new Promise((done) => setTimeout(done, 600))
    isOver.is = true
    await Promise.all(writers)
    t.comment(`acknowledged ${[...acknowledged.values()].reduce((sum, each) => sum + each, 0)}, refused ${JSON.stringify([...failures])}`)
    for (const [key, i] of acknowledged) t.ok(Number(await get(store, key)) >= i, key)
    t.same(await checked(database, password), [])
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  tests(server)
}
