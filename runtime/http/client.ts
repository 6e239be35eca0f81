/**
 * `stele/client`: plugins of a service elsewhere, called as if they were here. Values are in host form on both sides, typed by
 * what `stele types` writes, and errors are the ones that a call here would throw. Web standards alone: browsers, Node, Deno, Bun.
 *
 * ```ts
 * import { client } from "stele/client"
 * import type { Exports } from "./greeter.d.ts"
 * const greeter = client({ url: "http://127.0.0.1:4747", token }).plugin<Exports>("greeter")
 * const { message } = await greeter.call("acme:greeter/api#greet", [{ name: "Ada" }], { deadlineMs: 50 })
 * ```
 */
import { CapabilityError } from "../../schemas/error/capability.ts"
import { CompositionError } from "../../schemas/error/composition.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { LimitError } from "../../schemas/error/limit.ts"
import { NetworkError } from "../../schemas/error/network.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { PoolError } from "../../schemas/error/pool.ts"
import { VerifyError } from "../../schemas/error/verify.ts"
import { WitError } from "../../schemas/error/wit.ts"
import { quote } from "../../schemas/value/form.ts"
import { fromJson, toJson } from "../../schemas/value/json.ts"
import type { AnswerOf, Arguments, ExportName, UntypedExports } from "../../schemas/wit/exports.ts"
import { decodeTypes } from "../../schemas/wit/graph.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { answer } from "../../schemas/wit/tree.ts"
import type { Isolation, PluginDetail, PluginList, PluginSummary } from "./api.ts"

export { CapabilityError, CompositionError, ConfigError, HttpError, LimitError, NetworkError, PluginError, PoolError, SteleError, VerifyError, WitError }
export type { AnswerOf, Arguments, ExportName, PluginDetail, PluginSummary, UntypedExports }

export interface ClientOptions {
  /** Where the service is, with the path it is mounted at: `https://example.com/stele`. */
  readonly url: string | URL
  readonly token: string
  /** Instead of the global one. */
  readonly fetch?: (request: Request) => Promise<Response>
  /** Longest time of a request, in ms; default 120,000. */
  readonly timeoutMs?: number
}

/** What a plugin is put with; everything else is denied. */
export interface InstallOptions {
  readonly grants?: ReadonlyArray<string>
  /** Taken out of what is granted. */
  readonly revoked?: ReadonlyArray<string>
  readonly limits?: Readonly<Record<string, number>>
  readonly metering?: "deadline" | "fuel" | "off"
  readonly tenant?: string
  readonly isolation?: Isolation
  /** Which instance a call gets: how many there are, how many are made ahead, how many calls wait for one. */
  readonly instances?: {
    readonly reuse?: "never" | "principal"
    readonly max?: number
    readonly ready?: number
    readonly queue?: number
  }
  readonly missing?: "refuse" | "trap"
  /** Where the bytes came from, for people. */
  readonly source?: string
}

export interface RemoteCallOptions {
  readonly deadlineMs?: number
  readonly fuel?: bigint
  readonly signal?: AbortSignal
  /** W3C trace context to go on with. */
  readonly traceparent?: string
  readonly tracestate?: string
}

export interface RemoteUsage {
  readonly outcome: string
  readonly wallNs: number
  readonly fuel?: bigint
  readonly memoryPeakBytes: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly hostCalls: Readonly<Record<string, number>>
}

export interface RemotePlugin<E extends object = UntypedExports> {
  readonly name: string
  /** What the plugin is, may do and offers, as it is now. */
  describe(): Promise<PluginDetail>
  /**
   * Calls an export by its full name, the version optional.
   * @throws what `plugin.call` of a host throws; HttpError for what is between here and there
   */
  call<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options?: RemoteCallOptions): Promise<AnswerOf<E, K>>
  /** `call`, with what it cost. */
  callWithUsage<K extends ExportName<E>>(
    name: K,
    args: Arguments<E, K>,
    options?: RemoteCallOptions,
  ): Promise<{ readonly result: AnswerOf<E, K>; readonly usage: RemoteUsage }>
}

