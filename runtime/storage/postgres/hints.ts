/**
 * Hints between the processes of a database: after commits were acknowledged, each says so on a channel and hears the others, over one session of its
 * own. Outside of every transaction, so that commits do not wait for the lock that notifying takes; without a payload, so that nobody learns of whom it was. A
 * hint that is lost costs no more than the next look at the store.
 */
import { Connection, type ConnectionSettings, ServerError } from "./connection.ts"

const { clearTimeout, setTimeout } = process.getBuiltinModule("node:timers")

const channel = "stele"
/** Least time between two hints of one process, ms: what is committed meanwhile is in the second. Doubled from the least to the most while something always is. */
const [gapMsMin, gapMsMax] = [20, 100]
/** How long a session that was lost is waited for, ms: doubled from the least to the most. */
const [retryMsMin, retryMsMax] = [250, 30_000]
/** `insufficient_privilege`: it will not be another time. */
const denied = "42501"

export class Hints {
  readonly #settings: ConnectionSettings
  readonly #heard: () => void
  #connection: Connection | undefined
  #isOpening = false
  #retry: NodeJS.Timeout | undefined
  #retryMs = retryMsMin
  #gap: NodeJS.Timeout | undefined
  #gapMs = gapMsMin
  /** Something was committed that no hint stands for yet. */
  #isOwed = false
  #isSending = false
  #isOver = false

  /** `heard` is called when another process has committed something, and when something may have gone unheard. */
  constructor(settings: ConnectionSettings, heard: () => void) {
    this.#settings = settings
    this.#heard = heard
  }

  /** Hears the others from now on. */
  listen(): void {
    if (this.#connection !== undefined || this.#retry !== undefined || this.#isOpening || this.#isOver) return
    this.#isOpening = true
    void this.#open().finally(() => (this.#isOpening = false))
  }

  /** Tells the others. */
  committed(): void {
    if (this.#isOver) return
    this.#isOwed = true
    this.listen()
    void this.#send()
  }

  async #open(): Promise<void> {
    let connection: Connection | undefined
    try {
      const made = await Connection.open(this.#settings)
      connection = made
      connection.hold(false)
      // A hint is not worth a sync of the disk.
      await connection.one("SET synchronous_commit = off")
      await connection.listen(
        channel,
        ({ isOwn }) => {
          if (!isOwn) this.#heard()
        },
        () => this.#lost(made),
      )
      if (this.#isOver) return connection.abandon()
      this.#connection = connection
      // It may have ended before anybody would have been told.
      if (connection.isDead) return this.#lost(connection)
      this.#retryMs = retryMsMin
      this.#heard()
      void this.#send()
    } catch (error) {
      connection?.abandon()
      if (error instanceof ServerError && error.sqlState === denied) this.#isOver = true
      else this.#again()
    }
  }

  #lost(connection: Connection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    connection.abandon()
    void connection.close().catch(() => {})
    this.#again()
  }

  #again(): void {
    if (this.#isOver) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.listen()
    }, this.#retryMs)
    // Nobody is kept for the sake of hints.
    this.#retry.unref()
    this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2)
  }

  async #send(): Promise<void> {
    const connection = this.#connection
    if (!this.#isOwed || this.#isSending || this.#gap !== undefined || connection === undefined) return
    this.#isOwed = false
    this.#isSending = true
    try {
      await connection.one(`NOTIFY ${channel}`)
    } catch {
      // Said by the next session.
      this.#isOwed = true
      this.#lost(connection)
    } finally {
      this.#isSending = false
    }
    this.#gap = setTimeout(() => {
      this.#gap = undefined
      this.#gapMs = this.#isOwed ? Math.min(gapMsMax, this.#gapMs * 2) : gapMsMin
      void this.#send()
    }, this.#gapMs)
    // Only what is still to be said keeps the process, and not for longer than this.
    if (!this.#isOwed) this.#gap.unref()
  }

  async close(): Promise<void> {
    this.#isOver = true
    clearTimeout(this.#retry)
    clearTimeout(this.#gap)
    const connection = this.#connection
    this.#connection = undefined
    // It takes its leave, and is waited for.
    connection?.hold(true)
    await connection?.close().catch(() => {})
  }
}
