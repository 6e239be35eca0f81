/**
 * The service: a function from a web-standard request to its answer. Every request gets one, whatever it is, and each
 * that is refused says why, with a code and what to do.
 */
import { type Context, Hono } from "hono"
import { CapabilityError } from "../../schemas/error/capability.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { HttpError, invalidRequest } from "../../schemas/error/http.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { quote } from "../../schemas/value/form.ts"
import { answerToJson, argumentsFromJson } from "../../schemas/value/json.ts"
import { argumentProblems } from "../../schemas/value/problems.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { isSubset, parseGrant } from "../../host/capability/grant.ts"
import type { CallOptions, LoadOptions } from "../../host/options.ts"
import type { TraceContext } from "../../host/port/mod.ts"
import { limitsFrom } from "../../host/port/port.ts"
import type { Plugin } from "../../host/plugin.ts"
import { installApart, type Plugins } from "../service/plugins.ts"
import { CallQuery, InstallQuery, type Isolation, type Route, type RouteId, routes } from "./api.ts"
import { checkMediaType, parseJson, Patience, readBody } from "./body.ts"
import { InFlight } from "./in-flight.ts"
import { Metrics } from "./metrics.ts"
import { payloadOf, problemOf, shownError } from "./problem.ts"
import { decodeQuery } from "./query.ts"
import { addressKey, Buckets } from "./rate.ts"
import { checkHeaderBytes, commonHeaders, knownMethod, refusalOf } from "./refusal.ts"
import { checkTokens, proofOf, tokenCheck } from "./token.ts"
import { parseTrace, type Trace, traceparent } from "./trace.ts"
import { detailOf, failedSummary, summaryOf, surfaceOf } from "./view.ts"

export const serviceLimits = {
  /** Bytes of the arguments of a call. */
  bodyBytesMax: 1 << 20,
  /** Bytes of a component that is put. */
  componentBytesMax: 64 << 20,
  /** Bytes of a request's headers. */
  headerBytesMax: 16 << 10,
  /** Time in which a body must be there, in ms. */
  bodyMs: 30_000,
  /** Longest deadline of a call, in ms, whatever the plugin's own limit is. */
  callMs: 60_000,
  /** Requests that are answered at a time. */
  requestsMax: 256,
  /** Requests a second with one token, and at once after a pause. */
  tokenRate: 10_000,
  tokenBurst: 20_000,
  /** Requests a second from one address, and at once after a pause. */
  addressRate: 5_000,
  addressBurst: 10_000,
}
export type ServiceLimits = typeof serviceLimits

/** What a request carries beside itself: the server's own. */
export interface Peer {
  /** Whose address the connection has. */
  readonly address?: string | undefined
  /** The server has bounded the headers already. */
  readonly isBounded?: boolean
}

/** The peer that `fetch` was given, in an app. */
export const peerOf = (c: Context): Peer => (c.env as { readonly peer?: Peer } | undefined)?.peer ?? {}

/** Where spans of requests go. */
export interface Telemetry {
  /** Begins a span; what it answers ends it. */
  begin(name: string, trace: Trace | undefined): Span
}

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
  end(attributes: Readonly<Record<string, string | number>>, isError: boolean): void
  /** Begins a span inside this one. */
  child(name: string): Span
}

export interface ServiceOptions {
  /** Who has one of these may do everything: 16 characters at least each. */
  readonly token: string | ReadonlyArray<string>
  /** Origins of pages that may ask, such as `https://admin.example.com`. Default none. */
  readonly origins?: ReadonlyArray<string>
  /** Names that the service is asked by, besides addresses and localhost. Default any: whoever mounts the service knows its names. */
  readonly hosts?: ReadonlyArray<string>
  /** Where it is mounted, for links: `/stele`. */
  readonly basePath?: string
  /** Where plugins that are put run, unless the request says something else. Default `process`, or `inline` where this version or engine has no processes. */
  readonly isolation?: Isolation
  /** The most that a plugin which is put may be granted. Default anything. */
  readonly grantable?: ReadonlyArray<string>
  readonly limits?: Partial<ServiceLimits>
  readonly telemetry?: Telemetry | undefined
  /** Told of each incident, in a line. Default: stderr. */
  readonly log?: (line: string) => void
  /** Finds whose address asks, behind a proxy that says so. Default: the connection's. */
  readonly addressOf?: (request: Request, peer: Peer) => string | undefined
}

