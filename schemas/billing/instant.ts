/** Instants as they are kept and as people write them. */
import * as Schema from "effect/Schema"

/** Digits of the greatest instant: texts of equal length are in its order. */
export const instantDigits = 16
/** Microseconds since 1970-01-01T00:00:00Z, up to the year 2286. In JSON its decimal digits. */
export const Instant = Schema.BigIntFromString.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 10n ** BigInt(instantDigits) - 1n })).annotate({
  identifier: "Instant",
})

const pattern = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?Z)?$/

/** `2026-01-01` or `2026-01-01T00:00:00.000001Z` as microseconds; undefined for what is none, such as February 30. */
export function readInstant(text: string): bigint | undefined {
  const found = pattern.exec(text)
  if (found === null) return undefined
  const [, date = "", time = "00:00:00", part = ""] = found
  const ms = Date.parse(`${date}T${time}Z`)
  // The engine takes February 30 for March 2.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== `${date}T${time}.000Z`) return undefined
  return BigInt(ms) * 1_000n + BigInt(part.padEnd(6, "0"))
}

/** `2026-01-01T00:00:00Z`, with as many digits of a second as there are. */
export function instantText(at: bigint): string {
  const us = ((at % 1_000_000n) + 1_000_000n) % 1_000_000n
  const whole = new Date(Number((at - us) / 1_000n)).toISOString().slice(0, 19)
  const part = String(us).padStart(6, "0").replace(/0+$/, "")
  return `${whole}${part === "" ? "" : `.${part}`}Z`
}
