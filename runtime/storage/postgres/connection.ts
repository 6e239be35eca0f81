/**
 * One session with the server. Statements go out together and their answers come back in order: a transaction of four
 * statements costs one way there and back. The driver speaks the protocol; the socket is ours, so that an idle session
 * keeps no process alive and a server that says nothing is given up.
 */
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import type { Address } from "./address.ts"

const { connect } = process.getBuiltinModule("node:net")

export interface Statement {
  readonly sql: string
  readonly parameters?: ReadonlyArray<unknown>
}

export type Row = Readonly<Record<string, unknown>>

export interface Answer {
  readonly rows: ReadonlyArray<Row>
  /** "COMMIT", and "ROLLBACK" where a transaction that failed was asked to commit. */
  readonly command: string
}

/** What the server, or the way to it, did not do. */
export class ServerError extends Error {
  override readonly name = "ServerError"
  /** Five characters; undefined when the server said nothing, and the session is over. */
  readonly sqlState: string | undefined
  /** True when the session is gone, and with it any answer. */
  readonly isLost: boolean

  constructor(error: SqlError) {
    const { cause, message } = error.reason as { readonly cause?: { readonly code?: unknown; readonly message?: string }; readonly message?: string }
    super(cause?.message ?? message ?? String(error), { cause: error })
    const code = typeof cause?.code === "string" && /^[0-9A-Z]{5}$/.test(cause.code) ? cause.code : undefined
    this.sqlState = code
    // Class 57P: the server is going down, and ends the session after it has said so.
    this.isLost = code === undefined ? true : code.startsWith("57P") || code.startsWith("08") || code === "25P03"
  }
}

export interface ConnectionSettings {
  readonly address: Address
  readonly password: string | undefined
  /** Another way to the server than a socket. */
  readonly stream?: () => Duplex
  /** The role to act as, where one cannot log in as it. */
  readonly role?: string
  /** How long one statement may take, in ms, before the session is given up. Default 30,000. */
  readonly statementMsMax?: number
}

const statementMsMaxDefault = 30_000
/** How long a statement waits for another session's lock, in ms. */
export const lockMsMax = 4_000
/** How long a session may hold a transaction open and say nothing, in ms: a process that was stopped lets go of its locks. */
export const idleMsMax = 10_000

function socketTo({ host, port }: Address): Socket {
  const socket = host.startsWith("/") ? connect({ path: `${host}/.s.PGSQL.${port}` }) : connect({ host, port, noDelay: true })
  socket.setKeepAlive(true, 10_000)
  return socket
}

export class Connection {
  #session: PgConnection.PgConnection
  readonly #scope: Scope.Closeable
  readonly #stream: Duplex
  readonly #statementMsMax: number
  #isDead = false

