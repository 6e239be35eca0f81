/**
 * A store in one SQLite file: reads by a connection of the calling thread, writes by the thread of `worker.ts`. A write
 * is waited for with a promise, or, where a guest must have its answer, by blocking; either way it is on the disk when it
 * is answered, and the reader sees it.
 */
import type { MessagePort, Worker } from "node:worker_threads"
import { CapabilityError } from "../../../schemas/error/capability.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { CounterError } from "../../../host/port/key-value.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { SqlOperation, SqlResults, SqlTransaction } from "../../port/sql.ts"
import { clockBase, clockFrom } from "../clock.ts"
import { copyOf } from "../operation.ts"
import { busyMsMax } from "./database.ts"
import { SqliteReader } from "./reader.ts"
import type { Failure, Opening, Reply, Request, Step } from "./worker.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"

const { MessageChannel, receiveMessageOnPort, Worker: Thread } = process.getBuiltinModule("node:worker_threads")

export interface SqliteOptions extends StoreLimitOptions {
  /** Go on without commits that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss?: boolean
  /** Batches that may wait for the disk; the next is refused. Default 10,000. */
  readonly pendingMax?: number
}

const pendingMaxDefault = 10_000
/** Whoever waits for the opening. */
const openingId = -1
/** How long the thread may be silent before a blocked caller gives up: longer than it waits for another process. */
const silenceMsMax = busyMsMax + 25_000

interface Waiting {
  resolve(answers: ReadonlyArray<unknown>): void
  reject(error: Error): void
}

function errorOf(store: string, failure: Failure): Error {
  if ("counter" in failure) return new CounterError(failure.counter)
  if ("message" in failure) return new StorageError("Failed", { store, detail: failure.message })
  const Family = { CapabilityError, ConfigError, StorageError }[failure.family] as (new (reason: string, data: object) => Error) | undefined
  return Family === undefined ? new StorageError("Failed", { store, detail: failure.reason }) : new Family(failure.reason, failure.data)
}

export class SqliteStore implements Store {
  readonly path: string
  readonly limits: StoreLimits
  readonly #pendingMax: number
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<() => void>()
  #port: MessagePort | undefined
  #worker: Worker | undefined
  #reader: SqliteReader | undefined
  #queue: Array<Request | Step> = []
  #nextId = 0
  #heard = 0
  #refusal: Error | undefined
  #isClosed = false
  #exited: Promise<void> = Promise.resolve()

  private constructor(path: string, pendingMax: number, limits: StoreLimitOptions) {
    this.path = path
    this.limits = storeLimitsFrom(limits)
    this.#pendingMax = pendingMax
  }

  /**
   * Opens the file, or makes it.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static async open(path: string, { acceptLoss = false, pendingMax = pendingMaxDefault, ...limits }: SqliteOptions = {}): Promise<SqliteStore> {
    const store = new SqliteStore(path, pendingMax, limits)
    await store.#start(acceptLoss)
    return store
  }

  async #start(acceptLoss: boolean): Promise<void> {
    const { port1, port2 } = new MessageChannel()
    const signal = this.#signal.buffer as SharedArrayBuffer
    const base = clockBase()
    const opening: Opening = { path: this.path, options: { acceptLoss, limits: this.limits }, clockBase: base, signal, port: port2 }
    // Neither flags nor hooks of the application have business in this thread.
    const worker = new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [port2], execArgv: [], name: "stele-sqlite" })
    this.#port = port1
    this.#worker = worker
    const end = (cause: unknown): void => this.#end(new StorageError("Unknown", { store: this.path, detail: "its thread has ended" }, { cause }))
    this.#exited = new Promise((done) => worker.once("exit", () => done()))
    worker.on("error", end)
    worker.on("exit", end)
    port1.on("message", (reply: Reply) => this.#hear(reply))
    try {
      await new Promise<unknown>((resolve, reject) => this.#waiting.set(openingId, { resolve, reject }))
      this.#reader = new SqliteReader(this.path, clockFrom(base), undefined, this.limits)
    } catch (error) {
      await this.close()
      throw error
    }
    // From here on only what is waited for keeps the process.
    worker.unref()
    port1.unref()
  }

  get name(): string {
    return this.path
  }

  /** Why writes are refused, if they are: the store can still be read. */
  get refusal(): Error | undefined {
    return this.#refusal
  }

  /** What is committed, read on this thread. */
  get reader(): SqliteReader {
    if (this.#isClosed || this.#reader === undefined) throw new StorageError("Closed", { store: this.path })
    return this.#reader
  }

  async ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]> {
    return this.reader.ask(question)
  }

  askSync<Q extends Question>(question: Q): Answers[Q["ask"]] {
    return this.reader.ask(question)
  }

  async check(): Promise<ReadonlyArray<Finding>> {
    return this.reader.check()
  }

