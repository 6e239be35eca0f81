/** Effect's `SqlClient` over a PostgreSQL store: texts as `@effect/sql-pg` compiles them, carried out as the service's role and for its tenant. */
import { makeCompiler } from "@effect/sql-pg/PgClient"
import type * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import { AuthorizationError, ConstraintError, LockTimeoutError, type SqlErrorReason, SqlSyntaxError, UniqueViolation, UnknownError } from "effect/sql/SqlError"
import { type Flavour, layerOf, type ReasonProps, type SqlOptions } from "../sql-client.ts"

function classified(sqlState: string, constraint: string, props: ReasonProps): SqlErrorReason {
  if (sqlState === "23505") return new UniqueViolation({ ...props, constraint })
  if (sqlState.startsWith("23")) return new ConstraintError(props)
  return sqlState.startsWith("42") ? new SqlSyntaxError(props) : new UnknownError(props)
}

const postgres: Flavour = {
  compiler: makeCompiler(),
  driver: "stele-postgres",
  system: "postgresql",
  reasonOf({ reason }, props) {
    if (reason._tag === "Sql") return classified(reason.sqlState ?? "", /constraint "([^"]+)"/.exec(reason.detail)?.[1] ?? "", props)
    if (reason._tag === "SqlForbidden") return new AuthorizationError(props)
    return reason._tag === "Busy" ? new LockTimeoutError(props) : undefined
  },
}

/** The client of a service as a layer, over a store on a server or in PGlite. */
export const sqlLayer = (options: SqlOptions): Layer.Layer<SqlClient> => layerOf(postgres, options)
