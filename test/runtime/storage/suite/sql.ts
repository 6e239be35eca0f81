/** SQL of services, alike in every store but for what the two databases call their types and mark values with. */
import { ensureMigrated, migrate, type Dialect, type Migration, type MigrationTarget } from "../../../../runtime/service/migrate.ts"
import type { SqlOperation, SqlRows, SqlValue } from "../../../../runtime/port/sql.ts"
import type { Store } from "../../../../runtime/port/store.ts"
import { sqliteTarget } from "../../../../runtime/storage/sqlite/migration-target.ts"
import { at, badOption, bytes, get, overLimit, set, type StoreCase } from "./case.ts"

export interface SqlBackend {
  readonly dialect: Dialect
  readonly target: (service: string) => Promise<MigrationTarget & Partial<AsyncDisposable>>
}

/** How the tables of a store's services are made, where they are not by its own statements. */
export const sqlBackends = new WeakMap<Store, SqlBackend>()
const backendOf = (store: Store): SqlBackend => sqlBackends.get(store) ?? { dialect: "sqlite", target: async (service) => sqliteTarget(store, service) }

const [ada, bob] = [bytes("ada"), bytes("bob")]
const made = (service: string): Migration => ({
  number: 1,
  name: "items",
  expand: {
    sqlite: [
      `CREATE TABLE ${service}_item (tenant BLOB NOT NULL, id INTEGER NOT NULL, name TEXT, price INTEGER, rate REAL, data BLOB, PRIMARY KEY (tenant, id), UNIQUE (tenant, name)) STRICT`,
    ],
    postgres: [
      `CREATE TABLE ${service}_item (tenant bytea NOT NULL, id bigint NOT NULL, name text, price bigint, rate double precision, data bytea, PRIMARY KEY (tenant, id), UNIQUE (tenant, name))`,
    ],
  },
  down: [`DROP TABLE ${service}_item`],
  losesData: true,
})

/** Texts are written with marks as `?`; those of PostgreSQL have numbers. */
class Service {
  readonly #store: Store
  readonly name: string
  readonly #dialect: Dialect

  constructor(store: Store, name: string) {
    this.#store = store
    this.name = name
    this.#dialect = backendOf(store).dialect
  }

