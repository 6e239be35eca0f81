/**
 * A whole request for those who know no streams: sent, redirects followed, the answer gathered. Every hop is resolved,
 * judged and granted as if it were the first; what belongs to one origin is not carried to another.
 */
import { NetworkError } from "../../../schemas/error/network.ts"
import type { Awaitable, HttpField, HttpLimits } from "../../port/mod.ts"
import { joined } from "../../port/port.ts"
import type { CallContext } from "../capability.ts"
import { blockFor, pending, waitFor } from "../io.ts"
import { flow, type Steps, wait } from "../serve.ts"
import { targetOf } from "../network/target.ts"
import { openExchange } from "./outgoing.ts"

export interface WholeRequest {
  readonly method: string
  readonly url: string
  readonly headers: ReadonlyArray<HttpField>
  readonly body: Uint8Array
}

export interface WholeResponse {
  readonly status: number
  readonly headers: ReadonlyArray<HttpField>
  readonly body: Uint8Array
  /** Where the answer came from, after redirects. */
  readonly url: string
}

export interface WholeOptions {
  /** The import on whose behalf it is, for messages. */
  readonly import: string
  /** Limits below those of the port. */
  readonly limits?: Partial<HttpLimits>
  /** False hands a redirect on as it is. */
  readonly follows?: boolean
}

/** Headers for one origin's eyes (Fetch §4.4, and what it leaves to cookies). */
const credentials: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"])
const ofBody: ReadonlySet<string> = new Set(["content-type", "content-length", "content-encoding", "content-language", "content-location"])

/**
 * The request that a redirect asks for; undefined when it asks for none. RFC 9110 §15.4: 303 becomes a GET, and so does
 * a POST after 301 or 302, as every client does.
 */
export function redirected(request: WholeRequest, status: number, location: string | undefined): WholeRequest | undefined {
  if (location === undefined || ![301, 302, 303, 307, 308].includes(status)) return undefined
  const from = targetOf(request.url)
  const to = URL.parse(location, request.url)
  const target = to === null ? undefined : targetOf(to.href)
  if (from === undefined || to === null || target === undefined)
    throw new NetworkError("Url", { url: location.slice(0, 200), detail: "it is a redirect to something else than an http or https URL without credentials" })
  // A page fetched in secret does not go on in the open.
  if (from.scheme === "https" && target.scheme === "http")
    throw new NetworkError("Url", { url: location.slice(0, 200), detail: "it is a redirect from https to http" })
  const isGet = status === 303 ? request.method !== "HEAD" : (status === 301 || status === 302) && request.method === "POST"
  const isOther = from.scheme !== target.scheme || from.authority !== target.authority
  return {
    method: isGet ? "GET" : request.method,
    url: target.url,
    headers: request.headers.filter(([name]) => {
      const own = name.toLowerCase()
      return !(isOther && credentials.has(own)) && !(isGet && ofBody.has(own))
    }),
    body: isGet ? new Uint8Array() : request.body,
  }
}

/** How a thread waits: `blockFor`, or `waitFor` where it may answer later. */
type Waiting = typeof blockFor | typeof waitFor

/** One hop: undefined body where a redirect is followed, since nobody reads it. */
function* hop(
  call: CallContext,
  request: WholeRequest,
  options: WholeOptions,
  waiting: Waiting,
  wantsBody: (status: number, location: string | undefined) => boolean,
): Steps<Omit<WholeResponse, "url"> & { readonly location: string | undefined }> {
  const { exchange, guard, target } = openExchange(call, {
    method: request.method,
    url: request.url,
    headers: request.headers,
    bodyBytes: request.body.length,
    decompress: true,
    limits: options.limits ?? {},
  })
  try {
    const until = (isReady: () => boolean): Steps<void> => wait(waiting(call, [pending(exchange.waker, isReady)], options.import))
    const { requestBytesMax } = call.ports.http.limits
    if (request.body.length > requestBytesMax)
      throw new NetworkError("Limit", { host: target.authority, limit: "requestBytesMax", unit: "bytes", max: requestBytesMax })
    for (let at = 0; at < request.body.length && exchange.head() === undefined;) {
      yield* until(() => exchange.room() !== 0 || exchange.head() !== undefined)
      const room = exchange.room()
      if (room instanceof NetworkError) throw room
      const part = request.body.subarray(at, at + room)
      guard(call, part.length)
      exchange.write(part)
      at += part.length
    }
    if (request.body.length > 0) exchange.end()
    yield* until(() => exchange.head() !== undefined)
    const head = exchange.head()
    if (head === undefined || head instanceof NetworkError) throw head
    const location = head.headers.find(([name]) => name === "location")?.[1]
    const chunks: Array<Uint8Array> = []
    while (wantsBody(head.status, location)) {
      // Also where there is always something: nobody else looks at the clock meanwhile.
      if (call.remainingMs() <= 0) throw call.expired()
      yield* until(() => exchange.isReadable())
      const chunk = exchange.read(256 << 10)
      if (chunk === undefined) continue
      if (chunk === "end") break
      if (chunk instanceof NetworkError) throw chunk
      const denied = guard(call, chunk.length)
      if (denied !== undefined) throw denied
      chunks.push(chunk)
    }
    return { ...head, location, body: joined(chunks) }
  } finally {
    exchange.close()
  }
}

/** Sends a request and gathers its answer. */
function* whole(call: CallContext, request: WholeRequest, options: WholeOptions, waiting: Waiting): Steps<WholeResponse> {
  const { redirectsMax } = { ...call.ports.http.limits, ...options.limits }
  const follows = options.follows !== false
  let current = request
  for (let redirects = 0; ; redirects++) {
    const asked = current
    const { status, headers, body, location } = yield* hop(
      call,
      asked,
      options,
      waiting,
      (code, where) => !follows || where === undefined || redirected(asked, code, where) === undefined,
    )
    const next = follows ? redirected(asked, status, location) : undefined
    if (next === undefined) return { status, headers, body, url: asked.url }
    if (redirects >= redirectsMax)
      throw new NetworkError("Limit", { host: new URL(next.url).host, limit: "redirectsMax", unit: "redirects", max: redirectsMax })
    current = next
  }
}

type Sender<R> = (call: CallContext, request: WholeRequest, options: WholeOptions) => R

const sender = (waiting: Waiting): unknown => flow((call, request, options) => whole(call, request, options, waiting))

/**
 * Sends a request and gathers its answer, on this thread, within the call's deadline. The body comes decompressed.
 * @throws NetworkError for all that can go wrong on the way; CapabilityError `Denied` where no grant covers a URL, of a redirect too
 */
export const sendWhole = sender(blockFor) as Sender<WholeResponse>

/** The same without blocking this thread where the call may wait: a promise when the network has to be waited for. */
export const sendWholeLater = sender(waitFor) as Sender<Awaitable<WholeResponse>>
