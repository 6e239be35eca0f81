/** The OpenAPI 3.1 document of the service, from the routes and their schemas. */
import * as Schema from "effect/Schema"
import { HttpError } from "../../schemas/error/http.ts"
import { version } from "../cli/version.ts"
import { commonErrors, Problem, type Route, routes } from "./api.ts"

type Json = Readonly<Record<string, unknown>>

/** Schemas by identifier, as they are met. */
class Components {
  readonly schemas: Record<string, unknown> = {}

  of(schema: Schema.Top): unknown {
    const { schema: root, definitions } = Schema.toJsonSchemaDocument(schema as unknown as Schema.Codec<unknown, unknown>)
    for (const [name, definition] of Object.entries(definitions)) this.schemas[name] = moved(definition)
    return moved(root)
  }
}

/** Definitions lie elsewhere in a document of OpenAPI. */
function moved(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(moved)
  if (typeof json !== "object" || json === null) return json
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [
      key,
      key === "$ref" && typeof value === "string" ? value.replace("#/$defs/", "#/components/schemas/") : moved(value),
    ]),
  )
}

const reasons: Readonly<Record<number, string>> = {
  400: "Something in the request cannot be used; every place is listed.",
  401: "No token, or one that is not known.",
  403: "A grant is missing, or the page's origin is not let in.",
  404: "There is no such path, plugin or export.",
  408: "The body did not come in time, or the plugin waited for too long.",
  409: "Something else is in the way.",
  413: "A limit was reached.",
  415: "The body has another media type.",
  421: "The service is not known by this name.",
  422: "The component is not accepted, or the plugin answered with its own error.",
  429: "Too many requests; retry-after says when.",
  431: "The headers are too long.",
  500: "The plugin trapped, or something failed in the service.",
  501: "This version does not have what was asked for.",
  503: "The service is full, or about to end; retry-after says when.",
  504: "The call was stopped at its deadline.",
}

interface Property {
  readonly description?: string
  readonly type?: string
}

function parametersOf(route: Route, components: Components): ReadonlyArray<Json> {
  const path = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    description: name === "name" ? "The plugin's name: 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first." : "The export.",
    schema: name === "name" ? { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" } : { type: "string" },
  }))
  if (route.query === undefined) return path
  const { properties = {} } = components.of(route.query) as { readonly properties?: Readonly<Record<string, Property>> }
  const query = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: false,
    ...(description === undefined ? {} : { description }),
    schema,
    ...(schema.type === "array" ? { style: "form", explode: true } : {}),
  }))
  return [...path, ...query]
}

function operationOf(route: Route, components: Components): Json {
  const content = (type: string, schema: Schema.Top | undefined): Json => ({
    [type]:
      schema === undefined
        ? type === "application/wasm"
          ? {}
          : { schema: type === "application/json" ? { type: "object" } : { type: "string" } }
        : { schema: components.of(schema) },
  })
  const answers = Object.entries(route.answers).map(([status, { description, type, schema }]) => [
    status,
    { description, ...(type === "" ? {} : { content: content(type, schema) }) },
  ])
  const errors = [...new Set([...route.errors, ...(route.isProbe === true ? [431, 500] : commonErrors)])]
    .toSorted((a, b) => a - b)
    .map((status) => [
      String(status),
      { description: reasons[status] ?? "An error.", content: { "application/problem+json": { schema: components.of(Problem) } } },
    ])
  const { body } = route
  const parameters = parametersOf(route, components)
  return {
    operationId: route.id,
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: { required: true, description: body.description, content: content(body.type, body.schema) } }),
    responses: Object.fromEntries([...answers, ...errors]),
    security: route.isOpen === true ? [] : [{ token: [] }],
  }
}

export function openapi(base: string): Json {
  const components = new Components()
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operationOf(route, components)
  return {
    openapi: "3.1.0",
    info: {
      title: "Stele",
      version: version(),
      description: `Plugins that nobody vouches for: denied by default, typed, metered, stoppable. Errors are problem details (RFC 9457) whose code \`stele explain CODE\` explains; ${new HttpError("Invalid", { detail: "…", problems: [], isCut: false }).code} lists everything that is wrong with a request.`,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: base === "" ? "/" : base }],
    paths,
    components: {
      schemas: components.schemas,
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "The service says at its start where its token is." } },
    },
  }
}
