/**
 * Values for people: WAVE, broken over lines where it is wider than the terminal, coloured where colour is wanted. What
 * it prints without colour is valid WAVE, and strings in it are escaped, so that guest text cannot steer a terminal.
 */
import { ownField } from "../../schemas/value/form.ts"
import { toWave } from "../../schemas/value/wave.ts"
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"
import type { Palette } from "./terminal.ts"

/** A value in pieces: either one text, or a bracketed list of labelled pieces. */
type Piece = { readonly text: string } | { readonly open: string; readonly close: string; readonly items: ReadonlyArray<readonly [label: string, item: Piece]> }

/** How far `piece` reaches when written in one line; stops counting after `max`. */
function length(piece: Piece, max: number): number {
  if ("text" in piece) return piece.text.length
  let sum = piece.open.length + piece.close.length
  for (const [label, item] of piece.items) {
    if (sum > max) break
    sum += label.length + length(item, max - sum) + 2
  }
  return sum
}

const field = (value: unknown, key: string): unknown => (typeof value === "object" && value !== null ? ownField(value, key) : undefined)

function split(type: ValueType, value: unknown): Piece {
  /** A payload in parentheses that opens and closes on the lines of its own bracket: `some({` … `})`. */
  const wrapped = (tag: string, payload: ValueType | undefined, val: unknown): Piece => {
    const inner = payload === undefined ? undefined : split(payload, val)
    if (inner === undefined || "text" in inner) return { text: toWave(type, value) }
    return { ...inner, open: `${tag}(${inner.open}`, close: `${inner.close})` }
  }
  switch (type.kind) {
    case "record":
      if (type.fields.length === 0) break
      return {
        open: "{",
        close: "}",
        items: type.fields.map(({ label, type: of }) => [`${label}: `, split(of, field(value, propertyName(label)))] as const),
      }
    case "tuple":
      return { open: "(", close: ")", items: type.types.map((of, i) => ["", split(of, (value as ReadonlyArray<unknown>)[i])] as const) }
    case "list":
      // Numbers flow; only lists of things with a structure of their own get a line each.
      if (!Array.isArray(value)) break
      return { open: "[", close: "]", items: value.map((item: unknown) => ["", split(type.element, item)] as const) }
    case "option":
      if (type.type.kind === "option") return field(value, "tag") === "some" ? wrapped("some", type.type, field(value, "val")) : { text: "none" }
      return value === undefined ? { text: "none" } : wrapped("some", type.type, value)
    case "result": {
      const tag = field(value, "tag") as "ok" | "err"
      return wrapped(tag, type[tag], field(value, "val"))
    }
    case "variant": {
      const tag = field(value, "tag") as string
      // A case named like a keyword is written with %, as an enum's is.
      const written = toWave({ kind: "enum", labels: [tag] }, tag)
      return wrapped(written, type.cases.find((part) => part.label === tag)?.type, field(value, "val"))
    }
    default:
  }
  return { text: toWave(type, value) }
}

function write(lines: Array<string>, piece: Piece, label: string, indent: number, width: number, tail: string): void {
  const lead = " ".repeat(indent)
  if ("text" in piece) return void lines.push(lead + label + piece.text + tail)
  if (indent + label.length + length(piece, width) + tail.length <= width) return void lines.push(lead + label + flat(piece) + tail)
  lines.push(lead + label + piece.open)
  for (const [name, item] of piece.items) write(lines, item, name, indent + 2, width, ",")
  lines.push(lead + piece.close + tail)
}

const flat = (piece: Piece): string =>
  "text" in piece ? piece.text : piece.open + piece.items.map(([label, item]) => label + flat(item)).join(", ") + piece.close

/** Strings and characters, field names, and what else is a value. */
const token = /("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([%A-Za-z][A-Za-z0-9-]*)(?=: )|(-?\d[\w.+-]*|\b(?:true|false|none|nan|inf)\b)/g

/** Colours one line of WAVE. */
export const colourWave = (line: string, { isColoured, green, dim, yellow }: Palette): string =>
  isColoured
    ? line.replace(token, (whole, text: string | undefined, label: string | undefined) =>
        text !== undefined ? green(whole) : label !== undefined ? dim(whole) : yellow(whole),
      )
    : line

/** The lines of `value`, each at most `width` characters where its parts allow that. */
export function prettyLines(type: ValueType, value: unknown, width: number): ReadonlyArray<string> {
  const lines: Array<string> = []
  write(lines, split(type, value), "", 0, width, "")
  return lines
}
