/**
 * A service on a socket, on Node, Deno or Bun, and its end: who asks while it ends is told so, and what it has begun is
 * answered. Each engine's own server, with bounds on headers, slow clients and connections where it has them.
 */
import { ConfigError } from "../../schemas/error/config.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { problemOf } from "./problem.ts"
import type { Peer, Service } from "./service.ts"

/** What answers: a service, or anything that ends as one does. */
export interface Servable extends Pick<Service, "fetch" | "drain"> {
  readonly limits: Pick<Service["limits"], "headerBytesMax" | "bodyMs" | "bodyBytesMax" | "componentBytesMax">
}

export interface ServeOptions {
  /** Default 127.0.0.1: this machine alone. */
  readonly hostname?: string
  /** Default 4747; 0 is any that is free. */
  readonly port?: number
  /** How long requests may go on once the server ends, in ms; default 10,000. */
  readonly graceMs?: number
  /** How long it says that it ends before it stops to listen, in ms; default 250. */
  readonly noticeMs?: number
  /** Connections at a time; default 1,024. Only where the engine counts them: Node. */
  readonly connectionsMax?: number
}

export interface Server {
  readonly url: string
  readonly hostname: string
  readonly port: number
  /** Ends it as SIGTERM does: resolves when nobody is connected any more. False when something had to be cut off. */
  close(): Promise<boolean>
  /** Ends it now: what is under way is cut off. */
  destroy(): void
  [Symbol.asyncDispose](): Promise<void>
}

export const defaultPort = 4747

/** What one engine's server can do. */
interface Listener {
  readonly port: number
  /** Takes no more connections; resolves when the last is gone. */
  stop(): Promise<void>
  destroy(): void
}

/** How long connections that were made before the end may take to send a request, in ms. */
const lastMs = 200

type Answer = (request: Request, peer: Peer) => Promise<Response>

const count = (option: string, value: number | undefined, otherwise: number, max: number): number => {
  if (value === undefined) return otherwise
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new ConfigError("Option", { option, expected: `a whole number from 0 to ${max}`, actual: String(value) })
  return value
}

