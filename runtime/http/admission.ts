/** Who may ask a service that has a token for each, and how often. */
import { HttpError } from "../../schemas/error/http.ts"
import { InFlight } from "./in-flight.ts"
import { addressKey, Buckets } from "./rate.ts"
import { checkHeaderBytes } from "./refusal.ts"
import { type Peer } from "./service.ts"
import { checkTokens, tokenFinder } from "./token.ts"

export interface AdmissionLimits {
  /** Bytes of a request's headers. */
  readonly headerBytesMax: number
  /** Requests that are answered at a time. */
  readonly requestsMax: number
  /** Requests a second with one token, and at once after a pause. */
  readonly tokenRate: number
  readonly tokenBurst: number
  /** Requests a second from one address, and at once after a pause. */
  readonly addressRate: number
  readonly addressBurst: number
}

export type AddressOf = (request: Request, peer: Peer) => string | undefined

export class Admission {
  /** Who admits says when a request begins and ends. */
  readonly inFlight = new InFlight()
  readonly #limits: AdmissionLimits
  readonly #addressOf: AddressOf
  readonly #find: (header: string | null) => number
  readonly #tokenBuckets: Buckets
  readonly #addressBuckets: Buckets

  /** @throws ConfigError for tokens of which one is none */
  constructor(tokens: ReadonlyArray<string>, limits: AdmissionLimits, addressOf: AddressOf = (_, { address }) => address) {
    checkTokens("tokens", tokens)
    this.#limits = limits
    this.#addressOf = addressOf
    this.#find = tokenFinder(tokens)
    this.#tokenBuckets = new Buckets({ perSecond: limits.tokenRate, burst: limits.tokenBurst })
    this.#addressBuckets = new Buckets({ perSecond: limits.addressRate, burst: limits.addressBurst })
  }

  /** The place of the token that a request has. @throws HttpError for what keeps it from being answered */
  admit(request: Request, peer: Peer): number {
    const limits = this.#limits
    if (peer.isBounded !== true) checkHeaderBytes(request.headers, limits.headerBytesMax)
    if (this.inFlight.isDraining) throw new HttpError("Draining", {})
    const nowMs = performance.now()
    const address = this.#addressOf(request, peer)
    if (address !== undefined) {
      const waitMs = this.#addressBuckets.take(addressKey(address), nowMs)
      if (waitMs > 0) throw new HttpError("Rate", { whose: "address", perSecond: limits.addressRate, waitMs })
    }
    const place = this.#find(request.headers.get("authorization"))
    if (place < 0) throw new HttpError("Unauthorized", {})
    const waitMs = this.#tokenBuckets.take(String(place), nowMs)
    if (waitMs > 0) throw new HttpError("Rate", { whose: "token", perSecond: limits.tokenRate, waitMs })
    if (this.inFlight.count > limits.requestsMax) throw new HttpError("Busy", { limit: limits.requestsMax })
    return place
  }
}
