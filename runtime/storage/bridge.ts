/**
 * A store's thread as its caller sees it: requests that are answered with a promise, or, where a guest must have its
 * answer in the call, by blocking until the thread has raised a shared counter and the answer is taken from the port.
 */
import type { MessagePort, Worker } from "node:worker_threads"
import { CounterError } from "../../host/port/key-value.ts"
import { CapabilityError } from "../../schemas/error/capability.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { StorageError } from "../../schemas/error/storage.ts"

const { MessageChannel, receiveMessageOnPort } = process.getBuiltinModule("node:worker_threads")

/** What the thread is given to answer with. */
export interface Line {
  readonly port: MessagePort
  /** Int32: counts messages sent, for those who wait without an event loop. */
  readonly signal: SharedArrayBuffer
}

interface Request {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

/** An error as data: classes do not survive the way between threads. */
type Failure = { readonly family: string; readonly reason: string; readonly data: object } | { readonly counter: string } | { readonly message: string }
type Reply = { readonly id: number } & ({ readonly answer: unknown } | { readonly failure: Failure })
type Outcome = { readonly answer: unknown } | { readonly error: Error }

interface Waiting {
  resolve(answer: unknown): void
  reject(error: Error): void
}

function failureOf(error: unknown): Failure {
  if (error instanceof SteleError) {
    const { _tag, ...data } = error.reason as { readonly _tag: string }
    return { family: error._tag, reason: _tag, data }
  }
  if (error instanceof CounterError) return { counter: error.message }
  return { message: error instanceof Error ? error.message : String(error) }
}

function errorOf(store: string, failure: Failure): Error {
  if ("counter" in failure) return new CounterError(failure.counter)
  if ("message" in failure) return new StorageError("Failed", { store, detail: failure.message })
  const Family = { CapabilityError, ConfigError, StorageError }[failure.family] as (new (reason: string, data: object) => Error) | undefined
  return Family === undefined ? new StorageError("Failed", { store, detail: failure.reason }) : new Family(failure.reason, failure.data)
}

export class Bridge {
  readonly #store: string
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #signal = new Int32Array(new SharedArrayBuffer(4))
  readonly #silenceMsMax: number
  readonly #waiting = new Map<number, Waiting>()
  readonly #exited: Promise<void>
  #queue: Array<Request> = []
  #nextId = 0
  #heard = 0
  #ended: Error | undefined

