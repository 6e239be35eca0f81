/** Each rule of writing is attacked, holds, is taken out, and then the same attack must succeed. */
import { join } from "node:path"
import t from "tap"
import { placeOf } from "../../../../runtime/port/place.ts"
import type { Operation } from "../../../../runtime/port/store.ts"
import { PostgresReader } from "../../../../runtime/storage/postgres/mod.ts"
import { mutant } from "../mutant.ts"
import { startProxy } from "./proxy.ts"
import { type Database, migrated, missing, type Server, startServer } from "./server.ts"
import * as whole from "./writing.ts"

type Source = typeof whole

t.setTimeout(600_000)
const module = new URL("writing.ts", import.meta.url)
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const set = (key: string, value: string) => ({ op: "set" as const, ...placeOf(key), value: bytes(value) })
const add = (key: string) => ({ op: "increment" as const, ...placeOf(key), delta: 1n, min: 0n, max: 1n << 62n })
const get = (key: string) => ({ ask: "get" as const, ...placeOf(key) })

/** What an attack did: its answer, or the error that refused it. */
const outcome = async (run: () => Promise<unknown>): Promise<string> => {
  try {
    return JSON.stringify(await run(), (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))
  } catch (error) {
    return (error as { readonly code?: string }).code ?? String(error)
  }
}

