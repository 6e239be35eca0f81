/** Bodies of `wasi:http/types` as streams: what a guest writes goes to a sink, what it reads comes from a source. */
import { NetworkError } from "../../../schemas/error/network.ts"
import { httpChunkBytesMax, type HttpField } from "../../port/mod.ts"
import { idle, type Waker } from "../../port/waker.ts"
import type { CallContext } from "../capability.ts"
import { chunkBytesMax, closed, hold, type InputStream, type OutputStream, pending, type StreamFailure } from "../io.ts"
import { done, err, ok, type Result } from "../serve.ts"
import { type ErrorCode, errorCodeOf, HttpIoError } from "./error-code.ts"
import type { Fields } from "./fields.ts"

/** Where an outgoing body goes. */
export interface Sink {
  /** Bytes it takes now, or why it takes none any more. */
  room(call: CallContext): number | NetworkError
  write(bytes: Uint8Array): void
  end(trailers: ReadonlyArray<HttpField>): void
  /** The body will never be whole. */
  abort(error: NetworkError | undefined): void
  readonly waker: Waker
}

/** Where an incoming body comes from. */
export interface Source {
  read(countMax: number): Uint8Array | "end" | NetworkError | undefined
  isReadable(): boolean
  trailers(): ReadonlyArray<HttpField>
  close(): void
  readonly waker: Waker
}

/** Is the grant under which a body moves still there? */
export type Guard = (call: CallContext, bytes: number) => NetworkError | undefined

export const failure = (error: NetworkError): StreamFailure => ({
  tag: "last-operation-failed",
  val: new HttpIoError(errorCodeOf(error), error.message),
})

/** Bytes a body keeps before it is known where it goes. */
const earlyBytesMax = httpChunkBytesMax

/** Rep of `outgoing-body`. */
export class OutgoingBody {
  readonly #declared: number | undefined
  readonly #limit: "requestBytesMax" | "responseBytesMax"
  readonly #bytesMax: number
  #written = 0
  #early: Array<Uint8Array> = []
  #earlyBytes = 0
  #sink: Sink | undefined
  #guard: Guard = () => undefined
  #error: NetworkError | undefined
  #isStreamTaken = false
  #state: "open" | "finished" | "dropped" = "open"
  #trailers: ReadonlyArray<HttpField> = []

  /** `declared`: what the header `content-length` says. */
  constructor(declared: number | undefined, limit: "requestBytesMax" | "responseBytesMax", bytesMax: number) {
    this.#declared = declared
    this.#limit = limit
    this.#bytesMax = bytesMax
  }

  /** Bytes of the whole body when they are known: declared, or because it was finished before it was sent. */
  get length(): number | undefined {
    return this.#declared ?? (this.#state === "finished" ? this.#written : undefined)
  }

