/** Effect's `SqlClient` over a SQLite store. */
import type * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import { classifySqliteError, type SqlErrorReason } from "effect/sql/SqlError"
import { makeCompilerSqlite } from "effect/sql/Statement"
import { type Flavour, layerOf, type ReasonProps, type SqlOptions } from "../sql-client.ts"

/** SQLite's result codes for what the store refuses itself. */
const [busyCode, authCode] = [5, 23]

const classified = (errno: number, message: string, { cause, ...props }: ReasonProps): SqlErrorReason => classifySqliteError({ errno, message, cause }, props)

const sqlite: Flavour = {
  compiler: makeCompilerSqlite(),
  driver: "stele-sqlite",
  system: "sqlite",
  reasonOf({ reason, message }, props) {
    if (reason._tag === "Sql") return classified(reason.sqlite ?? 1, reason.detail, props)
    if (reason._tag === "SqlForbidden") return classified(authCode, message, props)
    return reason._tag === "Busy" ? classified(busyCode, message, props) : undefined
  },
}

/** The client of a service as a layer. */
export const sqlLayer = (options: SqlOptions): Layer.Layer<SqlClient> => layerOf(sqlite, options)
