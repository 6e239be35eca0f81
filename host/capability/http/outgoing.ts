/** Requests that leave, for every interface that makes them: the grant is asked, the target read, the exchange opened and counted. */
import { NetworkError } from "../../../schemas/error/network.ts"
import { SteleError } from "../../../schemas/error/family.ts"
import type { HttpExchange, HttpField, HttpLimits } from "../../port/mod.ts"
import type { CallContext } from "../capability.ts"
import { PerInstance } from "../per-instance.ts"
import { isForbiddenMethod, token } from "../http.ts"
import { type Target, targetOf } from "../network/target.ts"
import type { Guard, Source } from "./body.ts"
import { isForbiddenField } from "./fields.ts"

/** Exchanges of one plugin instance that are open at once. */
export const exchangesMax = 16

const open = new PerInstance<{ count: number }>()

export interface Sending {
  readonly method: string
  readonly url: string
  readonly headers: ReadonlyArray<HttpField>
  readonly bodyBytes: number | undefined
  readonly decompress: boolean
  readonly limits: Partial<HttpLimits>
}

export type Opened = HttpExchange & Source

/** How a grant is asked for: by what it would have to name. */
export const grantFor = (method: string, { url }: Target): string => `http:${method}:${url}`

/** Is a body under this grant still to be moved? Counts what was. */
const guardOf =
  (method: string, target: Target): Guard =>
  (call, bytes) => {
    const grant = call.grants.match(`http:${method}`, target.key)
    if (grant === undefined) {
      call.denied(grantFor(method, target))
      return new NetworkError("Broken", { host: target.authority, detail: "its grant was taken back" })
    }
    if (bytes > 0) call.used(grant, bytes)
    return undefined
  }

/**
 * Opens an exchange that is granted.
 * @throws NetworkError `Url`, `Field`, `Limit`; the denial where nothing grants it
 */
export function openExchange(call: CallContext, sending: Sending): { readonly exchange: Opened; readonly guard: Guard; readonly target: Target } {
  const { method, url } = sending
  const { http } = call.ports
  const target = targetOf(url)
  const shown = url.slice(0, 200)
  if (target === undefined) throw new NetworkError("Url", { url: shown, detail: "it is not an http or https URL with a host and without credentials" })
  if (!token.test(method) || isForbiddenMethod(method)) throw new NetworkError("Url", { url: shown, detail: `the method "${method.slice(0, 40)}" is not sent` })
  let headerBytes = 0
  for (const [name, value] of sending.headers) {
    headerBytes += name.length + value.length + 4
    // oxlint-disable-next-line no-control-regex
    if (!token.test(name) || /[^\t\u0020-\u007e\u0080-\u00ff]/.test(value))
      throw new NetworkError("Field", { name: name.slice(0, 100), detail: "it is malformed" })
    if (isForbiddenField(name.toLowerCase())) throw new NetworkError("Field", { name, detail: "it belongs to the connection" })
  }
  const { headerBytesMax, headersMax } = http.limits
  if (headerBytes > headerBytesMax) throw new NetworkError("Limit", { host: target.authority, limit: "headerBytesMax", unit: "bytes", max: headerBytesMax })
  if (sending.headers.length > headersMax) throw new NetworkError("Limit", { host: target.authority, limit: "headersMax", unit: "headers", max: headersMax })
  const grant = call.grants.match(`http:${method}`, target.key)
  if (grant === undefined) throw call.denied(grantFor(method, target))
  const headers = sending.headers.map(([name, value]): HttpField => [name.toLowerCase(), value])
  const { trace } = call
  // A guest that takes part in a trace by itself says so itself. What a vendor keeps in `tracestate` is nobody's here.
  if (trace !== undefined && !headers.some(([name]) => name === "traceparent"))
    headers.push(["traceparent", `00-${trace.traceId}-${trace.spanId}-0${Number(trace.isSampled)}`])
  let counted = open.get(call)
  if (counted === undefined) open.set(call, (counted = { count: 0 }))
  const counter = counted
  if (counter.count >= exchangesMax) throw new NetworkError("Limit", { host: target.authority, limit: "exchangesMax", unit: "exchanges", max: exchangesMax })
  call.used(grant, 0)
  counter.count++
  const limits: Record<string, number> = { ...http.limits }
  for (const [name, value] of Object.entries(sending.limits)) limits[name] = Math.min(value, limits[name] as number)
  // Nobody is there for an answer after the call; a day is the longest that the timers of every platform take.
  limits["exchangeMs"] = Math.max(1, Math.min(limits["exchangeMs"] as number, call.remainingMs(), 86_400_000))
  const exchange = http.open({
    method,
    url: target.url,
    isAddress: target.address !== undefined,
    headers,
    bodyBytes: sending.bodyBytes,
    decompress: sending.decompress,
    limits: limits as unknown as HttpLimits,
  })
  let isOpen = true
  const opened: Opened = {
    head: () => exchange.head(),
    read: (countMax) => exchange.read(countMax),
    isReadable: () => exchange.isReadable(),
    trailers: () => exchange.trailers(),
    room: () => exchange.room(),
    write: (bytes) => exchange.write(bytes),
    end: (trailers) => exchange.end(trailers),
    close() {
      if (isOpen) counter.count--
      isOpen = false
      exchange.close()
    },
    waker: http.waker,
  }
  return { exchange: opened, guard: guardOf(method, target), target }
}

/** A failure of an operation on the network as itself; anything else is thrown on. */
export function networkError(error: unknown): NetworkError {
  if (error instanceof NetworkError) return error
  throw error
}

/** Was it a denial, which has been counted? */
export const isDenial = (error: unknown): boolean => error instanceof SteleError && error.code === "STELE-CAP-0004"