  /** From here on what is written goes there, with what was written before. */
  attach(call: CallContext, sink: Sink, guard: Guard = () => undefined): void {
    this.#sink = sink
    this.#guard = guard
    for (const chunk of this.#early) sink.write(chunk)
    this.#letGo(call)
    if (this.#state === "finished") sink.end(this.#trailers)
    else if (this.#state === "dropped") sink.abort(this.#error)
  }

  #letGo(call: CallContext): void {
    hold(call, -this.#earlyBytes)
    this.#early = []
    this.#earlyBytes = 0
  }

  /** `write`: its one stream. */
  stream(): OutputStream | undefined {
    if (this.#isStreamTaken || this.#state !== "open") return undefined
    this.#isStreamTaken = true
    const waker: Waker = {
      wait: (ms) => (this.#sink?.waker ?? idle).wait?.(ms),
      changed: () => (this.#sink?.waker ?? idle).changed(),
    }
    return {
      ready: pending(waker, (call) => this.#room(call) !== 0),
      permit: (call) => {
        const room = this.#room(call)
        return typeof room === "number" ? ok(Math.min(room, chunkBytesMax)) : err(room)
      },
      write: (call, bytes) => this.#write(call, bytes),
      flush: (call) => {
        const room = this.#room(call)
        return typeof room === "number" ? done : err(room)
      },
    }
  }

  #room(call: CallContext): number | StreamFailure {
    if (this.#error !== undefined) return failure(this.#error)
    if (this.#state !== "open") return closed
    const room = this.#sink === undefined ? earlyBytesMax - this.#earlyBytes : this.#sink.room(call)
    if (typeof room === "number") return room
    this.#error = room
    return failure(room)
  }

  #write(call: CallContext, bytes: Uint8Array): Result<undefined, StreamFailure> {
    const denied = this.#guard(call, bytes.length)
    this.#written += bytes.length
    const max = Math.min(this.#bytesMax, this.#declared ?? Number.POSITIVE_INFINITY)
    const error = denied ?? (this.#written > max ? new NetworkError("Limit", { host: "the body", limit: this.#limit, unit: "bytes", max }) : undefined)
    if (error !== undefined) {
      this.#fail(error)
      return err(failure(error))
    }
    if (this.#sink !== undefined) this.#sink.write(bytes)
    else if (bytes.length > 0) {
      hold(call, bytes.length)
      this.#early.push(bytes.slice())
      this.#earlyBytes += bytes.length
    }
    return done
  }

  #fail(error: NetworkError): void {
    this.#error ??= error
    this.#sink?.abort(error)
  }

  /** A body shorter than it was declared is no body: "HTTP-request-body-size", as wasmtime answers. */
  finish(trailers: Fields | undefined): Result<undefined, ErrorCode> {
    if (this.#error !== undefined) return err(errorCodeOf(this.#error))
    if (this.#declared !== undefined && this.#written !== this.#declared) {
      const error = new NetworkError("Limit", { host: "the body", limit: this.#limit, unit: "bytes", max: this.#written })
      this.#state = "finished"
      this.#fail(error)
      return err(errorCodeOf(error))
    }
    this.#state = "finished"
    this.#trailers = trailers?.list() ?? []
    this.#sink?.end(this.#trailers)
    return done
  }

  /** "If the outgoing-body is dropped without calling finish, the body is incomplete" (wasi-http). */
  drop(call: CallContext): void {
    this.#letGo(call)
    if (this.#state !== "open") return
    this.#state = "dropped"
    this.#sink?.abort(this.#error)
  }
}

/** Rep of `incoming-body`. */
export class IncomingBody {
  readonly #source: Source
  readonly #guard: Guard
  #isStreamTaken = false
  #isFinished = false

  constructor(source: Source, guard: Guard) {
    this.#source = source
    this.#guard = guard
  }

  /** `stream`: once. */
  stream(): InputStream | undefined {
    if (this.#isStreamTaken) return undefined
    this.#isStreamTaken = true
    const source = this.#source
    return {
      ready: pending(source.waker, () => source.isReadable()),
      read: (call, countMax) => {
        if (countMax === 0) return ok(new Uint8Array())
        const denied = this.#guard(call, 0)
        if (denied !== undefined) {
          source.close()
          return err(failure(denied))
        }
        const chunk = source.read(Math.min(countMax, chunkBytesMax))
        if (chunk === undefined) return ok(new Uint8Array())
        if (chunk === "end") return err(closed)
        if (chunk instanceof NetworkError) return err(failure(chunk))
        this.#guard(call, chunk.length)
        return ok(chunk)
      },
    }
  }

  /** `finish`: what was not read is read and thrown away. */
  finish(): FutureTrailers {
    this.#isFinished = true
    return new FutureTrailers(this.#source)
  }

  drop(): void {
    if (!this.#isFinished) this.#source.close()
  }
}

/** Rep of `future-trailers`. */
export class FutureTrailers {
  readonly #source: Source
  #outcome: "end" | NetworkError | undefined
  #isTaken = false

  constructor(source: Source) {
    this.#source = source
  }

  get waker(): Waker {
    return this.#source.waker
  }

  isReady(): boolean {
    while (this.#outcome === undefined) {
      const chunk = this.#source.read(chunkBytesMax)
      if (chunk === undefined) return false
      if (chunk === "end" || chunk instanceof NetworkError) this.#outcome = chunk
    }
    return true
  }

  /** None while they are not there; an error the second time; else the trailers, if there are any. */
  get(): Result<Result<ReadonlyArray<HttpField> | undefined, ErrorCode>, undefined> | undefined {
    if (!this.isReady()) return undefined
    if (this.#isTaken) return err(undefined)
    this.#isTaken = true
    const outcome = this.#outcome
    if (outcome instanceof NetworkError) return ok(err(errorCodeOf(outcome)))
    const trailers = this.#source.trailers()
    return ok(ok(trailers.length === 0 ? undefined : trailers))
  }

  drop(): void {
    this.#source.close()
  }
}
