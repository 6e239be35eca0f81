/**
 * A store in one SQLite file: reads by a connection of the calling thread, writes by the thread of `worker.ts`, which starts when those who
 * wait with a promise ask for more than a little. Until then, and for guests, who block since they must have their answer, the calling thread writes: a
 * process that only reads, has guests alone or writes now and then never pays for a thread. Either way a write is on the disk when it is
 * answered, and the reader sees it.
 */
import type { MessagePort, Worker } from "node:worker_threads"
import { CapabilityError } from "../../../schemas/error/capability.ts"
import { ConfigError } from "../../../schemas/error/config.ts"
import { StorageError } from "../../../schemas/error/storage.ts"
import { CounterError } from "../../../host/port/key-value.ts"
import { type StoreLimitOptions, type StoreLimits, storeLimitsFrom } from "../../port/limits.ts"
import type { SqlOperation, SqlResults, SqlTransaction } from "../../port/sql.ts"
import { Allowance } from "../allowance.ts"
import { type ClockBase, clockBase, clockFrom } from "../clock.ts"
import { copyOf } from "../operation.ts"
import { busyMsMax, detailOf, identityOf } from "./database.ts"
import { SqliteReader } from "./reader.ts"
import { type Answered, Outbox, type Outcomes } from "./packet.ts"
import { groupMax } from "./turns.ts"
import type { Failure, Opening, Reply, Request, Step } from "./worker.ts"
import { type Outcome, SqliteWriter } from "./writer.ts"
import type { Answers, BatchResults, Finding, Operation, Question, Store } from "../../port/store.ts"

const { MessageChannel, receiveMessageOnPort, Worker: Thread } = process.getBuiltinModule("node:worker_threads")

export interface SqliteOptions extends StoreLimitOptions {
  /** Go on without commits that were acknowledged and are gone. Default false: such a store is read-only. */
  readonly acceptLoss?: boolean
  /** Batches that may wait for the disk; the next is refused. Default 10,000. */
  readonly pendingMax?: number
}

const pendingMaxDefault = 10_000
/**
 * Requests that are sent before all of a turn are known, and four times as many the next time, up to `earlyMax`: the thread begins with them, and takes the
 * others along while it works. Each message costs as much as a few requests.
 */
const earlyMin = 16
const earlyMax = 1_024
/** Callers that one turn of the event loop answers at most: what each of them does then is done in the same turn. */
const answersMax = 64
/** How long the thread may be silent before a blocked caller gives up: longer than it waits for another process. */
const silenceMsMax = busyMsMax + 25_000

interface Waiting {
  resolve(answers: ReadonlyArray<unknown>): void
  reject(error: Error): void
}

/** Outcomes that their callers have not been told yet. */
interface Heard extends Outcomes {
  /** Those before it are told, or passed over. */
  at: number
  otherAt: number
}

function errorOf(store: string, failure: Failure): Error {
  if ("counter" in failure) return new CounterError(failure.counter)
  if ("message" in failure) return new StorageError("Failed", { store, detail: failure.message })
  const Family = { CapabilityError, ConfigError, StorageError }[failure.family] as (new (reason: string, data: object) => Error) | undefined
  return Family === undefined ? new StorageError("Failed", { store, detail: failure.reason }) : new Family(failure.reason, failure.data)
}

const isUnknown = (failure: Failure): boolean => "reason" in failure && failure.reason === "Unknown"

const isBatch = (request: Request | Step): request is Request => !("step" in request)

/** Operations that touch a row or a few. */
const little: ReadonlySet<Operation["op"]> = new Set(["set", "swap", "increment", "delete", "require", "publish", "append", "link", "unlink", "record"])
const littleBatchesMax = 64
const littleBytesMax = 16 << 10

/** Will it be written in a moment? */
function isLittle(requests: ReadonlyArray<Request>): boolean {
  let bytes = 0
  for (const { batch } of requests) {
    for (const operation of batch) {
      if (!little.has(operation.op)) return false
      bytes += 64
      for (const value of Object.values(operation)) if (value instanceof Uint8Array) bytes += value.length
    }
  }
  return requests.length <= littleBatchesMax && bytes <= littleBytesMax
}

