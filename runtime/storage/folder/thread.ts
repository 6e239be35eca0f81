/**
 * A folder's writer as its callers see it: an operation is asked for and answered when it is durable, awaited or blocking. Its thread starts when
 * those who await ask for more than a little; until then, and for who blocks, the calling thread writes, as in a SQLite store.
 */
import type { MessagePort, Worker } from "node:worker_threads"
import { StorageError } from "../../../schemas/error/storage.ts"
import { Allowance } from "../allowance.ts"
import { type ClockBase, clockBase, clockFrom } from "../clock.ts"
import { busyMsMax, detailOf, identityOf } from "../sqlite/database.ts"
import { catalogueOf } from "./catalogue.ts"
import type { Failure, Opening, Reply, Request } from "./worker.ts"
import { FolderWriter, groupMax, type Operation, type Outcome } from "./writer.ts"

const { MessageChannel, receiveMessageOnPort, Worker: Thread } = process.getBuiltinModule("node:worker_threads")

/** How long the thread may be silent before a blocked caller gives up: longer than it waits for another process. */
const silenceMsMax = busyMsMax + 25_000

/** Operations, and bytes of their objects, that are written in a moment. */
const littleMax = 16
const littleBytesMax = 64 << 10

interface Waiting {
  resolve(answer: boolean): void
  reject(error: Error): void
}

function errorOf(store: string, failure: Failure): StorageError {
  if ("message" in failure) return new StorageError("Failed", { store, detail: failure.message })
  return new (StorageError as unknown as new (reason: string, data: object) => StorageError)(failure.reason, failure.data)
}

export class WriterThread {
  readonly #store: string
  readonly #pendingMax: number
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  readonly #waiting = new Map<number, Waiting>()
  readonly #clockBase: ClockBase = clockBase()
  /** Which catalogue it is: the thread must not make a new one where it was. */
  readonly #identity: string | undefined
  /** Writes on this thread, until the other has opened the folder. */
  #near: FolderWriter | undefined
  readonly #allowance = new Allowance()
  #port: MessagePort | undefined
  #worker: Worker | undefined
  #exited: Promise<void> = Promise.resolve()
  #queue: Array<Request> = []
  #nextId = 0
  #heard = 0
  #refusal: Error | undefined
  #isClosed = false

  /** Opens the folder, or makes it. Throws `StorageError` `Unreachable`, `Foreign`, `Newer` or `Busy`. */
  constructor(store: string, acceptLoss: boolean, pendingMax: number) {
    this.#store = store
    this.#pendingMax = pendingMax
    this.#near = FolderWriter.open(store, acceptLoss, clockFrom(this.#clockBase))
    this.#refusal = this.#near.refusal
    this.#identity = identityOf(catalogueOf(store))
  }

