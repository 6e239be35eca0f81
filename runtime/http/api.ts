/**
 * The service's interface as data: routes, what each takes and answers with. The OpenAPI document, the page of
 * documentation, the checks of queries and the client's types all come from here.
 */
import * as Schema from "effect/Schema"

const described = <S extends Schema.Top>(schema: S, description: string): S => schema.pipe(Schema.annotate({ description })) as unknown as S
const named = <S extends Schema.Top>(schema: S, identifier: string, description: string): S =>
  schema.pipe(Schema.annotate({ identifier, description })) as unknown as S

const Strings = Schema.Array(Schema.String)
const DecimalText = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,19}$/, { expected: "a whole number of at most 19 digits" })))
const CountText = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,9}(?:\.\d{1,6})?$/, { expected: "milliseconds" })))
/** Each is a process, or an instance with its memories. */
const FewText = Schema.String.pipe(Schema.check(Schema.isPattern(/^(?:[1-9]|[1-5]\d|6[0-4])$/, { expected: "a whole number from 1 to 64" })))
const QueueText = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,4}$/, { expected: "a whole number from 0 to 9999" })))
const Flag = Schema.Literals(["true", "false"])

export const Isolation = Schema.Literals(["inline", "worker", "process"])

/** The query of a PUT. Everything in a query is text. */
export const InstallQuery = Schema.Struct({
  grant: Schema.optionalKey(described(Strings, "What the plugin may do, such as log or kv:read:prices/*; repeat for more. Nothing else is allowed.")),
  revoke: Schema.optionalKey(described(Strings, "Taken out of what is granted.")),
  limit: Schema.optionalKey(
    described(
      Schema.Array(
        Schema.String.pipe(Schema.check(Schema.isPattern(/^[A-Za-z]{1,40}=\d{1,16}$/, { expected: "NAME=NUMBER, such as memoryBytesMax=16777216" }))),
      ),
      "A limit that differs from its default, in its own unit; repeat for more.",
    ),
  ),
  metering: Schema.optionalKey(described(Schema.Literals(["deadline", "fuel", "off"]), "How calls are stopped; default deadline.")),
  tenant: Schema.optionalKey(described(Schema.String, "Whom the plugin works for; default default.")),
  isolation: Schema.optionalKey(described(Isolation, "Where calls run; the default is the service's.")),
  reuse: Schema.optionalKey(
    described(
      Schema.Literals(["never", "principal"]),
      "never, the default: a fresh instance for each call; principal: instances keep their state from call to call, which is several times faster.",
    ),
  ),
  instances: Schema.optionalKey(
    described(FewText, "Calls that run at once, the others wait; default 8 in workers and processes, 1 with reuse=principal, any number of inline ones."),
  ),
  ready: Schema.optionalKey(
    described(
      FewText,
      "Instances made ahead of calls, or workers and processes that are started and stay, at most as many as instances; one of these always is.",
    ),
  ),
  queue: Schema.optionalKey(described(QueueText, "Calls that may wait for an instance; default 100.")),
  missing: Schema.optionalKey(described(Schema.Literals(["refuse", "trap"]), "What happens to imports without a grant; default refuse.")),
  source: Schema.optionalKey(
    described(Schema.String.pipe(Schema.check(Schema.isMaxLength(4_096))), "Where the bytes came from, for people: it is shown, and never opened."),
  ),
})

/** The query of a call. */
export const CallQuery = Schema.Struct({
  deadlineMs: Schema.optionalKey(described(CountText, "When the call is stopped, instead of the plugin's own limit; at most the service's.")),
  fuel: Schema.optionalKey(described(DecimalText, "Most fuel, for plugins that are metered by it.")),
  usage: Schema.optionalKey(described(Flag, "Answer with what the call cost, too.")),
})

export const Health = named(Schema.Struct({ status: Schema.Literals(["ok", "ready", "draining"]) }), "Health", "The state of the service.")

export const Grants = named(Schema.Struct({ granted: Strings, revoked: Strings }), "Grants", "What a plugin may do, and what was taken back.")

