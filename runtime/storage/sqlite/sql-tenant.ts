/** Rows of services' tables as rows of tenants: which have any, and their erasure. A table is a tenant's by its column `tenant`. */
import type { DatabaseSync } from "node:sqlite"
import { isOfService } from "../sql-statement.ts"

/** SQLite's result code for a foreign key, or another constraint, in the way. */
const constraintCode = 19

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function tablesOf(database: DatabaseSync, where = ""): ReadonlyArray<string> {
  const found = database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ${where} ORDER BY name`).all()
  return found.map(({ name }) => String(name)).filter(isOfService)
}

/** Services that have rows in any table but their histories. */
export function servicesWithRows(database: DatabaseSync): ReadonlyArray<string> {
  const full = tablesOf(database).filter(
    (name) => !name.endsWith("_migration") && database.prepare(`SELECT 1 FROM ${quoted(name)} LIMIT 1`).get() !== undefined,
  )
  return [...new Set(full.map((name) => name.slice(0, name.indexOf("_"))))]
}

/** Removes up to `countMax` of a tenant's rows, children before parents; fewer means that none is left. */
export function eraseServices(database: DatabaseSync, tenant: Uint8Array, countMax: number): number {
  const statements = tablesOf(database, "AND EXISTS (SELECT 1 FROM pragma_table_info(sqlite_schema.name) AS c WHERE c.name = 'tenant')").map((name) => {
    const key = database
      .prepare("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
      .all(name)
      .map(({ name }) => quoted(String(name)))
    const place = key.length === 0 ? "rowid" : `(${key.join(", ")})`
    return database.prepare(
      `DELETE FROM ${quoted(name)} WHERE ${place} IN (SELECT ${key.length === 0 ? "rowid" : key.join(", ")} FROM ${quoted(name)} WHERE tenant = ? LIMIT ?)`,
    )
  })
  let count = 0
  for (;;) {
    const before = count
    let held: unknown
    for (const statement of statements) {
      if (count >= countMax) return count
      try {
        count += Number(statement.run(tenant, countMax - count).changes)
      } catch (error) {
        if (((error as { readonly errcode?: number }).errcode ?? 0) % 256 !== constraintCode) throw error
        held = error
      }
    }
    if (count > before) continue
    if (held !== undefined) throw held
    return count
  }
}
