import t from "tap"
import { ensureMigrated, migrate, type Migration, type MigrationTarget, type Step } from "../../../runtime/service/migrate.ts"
import { MemoryStore } from "../../../runtime/storage/sqlite/memory.ts"
import { sqliteTarget } from "../../../runtime/storage/sqlite/migration-target.ts"

const service = "shop"
const first: Migration = {
  number: 1,
  name: "items",
  expand: ["CREATE TABLE shop_item (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT", "CREATE INDEX shop_item_name ON shop_item (name)"],
  down: ["DROP TABLE shop_item"],
  losesData: true,
}
const second: Migration = {
  number: 2,
  name: "titles",
  expand: ["ALTER TABLE shop_item ADD COLUMN title TEXT", "UPDATE shop_item SET title = name"],
  contract: ["DROP INDEX shop_item_name", "ALTER TABLE shop_item DROP COLUMN name"],
  down: ["ALTER TABLE shop_item DROP COLUMN title"],
}
const third: Migration = {
  number: 3,
  name: "prices",
  expand: { sqlite: ["ALTER TABLE shop_item ADD COLUMN price INTEGER"], postgres: ["ALTER TABLE shop_item ADD COLUMN price bigint"] },
}
const all = [first, second, third]

const refused = async (attempt: () => Promise<unknown>): Promise<string> =>
  attempt().then(
    () => "nothing",
    (error: { readonly code?: string; readonly message: string }) => error.code ?? error.message,
  )
const columns = async (store: MemoryStore): Promise<string> => {
  const [row] = (await store.ask({ ask: "sql", service, text: "SELECT sql FROM sqlite_schema WHERE name = 'shop_item'" })) ?? []
  return String((row as { readonly sql: string } | undefined)?.sql ?? "")
}
const kinds = (steps: ReadonlyArray<Step>) => steps.map(({ kind, number }) => `${kind} ${number}`)

t.test("`migrate()` says each step, runs it once, and goes on where it stopped", async (t) => {
  await using store = new MemoryStore()
  const target = sqliteTarget(store, service)
  t.equal(await refused(() => ensureMigrated(target, { service, migrations: all })), "STELE-STO-0054")
  const planned = await migrate(target, { service, migrations: all, isDryRun: true })
  t.same([planned.from, planned.to, kinds(planned.steps)], [0, 3, ["expand 1", "expand 2", "expand 3"]])
  t.equal(await columns(store), "", "nothing was done")
  const said: Array<string> = []
  const done = await migrate(target, { service, migrations: [first, second], onStep: ({ name }) => said.push(name) })
  t.same([done.from, done.to, said], [0, 2, ["items", "titles"]])
  t.same(kinds((await migrate(target, { service, migrations: all })).steps), ["expand 3"])
  t.same(kinds((await migrate(target, { service, migrations: all })).steps), [])
  await ensureMigrated(target, { service, migrations: all })
  t.match(await columns(store), /name TEXT NOT NULL.*title TEXT.*price INTEGER/s)
  t.same(await store.check(), [])
})

t.test("a migration that fails leaves nothing of itself and all of those before it", async (t) => {
  await using store = new MemoryStore()
  const target = sqliteTarget(store, service)
  const broken: Migration = { number: 2, name: "broken", expand: ["ALTER TABLE shop_item ADD COLUMN half TEXT", "UPDATE nowhere SET x = 1"] }
  t.equal(await refused(() => migrate(target, { service, migrations: [first, broken] })), "STELE-STO-0059")
  t.notMatch(await columns(store), /half/)
  t.same(kinds((await migrate(target, { service, migrations: [first, second] })).steps), ["expand 2"])
})

