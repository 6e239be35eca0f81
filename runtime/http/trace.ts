/** W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context/): what is not as it says is not passed on. */

export interface Trace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** The caller's span, 16 hexadecimal digits. */
  readonly parentId: string
  readonly isSampled: boolean
  /** Vendors' own, as it came; absent where there was none, or one that is not well-formed. */
  readonly state?: string
}

// §3.2: `version "-" trace-id "-" parent-id "-" trace-flags`, lower case; version ff is forbidden, a later version may append more.
const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

// §3.3.1.3: keys of 256 characters, or tenant@system of 241 and 14; values of 256 printable characters without "," and "=", the last no blank.
const stateKey = /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/
const stateValue = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/
/** §3.3.1.5: at least so many characters are passed on; what is longer is dropped. */
const stateCharsMax = 512
/** §3.3.1.1 */
const stateMembersMax = 32

function isState(text: string): boolean {
  if (text.length > stateCharsMax) return false
  const keys = new Set<string>()
  for (const part of text.split(",")) {
    const member = part.replace(/^[ \t]+|[ \t]+$/g, "")
    if (member === "") continue
    const at = member.indexOf("=")
    const key = member.slice(0, Math.max(at, 0))
    if (at < 1 || !stateKey.test(key) || !stateValue.test(member.slice(at + 1)) || keys.has(key)) return false
    keys.add(key)
  }
  return keys.size > 0 && keys.size <= stateMembersMax
}

/** The trace that a request belongs to; undefined where it names none, or none as it should. */
export function parseTrace(parent: string | null, state: string | null): Trace | undefined {
  if (parent === null) return undefined
  const [, version, traceId, parentId, flags, more] = form.exec(parent) ?? []
  if (version === undefined || traceId === undefined || parentId === undefined || flags === undefined) return undefined
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return undefined
  const isSampled = (Number.parseInt(flags, 16) & 1) === 1
  return { traceId, parentId, isSampled, ...(state !== null && isState(state) ? { state } : {}) }
}

/** The header for whoever is asked next. */
export const traceparent = (traceId: string, spanId: string, isSampled: boolean): string => `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`
