/**
 * Effect's `SqlClient` over a store, for one service and one tenant: what reads is a question, what writes shares the store's
 * commits, and a transaction stays open in the writer's thread while others wait. What a database does in its own way is a `Flavour`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { layer as reactivityLayer, type Reactivity } from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Client from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { SerializationError, SqlError, type SqlErrorReason, UnknownError } from "effect/sql/SqlError"
import type { Compiler } from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { StorageError } from "../../schemas/error/storage.ts"
import type { SqlRows, SqlStatement, SqlTransaction, SqlValue } from "../port/sql.ts"
import type { Store } from "../port/store.ts"

/** A store in which a transaction can stay open. */
export interface SqlStore extends Store {
  /** `tenant`: whose rows, see `SqlStatement`. @throws as `apply` */
  transaction(tenant?: Uint8Array): Promise<SqlTransaction>
}

export interface SqlOptions {
  readonly store: SqlStore
  /** Whose tables: those whose names begin with this and an underscore. */
  readonly service: string
  /** Whose rows, see `SqlStatement`. Default: the host's own. */
  readonly tenant?: Uint8Array
  /** How often a transaction that was ended for somebody else's sake is begun again. Default 5. */
  readonly retriesMax?: number
}

export interface Flavour {
  readonly compiler: Compiler
  readonly driver: string
  /** As OpenTelemetry calls the database. */
  readonly system: string
  /** Why a statement was refused; undefined for what is refused in every store. */
  reasonOf(error: StorageError, props: ReasonProps): SqlErrorReason | undefined
}

export interface ReasonProps {
  readonly message: string
  readonly operation: string
  readonly cause: unknown
}

function reasonOf({ reasonOf }: Flavour, cause: unknown, operation: string): SqlErrorReason {
  const props = { message: cause instanceof Error ? cause.message : String(cause), operation, cause }
  if (!(cause instanceof StorageError)) return new UnknownError(props)
  return reasonOf(cause, props) ?? (cause.reason._tag === "Preempted" ? new SerializationError(props) : new UnknownError(props))
}

const attempt = <A>(flavour: Flavour, operation: string, run: () => Promise<A>): Effect.Effect<A, SqlError> =>
  Effect.tryPromise({ try: run, catch: (cause) => new SqlError({ reason: reasonOf(flavour, cause, operation) }) })

/** What SQL here has no type for: true and false are 1 and 0, as in SQLite's own expressions. */
const valueOf = (value: unknown): SqlValue => (typeof value === "boolean" ? Number(value) : (value as SqlValue))

type Run = (statement: Omit<SqlStatement, "service">) => Promise<SqlRows>

/** A connection that runs each statement by itself, or all within one transaction. */
function connectionOf(flavour: Flavour, run: Run): Connection {
  const rows = (text: string, params: ReadonlyArray<unknown>, isArrays: boolean): Effect.Effect<SqlRows, SqlError> =>
    Effect.flatMap(Effect.service(Client.SafeIntegers), (isSafe) =>
      attempt(flavour, "execute", () => run({ text, params: params.map(valueOf), isArrays, isSafe })),
    )
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

export const clientOf = (flavour: Flavour, { store, retriesMax = 5, ...whose }: SqlOptions): Effect.Effect<Client.SqlClient, never, Reactivity> =>
  Effect.gen(function* () {
    const single = connectionOf(flavour, async (statement) => {
      // What reads is answered here; what writes says so, and is sent on.
      const found = await store.ask({ ask: "sql", ...whose, ...statement })
      if (found !== undefined) return found
      const [{ rows }] = await store.apply([{ op: "sql", ...whose, ...statement }])
      return rows
    })
    const begun: Effect.Effect<Connection, SqlError, Scope.Scope> = Effect.sync(() => {
      let open: SqlTransaction | undefined
      return connectionOf(flavour, async (statement) => {
        switch (statement.text) {
          case "BEGIN":
            open = await store.transaction(whose.tenant)
            return []
          case "COMMIT":
            await open?.commit()
            return []
          case "ROLLBACK":
            await open?.rollback()
            return []
          default:
            return (await (open as SqlTransaction).run({ ...whose, ...statement })).rows
        }
      })
    })
    const client = yield* Client.make({
      acquirer: Effect.succeed(single),
      transactionAcquirer: begun,
      compiler: flavour.compiler,
      driver: flavour.driver,
      spanAttributes: [["db.system.name", flavour.system]],
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
      // The store has ended the transaction already.
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
export const layerOf = (flavour: Flavour, options: SqlOptions): Layer.Layer<Client.SqlClient> =>
  Layer.effect(Client.SqlClient)(clientOf(flavour, options)).pipe(Layer.provide(reactivityLayer))
