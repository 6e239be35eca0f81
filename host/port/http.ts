/**
 * HTTP as a plugin's requests leave: one exchange each, which never blocks. Whether a request is granted was decided
 * before; a port decides whether the addresses it finds may be reached, and follows no redirect.
 */
import { NetworkError } from "../../schemas/error/network.ts"
import { joined, limitsFrom } from "./port.ts"
import { idle, type Waker } from "./waker.ts"

/** Name as sent, lower case; value as bytes, one to a character (Latin-1). */
export type HttpField = readonly [name: string, value: string]

export const httpLimits = {
  /** Bytes of one header or trailer section, names and values. */
  headerBytesMax: 64 << 10,
  /** Fields of one section. */
  headersMax: 256,
  requestBytesMax: 16 << 20,
  responseBytesMax: 16 << 20,
  /** Bytes that a compressed body may become. */
  decompressedBytesMax: 64 << 20,
  redirectsMax: 5,
  /** Milliseconds to find and connect, until the first byte of an answer, between two bytes, and for all of it. */
  connectMs: 10_000,
  firstByteMs: 30_000,
  betweenBytesMs: 15_000,
  exchangeMs: 120_000,
} as const
export type HttpLimits = { readonly [K in keyof typeof httpLimits]: number }

export interface HttpRequest {
  readonly method: string
  /** Canonical, absolute, `http:` or `https:`, without credentials or fragment. */
  readonly url: string
  /** The host of the URL is an address, which is granted by its name: reached whatever it is. */
  readonly isAddress: boolean
  /** Without `host`, `connection` and what else is the port's to say. */
  readonly headers: ReadonlyArray<HttpField>
  /** Bytes of the body where they are known, 0 for none; undefined: written as it comes, until `end`. */
  readonly bodyBytes: number | undefined
  /** Undo `content-encoding` on the way in. */
  readonly decompress: boolean
  readonly limits: HttpLimits
}

export interface HttpHead {
  readonly status: number
  readonly headers: ReadonlyArray<HttpField>
}

/** One request and its answer. Every method answers at once with how things are now; a `NetworkError` is final. */
export interface HttpExchange {
  /** The head of the answer; undefined while there is none. */
  head(): HttpHead | NetworkError | undefined
  /** 1 to `countMax` bytes of the answer's body, "end" after the last, undefined while there are none. */
  read(countMax: number): Uint8Array | "end" | NetworkError | undefined
  /** Would `read` answer with something? */
  isReadable(): boolean
  /** Trailers, after "end". */
  trailers(): ReadonlyArray<HttpField>
  /** Bytes that the request's body takes now. */
  room(): number | NetworkError
  /** At most `room()` bytes, copied. */
  write(bytes: Uint8Array): void
  end(trailers?: ReadonlyArray<HttpField>): void
  /** Gives it up: nothing of it stays. More than once does nothing. */
  close(): void
}

export interface HttpPort {
  /** True when every address is judged before it is connected to; false where the platform hides them, as browsers do. */
  readonly isGuarded: boolean
  readonly limits: HttpLimits
  open(request: HttpRequest): HttpExchange
  readonly waker: Waker
}

export interface HttpAnswer {
  readonly status?: number
  readonly headers?: ReadonlyArray<HttpField>
  readonly body?: Uint8Array | string
  readonly trailers?: ReadonlyArray<HttpField>
}

/** Bytes that an exchange takes or gives at once. */
export const httpChunkBytesMax = 64 << 10

/**
 * HTTP inside this process: `answer` is asked when a request is complete and answers at once, or throws a `NetworkError`.
 * Without it there is no network: every request fails.
 */
export function memoryHttp(
  answer?: (request: HttpRequest, body: Uint8Array) => HttpAnswer,
  limits: Partial<HttpLimits> = {},
): HttpPort & { readonly requests: ReadonlyArray<HttpRequest> } {
  const requests: Array<HttpRequest> = []
  return {
    isGuarded: true,
    limits: limitsFrom("http", httpLimits as HttpLimits, limits),
    waker: idle,
    requests,
    open(request) {
      requests.push(request)
      return memoryExchange(request, answer)
    },
  }
}

function memoryExchange(request: HttpRequest, answer: ((request: HttpRequest, body: Uint8Array) => HttpAnswer) | undefined): HttpExchange {
  const chunks: Array<Uint8Array> = []
  let outcome: HttpHead | NetworkError | undefined
  let body: Uint8Array = new Uint8Array()
  let trailers: ReadonlyArray<HttpField> = []
  let at = 0
  const end = (): void => {
    if (outcome !== undefined) return
    try {
      if (answer === undefined) throw new NetworkError("Unreachable", { host: new URL(request.url).host, detail: "this host has no network" })
      const given = answer(request, joined(chunks))
      body = typeof given.body === "string" ? new TextEncoder().encode(given.body) : (given.body ?? body)
      trailers = given.trailers ?? []
      outcome = { status: given.status ?? 200, headers: given.headers ?? [] }
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error
      outcome = error
    }
  }
  if (request.bodyBytes === 0) end()
  return {
    head: () => outcome,
    isReadable: () => outcome !== undefined,
    read(countMax) {
      if (outcome === undefined || outcome instanceof NetworkError) return outcome
      if (at >= body.length) return "end"
      const chunk = body.slice(at, at + countMax)
      at += chunk.length
      return chunk
    },
    trailers: () => trailers,
    room: () => (outcome instanceof NetworkError ? outcome : httpChunkBytesMax),
    write(bytes) {
      chunks.push(bytes.slice())
    },
    end,
    close() {
      outcome ??= new NetworkError("Unreachable", { host: new URL(request.url).host, detail: "it was given up" })
    },
  }
}