const optionKeys: ReadonlyArray<string> = ["token", "origins", "hosts", "basePath", "isolation", "grantable", "limits", "telemetry", "log", "addressOf"]

export interface Service {
  /** Answers a request. `peer` is what the server knows of the connection. */
  fetch(request: Request, peer?: Peer): Promise<Response>
  /** The same as a hono app: `app.route("/stele", service.app)`. */
  readonly app: Hono
  readonly metrics: Metrics
  readonly limits: ServiceLimits
  readonly isDraining: boolean
  /** Requests that are answered now. */
  readonly requests: number
  /** Refuses what comes from now on; resolves when what is under way has ended, or after `ms`: false then. */
  drain(ms: number): Promise<boolean>
}

interface Reply {
  readonly status: number
  readonly body: string | null
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** What a handler works with. */
interface Exchange {
  readonly request: Request
  /** Of the query, unless there is none. */
  readonly query: URLSearchParams | undefined
  readonly name: string
  readonly exported: string
  /** Of the request, where somebody takes spans, and what it says of the trace it belongs to. */
  readonly span: Span | undefined
  readonly trace: Trace | undefined
  /** Set by the call: what a plugin's error carries has this function's type. */
  type?: FunctionType
  outcome?: string
}

/** The answer of a call: JSON that nothing takes for anything else. What else is said for pages would be a tenth of its time. */
const callHeaders: Readonly<Record<string, string>> = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

const names = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** `curl -T` says nothing of what it sends. */
const wasm = ["application/wasm", "application/octet-stream", ""]
const byId = new Map<string, Route>(routes.map((route) => [route.id, route]))
const reply = (status: number, body: unknown): Reply => ({ status, body: JSON.stringify(body), type: "application/json" })

/** Is this the name of a machine that the asker must have meant: an address, or this one? */
const isAddress = (host: string): boolean => /^(?:localhost|(?:[a-z0-9-]+\.)*localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/i.test(host)

class HttpService implements Service {
  readonly app = new Hono()
  readonly metrics: Metrics
  readonly limits: ServiceLimits
  readonly #plugins: Plugins
  readonly #options: ServiceOptions
  readonly #isToken: (header: string | null) => boolean
  readonly #tokens: ReadonlyArray<string>
  readonly #tokenBuckets: Buckets
  readonly #addressBuckets: Buckets
  readonly #inFlight = new InFlight()
  readonly #patience = new Patience()
  readonly #hosts = new Map<string, boolean>()
  readonly #pages = new Map<string, Promise<Reply>>()
  readonly #base: string
  #syncedAtMs = -Infinity

  constructor(plugins: Plugins, options: ServiceOptions) {
    for (const key of Object.keys(options)) if (!optionKeys.includes(key)) throw new ConfigError("UnknownOption", { option: key, known: optionKeys })
    this.#tokens = typeof options.token === "string" ? [options.token] : options.token
    checkTokens("token", this.#tokens)
    for (const origin of options.origins ?? [])
      if (!/^https?:\/\/[^/?#\s]+$/.test(origin))
        throw new ConfigError("Option", { option: "origins", expected: "origins such as https://example.com", actual: quote(origin) })
    for (const grant of options.grantable ?? []) parseGrant(grant)
    this.limits = limitsFrom("service", serviceLimits, options.limits)
    this.#plugins = plugins
    this.#options = options
    this.#base = options.basePath ?? ""
    this.#isToken = tokenCheck(this.#tokens)
    this.#tokenBuckets = new Buckets({ perSecond: this.limits.tokenRate, burst: this.limits.tokenBurst })
    this.#addressBuckets = new Buckets({ perSecond: this.limits.addressRate, burst: this.limits.addressBurst })
    const { memoryUsage, uptime } = process
    this.metrics = new Metrics([
      { name: "stele_plugins", help: "Plugins loaded", value: () => plugins.loaded.size },
      { name: "stele_plugins_failed", help: "Plugins that are kept and could not be loaded", value: () => plugins.failed.size },
      { name: "stele_http_requests_in_flight", help: "Requests that are answered now", value: () => this.#inFlight.count },
      { name: "stele_observer_dropped_total", help: "Usage records and other events that were dropped", value: () => plugins.host.ports.observer.dropped },
      { name: "process_resident_memory_bytes", help: "Memory of the process", value: () => memoryUsage().rss },
      { name: "process_uptime_seconds", help: "Age of the process", value: () => uptime() },
    ])
    this.#route("health", async ({ request }) => this.#health(request.headers.get("stele-nonce")))
    this.#route("ready", async () => {
      if (this.#inFlight.isDraining) throw new HttpError("Draining", {})
      return reply(200, { status: "ready" })
    })
    this.#route("metrics", async () => ({ status: 200, body: this.metrics.text(), type: "text/plain; version=0.0.4; charset=utf-8" }))
    this.#route("openapi", () => this.#page("openapi", async () => reply(200, (await import("./openapi.ts")).openapi(this.#base))))
    this.#route("docs", () => this.#page("docs", async () => (await import("./docs.ts")).docs(this.#base, this.limits)))
    this.#route("list", async () => this.#list())
    this.#route("install", (exchange) => this.#install(exchange))
    this.#route("show", async ({ name }) => reply(200, await this.#use(name, (loaded) => detailOf(loaded))))
    this.#route("remove", async ({ name }) => {
      await this.#plugins.remove(name)
      return { status: 204, body: null }
    })
    this.#route("call", (exchange) => this.#call(exchange))
    // A path of the service that answers to other methods, and everything else.
    for (const path of new Set(routes.map((route) => route.path)))
      this.app.all(pattern(path), (c) =>
        this.#answer(c.req.raw, peerOf(c), undefined, "", "", async ({ request }) => this.#wrongMethod(request, path, c.req.path)),
      )
    this.app.notFound((c) =>
      this.#answer(c.req.raw, peerOf(c), undefined, "", "", async () => {
        throw new HttpError("NoRoute", { path: c.req.path.slice(0, 200) })
      }),
    )
    this.app.onError((error, c) => this.#answer(c.req.raw, peerOf(c), undefined, "", "", () => Promise.reject(error)))
  }

  get isDraining(): boolean {
    return this.#inFlight.isDraining
  }

  get requests(): number {
    return this.#inFlight.count
  }

  async fetch(request: Request, peer: Peer = {}): Promise<Response> {
    return this.app.fetch(request, { peer })
  }

  drain(ms: number): Promise<boolean> {
    return this.#inFlight.drain(ms)
  }

  #route(id: RouteId, work: (exchange: Exchange) => Promise<Reply>): void {
    const route = byId.get(id) as Route
    this.app.on(route.method, [pattern(route.path)], (c) =>
      this.#answer(c.req.raw, peerOf(c), route, c.req.param("name") ?? "", c.req.param("export") ?? "", work),
    )
  }

  /** The one way of a request: who may ask, whether there is room, the work, and an answer whatever happens. */
  async #answer(
    request: Request,
    peer: Peer,
    route: Route | undefined,
    name: string,
    exported: string,
    work: (exchange: Exchange) => Promise<Reply>,
  ): Promise<Response> {
    const startedMs = performance.now()
    const isProbe = route?.isProbe === true
    const { headers } = request
    const { telemetry } = this.#options
    const parent = headers.get("traceparent")
    const trace = parent === null ? undefined : parseTrace(parent, headers.get("tracestate"))
    const span = isProbe ? undefined : telemetry?.begin(`${request.method} ${route?.path ?? "other"}`, trace)
    const at = request.url.indexOf("?")
    const exchange: Exchange = { request, query: at < 0 ? undefined : new URL(request.url).searchParams, name, exported, span, trace }
    const origin = headers.get("origin")
    let answer: Reply
    let error: unknown
    this.#inFlight.begin()
    try {
      this.#admit(request, peer, route, origin, isProbe)
      answer = await work(exchange)
    } catch (thrown) {
      error = thrown
      answer = this.#refuse(thrown, exchange, span?.traceId ?? trace?.traceId)
    } finally {
      // Whatever the embedder's log throws: a request that is counted for ever is a place less.
      this.#inFlight.end()
    }
    const seconds = (performance.now() - startedMs) / 1_000
    const { status, body, type } = answer
    const label = route?.id ?? "other"
    this.metrics.requests.add(`${label} ${request.method} ${status}`, () => ({ route: label, method: knownMethod(request.method), status: String(status) }))
    this.metrics.seconds.add(label, () => ({ route: label }), seconds)
    if (label === "call" && exchange.type !== undefined) {
      const outcome = exchange.outcome ?? "ok"
      this.metrics.calls.add(`${name} ${outcome}`, () => ({ plugin: name, outcome }))
    }
    span?.end(
      {
        "http.request.method": request.method,
        "http.route": route?.path ?? "",
        "http.response.status_code": status,
        "url.path": c80(new URL(request.url).pathname),
      },
      status >= 500 && error !== undefined,
    )
    const out: Record<string, string> = { ...(label === "call" && error === undefined ? callHeaders : commonHeaders), ...answer.headers }
    if (type !== undefined) out["content-type"] = type
    if (span !== undefined) out["traceresponse"] = traceparent(span.traceId, span.spanId, span.isSampled)
    if (this.#inFlight.isDraining && !isProbe) out["connection"] = "close"
    if (origin !== null && this.#options.origins?.includes(origin) === true) {
      out["access-control-allow-origin"] = origin
      out["access-control-expose-headers"] = "retry-after, stele-digest, traceresponse"
      out["vary"] = "origin"
    }
    return new Response(body, { status, headers: out })
  }

  /** @throws what keeps the request from being answered, before anything of it is read */
  #admit(request: Request, peer: Peer, route: Route | undefined, origin: string | null, isProbe: boolean): void {
    const { limits } = this
    const { headers } = request
    if (peer.isBounded !== true) checkHeaderBytes(headers, limits.headerBytesMax)
    if (this.#inFlight.isDraining && !isProbe) throw new HttpError("Draining", {})
    if (this.#options.hosts !== undefined) this.#checkHost(request)
    if (origin !== null) this.#checkOrigin(request, origin)
    const nowMs = performance.now()
    const { addressOf } = this.#options
    const address = addressOf === undefined ? peer.address : addressOf(request, peer)
    if (address !== undefined && !isProbe) {
      const waitMs = this.#addressBuckets.take(addressKey(address), nowMs)
      if (waitMs > 0) throw new HttpError("Rate", { whose: "address", perSecond: limits.addressRate, waitMs })
    }
    // A preflight carries no token, and changes nothing.
    if (route?.isOpen !== true && !(request.method === "OPTIONS" && origin !== null)) {
      if (!this.#isToken(headers.get("authorization"))) throw new HttpError("Unauthorized", {})
      const waitMs = this.#tokenBuckets.take("", nowMs)
      if (waitMs > 0) throw new HttpError("Rate", { whose: "token", perSecond: limits.tokenRate, waitMs })
    }
    if (!isProbe && this.#inFlight.count > limits.requestsMax) throw new HttpError("Busy", { limit: limits.requestsMax })
  }

  #checkHost(request: Request): void {
    const { host, hostname } = new URL(request.url)
    let isKnown = this.#hosts.get(host)
    if (isKnown === undefined) {
      isKnown = isAddress(hostname) || (this.#options.hosts ?? []).some((known) => known === host || known === hostname)
      if (this.#hosts.size < 1_000) this.#hosts.set(host, isKnown)
    }
    if (!isKnown) throw new HttpError("Host", { host: host.slice(0, 200) })
  }

  #checkOrigin(request: Request, origin: string): void {
    if (this.#options.origins?.includes(origin) === true) return
    if (origin === new URL(request.url).origin) return
    throw new HttpError("Origin", { origin: origin.slice(0, 200) })
  }

  /** Every error as its problem; what is nobody's to read as an incident. */
  #refuse(thrown: unknown, exchange: Exchange, traceId: string | undefined): Reply {
    const { error, headers } = refusalOf(thrown, shownError(thrown), this.#options.log)
    exchange.outcome = error instanceof HttpError && error.reason._tag === "Internal" ? "incident" : error.code
    const problem = problemOf(error, this.#base, { data: payloadOf(error, exchange.type), traceId })
    return { status: error.status, body: JSON.stringify(problem), type: "application/problem+json", headers }
  }

  #wrongMethod(request: Request, path: string, shown: string): Reply {
    const methods = routes.filter((route) => route.path === path).map((route): string => route.method)
    const allowed = methods.includes("GET") ? [...methods, "HEAD"] : methods
    const isPreflight = request.method === "OPTIONS" && request.headers.has("access-control-request-method")
    if (!isPreflight) throw new HttpError("Method", { method: knownMethod(request.method), path: shown.slice(0, 200), allowed })
    return {
      status: 204,
      body: null,
      headers: {
        "access-control-allow-headers": "authorization, content-type, traceparent, tracestate",
        "access-control-allow-methods": allowed.join(", "),
        "access-control-max-age": "600",
      },
    }
  }

  #health(nonce: string | null): Reply {
    const health = reply(200, { status: this.#inFlight.isDraining ? "draining" : "ok" })
    return nonce === null || nonce.length > 128 ? health : { ...health, headers: { "stele-proof": proofOf(this.#tokens[0] as string, nonce) } }
  }

  /** Made once: it is the same for everybody. */
  #page(id: string, make: () => Promise<Reply>): Promise<Reply> {
    const known = this.#pages.get(id)
    if (known !== undefined) return known
    const page = make()
    this.#pages.set(id, page)
    page.catch(() => this.#pages.delete(id))
    return page
  }

  #list(): Reply {
    const plugins = [...[...this.#plugins.loaded.values()].map(summaryOf), ...[...this.#plugins.failed.values()].map(failedSummary)]
    return reply(200, { plugins: plugins.toSorted((a, b) => (a.name < b.name ? -1 : 1)) })
  }

  /** A plugin that another process has loaded is known as soon as somebody asks for it; one that nobody has is looked for once in a while. */
  async #use<A>(name: string, work: (loaded: Parameters<Parameters<Plugins["use"]>[1]>[0]) => A | Promise<A>): Promise<A> {
    const nowMs = performance.now()
    if (!this.#plugins.loaded.has(name) && nowMs - this.#syncedAtMs > 200) {
      this.#syncedAtMs = nowMs
      await this.#plugins.sync()
    }
    return this.#plugins.use(name, work)
  }

  async #install({ request, name, query }: Exchange): Promise<Reply> {
    if (!names.test(name)) throw new HttpError("Name", { name: quote(name, 64).slice(1, -1) })
    const asked = decodeQuery(InstallQuery, query, ["grant", "revoke", "limit"])
    const { grant: granted = [], revoke: revoked = [], limit = [], source, reuse, instances: max, ready, queue, ...rest } = asked
    for (const each of [...granted, ...revoked]) parseGrant(each)
    this.#checkGrantable(granted)
    checkMediaType(request.headers, wasm)
    const limits = Object.fromEntries(limit.map((each) => [each.slice(0, each.indexOf("=")), Number(each.slice(each.indexOf("=") + 1))]))
    const counts = Object.entries({ max, ready, queue }).flatMap(([key, count]) => (count === undefined ? [] : [[key, Number(count)] as const]))
    const options: LoadOptions = {
      ...rest,
      ...(reuse === undefined && counts.length === 0 ? {} : { instances: { ...(reuse === undefined ? {} : { reuse }), ...Object.fromEntries(counts) } }),
      ...(limit.length === 0 ? {} : { limits }),
      grants: granted,
    }
    const bytes = await readBody(request, { bytesMax: this.limits.componentBytesMax, ms: this.limits.bodyMs }, this.#patience)
    const isNew = !this.#plugins.loaded.has(name)
    const loaded = await installApart(this.#plugins, this.#options.isolation, name, source ?? `upload:${name}`, bytes, options, { granted, revoked })
    return { ...reply(isNew ? 201 : 200, summaryOf(loaded)), headers: { "stele-digest": loaded.plugin.digest } }
  }

  #checkGrantable(granted: ReadonlyArray<string>): void {
    const { grantable } = this.#options
    if (grantable === undefined) return
    for (const grant of granted) if (!grantable.some((most) => isSubset(grant, most))) throw new CapabilityError("Denied", { grant, granted: grantable })
  }

  async #call(exchange: Exchange): Promise<Reply> {
    const { request, name, exported, query } = exchange
    checkMediaType(request.headers, ["application/json"])
    const { deadlineMs, fuel, usage } = query === undefined ? {} : decodeQuery(CallQuery, query, [])
    const bytes = await readBody(request, { bytesMax: this.limits.bodyBytesMax, ms: this.limits.bodyMs }, this.#patience)
    const json = parseJson(bytes)
    return this.#use(name, async ({ plugin, options: { metering } }) => {
      const surface = surfaceOf(plugin)
      const { name: full, type } = surface.find(exported)
      exchange.type = type
      const args = readArguments(full, type, json)
      const most = deadlineMs === undefined ? surface.deadlineMs : Number(deadlineMs)
      const options: CallOptions = {
        ...(metering === "off" ? {} : { deadlineMs: Math.min(most, this.limits.callMs) }),
        ...(fuel === undefined ? {} : { fuel: BigInt(fuel) }),
        // An inline guest holds the thread: nobody could end it by a signal.
        ...(surface.isInline ? {} : { signal: request.signal }),
      }
      const called = { plugin, export: full, type, args, options, withUsage: usage === "true" }
      const { span, trace } = exchange
      if (span !== undefined) return callTraced(called, name, span.child(`call ${name}`))
      // Nobody takes spans here: what the plugin does belongs to the caller's own.
      return runCall(called, trace === undefined ? undefined : { traceId: trace.traceId, spanId: trace.parentId, isSampled: trace.isSampled })
    })
  }
}

/** A call with everything that it needs. */
interface Called {
  readonly plugin: Plugin
  readonly export: string
  readonly type: FunctionType
  readonly args: ReadonlyArray<unknown>
  readonly options: CallOptions
  readonly withUsage: boolean
}

/** A call as a span of its own: what the plugin is recorded to have done, and what it asks of others, belongs to that. */
async function callTraced(called: Called, name: string, span: Span): Promise<Reply> {
  const attributes = { "stele.plugin": name, "stele.export": called.export }
  try {
    const answer = await runCall(called, { traceId: span.traceId, spanId: span.spanId, isSampled: span.isSampled })
    span.end(attributes, false)
    return answer
  } catch (error) {
    span.end({ ...attributes, "error.type": error instanceof SteleError ? error.code : "STELE-BUG-0001" }, true)
    throw error
  }
}

async function runCall({ plugin, export: full, type, args, options: given, withUsage }: Called, trace: TraceContext | undefined): Promise<Reply> {
  const options = trace === undefined ? given : { ...given, trace }
  const headers = { "stele-digest": plugin.digest }
  if (!withUsage) return { ...reply(200, { result: answerToJson(type, await plugin.call(full, args, options)) }), headers }
  const { result, ended } = await plugin.callWithUsage(full, args, options)
  const json = answerToJson(type, result)
  const { plugin: _, tenant: __, export: ___, trace: ____, fuel: spent, ...rest } = await ended
  return { ...reply(200, { result: json, usage: { ...rest, ...(spent === undefined ? {} : { fuel: spent.toString() }) } }), headers }
}

/** @throws HttpError `Invalid` with everything that is wrong; WitError `Inexpressible` */
function readArguments(name: string, type: FunctionType, json: unknown): ReadonlyArray<unknown> {
  try {
    return argumentsFromJson(name, type, json)
  } catch (error) {
    if (!(error instanceof WitError) || error.reason._tag === "Inexpressible") throw error
    const { problems, isCut } = argumentProblems(name, type, json)
    throw invalidRequest(problems, isCut)
  }
}

const c80 = (text: string): string => text.slice(0, 80)
/** A path of OpenAPI as hono writes it; an export's name may hold slashes. */
const pattern = (path: string): string => path.replace("{export}", ":export{.+}").replace(/\{(\w+)\}/g, ":$1")

/**
 * Makes a service over a host's plugins.
 * @throws ConfigError for options
 */
export const service = (plugins: Plugins, options: ServiceOptions): Service => new HttpService(plugins, options)