/** An error as the bytes of an answer, for connections whose request no handler has seen. */
function rawAnswer(error: HttpError): string {
  const body = JSON.stringify(problemOf(error, ""))
  const text = { 400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable" }[error.status] ?? "Error"
  const retry = error.isRetryable ? "retry-after: 1\r\n" : ""
  return `HTTP/1.1 ${error.status} ${text}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n${retry}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

async function listenNode(answer: Answer, service: Servable, hostname: string, port: number, connectionsMax: number): Promise<Listener> {
  const { getRequestListener } = await import("@hono/node-server")
  const { createServer } = process.getBuiltinModule("node:http")
  const { Server: Socket } = process.getBuiltinModule("node:net")
  const { headerBytesMax, bodyMs } = service.limits
  const malformed = (detail: string): Response => {
    const error = new HttpError("Malformed", { detail })
    return new Response(JSON.stringify(problemOf(error, "")), {
      status: error.status,
      headers: { "content-type": "application/problem+json", connection: "close" },
    })
  }
  const listener = getRequestListener(
    (request, { incoming }) => answer(request, { address: incoming.socket.remoteAddress, isBounded: true }),
    // Of what is no request to a web-standard handler: a target or host that is no URL.
    { errorHandler: (error) => malformed(error instanceof Error ? error.message : "it is not one") },
  )
  const refused = new WeakSet<object>()
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      headersTimeout: Math.min(bodyMs, 10_000),
      // The service itself answers for slow bodies; this is for what it does not wait for any more.
      requestTimeout: bodyMs + 1_000,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 5_000,
      insecureHTTPParser: false,
      // Refused below, with a body that says why.
      requireHostHeader: false,
    },
    (incoming, outgoing) => {
      const { socket } = incoming
      // What comes after a request that was refused as a whole is nobody's request.
      if (refused.has(socket)) return
      // RFC 9112 §3.2: one host, no more and no less; two programs could each believe another of two.
      const hosts = incoming.rawHeaders.filter((each, i) => i % 2 === 0 && /^host$/i.test(each)).length
      if (hosts === 1) return void listener(incoming, outgoing)
      refused.add(socket)
      socket.end(rawAnswer(new HttpError("Malformed", { detail: hosts === 0 ? "it names no host" : "it names more than one host" })))
    },
  )
  server.maxConnections = connectionsMax
  // Who neither sends nor reads holds nothing for longer than this.
  server.setTimeout(Math.max(60_000, 2 * bodyMs))
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code === "ECONNRESET" || !socket.writable) return socket.destroy()
    const answered =
      error.code === "HPE_HEADER_OVERFLOW"
        ? new HttpError("HeaderBytes", { limit: headerBytesMax })
        : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
          ? new HttpError("BodyTime", { limitMs: bodyMs })
          : new HttpError("Malformed", { detail: error.message.replace(/^Parse Error: /, "").slice(0, 200) })
    socket.end(rawAnswer(answered))
    // It may go on sending; what it sends is nobody's.
    setTimeout(() => socket.destroy(), 1_000).unref()
  })
  server.on("drop", () => {})
  let accepted = 0
  server.on("connection", () => (accepted += 1))
  // `Expect: 100-continue`: the body is asked for by reading it, unless what was announced is too much.
  server.on("connect", (_request, socket) => void socket.end(rawAnswer(new HttpError("Malformed", { detail: "CONNECT is for proxies" }))))
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, hostname, () => {
      server.off("error", reject)
      resolve()
    })
  })
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    async stop() {
      const { promise, resolve } = Promise.withResolvers<void>()
      // What waits in the kernel to be accepted is reset when nobody listens any more: a turn of the event loop in which nobody
      // came is short, and what comes within it is accepted before the immediate that follows.
      const endMs = performance.now() + lastMs
      for (let before = -1; before !== accepted && performance.now() < endMs;) {
        before = accepted
        await new Promise((next) => setImmediate(next))
      }
      // Not the server's own `close`, which also ends connections that have no request yet: one that was just made, and whose
      // request is on its way, would be cut off. Those have a moment, and are told.
      Socket.prototype.close.call(server, () => resolve())
      await Promise.race([promise, new Promise((next) => setTimeout(next, lastMs))])
      server.close()
      await promise
    },
    destroy: () => server.closeAllConnections(),
  }
}

/** RFC 9112 §3.2: a request without a host is none. */
function hostless(request: Request): Response | undefined {
  if (request.headers.has("host")) return undefined
  const error = new HttpError("Malformed", { detail: "it names no host" })
  return new Response(JSON.stringify(problemOf(error, "")), {
    status: error.status,
    headers: { "content-type": "application/problem+json", connection: "close" },
  })
}

interface DenoServer {
  readonly addr: { readonly port: number }
  readonly finished: Promise<void>
  shutdown(): Promise<void>
}
interface DenoGlobal {
  serve(
    options: { readonly hostname: string; readonly port: number; readonly signal: AbortSignal; onListen(): void; onError(error: unknown): Response },
    handler: (request: Request, info: { readonly remoteAddr: { readonly hostname?: string } }) => Promise<Response>,
  ): DenoServer
}

async function listenDeno(deno: DenoGlobal, answer: Answer, hostname: string, port: number): Promise<Listener> {
  const ending = new AbortController()
  const onError = (): Response => new Response(JSON.stringify(problemOf(new HttpError("Malformed", { detail: "it is not one" }), "")), { status: 400 })
  const server = deno.serve(
    { hostname, port, signal: ending.signal, onListen() {}, onError },
    async (request, { remoteAddr }) => hostless(request) ?? (await answer(request, { address: remoteAddr.hostname })),
  )
  server.finished.catch(() => {})
  return {
    port: server.addr.port,
    stop: () => server.shutdown(),
    destroy: () => ending.abort(),
  }
}

interface BunServer {
  readonly port: number
  requestIP(request: Request): { readonly address: string } | null
  stop(isNow?: boolean): Promise<void>
}
interface BunGlobal {
  serve(options: {
    readonly hostname: string
    readonly port: number
    readonly idleTimeout: number
    readonly maxRequestBodySize: number
    fetch(request: Request, server: BunServer): Promise<Response>
  }): BunServer
}

async function listenBun(bun: BunGlobal, answer: Answer, service: Servable, hostname: string, port: number): Promise<Listener> {
  const { bodyBytesMax, componentBytesMax } = service.limits
  const server = bun.serve({
    hostname,
    port,
    idleTimeout: 60,
    // One more than is taken, so that the answer is the service's own.
    maxRequestBodySize: Math.max(bodyBytesMax, componentBytesMax) + 1,
    fetch: async (request, at) => hostless(request) ?? (await answer(request, { address: at.requestIP(request)?.address })),
  })
  return { port: server.port, stop: () => server.stop(), destroy: () => void server.stop(true) }
}

/**
 * Listens and answers by `service`.
 * @throws HttpError `Listen`; ConfigError for options
 */
export async function serve(service: Servable, options: ServeOptions = {}): Promise<Server> {
  const { hostname = "127.0.0.1" } = options
  const port = count("port", options.port, defaultPort, 65_535)
  const graceMs = count("graceMs", options.graceMs, 10_000, 3_600_000)
  const noticeMs = count("noticeMs", options.noticeMs, 250, 60_000)
  const connectionsMax = count("connectionsMax", options.connectionsMax, 1_024, 1_000_000)
  const answer: Answer = (request, peer) => service.fetch(request, peer)
  const { Bun: bun, Deno: deno } = globalThis as { readonly Bun?: BunGlobal; readonly Deno?: DenoGlobal }
  let listener: Listener
  try {
    listener =
      bun !== undefined
        ? await listenBun(bun, answer, service, hostname, port)
        : deno !== undefined
          ? await listenDeno(deno, answer, hostname, port)
          : await listenNode(answer, service, hostname, port, connectionsMax)
  } catch (cause) {
    const detail = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message
    throw new HttpError("Listen", { address: `${hostname}:${port}`, detail }, { cause })
  }
  let closing: Promise<boolean> | undefined
  const end = async (): Promise<boolean> => {
    const startedMs = performance.now()
    const notice = new Promise((resolve) => setTimeout(resolve, noticeMs))
    // Meanwhile whoever asks is told, on the connections there are and on new ones.
    let isWhole = await service.drain(graceMs)
    await notice
    // Answers that are being sent end; connections without a request are closed.
    const leftMs = Math.max(500, graceMs - (performance.now() - startedMs))
    const timer = setTimeout(() => {
      isWhole = false
      listener.destroy()
    }, leftMs)
    if (!isWhole) listener.destroy()
    await listener.stop()
    clearTimeout(timer)
    return isWhole
  }
  const close = (): Promise<boolean> => (closing ??= end())
  return {
    url: `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${listener.port}`,
    hostname,
    port: listener.port,
    close,
    destroy: () => listener.destroy(),
    async [Symbol.asyncDispose]() {
      await close()
    },
  }
}
