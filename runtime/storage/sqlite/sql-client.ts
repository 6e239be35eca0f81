/**
 * Effect's `SqlClient` over a SQLite store, for one service: what reads is read on the calling thread, what writes
 * shares the store's commits, and a transaction stays open in the writer's thread while others wait.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { layer as reactivityLayer, type Reactivity } from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Client from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SerializationError, SqlError, type SqlErrorReason, UnknownError } from "effect/sql/SqlError"
import { makeCompilerSqlite } from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { StorageError } from "../../../schemas/error/storage.ts"
import type { SqlRows, SqlStatement, SqlTransaction, SqlValue } from "../../port/sql.ts"
import type { Store } from "../../port/store.ts"

/** A store in which a transaction can stay open. */
export interface SqlStore extends Store {
  transaction(): Promise<SqlTransaction>
}

export interface SqlOptions {
  /** Whose tables: those whose names begin with this and an underscore. */
  readonly service: string
  /** How often a transaction that was ended for somebody else's sake is begun again. Default 5. */
  readonly retriesMax?: number
}

/** SQLite's result codes for what the store refuses itself. */
const [busyCode, authCode] = [5, 23]

function reasonOf(cause: unknown, operation: string): SqlErrorReason {
  const props = { message: cause instanceof Error ? cause.message : String(cause), operation }
  const classified = (errno: number, message: string): SqlErrorReason => classifySqliteError({ errno, message, cause }, props)
  if (!(cause instanceof StorageError)) return new UnknownError({ ...props, cause })
  switch (cause.reason._tag) {
    case "Sql":
      return classified(cause.reason.sqlite, cause.reason.detail)
    case "SqlForbidden":
      return classified(authCode, cause.message)
    case "Busy":
      return classified(busyCode, cause.message)
    case "Preempted":
      return new SerializationError({ ...props, cause })
    default:
      return new UnknownError({ ...props, cause })
  }
}

const attempt = <A>(operation: string, run: () => Promise<A>): Effect.Effect<A, SqlError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new SqlError({ reason: reasonOf(cause, operation) }) })

/** What SQLite has no type for: true and false are 1 and 0, as in its own expressions. */
const valueOf = (value: unknown): SqlValue => (typeof value === "boolean" ? Number(value) : (value as SqlValue))

type Run = (statement: Omit<SqlStatement, "service">) => Promise<SqlRows>

/** A connection that runs each statement by itself, or all within one transaction. */
function connectionOf(run: Run): Connection {
  const rows = (text: string, params: ReadonlyArray<unknown>, isArrays: boolean): Effect.Effect<SqlRows, SqlError> =>
    Effect.flatMap(Effect.service(Client.SafeIntegers), (isSafe) => attempt("execute", () => run({ text, params: params.map(valueOf), isArrays, isSafe })))
  const execute: Connection["execute"] = (sql, params, transform) =>
    Effect.map(rows(sql, params, false), (found) => (transform === undefined ? found : transform(found as ReadonlyArray<object>)))
  return {
    execute,
    executeRaw: (sql, params) => rows(sql, params, false),
    executeUnprepared: execute,
    executeValues: (sql, params) => rows(sql, params, true) as Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError>,
    executeValuesUnprepared: (sql, params) => rows(sql, params, true) as Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError>,
    // An answer is one message of at most `rowsMax` rows.
    executeStream: (sql, params, transform) => Stream.fromIterableEffect(execute(sql, params, transform)),
  }
}

const isPreempted = (error: unknown): boolean =>
  error instanceof SqlError && error.reason.cause instanceof StorageError && error.reason.cause.reason._tag === "Preempted"

export const sqlClient = ({ store, service, retriesMax = 5 }: SqlOptions & { readonly store: SqlStore }): Effect.Effect<Client.SqlClient, never, Reactivity> =>
  Effect.gen(function* () {
    const single = connectionOf(async (statement) => {
      // What reads is answered here; what writes says so, and is sent on.
      const found = await store.ask({ ask: "sql", service, ...statement })
      if (found !== undefined) return found
      const [{ rows }] = await store.apply([{ op: "sql", service, ...statement }])
      return rows
    })
    const begun: Effect.Effect<Connection, SqlError, Scope.Scope> = Effect.sync(() => {
      let open: SqlTransaction | undefined
      return connectionOf(async (statement) => {
        switch (statement.text) {
          case "BEGIN":
            open = await store.transaction()
            return []
          case "COMMIT":
            await open?.commit()
            return []
          case "ROLLBACK":
            await open?.rollback()
            return []
          default:
            return (await (open as SqlTransaction).run({ service, ...statement })).rows
        }
      })
    })
    const client = yield* Client.make({
      acquirer: Effect.succeed(single),
      transactionAcquirer: begun,
      compiler: makeCompilerSqlite(),
      driver: "stele-sqlite",
      spanAttributes: [["db.system.name", "sqlite"]],
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
      // The writer's thread has ended the transaction already.
      onCommitFailure: () => Effect.void,
    })
    const once = client.withTransaction
    return Object.assign(client, {
      withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
        Effect.flatMap(Effect.serviceOption(client.transactionService), (outer) =>
          // Within another one there is nothing to begin again.
          Option.isSome(outer) ? once(self) : Effect.retry(once(self), { times: retriesMax, while: isPreempted }),
        ),
    })
  })

/** The client of a service as a layer. */
export const sqlLayer = (options: SqlOptions & { readonly store: SqlStore }): Layer.Layer<Client.SqlClient> =>
  Layer.effect(Client.SqlClient)(sqlClient(options)).pipe(Layer.provide(reactivityLayer))
