/** The tokens of one file, taken one by one; what is said when another one is wanted; and where reading goes on after a mistake. */
import { quote } from "../../value/form.ts"
import { isLabel } from "../name.ts"
import { keywords } from "../print.ts"
import { LexError, Lexer, type TokenKind } from "./lex.ts"
import type { Report } from "./report.ts"
import type { Name, SourceFile } from "./syntax.ts"

/** The item that is being read has a mistake, which is noted. */
class Failed extends Error {}

/** What a decoder takes for a label (`host/component`). */
const labelCharsMax = 256

/** `fooBar_baz` as the label that was probably meant, if there is one. */
function kebab(text: string): string | undefined {
  const label = text
    .slice(0, labelCharsMax)
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase()
  return isLabel(label) ? label : undefined
}

/** A documentation comment's text without its marks; undefined for any other comment. */
function documentation(comment: string): string | undefined {
  if (comment.startsWith("///")) return comment.startsWith("////") ? undefined : comment.slice(3).replace(/^ /, "").trimEnd()
  if (!comment.startsWith("/**") || comment.length < 5) return undefined
  return comment
    .slice(3, -2)
    .split("\n")
    .map((line, i) => (i === 0 ? line.trim() : line.replace(/^[ \t]*\*? ?/, "").trimEnd()))
    .join("\n")
    .replace(/^\n+|\n+$/g, "")
}

export class Cursor {
  protected readonly source: SourceFile
  protected readonly report: Report
  protected readonly lexer: Lexer
  /** Braces that are open. */
  #open = 0

  constructor(file: SourceFile, report: Report) {
    this.source = file
    this.report = report
    this.lexer = new Lexer(file.text)
  }

  // ── Tokens ────────────────────────────────────────────────────────────────

  protected get kind(): TokenKind {
    return this.lexer.kind
  }

  protected is(kind: TokenKind): boolean {
    return this.lexer.kind === kind
  }

  protected advance(): void {
    if (this.is("{")) this.#open++
    else if (this.is("}")) this.#open--
    this.lexer.next()
  }

  protected eat(kind: TokenKind): boolean {
    const isThere = this.kind === kind
    if (isThere) this.advance()
    return isThere
  }

  protected fail(reason: "Syntax" | "Name" | "Gate", at: number, detail: string, advice: string): never {
    this.report.add(reason, this.source, at, detail, advice)
    throw new Failed()
  }

  #found(): string {
    const { kind, value } = this.lexer
    if (kind === "end") return "the end of the text"
    if (kind === "identifier") return `the name ${quote(value)}`
    return kind === "literal" ? "a string" : kind === "integer" ? "a number" : `"${kind}"`
  }

  protected wanted(what: string, advice = `write ${what} here`): never {
    return this.fail("Syntax", this.lexer.start, `expected ${what}, found ${this.#found()}`, advice)
  }

  /** Takes `kind` and answers where it stood. */
  protected expect(kind: TokenKind): number {
    const at = this.lexer.start
    if (!this.eat(kind)) this.wanted(`"${kind}"`)
    return at
  }

  protected name(what = "a name"): Name {
    const { kind, value, start } = this.lexer
    if (kind !== "identifier") {
      if (keywords.has(kind)) this.fail("Syntax", start, `expected ${what}, found the keyword "${kind}"`, `write %${kind} to use it as a name`)
      this.wanted(what)
    }
    if (value.length > labelCharsMax) this.fail("Name", start, `a name of ${value.length} characters is too long`, `use at most ${labelCharsMax} characters`)
    if (!isLabel(value)) {
      const meant = kebab(value)
      const rule = "a name is words of one case, of letters and digits, joined by dashes, and begins with a letter"
      this.fail("Name", start, `${quote(value)} is no name: ${rule}`, meant === undefined ? "write a name such as max-size" : `write ${meant}`)
    }
    this.advance()
    return { text: value, at: start }
  }

  /** Of the comments before the current token, those that are documentation. */
  protected docs(): string | undefined {
    const { text, comments } = this.lexer
    if (comments.length === 0) return undefined
    const found = comments.map(([from, to]) => documentation(text.slice(from, to))).filter((part) => part !== undefined)
    const docs = found.join("\n")
    return docs === "" ? undefined : docs
  }

  // ── Items, and going on after a mistake ───────────────────────────────────

  /** Reads one item; after a mistake, goes on behind it. */
  protected guarded<T>(read: () => T): T | undefined {
    const open = this.#open
    try {
      return read()
    } catch (error) {
      if (error instanceof LexError) this.report.add(error.reason, this.source, error.at, error.detail, error.advice)
      else if (!(error instanceof Failed)) throw error
      this.#recover(open)
      return undefined
    }
  }

  /** Goes behind the `;` or `}` that ends the item, or before the `}` that ends what it stands in. */
  #recover(open: number): void {
    while (!this.is("end")) {
      const kind = this.kind
      if (this.#open <= open && kind === "}") return
      try {
        this.advance()
      } catch (error) {
        if (!(error instanceof LexError)) throw error
        this.report.add(error.reason, this.source, error.at, error.detail, error.advice)
        continue
      }
      if (this.#open <= open && (kind === ";" || kind === "}")) return
    }
  }

  /** `{ item … }` */
  protected body<T>(read: () => T): ReadonlyArray<T> {
    const at = this.expect("{")
    const items: Array<T> = []
    while (!this.is("}")) {
      if (this.is("end")) this.fail("Syntax", at, 'this "{" has no "}"', 'write "}" where it ends')
      const item = this.guarded(read)
      if (item !== undefined) items.push(item)
    }
    this.advance()
    return items
  }

  /** `close`, after parts that commas part; one may stand behind the last. */
  protected parts<T>(close: TokenKind, read: () => T): ReadonlyArray<T> {
    const parts: Array<T> = []
    while (!this.eat(close)) {
      parts.push(read())
      if (this.eat(",")) continue
      if (!this.eat(close)) this.wanted(`"," or "${close}"`)
      break
    }
    return parts
  }
}
