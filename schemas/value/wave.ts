/**
 * WAVE, the text encoding of component values: `{name: "Ada", tags: [1, 2], kind: days(30)}`.
 *
 * Source: bytecodealliance/wasm-tools `crates/wasm-wave/README.md` and `wave_ebnf.md` at the commits pinned in
 * `schemas/wit/README.md`. Where the two differ from the crate's own lexer, the lexer wins (label words after the first
 * may start with a digit; exponents may have leading zeros), since that is what other tools accept.
 *
 * The parser is directed by the type and recurses as deep as the type, not as the text: a text cannot nest it further.
 */
import { LimitError } from "../error/limit.ts"
import { WitError } from "../error/wit.ts"
import { type FunctionType, propertyName, type ValueType } from "../wit/model.ts"
import { shapeText, typeText } from "../wit/print.ts"
import { depth } from "../wit/tree.ts"
import { excerptAt, positionAt } from "./excerpt.ts"
import { bigintRange, describe, isPlain, isScalar, isTaggedOption, numberRange, ownField, setField, typedArrayOf } from "./form.ts"
import { Path } from "./path.ts"

/** README "Keywords": a case with one of these names needs a leading `%`. */
const keywords: ReadonlySet<string> = new Set(["true", "false", "inf", "nan", "some", "none", "ok", "err"])

