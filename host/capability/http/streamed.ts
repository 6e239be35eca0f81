/** Bodies that move while their guest runs: a request's that is still arriving, and a response's whose beginning is being sent. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { HttpField } from "../../port/mod.ts"
import type { Waker } from "../../port/waker.ts"
import type { Sink, Source } from "./body.ts"

/** Bytes that lie between a guest and whoever is at the other end, before the one that gives has to wait. */
export const windowBytes = 64 << 10

/** Tells those who wait that something has happened. None blocks for it: it happens on this thread. */
class Bell implements Waker {
  #waiting: Array<() => void> = []

  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  ring(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

const broken = (detail: string): NetworkError => new NetworkError("Broken", { host: "the other end", detail })

/** A request's body. */
export class Arriving implements Source {
  readonly waker = new Bell()
  readonly #taken = new Bell()
  readonly #chunks: Array<Uint8Array> = []
  #bytes = 0
  #end: "end" | NetworkError | undefined
  #isClosed = false

  push(bytes: Uint8Array): void {
    if (this.#isClosed || bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#bytes += bytes.length
    this.waker.ring()
  }

  /** It is whole, or will never be. */
  end(how: "end" | NetworkError): void {
    this.#end ??= how
    this.waker.ring()
  }

  /** Resolves when there is room for more: true, or false when nobody reads it any more. */
  async room(): Promise<boolean> {
    while (this.#bytes >= windowBytes && !this.#isClosed) await this.#taken.changed()
    return !this.#isClosed
  }

  isReadable(): boolean {
    return this.#chunks.length > 0 || this.#end !== undefined
  }

  read(countMax: number): Uint8Array | "end" | NetworkError | undefined {
    const chunk = this.#chunks[0]
    if (chunk === undefined) return this.#end
    if (chunk.length > countMax) this.#chunks[0] = chunk.subarray(countMax)
    else this.#chunks.shift()
    const part = chunk.slice(0, countMax)
    this.#bytes -= part.length
    this.#taken.ring()
    return part
  }

  trailers(): ReadonlyArray<HttpField> {
    return []
  }

  close(): void {
    this.#isClosed = true
    this.#chunks.length = this.#bytes = 0
    this.#taken.ring()
  }
}

/** A response's body, and the stream that it is sent from. */
export class Leaving implements Sink {
  readonly waker = new Bell()
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>
  #state: "open" | "ended" | "gone" = "open"
  readonly #begun = Promise.withResolvers<void>()
  /** Resolves with its first byte, or its end without one: until then nothing need be sent of a response that comes to nothing. */
  readonly begun: Promise<void> = this.#begun.promise

  constructor() {
    this.stream = new ReadableStream(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.waker.ring(),
        cancel: () => {
          this.#state = "gone"
          this.waker.ring()
        },
      },
      { highWaterMark: windowBytes, size: (chunk) => chunk?.length ?? 0 },
    )
  }

  room(): number | NetworkError {
    if (this.#state !== "open") return broken("nobody reads the response any more")
    return Math.max(0, this.#controller.desiredSize ?? 0)
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== "open" || bytes.length === 0) return
    this.#controller.enqueue(bytes.slice())
    this.#begun.resolve()
  }

  end(): void {
    if (this.#state !== "open") return
    this.#state = "ended"
    this.#controller.close()
    this.#begun.resolve()
  }

  /** Whoever reads learns that it is not whole. */
  abort(error: unknown = broken("the response's body was left unfinished")): void {
    if (this.#state !== "open") return
    this.#state = "gone"
    this.#controller.error(error)
    this.waker.ring()
  }
}
