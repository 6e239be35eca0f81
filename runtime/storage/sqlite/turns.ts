/**
 * Whose turn it is to write: batches share commits, and between them one transaction at a time may stay open, for which
 * they wait. It does not stay open for long; and since a caller who blocks its thread would wait for itself if the
 * same thread holds the transaction open, a blocking batch ends it.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import type { Operation } from "../../port/store.ts"
import type { OpenTransaction, Outcome, SqliteWriter } from "./writer.ts"
import type { Request, Step } from "./worker.ts"

export interface Answer {
  readonly id: number
  readonly outcome: Outcome
}

/** Requests that one commit takes at most: the first of them waits for the last. */
export const groupMax = 1_024
export interface TurnsOptions {
  /** Batches that one commit takes at most. */
  readonly groupMax: number
  send(answers: ReadonlyArray<Answer>): void
  /** What else has been asked for by now, in its order; nothing: []. A group that is open takes it along. */
  more(): ReadonlyArray<Request | Step>
}

/** Transactions that have ended without their owner: so many are remembered until it hears of it. */
const endedMax = 1_000

export class Turns {
  readonly #writer: SqliteWriter
  readonly #store: string
  readonly #transactionMsMax: number
  readonly #options: TurnsOptions
  #waiting: Array<Request | Step> = []
  #open: { readonly number: number; readonly transaction: OpenTransaction; readonly timer: NodeJS.Timeout } | undefined
  readonly #ended = new Map<number, StorageError>()

  constructor(writer: SqliteWriter, store: string, transactionMsMax: number, options: TurnsOptions) {
    this.#writer = writer
    this.#store = store
    this.#transactionMsMax = transactionMsMax
    this.#options = options
  }

  take(requests: ReadonlyArray<Request | Step>): void {
    this.#queue(requests)
    this.#advance()
  }

  #queue(requests: ReadonlyArray<Request | Step>): void {
    for (const request of requests) {
      // What came before a step that goes on waits for its transaction's end, or is done.
      if ("step" in request && request.step !== "begin") this.#continue(request)
      else this.#waiting.push(request)
    }
  }

  /** Carries out what waits, up to a transaction that opens. */
  #advance(): void {
    for (;;) {
      this.#letBlockingPass()
      const [first] = this.#waiting
      if (this.#open !== undefined || first === undefined) return
      if ("step" in first) this.#begin(this.#waiting.shift() as Step)
      else this.#commit()
    }
  }

  /** The batches up to a blocking one, in their order; whoever would begin a transaction among them begins it afterwards. */
  #letBlockingPass(): void {
    const blocking = this.#waiting.findLastIndex((request) => "isBlocking" in request)
    if (blocking < 0) return
    if (this.#open !== undefined) this.#end("a call that blocks its thread must not wait for it")
    const before = this.#waiting.slice(0, blocking + 1)
    this.#waiting = [
      ...before.filter((request) => !("step" in request)),
      ...before.filter((request) => "step" in request),
      ...this.#waiting.slice(blocking + 1),
    ]
  }

  /** One group: what waits, and what arrives while it is written. */
  #commit(): void {
    const group = this.#batchesThatWait(this.#options.groupMax)
    const batchesOf = (requests: ReadonlyArray<Request>): ReadonlyArray<ReadonlyArray<Operation>> => requests.map(({ batch }) => batch)
    let outcomes: ReadonlyArray<Outcome>
    try {
      outcomes = this.#writer.commit(batchesOf(group), {
        more: () => {
          const arrived = this.#arrivals(this.#options.groupMax - group.length)
          group.push(...arrived)
          return batchesOf(arrived)
        },
      })
    } catch (error) {
      outcomes = group.map(() => ({ error: error as Error }))
    }
    this.#options.send(group.map(({ id }, i) => ({ id, outcome: outcomes[i] as Outcome })))
  }

  /** What has arrived by now and may still go into a group; nothing, if something waits already that may not. */
  #arrivals(countMax: number): ReadonlyArray<Request> {
    if (countMax <= 0 || this.#waiting.length > 0) return []
    this.#queue(this.#options.more())
    return this.#batchesThatWait(countMax)
  }

  /** Takes those before a transaction that would begin. */
  #batchesThatWait(countMax: number): Array<Request> {
    const step = this.#waiting.findIndex((request) => "step" in request)
    return this.#waiting.splice(0, Math.min(countMax, step < 0 ? this.#waiting.length : step)) as Array<Request>
  }

  #begin({ id, transaction: number }: Step): void {
    this.#answer(id, () => {
      const transaction = this.#writer.transaction()
      const timer = setTimeout(() => {
        this.#end(`it has been open for ${this.#transactionMsMax} ms`)
        this.#advance()
      }, this.#transactionMsMax)
      this.#open = { number, transaction, timer }
    })
  }

  #continue({ id, transaction: number, step }: Step): void {
    const open = this.#open
    if (open?.number !== number) {
      const ended = this.#ended.get(number)
      if (step === "commit" || step === "rollback") this.#ended.delete(number)
      // Nothing is left to take back.
      if (step === "rollback") return this.#answer(id, () => undefined)
      return this.#answer(id, () => {
        throw ended ?? new StorageError("Preempted", { store: this.#store, detail: "it has ended" })
      })
    }
    if (typeof step === "object") {
      return this.#answer(id, () => {
        try {
          return open.transaction.apply(step)
        } catch (error) {
          if (!(error instanceof StorageError && error.reason._tag === "Sql" && step.isScript !== true))
            this.#end(error instanceof Error ? error.message : String(error))
          throw error
        }
      })
    }
    clearTimeout(open.timer)
    this.#open = undefined
    this.#answer(id, () => (step === "commit" ? open.transaction.commit() : open.transaction.rollback()))
  }

  /** Ends the open transaction without its owner, who hears of it at its next step. */
  #end(detail: string): void {
    const open = this.#open
    if (open === undefined) return
    clearTimeout(open.timer)
    this.#open = undefined
    open.transaction.rollback()
    const [oldest] = this.#ended.keys()
    if (this.#ended.size >= endedMax && oldest !== undefined) this.#ended.delete(oldest)
    this.#ended.set(open.number, new StorageError("Preempted", { store: this.#store, detail }))
  }

  #answer(id: number, run: () => unknown): void {
    let outcome: Outcome
    try {
      outcome = { answers: [run()] }
    } catch (error) {
      outcome = { error: error as Error }
    }
    this.#options.send([{ id, outcome }])
  }

  /** What waits is still carried out; a transaction that is open is not kept. */
  close(): void {
    if (this.#open === undefined && this.#waiting.length === 0) return
    for (;;) {
      this.#end("the store is closed")
      if (this.#waiting.length === 0) return
      this.#advance()
    }
  }
}
