/**
 * A session of the replication protocol (postgresql.org/docs/15/protocol-replication.html): commands, a base backup as it
 * is sent, and the log as it is written. The driver of ordinary sessions has no such mode; its part that proves passwords is used here.
 */
import type { Socket } from "node:net"
import * as Result from "effect/Result"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as PgAuth from "@effect/sql-pg/PgAuth"
import type { Address } from "./address.ts"
import { ServerError } from "./connection.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")
const { connect, isIP } = process.getBuiltinModule("node:net")
const { connect: connectTls } = process.getBuiltinModule("node:tls")

const connectMsMax = 10_000
/** A server sends 128 KiB of log at once, and errors of a few KiB. */
const messageBytesMax = 64 << 20
/** µs between 1970 and 2000, where the server's clock begins. */
export const epochUs = 946_684_800_000_000

/** As the server's other sessions say what went wrong; without a code the session is gone. */
function failure(message: string, code?: string, cause?: unknown): ServerError {
  const error = Object.assign(new Error(message, { cause }), code === undefined ? {} : { code })
  return new ServerError(new SqlError({ reason: new ConnectionError({ cause: error, message }) }))
}

interface Message {
  /** One letter. */
  readonly type: string
  readonly body: Buffer
}

const framed = (type: string, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type, "latin1")
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}
const terminated = (text: string): Buffer => Buffer.from(`${text}\0`)

/** The fields of an error: its code and what a person reads. */
function errorOf(body: Buffer): ServerError {
  const fields = new Map(
    body
      .toString()
      .split("\0")
      .map((field) => [field.slice(0, 1), field.slice(1)] as const),
  )
  const detail = fields.get("D")
  return failure(`${fields.get("M") ?? "it refused"}${detail === undefined ? "" : ` (${detail})`}`, fields.get("C"))
}

/** What comes from the socket, message by message; the socket waits for whoever reads. */
class Incoming {
  readonly #chunks: AsyncIterator<Buffer>
  #reading: Promise<IteratorResult<Buffer>> | undefined
  #rest: Buffer = Buffer.alloc(0)

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  }

  /** True when there are `count` bytes; false when there were not within `ms`. */
  async #fill(count: number, ms: number | undefined): Promise<boolean> {
    if (this.#rest.length >= count) return true
    const parts = [this.#rest]
    let length = this.#rest.length
    const untilMs = ms === undefined ? undefined : performance.now() + ms
    try {
      while (length < count) {
        if (this.#reading === undefined) {
          this.#reading = this.#chunks.next()
          // Nobody may be waiting for it any more when the session is closed.
          this.#reading.catch(() => {})
        }
        const next = untilMs === undefined ? await this.#reading : await within(this.#reading, untilMs - performance.now())
        if (next === undefined) return false
        this.#reading = undefined
        if (next.done === true) throw failure("the server closed the connection")
        parts.push(next.value)
        length += next.value.length
      }
      return true
    } catch (error) {
      throw error instanceof ServerError ? error : failure(error instanceof Error ? error.message : String(error), undefined, error)
    } finally {
      this.#rest = Buffer.concat(parts)
    }
  }

  async byte(): Promise<string> {
    await this.#fill(1, connectMsMax)
    const [byte = 0] = this.#rest
    this.#rest = this.#rest.subarray(1)
    return String.fromCharCode(byte)
  }

  /** The next one; undefined when none has come within `ms`. */
  async next(ms?: number): Promise<Message | undefined> {
    if (!(await this.#fill(5, ms))) return undefined
    const length = this.#rest.readUInt32BE(1)
    if (length < 4 || length > messageBytesMax) throw failure("what it says is not PostgreSQL's protocol")
    if (!(await this.#fill(1 + length, ms))) return undefined
    const message = { type: String.fromCharCode(this.#rest[0] as number), body: this.#rest.subarray(5, 1 + length) }
    this.#rest = this.#rest.subarray(1 + length)
    return message
  }
}

async function within<A>(promise: Promise<A>, ms: number): Promise<A | undefined> {
  let timer: NodeJS.Timeout | undefined
  try {
    return await Promise.race([promise, new Promise<undefined>((resolve) => (timer = setTimeout(resolve, Math.max(0, ms), undefined)))])
  } finally {
    clearTimeout(timer)
  }
}

async function socketTo({ host, port, tls }: Address): Promise<Socket> {
  const socket = host.startsWith("/") ? connect({ path: `${host}/.s.PGSQL.${port}` }) : connect({ host, port, noDelay: true })
  socket.setKeepAlive(true, 10_000)
  await ready(socket, "connect")
  if (tls === "disable" || host.startsWith("/")) return socket
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  // Only this one byte may have come: more would be somebody who speaks before the encryption begins.
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once("error", reject)
    socket.once("close", () => reject(new Error("the server closed the connection")))
    socket.once("data", (bytes: Buffer) => {
      socket.pause()
      resolve(bytes)
    })
  })
  socket.removeAllListeners("error").removeAllListeners("close").removeAllListeners("data")
  if (answer.length !== 1) throw failure("it answered the question for TLS with something else")
  if (answer[0] === 0x4e && (tls === "prefer" || tls === "allow")) return socket
  if (answer[0] !== 0x53) throw failure("it has no TLS")
  const secured = connectTls({ socket, host, ...(isIP(host) === 0 && { servername: host }) })
  await ready(secured, "secureConnect")
  return secured
}

async function ready(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error(`it did not answer within ${connectMsMax} ms`)), connectMsMax)
    const ended = (error?: Error): void => {
      clearTimeout(timer)
      socket.removeListener("error", ended)
      socket.removeListener(event, ended)
      if (error === undefined) resolve()
      else reject(error)
    }
    socket.once("error", ended)
    socket.once(event, ended)
  })
}

