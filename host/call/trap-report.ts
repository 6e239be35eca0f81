/**
 * What a trap tells: its kind in the specification's words, the same on every engine, and the guest's function names.
 * Engines word traps differently, and JavaScriptCore adds the source text of the host that made the call.
 */
import { printable } from "../../schemas/wit/name.ts"

/** Kinds by the messages of V8 (`messages.h`, kTrap…) and JavaScriptCore (`WasmExceptionType.h`); texts of the specification's test suite. */
const kinds: ReadonlyArray<readonly [RegExp, string]> = [
  [/^unreachable/i, "unreachable"],
  [/^(divide|division|remainder) by zero/i, "integer divide by zero"],
  [/^(divide result unrepresentable|integer overflow)/i, "integer overflow"],
  [/^(float unrepresentable|out of bounds trunc)/i, "invalid conversion to integer"],
  [/memory access out of bounds|out of bounds memory access/i, "out of bounds memory access"],
  [/table.* out of bounds|out of bounds (table access|call_indirect)/i, "out of bounds table access"],
  // Not every engine tells an empty entry from one of another type.
  [/^null function|signature mismatch|signature that does not match|null table entry/i, "indirect call of an entry that is empty or of another type"],
]

/** The kind of a trap; a message that is none of the specification's traps stands as it is, escaped. */
export function trapText(message: string): string {
  for (const [pattern, kind] of kinds) if (pattern.test(message)) return kind
  return printable(message.replace(/ \(evaluating '[\s\S]*'\)$/, ""))
}

/** Frames of one trap, and UTF-16 units of one name (HOST.md §7). */
const framesMax = 20

interface Site {
  getFunctionName(): string | null
  getFileName(): string | null
  toString(): string
}

/** A name as an engine gives it: "NAME", "MODULE.wasm-function[NAME]", "wasm-function[12]", or nothing. */
function nameOf(name: string | null, line: string): string {
  const inner = name === null ? undefined : /wasm-function\[(.*)\]$/s.exec(name)?.[1]
  if (inner === undefined && name !== null && name !== "") return printable(name)
  if (inner !== undefined && inner !== "" && !/^\d+$/.test(inner)) return printable(inner)
  return /wasm-function\[\d+\]/.exec(line)?.[0] ?? "?"
}

/**
 * Guest function names of a trap's stack, innermost first. Read through the call sites, which are there until somebody
 * reads `stack`: Bun's text has no names of guest functions. Where an engine has no call sites, through the text.
 */
export function framesOf(error: Error): ReadonlyArray<string> {
  let sites: ReadonlyArray<Site> | undefined
  const holder = Error as { prepareStackTrace?: unknown }
  const kept = Object.getOwnPropertyDescriptor(holder, "prepareStackTrace")
  let text = ""
  try {
    holder.prepareStackTrace = (_error: unknown, seen: ReadonlyArray<Site>) => {
      sites = seen
      return seen.map((site) => `    at ${String(site)}`).join("\n")
    }
    text = String(error.stack ?? "")
  } catch {
    // `Error` is frozen, or somebody's `stack` throws: a trap without frames is still a trap.
  } finally {
    try {
      if (kept === undefined) delete holder.prepareStackTrace
      else Object.defineProperty(holder, "prepareStackTrace", kept)
    } catch {
      // Frozen: then it was never set.
    }
  }
  const frames: Array<string> = []
  if (sites !== undefined) {
    for (const site of sites) {
      const file = site.getFileName()
      if (file === null || !(file.startsWith("wasm://") || file === "[wasm code]")) continue
      frames.push(nameOf(site.getFunctionName(), String(site)))
      if (frames.length === framesMax) break
    }
    return frames
  }
  // V8: "at NAME (wasm://…"; JavaScriptCore: "NAME@[wasm code]" or "<?>.wasm-function[NAME]@".
  for (const line of text.split("\n")) {
    const match = /^\s*at (?:async )?(.*?) ?\(?wasm:\/\//.exec(line) ?? /^(.*?)@\[wasm code\]/.exec(line)
    if (match === null) continue
    frames.push(nameOf(match[1] as string, line))
    if (frames.length === framesMax) break
  }
  return frames
}
