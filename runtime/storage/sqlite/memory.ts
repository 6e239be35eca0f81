/**
 * A store in memory: the same tables, on the thread that asks, lost with the process. For services that were given no
 * storage, and for tests. Nobody waits in it: what is asked for is done when the call returns.
 */
import { StorageError } from "../../../schemas/error/storage.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"
import { clockBase, clockFrom, type StoreClock } from "../clock.ts"
import { copyOf } from "../operation.ts"
import { SqliteReader } from "./reader.ts"
import { SqliteWriter } from "./writer.ts"

export interface MemoryOptions extends StoreLimitOptions {
  /** What the store takes for the time. Default: `clockFrom`. */
  readonly clock?: StoreClock
}

export class MemoryStore implements Store {
  readonly name = "memory"
  readonly limits: StoreLimits
  readonly #writer: SqliteWriter
  readonly #reader: SqliteReader
  readonly #listeners = new Set<() => void>()

  constructor({ clock = clockFrom(clockBase()), ...limits }: MemoryOptions = {}) {
    this.limits = storeLimitsFrom(limits)
    const { writer, database } = SqliteWriter.memory(this.name, { limits: this.limits, clock })
    this.#writer = writer
    this.#reader = new SqliteReader(this.name, clock, database)
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    const [outcome] = this.#writer.commit([batch.map(copyOf)])
    if (outcome === undefined) throw new StorageError("Failed", { store: this.name, detail: "a batch had no outcome" })
    if ("error" in outcome) throw outcome.error
    for (const listener of this.#listeners) queueMicrotask(listener)
    return outcome.answers as BatchResults<B>
  }

  async apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    return this.applySync(batch)
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.#reader.ask(question)
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return this.#reader.ask(question)
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
    this.#writer.close()
    // The writer's connection was its own: it is closed already.
    this.#reader.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