  onCommit(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  /** In one commit with whatever else waits. */
  apply<const B extends ReadonlyArray<Operation>>(batch: B): Promise<BatchResults<B>> {
    return new Promise((resolve, reject) => {
      this.#send({ batch: batch.map(copyOf) }, { resolve: resolve as (answers: ReadonlyArray<unknown>) => void, reject })
      if (this.#queue.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    let outcome: { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error } | undefined
    this.#send({ batch: batch.map(copyOf), isBlocking: true }, { resolve: (answers) => (outcome = { answers }), reject: (error) => (outcome = { error }) })
    this.#flush()
    let untilMs = performance.now() + silenceMsMax
    for (;;) {
      for (let message = receiveMessageOnPort(this.#port as MessagePort); message !== undefined; message = receiveMessageOnPort(this.#port as MessagePort))
        this.#hear(message.message as Reply)
      if (outcome !== undefined) break
      const leftMs = untilMs - performance.now()
      if (leftMs <= 0) throw new StorageError("Unknown", { store: this.path, detail: `its thread has been silent for ${silenceMsMax} ms` })
      Atomics.wait(this.#signal, 0, this.#heard, leftMs)
      const heard = Atomics.load(this.#signal, 0)
      if (heard !== this.#heard) untilMs = performance.now() + silenceMsMax
      this.#heard = heard
    }
    if ("error" in outcome) throw outcome.error
    return outcome.answers as BatchResults<B>
  }

  /**
   * Begins a transaction that others' writes wait for. It ends by itself after `transactionMsMax`, and when a call of this
   * thread blocks it.
   * @throws as `apply`
   */
  async transaction(): Promise<SqlTransaction> {
    const transaction = this.#nextId++
    const step = (what: Step["step"]): Promise<unknown> =>
      new Promise((resolve, reject) => {
        this.#send({ transaction, step: what }, { resolve: ([answer]) => resolve(answer), reject })
        this.#flush()
      })
    await step("begin")
    return {
      run: (statement) => step(copyOf({ op: "sql", ...statement }) as SqlOperation) as Promise<SqlResults["sql"]>,
      commit: () => step("commit") as Promise<void>,
      rollback: () => step("rollback") as Promise<void>,
    }
  }

  #send(request: Omit<Request, "id"> | Omit<Step, "id">, waiting: Waiting): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#waiting.size >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.path, pendingMax: this.#pendingMax })
    const id = this.#nextId++
    if (this.#waiting.size === 0) this.#port?.ref()
    this.#waiting.set(id, waiting)
    this.#queue.push({ id, ...request })
  }

  /** Everything asked for since the last time, in one message. */
  #flush(): void {
    if (this.#queue.length === 0) return
    const queue = this.#queue
    this.#queue = []
    try {
      this.#port?.postMessage(queue)
    } catch (cause) {
      // What cannot be sent is nobody else's: it is answered here, and the next is sent without it.
      const error = new StorageError("Failed", { store: this.path, detail: cause instanceof Error ? cause.message : String(cause) }, { cause })
      for (const { id } of queue) {
        this.#waiting.get(id)?.reject(error)
        this.#waiting.delete(id)
      }
      if (this.#waiting.size === 0) this.#port?.unref()
    }
  }

  #hear(reply: Reply): void {
    if ("outcomes" in reply) {
      for (const { id, answers, failure } of reply.outcomes) {
        const waiting = this.#waiting.get(id)
        this.#waiting.delete(id)
        if (failure === undefined) waiting?.resolve(answers ?? [])
        else {
          const error = errorOf(this.path, failure)
          // No further write may build on a commit that nobody can vouch for.
          if (error instanceof StorageError && error.reason._tag === "Unknown") this.#refusal ??= error
          waiting?.reject(error)
        }
      }
      if (reply.outcomes.some(({ failure }) => failure === undefined)) for (const listener of this.#listeners) queueMicrotask(listener)
    } else {
      const opening = this.#waiting.get(openingId)
      this.#waiting.delete(openingId)
      if ("failed" in reply) opening?.reject(errorOf(this.path, reply.failed))
      else {
        if (reply.refusal !== undefined) this.#refusal = errorOf(this.path, reply.refusal)
        opening?.resolve([])
      }
    }
    if (this.#waiting.size === 0) this.#port?.unref()
  }

  /** The thread is gone: whoever waits cannot know. */
  #end(error: StorageError): void {
    this.#refusal ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#port?.close()
  }

  /** Waits for what was asked for, then lets go of the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#exited
    this.#isClosed = true
    this.#flush()
    // Before the writer: the last connection folds the log into the database.
    this.#reader?.close()
    // Until it has let go of the file, the thread keeps the process.
    this.#worker?.ref()
    this.#port?.postMessage("close")
    await this.#exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
