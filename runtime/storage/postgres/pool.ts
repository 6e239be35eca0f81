/** Sessions of one store: each is lent to one at a time, whoever waited longest first. */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Address } from "./address.ts"
import { Connection, type ConnectionSettings } from "./connection.ts"
import { detailOf, isPassing, storageError } from "./failure.ts"

interface Waiting {
  resolve(connection: Connection): void
  reject(error: Error): void
}

/** How long a server that does not answer is tried again, in ms. */
export const reconnectMsMax = 10_000
const pauseMs = (attempt: number): number => Math.min(25 * 2 ** attempt, 500)
export const pause = (attempt: number): Promise<void> => new Promise((done) => setTimeout(done, pauseMs(attempt)))

export class Pool {
  readonly address: Address
  /** Raised when a session was lost: what the server is, and what it has, may be another since. */
  generation = 0
  readonly #settings: ConnectionSettings
  readonly #connectionsMax: number
  readonly #prepare: (connection: Connection) => Promise<void>
  readonly #idle: Array<Connection> = []
  readonly #waiting: Array<Waiting> = []
  #opening = 0
  #hasOpened = false
  #lent = new Set<Connection>()
  #isClosed = false
  #idleWaiters: Array<() => void> = []

  /** `prepare` refuses a session that must not be used: throws. */
  constructor(settings: ConnectionSettings, connectionsMax: number, prepare: (connection: Connection) => Promise<void>) {
    this.address = settings.address
    this.#settings = settings
    this.#connectionsMax = connectionsMax
    this.#prepare = prepare
  }

  /** Is there a session that would be lent at once? If not, one is opened for the next time. */
  isReady(): boolean {
    if (this.#idle.length > 0) return true
    if (!this.#isClosed && this.#opening === 0 && this.#lent.size < this.#connectionsMax) void this.#open(false)
    return false
  }

  /**
   * Lends a session to `use`, and takes it back; one that died is not lent again.
   * @throws what `use` throws; StorageError `Unreachable`, `Login`, `NoDatabase`, `Closed`
   */
  async use<A>(use: (connection: Connection) => Promise<A>): Promise<A> {
    const connection = await this.#take()
    connection.hold(true)
    try {
      return await use(connection)
    } finally {
      this.#give(connection)
    }
  }

  #take(): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(new StorageError("Closed", { store: this.address.name }))
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isDead) {
        this.generation++
        continue
      }
      this.#lent.add(connection)
      return Promise.resolve(connection)
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      if (this.#lent.size + this.#opening < this.#connectionsMax) void this.#open()
    })
  }

  #give(connection: Connection): void {
    this.#lent.delete(connection)
    if (connection.isDead || this.#isClosed) {
      if (connection.isDead) this.generation++
      void connection.close()
      if (this.#waiting.length > 0) void this.#open()
    } else {
      const next = this.#waiting.shift()
      if (next === undefined) {
        connection.hold(false)
        this.#idle.push(connection)
      } else {
        this.#lent.add(connection)
        next.resolve(connection)
      }
    }
    if (this.#lent.size === 0) for (const done of this.#idleWaiters.splice(0)) done()
  }

  /** Opens a session for whoever waits, or nobody yet; a server that starts, or is not there for a moment, is tried again. */
  async #open(isAwaited = true): Promise<void> {
    this.#opening++
    try {
      const connection = await this.#connect()
      const next = this.#waiting.shift()
      if (next === undefined || this.#isClosed) {
        connection.hold(false)
        this.#idle.push(connection)
        if (this.#isClosed) await connection.close()
      } else {
        this.#lent.add(connection)
        next.resolve(connection)
      }
    } catch (error) {
      // Whoever waits for this session has no other coming; the others have theirs.
      if (isAwaited) this.#waiting.shift()?.reject(storageError(this.address, error))
    } finally {
      this.#opening--
    }
  }

  async #connect(): Promise<Connection> {
    const untilMs = performance.now() + reconnectMsMax
    for (let attempt = 0; ; attempt++) {
      let connection: Connection | undefined
      try {
        connection = await Connection.open(this.#settings)
        await this.#prepare(connection)
        this.#hasOpened = true
        return connection
      } catch (error) {
        connection?.abandon()
        // At the first opening a server that is not there is said at once: the address may be wrong.
        if (!isPassing(error) || !this.#hasOpened || this.#isClosed) throw error
        if (performance.now() > untilMs)
          throw new StorageError("Unreachable", { store: this.address.name, detail: `${detailOf(error)}, for ${reconnectMsMax} ms` }, { cause: error })
        await pause(attempt)
      }
    }
  }

  /** After everything that is lent came back. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { reject } of this.#waiting.splice(0)) reject(new StorageError("Closed", { store: this.address.name }))
    if (this.#lent.size > 0) await new Promise<void>((done) => this.#idleWaiters.push(done))
    await Promise.all(this.#idle.splice(0).map((connection) => connection.close()))
  }
}
