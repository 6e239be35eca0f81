import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { SafeIntegers, SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import t from "tap"
import type { SqlValue } from "../../../runtime/port/sql.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/memory.ts"
import { SqliteStore } from "../../../runtime/storage/sqlite/mod.ts"
import type { SqlStore } from "../../../runtime/storage/sql-client.ts"
import { sqlLayer } from "../../../runtime/storage/sqlite/sql-client.ts"
import { answer, engines } from "../../host/engine.ts"
import { mutant } from "./mutant.ts"

t.setTimeout(120_000)
const folder = await mkdtemp(join(tmpdir(), "stele-sql-"))
t.teardown(() => rm(folder, { recursive: true, force: true }))
let files = 0
const newPath = (): string => join(folder, `${files++}.db`)
const service = "shop"
const place = (name: string) => ({ tenant: Buffer.from("ada"), key: Buffer.from(name) })
const value = Buffer.from("v")
const made = "CREATE TABLE shop_item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price INTEGER) STRICT"

const stores: Readonly<Record<string, (sql?: { readonly transactionMsMax?: number }) => Promise<SqlStore>>> = {
  file: (sql = {}) => SqliteStore.open(newPath(), { sql }),
  memory: async (sql = {}) => new MemoryStore({ sql }),
}

const run = async (store: SqlStore, text: string, params: ReadonlyArray<SqlValue> = []) => (await store.apply([{ op: "sql", service, text, params }]))[0]
const refused = async (attempt: () => Promise<unknown>): Promise<string> =>
  attempt().then(
    () => "nothing",
    (error: { readonly code?: string; readonly message: string }) => error.code ?? error.message,
  )
const using = <A, E>(store: SqlStore, effect: Effect.Effect<A, E, SqlClient>) => Effect.runPromise(Effect.provide(effect, sqlLayer({ store, service })))
const failure = async (store: SqlStore, effect: Effect.Effect<unknown, SqlError, SqlClient>): Promise<string> => {
  const exit = await Effect.runPromiseExit(Effect.provide(Effect.flip(effect), sqlLayer({ store, service })))
  return Exit.isSuccess(exit) ? exit.value.reason._tag : "nothing"
}

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name}: \`SqlClient\` writes, reads what it wrote, and says what a statement was refused for`, async (t) => {
    await using store = await open()
    await using(
      store,
      Effect.gen(function* () {
        const sql = yield* SqlClient
        yield* sql.unsafe(made)
        yield* sql`INSERT INTO shop_item ${sql.insert([
          { name: "a", price: 1 },
          { name: "b", price: 2 },
        ])}`
        t.same(yield* sql`SELECT name, price FROM shop_item WHERE ${sql.in("name", ["a", "b"])} ORDER BY name`, [
          { name: "a", price: 1 },
          { name: "b", price: 2 },
        ])
        t.same(yield* sql`UPDATE shop_item SET price = price + 1 WHERE name = ${"a"} RETURNING price`, [{ price: 2 }])
        t.same(yield* sql`SELECT count(*) AS n FROM shop_item WHERE ${true}`, [{ n: 2 }])
        t.same(yield* sql`SELECT name FROM shop_item ORDER BY name`.values, [["a"], ["b"]])
        yield* sql`UPDATE shop_item SET price = ${9_007_199_254_740_993n} WHERE name = 'a'`
        t.same(yield* Effect.provideService(sql`SELECT price FROM shop_item WHERE name = 'a'`, SafeIntegers, true), [{ price: 9_007_199_254_740_993n }])
      }),
    )
    t.equal(
      await failure(
        store,
        Effect.flatMap(SqlClient, (sql) => sql`SELECT price FROM shop_item WHERE name = 'a'`),
      ),
      "UnknownError",
      "an integer that is no number",
    )
    t.equal(
      await failure(
        store,
        Effect.flatMap(SqlClient, (sql) => sql`INSERT INTO shop_item (name) VALUES ('a')`),
      ),
      "UniqueViolation",
    )
    t.equal(
      await failure(
        store,
        Effect.flatMap(SqlClient, (sql) => sql`INSERT INTO shop_item (name, price) VALUES ('x', 'text')`),
      ),
      "ConstraintError",
      "STRICT",
    )
    t.equal(
      await failure(
        store,
        Effect.flatMap(SqlClient, (sql) => sql`SELECT * FROM queue_job`),
      ),
      "AuthenticationError",
    )
    t.same(await store.check(), [])
  })

  t.test(`${name}: a transaction is kept as a whole or not at all, nested ones too`, async (t) => {
    await using store = await open()
    await run(store, made)
    const names = async () => ((await store.ask({ ask: "sql", service, text: "SELECT name FROM shop_item ORDER BY name", isArrays: true })) ?? []).flat()
    await using(
      store,
      Effect.gen(function* () {
        const sql = yield* SqlClient
        const insert = (item: string) => sql`INSERT INTO shop_item (name) VALUES (${item})`
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* insert("a")
            yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert("inner"), Effect.fail("no"))))
            yield* sql.withTransaction(insert("b"))
            t.equal((yield* Effect.flip(insert("a"))).reason._tag, "UniqueViolation")
            t.same(yield* sql`SELECT count(*) AS n FROM shop_item`, [{ n: 2 }], "its own writes")
          }),
        )
        yield* Effect.ignore(sql.withTransaction(Effect.andThen(insert("c"), Effect.fail("no"))))
      }),
    )
    t.same(await names(), ["a", "b"])
    t.same(await store.check(), [])
  })

  t.test(`${name}: others' writes wait for a transaction, and one that blocks its thread ends it; then it is begun again`, async (t) => {
    await using store = await open()
    await run(store, made)
    const order: Array<string> = []
    const transaction = await store.transaction()
    await transaction.run({ service, text: "INSERT INTO shop_item (name) VALUES ('a')" })
    const waiting = store.apply([{ op: "set", ...place("k"), value }]).then(() => order.push("set"))
    const second = store.transaction()
    await new Promise((resume) => setTimeout(resume, 20))
    order.push("commit")
    await transaction.commit()
    await waiting
    t.same(order, ["commit", "set"])
    const open2 = await second
    await open2.run({ service, text: "INSERT INTO shop_item (name) VALUES ('b')" })
    store.applySync([{ op: "set", ...place("k"), value }])
    t.equal(await refused(() => open2.commit()), "STELE-STO-0055")
    await open2.rollback()
    let runs = 0
    await using(
      store,
      Effect.gen(function* () {
        const sql = yield* SqlClient
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`INSERT INTO shop_item (name) VALUES ('c')`
            // A guest's call in the middle of it, on the same thread.
            if (++runs < 3) store.applySync([{ op: "set", ...place("k"), value }])
            yield* sql`INSERT INTO shop_item (name) VALUES ('d')`
          }),
        )
      }),
    )
    t.equal(runs, 3)
    t.same(((await store.ask({ ask: "sql", service, text: "SELECT name FROM shop_item ORDER BY name", isArrays: true })) ?? []).flat(), ["a", "c", "d"])
    runs = 0
    const always = Effect.flatMap(SqlClient, (sql) =>
      sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`INSERT INTO shop_item (name) VALUES ('e')`
          runs++
          store.applySync([{ op: "set", ...place("k"), value }])
          yield* sql`INSERT INTO shop_item (name) VALUES ('f')`
        }),
      ),
    )
    t.equal(await failure(store, always), "SerializationError")
    t.equal(runs, 6, "and no more than five times again")
    t.same(await store.check(), [])
  })

  t.test(`${name}: a transaction ends after its time, and the next has its turn`, async (t) => {
    await using store = await open({ transactionMsMax: 30 })
    await run(store, made)
    const transaction = await store.transaction()
    await transaction.run({ service, text: "INSERT INTO shop_item (name) VALUES ('a')" })
    await store.apply([{ op: "set", ...place("k"), value }])
    t.equal(await refused(() => transaction.run({ service, text: "INSERT INTO shop_item (name) VALUES ('b')" })), "STELE-STO-0055")
    t.equal(await refused(() => transaction.commit()), "STELE-STO-0055")
    t.same(await store.ask({ ask: "sql", service, text: "SELECT * FROM shop_item" }), [])
  })

  t.test(`${name}: a service reaches no tables but its own, and makes none that are not STRICT`, async (t) => {
    await using store = await open()
    await run(store, made)
    await store.apply([{ op: "sql", service: "other", text: "CREATE TABLE other_thing (id INTEGER PRIMARY KEY, secret TEXT) STRICT" }])
    await store.apply([{ op: "enqueue", ...place("mail"), jobs: [{ payload: value }] }])
    const tables = async () => (await store.ask({ ask: "sql", service, text: "SELECT name FROM sqlite_schema ORDER BY name", isArrays: true })) ?? []
    const before = await tables()
    for (const text of [
      "SELECT * FROM queue_job",
      "SELECT count(*) FROM key_value",
      "SELECT * FROM other_thing",
      "SELECT (SELECT secret FROM other_thing)",
      "WITH x AS (SELECT * FROM commit_group) SELECT * FROM x",
      "INSERT INTO shop_item (name) SELECT secret FROM other_thing",
      "UPDATE queue_lane SET ready = 0",
      "DELETE FROM commit_group",
      "DROP TABLE queue_job",
      "DROP INDEX queue_ready",
      "ALTER TABLE other_thing ADD COLUMN x TEXT",
      "ALTER TABLE shop_item RENAME TO other_item",
      "ALTER TABLE shop_item RENAME TO queue",
      "CREATE TABLE shopping (id INTEGER PRIMARY KEY) STRICT",
      "CREATE TABLE other_new (id INTEGER PRIMARY KEY) STRICT",
      "CREATE TEMP TABLE shop_temp (id INTEGER PRIMARY KEY) STRICT",
      "CREATE TEMP VIEW shop_temp AS SELECT 1",
      "CREATE INDEX shop_index ON other_thing (secret)",
      "CREATE INDEX other_index ON shop_item (name)",
      "CREATE TRIGGER shop_trigger AFTER INSERT ON queue_job BEGIN SELECT 1; END",
      "CREATE TABLE shop_child (id INTEGER PRIMARY KEY, job INTEGER REFERENCES other_thing (id)) STRICT",
      "CREATE VIRTUAL TABLE shop_search USING fts5 (name)",
      "ATTACH ':memory:' AS x",
      "PRAGMA synchronous = OFF",
      "PRAGMA writable_schema = 1",
      "VACUUM",
      "COMMIT",
      "ROLLBACK",
      "BEGIN",
      "SAVEPOINT batch",
      "RELEASE batch",
      "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)",
      "UPDATE sqlite_schema SET sql = ''",
      "SELECT load_extension('x')",
      "ANALYZE",
    ])
      t.match(await refused(() => run(store, text)), /^STELE-STO-005[23]$/, text)
    for (const text of ["CREATE TABLE shop_loose (id INTEGER PRIMARY KEY)", "CREATE TABLE shop_copy AS SELECT * FROM shop_item"])
      t.equal(await refused(() => run(store, text)), "STELE-STO-0053", text)
    // A view or a trigger of its own that leads elsewhere is made, and of no use.
    await run(store, "CREATE VIEW shop_view AS SELECT * FROM other_thing")
    t.equal(await refused(() => run(store, "SELECT * FROM shop_view")), "STELE-STO-0053")
    await run(store, "DROP VIEW shop_view")
    await run(store, "CREATE TRIGGER shop_trigger AFTER INSERT ON shop_item BEGIN DELETE FROM queue_job; END")
    t.equal(await refused(() => run(store, "INSERT INTO shop_item (name) VALUES ('t')")), "STELE-STO-0053")
    await run(store, "DROP TRIGGER shop_trigger")
    t.equal(
      await refused(() => store.apply([{ op: "sql", service, text: "CREATE TABLE shop_a (x INTEGER) STRICT; CREATE TABLE shop_b (x)", isScript: true }])),
      "STELE-STO-0053",
    )
    t.same(await tables(), before)
    for (const [text, rows] of [
      ["WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n", [[1], [2], [3]]],
      ["SELECT value FROM json_each('[4,5]')", [[4], [5]]],
      ["SELECT count(*) FROM (SELECT 1 UNION SELECT 2)", [[2]]],
    ] as const)
      t.same(await store.ask({ ask: "sql", service, text, isArrays: true }), rows, text)
    for (const bad of ["queue", "Shop", "shop_x", "", "sqlite"])
      t.equal(await refused(() => store.apply([{ op: "sql", service: bad, text: "SELECT 1" }])), "STELE-CFG-0002", bad)
    t.equal(await refused(() => store.apply([{ op: "sql", service, text: "SELECT ?", params: [new Date() as unknown as string] }])), "STELE-CFG-0002")
    t.same(await store.check(), [])
  })

  t.test(`${name}: a statement that is refused harms no neighbour, and none of its batch is kept`, async (t) => {
    await using store = await open()
    await run(store, made)
    const found = await Promise.all([
      refused(() => store.apply([{ op: "set", ...place("a"), value }])),
      refused(() =>
        store.apply([
          { op: "set", ...place("b"), value },
          { op: "sql", service, text: "INSERT INTO shop_item (id, name) VALUES (1, 'x'), (1, 'y')" },
        ]),
      ),
      refused(() => store.apply([{ op: "sql", service, text: "INSERT INTO shop_item (name) VALUES ('z')" }])),
    ])
    t.same(found, ["nothing", "STELE-STO-0052", "nothing"])
    t.same([await store.ask({ ask: "has", ...place("a") }), await store.ask({ ask: "has", ...place("b") })], [true, false])
    // A conflict clause that takes the whole transaction away fails all of the group, and acknowledges nothing of it.
    const group = await Promise.all([
      refused(() => store.apply([{ op: "set", ...place("c"), value }])),
      refused(() => store.apply([{ op: "sql", service, text: "INSERT OR ROLLBACK INTO shop_item (name) VALUES ('z')" }])),
    ])
    t.equal(await store.ask({ ask: "has", ...place("c") }), group[0] === "nothing")
    t.equal(group[1], "STELE-STO-0007")
    await store.apply([{ op: "set", ...place("d"), value }])
    t.same(await store.check(), [])
  })

  t.test(`${name}: a job's effect in a service's table and its completion happen together`, async (t) => {
    await using store = await open()
    await run(store, made)
    await store.apply([{ op: "enqueue", ...place("mail"), jobs: [{ payload: value, backoffMs: 0 }] }])
    const lease = { op: "lease", key: Buffer.from("mail"), countMax: 1, leaseMs: 1 } as const
    const [{ jobs: first }] = await store.apply([lease])
    await new Promise((resume) => setTimeout(resume, 5))
    const [{ jobs: second }] = await store.apply([{ ...lease, leaseMs: 10_000 }])
    t.equal(second[0]?.attempt, 2)
    const effect = { op: "sql", service, text: "INSERT INTO shop_item (name) VALUES ('sent')" } as const
    const refOf = ([job]: typeof first) => ({ tenant: Buffer.from("ada"), key: Buffer.from("mail"), id: job?.id ?? 0, token: job?.token ?? 0 })
    t.equal(await refused(() => store.apply([effect, { op: "complete", leases: [refOf(first)] }])), "STELE-STO-0050")
    t.same(await store.ask({ ask: "sql", service, text: "SELECT * FROM shop_item" }), [])
    await store.apply([effect, { op: "complete", leases: [refOf(second)] }])
    t.equal((await store.ask({ ask: "sql", service, text: "SELECT * FROM shop_item" }))?.length, 1)
  })
}