export const PluginSummary = named(
  Schema.Struct({
    name: Schema.String,
    state: described(Schema.Literals(["loaded", "failed"]), "failed: it is kept, and could not be loaded; error says why."),
    digest: described(Schema.String, "sha256: and 64 hexadecimal digits, of the component's bytes."),
    source: Schema.String,
    tenant: Schema.String,
    isolation: Schema.optionalKey(Isolation),
    grants: Grants,
    exports: described(Strings, "Full names of the exports that can be called."),
    error: Schema.optionalKey(Schema.Struct({ code: Schema.String, detail: Schema.String })),
  }),
  "PluginSummary",
  "A plugin of the service.",
)

export const PluginList = named(Schema.Struct({ plugins: Schema.Array(PluginSummary) }), "PluginList", "All plugins, by name.")

export const PluginExport = named(
  Schema.Struct({
    name: Schema.String,
    type: described(Schema.String, "As WIT."),
    schema: described(
      Schema.NullOr(Schema.Record(Schema.String, Schema.Json)),
      "JSON Schemas of the arguments, the result and the error; null where a handle has none.",
    ),
  }),
  "PluginExport",
  "An export that can be called.",
)

export const PluginDetail = named(
  Schema.Struct({
    ...PluginSummary.fields,
    exports: Schema.Array(PluginExport),
    imports: Schema.Array(
      Schema.Struct({ name: Schema.String, status: Schema.String, grant: Schema.optionalKey(Schema.String), risk: Schema.optionalKey(Schema.String) }),
    ),
    wit: described(Schema.String, "The component's world."),
    metering: Schema.String,
    instances: described(
      Schema.Struct({
        reuse: Schema.Literals(["never", "principal"]),
        max: Schema.optionalKey(Schema.Number),
        ready: Schema.optionalKey(Schema.Number),
        queue: Schema.optionalKey(Schema.Number),
      }),
      "Which instance a call gets; a number that is absent is the default.",
    ),
    missing: Schema.Literals(["refuse", "trap"]),
    limits: Schema.Record(Schema.String, Schema.Number),
    componentBytes: Schema.Number,
    types: described(Schema.Record(Schema.String, Schema.Json), "The types of the exports as a graph, for clients."),
  }),
  "PluginDetail",
  "A plugin with everything that is known of it.",
)

export const Arguments = named(
  Schema.Array(Schema.Json),
  "Arguments",
  "The arguments in order, in the JSON form of their types: u64 and s64 as decimal strings, list<u8> as base64, none as null.",
)

export const Usage = named(
  Schema.Struct({
    outcome: Schema.String,
    wallNs: Schema.Number,
    fuel: Schema.optionalKey(Schema.String),
    memoryPeakBytes: Schema.Number,
    bytesIn: Schema.Number,
    bytesOut: Schema.Number,
    hostCalls: Schema.Record(Schema.String, Schema.Number),
    handlesLeft: Schema.optionalKey(described(Schema.Number, "Handles that the plugin opened and did not drop.")),
  }),
  "Usage",
  "What a call cost.",
)

export const Answer = named(
  Schema.Struct({ result: described(Schema.Json, "In the JSON form of its type; null for nothing."), usage: Schema.optionalKey(Usage) }),
  "Answer",
  "What a call answered.",
)

export const Problem = named(
  Schema.Struct({
    type: described(Schema.String, "Where the code is explained, relative to the service."),
    title: Schema.String,
    status: Schema.Number,
    detail: described(Schema.String, "What went wrong this time."),
    code: described(Schema.String, "Stable, never reused, such as STELE-CAP-0003."),
    family: Schema.String,
    reason: Schema.String,
    fix: described(Schema.String, "What to do."),
    isRetryable: described(Schema.Boolean, "The same request may be answered later."),
    data: described(
      Schema.Record(Schema.String, Schema.Json),
      "What the error is about; problems lists path, expected and actual of everything wrong with a request.",
    ),
    traceId: Schema.optionalKey(Schema.String),
  }),
  "Problem",
  "An error (RFC 9457).",
)

