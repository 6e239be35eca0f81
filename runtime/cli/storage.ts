/** `stele storage info|check|migrate ADDRESS`: what a store holds, whether all of it is as it was written, and setting one up. */
import { SqliteReader, SqliteStore } from "../storage/sqlite/mod.ts"
import { sqlitePath } from "../storage/storage.ts"
import { bytesText, countText } from "./quantity.ts"
import { columns, out, printLine, table } from "./terminal.ts"

export interface StorageFlags {
  readonly address: string
  readonly json: boolean
}

export function info({ address, json }: StorageFlags): void {
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

/** Passwords of roles that are made: from a file each, never from the command line. */
const passwordIn = (variable: string): string | undefined => {
  const path = process.env[variable]
  return path === undefined || path === ""
    ? undefined
    : process
        .getBuiltinModule("node:fs")
        .readFileSync(path, "utf8")
        .replace(/\r?\n$/, "")
}

/** Sets up a PostgreSQL store, or takes it to this version's format; says what it did and what to go on with. */
export async function migrate({ address, json }: StorageFlags): Promise<void> {
  const [{ migratePostgres }, { parseAddress, passwordOf }] = await Promise.all([
    import("../storage/postgres/mod.ts"),
    import("../storage/postgres/address.ts"),
  ])
  const [password, servicePassword, workerPassword] = [
    passwordOf(parseAddress(address)),
    passwordIn("STELE_STORAGE_SERVICE_PASSWORD_FILE"),
    passwordIn("STELE_STORAGE_WORKER_PASSWORD_FILE"),
  ]
  const found = await migratePostgres(address, {
    ...(password === undefined ? {} : { password }),
    ...(servicePassword === undefined ? {} : { servicePassword }),
    ...(workerPassword === undefined ? {} : { workerPassword }),
  })
  if (json) return printLine(JSON.stringify(found))
  printLine(found.from === found.to ? `Nothing to do: the store has format ${found.to}` : `The store went from format ${found.from} to ${found.to}`)
  for (const role of found.roles) printLine(`Made the role ${role}`)
  printLine(`Services use ${found.address}`)
}