  /** `start` starts the thread with its end of the line; `silenceMsMax`: how long it may say nothing to a blocked caller. */
  constructor(store: string, silenceMsMax: number, start: (line: Line) => Worker) {
    this.#store = store
    this.#silenceMsMax = silenceMsMax
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#worker = start({ port: port2, signal: this.#signal.buffer as SharedArrayBuffer })
    this.#exited = new Promise((done) => this.#worker.once("exit", () => done()))
    const end = (cause: unknown): void => this.#end(new StorageError("Unknown", { store, detail: "its thread has ended" }, { cause }))
    this.#worker.on("error", end)
    this.#worker.on("exit", end)
    port1.on("message", (replies: ReadonlyArray<Reply>) => this.#hear(replies))
    // Only what is waited for keeps the process.
    this.#worker.unref()
    port1.unref()
  }

  ask(name: string, argument: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#send(name, argument, { resolve, reject })
      if (this.#queue.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  askSync(name: string, argument: unknown): unknown {
    let outcome: Outcome | undefined
    this.#send(name, argument, { resolve: (answer) => (outcome = { answer }), reject: (error) => (outcome = { error }) })
    this.#flush()
    let untilMs = performance.now() + this.#silenceMsMax
    for (;;) {
      for (let message = receiveMessageOnPort(this.#port); message !== undefined; message = receiveMessageOnPort(this.#port))
        this.#hear(message.message as ReadonlyArray<Reply>)
      if (outcome !== undefined) break
      const leftMs = untilMs - performance.now()
      if (leftMs <= 0) throw new StorageError("Unknown", { store: this.#store, detail: `its thread has been silent for ${this.#silenceMsMax} ms` })
      Atomics.wait(this.#signal, 0, this.#heard, leftMs)
      const heard = Atomics.load(this.#signal, 0)
      if (heard !== this.#heard) untilMs = performance.now() + this.#silenceMsMax
      this.#heard = heard
    }
    const known: Outcome = outcome
    if ("error" in known) throw known.error
    return known.answer
  }

  #send(name: string, argument: unknown, waiting: Waiting): void {
    if (this.#ended !== undefined) throw this.#ended
    const id = this.#nextId++
    if (this.#waiting.size === 0) this.#hold(true)
    this.#waiting.set(id, waiting)
    this.#queue.push({ id, name, argument })
  }

  /** Everything asked for since the last time, in one message. */
  #flush(): void {
    if (this.#queue.length === 0) return
    const queue = this.#queue
    this.#queue = []
    try {
      this.#port.postMessage(queue)
    } catch (cause) {
      // What cannot be sent is nobody else's: it is answered here, and the next is sent without it.
      const error = new StorageError("Failed", { store: this.#store, detail: cause instanceof Error ? cause.message : String(cause) }, { cause })
      for (const { id } of queue) {
        this.#waiting.get(id)?.reject(error)
        this.#waiting.delete(id)
      }
      if (this.#waiting.size === 0) this.#hold(false)
    }
  }

  #hear(replies: ReadonlyArray<Reply>): void {
    for (const reply of replies) {
      const waiting = this.#waiting.get(reply.id)
      this.#waiting.delete(reply.id)
      if ("failure" in reply) waiting?.reject(errorOf(this.#store, reply.failure))
      else waiting?.resolve(reply.answer)
    }
    if (this.#waiting.size === 0) this.#hold(false)
  }

  #hold(isHeld: boolean): void {
    if (isHeld) this.#port.ref()
    else this.#port.unref()
  }

  /** The thread is gone: whoever waits cannot know. */
  #end(error: StorageError): void {
    this.#ended ??= error
    // What it answered last may be heard after its end.
    for (let message = receiveMessageOnPort(this.#port); message !== undefined; message = receiveMessageOnPort(this.#port))
      this.#hear(message.message as ReadonlyArray<Reply>)
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
    this.#port.close()
  }

  /** After what was asked for is answered. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return this.#exited
    this.#flush()
    // Until it has let go of what it holds, the thread keeps the process.
    this.#worker.ref()
    this.#port.postMessage("close")
    await this.#exited
  }
}

/** The thread's side: answers what comes, until "close". */
export function serve({ port, signal }: Line, handlers: Readonly<Record<string, (argument: never) => Promise<unknown>>>, close: () => Promise<void>): void {
  const sent = new Int32Array(signal)
  let replies: Array<Reply> = []
  const flush = (): void => {
    const ready = replies
    replies = []
    try {
      port.postMessage(ready)
    } catch (error) {
      // What cannot be sent is nobody else's.
      port.postMessage(ready.map(({ id }) => ({ id, failure: failureOf(error) })))
    }
    Atomics.add(sent, 0, 1)
    Atomics.notify(sent, 0)
  }
  /** Those of one commit go together: whoever they wake asks again together. */
  const send = (reply: Reply): void => {
    if (replies.push(reply) === 1) setImmediate(flush)
  }
  let under = 0
  let isClosing = false
  const leave = async (): Promise<void> => {
    await close()
    if (replies.length > 0) flush()
    port.close()
  }
  port.on("message", (message: ReadonlyArray<Request> | "close") => {
    if (message === "close") {
      isClosing = true
      if (under === 0) void leave()
      return
    }
    for (const { id, name, argument } of message) {
      under++
      void (async () => {
        try {
          send({ id, answer: await (handlers[name] as (argument: unknown) => Promise<unknown>)(argument) })
        } catch (error) {
          send({ id, failure: failureOf(error) })
        } finally {
          if (--under === 0 && isClosing) void leave()
        }
      })()
    }
  })
}
