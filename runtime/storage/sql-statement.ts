/** What a service's statement must be before any database sees it: the same in every store. */
import { ConfigError } from "../../schemas/error/config.ts"
import { checkLimit } from "../../host/port/port.ts"
import type { SqlLimits, SqlStatement, SqlValue } from "../port/sql.ts"

/** Whose tables nobody else's may be called like: the store's own. */
const ownNames = new Set(["commit", "key", "event", "log", "blob", "queue", "usage", "fence", "sqlite", "stele", "archive", "mark"])
const servicePattern = /^[a-z][a-z0-9]{0,30}$/

/** Is a table, by its name, a service's? */
export const isOfService = (table: string): boolean => /^[a-z][a-z0-9]{0,30}_/.test(table) && !ownNames.has(table.slice(0, table.indexOf("_")))

/** It becomes part of statements. @throws ConfigError */
export function checkService(service: string): void {
  if (!servicePattern.test(service) || ownNames.has(service))
    throw new ConfigError("Option", {
      option: "service",
      expected: "a name of lower-case letters and digits that is none of the store's own",
      actual: JSON.stringify(service),
    })
}

/** What a value is not; undefined when it is one. An object would be taken for values by name. */
function fault(value: SqlValue): { readonly expected: string; readonly actual: string } | undefined {
  if (typeof value === "string") {
    if (!value.isWellFormed()) return { expected: "well-formed text", actual: "half a surrogate pair" }
    return value.includes("\0") ? { expected: "text without U+0000 (bytes can hold it)", actual: `U+0000 at ${value.indexOf("\0")}` } : undefined
  }
  if (value === null || ["number", "bigint"].includes(typeof value) || value instanceof Uint8Array) return undefined
  return { expected: "null, a number, a bigint, a string or bytes", actual: typeof value }
}

/** @throws ConfigError; CapabilityError `PortLimit` */
export function checkStatement({ service, text, params = [] }: SqlStatement, limits: SqlLimits): void {
  checkService(service)
  if (typeof text !== "string") throw new ConfigError("Option", { option: "text", expected: "a statement", actual: typeof text })
  checkLimit("sql", "textBytesMax", "bytes", limits.textBytesMax, text.length)
  for (const [i, param] of params.entries()) {
    const found = fault(param)
    if (found !== undefined) throw new ConfigError("Option", { option: `params[${i}]`, ...found })
  }
}

const utf8 = new TextEncoder()
const asText = (_: string, value: unknown): unknown =>
  typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? { bytes: Buffer.from(value).toString("base64") } : value

/** What of a statement the digest of its commit is over. */
export const changeOf = ({ service, text, params = [] }: SqlStatement): ReadonlyArray<Uint8Array> => [
  utf8.encode("sql"),
  utf8.encode(service),
  utf8.encode(text),
  utf8.encode(JSON.stringify(params, asText)),
]
