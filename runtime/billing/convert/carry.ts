/** What a conversion reads: every field is carried over, known to say nothing about a price, left out by whoever asks, or a problem. */
import type { Problem } from "../../../schemas/error/author.ts"
import type { Located } from "../../author/located.ts"
import { coefficientOf, decimal, plainText, readDecimal } from "../decimal.ts"

export type Path = ReadonlyArray<string | number>
export type Fields = Readonly<Record<string, unknown>>

export const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value)

/** Says no more than a field that is not there. */
const isNothing = (value: unknown): boolean =>
  value === null || value === undefined || value === false || value === "" || (typeof value === "object" && Object.keys(value).length === 0)

export class Carry {
  readonly problems: Array<Problem> = []
  readonly #located: Located
  readonly #leaveOut: ReadonlySet<string>

  constructor(located: Located, leaveOut: ReadonlyArray<string>) {
    this.#located = located
    this.#leaveOut = new Set(leaveOut)
  }

  refuse(path: Path, message: string, fix?: string): void {
    this.problems.push(this.#located.problem(path, message, { fix, isKey: false }))
  }

  /** Refuses what `of` says beyond the fields that are `read`, and those that are told apart from a price (`kept`). */
  rest(of: Fields, path: Path, read: ReadonlyArray<string>, silent: ReadonlyArray<string> = []): void {
    for (const [name, value] of Object.entries(of)) {
      if (read.includes(name) || silent.includes(name) || this.#leaveOut.has(name) || isNothing(value)) continue
      this.refuse([...path, name], `"${name}" cannot be carried over: ${this.shown(value)}`, `--leave-out ${name}, if the price means the same without it`)
    }
  }

  shown(value: unknown): string {
    const text = JSON.stringify(value) ?? "nothing"
    return text.length > 80 ? `${text.slice(0, 79)}…` : text
  }

  /** A decimal, from text or a number as it stands in the file; 0 and a problem for what is none. */
  number(of: Fields, name: string, path: Path): string {
    const value = of[name]
    const read = typeof value === "string" || typeof value === "number" ? readDecimal(String(value)) : undefined
    if (read !== undefined) return plainText(read)
    this.refuse([...path, name], `"${name}" is no decimal of at most 18 places: ${this.shown(value)}`)
    return "0"
  }

  /** The same of what counts a currency's smallest units, in the currency. */
  minor(of: Fields, name: string, path: Path, exponent: number): string {
    const read = readDecimal(this.number(of, name, path))
    if (read === undefined) return "0"
    if (read.scale + exponent <= 18) return plainText(decimal(coefficientOf(read), read.scale + exponent))
    this.refuse([...path, name], `"${name}" has more than 18 places in the currency`)
    return "0"
  }

  text(of: Fields, name: string, path: Path): string {
    const value = of[name]
    if (typeof value === "string" && value !== "") return value
    this.refuse([...path, name], `"${name}" is no text: ${this.shown(value)}`)
    return ""
  }

  /** One of these, by its name there. */
  choice<A>(of: Fields, name: string, path: Path, choices: Readonly<Record<string, A>>, otherwise: A): A {
    const value = of[name]
    const found = typeof value === "string" && Object.hasOwn(choices, value) ? choices[value] : undefined
    if (found !== undefined) return found
    this.refuse([...path, name], `"${name}" cannot be carried over: it is ${this.shown(value)}, and ${Object.keys(choices).join(", ")} can`)
    return otherwise
  }

  list(of: Fields, name: string, path: Path): ReadonlyArray<Fields> {
    const value = of[name]
    if (Array.isArray(value) && value.length > 0 && value.every(isFields)) return value
    this.refuse([...path, name], `"${name}" is no list of objects with something in it`)
    return []
  }
}

/** A name that ids may have; what became the same as another gets a number. */
export function idOf(text: string, taken: Set<string>): string {
  const plain =
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 56) || "unnamed"
  let id = plain
  for (let n = 2; taken.has(id); n++) id = `${plain}-${n}`
  taken.add(id)
  return id
}
