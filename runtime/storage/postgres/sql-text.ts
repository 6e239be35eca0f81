/**
 * A statement's text as the server's scanner takes it apart (PostgreSQL manual, 4.1): where marks of values are, where a statement ends, and
 * with which word it begins. Values never become part of a text: a mark `$3` is replaced by where its value is among those of
 * its kind, so a mistake made here could confuse a statement and could not bring a value into it.
 */
import type { SqlValue } from "../../port/sql.ts"

/** Values by their kinds, as parameters of the function that carries a statement out. */
export interface Values {
  readonly integers: ReadonlyArray<bigint>
  readonly numbers: ReadonlyArray<number>
  readonly texts: ReadonlyArray<string>
  readonly bytes: ReadonlyArray<Uint8Array>
}

export interface Parsed {
  /** Each ends before its semicolon; those that are empty are left out. */
  readonly statements: ReadonlyArray<{ readonly text: string; readonly word: string }>
  readonly values: Values
  /** A mark that stands for no value. */
  readonly missing: string | undefined
}

const [spaces, lineComment, word, digits, mark, dollarTag] = [
  /[ \t\n\r\f\v]+/y,
  /--[^\n\r]*/y,
  /[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_$\u0080-\u{10ffff}]*/uy,
  /[0-9][0-9A-Za-z_.]*/y,
  /\$([0-9]+)/y,
  /\$(?:[A-Za-z_\u0080-\u{10ffff}][A-Za-z0-9_\u0080-\u{10ffff}]*)?\$/uy,
]
/** Between two parts of one constant: white space with the end of a line in it, or comments after that. */
const continued = /[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y

function after(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Where a block comment ends: they nest. */
function commentEnd(text: string, from: number): number {
  let [at, depth] = [from + 2, 1]
  while (at < text.length && depth > 0) {
    if (text.startsWith("/*", at)) [at, depth] = [at + 2, depth + 1]
    else if (text.startsWith("*/", at)) [at, depth] = [at + 2, depth - 1]
    else at++
  }
  return at
}

/** Where what a quote opened ends. `hasEscapes`: a backslash takes the next character with it, also in a part on the next line. */
function quoteEnd(text: string, from: number, quote: string, hasEscapes = false): number {
  let at = from + 1
  while (at < text.length) {
    if (hasEscapes && text[at] === "\\") at += 2
    else if (text[at] !== quote) at++
    else if (text[at + 1] === quote) at += 2
    else {
      const more = hasEscapes ? after(continued, text, at + 1) : null
      if (more === null) return at + 1
      at += 1 + more[0].length
    }
  }
  return at
}

/** Where the token that begins at `at` ends, if it is one in which nothing is looked for. */
function tokenEnd(text: string, at: number): number {
  const char = text[at] as string
  if (text.startsWith("/*", at)) return commentEnd(text, at)
  if (char === "'" || char === '"') return quoteEnd(text, at, char)
  for (const pattern of [spaces, lineComment, digits]) {
    const found = after(pattern, text, at)
    if (found !== null) return at + found[0].length
  }
  const name = after(word, text, at)?.[0]
  if (name !== undefined) return /^e$/i.test(name) && text[at + 1] === "'" ? quoteEnd(text, at + 1, "'", true) : at + name.length
  const tag = after(dollarTag, text, at)?.[0]
  if (tag === undefined) return at + 1
  const end = text.indexOf(tag, at + tag.length)
  return end < 0 ? text.length : end + tag.length
}

/** A value's kind is a parameter of its own; a null has no type until the statement gives it one. */
function places(params: ReadonlyArray<SqlValue>): { readonly values: Values; readonly where: ReadonlyArray<string> } {
  const values = { integers: new Array<bigint>(), numbers: new Array<number>(), texts: new Array<string>(), bytes: new Array<Uint8Array>() }
  const where = params.map((param) => {
    if (param === null) return "NULL"
    if (typeof param === "bigint" || Number.isSafeInteger(param)) return `$1[${values.integers.push(BigInt(param as bigint | number))}]`
    if (typeof param === "number") return `$2[${values.numbers.push(param)}]`
    return typeof param === "string" ? `$3[${values.texts.push(param)}]` : `$4[${values.bytes.push(param as Uint8Array)}]`
  })
  return { values, where }
}

export function parsed(text: string, params: ReadonlyArray<SqlValue> = []): Parsed {
  const { values, where } = places(params)
  const statements: Array<{ text: string; word: string }> = []
  let [done, first] = ["", ""]
  let missing: string | undefined
  const end = (): void => {
    if (first !== "") statements.push({ text: done, word: first.toLowerCase() })
    ;[done, first] = ["", ""]
  }
  for (let at = 0; at < text.length;) {
    if (text[at] === ";") {
      end()
      at++
      continue
    }
    const found = after(mark, text, at)
    const to = found === null ? tokenEnd(text, at) : at + found[0].length
    const token = text.slice(at, to)
    const isSpace = /^(?:\s|--|\/\*)/.test(token)
    if (first === "" && !isSpace && token !== "(") first = token
    const place = found === null ? token : where[Number(found[1]) - 1]
    if (place === undefined) missing ??= token
    done += place ?? token
    at = to
  }
  end()
  return { statements, values, missing }
}