t.test("an old migration that was changed is refused, and numbers have no gaps", async (t) => {
  await using store = new MemoryStore()
  const target = sqliteTarget(store, service)
  await migrate(target, { service, migrations: [first, second] })
  const changed = { ...first, expand: ["CREATE TABLE shop_item (id INTEGER PRIMARY KEY) STRICT"] }
  t.equal(await refused(() => migrate(target, { service, migrations: [changed, second] })), "STELE-STO-0056")
  t.equal(await refused(() => ensureMigrated(target, { service, migrations: [changed, second] })), "STELE-STO-0056")
  t.equal(await refused(() => migrate(target, { service, migrations: [second] })), "STELE-CFG-0002")
  t.equal(await refused(() => migrate(target, { service, migrations: [first, second], to: 3 })), "STELE-CFG-0002")
  t.equal(await refused(() => migrate(target, { service: "shop; DROP", migrations: [] })), "STELE-CFG-0002")
})

t.test("versions N and N+1 serve side by side until the store has contracted", async (t) => {
  await using store = new MemoryStore()
  const target = sqliteTarget(store, service)
  const [older, newer] = [
    { service, migrations: [first] },
    { service, migrations: [first, second] },
  ]
  await migrate(target, newer)
  await ensureMigrated(target, older)
  await store.apply([{ op: "sql", service, text: "INSERT INTO shop_item (name) VALUES ('by the older')" }])
  await ensureMigrated(target, newer)
  t.same(kinds((await migrate(target, { ...newer, contractTo: 2 })).steps), ["contract 2"])
  await ensureMigrated(target, newer)
  t.equal(await refused(() => ensureMigrated(target, older)), "STELE-STO-0057")
  t.equal(await refused(() => migrate(target, older)), "STELE-STO-0057")
  t.equal(await refused(() => migrate(target, { ...newer, to: 1 })), "STELE-STO-0058", "no way back from there")
})

t.test("`migrate()` goes back only where nothing is lost, or where the loss is accepted and a backup made first", async (t) => {
  await using store = new MemoryStore()
  const target = sqliteTarget(store, service)
  const options = { service, migrations: [first, second] }
  await migrate(target, options)
  t.same(kinds((await migrate(target, { ...options, to: 1 })).steps), ["down 2"])
  t.notMatch(await columns(store), /title/)
  t.equal(await refused(() => migrate(target, { ...options, to: 0 })), "STELE-STO-0058")
  t.equal(await refused(() => migrate(target, { ...options, to: 0, allowsLoss: true })), "STELE-STO-0058", "no backup")
  t.equal(await refused(() => migrate(target, { ...options, to: 0, allowsLoss: true, backup: () => Promise.reject(new Error("disk full")) })), "disk full")
  t.match(await columns(store), /name TEXT/, "still there")
  const { backup, to } = await migrate(target, { ...options, to: 0, allowsLoss: true, backup: async () => "/backups/1" })
  t.same([backup, to, await columns(store)], ["/backups/1", 0, ""])
  await migrate(target, { service, migrations: all })
  t.equal(await refused(() => migrate(target, { service, migrations: all, to: 2, allowsLoss: true, backup: async () => "x" })), "STELE-STO-0058", "no way back")
})

t.test("of two who migrate at once, and one who dies at any step, all is done exactly once", async (t) => {
  for (let diesAt = 0; diesAt < 6; diesAt++) {
    await using store = new MemoryStore()
    const target = sqliteTarget(store, service)
    let batches = 0
    const mortal: MigrationTarget = {
      ...target,
      batch: async (statements) => {
        if (batches++ === diesAt) throw new Error("killed")
        return target.batch(statements)
      },
    }
    const reports = await Promise.allSettled([migrate(mortal, { service, migrations: all }), migrate(target, { service, migrations: all })])
    await migrate(target, { service, migrations: all })
    await ensureMigrated(target, { service, migrations: all })
    t.equal(reports[1]?.status, "fulfilled")
    const rows = await target.rows("SELECT number, step FROM shop_migration ORDER BY number")
    t.same(
      rows.map(({ number }) => number),
      [1, 2, 3],
    )
  }
})
