/**
 * A component that exports `wasi:http/incoming-handler` as a web-standard handler: `(request) => response`, to mount in a
 * hono app or any server that speaks `Request` and `Response`.
 *
 * Each request is one call, in an instance of its own unless the plugin was loaded otherwise, under the plugin's limits.
 * A guest that can wait, in a worker, a process or suspended, reads its request's body while it arrives and its response is
 * sent while it writes; each end waits for the other. One that holds the thread has the whole body before it starts, and its
 * answer goes out when it ends. Whoever asked learns the code of what went wrong and nothing else; the embedder is told all of it.
 */
import type { Answered, prepareIncoming } from "../../host/capability/http/incoming.ts"
import type { Arriving } from "../../host/capability/http/streamed.ts"
import type { HttpField } from "../../host/port/http.ts"
import { joined } from "../../host/port/port.ts"
import type { Plugin } from "../../host/plugin.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { NetworkError } from "../../schemas/error/network.ts"

export const handlerLimits = {
  /** Milliseconds of one call; the plugin's own `deadlineMs` where it is less. */
  deadlineMs: 10_000,
  /** Bytes of a request's body, and milliseconds until it is whole. */
  requestBytesMax: 1 << 20,
  bodyMs: 15_000,
  /** Bytes of a request's headers, names and values, and how many. */
  headerBytesMax: 32 << 10,
  headersMax: 128,
  /** Requests that are being answered at once. */
  requestsMax: 256,
} as const
export type HandlerLimits = { readonly [K in keyof typeof handlerLimits]: number }

export interface HandlerOptions extends Partial<HandlerLimits> {
  /** Told of every request that was not answered by the plugin, with the whole error. */
  readonly onError?: (error: unknown, request: Request) => void
}

const exportPattern = /^wasi:http\/incoming-handler@0\.2\.\d+#handle$/

const titles: Readonly<Record<number, string>> = {
  408: "The request came too slowly",
  413: "The request's body is too large",
  431: "The request's headers are too large",
  500: "The request could not be answered",
  502: "The plugin gave no answer",
  503: "Too many requests are being answered",
  504: "The answer took too long",
}

/** What is told to whoever asked: a status, a title of ours and a code. */
function problem(error: unknown): Response {
  const known = error instanceof SteleError ? error : undefined
  const status = statusOf(known)
  const body = { type: "about:blank", title: titles[status] ?? titles[500], status, ...(known === undefined ? {} : { code: known.code }) }
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...(status === 503 ? { "retry-after": "1" } : {}) },
  })
}

function statusOf(error: SteleError | undefined): number {
  if (error === undefined) return 500
  if (error instanceof NetworkError && error.reason._tag === "Limit") return error.reason.limit.startsWith("header") ? 431 : 413
  if (error instanceof NetworkError && error.reason._tag === "Timeout") return 408
  if (error.code === "STELE-LIM-0010") return 504
  // Every instance is busy, or the queue for one is full.
  if (error.code === "STELE-PLG-0004" || error._tag === "PoolError") return 503
  return error._tag === "NetworkError" && (error.status === 502 || error.status === 503) ? error.status : 500
}

const limit = (name: keyof HandlerLimits, unit: string, max: number): NetworkError => new NetworkError("Limit", { host: "the request", limit: name, unit, max })

function headersOf(headers: Headers, { headerBytesMax, headersMax }: HandlerLimits): ReadonlyArray<HttpField> {
  const fields: Array<HttpField> = []
  let bytes = 0
  for (const [name, value] of headers) {
    bytes += name.length + value.length + 4
    fields.push([name.toLowerCase(), value])
  }
  if (bytes > headerBytesMax) throw limit("headerBytesMax", "bytes", headerBytesMax)
  if (fields.length > headersMax) throw limit("headersMax", "headers", headersMax)
  return fields
}

async function bodyOf(request: Request, { requestBytesMax, bodyMs }: HandlerLimits): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array()
  const tooLong = limit("requestBytesMax", "bytes", requestBytesMax)
  // Only believed when it says too much.
  if (Number(request.headers.get("content-length") ?? 0) > requestBytesMax) {
    await request.body.cancel(tooLong).catch(() => undefined)
    throw tooLong
  }
  const reader = request.body.getReader()
  const late = new NetworkError("Timeout", { host: "the request", limit: "bodyMs", ms: bodyMs })
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<never>((_, reject) => (timer = setTimeout(reject, bodyMs, late)))
  const chunks: Array<Uint8Array> = []
  let length = 0
  try {
    for (;;) {
      const part = await Promise.race([reader.read(), timeout])
      if (part.done) break
      length += part.value.length
      if (length > requestBytesMax) throw tooLong
      chunks.push(part.value)
    }
  } catch (error) {
    void reader.cancel(error).catch(() => undefined)
    throw error
  } finally {
    clearTimeout(timer)
  }
  return joined(chunks)
}

/** Moves a body to its guest as it arrives. `bodyMs` is the time that is waited for the sender, all waits together. */
async function pump(request: Request, to: Arriving, { requestBytesMax, bodyMs }: HandlerLimits): Promise<void> {
  if (request.body === null) return to.end("end")
  const reader = request.body.getReader()
  let [bytes, leftMs] = [0, bodyMs]
  try {
    if (Number(request.headers.get("content-length") ?? 0) > requestBytesMax) throw limit("requestBytesMax", "bytes", requestBytesMax)
    while (await to.room()) {
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new NetworkError("Timeout", { host: "the request", limit: "bodyMs", ms: bodyMs })), leftMs)
      const startedMs = performance.now()
      const part = await Promise.race([reader.read(), late]).finally(() => clearTimeout(timer))
      leftMs -= performance.now() - startedMs
      if (part.done) return to.end("end")
      bytes += part.value.length
      if (bytes > requestBytesMax) throw limit("requestBytesMax", "bytes", requestBytesMax)
      to.push(part.value)
    }
    await reader.cancel()
  } catch (error) {
    const failure = error instanceof NetworkError ? error : new NetworkError("Broken", { host: "the request", detail: "its body ended before it was whole" })
    to.end(failure)
    void reader.cancel(failure).catch(() => undefined)
    throw failure
  }
}