  private constructor(session: PgConnection.PgConnection, scope: Scope.Closeable, stream: Duplex, statementMsMax: number) {
    this.#statementMsMax = statementMsMax
    this.#session = session
    this.#scope = scope
    this.#stream = stream
    stream.once("close", () => (this.#isDead = true))
  }

  /** @throws ServerError */
  static async open({ address, password, stream: streamOf, role, statementMsMax = statementMsMaxDefault }: ConnectionSettings): Promise<Connection> {
    let stream: Duplex | undefined
    const scope = Effect.runSync(Scope.make())
    const isTls = address.tls !== "disable" && streamOf === undefined
    const exit = await Effect.runPromiseExit(
      Scope.provide(
        PgConnection.make({
          host: address.host,
          port: address.port,
          username: address.user,
          database: address.database,
          ...(password === undefined ? {} : { password: Redacted.make(password) }),
          // Only an address of its own carries what the driver knows as optional encryption.
          ...(isTls && !address.host.startsWith("/")
            ? { url: Redacted.make(`postgres://${address.host.includes(":") ? `[${address.host}]` : address.host}?sslmode=${address.tls}`) }
            : { ssl: false }),
          stream: () => (stream = streamOf?.() ?? socketTo(address)),
          applicationName: "stele",
          multiplex: true,
          connectTimeout: 5_000,
          maxMessageSize: 1 << 30,
          ...(streamOf === undefined
            ? {
                startupParameters: {
                  lock_timeout: String(lockMsMax),
                  // Every statement looks rows up by their keys, with one plan for any; planning a group of sets anew took longer than carrying it out.
                  plan_cache_mode: "force_generic_plan",
                  idle_in_transaction_session_timeout: String(idleMsMax),
                  default_transaction_isolation: "read committed",
                },
              }
            : {}),
        }),
        scope,
      ),
    )
    if (Exit.isFailure(exit)) {
      stream?.destroy()
      throw failureOf(exit)
    }
    const connection = new Connection(exit.value, scope, stream as unknown as Duplex, statementMsMax)
    if (role !== undefined) await connection.one(`SET ROLE ${role}`)
    return connection
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** All at once, in order; each has its own answer or error, and one that fails fails what follows it in a transaction. */
  async run(statements: ReadonlyArray<Statement>): Promise<ReadonlyArray<Answer | ServerError>> {
    const timer = setTimeout(() => this.abandon(), this.#statementMsMax)
    try {
      const [first] = statements
      return first !== undefined && statements.length === 1 ? [await this.#query(first)] : await Promise.all(statements.map((each) => this.#query(each)))
    } finally {
      clearTimeout(timer)
    }
  }

  async #query({ sql, parameters = [] }: Statement): Promise<Answer | ServerError> {
    const exit = await Effect.runPromiseExit(this.#session.query(sql, parameters))
    if (Exit.isSuccess(exit)) return exit.value
    const failure = failureOf(exit)
    if (failure instanceof ServerError) return failure
    this.abandon()
    throw failure
  }

  /** @throws ServerError the first of them */
  async all(statements: ReadonlyArray<Statement>): Promise<ReadonlyArray<Answer>> {
    const answers = await this.run(statements)
    return answers.map((answer) => {
      if (answer instanceof ServerError) throw answer
      return answer
    })
  }

  /** One statement's rows. @throws ServerError */
  async one(sql: string, parameters: ReadonlyArray<unknown> = []): Promise<ReadonlyArray<Row>> {
    return ((await this.all([{ sql, parameters }]))[0] as Answer).rows
  }

  /**
   * Hears what is said on a channel, until the session ends, which `ended` is told. The session is this caller's alone from now on.
   * @throws ServerError
   */
  async listen(channel: string, heard: (said: { readonly payload: string; readonly isOwn: boolean }) => void, ended: () => void): Promise<void> {
    const listening = Effect.gen({ self: this }, function* () {
      const pinned = yield* this.#session.pin
      return [pinned, yield* pinned.listen(channel)] as const
    })
    const exit = await Effect.runPromiseExit(Scope.provide(listening, this.#scope))
    if (Exit.isFailure(exit)) throw failureOf(exit)
    const [pinned, queue] = exit.value
    this.#session = pinned
    const hearing = Effect.forever(Effect.map(Queue.take(queue), ({ payload, processId }) => heard({ payload, isOwn: processId === pinned.processId })))
    void Effect.runPromiseExit(hearing).then(ended)
  }

  /** While it is used it keeps the process; idle it does not. */
  hold(isHeld: boolean): void {
    const socket = this.#stream as Partial<Pick<Socket, "ref" | "unref">>
    if (isHeld) socket.ref?.()
    else socket.unref?.()
  }

  /** Without a word: whatever is under way there ends when the server notices. */
  abandon(): void {
    this.#isDead = true
    this.#stream.destroy()
  }

  async close(): Promise<void> {
    this.#isDead = true
    await Effect.runPromise(Scope.close(this.#scope, Exit.void))
  }
}

function failureOf(exit: Exit.Failure<unknown, SqlError>): Error {
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error !== undefined) return new ServerError(error)
  const defect = exit.cause.reasons.find((reason) => reason._tag === "Die")?.defect
  return defect instanceof Error ? defect : new Error(String(exit.cause))
}