export type Isolation = typeof Isolation.Type
export type PluginSummary = typeof PluginSummary.Type
export type PluginDetail = typeof PluginDetail.Type
export type PluginList = typeof PluginList.Type
export type Problem = typeof Problem.Type

type Body = { readonly description: string; readonly type: string; readonly schema?: Schema.Top }

export interface Route {
  readonly id: string
  readonly method: "GET" | "PUT" | "DELETE" | "POST"
  /** As OpenAPI writes it. */
  readonly path: string
  readonly summary: string
  /** Answers without a token. */
  readonly isOpen?: true
  /** Answers while the service drains, and when it is full. */
  readonly isProbe?: true
  readonly query?: Schema.Top
  readonly body?: Body
  readonly answers: Readonly<Record<number, Body>>
  readonly errors: ReadonlyArray<number>
}

const json = "application/json"

export const routes = [
  {
    id: "health",
    method: "GET",
    path: "/healthz",
    summary: "Is the process alive?",
    isOpen: true,
    isProbe: true,
    answers: { 200: { description: "It is.", type: json, schema: Health } },
    errors: [],
  },
  {
    id: "ready",
    method: "GET",
    path: "/readyz",
    summary: "Does it take requests? 503 from the moment that it is told to end.",
    isOpen: true,
    isProbe: true,
    answers: { 200: { description: "It does.", type: json, schema: Health } },
    errors: [503],
  },
  {
    id: "metrics",
    method: "GET",
    path: "/metrics",
    summary: "Counts and times, for Prometheus.",
    isProbe: true,
    answers: { 200: { description: "Text.", type: "text/plain" } },
    errors: [401],
  },
  {
    id: "openapi",
    method: "GET",
    path: "/openapi.json",
    summary: "This interface, for machines.",
    isOpen: true,
    answers: { 200: { description: "OpenAPI 3.1.", type: json } },
    errors: [],
  },
  {
    id: "docs",
    method: "GET",
    path: "/docs",
    summary: "This interface, for people.",
    isOpen: true,
    answers: { 200: { description: "A page.", type: "text/html" } },
    errors: [],
  },
  {
    id: "list",
    method: "GET",
    path: "/v1/plugins",
    summary: "List plugins.",
    answers: { 200: { description: "All of them.", type: json, schema: PluginList } },
    errors: [401],
  },
  {
    id: "install",
    method: "PUT",
    path: "/v1/plugins/{name}",
    summary: "Load a plugin, or put it in the place of the one of that name. It is kept over restarts. Calls that run end in the one they began with.",
    query: InstallQuery,
    body: { description: "The component.", type: "application/wasm" },
    answers: {
      201: { description: "It is loaded and kept.", type: json, schema: PluginSummary },
      200: { description: "It took the place of another.", type: json, schema: PluginSummary },
    },
    errors: [400, 401, 403, 408, 409, 413, 415, 422],
  },
  {
    id: "show",
    method: "GET",
    path: "/v1/plugins/{name}",
    summary: "Show what a plugin is, may do and offers.",
    answers: { 200: { description: "The plugin.", type: json, schema: PluginDetail } },
    errors: [401, 404],
  },
  {
    id: "remove",
    method: "DELETE",
    path: "/v1/plugins/{name}",
    summary: "Take a plugin away. What it stored stays.",
    answers: { 204: { description: "It is gone.", type: "" } },
    errors: [401, 404],
  },
  {
    id: "call",
    method: "POST",
    path: "/v1/plugins/{name}/calls/{export}",
    summary: "Call an export, by its full name, interface#function, or function alone where one is meant; write / as %2F and # as %23.",
    query: CallQuery,
    body: { description: "The arguments.", type: json, schema: Arguments },
    answers: { 200: { description: "What it answered.", type: json, schema: Answer } },
    errors: [400, 401, 403, 404, 408, 413, 415, 422, 500, 504],
  },
] as const satisfies ReadonlyArray<Route>

export type RouteId = (typeof routes)[number]["id"]

/** What everything may answer with. */
export const commonErrors: ReadonlyArray<number> = [421, 429, 431, 500, 503]
