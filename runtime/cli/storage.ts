/** `stele storage info ADDRESS`, of a store or of an archive, and `stele storage check ADDRESS`: what a store holds, and whether all of it is as it was written. */
import { SqliteReader, SqliteStore } from "../storage/sqlite/mod.ts"
import { sqlitePath } from "../storage/storage.ts"
import { bytesText, countText } from "./quantity.ts"
import { columns, out, printLine, table } from "./terminal.ts"

const { statSync } = process.getBuiltinModule("node:fs")

export interface StorageFlags {
  readonly address: string
  readonly json: boolean
}

/** A folder is an archive; a store has its kind before its path. */
const isArchive = (address: string): boolean => !/^[a-z][a-z\d]+:/.test(address) && statSync(address, { throwIfNoEntry: false })?.isDirectory() === true

export async function info({ address, json }: StorageFlags): Promise<void> {
  if (isArchive(address)) return (await import("./archive.ts")).info(address, json)
  using reader = new SqliteReader(sqlitePath(address))
  const found = reader.info()
  if (json) return printLine(JSON.stringify(found))
  const counted = (count: number, what: string): string => `${countText(count)} ${what}${count === 1 ? "" : "s"}`
  const rows = [
    ["size", bytesText(found.bytes)],
    ["format", String(found.format)],
    ["commits", found.committedAtMs === undefined ? "none" : `${countText(found.commits)}, the newest ${new Date(found.committedAtMs).toISOString()}`],
    ...found.tables.map(({ table, counts, count, bytes, tenants }) => [
      table.replaceAll("_", "-"),
      `${counted(count, counts)} of ${counted(tenants, "tenant")}, ${bytesText(bytes)}`,
    ]),
  ]
  printLine(out.bold(found.store))
  for (const line of table(rows, columns(process.stdout), 2, [out.dim])) printLine(line)
}

export async function check({ address, json, acceptLoss }: StorageFlags & { readonly acceptLoss: boolean }): Promise<void> {
  const path = sqlitePath(address)
  // First without: a file that is not there is not made.
  const reader = new SqliteReader(path)
  reader.close()
  if (acceptLoss) await (await SqliteStore.open(path, { acceptLoss })).close()
  using checked = new SqliteReader(path)
  const findings = checked.check()
  if (json) printLine(JSON.stringify({ store: path, findings }))
  else if (findings.length === 0) printLine(`${path}: every row is as it was written`)
  else for (const { table: name, key, detail } of findings) printLine(`${out.red("✗")} ${[name, key].filter((part) => part !== "").join(" ")}: ${detail}`)
  if (findings.length > 0) process.exitCode = 3
}
