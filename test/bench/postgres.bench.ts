/** PostgreSQL as a store against a bare loop over the same driver, on a server of the bench's own. Both sync every commit. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { placeOf } from "../../runtime/port/place.ts"
import { parseAddress } from "../../runtime/storage/postgres/address.ts"
import { Connection, type Statement } from "../../runtime/storage/postgres/connection.ts"
import { PostgresStore } from "../../runtime/storage/postgres/mod.ts"
import { migrated, missing, type Server, startServer } from "../runtime/storage/postgres/server.ts"
import { figureRow, type Row } from "./measure.ts"

const value = new Uint8Array(300).fill(7)
const runMs = 1_000
const connections = 8
const rounds = 5

/** Calls a second of `callers`, each with one under way at a time. */
async function rate(callers: number, call: (caller: number, i: number) => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  const untilMs = startedMs + runMs
  let count = 0
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let i = 0; performance.now() < untilMs; i++) {
        await call(caller, i)
        count++
      }
    }),
  )
  return (count * 1_000) / (performance.now() - startedMs)
}

const median = (found: ReadonlyArray<number>): number => found.toSorted((a, b) => a - b)[Math.floor(found.length / 2)] as number

/** Both, in turns: what else the machine does concerns both alike. */
async function inTurns(ours: () => Promise<number>, bare: () => Promise<number>): Promise<readonly [ours: number, bare: number]> {
  const found: Array<readonly [number, number]> = []
  for (let round = 0; round < rounds; round++) found.push([await ours(), await bare()])
  return [median(found.map(([one]) => one)), median(found.map(([, other]) => other))]
}

async function measure(server: Server): Promise<ReadonlyArray<Row>> {
  const { password } = server
  const database = await migrated(server)
  server.sql(
    "CREATE TABLE bare (tenant bytea, key bytea, value bytea, revision bigint, sum bigint, PRIMARY KEY (tenant, key)); GRANT ALL ON bare TO stele_service",
    database.name,
  )
  await using store = await PostgresStore.open(database.service, { password, connectionsMax: connections })
  const runtime = ManagedRuntime.make(
    PgClient.layer({
      host: server.socket,
      port: server.port,
      database: database.name,
      username: "stele_service",
      password: Redacted.make(password),
      maxConnections: connections,
    }),
  )
  const sql = await runtime.runPromise(Effect.service(PgClient.PgClient))
  const run = <A>(effect: Effect.Effect<A, unknown>): Promise<A> => runtime.runPromise(effect)
  const tenant = Buffer.from("bench")
  const insert = (key: Uint8Array) =>
    sql`INSERT INTO bare VALUES (${tenant}, ${key}, ${value}, 1, 1) ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value`
  const rows: Array<Row> = []
  const add = (figure: string, unit: string, [ours, bare]: readonly [number, number]): void =>
    void rows.push(figureRow(figure, unit, ours, { "bare @effect/sql-pg": bare }, [{ name: "bare @effect/sql-pg", ratio: ours / bare, atLeast: 0.9 }]))
  for (const callers of [1, 64]) {
    add(
      `PostgreSQL writes, ${callers} at once`,
      "rows/s",
      await inTurns(
        () => rate(callers, (caller, i) => store.apply([{ op: "set", ...placeOf(`bench/${caller}-${i % 500}`), value }])),
        () => rate(callers, (caller, i) => run(insert(Buffer.from(`${caller}-${i % 500}`)))),
      ),
    )
    add(
      `PostgreSQL transactions of 10 rows, ${callers} at once`,
      "transactions/s",
      await inTurns(
        () =>
          rate(callers, (caller, i) =>
            store.apply(Array.from({ length: 10 }, (_, n) => ({ op: "set" as const, ...placeOf(`bench/${caller}-${i % 50}-${n}`), value }))),
          ),
        () =>
          rate(callers, (caller, i) =>
            run(sql.withTransaction(Effect.forEach(Array.from({ length: 10 }), (_, n) => insert(Buffer.from(`${caller}-${i % 50}-${n}`)), { discard: true }))),
          ),
      ),
    )
    add(
      `PostgreSQL point reads, ${callers} at once`,
      "reads/s",
      await inTurns(
        () => rate(callers, (_, i) => store.ask({ ask: "get", ...placeOf(`bench/0-${i % 50}`) })),
        () => rate(callers, (_, i) => run(sql`SELECT value, revision, sum FROM bare WHERE tenant = ${tenant} AND key = ${Buffer.from(`0-${i % 50}`)}`)),
      ),
    )
  }
  await runtime.dispose()
  rows.push(await security(database.service, password))
  return rows
}

/** One transaction that reads a row, in one way to the server: bound to a tenant, and over a table without policies. */
async function security(address: string, password: string): Promise<Row> {
  const connection = await Connection.open({ address: parseAddress(address), password })
  const tenant = Buffer.from("bench")
  const transaction = (...statements: ReadonlyArray<Statement>) => [{ sql: "BEGIN READ ONLY" }, ...statements, { sql: "COMMIT" }]
  const read = (table: string, i: number): Statement => ({
    sql: `SELECT value, revision, sum FROM ${table} WHERE tenant = $1 AND key = $2`,
    parameters: [tenant, Buffer.from(`0-${i % 50}`)],
  })
  const [bound, open] = await inTurns(
    () =>
      rate(1, (_, i) =>
        connection.all(transaction({ sql: "SELECT set_config('stele.tenant', $1, true)", parameters: [tenant.toString("hex")] }, read("stele.key_value", i))),
      ),
    () => rate(1, (_, i) => connection.all(transaction(read("bare", i)))),
  )
  await connection.close()
  return figureRow("PostgreSQL transaction with row-level security", "transactions/s", bound, { "without it": open }, [
    { name: "without it", ratio: bound / open, atLeast: 0.8 },
  ])
}

/** Nothing where no server is installed. */
export async function bench(): Promise<ReadonlyArray<Row>> {
  if ((await missing()) !== undefined) return []
  const server = await startServer()
  try {
    return await measure(server)
  } finally {
    await server.close()
  }
}
