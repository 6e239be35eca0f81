/** Where a mistake stands in a text, for people: line, column, and the line with a caret under it. */
export interface Position {
  /** Counted from 1. */
  readonly line: number
  /** In characters of the line, counted from 1. */
  readonly column: number
}

export const positionAt = (text: string, at: number): Position => {
  let line = 1
  let start = 0
  for (let next = text.indexOf("\n"); next !== -1 && next < at; next = text.indexOf("\n", start)) {
    line++
    start = next + 1
  }
  return { line, column: Array.from(text.slice(start, at)).length + 1 }
}

/**
 * The line of `at`, cut to `around` code units on either side, and a second line with a caret under it. What could steer a
 * terminal is shown as one replacement character.
 */
export function excerptAt(text: string, at: number, around = 30): string {
  const start = text.lastIndexOf("\n", at - 1) + 1
  const stop = text.indexOf("\n", at)
  const whole = stop === -1 ? text.length : stop
  const end = whole > at && text[whole - 1] === "\r" ? whole - 1 : whole
  const from = Math.max(start, at - around)
  const shown = (part: string): string => part.replace(/[\p{C}\p{Zl}\p{Zp}\p{M}]/gu, "\u{fffd}")
  const head = `  ${from > start ? "…" : ""}${shown(text.slice(from, at))}`
  const tail = `${shown(text.slice(at, Math.min(end, at + around)))}${at + around < end ? "…" : ""}`
  return `${head}${tail}\n${" ".repeat(Array.from(head).length)}^`
}
