/**
 * The engine's SQLite. Deno's `iterate()` ends at an error as if there were no more rows (2.9): a constraint that refuses a row, a page that cannot be read and a
 * number too large all look like the end. So rows are read at once there, which throws as it should; `test/runtime/storage/engine.test.ts` asks each engine.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite"

const { DatabaseSync: Native } = process.getBuiltinModule("node:sqlite")

class AtOnce extends Native {
  override prepare(...given: Parameters<DatabaseSync["prepare"]>): StatementSync {
    const statement = super.prepare(...given)
    const iterate = (...values: Parameters<StatementSync["all"]>) => statement.all(...values).values()
    statement.iterate = iterate as StatementSync["iterate"]
    return statement
  }
}

export const Database: typeof Native = process.versions["deno"] === undefined ? Native : AtOnce
