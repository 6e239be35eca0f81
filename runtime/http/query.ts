/** Queries, checked by their schemas. */
import * as Schema from "effect/Schema"
import { invalidRequest } from "../../schemas/error/http.ts"
import { describe, quote } from "../../schemas/value/form.ts"

/** @throws HttpError `Invalid` with everything that is wrong with a query, each with its path. Parameters in `lists` may be there more than once. */
export function decodeQuery<A>(schema: Schema.Codec<A, unknown>, query: URLSearchParams | undefined, lists: ReadonlyArray<string>): A {
  const given: Array<readonly [string, unknown]> = []
  for (const key of new Set(query?.keys())) {
    const values = query?.getAll(key) ?? []
    given.push([key, lists.includes(key) || values.length > 1 ? values : values[0]])
  }
  const value: unknown = Object.fromEntries(given)
  const checked = Schema.toStandardSchemaV1(schema, { parseOptions: { errors: "all", onExcessProperty: "error" } })["~standard"].validate(value)
  if (checked instanceof Promise) throw new TypeError("Cannot wait for a query")
  if (checked.issues === undefined) return checked.value
  const problems = checked.issues.slice(0, 100).map(({ message, path = [] }) => {
    let [at, found]: [string, unknown] = ["query", value]
    for (const part of path) {
      const key = String(typeof part === "object" ? part.key : part)
      at += /^\d+$/.test(key) ? `[${key}]` : /^\w{1,40}$/.test(key) ? `.${key}` : `[${quote(key)}]`
      found = typeof found === "object" && found !== null && Object.hasOwn(found, key) ? (found as Record<string, unknown>)[key] : undefined
    }
    const expected = message.replace(/^Expected (?:a string matching )?/, "").replace("no excess property", "a parameter of this path")
    return { path: at, expected, actual: describe(found) }
  })
  throw invalidRequest(problems, checked.issues.length > problems.length)
}