export class SqliteStore implements Store {
  readonly path: string
  readonly limits: StoreLimits
  readonly #pendingMax: number
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  readonly #waiting = new Map<number, Waiting>()
  readonly #listeners = new Set<() => void>()
  readonly #clockBase: ClockBase = clockBase()
  readonly #reader: SqliteReader
  /** Which file it is: the thread must not make a new one where it was. */
  readonly #identity: string | undefined
  /** Writes on this thread, until the other has opened the file. */
  #near: SqliteWriter | undefined
  readonly #allowance = new Allowance()
  #port: MessagePort | undefined
  #worker: Worker | undefined
  /** What waits while this thread writes. */
  #queue: Array<Request | Step> = []
  /** What waits to be sent to the other. */
  readonly #outbox = new Outbox()
  #willFlush = false
  /** Requests that are sent without waiting for the end of the turn. */
  #early = earlyMin
  readonly #heardOf: Array<Heard> = []
  #nextId = 0
  #heard = 0
  #refusal: Error | undefined
  #isClosed = false
  #exited: Promise<void> = Promise.resolve()

  private constructor(path: string, acceptLoss: boolean, pendingMax: number, limits: StoreLimitOptions) {
    this.path = path
    this.limits = storeLimitsFrom(limits)
    this.#pendingMax = pendingMax
    const clock = clockFrom(this.#clockBase)
    const near = SqliteWriter.open(path, { acceptLoss, limits: this.limits, clock })
    try {
      this.#reader = new SqliteReader(path, clock, undefined, this.limits)
      this.#identity = identityOf(path)
    } catch (error) {
      near.close()
      throw error
    }
    this.#near = near
    this.#refusal = near.refusal
  }

  /**
   * Opens the file, or makes it, on the calling thread.
   * @throws StorageError `Unreachable`, `Foreign`, `Newer`, `Busy`
   */
  static async open(path: string, { acceptLoss = false, pendingMax = pendingMaxDefault, ...limits }: SqliteOptions = {}): Promise<SqliteStore> {
    return new SqliteStore(path, acceptLoss, pendingMax, limits)
  }

  /** Starts the thread. What waits is sent when it has opened the file; who blocks meanwhile writes here, and what waits before it. */
  #start(): void {
    if (this.#worker !== undefined) return
    if (identityOf(this.path) !== this.#identity)
      return this.#fail(new StorageError("Unreachable", { store: this.path, detail: "the file that was opened is not there any more" }))
    const { port1, port2 } = new MessageChannel()
    const signal = this.#signal.buffer as SharedArrayBuffer
    // What was lost before has been accepted or refused by now; what is lost since is nobody's to accept.
    const options = { acceptLoss: false, limits: this.limits }
    const opening: Opening = { path: this.path, options, clockBase: this.#clockBase, signal, port: port2 }
    let worker: Worker
    try {
      // Neither flags nor hooks of the application have business in this thread.
      worker = new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [port2], execArgv: [], name: "stele-sqlite" })
    } catch (cause) {
      return this.#fail(this.#noThread(cause))
    }
    this.#port = port1
    this.#worker = worker
    this.#exited = new Promise((done) => worker.once("exit", () => done()))
    const end = (cause: unknown): void => {
      if (this.#worker !== worker) return
      if (this.#near === undefined) return this.#end(new StorageError("Unknown", { store: this.path, detail: "its thread has ended" }, { cause }))
      // Nothing was sent to it, so nothing is unknown.
      if (!this.#isClosed) this.#fail(this.#noThread(cause))
    }
    worker.on("error", end)
    worker.on("exit", end)
    port1.on("message", (reply: Reply) => this.#hear(reply))
  }

  #noThread(cause: unknown): StorageError {
    return new StorageError("Failed", { store: this.path, detail: `its thread does not start: ${detailOf(cause)}` }, { cause })
  }

  /** The thread has opened the file: from here on it writes, and only what is waited for keeps the process. */
  #handOver(): void {
    this.#near?.close()
    this.#near = undefined
    // One that is being closed must still let go of the file.
    if (!this.#isClosed) this.#worker?.unref()
    for (const request of this.#queue) this.#put(request)
    this.#queue = []
    this.#flush()
  }

  /** No thread could be had: whoever waits is told, and the next who waits has it tried again. */
  #fail(error: Error): void {
    this.#queue = []
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#port?.postMessage("close")
    this.#port?.unref()
    this.#port = undefined
    this.#worker = undefined
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
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
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
      this.#send({ batch }, { resolve: resolve as (answers: ReadonlyArray<unknown>) => void, reject })
      this.#flushSoon()
    })
  }

  applySync<const B extends ReadonlyArray<Operation>>(batch: B): BatchResults<B> {
    let outcome: { readonly answers: ReadonlyArray<unknown> } | { readonly error: Error } | undefined
    const id = this.#send({ batch, isBlocking: true }, { resolve: (answers) => (outcome = { answers }), reject: (error) => (outcome = { error }) })
    if (this.#near === undefined) this.#flush()
    else this.#commitHere()
    let untilMs = performance.now() + silenceMsMax
    for (;;) {
      for (let reply = this.#received(); reply !== undefined; reply = this.#received()) this.#hear(reply, id)
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

  /** What the thread has sent, without waiting for it. */
  #received(): Reply | undefined {
    return this.#port === undefined ? undefined : (receiveMessageOnPort(this.#port)?.message as Reply | undefined)
  }

  /** Takes a request, if it may be asked at all; answers its id. */
  #send(request: Omit<Request, "id"> | Omit<Step, "id">, waiting: Waiting): number {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.path })
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#waiting.size >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.path, pendingMax: this.#pendingMax })
    const id = this.#nextId++
    if (this.#near === undefined) this.#put({ id, ...request })
    else this.#queue.push("step" in request ? { id, ...request } : { id, ...request, batch: request.batch.map(copyOf) })
    if (this.#waiting.size === 0) this.#port?.ref()
    this.#waiting.set(id, waiting)
    return id
  }

  #put(request: Request | Step): void {
    if (isBatch(request)) this.#outbox.add(request.id, request.batch, request.isBlocking === true)
    else this.#outbox.addStep(request)
  }

  /** Every batch asked for so far, in its order, on this thread. Who would begin a transaction waits for the other. */
  #commitHere(): void {
    const batches = this.#queue.filter(isBatch)
    this.#queue = this.#queue.filter((request) => !isBatch(request))
    for (let from = 0; from < batches.length; from += groupMax) {
      const group = batches.slice(from, from + groupMax)
      let outcomes: ReadonlyArray<Outcome>
      try {
        outcomes = (this.#near as SqliteWriter).commit(group.map(({ batch }) => batch))
      } catch (error) {
        outcomes = group.map(() => ({ error: error as Error }))
      }
      for (const [i, { id }] of group.entries()) this.#settle(id, outcomes[i] as Outcome)
    }
  }

  /** The same for who could wait, if it takes a moment only: true when it is done. */
  #tryHere(near: SqliteWriter): boolean {
    const queue = this.#queue
    if (this.#worker !== undefined || !queue.every(isBatch) || !isLittle(queue) || !this.#allowance.isLeft) return false
    let outcomes: ReadonlyArray<Outcome>
    try {
      outcomes = this.#allowance.spend(() =>
        near.commit(
          queue.map(({ batch }) => batch),
          { isPatient: false },
        ),
      )
    } catch (error) {
      // Another process has the lock, for which this thread has no time.
      if (error instanceof StorageError && error.reason._tag === "Busy") return false
      outcomes = queue.map(() => ({ error: error as Error }))
    }
    this.#queue = []
    for (const [i, { id }] of queue.entries()) this.#settle(id, outcomes[i] as Outcome)
    return true
  }

  /** Everything asked for in this turn, in few messages. */
  #flushSoon(): void {
    if (this.#outbox.count >= this.#early) {
      this.#flush()
      this.#early = Math.min(4 * this.#early, earlyMax)
    }
    if (this.#willFlush) return
    this.#willFlush = true
    queueMicrotask(() => {
      this.#willFlush = false
      this.#early = earlyMin
      this.#flush()
    })
  }

  /** Everything asked for since the last time: written here, or sent in one message. */
  #flush(): void {
    if (this.#near !== undefined) {
      if (this.#queue.length > 0 && !this.#tryHere(this.#near)) this.#start()
      return
    }
    if (this.#outbox.count === 0) return
    const [packet, transfer] = this.#outbox.take()
    try {
      this.#port?.postMessage(packet, transfer)
    } catch (cause) {
      // What cannot be sent is nobody else's: it is answered here, and the next is sent without it.
      const error = new StorageError("Failed", { store: this.path, detail: cause instanceof Error ? cause.message : String(cause) }, { cause })
      for (let id = packet.firstId; id < this.#nextId; id++) {
        this.#waiting.get(id)?.reject(error)
        this.#waiting.delete(id)
      }
      if (this.#waiting.size === 0) this.#port?.unref()
    }
  }

  #settle(id: number, outcome: Outcome): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if ("answers" in outcome) {
      for (const listener of this.#listeners) queueMicrotask(listener)
      return waiting?.resolve(outcome.answers)
    }
    // No further write may build on a commit that nobody can vouch for.
    if (outcome.error instanceof StorageError && outcome.error.reason._tag === "Unknown") this.#refusal ??= outcome.error
    waiting?.reject(outcome.error)
  }

  /** Takes a message. Outcomes are told in turns of the event loop, in their order; a caller who blocks it for `blockingId` is told at once. */
  #hear(reply: Reply, blockingId?: number): void {
    if ("outcomes" in reply) this.#hearOutcomes({ ...reply, at: 0, otherAt: 0 }, blockingId)
    else if ("failed" in reply) this.#fail(errorOf(this.path, reply.failed))
    else {
      if (reply.refusal !== undefined) this.#refusal = errorOf(this.path, reply.refusal)
      this.#handOver()
    }
    if (this.#waiting.size === 0) this.#port?.unref()
  }

  #hearOutcomes(heard: Heard, blockingId: number | undefined): void {
    const { outcomes, others } = heard
    // No further write may build on a commit that nobody can vouch for.
    for (const other of others) if ("failure" in other && isUnknown(other.failure)) this.#refusal ??= errorOf(this.path, other.failure)
    this.#heardOf.push(heard)
    if (blockingId !== undefined) this.#tellAhead(heard, blockingId)
    // Those before it go on by themselves.
    if (this.#heardOf.length === 1) this.#tellSome()
    const failures = others.reduce((count, other) => count + Number("failure" in other), 0)
    if (2 * failures < outcomes.length) for (const listener of this.#listeners) queueMicrotask(listener)
  }

  /** Tells up to `answersMax` callers, and the others in turns to come: what they ask for next is on its way before the last of them has its turn. */
  #tellSome(): void {
    for (let count = 0; count < answersMax; count++) {
      const [heard] = this.#heardOf
      if (heard === undefined) break
      this.#tellNext(heard)
      if (2 * heard.at === heard.outcomes.length) this.#heardOf.shift()
    }
    if (this.#heardOf.length > 0) setImmediate(() => this.#tellSome())
  }

  /** Tells the one whose turn it is. */
  #tellNext(heard: Heard): void {
    const [id, answer] = [heard.outcomes[2 * heard.at] as number, heard.outcomes[2 * heard.at + 1] as number]
    heard.at++
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (!Number.isNaN(answer)) waiting?.resolve([answer])
    else {
      const other = heard.others[heard.otherAt++] as Answered
      if ("failure" in other) waiting?.reject(errorOf(this.path, other.failure))
      else waiting?.resolve(other.answers)
    }
    if (this.#waiting.size === 0) this.#port?.unref()
  }

  /** Tells one that cannot wait for its turn, which then passes it over. */
  #tellAhead(heard: Heard, blockingId: number): void {
    const ahead = { ...heard }
    while (2 * ahead.at < ahead.outcomes.length) {
      const id = ahead.outcomes[2 * ahead.at] as number
      if (id === blockingId) return this.#tellNext(ahead)
      if (Number.isNaN(ahead.outcomes[2 * ahead.at + 1])) ahead.otherAt++
      ahead.at++
    }
  }

  /** The thread is gone: who has no answer yet cannot know. */
  #end(error: StorageError): void {
    // What it has said is heard to the end.
    for (let reply = this.#received(); reply !== undefined; reply = this.#received()) this.#hear(reply)
    this.#refusal ??= error
    for (const heard of this.#heardOf.splice(0)) while (2 * heard.at < heard.outcomes.length) this.#tellNext(heard)
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#port?.close()
  }

  /** Waits for what was asked for, then lets go of the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#exited
    this.#isClosed = true
    if (this.#near === undefined) this.#flush()
    else this.#commitHere()
    // Before the writer: the last connection folds the log into the database.
    this.#reader.close()
    this.#near?.close()
    for (const { id } of this.#near === undefined ? [] : this.#queue) this.#settle(id, { error: new StorageError("Closed", { store: this.path }) })
    // Until it has let go of the file, the thread keeps the process.
    this.#worker?.ref()
    this.#port?.postMessage("close")
    await this.#exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