  #text(text: string): string {
    let count = 0
    return this.#dialect === "sqlite" ? text : text.replaceAll("?", () => `$${++count}`)
  }

  async migrate(migrations: ReadonlyArray<Migration> = [made(this.name)], more: Partial<Parameters<typeof migrate>[1]> = {}) {
    const target = await backendOf(this.#store).target(this.name)
    try {
      return await migrate(target, { service: this.name, migrations, ...more })
    } finally {
      await target[Symbol.asyncDispose]?.()
    }
  }

  async ensure(migrations: ReadonlyArray<Migration>): Promise<void> {
    const target = await backendOf(this.#store).target(this.name)
    try {
      await ensureMigrated(target, { service: this.name, migrations })
    } finally {
      await target[Symbol.asyncDispose]?.()
    }
  }

  op(text: string, params: ReadonlyArray<SqlValue> = [], more: Partial<SqlOperation> = {}): SqlOperation {
    return { op: "sql", service: this.name, tenant: ada, text: this.#text(text), params, ...more }
  }

  async run(text: string, params: ReadonlyArray<SqlValue> = [], more: Partial<SqlOperation> = {}) {
    return (await this.#store.apply([this.op(text, params, more)]))[0]
  }

  ask(
    text: string,
    params: ReadonlyArray<SqlValue> = [],
    more: { readonly tenant?: Uint8Array; readonly isSafe?: boolean; readonly isArrays?: boolean } = {},
  ): Promise<SqlRows | undefined> {
    return this.#store.ask({ ask: "sql", service: this.name, tenant: ada, text: this.#text(text), params, isArrays: true, ...more })
  }
}

let count = 0
/** One whose tables no other case has: services' tables stay when a tenant is erased. */
async function service(store: Store, migrations?: (name: string) => ReadonlyArray<Migration>): Promise<Service> {
  const made = new Service(store, `s${count++}x${process.pid}`)
  await made.migrate(migrations?.(made.name))
  return made
}

const sqlRefused = "STELE-STO-0052"

export const sqlCases: ReadonlyArray<StoreCase> = [
  {
    group: "sql",
    title: "values of every kind come back as they were",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      const values: ReadonlyArray<SqlValue> = [ada, 1, "naïve 🪨 'quoted' $1 ?", -9_007_199_254_740_991, 0.1, new Uint8Array([0, 255, 0])]
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name, price, rate, data) VALUES (?, ?, ?, ?, ?, ?)`, values)
      check.same(
        await shop.ask(`SELECT tenant, id, name, price, rate, data FROM ${shop.name}_item`),
        [values.map((value) => (value instanceof Uint8Array ? new Uint8Array(value) : value))],
        "all",
      )
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name, price, rate, data) VALUES (?, ?, ?, ?, ?, ?)`, [
        ada,
        2n,
        "",
        null,
        null,
        new Uint8Array(0),
      ])
      check.same(
        await shop.ask(`SELECT name, price, rate, data FROM ${shop.name}_item WHERE id = 2`),
        [["", null, null, new Uint8Array(0)]],
        "none and nothing",
      )
      await shop.run(`UPDATE ${shop.name}_item SET price = ? WHERE id = 2`, [2n ** 63n - 1n])
      check.same(await shop.ask(`SELECT price FROM ${shop.name}_item WHERE id = 2`, [], { isSafe: true }), [[2n ** 63n - 1n]], "64 bits")
      await check.refused(() => shop.ask(`SELECT price FROM ${shop.name}_item WHERE id = 2`), { code: sqlRefused }, "no safe number")
      const named = await shop.ask(`SELECT id, name FROM ${shop.name}_item WHERE id = 1`, [], { isArrays: false })
      check.same(
        named?.map((row) => ({ ...row })),
        [{ id: 1, name: values[2] }],
        "by name",
      )
    },
  },
  {
    group: "sql",
    title: "values that no database takes alike are refused before any sees them",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      for (const bad of ["a\0b", "\ud800", new Date() as unknown as string, undefined as unknown as null])
        await check.refused(() => shop.run(`UPDATE ${shop.name}_item SET name = ?`, [bad]), { code: badOption }, JSON.stringify(bad))
      for (const name of ["queue", "Shop", "shop_x", "", "stele", "a".repeat(32), "a;b"])
        await check.refused(() => store.apply([{ op: "sql", service: name, text: "SELECT 1" }]), { code: badOption }, name)
    },
  },
  {
    group: "sql",
    title: "a batch of statements and other operations is kept as a whole or not at all",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      const insert = (id: number) => shop.op(`INSERT INTO ${shop.name}_item (tenant, id) VALUES (?, ?)`, [ada, id])
      await store.apply([set("a"), insert(1), insert(2)])
      check.same([await get(store, "a"), (await shop.ask(`SELECT id FROM ${shop.name}_item ORDER BY id`))?.flat()], ["a", [1, 2]], "both")
      await check.refused(() => store.apply([set("b"), insert(3), insert(1)]), { code: sqlRefused }, "the second statement")
      await check.refused(() => store.apply([insert(4), { op: "require", ...at("a"), version: undefined }]), { code: "STELE-STO-0040" }, "the other operation")
      check.same([await get(store, "b"), (await shop.ask(`SELECT id FROM ${shop.name}_item ORDER BY id`))?.flat()], [undefined, [1, 2]], "neither")
    },
  },
  {
    group: "sql",
    title: "a statement that is refused harms no neighbour",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      const insert = (id: number) => shop.run(`INSERT INTO ${shop.name}_item (tenant, id) VALUES (?, ?)`, [ada, id])
      const found = await Promise.allSettled([insert(1), store.apply([set("n")]), insert(1), shop.run("SELEC 1"), insert(2), store.apply([set("m")])])
      check.same(
        found.map(({ status }) => status),
        ["fulfilled", "fulfilled", "rejected", "rejected", "fulfilled", "fulfilled"],
        "each by itself",
      )
      check.same(
        [await get(store, "n"), await get(store, "m"), (await shop.ask(`SELECT id FROM ${shop.name}_item ORDER BY id`))?.flat()],
        ["n", "m", [1, 2]],
        "what was kept",
      )
    },
  },
  {
    group: "sql",
    title: "an answer has rows of `RETURNING`, in order, and how many were changed",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      check.same(
        await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name) VALUES (?, 1, 'a'), (?, 2, 'b') RETURNING id, name`, [ada, ada], { isArrays: true }),
        {
          rows: [
            [1, "a"],
            [2, "b"],
          ],
          changes: 2,
        },
        "insert",
      )
      check.same(await shop.run(`UPDATE ${shop.name}_item SET price = id`), { rows: [], changes: 2 }, "update")
      check.same(await shop.run(`DELETE FROM ${shop.name}_item WHERE id > 7`), { rows: [], changes: 0 }, "nothing")
    },
  },
  {
    group: "sql",
    title: "a question whose statement writes has no answer, and writes nothing",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store)
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id) VALUES (?, 1)`, [ada])
      check.same(await shop.ask(`DELETE FROM ${shop.name}_item`), undefined, "delete")
      check.same(await shop.ask(`UPDATE ${shop.name}_item SET price = 1 RETURNING id`), undefined, "update")
      check.same(await shop.ask(`SELECT price FROM ${shop.name}_item`), [[null]], "as it was")
    },
  },
  {
    group: "sql",
    title: "a service reaches neither another's tables nor the store's, and one statement is one",
    needs: "sql",
    async run(store, check) {
      const [shop, other] = [await service(store), await service(store)]
      await other.run(`INSERT INTO ${other.name}_item (tenant, id) VALUES (?, 1)`, [ada])
      await store.apply([set("secret")])
      for (const text of [
        `SELECT * FROM ${other.name}_item`,
        `DELETE FROM ${other.name}_item`,
        `INSERT INTO ${shop.name}_item (tenant, id) SELECT tenant, id FROM ${other.name}_item`,
        `SELECT (SELECT count(*) FROM ${other.name}_item)`,
        "SELECT * FROM key_value",
        "DELETE FROM commit_group",
        `DROP TABLE ${other.name}_item`,
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT batch",
        "VACUUM",
        "",
      ])
        await check.refused(() => shop.run(text), { code: /^STELE-STO-00(52|53)$/ }, text)
      check.same([(await other.ask(`SELECT id FROM ${other.name}_item`))?.flat(), await get(store, "secret")], [[1], "secret"], "as it was")
    },
  },
  {
    group: "sql",
    title: "answers have at most `rowsMax` rows and statements `textBytesMax` bytes",
    needs: "sql",
    limits: { sql: { rowsMax: 3, textBytesMax: 2_000 } },
    async run(store, check) {
      const shop = await service(store)
      for (const id of [1, 2, 3, 4]) await shop.run(`INSERT INTO ${shop.name}_item (tenant, id) VALUES (?, ?)`, [ada, id])
      check.same((await shop.ask(`SELECT id FROM ${shop.name}_item WHERE id < 4`))?.length, 3, "three")
      await check.refused(() => shop.ask(`SELECT id FROM ${shop.name}_item`), { code: overLimit }, "four")
      await check.refused(() => shop.run(`UPDATE ${shop.name}_item SET price = 1 RETURNING id`), { code: overLimit }, "four changed")
      check.same((await shop.ask(`SELECT id FROM ${shop.name}_item WHERE price = 1`))?.length, 0, "and not kept")
      await check.refused(() => shop.ask(`SELECT 1 -- ${"x".repeat(2_000)}`), { code: overLimit }, "too long")
    },
  },
  {
    group: "sql",
    title: "a tenant's erasure takes its rows from services' tables, and no other's",
    needs: "sql",
    async run(store, check) {
      const shop = await service(store, (name) => [
        made(name),
        {
          number: 2,
          name: "parts",
          expand: {
            sqlite: [
              `CREATE TABLE ${name}_part (tenant BLOB NOT NULL, id INTEGER NOT NULL, item INTEGER NOT NULL, PRIMARY KEY (tenant, id), FOREIGN KEY (tenant, item) REFERENCES ${name}_item (tenant, id)) STRICT`,
            ],
            postgres: [
              `CREATE TABLE ${name}_part (tenant bytea NOT NULL, id bigint NOT NULL, item bigint NOT NULL, PRIMARY KEY (tenant, id), FOREIGN KEY (tenant, item) REFERENCES ${name}_item (tenant, id))`,
            ],
          },
        },
      ])
      for (const tenant of [ada, bob])
        for (let id = 0; id < 7; id++) {
          await shop.run(`INSERT INTO ${shop.name}_item (tenant, id) VALUES (?, ?)`, [tenant, id], { tenant })
          await shop.run(`INSERT INTO ${shop.name}_part (tenant, id, item) VALUES (?, ?, ?)`, [tenant, id, id], { tenant })
        }
      const erase = async (): Promise<ReadonlyArray<number>> => {
        const counts: Array<number> = []
        for (let left = 5; left === 5;) counts.push((left = (await store.apply([{ op: "erase", tenant: ada, countMax: 5 }]))[0]))
        return counts
      }
      const counts = await erase()
      check.same(counts.reduce((sum, count) => sum + count, 0) >= 14, true, counts.join(" "))
      const rows = (tenant: Uint8Array) =>
        shop.ask(
          `SELECT (SELECT count(*) FROM ${shop.name}_item WHERE tenant = ?), (SELECT count(*) FROM ${shop.name}_part WHERE tenant = ?)`,
          [tenant, tenant],
          { tenant },
        )
      check.same([await rows(ada), await rows(bob)], [[[0, 0]], [[7, 7]]], "what is left")
    },
  },
  {
    group: "sql",
    title: "versions N and N+1 serve side by side until the store has contracted, and back loses nothing unasked",
    needs: "sql",
    async run(store, check) {
      const shop = new Service(store, `s${count++}x${process.pid}`)
      const [first, second] = [
        made(shop.name),
        {
          number: 2,
          name: "titles",
          expand: [`ALTER TABLE ${shop.name}_item ADD COLUMN title TEXT`, `UPDATE ${shop.name}_item SET title = name`],
          contract: [`ALTER TABLE ${shop.name}_item DROP COLUMN rate`],
          down: [`ALTER TABLE ${shop.name}_item DROP COLUMN title`],
        } satisfies Migration,
      ]
      await check.refused(() => shop.ensure([first]), { code: "STELE-STO-0054" }, "nothing was migrated")
      check.same((await shop.migrate([first])).steps.length, 1, "first")
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name) VALUES (?, 1, 'old')`, [ada])
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name) VALUES (?, 1, 'bobs')`, [bob], { tenant: bob })
      check.same(
        (await shop.migrate([first, second])).steps.map(({ kind, number }) => `${kind} ${number}`),
        ["expand 2"],
        "second",
      )
      check.same(await shop.ask(`SELECT title FROM ${shop.name}_item WHERE tenant = ?`, [bob], { tenant: bob }), [["bobs"]], "rows of every tenant were filled")
      await shop.ensure([first])
      await shop.ensure([first, second])
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, name) VALUES (?, 2, 'by the older')`, [ada])
      await shop.run(`INSERT INTO ${shop.name}_item (tenant, id, title) VALUES (?, 3, 'by the newer')`, [ada])
      await check.refused(() => shop.migrate([first, second], { to: 0 }), { code: "STELE-STO-0058" }, "data would be lost")
      await check.refused(() => shop.migrate([first, second], { to: 0, allowsLoss: true }), { code: "STELE-STO-0058" }, "no backup")
      check.same(
        (await shop.migrate([first, second], { to: 1 })).steps.map(({ kind }) => kind),
        ["down"],
        "back where nothing of the first is lost",
      )
      await shop.migrate([first, second], { contractTo: 2 })
      await check.refused(() => shop.ensure([first]), { code: "STELE-STO-0057" }, "the older has had its time")
      await check.refused(() => shop.migrate([first, second], { to: 1 }), { code: "STELE-STO-0058" }, "no way back")
      check.same((await shop.ask(`SELECT id FROM ${shop.name}_item WHERE tenant = ? ORDER BY id`, [ada]))?.flat(), [1, 2, 3], "rows")
    },
  },
  {
    group: "sql",
    title: "a migration that fails leaves nothing of itself, and of two runners at once each step is one's",
    needs: "sql",
    async run(store, check) {
      const shop = new Service(store, `s${count++}x${process.pid}`)
      const first = made(shop.name)
      const broken: Migration = { number: 2, name: "broken", expand: [`ALTER TABLE ${shop.name}_item ADD COLUMN half TEXT`, "UPDATE nowhere SET x = 1"] }
      const whole: Migration = { number: 2, name: "whole", expand: [`ALTER TABLE ${shop.name}_item ADD COLUMN half TEXT`] }
      await check.refused(() => shop.migrate([first, broken]), { code: "STELE-STO-0059" }, "broken")
      await check.refused(() => shop.ask(`SELECT half FROM ${shop.name}_item`), { code: sqlRefused }, "nothing of it")
      const reports = await Promise.all([1, 2, 3].map(() => shop.migrate([first, whole])))
      check.same(reports.flatMap(({ steps }) => steps).length, 1, "one of them did it")
      check.same(await shop.ask(`SELECT half FROM ${shop.name}_item`), [], "and it is there")
      await check.refused(() => shop.migrate([{ ...first, name: "other" }, whole]), { code: "STELE-STO-0056" }, "changed")
    },
  },
]
