/** What the services of this folder share about answers: headers that all have, and what becomes of whatever is thrown. */
import type { SteleError } from "../../schemas/error/family.ts"
import { HttpError } from "../../schemas/error/http.ts"
import { escapeText } from "../../host/port/log.ts"
import { problemOf, retryAfter } from "./problem.ts"

const { randomBytes } = process.getBuiltinModule("node:crypto")

/** Every answer is for whoever asked, of the type it says, and no page's to run or to frame. */
export const commonHeaders: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
}

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
/** A method as a label: names are the client's to choose. */
export const knownMethod = (method: string): string => (methods.has(method) ? method : "OTHER")

/** @throws HttpError `HeaderBytes` */
export function checkHeaderBytes(headers: Headers, limit: number): void {
  let bytes = 0
  for (const [key, value] of headers) bytes += key.length + value.length + 4
  if (bytes > limit) throw new HttpError("HeaderBytes", { limit })
}

/**
 * The error that an answer tells of, and the headers it has because of that. Where nothing may be shown it is an incident, whose line goes to `log` or to
 * stderr.
 */
export function refusalOf(
  thrown: unknown,
  shown: SteleError | undefined,
  log: ((line: string) => void) | undefined,
): { readonly error: SteleError; readonly headers: Readonly<Record<string, string>> } {
  let error = shown
  if (error === undefined) {
    const incident = randomBytes(6).toString("hex")
    const text = thrown instanceof Error ? (thrown.stack ?? `${thrown.name}: ${thrown.message}`) : String(thrown)
    try {
      ;(log ?? console.error)(`incident ${incident}: ${escapeText(text.replaceAll("\n", " | "))}`)
    } catch {
      // The request is answered whether somebody can write it down or not.
    }
    error = new HttpError("Internal", { incident })
  }
  const after = retryAfter(error)
  const headers: Record<string, string> = after === undefined ? {} : { "retry-after": after }
  if (error instanceof HttpError) {
    const { reason } = error
    if (reason._tag === "Unauthorized") headers["www-authenticate"] = 'Bearer realm="stele"'
    if (reason._tag === "Method") headers["allow"] = reason.allowed.join(", ")
    // What is left of the body would be taken for the next request.
    if (["BodyBytes", "BodyTime", "HeaderBytes", "Malformed"].includes(reason._tag)) headers["connection"] = "close"
  }
  return { error, headers }
}

/** The answer to whatever was thrown, of a service that has no page of codes: `stele explain` has. `fixes`: by reason, where it has something else to say. */
export function problemAnswer(
  thrown: unknown,
  shown: SteleError | undefined,
  { fixes, log }: { readonly fixes: Readonly<Record<string, string>>; readonly log?: ((line: string) => void) | undefined },
): Response {
  const { error, headers } = refusalOf(thrown, shown, log)
  const fix = error instanceof HttpError ? fixes[error.reason._tag] : undefined
  const problem = { ...problemOf(error, ""), type: "about:blank", ...(fix === undefined ? {} : { fix }) }
  return new Response(JSON.stringify(problem), {
    status: error.status,
    headers: { ...commonHeaders, ...headers, vary: "accept, authorization", "content-type": "application/problem+json" },
  })
}
