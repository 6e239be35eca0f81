/** What the engine's SQLite does with an error while rows are read one by one: prints a line of JSON. */
import { Database } from "../../../runtime/storage/sqlite/engine.ts"

const database = new Database(":memory:")
database.exec("CREATE TABLE t (a INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1), (9223372036854775807)")
const outcome = (sql: string): string => {
  try {
    return `${[...database.prepare(sql).iterate()].length} rows`
  } catch (error) {
    return error instanceof RangeError ? "RangeError" : String((error as { readonly errcode?: number }).errcode)
  }
}
console.log(JSON.stringify([outcome("INSERT INTO t VALUES (1)"), outcome("INSERT INTO t VALUES (1) RETURNING a"), outcome("SELECT a FROM t ORDER BY a")]))