export interface Client {
  readonly url: string
  /** Does the service take requests? */
  isReady(): Promise<boolean>
  plugins(): Promise<ReadonlyArray<PluginSummary>>
  /** A plugin by name. Asks nothing until it is called. */
  plugin<E extends object = UntypedExports>(name: string): RemotePlugin<E>
  /** Loads a plugin there, or puts it in the place of the one of that name. */
  install(name: string, component: Uint8Array | ArrayBuffer | Blob, options?: InstallOptions): Promise<PluginSummary>
  remove(name: string): Promise<void>
}

type Family = new (reason: never, data: never, options?: ErrorOptions) => SteleError
const families = new Map<string, Family>(
  Object.entries({
    CapabilityError,
    CompositionError,
    ConfigError,
    HttpError,
    LimitError,
    NetworkError,
    PluginError,
    PoolError,
    VerifyError,
    WitError,
  }) as unknown as ReadonlyArray<readonly [string, Family]>,
)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value)

/** The error that an answer stands for: the same class, reason, code and data; undefined where it is none of ours. */
function errorOf(body: unknown, payload: (json: unknown) => unknown): SteleError | undefined {
  if (!isObject(body) || typeof body["code"] !== "string" || typeof body["reason"] !== "string" || !isObject(body["data"])) return undefined
  const Class = families.get(String(body["family"]))
  if (Class === undefined) return undefined
  const data = "payload" in body["data"] ? { ...body["data"], payload: payload(body["data"]["payload"]) } : body["data"]
  try {
    const error = new Class(body["reason"] as never, data as never)
    return error.code === body["code"] ? error : undefined
  } catch {
    // A reason that this version does not have.
    return undefined
  }
}

interface Known {
  readonly digest: string
  readonly functions: ReadonlyMap<string, FunctionType>
}

