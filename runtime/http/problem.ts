/** Errors as answers: problem details (RFC 9457) with the code, what to do, and the data a client makes the same error of. */
import { type ErrorJson, SteleError } from "../../schemas/error/family.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { toJson } from "../../schemas/value/json.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { answer } from "../../schemas/wit/tree.ts"

/** RFC 9457 §3.1, and what is ours. */
export interface ProblemDetails extends Omit<ErrorJson, "message"> {
  /** The explanation of the code, relative to the service. */
  readonly type: string
  readonly title: string
  readonly detail: string
  readonly traceId?: string
}

/** Families whose errors say what the caller did, or what a plugin did: theirs to read. Those of a store name paths of this machine. */
const families: ReadonlySet<string> = new Set([
  "CapabilityError",
  "CompositionError",
  "ConfigError",
  "HttpError",
  "LimitError",
  "NetworkError",
  "PluginError",
  "PoolError",
  "VerifyError",
  "WitError",
])

/** What a caller may see of an error; everything else is an incident. */
export function shownError(error: unknown): SteleError | undefined {
  if (!(error instanceof SteleError) || !families.has(error._tag)) return undefined
  // What a host function throws is the embedder's text.
  return error instanceof PluginError && error.reason._tag === "HostCall" ? undefined : error
}

/** Of a plugin's own error, the payload in the JSON form of its type. */
export function payloadOf(error: SteleError, type: FunctionType | undefined): Readonly<Record<string, unknown>> | undefined {
  if (!(error instanceof PluginError) || error.reason._tag !== "Guest" || type === undefined) return undefined
  const { err } = answer(type)
  if (err === undefined) return undefined
  try {
    return { payload: toJson(err, error.reason.payload, "payload") }
  } catch {
    // Too deep for JSON, or of a function that the call was not of: the error is told without it.
    return undefined
  }
}

const titles: Readonly<Record<string, string>> = {
  BillingError: "Billing cannot answer",
  CapabilityError: "Not granted",
  CompositionError: "A linked plugin did not answer",
  ConfigError: "An option cannot be used",
  HttpError: "The request cannot be answered",
  LimitError: "A limit was reached",
  NetworkError: "The network did not answer",
  PluginError: "The plugin did not answer",
  PoolError: "The plugin cannot take the call now",
  VerifyError: "The component is not accepted",
  WitError: "A value has another type",
}

export function problemOf(
  error: SteleError,
  base: string,
  more: { readonly data?: Readonly<Record<string, unknown>> | undefined; readonly traceId?: string | undefined } = {},
): ProblemDetails {
  const { message, data, ...json } = error.toJSON()
  return {
    type: `${base}/docs#${error.code}`,
    title: titles[error._tag] ?? error._tag,
    detail: message,
    ...json,
    data: { ...data, ...more.data },
    ...(more.traceId === undefined ? {} : { traceId: more.traceId }),
  }
}

/** Seconds after which to ask again, for errors that pass. */
export function retryAfter(error: SteleError): string | undefined {
  if (error instanceof HttpError && error.reason._tag === "Rate") return String(Math.max(1, Math.ceil(error.reason.waitMs / 1_000)))
  return error.status === 503 || error.status === 429 ? "1" : undefined
}
