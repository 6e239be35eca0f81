/** Quantities as people write them on a command line, and as they read them: `500ms`, `64MiB`, `1_000_000`. */
import { ConfigError } from "../../schemas/error/config.ts"
import { type LimitName, limits } from "../../schemas/error/limit.ts"
import { closest } from "../../schemas/value/closest.ts"
import { quote } from "../../schemas/value/form.ts"

const refuse = (option: string, text: string, expected: string): never => {
  throw new ConfigError("Option", { option, expected, actual: quote(text) })
}

const durationUnits: Readonly<Record<string, number>> = { "": 1, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 60e3, min: 60e3, h: 3600e3 }

/** Milliseconds: a number alone is milliseconds; units are `us ms s m h`. */
export function parseDuration(option: string, text: string): number {
  const found = /^(\d+(?:\.\d+)?) ?([a-zµ]*)$/.exec(text)
  const unit = durationUnits[found?.[2] ?? "?"]
  if (found === null || unit === undefined) return refuse(option, text, "a duration such as 500, 500ms or 2s")
  return Number(found[1]) * unit
}

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
}

/** Bytes: `KB MB GB` are powers of 1,000 (IEC 80000-13), `KiB MiB GiB` and plain `K M G` powers of 1,024. */
export function parseBytes(option: string, text: string): number {
  const found = /^(\d[\d_]*(?:\.\d+)?) ?([a-z]*)$/i.exec(text)
  const unit = byteUnits[(found?.[2] ?? "?").toLowerCase()]
  const bytes = found === null || unit === undefined ? Number.NaN : Number((found[1] as string).replaceAll("_", "")) * unit
  return Number.isInteger(bytes) ? bytes : refuse(option, text, "bytes such as 65536, 64KiB or 16MiB")
}

/** A whole number; `_` may group digits, and `k M G` are powers of 1,000. */
export function parseCount(option: string, text: string): bigint {
  const found = /^(\d[\d_]{0,30})([kMG]?)$/.exec(text)
  if (found === null) return refuse(option, text, "a whole number such as 1000000, 1_000_000 or 1M")
  return BigInt((found[1] as string).replaceAll("_", "")) * { "": 1n, k: 1_000n, M: 1_000_000n, G: 1_000_000_000n }[found[2] as "" | "k" | "M" | "G"]
}

/** `NAME=VALUE` of `--limit`, the value in the limit's own unit. */
export function parseLimit(text: string): readonly [name: LimitName, value: number] {
  const at = text.indexOf("=")
  if (at < 1) return refuse("--limit", text, "NAME=VALUE such as stackBytesMax=64KiB")
  const [name, value] = [text.slice(0, at) as LimitName, text.slice(at + 1)]
  const option = `--limit ${name}`
  if (!Object.hasOwn(limits, name)) {
    const [near] = closest(name, Object.keys(limits))
    throw new ConfigError("Usage", {
      detail: `Unknown limit ${quote(name)}`,
      advice: near === undefined ? "stele explain limits lists them" : `did you mean "${near}"`,
    })
  }
  const { unit } = limits[name]
  return [name, unit === "bytes" ? parseBytes(option, value) : unit === "ms" ? parseDuration(option, value) : Number(parseCount(option, value))]
}

/** `17542` → `17,542`, in any locale. */
export const countText = (value: number | bigint): string => String(value).replace(/\B(?=(\d{3})+$)/g, ",")

/** `65536` → `64.0 KiB`. */
export function bytesText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB"]
  let at = 0
  let value = bytes
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024
  return at === 0 ? `${countText(bytes)} ${bytes === 1 ? "byte" : "bytes"}` : `${value.toFixed(value < 100 ? 1 : 0)} ${units[at]}`
}

/** Nanoseconds → `4.31 ms`: three digits and the unit that fits. */
export function timeText(ns: number): string {
  const [value, unit] = ns < 1e6 ? [ns / 1e3, "µs"] : ns < 1e9 ? [ns / 1e6, "ms"] : [ns / 1e9, "s"]
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`
}
