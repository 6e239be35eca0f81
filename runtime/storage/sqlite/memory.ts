/**
 * A store in memory: the same tables, on the thread that asks, lost with the process. For services that were given no
 * storage, and for tests. Nobody waits in it: what is asked for is done when the call returns.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"
import type { SqlOperation, SqlResults, SqlTransaction } from "../../port/sql.ts"
import { clockBase, clockFrom, type StoreClock } from "../clock.ts"
import { copyOf } from "../operation.ts"
import { SqliteReader } from "./reader.ts"
import { Turns } from "./turns.ts"
import type { Request, Step } from "./worker.ts"
import { type Outcome, SqliteWriter } from "./writer.ts"

export interface MemoryOptions extends StoreLimitOptions {
  /** What the store takes for the time. Default: `clockFrom`. */
  readonly clock?: StoreClock
}

export class MemoryStore implements Store {
  readonly name = "memory"
  readonly limits: StoreLimits
  readonly #writer: SqliteWriter
  readonly #reader: SqliteReader
  readonly #turns: Turns
  readonly #waiting = new Map<number, (outcome: Outcome) => void>()
  readonly #listeners = new Set<() => void>()
  #nextId = 0

  constructor({ clock = clockFrom(clockBase()), ...limits }: MemoryOptions = {}) {
    this.limits = storeLimitsFrom(limits)
    const { writer, database } = SqliteWriter.memory(this.name, { limits: this.limits, clock })
    this.#writer = writer
    this.#turns = new Turns(writer, this.name, this.limits.sql.transactionMsMax, {
      groupMax: Number.POSITIVE_INFINITY,
      send: (answers) => {
        for (const { id, outcome } of answers) {
          this.#waiting.get(id)?.(outcome)
          this.#waiting.delete(id)
          if ("answers" in outcome) for (const listener of this.#listeners) queueMicrotask(listener)
        }
      },
      more: () => [],
    })
    this.#reader = new SqliteReader(this.name, clock, database, this.limits)
  }

  /** Answers at once, but for what waits for a transaction. */
  #ask(request: Omit<Request, "id"> | Omit<Step, "id">): Promise<ReadonlyArray<unknown>> {
    const { promise, resolve, reject } = Promise.withResolvers<ReadonlyArray<unknown>>()
    const id = this.#nextId++
    this.#waiting.set(id, (outcome) => ("error" in outcome ? reject(outcome.error) : resolve(outcome.answers)))
    this.#turns.take([{ id, ...request }])
    return promise
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    let found: Outcome | undefined
    const id = this.#nextId++
    this.#waiting.set(id, (outcome) => (found = outcome))
    this.#turns.take([{ id, batch: batch.map(copyOf), isBlocking: true }])
    if (found === undefined) throw new StorageError("Failed", { store: this.name, detail: "a batch had no outcome" })
    if ("error" in found) throw found.error
    return found.answers as BatchResults<B>
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    return (await this.#ask({ batch: batch.map(copyOf) })) as BatchResults<B>
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.#reader.ask(question)
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return this.#reader.ask(question)
  }

  /** As that of a file. */
  async transaction(): Promise<SqlTransaction> {
    const transaction = this.#nextId++
    const step = async (what: Step["step"]): Promise<unknown> => (await this.#ask({ transaction, step: what }))[0]
    await step("begin")
    return {
      run: (statement) => step(copyOf({ op: "sql", ...statement }) as SqlOperation) as Promise<SqlResults["sql"]>,
      commit: () => step("commit") as Promise<void>,
      rollback: () => step("rollback") as Promise<void>,
    }
  }

  onCommit(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  async check(): Promise<ReadonlyArray<Finding>> {
    return this.#reader.check()
  }

  async close(): Promise<void> {
    this.#turns.close()
    this.#writer.close()
    // The writer's connection was its own: it is closed already.
    this.#reader.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