/** Responses whose bodies are still being sent, and the ends of their calls. */
const sending = new WeakMap<Response, Promise<void>>()

/** Resolves when a response of `httpHandler` is whole, or will not be. */
export const whole = (response: Response): Promise<void> | undefined => sending.get(response)

function resolve(options: HandlerOptions): HandlerLimits {
  const { onError, ...given } = options
  if (onError !== undefined && typeof onError !== "function")
    throw new ConfigError("Option", { option: "onError", expected: "a function", actual: typeof onError })
  for (const [option, value] of Object.entries(given)) {
    if (!Object.hasOwn(handlerLimits, option)) throw new ConfigError("UnknownOption", { option, known: [...Object.keys(handlerLimits), "onError"] })
    if (value !== undefined && !(typeof value === "number" && value > 0))
      throw new ConfigError("Option", { option, expected: "a number above 0", actual: String(value) })
  }
  return { ...handlerLimits, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }
}

function sentHeaders(fields: ReadonlyArray<HttpField>): Headers {
  const headers = new Headers()
  for (const [field, value] of fields) headers.append(field, value)
  return headers
}

/** Statuses whose responses have no body (Fetch, "null body status"). */
const isBodyless = (status: number): boolean => status === 204 || status === 205 || status === 304

/**
 * The handler of a plugin.
 *
 *     const plugin = await host.load("./site.wasm", { grants: ["clock:wall"] })
 *     app.mount("/site", httpHandler(plugin))
 *
 * @throws NetworkError `NoHandler` when the plugin exports none; ConfigError for options
 */
export function httpHandler(plugin: Plugin, options: HandlerOptions = {}): (request: Request) => Promise<Response> {
  const limits = resolve(options)
  const { exports, digest, limits: own, mechanisms } = plugin.describe()
  const name = exports.find((one) => exportPattern.test(one.name))?.name
  if (name === undefined) throw new NetworkError("NoHandler", { plugin: digest })
  const deadlineMs = Math.min(limits.deadlineMs, own.deadlineMs)
  const canWait = mechanisms.isolation !== "inline" || mechanisms.wait !== "none"
  let running = 0

  async function answer(request: Request): Promise<Response> {
    if (running >= limits.requestsMax) throw new NetworkError("Overload", { max: limits.requestsMax })
    running++
    let end: Promise<void> | undefined
    try {
      const headers = headersOf(request.headers, limits)
      // Loaded with the plugin's imports already: this only names it.
      const { prepareIncoming } = await import("../../host/capability/http/incoming.ts")
      if (canWait) {
        const response = await stream(request, headers, prepareIncoming)
        end = whole(response)
        return response
      }
      const body = await bodyOf(request, limits)
      const incoming = prepareIncoming({ method: request.method, url: request.url, headers, body })
      await plugin.call(name as string, [...incoming.args], { deadlineMs, signal: request.signal })
      const { status, headers: fields, body: chunks } = incoming.answer()
      const isEmpty = request.method === "HEAD" || isBodyless(status)
      return new Response(isEmpty ? null : (joined(chunks) as Uint8Array<ArrayBuffer>), { status, headers: sentHeaders(fields) })
    } finally {
      if (end === undefined) running--
      else void end.then(() => running--)
    }
  }

  /** Answers with the first byte of what the guest writes. */
  async function stream(request: Request, headers: ReadonlyArray<HttpField>, prepare: typeof prepareIncoming): Promise<Response> {
    const { Arriving, Leaving } = await import("../../host/capability/http/streamed.ts")
    const [arriving, leaving] = [new Arriving(), new Leaving()]
    const { promise: head, resolve: begin, reject: fail } = Promise.withResolvers<{ readonly head: Omit<Answered, "body">; readonly hasBody: boolean }>()
    const incoming = prepare(
      { method: request.method, url: request.url, headers, body: arriving },
      { sink: leaving, begin: (before, hasBody) => void (hasBody ? leaving.begun : Promise.resolve()).then(() => begin({ head: before, hasBody })) },
    )
    // A body that is too long or too slow is the asker's fault, whatever the guest makes of it.
    pump(request, arriving, limits).catch(fail)
    const called = plugin.call(name as string, [...incoming.args], { deadlineMs, signal: request.signal }).then(() => void incoming.answer())
    called.catch(fail).finally(() => arriving.close())
    const {
      head: { status, headers: fields },
      hasBody,
    } = await head
    const isEmpty = request.method === "HEAD" || isBodyless(status) || !hasBody
    // Nobody is to read it: the guest is not to wait for that.
    if (isEmpty) void leaving.stream.pipeTo(new WritableStream()).catch(() => undefined)
    const response = new Response(isEmpty ? null : leaving.stream, { status, headers: sentHeaders(fields) })
    sending.set(
      response,
      called.then(
        () => leaving.end(),
        (error: unknown) => {
          // Too late for an answer that says so: what has been sent is cut.
          leaving.abort(error)
          options.onError?.(error, request)
        },
      ),
    )
    return response
  }

  return async (request) => {
    try {
      return await answer(request)
    } catch (error) {
      options.onError?.(error, request)
      return problem(error)
    }
  }
}