const withoutVersion = (name: string): string => name.replace(/@[^#]*(?=#|$)/, "")

function functionOf({ functions }: Known, name: string): readonly [full: string, type: FunctionType] {
  const exact = functions.get(name)
  if (exact !== undefined) return [name, exact]
  const same = [...functions].filter(([full]) => withoutVersion(full) === name)
  const [only] = same
  if (only !== undefined && same.length === 1) return only
  throw new PluginError("UnknownExport", { export: String(name), candidates: [...functions.keys()].slice(0, 3) })
}

const trimmed = (url: string): string => url.replace(/\/+$/, "")

class HttpClient implements Client {
  readonly url: string
  readonly #token: string
  readonly #fetch: (request: Request) => Promise<Response>
  readonly #timeoutMs: number

  constructor({ url, token, fetch: send, timeoutMs = 120_000, ...rest }: ClientOptions) {
    const [unknown] = Object.keys(rest)
    if (unknown !== undefined) throw new ConfigError("UnknownOption", { option: unknown, known: ["url", "token", "fetch", "timeoutMs"] })
    const text = String(url)
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
      throw new ConfigError("Option", { option: "url", expected: "an http or https URL", actual: quote(text, 200) })
    if (typeof token !== "string" || !/^[\x21-\x7e]{1,512}$/.test(token))
      throw new ConfigError("Option", { option: "token", expected: "a token", actual: "something else" })
    if (!(timeoutMs > 0)) throw new ConfigError("Option", { option: "timeoutMs", expected: "milliseconds above 0", actual: String(timeoutMs) })
    this.url = trimmed(text)
    this.#token = token
    this.#fetch = send ?? ((request) => fetch(request))
    this.#timeoutMs = timeoutMs
  }

  /** Sends a request, and answers with what came back, whatever its status. */
  async send(path: string, init: RequestInit & { readonly about?: string }): Promise<Response> {
    const { signal, about = path } = init
    // A service that moved somewhere else is not sent the token.
    const request = new Request(`${this.url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${this.#token}`, ...(init.headers as Record<string, string> | undefined) },
      redirect: "manual",
      signal: AbortSignal.any([AbortSignal.timeout(this.#timeoutMs), ...(signal === undefined || signal === null ? [] : [signal])]),
    })
    try {
      return await this.#fetch(request)
    } catch (cause) {
      if (signal?.aborted === true) throw new PluginError("Aborted", { export: about }, { cause })
      const inner = (cause as { readonly cause?: { readonly code?: unknown } }).cause?.code
      const detail =
        typeof inner === "string" ? inner : (cause as Error).name === "TimeoutError" ? `no answer within ${this.#timeoutMs} ms` : (cause as Error).message
      throw new HttpError("Unreachable", { url: this.url, detail }, { cause })
    }
  }

  /** The JSON of a good answer; the error of another. */
  async read(response: Response, payload: (json: unknown) => unknown = (json) => json): Promise<unknown> {
    let body: unknown
    try {
      body = await response.json()
    } catch (cause) {
      throw new HttpError("Answer", { url: this.url, detail: `status ${response.status} without JSON` }, { cause })
    }
    if (response.ok) return body
    const error = errorOf(body, payload)
    if (error !== undefined) throw error
    const detail = isObject(body) && typeof body["detail"] === "string" ? `${String(body["code"])}: ${body["detail"]}` : `status ${response.status}`
    throw new HttpError("Answer", { url: this.url, detail })
  }

  async isReady(): Promise<boolean> {
    const response = await this.send("/readyz", { method: "GET" })
    await response.body?.cancel()
    return response.ok
  }

  async plugins(): Promise<ReadonlyArray<PluginSummary>> {
    return ((await this.read(await this.send("/v1/plugins", { method: "GET" }))) as PluginList).plugins
  }

  async install(name: string, component: Uint8Array | ArrayBuffer | Blob, options: InstallOptions = {}): Promise<PluginSummary> {
    const { grants = [], revoked = [], limits = {}, instances: { reuse, max, ready, queue } = {}, ...rest } = options
    const query = new URLSearchParams([
      ...grants.map((grant) => ["grant", grant] as [string, string]),
      ...revoked.map((grant) => ["revoke", grant] as [string, string]),
      ...Object.entries(limits).map(([limit, value]) => ["limit", `${limit}=${value}`] as [string, string]),
      ...Object.entries({ ...rest, reuse, instances: max, ready, queue }).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, String(value)] as [string, string]],
      ),
    ])
    const path = `/v1/plugins/${encodeURIComponent(name)}${query.size === 0 ? "" : `?${query}`}`
    const response = await this.send(path, { method: "PUT", headers: { "content-type": "application/wasm" }, body: component as Uint8Array<ArrayBuffer> })
    return (await this.read(response)) as PluginSummary
  }

  async remove(name: string): Promise<void> {
    const response = await this.send(`/v1/plugins/${encodeURIComponent(name)}`, { method: "DELETE" })
    if (response.status !== 204) await this.read(response)
  }

  plugin<E extends object = UntypedExports>(name: string): RemotePlugin<E> {
    return new HttpPlugin<E>(this, name)
  }
}

class HttpPlugin<E extends object> implements RemotePlugin<E> {
  readonly name: string
  readonly #client: HttpClient
  /** Types of the plugin as it was when it was last looked at. */
  #known: Promise<Known> | undefined

  constructor(client: HttpClient, name: string) {
    this.#client = client
    this.name = name
  }

