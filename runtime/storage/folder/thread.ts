/** A folder's writer as its callers see it: an operation is asked for and answered when it is durable, awaited or blocking. */
import type { MessagePort, Worker } from "node:worker_threads"
import { StorageError } from "../../../schemas/error/storage.ts"
import { clockBase } from "../clock.ts"
import { busyMsMax } from "../sqlite/database.ts"
import type { Failure, Opening, Reply, Request } from "./worker.ts"
import type { Operation } from "./writer.ts"

const { MessageChannel, receiveMessageOnPort, Worker: Thread } = process.getBuiltinModule("node:worker_threads")

/** How long the thread may be silent before a blocked caller gives up: longer than it waits for another process. */
const silenceMsMax = busyMsMax + 25_000
/** Whoever waits for the opening. */
const openingId = -1

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
  readonly #port: MessagePort
  readonly #worker: Worker
  readonly #exited: Promise<void>
  #queue: Array<Request> = []
  #nextId = 0
  #heard = 0
  #refusal: Error | undefined
  #isClosed = false

  private constructor(store: string, acceptLoss: boolean, pendingMax: number) {
    this.#store = store
    this.#pendingMax = pendingMax
    const { port1, port2 } = new MessageChannel()
    const opening: Opening = { folder: store, acceptLoss, clockBase: clockBase(), signal: this.#signal.buffer as SharedArrayBuffer, port: port2 }
    this.#port = port1
    // Neither flags nor hooks of the application have business in this thread.
    this.#worker = new Thread(new URL("./worker.ts", import.meta.url), { workerData: opening, transferList: [port2], execArgv: [], name: "stele-objects" })
    this.#exited = new Promise((done) => this.#worker.once("exit", () => done()))
    const end = (cause: unknown): void => this.#end(new StorageError("Unknown", { store, detail: "its thread has ended" }, { cause }))
    this.#worker.on("error", end)
    this.#worker.on("exit", end)
    port1.on("message", (reply: Reply) => this.#hear(reply))
  }

  /** Opens the folder, or makes it. Throws `StorageError` `Unreachable`, `Foreign`, `Newer` or `Busy`. */
  static async open(store: string, acceptLoss: boolean, pendingMax: number): Promise<WriterThread> {
    const thread = new WriterThread(store, acceptLoss, pendingMax)
    try {
      await new Promise<unknown>((resolve, reject) => thread.#waiting.set(openingId, { resolve, reject }))
    } catch (error) {
      await thread.close()
      throw error
    }
    // From here on only what is waited for keeps the process.
    thread.#worker.unref()
    thread.#port.unref()
    return thread
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
    this.#flush()
    let untilMs = performance.now() + silenceMsMax
    for (;;) {
      for (let message = receiveMessageOnPort(this.#port); message !== undefined; message = receiveMessageOnPort(this.#port))
        this.#hear(message.message as Reply)
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

  #send(operation: Operation, waiting: Waiting): void {
    if (this.#isClosed) throw new StorageError("Closed", { store: this.#store })
    if (this.#refusal !== undefined) throw this.#refusal
    if (this.#waiting.size >= this.#pendingMax) throw new StorageError("Overloaded", { store: this.#store, pendingMax: this.#pendingMax })
    const id = this.#nextId++
    if (this.#waiting.size === 0) this.#port.ref()
    this.#waiting.set(id, waiting)
    this.#queue.push({ id, operation })
  }

  /** Everything asked for since the last time, in one message. */
  #flush(): void {
    if (this.#queue.length === 0) return
    const queue = this.#queue
    this.#queue = []
    this.#port.postMessage(queue)
  }

  #hear(reply: Reply): void {
    if ("outcomes" in reply) {
      for (const { id, answer, failure } of reply.outcomes) {
        if (failure === undefined) this.#take(id)?.resolve(answer === true)
        else {
          const error = errorOf(this.#store, failure)
          // No further write may build on a commit that nobody can vouch for.
          if (error.reason._tag === "Unknown") this.#refusal ??= error
          this.#take(id)?.reject(error)
        }
      }
    } else if ("failed" in reply) this.#take(openingId)?.reject(errorOf(this.#store, reply.failed))
    else {
      if (reply.refusal !== undefined) this.#refusal = errorOf(this.#store, reply.refusal)
      this.#take(openingId)?.resolve(true)
    }
    if (this.#waiting.size === 0) this.#port.unref()
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  /** The thread is gone: whoever waits cannot know. */
  #end(error: StorageError): void {
    this.#refusal ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#port.close()
  }

  /** Waits for what was asked for, then lets go of the folder. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#exited
    this.#isClosed = true
    this.#flush()
    this.#worker.ref()
    this.#port.postMessage("close")
    await this.#exited
  }
}
