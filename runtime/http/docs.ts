/** The page of documentation: the interface for people, from the same routes. One file, no script, nothing from elsewhere. */
import "../../schemas/error/http.ts"
import { errorExplanation } from "../../schemas/error/explain.ts"
import { catalogue } from "../../schemas/error/mod.ts"
import { version } from "../cli/version.ts"
import { openapi } from "./openapi.ts"
import { type Route, routes } from "./api.ts"
import type { ServiceLimits } from "./service.ts"

const { createHash } = process.getBuiltinModule("node:crypto")

const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)

const style = `
:root{color-scheme:light dark;--line:#8884;--dim:#777;--accent:#0a7}
*{box-sizing:border-box}
body{font:16px/1.55 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:2rem 1.25rem 6rem}
h1{font-size:1.9rem;margin:0}h2{margin:3rem 0 .75rem;font-size:1.3rem}h3{margin:2rem 0 .4rem;font-size:1rem}
p{margin:.4rem 0}code,pre{font:.87em/1.5 ui-monospace,monospace}
pre{background:#8881;border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;overflow-x:auto}
h3 code{font-size:1rem}.method{color:var(--accent);font-weight:700;margin-right:.5em}
.open{border:1px solid var(--line);border-radius:99px;padding:0 .6em;font-size:.75rem;font-weight:400;color:var(--dim);margin-left:.6em}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line)}th{color:var(--dim);font-weight:600}
td:first-child{white-space:nowrap}.dim,footer{color:var(--dim)}nav a{margin-right:1.2em}a{color:inherit}tr:target td{background:#0a72}
`.trim()

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>, ids?: ReadonlyArray<string>): string =>
  `<div class="table"><table><thead><tr>${head.map((cell) => `<th scope="col">${cell}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row, i) => `<tr${ids === undefined ? "" : ` id="${ids[i]}"`}>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`)
    .join("")}</tbody></table></div>`

const code = (text: string): string => `<code>${escape(text)}</code>`

interface Parameter {
  readonly name: string
  readonly in: string
  readonly description?: string
}
interface Operation {
  readonly parameters?: ReadonlyArray<Parameter>
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}

function section(route: Route, operation: Operation): string {
  const parameters = operation.parameters ?? []
  const { body } = route
  const parts = [
    `<h3 id="${route.id}"><span class="method">${route.method}</span>${code(route.path)}${route.isOpen === true ? '<span class="open">no token</span>' : ""}</h3>`,
    `<p>${escape(route.summary)}</p>`,
    body === undefined ? "" : `<p class="dim">Body: ${code(body.type)}. ${escape(body.description)}</p>`,
    parameters.length === 0
      ? ""
      : table(
          ["parameter", "in", "what it is"],
          parameters.map((parameter) => [code(parameter.name), parameter.in, escape(parameter.description ?? "")]),
        ),
    table(
      ["status", "when"],
      Object.entries(operation.responses).map(([status, { description }]) => [status, escape(description)]),
    ),
  ]
  return parts.join("")
}

const example = (base: string): string => `TOKEN=$(cat ~/.local/share/stele/token)
STELE=http://127.0.0.1:4747${base}
curl -H "authorization: Bearer $TOKEN"  \\
  -T greeter.wasm "$STELE/v1/plugins/greeter?grant=log&grant=kv:read:prices/*"
curl -H "authorization: Bearer $TOKEN" --json '[{"name": "Ada"}]' \\
  "$STELE/v1/plugins/greeter/calls/greet"`

export async function docs(base: string, limits: ServiceLimits) {
  const { paths } = openapi(base) as { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> }
  const errors = [...catalogue]
    .filter(([, { family }]) => family !== "StorageError")
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([found, { reason, spec }]) => [found, [code(found), String(spec.status), escape(errorExplanation(found, reason) ?? "")]] as const)
  const body = `<h1>Stele ${escape(version())}</h1>
<p>WebAssembly plugins that nobody vouches for: denied by default, typed, metered, stoppable.</p>
<nav aria-label="Contents"><a href="#paths">Paths</a><a href="#values">Values</a><a href="#limits">Limits</a><a href="#errors">Errors</a><a href="${escape(base)}/openapi.json">openapi.json</a></nav>
<h2>In short</h2><pre>${escape(example(base))}</pre>
<p>Every request but those marked carries <code>authorization: Bearer TOKEN</code>. The token is in a file that only the user of the service can read; the service says at its start which.</p>
<h2 id="paths">Paths</h2>${routes.map((route) => section(route, paths[route.path]?.[route.method.toLowerCase()] as Operation)).join("")}
<h2 id="values">Values</h2><p>Arguments and results are JSON by the types of the export, which <code>GET /v1/plugins/{name}</code> shows with JSON Schemas.</p>${table(
    ["WIT", "JSON"],
    [
      ["u64, s64", "decimal string; safe integers are accepted"],
      ["f32, f64", 'number, or "NaN", "Infinity", "-Infinity", "-0"'],
      ["list&lt;u8&gt;", "base64"],
      ["record", "object with lowerCamelCase keys"],
      ["option&lt;T&gt;", "T, or null or absent"],
      ["variant, result", '{"tag": …, "val": …}'],
      ["flags", "object of booleans"],
    ],
  )}
<h2 id="limits">Limits</h2>${table(
    ["limit", "of this service"],
    Object.entries(limits).map(([name, value]) => [code(name), String(value)]),
  )}
<h2 id="errors">Errors</h2><p>An error is <code>application/problem+json</code> (RFC 9457) with <code>code</code>, <code>detail</code>, <code>fix</code>, <code>isRetryable</code> and <code>data</code>. Codes are stable.</p>${table(
    ["code", "status", "what it means"],
    errors.map(([, row]) => row),
    errors.map(([found]) => found),
  )}
<footer><p>This page needs no script and no network.</p></footer>`
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Stele ${escape(version())}: HTTP</title><style>${style}</style></head><body>${body}</body></html>`
  const hash = createHash("sha256").update(style).digest("base64")
  return {
    status: 200,
    body: page,
    type: "text/html; charset=utf-8",
    headers: { "content-security-policy": `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'` },
  }
}