const numberToken = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|-inf/y
const labelToken = /%?(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[a-z0-9]+|[A-Z0-9]+))*/y
const escapeToken = /\\(?:(['"tnr\\])|u\{([0-9a-fA-F]{1,6})\})/y
const simpleEscapes: Readonly<Record<string, string>> = { "'": "'", '"': '"', "\\": "\\", t: "\t", n: "\n", r: "\r" }

/** `some` and flat forms are ambiguous for these payloads (README "Options", "Results"). */
const isFlat = (payload: ValueType | undefined): payload is ValueType => payload !== undefined && payload.kind !== "option" && payload.kind !== "result"

type Labelled = ValueType & { readonly kind: "record" | "variant" | "enum" | "flags" }
const parts = new WeakMap<Labelled, ReadonlyMap<string, ValueType | undefined>>()

/** Fields, cases, labels or flags of a type by name, built once: looking one up must not cost the length of a hostile list. */
function partsOf(type: Labelled): ReadonlyMap<string, ValueType | undefined> {
  let found = parts.get(type)
  if (found === undefined) {
    found =
      type.kind === "record"
        ? new Map(type.fields.map((field) => [field.label, field.type]))
        : type.kind === "variant"
          ? new Map(type.cases.map((part) => [part.label, part.type]))
          : new Map(type.labels.map((label) => [label, undefined]))
    parts.set(type, found)
  }
  return found
}

class Parser {
  readonly #text: string
  readonly #root: string
  #at = 0

  constructor(text: string, root: string) {
    this.#text = text
    this.#root = root
  }

  /** @throws WitError `Text`, always, with the caret under `at`. */
  fail(detail: string, at = this.#at): never {
    throw new WitError("Text", { path: this.#root, ...positionAt(this.#text, at), detail, excerpt: excerptAt(this.#text, at) })
  }

  expected(type: ValueType, at = this.#at): never {
    return this.fail(`expected ${shapeText(type)}`, at)
  }

  #match(token: RegExp): string | undefined {
    token.lastIndex = this.#at
    const found = token.exec(this.#text)
    if (found === null) return undefined
    this.#at = token.lastIndex
    return found[0]
  }

  /** Blanks and `//` comments; by hand, since a regular expression over megabytes of them would exhaust its stack. */
  skip(): void {
    const text = this.#text
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (code === 0x20 || code === 0x09 || code === 0x0a || code === 0x0d) this.#at++
      else if (code === 0x2f && text.charCodeAt(this.#at + 1) === 0x2f) {
        const stop = text.indexOf("\n", this.#at)
        this.#at = stop === -1 ? text.length : stop
      } else return
    }
  }

  /** Consumes `symbol` if it comes next; leaves the position after any blanks. */
  take(symbol: string): boolean {
    this.skip()
    if (!this.#text.startsWith(symbol, this.#at)) return false
    this.#at += symbol.length
    return true
  }

  need(symbol: string, where: string): void {
    if (!this.take(symbol)) this.fail(`expected "${symbol}" ${where}`)
  }

  end(): void {
    this.skip()
    if (this.#at < this.#text.length) this.fail("expected the end of the text")
  }

  /** The next label without consuming it. */
  peekLabel(): string | undefined {
    this.skip()
    const at = this.#at
    const label = this.#match(labelToken)
    this.#at = at
    return label
  }

  #label(what: string): { readonly name: string; readonly isBare: boolean; readonly at: number } {
    this.skip()
    const at = this.#at
    const text = this.#match(labelToken) ?? this.fail(`expected ${what}`)
    return text.startsWith("%") ? { name: text.slice(1), isBare: false, at } : { name: text, isBare: true, at }
  }

  /** Comma-separated items up to `close`, which has not been consumed; a trailing comma is allowed. */
  #items(close: string, item: (index: number) => void): void {
    for (let index = 0; !this.take(close); index++) {
      if (index > 0) {
        this.need(",", `or "${close}"`)
        if (this.take(close)) return
      }
      item(index)
    }
  }

  #number(type: ValueType): { readonly text: string; readonly at: number } {
    this.skip()
    const at = this.#at
    const text = this.#match(numberToken) ?? this.expected(type, at)
    // `12abc` is no number followed by something: tokens must be apart.
    if (/[A-Za-z0-9_.]/.test(this.#text.charAt(this.#at))) this.expected(type, at)
    return { text, at }
  }

  #integer(type: ValueType): bigint {
    const { text, at } = this.#number(type)
    if (!/^-?[0-9]{1,20}$/.test(text)) return this.expected(type, at)
    const value = BigInt(text)
    const range = type.kind === "s64" || type.kind === "u64" ? bigintRange[type.kind] : numberRange[type.kind as keyof typeof numberRange]
    return value >= range[0] && value <= range[1] ? value : this.fail(`${text} is outside ${type.kind}, which is ${range[0]} to ${range[1]}`, at)
  }

  #float(type: ValueType): number {
    const label = this.peekLabel()
    if (label === "nan" || label === "inf") {
      this.#match(labelToken)
      return label === "nan" ? Number.NaN : Number.POSITIVE_INFINITY
    }
    const { text } = this.#number(type)
    return text === "-inf" ? Number.NEGATIVE_INFINITY : Number(text)
  }

  /** One escape sequence at the position, which is at a backslash. */
  #escape(): string {
    const at = this.#at
    escapeToken.lastIndex = at
    const found = escapeToken.exec(this.#text) ?? this.fail("unknown escape; known are \\' \\\" \\\\ \\t \\n \\r and \\u{…}")
    this.#at = escapeToken.lastIndex
    if (found[1] !== undefined) return simpleEscapes[found[1]] as string
    const point = Number.parseInt(found[2] as string, 16)
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) this.fail(`\\u{${found[2]}} is no Unicode scalar value`, at)
    return String.fromCodePoint(point)
  }

  #char(type: ValueType): string {
    this.skip()
    const at = this.#at
    if (!this.take("'")) return this.expected(type)
    let value: string
    if (this.#text.charAt(this.#at) === "\\") value = this.#escape()
    else {
      const point = this.#text.codePointAt(this.#at)
      value = point === undefined ? "" : String.fromCodePoint(point)
      if (value === "'" || value === "\n" || !isScalar(value)) this.fail("expected one character between quotes")
      this.#at += value.length
    }
    if (this.#text.charAt(this.#at) !== "'") this.fail("expected one character between quotes", at)
    this.#at++
    return value
  }

  /** The characters up to `end` (exclusive), escapes resolved. */
  #chars(end: number): string {
    let out = ""
    while (this.#at < end) {
      const next = this.#text.indexOf("\\", this.#at)
      const stop = next === -1 || next > end ? end : next
      out += this.#text.slice(this.#at, stop)
      this.#at = stop
      if (stop < end) out += this.#escape()
    }
    return out
  }

  #string(type: ValueType): string {
    this.skip()
    if (!this.#text.startsWith('"', this.#at)) return this.expected(type)
    if (this.#text.startsWith('"""', this.#at)) return this.#multiline()
    const start = this.#at
    let end = start + 1
    for (; ; end++) {
      const char = this.#text.charAt(end)
      if (char === '"') break
      if (char === "") this.fail("the string does not end", start)
      if (char === "\n") this.fail("a line break in a string must be written \\n", end)
      if (char === "\\") end++
    }
    this.#at = start + 1
    const value = this.#chars(end)
    this.#at = end + 1
    return value.toWellFormed()
  }

  /** README "Multiline Strings": the spaces before the closing quotes are what every line is dedented by. */
  #multiline(): string {
    const start = this.#at
    const open = /"""\r?\n/y
    open.lastIndex = start
    if (!open.test(this.#text)) this.fail('expected a line break after """', start + 3)
    const close = this.#text.indexOf('"""', open.lastIndex)
    if (close === -1) this.fail('the string does not end with """', start)
    const lastBreak = this.#text.lastIndexOf("\n", close)
    const indent = close - lastBreak - 1
    if (this.#text.slice(lastBreak + 1, close).replaceAll(" ", "") !== "") this.fail('only spaces may stand before the closing """', close)
    const lines: Array<string> = []
    for (let at = open.lastIndex; at <= lastBreak;) {
      const stop = this.#text.indexOf("\n", at)
      // A line break may be \r\n; an escaped \r before it is not raw and stays.
      const end = this.#text.charAt(stop - 1) === "\r" && stop > at ? stop - 1 : stop
      const lead = this.#text.slice(at, Math.min(at + indent, end))
      if (lead.replaceAll(" ", "") !== "" || (lead.length < indent && end > at)) this.fail(`expected ${indent} spaces, as before the closing """`, at)
      this.#at = at + lead.length
      lines.push(this.#chars(end))
      at = stop + 1
    }
    this.#at = close + 3
    return lines.join("\n").toWellFormed()
  }

  #list(type: ValueType & { readonly kind: "list" }): unknown {
    if (!this.take("[")) return this.expected(type)
    const items: Array<unknown> = []
    this.#items("]", () => items.push(this.value(type.element)))
    const typed = typedArrayOf(type.element)
    if (typed === undefined) return items
    const out = typed.make(items.length) as { [index: number]: unknown }
    for (let i = 0; i < items.length; i++) out[i] = items[i]
    return out
  }

  #tuple(type: ValueType, types: ReadonlyArray<ValueType>): Array<unknown> {
    if (!this.take("(")) return this.expected(type)
    const start = this.#at
    const items: Array<unknown> = []
    this.#items(")", (i) => items.push(i < types.length ? this.value(types[i] as ValueType) : this.expected(type)))
    return items.length === types.length ? items : this.fail(`expected ${types.length} values for ${shapeText(type)}`, start)
  }

  #record(type: ValueType & { readonly kind: "record" }): Record<string, unknown> {
    if (!this.take("{")) return this.expected(type)
    const start = this.#at
    const fields = partsOf(type)
    const found = new Map<string, unknown>()
    if (this.take(":")) this.need("}", 'after ":"')
    else {
      this.#items("}", () => {
        const { name, at } = this.#label("a field name")
        const field = fields.get(name) ?? this.fail(`"${name}" is no field of ${shapeText(type)}`, at)
        if (found.has(name)) this.fail(`field "${name}" is given twice`, at)
        this.need(":", `after the field "${name}"`)
        found.set(name, this.value(field))
      })
      if (found.size === 0) this.fail('expected a field; a record without fields is written "{:}"', start)
    }
    const out: Record<string, unknown> = {}
    for (const field of type.fields) {
      if (!found.has(field.label) && field.type.kind !== "option") this.fail(`field "${field.label}" is missing`, start)
      setField(out, propertyName(field.label), found.has(field.label) ? found.get(field.label) : noneOf(field.type))
    }
    return out
  }

  #flags(type: ValueType & { readonly kind: "flags" }): Record<string, boolean> {
    if (!this.take("{")) return this.expected(type)
    const labels = partsOf(type)
    const found = new Set<string>()
    this.#items("}", () => {
      const { name, at } = this.#label("a flag")
      if (!labels.has(name)) this.fail(`"${name}" is no flag of ${shapeText(type)}`, at)
      if (found.has(name)) this.fail(`flag "${name}" is given twice`, at)
      found.add(name)
    })
    const out: Record<string, boolean> = {}
    for (const label of type.labels) setField(out, propertyName(label), found.has(label))
    return out
  }

  /** The payload of a case, in parentheses; `{tag}` alone when the case has none. */
  #payload(tag: string, type: ValueType | undefined): { readonly tag: string; readonly val?: unknown } {
    if (type === undefined) return { tag }
    this.need("(", `and the payload of "${tag}"`)
    const val = this.value(type)
    this.need(")", `after the payload of "${tag}"`)
    return { tag, val }
  }

  #case(type: Labelled): string {
    const labels = partsOf(type)
    const { name, isBare, at } = this.#label(shapeText(type))
    if (!labels.has(name)) return this.fail(`"${name}" is no case of ${shapeText(type)}`, at)
    return isBare && keywords.has(name) ? this.fail(`the case "${name}" must be written %${name}`, at) : name
  }

  #option(type: ValueType & { readonly kind: "option" }): unknown {
    const payload = type.type
    const keyword = this.peekLabel()
    if (keyword === "none" || keyword === "some") {
      this.#match(labelToken)
      const value = this.#payload(keyword, keyword === "some" ? payload : undefined)
      return isTaggedOption(payload) ? value : value.val
    }
    return isFlat(payload) ? this.value(payload) : this.expected(type)
  }

  #result(type: ValueType & { readonly kind: "result" }): unknown {
    const keyword = this.peekLabel()
    if (keyword === "ok" || keyword === "err") {
      this.#match(labelToken)
      return this.#payload(keyword, type[keyword])
    }
    return isFlat(type.ok) ? { tag: "ok", val: this.value(type.ok) } : this.expected(type)
  }

  value(type: ValueType): unknown {
    switch (type.kind) {
      case "bool": {
        const label = this.peekLabel()
        if (label !== "true" && label !== "false") return this.expected(type)
        this.#match(labelToken)
        return label === "true"
      }
      case "s64":
      case "u64":
        return this.#integer(type)
      case "f32":
        return Math.fround(this.#float(type))
      case "f64":
        return this.#float(type)
      case "char":
        return this.#char(type)
      case "string":
        return this.#string(type)
      case "list":
        return this.#list(type)
      case "tuple":
        return this.#tuple(type, type.types)
      case "record":
        return this.#record(type)
      case "variant": {
        const tag = this.#case(type)
        return this.#payload(tag, partsOf(type).get(tag))
      }
      case "enum":
        return this.#case(type)
      case "option":
        return this.#option(type)
      case "result":
        return this.#result(type)
      case "flags":
        return this.#flags(type)
      case "own":
      case "borrow":
      case "fixed-list":
      case "map":
      case "stream":
      case "future":
      case "error-context":
        throw new WitError("Inexpressible", { path: this.#root, type: typeText(type), form: "WAVE" })
      default:
        return Number(this.#integer(type))
    }
  }

  /** `(a, b)` for the parameters of a function; trailing options may be left out (README "Function arguments"). */
  args(func: FunctionType): ReadonlyArray<unknown> {
    this.need("(", "before the arguments")
    const values: Array<unknown> = []
    this.#items(")", (i) => {
      const param = func.params[i] ?? this.fail(`the function takes ${func.params.length} arguments`)
      values.push(this.value(param.type))
    })
    for (const param of func.params.slice(values.length)) {
      if (param.type.kind !== "option") this.fail(`argument "${param.label}" is missing`)
      values.push(noneOf(param.type))
    }
    return values
  }
}

const noneOf = (type: ValueType): unknown => (type.kind === "option" && isTaggedOption(type.type) ? { tag: "none" } : undefined)

/**
 * The host value that WAVE text stands for.
 *
 * @param path what error messages call this value, such as `args[0]`.
 * @throws WitError `Text` with line, column and a caret; `Inexpressible` at a handle; LimitError `typeDepthMax` for a type over 1,000 levels.
 */
export function fromWave(type: ValueType, text: string, path = "value"): unknown {
  depth(type)
  const parser = new Parser(text, path)
  const value = parser.value(type)
  parser.end()
  return value
}

/**
 * The arguments of a call from `(arg, …)`; absent trailing options become none.
 *
 * @throws as `fromWave`.
 */
export function argumentsFromWave(func: FunctionType, text: string): ReadonlyArray<unknown> {
  for (const param of func.params) depth(param.type)
  const parser = new Parser(text, "args")
  const values = parser.args(func)
  parser.end()
  return values
}

/** Escapes what README "Strings" demands, and everything invisible, so that the text survives terminals and editors. */
const escaped = (text: string, delimiter: "'" | '"'): string =>
  text.replace(/[\p{C}\p{Zl}\p{Zp}'"\\]/gu, (char) => {
    switch (char) {
      case "\\":
        return "\\\\"
      case "'":
      case '"':
        return char === delimiter ? `\\${char}` : char
      case "\t":
        return "\\t"
      case "\n":
        return "\\n"
      case "\r":
        return "\\r"
      default:
        return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
    }
  })

const floatText = (value: number): string =>
  Number.isNaN(value)
    ? "nan"
    : value === Number.POSITIVE_INFINITY
      ? "inf"
      : value === Number.NEGATIVE_INFINITY
        ? "-inf"
        : Object.is(value, -0)
          ? "-0"
          : String(value)

const caseText = (label: string): string => (keywords.has(label) ? `%${label}` : label)

/** Longest output in UTF-16 code units: below the longest string any of the engines makes (V8: 2^29 - 24). */
const textMax = 1 << 28

/** Output of one print; `some` and `ok` are always written out, so no flat form is ever ambiguous. */
class Printer {
  readonly #at: Path
  readonly #parts: Array<string> = []
  #length = 0

  constructor(path: string) {
    this.#at = new Path(path)
  }

  #put(text: string): void {
    this.#parts.push(text)
    this.#length += text.length
    if (this.#length > textMax) throw new LimitError("outputBytesMax", { limit: textMax, actual: this.#length })
  }

  #inside(key: string | number, type: ValueType, value: unknown): void {
    this.#at.push(key)
    this.value(type, value)
    this.#at.pop()
  }

  #sequence(open: string, close: string, length: number, item: (index: number) => void): void {
    this.#put(open)
    for (let i = 0; i < length; i++) {
      if (i > 0) this.#put(", ")
      item(i)
    }
    this.#put(close)
  }

  #case(tag: string, payload: ValueType | undefined, value: unknown): void {
    this.#put(tag)
    if (payload === undefined) return
    this.#put("(")
    this.#inside("val", payload, value)
    this.#put(")")
  }

  /** Prints `{tag, val}`; `text` is the case as WAVE writes it. */
  #tagged(type: ValueType, value: unknown, cases: ReadonlyMap<string, ValueType | undefined>, text: (tag: string) => string = (tag) => tag): void {
    const tag = isPlain(value) ? ownField(value, "tag") : this.#at.refuse(type, value)
    if (typeof tag !== "string" || !cases.has(tag)) {
      this.#at.push("tag")
      return this.#at.refuseAs(`a case of ${shapeText(type)}`, describe(tag))
    }
    this.#case(text(tag), cases.get(tag), ownField(value as object, "val"))
  }

  value(type: ValueType, value: unknown): void {
    switch (type.kind) {
      case "bool":
        return this.#put(typeof value === "boolean" ? String(value) : this.#at.refuse(type, value))
      case "s64":
      case "u64": {
        const [min, max] = bigintRange[type.kind]
        return this.#put(typeof value === "bigint" && value >= min && value <= max ? value.toString() : this.#at.refuse(type, value))
      }
      case "f32":
      case "f64":
        return this.#put(typeof value === "number" ? floatText(type.kind === "f32" ? Math.fround(value) : value) : this.#at.refuse(type, value))
      case "char":
        return this.#put(typeof value === "string" && isScalar(value) ? `'${escaped(value, "'")}'` : this.#at.refuse(type, value))
      case "string":
        return this.#put(typeof value === "string" ? `"${escaped(value.toWellFormed(), '"')}"` : this.#at.refuse(type, value))
      case "list": {
        if (!Array.isArray(value) && typedArrayOf(type.element)?.is(value) !== true) return this.#at.refuse(type, value)
        const items = value as ArrayLike<unknown>
        return this.#sequence("[", "]", items.length, (i) => this.#inside(i, type.element, items[i]))
      }
      case "tuple": {
        if (!Array.isArray(value) || value.length !== type.types.length) return this.#at.refuse(type, value)
        const items: ReadonlyArray<unknown> = value
        return this.#sequence("(", ")", items.length, (i) => this.#inside(i, type.types[i] as ValueType, items[i]))
      }
      case "record": {
        if (!isPlain(value)) return this.#at.refuse(type, value)
        if (type.fields.length === 0) return this.#put("{:}")
        return this.#sequence("{", "}", type.fields.length, (i) => {
          const field = type.fields[i] as (typeof type.fields)[number]
          this.#put(`${field.label}: `)
          this.#inside(propertyName(field.label), field.type, ownField(value, propertyName(field.label)))
        })
      }
      case "variant":
        return this.#tagged(type, value, partsOf(type), caseText)
      case "result":
        return this.#tagged(
          type,
          value,
          new Map([
            ["ok", type.ok],
            ["err", type.err],
          ]),
        )
      case "option":
        if (isTaggedOption(type.type))
          return this.#tagged(
            type,
            value,
            new Map([
              ["none", undefined],
              ["some", type.type],
            ]),
          )
        if (value === undefined) return this.#put("none")
        this.#put("some(")
        this.value(type.type, value)
        return this.#put(")")
      case "enum":
        return this.#put(typeof value === "string" && partsOf(type).has(value) ? caseText(value) : this.#at.refuse(type, value))
      case "flags": {
        if (!isPlain(value)) return this.#at.refuse(type, value)
        const set = type.labels.filter((label) => {
          const flag = ownField(value, propertyName(label))
          return flag === undefined || typeof flag === "boolean" ? flag === true : this.#at.refuse(type, value)
        })
        return this.#sequence("{", "}", set.length, (i) => this.#put(set[i] as string))
      }
      case "own":
      case "borrow":
      case "fixed-list":
      case "map":
      case "stream":
      case "future":
      case "error-context":
        throw new WitError("Inexpressible", { path: this.#at.toString(), type: typeText(type), form: "WAVE" })
      default: {
        const [min, max] = numberRange[type.kind]
        return this.#put(
          typeof value === "number" && Number.isInteger(value) && value >= min && value <= max ? String(value + 0) : this.#at.refuse(type, value),
        )
      }
    }
  }

  finish(): string {
    return this.#parts.join("")
  }
}

/**
 * WAVE text of a host value; `fromWave` of it is an equal value.
 *
 * @throws WitError `Value` when `value` is not the host form of `type`, `Inexpressible` at a handle; LimitError `typeDepthMax`, or `outputBytesMax` above 268,435,456 characters.
 */
export function toWave(type: ValueType, value: unknown, path = "value"): string {
  depth(type)
  const printer = new Printer(path)
  printer.value(type, value)
  return printer.finish()
}