  /** Starts the thread. What waits is sent when it has opened the folder; who blocks meanwhile writes here, and what waits before it. */
  #start(): void {
    if (this.#worker !== undefined) return
    const store = this.#store
    if (identityOf(catalogueOf(store)) !== this.#identity)
      return this.#fail(new StorageError("Unreachable", { store, detail: "the catalogue that was opened is not there any more" }))
    const { port1, port2 } = new MessageChannel()
    // What was lost before has been accepted or refused by now; what is lost since is nobody's to accept.
    const opening: Opening = { folder: store, acceptLoss: false, clockBase: this.#clockBase, signal: this.#signal.buffer as SharedArrayBuffer, port: port2 }
    const noThread = (cause: unknown): StorageError => new StorageError("Failed", { store, detail: `its thread does not start: ${detailOf(cause)}` }, { cause })
    let worker: Worker
    try {
      // Neither flags nor hooks of the application have business in this thread.
      worker = new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [port2], execArgv: [], name: "stele-objects" })
    } catch (cause) {
      return this.#fail(noThread(cause))
    }
    this.#port = port1
    this.#worker = worker
    this.#exited = new Promise((done) => worker.once("exit", () => done()))
    const end = (cause: unknown): void => {
      if (this.#worker !== worker) return
      if (this.#near === undefined) return this.#end(new StorageError("Unknown", { store, detail: "its thread has ended" }, { cause }))
      // Nothing was sent to it, so nothing is unknown.
      if (!this.#isClosed) this.#fail(noThread(cause))
    }
    worker.on("error", end)
    worker.on("exit", end)
    port1.on("message", (reply: Reply) => this.#hear(reply))
  }

  /** The thread has opened the folder: from here on it writes, and only what is waited for keeps the process. */
  #handOver(): void {
    this.#near?.close()
    this.#near = undefined
    if (!this.#isClosed) this.#worker?.unref()
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

  /** Why nothing can be written, if so. */
  get refusal(): Error | undefined {
    return this.#refusal
  }

  /** Answers when it is on the disk. Throws `StorageError` `Overloaded`, `Busy`, `Failed`, `Unknown`, `Lost`, `Closed`, `Upload`. */
  ask(operation: Operation): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#send(operation, { resolve, reject })
      if (this.#queue.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  /** The same for a caller that cannot wait otherwise: blocks this thread. */
  askBlocking(operation: Operation): boolean {
    let outcome: { readonly answer: boolean } | { readonly error: Error } | undefined
    this.#send(operation, { resolve: (answer) => (outcome = { answer }), reject: (error) => (outcome = { error }) })
    if (this.#near === undefined) this.#flush()
    else this.#commitHere()
    let untilMs = performance.now() + silenceMsMax
    for (;;) {
      for (let reply = this.#received(); reply !== undefined; reply = this.#received()) this.#hear(reply)
      if (outcome !== undefined) break
      const leftMs = untilMs - performance.now()
      if (leftMs <= 0) throw new StorageError("Unknown", { store: this.#store, detail: `its thread has been silent for ${silenceMsMax} ms` })
      Atomics.wait(this.#signal, 0, this.#heard, leftMs)
      const heard = Atomics.load(this.#signal, 0)
      if (heard !== this.#heard) untilMs = performance.now() + silenceMsMax
      this.#heard = heard
    }
    if ("error" in outcome) throw outcome.error
    return outcome.answer
  }

  /** What the thread has sent, without waiting for it. */
  #received(): Reply | undefined {
    return this.#port === undefined ? undefined : (receiveMessageOnPort(this.#port)?.message as Reply | undefined)
  }

  #send(operation: Operation, waiting: Waiting): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#store })
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#waiting.size >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.#store, pendingMax: this.#pendingMax })
    const id = this.#nextId++
    if (this.#waiting.size === 0) this.#port?.ref()
    this.#waiting.set(id, waiting)
    this.#queue.push({ id, operation })
  }

  /** Everything asked for so far, in its order, on this thread. */
  #commitHere(): void {
    const queue = this.#queue
    this.#queue = []
    for (let from = 0; from < queue.length; from += groupMax) {
      const group = queue.slice(from, from + groupMax)
      const outcomes = (this.#near as FolderWriter).settle(group.map(({ operation }) => operation))
      for (const [i, { id }] of group.entries()) this.#settle(id, outcomes[i] as Outcome)
    }
  }

  /** The same for who could wait, if it takes a moment only: true when it is done. */
  #tryHere(near: FolderWriter): boolean {
    const queue = this.#queue
    const bytes = queue.reduce((sum, { operation }) => sum + ("data" in operation ? (operation.data?.length ?? 0) : 0), 0)
    if (this.#worker !== undefined || queue.length > littleMax || bytes > littleBytesMax || !this.#allowance.isLeft) return false
    let outcomes: ReadonlyArray<Outcome>
    try {
      outcomes = this.#allowance.spend(() =>
        near.commit(
          queue.map(({ operation }) => operation),
          false,
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

  /** Everything asked for since the last time, in one message. */
  #flush(): void {
    if (this.#queue.length === 0) return
    if (this.#near !== undefined) return this.#tryHere(this.#near) ? undefined : this.#start()
    const queue = this.#queue
    this.#queue = []
    this.#port?.postMessage(queue)
  }

  #settle(id: number, outcome: Outcome): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if ("answer" in outcome) return waiting?.resolve(outcome.answer)
    // No further write may build on a commit that nobody can vouch for.
    if (outcome.error instanceof StorageError && outcome.error.reason._tag === "Unknown") this.#refusal ??= outcome.error
    waiting?.reject(outcome.error)
  }

  #hear(reply: Reply): void {
    if ("outcomes" in reply)
      for (const { id, answer, failure } of reply.outcomes)
        this.#settle(id, failure === undefined ? { answer: answer === true } : { error: errorOf(this.#store, failure) })
    else if ("failed" in reply) this.#fail(errorOf(this.#store, reply.failed))
    else {
      if (reply.refusal !== undefined) this.#refusal = errorOf(this.#store, reply.refusal)
      this.#handOver()
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

  /** Waits for what was asked for, then lets go of the folder. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#exited
    this.#isClosed = true
    if (this.#near === undefined) this.#flush()
    else this.#commitHere()
    this.#near?.close()
    this.#worker?.ref()
    this.#port?.postMessage("close")
    await this.#exited
  }
}
