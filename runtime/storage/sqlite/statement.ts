/** Statements that a table prepares when it needs them. */
import type { DatabaseSync, StatementSync } from "node:sqlite"

/**
 * Statements by their text, each prepared when first used: one that writes is refused by a reader's connection. With `asArrays` their rows are arrays of
 * columns, which take half the time of objects.
 */
export function statementsOf(database: DatabaseSync, { asArrays = false } = {}): (sql: string) => StatementSync {
  const known = new Map<string, StatementSync>()
  return (sql) => {
    let statement = known.get(sql)
    if (statement === undefined) {
      statement = database.prepare(sql)
      if (asArrays) statement.setReturnArrays(true)
      known.set(sql, statement)
    }
    return statement
  }
}

/** Reads at one moment: what several statements find belongs together. */
export function snapshot<A>(database: DatabaseSync, read: () => A): A {
  if (database.isTransaction) return read()
  database.exec("BEGIN")
  try {
    return read()
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}
