/**
 * `bun:sqlite` beside `node:sqlite`, both on Bun: `test/node_modules/.bin/bun test/bench/bun-sqlite.ts`. Processor time for a row, medians of turns, and what
 * a store needs of its driver besides speed.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"

interface Statement {
  run(...values: ReadonlyArray<unknown>): unknown
  get(...values: ReadonlyArray<unknown>): unknown
}
interface Connection {
  exec(sql: string): unknown
  prepare(sql: string): Statement
  close(): void
}

const rows = 2_000
const turns = 9

const { Database } = (await import(["bun", "sqlite"].join(":"))) as { readonly Database: new (path: string) => Connection }
const folder = mkdtempSync(join(tmpdir(), "stele-bun-"))
const value = new Uint8Array(300).fill(7)
const tenant = new TextEncoder().encode("t")
const keys = Array.from({ length: rows }, (_, i) => new TextEncoder().encode(`key-${i}`))

/** Processor time of one of `count`, µs. */
function cost(count: number, run: () => void): number {
  const before = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

function measures(connection: Connection): Readonly<Record<string, () => number>> {
  connection.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE kv (tenant BLOB, key BLOB, value BLOB, revision INTEGER, UNIQUE (tenant, key)) STRICT",
  )
  const put = connection.prepare(
    "INSERT INTO kv VALUES (?, ?, ?, ?) ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
  )
  const get = connection.prepare("SELECT value, revision FROM kv WHERE tenant = ? AND key = ?")
  const write = (group: number) => (): number =>
    cost(rows, () => {
      for (let from = 0; from < rows; from += group) {
        connection.exec("BEGIN IMMEDIATE")
        for (let i = from; i < Math.min(rows, from + group); i++) put.run(tenant, keys[i], value, i)
        connection.exec("COMMIT")
      }
    })
  return {
    "a row, 64 of them a synced commit": write(64),
    "a row, each a synced commit": write(1),
    "a read": () =>
      cost(10 * rows, () => {
        for (let round = 0; round < 10; round++) for (const key of keys) get.get(tenant, key)
      }),
  }
}

const median = (values: ReadonlyArray<number>): string => (values.toSorted((a, b) => a - b)[values.length >> 1] as number).toFixed(2)
const node = new DatabaseSync(join(folder, "node.db"))
const bun = new Database(join(folder, "bun.db"))
const [ofNode, ofBun] = [measures(node as Connection), measures(bun)]
for (const name of Object.keys(ofNode)) {
  const found: { readonly node: Array<number>; readonly bun: Array<number> } = { node: [], bun: [] }
  for (let turn = 0; turn < turns; turn++) {
    found.node.push((ofNode[name] as () => number)())
    found.bun.push((ofBun[name] as () => number)())
  }
  console.log(`${name}: node:sqlite ${median(found.node)} µs, bun:sqlite ${median(found.bun)} µs`)
}
const said = (run: () => unknown): string => {
  try {
    return String(run())
  } catch (error) {
    return (error as Error).name
  }
}
const large = (connection: Connection) => () => (connection.prepare("SELECT 9007199254740993 AS n").get() as { readonly n: unknown }).n
console.log(`an integer beyond 2^53: node:sqlite ${said(large(node as Connection))}, bun:sqlite ${said(large(bun))}`)
console.log(`an authorizer: node:sqlite ${"setAuthorizer" in node}, bun:sqlite ${"setAuthorizer" in bun}`)
const version = (connection: Connection): string => JSON.stringify(connection.prepare("SELECT sqlite_version() AS sqlite").get())
console.log(`node:sqlite ${version(node as Connection)}, bun:sqlite ${version(bun)}`)
for (const each of [node, bun]) each.close()
rmSync(folder, { recursive: true })
