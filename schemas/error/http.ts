import { family, reason } from "./family.ts"

/** One thing that is wrong with a request, and where: `args[0].name`, `query.limit[1]`, `header.content-type`. */
export interface RequestProblem {
  readonly path: string
  readonly expected: string
  readonly actual: string
}

/** What the HTTP service refuses, and what keeps it or its client from working. */
export class HttpError extends family("HttpError", {
  Unauthorized: reason<Record<never, never>>({
    code: "STELE-HTP-0001",
    status: 401,
    exit: 5,
    isRetryable: false,
    message: () => "Cannot tell who asks: the request carries no token that this service knows",
    fix: () => "send the header authorization: Bearer TOKEN; the service says at its start where its token is",
  }),
  NoRoute: reason<{ readonly path: string }>({
    code: "STELE-HTP-0002",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot answer for "${d.path}": the service has no such path`,
    fix: () => "GET /docs lists the paths there are",
  }),
  Method: reason<{ readonly method: string; readonly path: string; readonly allowed: ReadonlyArray<string> }>({
    code: "STELE-HTP-0003",
    status: 405,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use the method ${d.method} on "${d.path}"`,
    fix: (d) => `use ${d.allowed.join(" or ")}`,
  }),
  Body: reason<{ readonly detail: string }>({
    code: "STELE-HTP-0004",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot read the body as JSON: ${d.detail}`,
    fix: () => 'send the arguments as a JSON array in UTF-8, such as [1, "two"]; [] where there are none',
  }),
  Invalid: reason<{ readonly detail: string; readonly problems: ReadonlyArray<RequestProblem>; readonly isCut: boolean }>({
    code: "STELE-HTP-0005",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot use the request: ${d.detail}`,
    fix: () => "GET /v1/plugins/NAME has the schema of each export's arguments, GET /openapi.json that of everything else",
  }),
  MediaType: reason<{ readonly found: string; readonly wanted: string }>({
    code: "STELE-HTP-0006",
    status: 415,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot read a body of the type "${d.found}"`,
    fix: (d) => `send it with the header content-type: ${d.wanted}, and without a content-encoding`,
  }),
  BodyBytes: reason<{ readonly limit: number }>({
    code: "STELE-HTP-0007",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "bodyBytesMax": the limit is ${d.limit} bytes`,
    fix: () => "send less, or raise the service's limit",
  }),
  BodyTime: reason<{ readonly limitMs: number }>({
    code: "STELE-HTP-0008",
    status: 408,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot exceed "bodyMs": the body did not come within ${d.limitMs} ms`,
    fix: () => "send the body at once, or raise the service's limit",
  }),
  HeaderBytes: reason<{ readonly limit: number }>({
    code: "STELE-HTP-0009",
    status: 431,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "headerBytesMax": the limit is ${d.limit} bytes`,
    fix: () => "send fewer or shorter headers",
  }),
  Busy: reason<{ readonly limit: number }>({
    code: "STELE-HTP-0010",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot exceed "requestsMax": ${d.limit} requests are being answered`,
    fix: () => "ask again after the time that the header retry-after names",
  }),
  Rate: reason<{ readonly whose: string; readonly perSecond: number; readonly waitMs: number }>({
    code: "STELE-HTP-0011",
    status: 429,
    exit: 7,
    isRetryable: true,
    message: (d) => `Cannot exceed the rate of one ${d.whose}: the limit is ${d.perSecond} requests a second`,
    fix: (d) => `ask again in ${d.waitMs} ms`,
  }),
  Draining: reason<Record<never, never>>({
    code: "STELE-HTP-0012",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: () => "Cannot take the request: the service is about to end",
    fix: () => "ask again after the time that the header retry-after names; nothing of the request was done",
  }),
  Name: reason<{ readonly name: string }>({
    code: "STELE-HTP-0013",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot keep a plugin under the name "${d.name}"`,
    fix: () => "use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first",
  }),
  UnknownPlugin: reason<{ readonly name: string; readonly candidates: ReadonlyArray<string> }>({
    code: "STELE-HTP-0014",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `No plugin "${d.name}" is loaded`,
    fix: (d) => (d.candidates.length === 0 ? "GET /v1/plugins, or stele plugin list, lists those that are" : `did you mean "${d.candidates[0]}"`),
  }),
  Origin: reason<{ readonly origin: string }>({
    code: "STELE-HTP-0015",
    status: 403,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot answer a page of "${d.origin}": no other origin is let in`,
    fix: (d) => `name it where the service is started: origins: ["${d.origin}"]`,
  }),
  Host: reason<{ readonly host: string }>({
    code: "STELE-HTP-0016",
    status: 421,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot answer for the host "${d.host}": this service is not known by that name`,
    fix: (d) => `ask for localhost or 127.0.0.1, or name it where the service is started: hosts: ["${d.host}"]`,
  }),
  Malformed: reason<{ readonly detail: string }>({
    code: "STELE-HTP-0017",
    status: 400,
    exit: 2,
    isRetryable: false,
    message: (d) => `Cannot read the request as HTTP: ${d.detail}`,
    fix: () => "send a well-formed HTTP/1.1 request",
  }),
  TooMany: reason<{ readonly limit: number }>({
    code: "STELE-HTP-0018",
    status: 409,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot exceed "pluginsMax": the limit is ${d.limit} plugins`,
    fix: () => "remove one, or raise the service's limit",
  }),
  Internal: reason<{ readonly incident: string }>({
    code: "STELE-HTP-0019",
    status: 500,
    exit: 1,
    isRetryable: false,
    message: (d) => `Something failed in the service (incident ${d.incident})`,
    fix: () => "give the incident to whoever runs the service: its log says what happened",
  }),
  Listen: reason<{ readonly address: string; readonly detail: string }>({
    code: "STELE-HTP-0020",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot listen on ${d.address}: ${d.detail}`,
    fix: () => "choose another port, or 0 for any that is free",
  }),
  Token: reason<{ readonly file: string; readonly detail: string }>({
    code: "STELE-HTP-0021",
    status: 500,
    exit: 5,
    isRetryable: false,
    message: (d) => `Cannot use the token in "${d.file}": ${d.detail}`,
    fix: (d) => `chmod 600 ${d.file}, or remove it: the next start of the service makes a new one`,
  }),
  Unreachable: reason<{ readonly url: string; readonly detail: string }>({
    code: "STELE-HTP-0022",
    status: 503,
    exit: 69,
    isRetryable: true,
    message: (d) => `Cannot reach the service at ${d.url}: ${d.detail}`,
    fix: () => "see that it runs there: stele up",
  }),
  Answer: reason<{ readonly url: string; readonly detail: string }>({
    code: "STELE-HTP-0023",
    status: 502,
    exit: 69,
    isRetryable: false,
    message: (d) => `Cannot understand the answer of ${d.url}: ${d.detail}`,
    fix: () => "see that the URL is that of a Stele service, and of a version like this one",
  }),
}) {}

/** The refusal of a request for everything that is wrong with it; its message names the first. */
export function invalidRequest(problems: ReadonlyArray<RequestProblem>, isCut = false): HttpError {
  const shown = problems.slice(0, 3).map(({ path, expected, actual }) => `${actual} as ${expected} at ${path}`)
  return new HttpError("Invalid", {
    detail: `${shown.join("; ")}${problems.length > 3 ? `; and ${isCut ? "many" : problems.length - 3} more` : ""}`,
    problems,
    isCut,
  })
}
