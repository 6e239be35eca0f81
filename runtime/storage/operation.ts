/** Operations as they are handed on to another thread, or kept until a database takes them. */
import { ConfigError } from "../../schemas/error/config.ts"
import type { Operation } from "../port/store.ts"

/** What is bytes in every operation that has it. */
const bytesFields = new Set(["tenant", "key", "value", "payload", "digest", "records", "beforeId"])

/**
 * An operation with bytes of its own, taken when it is asked for: a view would send all of the buffer below it, and
 * shared memory could change between the sum of a row and the row.
 * @throws ConfigError for something else where bytes must be, and for a tenant that no text can name
 */
export function copyOf(operation: Operation): Operation {
  const copy: Record<string, unknown> = { ...operation }
  for (const [name, value] of Object.entries(copy)) {
    if (value instanceof Uint8Array) copy[name] = new Uint8Array(value)
    else if (bytesFields.has(name)) throw new ConfigError("Option", { option: name, expected: "bytes", actual: typeof value })
    else if (typeof value === "object" && value !== null) copy[name] = copyOfAny(value)
  }
  const { tenant } = operation as { readonly tenant?: Uint8Array }
  if (tenant !== undefined) checkTenant(tenant)
  return copy as unknown as Operation
}

/** Stores keep rows of their own under names that no UTF-8 starts with. */
export function checkTenant(tenant: Uint8Array): void {
  if (!((tenant[0] as number) < 0xf8) && tenant.length > 0)
    throw new ConfigError("Option", { option: "tenant", expected: "UTF-8", actual: `a byte ${tenant[0]}` })
}

function copyOfAny(value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) return value.map(copyOfAny)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copyOfAny(each)]))
}

/** A whole number within its range, or a `ConfigError` that names it. */
export function checkWhole(option: string, value: number, least: number, most: number = Number.MAX_SAFE_INTEGER): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new ConfigError("Option", { option, expected: `a whole number from ${least} to ${most}`, actual: String(value) })
}