t.test("SQL of services is the same on three engines", async (t) => {
  for (const engine of engines) {
    const found = await answer<object>(engine, fileURLToPath(new URL("sql-program.ts", import.meta.url)), ["sql", newPath()])
    t.same(found, { changes: 2, rows: [[2, "b!"]], writes: true, codes: ["STELE-STO-0053", "STELE-STO-0053", "STELE-STO-0052"], findings: [] }, engine)
  }
})

t.test("what a transaction wrote and did not commit is gone when the store is opened again", async (t) => {
  const path = newPath()
  {
    await using store = await SqliteStore.open(path)
    await run(store, made)
    const transaction = await store.transaction()
    await transaction.run({ service, text: "INSERT INTO shop_item (name) VALUES ('a')" })
    void store.apply([{ op: "set", ...place("k"), value }])
  }
  await using store = await SqliteStore.open(path)
  t.same(await store.ask({ ask: "sql", service, text: "SELECT * FROM shop_item" }), [])
  t.equal(await store.ask({ ask: "has", ...place("k") }), true, "what waited for it was carried out")
  t.same(await store.check(), [])
})

/** What must hold, each by itself: true when it does. */
async function rules(Store: typeof MemoryStore): Promise<ReadonlyArray<boolean>> {
  await using store = new Store({ sql: { transactionMsMax: 40, rowsMax: 3 } })
  const apply = (text: string, whose = service) => store.apply([{ op: "sql", service: whose, text }])
  const isRefused = async (attempt: () => Promise<unknown>): Promise<boolean> => (await refused(attempt)) !== "nothing"
  const ask = (text: string) => store.ask({ ask: "sql", service, text, isArrays: true })
  await apply("CREATE TABLE other_thing (id INTEGER PRIMARY KEY) STRICT", "other")
  await apply("CREATE TABLE shops_thing (id INTEGER PRIMARY KEY) STRICT", "shops")
  await apply(made)
  await apply("INSERT INTO shop_item (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')")
  const found = [
    await isRefused(() => apply("SELECT * FROM other_thing")),
    await isRefused(() => apply("INSERT INTO other_thing VALUES (1)")),
    await isRefused(() => apply("SELECT * FROM shops_thing")),
    await isRefused(() => apply("SELECT * FROM sqlite_temp_schema")),
    await isRefused(() => apply("CREATE TABLE shopping (id INTEGER PRIMARY KEY) STRICT")),
    await isRefused(() => apply("CREATE INDEX shop_i ON other_thing (id)")),
    await isRefused(() => apply("ALTER TABLE other_thing ADD COLUMN x TEXT")),
    await isRefused(() => apply("CREATE TABLE shop_loose (id)")),
    await isRefused(() => apply("CREATE TABLE shop_child (id INTEGER REFERENCES other_thing (id)) STRICT")),
    await isRefused(() => apply("ALTER TABLE shop_item RENAME TO other_item")),
    await isRefused(() => apply("CREATE TEMP TABLE shop_temp (id INTEGER PRIMARY KEY) STRICT")),
    await isRefused(() => apply("PRAGMA user_version = 7")),
    await isRefused(() => apply("SAVEPOINT mine")),
    await isRefused(() => apply("SELECT 1", "queue")),
    await isRefused(() => ask("SELECT * FROM shop_item")),
    (await ask("DELETE FROM shop_item")) === undefined,
    await isRefused(() => store.apply([{ op: "sql", service, text: "SELECT ?", params: [{} as string] }])),
  ]
  const transaction = await store.transaction()
  await transaction.run({ service, text: "DELETE FROM shop_item" })
  let isOver = false
  const waiting = store.apply([{ op: "set", ...place("k"), value }]).then(() => isOver)
  store.applySync([{ op: "set", ...place("k"), value }])
  found.push(await isRefused(() => transaction.commit()))
  await waiting
  const late = await store.transaction()
  await new Promise((resume) => setTimeout(resume, 80))
  found.push(await isRefused(() => late.commit()))
  const held = await store.transaction()
  const behind = store.apply([{ op: "set", ...place("k"), value }]).then(() => isOver)
  await held.run({ service, text: "DELETE FROM shop_item WHERE id = 1" })
  isOver = true
  await held.commit()
  found.push(await behind, (await ask("SELECT count(*) FROM shop_item"))?.flat().at(0) === 3)
  return found
}