  async describe(): Promise<PluginDetail> {
    return (await this.#client.read(await this.#client.send(`/v1/plugins/${encodeURIComponent(this.name)}`, { method: "GET" }))) as PluginDetail
  }

  #look(): Promise<Known> {
    const looking = this.describe().then(({ digest, types }) => ({ digest, functions: decodeTypes(types) }))
    this.#known = looking
    looking.catch(() => this.#known === looking && (this.#known = undefined))
    return looking
  }

  async call<K extends ExportName<E>>(name: K, args: Arguments<E, K>, options: RemoteCallOptions = {}): Promise<AnswerOf<E, K>> {
    return (await this.#call(name, args, options, false)).result as AnswerOf<E, K>
  }

  async callWithUsage<K extends ExportName<E>>(
    name: K,
    args: Arguments<E, K>,
    options: RemoteCallOptions = {},
  ): Promise<{ readonly result: AnswerOf<E, K>; readonly usage: RemoteUsage }> {
    return (await this.#call(name, args, options, true)) as { readonly result: AnswerOf<E, K>; readonly usage: RemoteUsage }
  }

  async #call(
    name: string,
    args: ReadonlyArray<unknown>,
    options: RemoteCallOptions,
    isCounted: boolean,
  ): Promise<{ readonly result: unknown; readonly usage?: RemoteUsage }> {
    const known = await (this.#known ?? this.#look())
    let full: string
    let type: FunctionType
    try {
      ;[full, type] = functionOf(known, name)
      return await this.#ask(known, full, type, args, options, isCounted)
    } catch (error) {
      // Types that do not fit any more, since another plugin has the name now: nothing ran, so it is asked once more.
      const mayBeOld =
        error instanceof HttpError
          ? error.reason._tag === "Invalid"
          : error instanceof WitError || (error instanceof PluginError && error.reason._tag === "UnknownExport")
      if (!mayBeOld) throw error
      const fresh = await this.#look()
      if (fresh.digest === known.digest) throw error
      ;[full, type] = functionOf(fresh, name)
      return this.#ask(fresh, full, type, args, options, isCounted)
    }
  }

  async #ask(known: Known, full: string, type: FunctionType, args: ReadonlyArray<unknown>, options: RemoteCallOptions, isCounted: boolean) {
    if (!Array.isArray(args)) throw new WitError("Value", { path: "args", expected: "an array of arguments", actual: typeof args })
    if (args.length !== type.params.length) throw new WitError("ArgumentCount", { export: full, expected: type.params.length, actual: args.length })
    const body = JSON.stringify(type.params.map((param, i) => toJson(param.type, args[i], `args[${i}]`)))
    const { deadlineMs, fuel, signal, traceparent, tracestate } = options
    const query = new URLSearchParams({
      ...(deadlineMs === undefined ? {} : { deadlineMs: String(deadlineMs) }),
      ...(fuel === undefined ? {} : { fuel: String(fuel) }),
      ...(isCounted ? { usage: "true" } : {}),
    })
    const path = `/v1/plugins/${encodeURIComponent(this.name)}/calls/${encodeURIComponent(full)}${query.size === 0 ? "" : `?${query}`}`
    const response = await this.#client.send(path, {
      method: "POST",
      body,
      about: full,
      headers: {
        "content-type": "application/json",
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(tracestate === undefined ? {} : { tracestate }),
      },
      ...(signal === undefined ? {} : { signal }),
    })
    const { ok, err } = answer(type)
    const digest = response.headers.get("stele-digest")
    const json = (await this.#client.read(response, (payload) => (err === undefined ? payload : fromJson(err, payload, "payload")))) as {
      readonly result?: unknown
      readonly usage?: Omit<RemoteUsage, "fuel"> & { readonly fuel?: string }
    }
    // Answered by another plugin than the one whose types are known: what came back is read by its own.
    const other = digest !== null && digest !== known.digest ? functionOf(await this.#look(), full)[1] : undefined
    const read = other === undefined ? ok : answer(other).ok
    const result = read === undefined ? undefined : fromJson(read, json.result, "result")
    if (json.usage === undefined) return { result }
    const { fuel: spent, ...usage } = json.usage
    return { result, usage: { ...usage, ...(spent === undefined ? {} : { fuel: BigInt(spent) }) } }
  }
}

/** A client of the service at `url`. Opens nothing and keeps nothing open. */
export const client = (options: ClientOptions): Client => new HttpClient(options)
