/** Requests and responses of `wasi:http/types`, in both directions. */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { HttpExchange, HttpHead } from "../../port/mod.ts"
import type { Waker } from "../../port/waker.ts"
import type { CallContext } from "../capability.ts"
import { isForbiddenMethod, token } from "../http.ts"
import { err, ok, type Result } from "../serve.ts"
import { type Guard, IncomingBody, OutgoingBody, type Source } from "./body.ts"
import { type ErrorCode, errorCodeOf } from "./error-code.ts"
import { Fields } from "./fields.ts"

export interface Method {
  readonly tag: string
  readonly val?: string
}
const named: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])

export const methodOf = (name: string): Method => (named.has(name) ? { tag: name.toLowerCase() } : { tag: "other", val: name })
export const methodName = ({ tag, val }: Method): string => (tag === "other" ? (val as string) : tag.toUpperCase())

export interface Scheme {
  readonly tag: "HTTP" | "HTTPS" | "other"
  readonly val?: string
}

const fail = err(undefined)
const fine = ok(undefined)
type Outcome = Result<undefined, undefined>

/** The length that headers declare: a number, none, or one that is no number. */
export function declaredLength(headers: Fields): number | undefined | "invalid" {
  const values = headers.get("content-length").map((bytes) => String.fromCharCode(...bytes))
  const [first] = values
  if (first === undefined) return undefined
  return values.every((value) => value === first) && /^\d{1,15}$/.test(first) ? Number(first) : "invalid"
}

/** Rep of `outgoing-request`. */
export class OutgoingRequest {
  readonly headers: Fields
  method = "GET"
  pathWithQuery: string | undefined
  scheme: Scheme | undefined
  authority: string | undefined
  outgoing: OutgoingBody | undefined

  constructor(headers: Fields) {
    headers.isImmutable = true
    this.headers = headers
  }

  setMethod(method: Method): Outcome {
    const name = methodName(method)
    if (!token.test(name)) return fail
    this.method = name
    return fine
  }

  setPath(path: string | undefined): Outcome {
    // An origin-form target (RFC 9112 §3.2.1): no fragment, nothing that a request line could not hold.
    if (path !== undefined && !/^(?:[/?][!-~\u0080-\uffff]*|)$/.test(path.replaceAll("#", " "))) return fail
    this.pathWithQuery = path
    return fine
  }

  setScheme(scheme: Scheme | undefined): Outcome {
    if (scheme?.tag === "other" && !/^[a-z][a-z0-9+.-]*$/i.test(scheme.val ?? "")) return fail
    this.scheme = scheme
    return fine
  }

  setAuthority(authority: string | undefined): Outcome {
    if (authority !== undefined && (/[/?#\\@\s]/.test(authority) || !URL.canParse(`http://${authority}/`))) return fail
    this.authority = authority
    return fine
  }

  body(call: CallContext): Result<OutgoingBody, undefined> {
    if (this.outgoing !== undefined) return fail
    const length = declaredLength(this.headers)
    this.outgoing = new OutgoingBody(length === "invalid" ? undefined : length, "requestBytesMax", call.ports.http.limits.requestBytesMax)
    return ok(this.outgoing)
  }

  /** The whole URL; undefined where there is none to send to. */
  url(): string | undefined {
    if (this.authority === undefined || this.scheme?.tag === "other") return undefined
    return `${this.scheme?.tag === "HTTP" ? "http" : "https"}://${this.authority}${this.pathWithQuery ?? "/"}`
  }

  get isForbidden(): boolean {
    return isForbiddenMethod(this.method)
  }
}

/** Rep of `request-options`: nanoseconds. */
export class RequestOptions {
  connectTimeout: bigint | undefined
  firstByteTimeout: bigint | undefined
  betweenBytesTimeout: bigint | undefined
}

/** Rep of `incoming-response`. */
export class IncomingResponse {
  readonly status: number
  readonly headers: Fields
  readonly #source: Source
  readonly #guard: Guard
  #isConsumed = false

  constructor({ status, headers }: HttpHead, source: Source, guard: Guard) {
    this.status = status
    this.headers = Fields.received(headers)
    this.#source = source
    this.#guard = guard
  }

  consume(): Result<IncomingBody, undefined> {
    if (this.#isConsumed) return fail
    this.#isConsumed = true
    return ok(new IncomingBody(this.#source, this.#guard))
  }

  drop(): void {
    if (!this.#isConsumed) this.#source.close()
  }
}

/** Rep of `future-incoming-response`. */
export class FutureIncomingResponse {
  readonly #exchange: HttpExchange & Source
  readonly #guard: Guard
  #isTaken = false

  constructor(exchange: HttpExchange & Source, guard: Guard) {
    this.#exchange = exchange
    this.#guard = guard
  }

  get waker(): Waker {
    return this.#exchange.waker
  }

  isReady(): boolean {
    return this.#exchange.head() !== undefined
  }

  get(): Result<Result<IncomingResponse, ErrorCode>, undefined> | undefined {
    const head = this.#exchange.head()
    if (head === undefined) return undefined
    if (this.#isTaken) return fail
    this.#isTaken = true
    if (head instanceof NetworkError) {
      this.#exchange.close()
      return ok(err(errorCodeOf(head)))
    }
    return ok(ok(new IncomingResponse(head, this.#exchange, this.#guard)))
  }

  drop(): void {
    if (!this.#isTaken) this.#exchange.close()
  }
}

/** Rep of `incoming-request`. */
export class IncomingRequest {
  readonly method: Method
  readonly pathWithQuery: string | undefined
  readonly scheme: Scheme | undefined
  readonly authority: string | undefined
  readonly headers: Fields
  readonly #source: Source
  #isConsumed = false

  constructor(
    given: { readonly method: string; readonly pathWithQuery: string; readonly scheme: Scheme; readonly authority: string; readonly headers: Fields },
    source: Source,
  ) {
    this.method = methodOf(given.method)
    this.pathWithQuery = given.pathWithQuery
    this.scheme = given.scheme
    this.authority = given.authority
    this.headers = given.headers
    this.#source = source
  }

  consume(): Result<IncomingBody, undefined> {
    if (this.#isConsumed) return fail
    this.#isConsumed = true
    return ok(new IncomingBody(this.#source, () => undefined))
  }

  drop(): void {
    if (!this.#isConsumed) this.#source.close()
  }
}

/** Rep of `outgoing-response`. */
export class OutgoingResponse {
  readonly headers: Fields
  status = 200
  outgoing: OutgoingBody | undefined

  constructor(headers: Fields) {
    headers.isImmutable = true
    this.headers = headers
  }

  setStatus(status: number): Outcome {
    // Interim answers are sent by `send-informational`, which is unstable and not served.
    if (status < 200 || status > 599) return fail
    this.status = status
    return fine
  }

  body(call: CallContext): Result<OutgoingBody, undefined> {
    if (this.outgoing !== undefined) return fail
    const length = declaredLength(this.headers)
    this.outgoing = new OutgoingBody(length === "invalid" ? undefined : length, "responseBytesMax", call.ports.http.limits.responseBytesMax)
    return ok(this.outgoing)
  }
}

/** Rep of `response-outparam`: whoever made the request waits for it. */
export class ResponseOutparam {
  readonly #answer: (call: CallContext, response: Result<OutgoingResponse, ErrorCode>) => void
  constructor(answer: (call: CallContext, response: Result<OutgoingResponse, ErrorCode>) => void) {
    this.#answer = answer
  }

  set(call: CallContext, response: Result<OutgoingResponse, ErrorCode>): void {
    this.#answer(call, response)
  }
}
