/**
 * WIT text → tokens, one at a time: WIT.md "Lexical structure". Bounded by the text: every character is looked at once.
 */
import { keywords } from "../print.ts"
import { type Version, versionAt } from "./version.ts"

/** `identifier`, `integer`, `literal` (a string), `end`; a keyword or an operator is its own kind. */
export type TokenKind = string

/** What a text is refused for before anything is read of it, or when a token is not one. */
export class LexError {
  readonly reason: "Character" | "Syntax"
  readonly at: number
  readonly detail: string
  readonly advice: string

  constructor(reason: "Character" | "Syntax", at: number, detail: string, advice: string) {
    this.reason = reason
    this.at = at
    this.detail = detail
    this.advice = advice
  }
}

const codePoint = (text: string, at: number): string => `U+${(text.codePointAt(at) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`

/**
 * WIT.md: no control characters but newline, carriage return and tab, none that overrides the direction of text
 * (CVE-2021-42574), and none that Unicode deprecates or strongly discourages; these are the ones that wasm-tools refuse.
 */
// oxlint-disable-next-line no-control-regex
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]|\u0149|\u0673|\u0f77|\u0f79|\u17a3|\u17a4|\u17b4|\u17b5/g

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39
const isLetter = (code: number): boolean => (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a
/** What an identifier may look like to a reader; which of these it may be made of is said when it is taken. */
const isWordPart = (code: number): boolean => isLetter(code) || isDigit(code) || code === 0x2d || code === 0x5f || code >= 0xa0

/** What may follow a backslash; `\\hh` stands for a byte of UTF-8, of which one alone is a character up to 7f. */
const escape = /[tnr"'\\]|u\{([0-9A-Fa-f]{1,6})\}|[0-7][0-9A-Fa-f]/y
const simple: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13, '"': 0x22, "'": 0x27, "\\": 0x5c }

const operators = "=,:;(){}<>*/.@"

export class Lexer {
  readonly text: string
  /** The token that stands next. */
  kind: TokenKind = ""
  /** Where it begins and ends. */
  start = 0
  end = 0
  /** Of an identifier without its `%`, and of a string: what it says. */
  value = ""
  /** Comments since the token before, each by begin and end. */
  comments: Array<readonly [number, number]> = []

  /** Stands before the first token. @throws LexError for a character that no WIT text may have */
  constructor(text: string) {
    this.text = text
    forbidden.lastIndex = 0
    const found = forbidden.exec(text)
    if (found !== null) {
      throw new LexError("Character", found.index, `${codePoint(text, found.index)} may not be in a text that people read`, "take the character out")
    }
    // One byte order mark may begin a file.
    this.end = text.charCodeAt(0) === 0xfeff ? 1 : 0
  }

  /** @throws LexError */
  next(): void {
    const { text } = this
    // Whoever goes on after a mistake does not find the token before it again.
    this.kind = ""
    this.#skip()
    const at = this.end
    this.start = at
    if (at >= text.length) {
      this.kind = "end"
      return
    }
    const code = text.charCodeAt(at)
    if (code === 0x2d && text.charCodeAt(at + 1) === 0x3e) return this.#put("->", 2)
    if (isLetter(code) || code === 0x5f || code === 0x2d || code === 0x25 || code >= 0xa0) return this.#word()
    if (isDigit(code)) {
      let stop = at + 1
      while (isDigit(text.charCodeAt(stop))) stop++
      this.value = text.slice(at, stop)
      return this.#put("integer", stop - at)
    }
    if (code === 0x22) return this.#string()
    const operator = text.charAt(at)
    if (!operators.includes(operator)) {
      this.end = at + 1
      throw new LexError("Character", at, `"${operator}" (${codePoint(text, at)}) begins no token`, "take the character out")
    }
    this.#put(operator, 1)
  }

  #put(kind: TokenKind, length: number): void {
    this.kind = kind
    this.end = this.start + length
  }

  #word(): void {
    const { text, start } = this
    const isExplicit = text.charCodeAt(start) === 0x25
    let stop = start + 1
    while (stop < text.length && isWordPart(text.charCodeAt(stop))) stop++
    this.value = text.slice(isExplicit ? start + 1 : start, stop)
    this.#put(!isExplicit && (keywords.has(this.value) || this.value === "_") ? this.value : "identifier", stop - start)
  }

  /** Blanks and comments; the latter are kept, since they may be documentation of what follows. */
  #skip(): void {
    const { text } = this
    this.comments = []
    for (;;) {
      const code = text.charCodeAt(this.end)
      if (code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d) this.end++
      else if (code === 0x2f && text.charCodeAt(this.end + 1) === 0x2f) {
        const stop = text.indexOf("\n", this.end)
        const end = stop === -1 ? text.length : stop
        this.comments.push([this.end, end])
        this.end = end
      } else if (code === 0x2f && text.charCodeAt(this.end + 1) === 0x2a) this.#block()
      else return
    }
  }

  /** Comments of this kind nest. */
  #block(): void {
    const { text, end: begin } = this
    const mark = /\/\*|\*\//g
    mark.lastIndex = begin
    for (let depth = 0; ;) {
      const found = mark.exec(text)
      if (found === null) {
        // The rest of the text is gone with it.
        this.end = text.length
        throw new LexError("Syntax", begin, "the comment does not end", "end it with */, once for each /* in it")
      }
      depth += found[0] === "/*" ? 1 : -1
      if (depth === 0) break
    }
    this.end = mark.lastIndex
    this.comments.push([begin, this.end])
  }

  /** `core:name` of the text format, with the escapes that stand for characters. */
  #string(): void {
    const { text, start } = this
    let value = ""
    let at = start + 1
    for (let from = at; ;) {
      const char = text.charAt(at)
      if (char === "" || char === "\n") {
        this.end = at
        throw new LexError("Syntax", start, "the string does not end on its line", 'end it with "')
      }
      if (char !== '"' && char !== "\\") {
        at++
        continue
      }
      value += text.slice(from, at)
      at++
      if (char === '"') break
      escape.lastIndex = at
      const found = escape.exec(text)
      const code = found === null ? undefined : (simple[found[0]] ?? Number.parseInt(found[1] ?? found[0], 16))
      if (code === undefined || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        this.end = at
        throw new LexError("Syntax", at - 1, "this is no escape of a string", String.raw`write \n, \t, \r, \", \\ or \u{2603}`)
      }
      value += String.fromCodePoint(code)
      at = escape.lastIndex
      from = at
    }
    this.value = value
    this.#put("literal", at - start)
  }

  /** The version that begins behind the current token, which is taken with it; undefined where none does. */
  version(): Version | undefined {
    let at = this.end
    while (/[ \t\r\n]/.test(this.text.charAt(at))) at++
    const version = versionAt(this.text, at)
    if (version !== undefined) {
      this.end = at + version.text.length
      this.next()
    }
    return version
  }
}