t.test("SQL with one rule taken out does not pass", async (t) => {
  const module = new URL("../../../runtime/storage/sqlite/memory.ts", import.meta.url)
  const sound = await rules(MemoryStore)
  t.same(
    sound,
    sound.map(() => true),
    "with all rules",
  )
  for (const [rule, file, from, to] of [
    ["others' tables read", "sqlite/sql.ts", "return isOwn(first) || isSchema || functionTables", "return first !== null || isSchema || functionTables"],
    ["others' tables written", "sqlite/sql.ts", "return isOwn(first) || isSchema\n", "return first !== null\n"],
    ["a table's own prefix", "sqlite/sql.ts", "name?.startsWith(`${seen.service}_`) === true", "name?.startsWith(seen.service) === true"],
    ["others' tables altered", "sqlite/sql.ts", "case actions.alterTable:\n      return isOwn(second)", "case actions.alterTable:\n      return true"],
    ["STRICT", "sqlite/sql.ts", 'type === "table" && strict !== 1', "strict > 1"],
    ["foreign keys", "sqlite/sql.ts", "if (!parent.startsWith(prefix))", "if (parent === prefix)"],
    ["new names", "sqlite/sql.ts", "!before.has(name) &&", "name === prefix &&"],
    ["what is temporary", "sqlite/sql.ts", "return seen.changesSchema && (action === actions.read || action === actions.update)", "return true"],
    ["pragmas", "sqlite/sql.ts", 'return questionPragmas.has(first ?? "")', "return first !== null"],
    ["savepoints of others", "sqlite/sql.ts", 'second?.startsWith("effect_sql_") === true', "true"],
    ["names of the store's own", "sql-statement.ts", "|| ownNames.has(service)", ""],
    ["rows of an answer", "sqlite/sql.ts", 'checkLimit("sql", "rowsMax", "rows", this.#limits.rowsMax, rows.length)', ""],
    ["writes told from reads", "sqlite/sql.ts", "if (writes.has(action) && !isSchema) seen.writes = true", ""],
    ["values of known types", "sql-statement.ts", "|| value instanceof Uint8Array) return undefined", '|| typeof value === "object") return undefined'],
    ["a blocking call's precedence", "sqlite/turns.ts", 'this.#end("a call that blocks its thread must not wait for it")', "return"],
    ["a transaction's time", "sqlite/turns.ts", "}, this.#transactionMsMax)", "}, 60_000)"],
    ["waiting for a transaction", "sqlite/turns.ts", "if (this.#open !== undefined || first === undefined) return", "if (first === undefined) return"],
  ] as const) {
    const { MemoryStore: Store } = await mutant<{ readonly MemoryStore: typeof MemoryStore }>(module, file, from, to)
    const found = await Promise.race([rules(Store), new Promise<ReadonlyArray<boolean>>((resume) => setTimeout(resume, 1_000, [false]))]).catch(() => [false])
    t.ok(found.includes(false), rule)
  }
})
