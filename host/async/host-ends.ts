/**
 * Streams and futures as JavaScript has them. What the host gives a guest is anything that can be iterated or awaited,
 * asked for one value when the guest reads; what the host gets is a `ReadableStream` or a promise, which reads when it is
 * read. So nothing is buffered but the one piece that is under way.
 */
import { AsyncError } from "../../schemas/error/async.ts"
import type { FutureType, StreamType } from "../../schemas/wit/model.ts"
import { carriedOf } from "../../schemas/wit/tree.ts"
import { mismatch, typed } from "../abi/mismatch.ts"
import { isThenable, neglect } from "../call/instance.ts"
import { type Channel, type Chunk, copied, type OnCopy, type OnDone, pieceOf, type Readable, type Sink } from "./channel.ts"

/** What the ends need of the instance that they belong to. */
export interface Owner {
  readonly streamBytesMax: number
  /** Runs the host's work under the call's meter; what it throws ends the call. */
  enter(body: () => void): void
  /** Ends the call. */
  fail(error: unknown): void
  /** What the embedder's code threw, typed. */
  failure(name: string, error: unknown): unknown
  /** An operation of the host's has begun (1) or ended (−1). */
  count(change: 1 | -1): void
  /** Ends that the host holds, to be failed when their call is over. */
  readonly held: Set<HostReader>
  /** Sources that the guest holds, to be let go of when their call is over. */
  readonly given: Set<HostSource>
  /** The export that runs, for messages. */
  readonly running: string
}

interface Waiting {
  readonly sink: Sink
  readonly onDone: OnDone
}

/** A stream or future that the host gave. */
export class HostSource implements Readable {
  readonly type: StreamType | FutureType
  readonly #owner: Owner
  readonly #next: () => unknown
  readonly #close: () => void
  #waiting: Waiting | undefined
  /** What was brought and not taken yet. */
  #rest: Chunk | undefined
  #restCount = 0
  #isAsking = false
  #isEnded = false
  #isClosed = false

  /** @throws Mismatch when `value` is nothing that could be read as `type` */
  constructor(type: StreamType | FutureType, value: unknown, owner: Owner) {
    this.type = type
    this.#owner = owner
    if (type.kind === "future") {
      this.#next = () => (isThenable(value) ? Promise.resolve(value).then((one) => ({ value: one })) : { value })
      this.#close = () => neglect(value)
      // It may be refused before anybody reads it.
      if (isThenable(value)) neglect(value)
    } else {
      const { open, close } = opener(type, value)
      this.#next = open
      this.#close = close
    }
    owner.given.add(this)
  }

  read(_by: object | undefined, sink: Sink, _onCopy: OnCopy, onDone: OnDone): void {
    this.#waiting = { sink, onDone }
    this.#serve()
  }

  cancel(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.onDone(copied.cancelled)
  }