/** Part of the log, as the server sends it. */
export interface Sent {
  /** Where its first byte belongs; of a mere sign of life where the log ends. */
  readonly lsn: number
  /** The server's clock, µs since 1970. */
  readonly serverUs: number
  /** Whether the server had nothing more then. */
  readonly isNewest: boolean
  /** Empty for a sign of life. */
  readonly bytes: Buffer
  /** Whether an answer is waited for. */
  readonly wantsStatus: boolean
}

export type Row = Readonly<Record<string, string | null>>

export class Replication {
  readonly #socket: Socket
  readonly #incoming: Incoming

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#incoming = new Incoming(socket)
  }

  /** @throws ServerError */
  static async open(address: Address, password: string | undefined): Promise<Replication> {
    let socket: Socket | undefined
    try {
      socket = await socketTo(address)
      const session = new Replication(socket)
      // Errors come to whoever reads; nobody may be reading when one happens.
      socket.on("error", () => {})
      await session.#login(address, password)
      return session
    } catch (error) {
      socket?.destroy()
      throw error instanceof ServerError ? error : failure(error instanceof Error ? error.message : String(error), undefined, error)
    }
  }

  async #login({ user }: Address, password: string | undefined): Promise<void> {
    const settings = ["user", user, "replication", "true", "application_name", "stele archive", "client_encoding", "UTF8"]
    const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), ...settings.map(terminated), Buffer.alloc(1)])
    const length = Buffer.alloc(4)
    length.writeUInt32BE(body.length + 4)
    this.#socket.write(Buffer.concat([length, body]))
    let scram: PgAuth.ScramState | undefined
    let isProved = true
    for (;;) {
      const { type, body } = await this.#expect(connectMsMax)
      if (type === "Z") return
      if (type !== "R") continue
      const method = body.readUInt32BE(0)
      if (method === 0) {
        // A server that says yes before it has shown that it knows the password may be anybody.
        if (!isProved) throw failure("it ended the login before it proved itself", "28000")
        continue
      }
      if (password === undefined) throw failure("no password was given, and the server asks for one", "28P01")
      if (method === 3) this.#socket.write(framed("p", terminated(password)))
      else if (method === 5) {
        const hashed = PgAuth.md5Password({ user, password, salt: new Uint8Array(body.subarray(4, 8)) })
        this.#socket.write(framed("p", terminated(proved(hashed))))
      } else if (method === 10) {
        if (!body.toString("latin1", 4).split("\0").includes(PgAuth.SCRAM_SHA_256)) throw failure("it asks for a way to log in that is not known here", "28000")
        const { state, response } = proved(PgAuth.scramInit({ password, nonce: randomBytes(18).toString("base64") }))
        scram = state
        isProved = false
        const size = Buffer.alloc(4)
        size.writeUInt32BE(response.length)
        this.#socket.write(framed("p", terminated(PgAuth.SCRAM_SHA_256), size, response))
      } else if (method === 11 && scram?._tag === "ScramFirst") {
        const { state, response } = proved(PgAuth.scramContinue(scram, new Uint8Array(body.subarray(4))))
        scram = state
        this.#socket.write(framed("p", response))
      } else if (method === 12 && scram?._tag === "ScramFinal") {
        proved(PgAuth.scramFinish(scram, new Uint8Array(body.subarray(4))))
        isProved = true
      } else throw failure("it asks for a way to log in that is not known here", "28000")
    }
  }

  /** The next message that is no notice; a refusal is thrown. */
  async #expect(ms?: number): Promise<Message> {
    for (;;) {
      const message = await this.#incoming.next(ms)
      if (message === undefined) throw failure(`it did not answer within ${ms ?? 0} ms`)
      if (message.type === "E") throw errorOf(message.body)
      if (message.type !== "N" && message.type !== "S") return message
    }
  }

  /** Rows of one command, by the names of their columns. @throws ServerError */
  async command(text: string): Promise<ReadonlyArray<Row>> {
    this.#socket.write(framed("Q", terminated(text)))
    const [rows = []] = await this.#results()
    return rows
  }

  /** All results up to where the server waits for the next command. */
  async #results(): Promise<ReadonlyArray<ReadonlyArray<Row>>> {
    const results: Array<Array<Row>> = []
    let columns: ReadonlyArray<string> = []
    let refusal: unknown
    for (;;) {
      const message = await this.#expect().catch((error: unknown) => {
        // After a refusal of a command the session goes on.
        if (!(error instanceof ServerError) || error.isLost) throw error
        refusal = error
        return undefined
      })
      if (message?.type === "T") {
        columns = columnsOf(message.body)
        results.push([])
      } else if (message?.type === "D") results.at(-1)?.push(rowOf(columns, message.body))
      else if (message?.type === "Z") {
        if (refusal !== undefined) throw refusal
        return results
      } else if (message?.type === "H" || message?.type === "W") throw failure("it answered a command with a copy")
    }
  }

  /**
   * A base backup. `began` hears where its log begins; the answer of the generator is where it ends. Yields the tar of the data folder.
   * @throws ServerError
   */
  async *baseBackup(label: string, began: (lsn: string, timeline: number) => void): AsyncGenerator<Uint8Array, string> {
    this.#socket.write(framed("Q", terminated(`BASE_BACKUP ( LABEL '${label}', CHECKPOINT 'fast', WAIT false, MANIFEST 'no', TABLESPACE_MAP true )`)))
    let columns: ReadonlyArray<string> = []
    let result = 0
    let archives = 0
    let end: string | undefined
    for (;;) {
      const { type, body } = await this.#expect()
      if (type === "T") {
        columns = columnsOf(body)
        result++
      } else if (type === "D") {
        const row = rowOf(columns, body)
        if (result === 1) began(String(row["recptr"]), Number(row["tli"]))
        else if (columns.includes("recptr")) end = String(row["recptr"])
      } else if (type === "d") {
        if (body[0] === 0x6e && ++archives > 1) throw failure("it has tablespaces of its own", "0A000")
        if (body[0] === 0x64) yield body.subarray(1)
      } else if (type === "Z") {
        if (end === undefined) throw failure("it did not say where the backup ends")
        return end
      }
    }
  }

  /** Begins to be sent the log from `lsn` on; a refusal may come with the first `sent()`. @throws ServerError */
  async start(slot: string, lsn: string, timeline: number): Promise<void> {
    this.#socket.write(framed("Q", terminated(`START_REPLICATION SLOT "${slot}" PHYSICAL ${lsn} TIMELINE ${timeline}`)))
    const { type } = await this.#expect(connectMsMax).catch(async (error: unknown) => {
      // The session can be used again when it has said so.
      if (error instanceof ServerError && !error.isLost) while ((await this.#expect(connectMsMax)).type !== "Z");
      throw error
    })
    if (type !== "W") throw failure("its log goes on in another timeline")
  }

  /** What comes next; undefined when nothing has within `ms`. @throws ServerError */
  async sent(ms: number): Promise<Sent | undefined> {
    for (;;) {
      const message = await this.#incoming.next(ms)
      if (message === undefined) return undefined
      const { type, body } = message
      if (type === "E") throw errorOf(body)
      if (type === "c" || type === "C") throw failure("it ended the copy of its log")
      if (type !== "d") continue
      const lsn = body.length < 18 ? 0 : Number(body.readBigUInt64BE(1))
      if (body[0] === 0x77 && body.length > 25) {
        const bytes = body.subarray(25)
        return { lsn, serverUs: clockOf(body, 17), isNewest: lsn + bytes.length >= Number(body.readBigUInt64BE(9)), bytes, wantsStatus: false }
      }
      if (body[0] === 0x6b && body.length >= 18)
        return { lsn, serverUs: clockOf(body, 9), isNewest: false, bytes: body.subarray(18), wantsStatus: body[17] === 1 }
    }
  }

  /** Tells the server up to where the log was received, and up to where it may be forgotten. */
  status(received: number, kept: number, wantsAnswer: boolean): void {
    const body = Buffer.alloc(34)
    body.write("r", "latin1")
    body.writeBigUInt64BE(BigInt(received), 1)
    body.writeBigUInt64BE(BigInt(kept), 9)
    body.writeBigUInt64BE(BigInt(kept), 17)
    body.writeBigInt64BE(BigInt(Date.now() * 1_000 - epochUs), 25)
    body[33] = wantsAnswer ? 1 : 0
    this.#socket.write(framed("d", body))
  }

  close(): void {
    if (!this.#socket.destroyed) this.#socket.end(framed("X"))
    this.#socket.destroySoon()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const clockOf = (body: Buffer, at: number): number => Number(body.readBigInt64BE(at)) + epochUs

function proved<A>(result: Result.Result<A, PgAuth.AuthError>): A {
  if (Result.isFailure(result)) throw failure(result.failure.message, "28P01", result.failure)
  return result.success
}

function columnsOf(body: Buffer): ReadonlyArray<string> {
  const names: Array<string> = []
  for (let at = 2, left = body.readUInt16BE(0); left > 0; left--) {
    const end = body.indexOf(0, at)
    names.push(body.toString("utf8", at, end))
    at = end + 19
  }
  return names
}

function rowOf(columns: ReadonlyArray<string>, body: Buffer): Row {
  const row: Record<string, string | null> = {}
  let at = 2
  for (const name of columns.slice(0, body.readUInt16BE(0))) {
    const length = body.readInt32BE(at)
    row[name] = length < 0 ? null : body.toString("utf8", at + 4, at + 4 + length)
    at += 4 + Math.max(0, length)
  }
  return row
}