function tests(server: Server): void {
  const { password } = server
  const findings = async ({ worker }: Database): Promise<number> => {
    await using reader = await PostgresReader.open(worker, { password })
    return (await reader.check()).length
  }
  const through = async (database: Database) => {
    const proxy = await startProxy({ path: join(server.socket, `.s.PGSQL.${server.port}`) })
    return { proxy, address: `postgres://stele_service@127.0.0.1:${proxy.port}/${database.name}?sslmode=disable` }
  }

  /** The same attack on the source as it is, and on one that lacks `from`. */
  const rule = (
    title: string,
    file: string,
    from: string,
    to: string,
    expected: string,
    attack: (source: Source, database: Database) => Promise<unknown>,
  ): void =>
    void t.test(title, async (t) => {
      t.equal(await outcome(async () => attack(whole, await migrated(server))), expected)
      const without = await mutant<Source>(module, file, from, to)
      t.not(await outcome(async () => attack(without, await migrated(server))), expected, `without it`)
    })

  rule("the tenant's lock: two processes count one key up, and none is lost", "postgres/head.ts", " FOR UPDATE`", "`", '"60"', async (source, database) => {
    await using one = source.writing(database.service, password)
    await using two = source.writing(database.service, password)
    await one.apply([set("ada/first", "v")])
    for (let round = 0; round < 30; round++) await Promise.all([one.apply([add("ada/n")]), two.apply([add("ada/n")])])
    const found = (await one.ask(get("ada/n"))) as { readonly value: Uint8Array }
    return Buffer.from(found.value).toString()
  })

  for (const [what, operations] of [
    ["counts", [add("ada/n")]],
    ["sets", [set("ada/n", "1")]],
  ] as const)
    rule(
      `the operation's id: a commit whose answer was lost is not made again when it ${what}`,
      "postgres/writer.ts",
      'if (row !== undefined) return Buffer.from(row["operation"] as Uint8Array).equals(operation)',
      "if (row !== undefined) return false",
      "[2,0]",
      async (source, database) => {
        const { proxy, address } = await through(database)
        await using store = source.writing(address, password)
        await store.apply([set("ada/first", "v")])
        let cuts = 1
        proxy.at = (sql) => ((sql === "COMMIT" || /key_value_(put|set)/.test(sql)) && cuts-- > 0 ? "cut after" : undefined)
        await store.apply(operations)
        const revision = await store.ask({ ask: "revision", ...placeOf("ada/n") })
        await proxy.close()
        return [revision, Math.max(cuts, 0)]
      },
    )

  rule(
    "the operation's id: a commit under the same number is another's",
    "postgres/writer.ts",
    'if (row !== undefined) return Buffer.from(row["operation"] as Uint8Array).equals(operation)',
    "if (row !== undefined) return true",
    '"2"',
    async (source, database) => {
      const { proxy, address } = await through(database)
      await using store = source.writing(address, password)
      await using other = source.writing(database.service, password)
      await store.apply([add("ada/n")])
      await other.apply([set("bob/first", "v")])
      let others: Promise<unknown> | undefined
      proxy.at = (sql) => {
        if (others !== undefined) return sql === "COMMIT" ? "cut before" : undefined
        if (!sql.startsWith("UPDATE stele.tenant")) return undefined
        // It waits for the lock that this transaction has, and is the next to have it.
        others = other.apply([set("ada/other", "v")]).then(() => (proxy.at = () => undefined))
        return 1_500
      }
      await store.apply([add("ada/n")])
      await others
      const found = (await store.ask(get("ada/n"))) as { readonly value: Uint8Array }
      await proxy.close()
      return Buffer.from(found.value).toString()
    },
  )

  for (const [what, operation] of [
    ["a set", set("ada/a", "3")],
    ["a count", add("ada/n")],
  ] as const)
    rule(
      `the mark: a server that lost what was seen is not written to by ${what}`,
      "postgres/writer.ts",
      "if (head.sequence < seen.sequence) refuse()",
      "",
      '"STELE-STO-0006"',
      async (source, database) => {
        await using store = source.writing(database.service, password)
        await store.apply([set("ada/a", "1")])
        server.sql("CREATE TABLE public.was AS SELECT * FROM stele.tenant; CREATE TABLE public.groups AS SELECT * FROM stele.commit_group", database.name)
        await store.apply([set("ada/a", "2")])
        server.sql(
          "DELETE FROM stele.tenant; INSERT INTO stele.tenant SELECT * FROM public.was; DELETE FROM stele.commit_group; INSERT INTO stele.commit_group SELECT * FROM public.groups",
          database.name,
        )
        return await outcome(() => store.apply([operation]))
      },
    )

  rule(
    "the tenant in a row's sum: a row that came to another tenant is no answer",
    "storage/row.ts",
    "for (const part of [tenant, key, value]) {",
    "for (const part of [key, value]) {",
    '"STELE-STO-0005"',
    async (source, database) => {
      await using store = source.writing(database.service, password)
      await store.apply([set("ada/a", "of ada")])
      server.sql("UPDATE stele.key_value SET tenant = 'bob'", database.name)
      return await outcome(() => store.ask(get("bob/a")))
    },
  )

  rule(
    "the tenant that a group is bound to",
    "postgres/tenant.ts",
    "parameters: [hexOf(id), fenceKey]",
    'parameters: ["", fenceKey]',
    "[1]",
    async (source, database) => {
      await using store = source.writing(database.service, password)
      return await store.apply([set("ada/a", "1")])
    },
  )

  /** Rules that the server keeps, for a group of sets and for one: the function as it is, and with something else in its text. */
  // What it does is only the server's: an attack that succeeds on the changed text also shows that the text is what runs.
  const inServer = (
    title: string,
    from: Readonly<Record<"key_value_put" | "key_value_set", string>>,
    to: string,
    expected: string,
    attack: (database: Database, write: (key: string, value: string) => ReadonlyArray<Operation>) => Promise<unknown>,
  ): void => {
    for (const name of ["key_value_put", "key_value_set"] as const)
      void t.test(`${name}: ${title}`, async (t) => {
        const write = (key: string, value: string) => (name === "key_value_set" ? [set(key, value)] : [set(key, value), set(`${key}/more`, value)])
        t.equal(await outcome(async () => attack(await migrated(server), write)), expected)
        const database = await migrated(server)
        const text = server.sql(`SELECT pg_get_functiondef('stele.${name}'::regproc)`, database.name)
        t.equal(text.split(from[name]).length, 2, from[name])
        server.sql(text.replace(from[name], to), database.name)
        t.not(await outcome(() => attack(database, write)), expected, "without it")
      })
  }

  inServer(
    "another process has written since",
    {
      key_value_put: "AND revision = was[1] AND sequence = was[2] AND forgotten = was[3] AND committed_us = was[4] AND digest = was_digest",
      key_value_set: "AND revision = was_revision AND sequence = was_sequence AND forgotten = was_forgotten AND committed_us = was_us AND digest = was_digest",
    },
    "",
    "0",
    async (database, write) => {
      await using one = whole.writing(database.service, password)
      await using two = whole.writing(database.service, password)
      for (let i = 0; i < 4; i++) for (const each of [one, two]) await each.apply(write(`ada/${i}`, "v"))
      return await findings(database)
    },
  )

  inServer(
    "what is written over is taken off the totals",
    { key_value_put: "- gone.bytes", key_value_set: "- gone_bytes" },
    "",
    "0",
    async (database, write) => {
      await using store = whole.writing(database.service, password)
      for (const value of ["", "longer", "short"]) await Promise.all([store.apply(write("ada/a", value)), store.apply(write("bob/a", `${value}.`))])
      for (const value of ["one", "three"]) await store.apply(write("/of the host", value))
      return await findings(database)
    },
  )

  inServer("a fence stops it", { key_value_put: "OR EXISTS", key_value_set: "OR EXISTS" }, "AND EXISTS", '"STELE-STO-0065"', async (database, write) => {
    await using store = whole.writing(database.service, password)
    for (let i = 0; i < 2; i++) await store.apply(write("ada/a", "v"))
    server.sql("UPDATE stele.format SET fence_to = 'elsewhere', fence_state = 'moving'", database.name)
    return await outcome(() => store.apply(write("ada/a", "after")))
  })

  inServer("its time is the server's", { key_value_put: "> 100000", key_value_set: "> 100000" }, "> 100000000000000000", "0", async (database, write) => {
    await using store = whole.writing(database.service, password)
    await store.apply(write("ada/a", "v"))
    const now = performance.now.bind(performance)
    try {
      // As after a sleep of the machine: this process's clock is elsewhere.
      performance.now = () => now() + 500
      await store.apply(write("ada/a", "w"))
    } finally {
      performance.now = now
    }
    return Number(server.sql("SELECT count(*) FROM stele.key_value_change WHERE changed_us > extract(epoch FROM clock_timestamp()) * 1000000", database.name))
  })
}

const why = await missing()
if (why !== undefined) t.comment(`skipped: ${why}`)
else {
  const server = await startServer()
  t.teardown(() => server.close())
  tests(server)
}
