/** `http_request` and what it leaves behind: a whole request under `http:` grants, redirects included. */
import { ExtismError } from "../../../schemas/error/extism.ts"
import { LimitError } from "../../../schemas/error/limit.ts"
import { NetworkError } from "../../../schemas/error/network.ts"
import { describe } from "../../../schemas/value/form.ts"
import { func, list, option, primitive, record, tuple } from "../../../schemas/wit/model.ts"
import type { CallContext, HostFunction } from "../../capability/capability.ts"
import { sendWhole, sendWholeLater, type WholeOptions, type WholeRequest, type WholeResponse } from "../../capability/http/request.ts"
import { attempt } from "../../capability/serve.ts"
import type { HttpField } from "../../port/mod.ts"
import type { Outside } from "../raw.ts"
import { envModule } from "./names.ts"

const none = new Uint8Array(0)

const wrong = (path: string, expected: string, value: unknown): ExtismError =>
  new ExtismError("Request", { path, expected, actual: typeof value === "string" ? "other text" : describe(value) })

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null && !Array.isArray(value)

/** Extism's `HttpRequest`: `{ url, method?, headers? }`, where `header` is an older name. */
function parseRequest(text: string): { readonly method: string; readonly url: string; readonly headers: ReadonlyArray<HttpField> } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw wrong("", "JSON", text)
  }
  if (!isObject(value)) throw wrong("", "an object", value)
  const { url, method } = value
  if (typeof url !== "string") throw wrong("url", "text", url)
  if (method !== undefined && method !== null && typeof method !== "string") throw wrong("method", "text", method)
  const given = value["headers"] ?? value["header"] ?? {}
  if (!isObject(given)) throw wrong("headers", "an object of texts", given)
  const headers = Object.entries(given).map(([name, field]): HttpField => {
    if (typeof field !== "string") throw wrong(`headers.${name.slice(0, 100)}`, "text", field)
    return [name, field]
  })
  return { method: (method ?? "GET").toUpperCase(), url, headers }
}

/** The request that a plugin describes, and what is asked of the network for it. */
const described = (call: CallContext, text: string, body: Uint8Array | undefined): readonly [WholeRequest, WholeOptions] => {
  const limit = call.limits.httpResponseBytesMax
  return [
    { ...parseRequest(text), body: body ?? none },
    { import: `${envModule}#http_request`, limits: { responseBytesMax: limit, decompressedBytesMax: limit } },
  ]
}

function checked(call: CallContext, response: WholeResponse): WholeResponse {
  const limit = call.limits.httpResponseBytesMax
  // A port of the application's own may not have looked.
  if (response.body.length > limit) throw new LimitError("httpResponseBytesMax", { limit, actual: response.body.length })
  return response
}

/** The port's failure, under the name of the limit that the plugin has. */
function failed(call: CallContext, error: unknown): never {
  const limit = call.limits.httpResponseBytesMax
  if (!(error instanceof NetworkError) || error.reason._tag !== "Limit") throw error
  const { limit: name, max } = error.reason
  // The port's own limits may be lower, and are then the ones to be named.
  if ((name === "responseBytesMax" || name === "decompressedBytesMax") && max === limit) throw new LimitError("httpResponseBytesMax", { limit })
  throw error
}

/** Sends what a plugin describes; an answer of any status is an answer. */
export function request(call: CallContext, text: string, body: Uint8Array | undefined): WholeResponse {
  try {
    return checked(call, sendWhole(call, ...described(call, text, body)))
  } catch (error) {
    return failed(call, error)
  }
}

const { string, u16, u8 } = primitive
const requestType = func({ request: string, body: option(list(u8)) }, record({ status: u16, headers: list(tuple(string, string)), body: list(u8) }))

/** The same for a plugin that is elsewhere. */
export const requestOutside: Outside = {
  type: () => requestType,
  isOfNumbers: () => false,
  serve: (call, _, [text, body]) =>
    attempt(
      () => sendWholeLater(call, ...described(call, text as string, body as Uint8Array | undefined)),
      (response) => checked(call, response),
      (error) => failed(call, error),
    ),
  stub: (ask) => ((...values: ReadonlyArray<unknown>) => ask(values)) as HostFunction,
}

/** Headers as Extism hands them over: one value a name. */
export function headersJson(headers: ReadonlyArray<HttpField>): string {
  const values = new Map<string, string>()
  for (const [name, value] of headers) {
    const before = values.get(name)
    values.set(name, before === undefined ? value : `${before},${value}`)
  }
  return JSON.stringify(Object.fromEntries(values))
}