  drop(): void {
    this.#owner.given.delete(this)
    this.#rest = undefined
    if (this.#isClosed) return
    this.#isClosed = true
    this.#waiting = undefined
    try {
      this.#close()
    } catch (error) {
      neglect(Promise.reject(error))
    }
  }

  #serve(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    if (this.#restCount > 0) {
      const count = Math.min(this.#restCount, waiting.sink.remain)
      this.#waiting = undefined
      if (count > 0) {
        // No more than there is room for: a sink takes all that it is given.
        waiting.sink.put(this.#rest instanceof Uint8Array ? this.#rest.subarray(0, count) : this.#rest, count)
        this.#restCount -= count
        this.#rest = this.#restCount === 0 || this.#rest === undefined ? undefined : rest(this.#rest, count)
      }
      return waiting.onDone(copied.completed)
    }
    if (this.#isEnded) {
      this.#waiting = undefined
      return waiting.onDone(copied.dropped)
    }
    if (!this.#isAsking) this.#ask()
  }

  #ask(): void {
    const owner = this.#owner
    this.#isAsking = true
    owner.count(1)
    const answered = (): void => {
      this.#isAsking = false
      owner.count(-1)
    }
    const failed = (error: unknown): void => {
      if (this.#isClosed) return
      const sink = this.#waiting?.sink
      if (sink?.fail === undefined) owner.fail(error)
      else sink.fail(error)
    }
    let step: unknown
    try {
      step = this.#next()
    } catch (error) {
      // Not here: the guest is on the stack.
      step = Promise.reject(error)
    }
    new Promise((resolve) => resolve(step)).then(
      (one) => {
        answered()
        if (this.#isClosed) return
        try {
          this.#take(one as { readonly done?: unknown; readonly value?: unknown })
        } catch (error) {
          return failed(typed(error, this.type.kind))
        }
        owner.enter(() => this.#serve())
      },
      (error: unknown) => {
        answered()
        failed(owner.failure(`a ${this.type.kind} of the application's`, error))
      },
    )
  }

  #take({ done, value }: { readonly done?: unknown; readonly value?: unknown }): void {
    const { type } = this
    if (done === true) {
      this.#isEnded = true
      return
    }
    if (type.kind === "stream" && type.element?.kind === "u8" && typeof value !== "number") {
      if (!(value instanceof Uint8Array)) mismatch("bytes of a stream<u8>, as a Uint8Array", value)
      // Copied: what the application does with its buffer meanwhile is its own business.
      this.#rest = value.slice()
      this.#restCount = value.length
      return
    }
    this.#rest = carriedOf(type) === undefined ? undefined : [value]
    this.#restCount = 1
    if (type.kind === "future") this.#isEnded = true
  }
}

const rest = (chunk: ArrayLike<unknown>, from: number): ArrayLike<unknown> =>
  chunk instanceof Uint8Array ? chunk.subarray(from) : Array.prototype.slice.call(chunk, from)

interface Steps {
  next(): unknown
  return?(): unknown
}

/** How a stream's values are asked for one by one. Nothing of `value` is called before the guest reads. */
function opener(type: StreamType, value: unknown): { readonly open: () => unknown; readonly close: () => void } {
  if (typeof value !== "object" || value === null) return mismatch(type, value)
  let steps: Steps | undefined
  if (value instanceof Uint8Array) {
    const all = [value]
    return { open: () => ({ done: all.length === 0, value: all.pop() }), close: () => undefined }
  }
  const make = (): Steps => {
    const iterable = value as Partial<AsyncIterable<unknown> & Iterable<unknown>> & { getReader?: () => ReadableStreamDefaultReader<unknown> }
    if (typeof iterable[Symbol.asyncIterator] === "function") return (iterable as AsyncIterable<unknown>)[Symbol.asyncIterator]() as Steps
    if (typeof iterable[Symbol.iterator] === "function") return (iterable as Iterable<unknown>)[Symbol.iterator]() as Steps
    // Browsers that cannot iterate a ReadableStream yet.
    const reader = (iterable.getReader as () => ReadableStreamDefaultReader<unknown>).call(value)
    return { next: () => reader.read(), return: () => reader.cancel() }
  }
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now, getReader } = value as unknown as Record<PropertyKey, unknown>
  if (![later, now, getReader].some((one) => typeof one === "function")) return mismatch(type, value)
  return {
    open: () => (steps ??= make()).next(),
    close: () => {
      // One that was never read is let go of all the same: a ReadableStream has resources behind it.
      const answer: unknown = (steps ??= make()).return?.()
      if (isThenable(answer)) neglect(answer)
    },
  }
}

/** The readable end of a guest's stream or future, held by the host. */
export class HostReader {
  readonly value: ReadableStream<unknown> | Promise<unknown>
  readonly #readable: Readable
  readonly #owner: Owner
  #controller: ReadableStreamDefaultController<unknown> | undefined
  /** Refuses the read that is under way. */
  #refuse: ((error: unknown) => void) | undefined
  #isOver = false

  constructor(readable: Readable, owner: Owner) {
    this.#readable = readable
    this.#owner = owner
    owner.held.add(this)
    if (readable.type.kind === "future") {
      const promise = this.#read().then((chunk) => (chunk as ArrayLike<unknown> | undefined)?.[0])
      // It may fail before anybody looks at it.
      neglect(promise)
      this.value = promise
    } else this.value = this.#stream()
  }

  /** The call is over: nothing more will be written. */
  fail(error: unknown): void {
    if (this.#isOver) return
    this.#end()
    this.#refuse?.(error)
    this.#controller?.error(error)
  }

  /** The last task has ended. What the guest has closed can still be read to its end, and so can what was the host's own; the rest is left open for ever. */
  leave(): void {
    const readable = this.#readable
    if (readable instanceof HostSource) {
      this.#owner.given.delete(readable)
      this.#owner.held.delete(this)
    } else if (this.isClosed) this.#owner.held.delete(this)
    else this.fail(new AsyncError("LeftOpen", { kind: readable.type.kind, export: this.#owner.running }))
  }

  /** Its guest has dropped the other end: what is left is to hear of it. */
  get isClosed(): boolean {
    return (this.#readable as Partial<Channel>).isDropped === true
  }

  #end(): void {
    this.#isOver = true
    this.#owner.held.delete(this)
  }

  /** The next piece; undefined at the end of a stream, `{}` for values that carry nothing. */
  #read(): Promise<Chunk | { readonly count: number }> {
    const { type } = this.#readable
    const length = pieceOf(type, this.#owner.streamBytesMax)
    return new Promise((resolve, reject) => {
      this.#refuse = reject
      let piece: Chunk | { readonly count: number }
      const sink: Sink = {
        length,
        remain: length,
        put(chunk, count) {
          piece = chunk ?? { count }
        },
        fail: reject,
      }
      this.#owner.enter(() =>
        this.#readable.read(
          undefined,
          sink,
          (reclaim) => {
            reclaim()
            resolve(piece)
          },
          (result) => {
            if (type.kind === "future" || result === copied.dropped) this.#end()
            resolve(result === copied.dropped ? undefined : piece)
          },
        ),
      )
    })
  }

  #stream(): ReadableStream<unknown> {
    const isBytes = carriedOf(this.#readable.type)?.kind === "u8"
    /** Values of the last piece that were not handed out. */
    let left: Array<unknown> = []
    return new ReadableStream<unknown>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: async (controller) => {
          if (left.length === 0) {
            const piece = await this.#read()
            if (piece === undefined) return controller.close()
            if (isBytes) return controller.enqueue(piece)
            left = "count" in piece ? new Array<unknown>(piece.count as number).fill(undefined) : Array.from(piece)
            left.reverse()
          }
          controller.enqueue(left.pop())
        },
        cancel: () => {
          if (this.#isOver) return
          this.#end()
          this.#owner.enter(() => this.#readable.drop())
        },
      },
      { highWaterMark: 0 },
    )
  }
}
