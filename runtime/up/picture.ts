/**
 * Small pictures of answers, chosen by the shape of their type and not by whose answer it is: counts by name become
 * bars, five-number summaries become box plots, correlations become bars around zero. What has no picture is WAVE.
 */
import { escapeText } from "../../host/port/log.ts"
import { propertyName, type RecordType, type ValueType } from "../../schemas/wit/model.ts"
import { colourWave, prettyLines } from "../cli/pretty.ts"
import { countText } from "../cli/quantity.ts"
import { type Palette, table } from "../cli/terminal.ts"

type Fields = Readonly<Record<string, unknown>>

const isText = (type: ValueType): boolean => type.kind === "string"
const isCount = (type: ValueType): boolean => type.kind === "u8" || type.kind === "u16" || type.kind === "u32"
const isFloat = (type: ValueType): boolean => type.kind === "f32" || type.kind === "f64"
const isScalar = (type: ValueType): boolean =>
  isText(type) || isCount(type) || isFloat(type) || type.kind === "bool" || type.kind === "s32" || (type.kind === "option" && isScalar(type.type))

const label = (text: string, max = 24): string => {
  const shown = escapeText(text)
  return shown.length > max ? `${shown.slice(0, max - 1)}…` : shown
}

/** Numbers as people read them: whole with separators, others to five digits. */
export function numberText(value: number): string {
  if (Number.isInteger(value)) return value < 0 ? `-${countText(-value)}` : countText(value)
  if (!Number.isFinite(value)) return String(value)
  const [whole = "0", rest] = (Math.abs(value) >= 1000 ? value.toFixed(1) : String(Number(value.toPrecision(5)))).split(".")
  return (value < 0 ? "-" : "") + countText(BigInt(whole.replace("-", ""))) + (rest === undefined ? "" : `.${rest}`)
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A horizontal bar of `share` (0 to 1) of `width` characters, to an eighth of one. */
export function bar(share: number, width: number): string {
  const parts = Math.round(Math.max(0, Math.min(1, share)) * width * 8)
  return "█".repeat(parts >> 3) + (eighths[parts & 7] ?? "")
}

/** `├──▒▒┃▒▒──┤`: the quartiles between the extremes, `width` characters wide. */
export function boxPlot(five: readonly [minimum: number, lower: number, median: number, upper: number, maximum: number], width: number): string {
  const [minimum, lower, median, upper, maximum] = five
  const span = maximum - minimum
  const place = (value: number): number => Math.round(((value - minimum) / span) * (width - 1))
  // All equal, or a span that is no number: there is nothing between the ends to draw.
  if (!(span > 0 && span < Infinity)) return "┃".padEnd(width)
  const cells = Array.from({ length: width }, (_, i): string => (i >= place(lower) && i <= place(upper) ? "▒" : "─"))
  cells[0] = "├"
  cells[width - 1] = "┤"
  cells[place(median)] = "┃"
  return cells.join("")
}

/** A bar from the middle to the left or right, for −1 to 1. */
export function signedBar(value: number, width: number): string {
  const half = width >> 1
  const length = Math.round(Math.min(1, Math.abs(value)) * half)
  return value < 0
    ? `${" ".repeat(half - length)}${"█".repeat(length)}│${" ".repeat(half)}`
    : `${" ".repeat(half)}│${"█".repeat(length)}${" ".repeat(half - length)}`
}

const valueOf = (record: unknown, name: string): unknown => (record as Fields)[propertyName(name)]

/** A list of records that are a name and a count. */
function bars(type: RecordType, items: ReadonlyArray<unknown>, colours: Palette): ReadonlyArray<string> | undefined {
  const [name, count, ...others] = type.fields
  if (name === undefined || count === undefined || others.length > 0 || !isText(name.type) || !isCount(count.type)) return undefined
  const rows = items.slice(0, 20).map((item) => [label(valueOf(item, name.label) as string), valueOf(item, count.label) as number] as const)
  const most = Math.max(1, ...rows.map(([, n]) => n))
  const width = Math.max(0, ...rows.map(([text]) => text.length))
  return rows.map(([text, n]) => `${text.padEnd(width)}  ${colours.green(bar(n / most, 32))} ${countText(n)}`)
}

const fiveNumbers = ["minimum", "lower-quartile", "median", "upper-quartile", "maximum"]

/** The record with a five-number summary in `type`, itself or as the payload of a variant's case. */
function summaryIn(type: ValueType, value: unknown): Fields | undefined {
  if (type.kind === "record")
    return fiveNumbers.every((name) => type.fields.some((field) => field.label === name && isFloat(field.type))) ? (value as Fields) : undefined
  if (type.kind !== "variant") return undefined
  const { tag, val } = value as { readonly tag: string; readonly val?: unknown }
  const payload = type.cases.find((part) => part.label === tag)?.type
  return payload === undefined ? undefined : summaryIn(payload, val)
}

/** A list of named records, each with a five-number summary somewhere in it. */
function boxPlots(type: RecordType, items: ReadonlyArray<unknown>, colours: Palette, width: number): ReadonlyArray<string> | undefined {
  const name = type.fields.find((field) => isText(field.type))
  const content = type.fields.find((field) => field.type.kind === "variant" || field.type.kind === "record")
  if (name === undefined || content === undefined) return undefined
  const rows: Array<ReadonlyArray<string>> = []
  for (const item of items.slice(0, 20)) {
    const fields = summaryIn(content.type, valueOf(item, content.label))
    const title = label(valueOf(item, name.label) as string)
    if (fields === undefined) {
      rows.push([title, "", "", "", "not numeric"])
      continue
    }
    const five = fiveNumbers.map((n) => valueOf(fields, n) as number) as unknown as Parameters<typeof boxPlot>[0]
    const mean = valueOf(fields, "mean")
    const deviation = valueOf(fields, "standard-deviation")
    const about = typeof mean === "number" ? `mean ${numberText(mean)}${typeof deviation === "number" ? ` ± ${numberText(deviation)}` : ""}` : ""
    rows.push([title, numberText(five[0]), boxPlot(five, width < 90 ? 15 : 25), numberText(five[4]), about])
  }
  // Nothing in it had a summary: no picture.
  if (rows.every((row) => row[2] === "")) return undefined
  return table(rows, width, 0, [String, String, colours.green])
}

/** A list of records of two names and a float from −1 to 1. */
function correlations(type: RecordType, items: ReadonlyArray<unknown>, colours: Palette): ReadonlyArray<string> | undefined {
  const [first, second, r] = type.fields
  if (first === undefined || second === undefined || r === undefined || !isText(first.type) || !isText(second.type) || !isFloat(r.type)) return undefined
  const values = items
    .slice(0, 20)
    .map(
      (item) => [`${label(valueOf(item, first.label) as string)} × ${label(valueOf(item, second.label) as string)}`, valueOf(item, r.label) as number] as const,
    )
  if (values.some(([, value]) => !(Math.abs(value) <= 1))) return undefined
  const width = Math.max(0, ...values.map(([text]) => text.length))
  return values.map(
    ([text, value]) => `${text.padEnd(width)}  ${(value < 0 ? colours.red : colours.green)(signedBar(value, 21))}  ${value.toFixed(2).padStart(5)}`,
  )
}

type Picture = (type: RecordType, items: ReadonlyArray<unknown>, colours: Palette, width: number) => ReadonlyArray<string> | undefined
const pictures: ReadonlyArray<Picture> = [bars, boxPlots, correlations]

/** The lines of an answer: scalars of a record in short, then a picture of each list that has one, the rest as WAVE. */
export function pictureLines(type: ValueType, value: unknown, colours: Palette, width: number): ReadonlyArray<string> {
  const wave = (of: ValueType, item: unknown): ReadonlyArray<string> => prettyLines(of, item, width).map((line) => colourWave(line, colours))
  const pictureOf = (of: ValueType, item: unknown): ReadonlyArray<string> | undefined => {
    if (of.kind !== "list" || of.element.kind !== "record" || !Array.isArray(item) || item.length === 0) return undefined
    for (const picture of pictures) {
      const lines = picture(of.element, item, colours, width - 2)
      if (lines !== undefined) return lines
    }
    return undefined
  }
  if (type.kind !== "record") return pictureOf(type, value) ?? wave(type, value)
  if (!type.fields.some((field) => pictureOf(field.type, valueOf(value, field.label)) !== undefined)) return wave(type, value)
  const scalars: Array<string> = []
  const rest: Array<string> = []
  for (const { label: name, type: of } of type.fields) {
    const item = valueOf(value, name)
    if (isScalar(of)) {
      const text = typeof item === "number" ? numberText(item) : item === undefined ? "none" : label(String(item as string | boolean), 40)
      scalars.push(`${colours.dim(name)} ${text}`)
      continue
    }
    const picture = pictureOf(of, item)
    rest.push("", colours.dim(name), ...(picture ?? wave(of, item)).map((line) => `  ${line}`))
  }
  // Three to a line: short enough for 80 columns with the labels that people give.
  const facts = Array.from({ length: Math.ceil(scalars.length / 3) }, (_, i) => scalars.slice(i * 3, i * 3 + 3).join("   "))
  return [...facts, ...(facts.length === 0 ? rest.slice(1) : rest)]
}
