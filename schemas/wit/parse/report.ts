/** What goes wrong with a set of files, collected; and the limits of one parse. */
import { WitSourceError, type WitMistakeReason } from "../../error/wit-source.ts"
import { excerptAt, positionAt } from "../../value/excerpt.ts"
import type { SourceFile } from "./syntax.ts"

export const limits = {
  /** UTF-16 code units of all files of one parse. */
  witBytesMax: { unit: "bytes", max: 16 << 20 },
  /** Nesting of one type, names looked through: what the host's binder takes by default. */
  witDepthMax: { unit: "levels", max: 100 },
  /** Types, functions, imports and exports, after `include` and `use` are written out. */
  witItemsMax: { unit: "items", max: 1_000_000 },
} as const

/** Problems of one run; there is no use in reading more. */
const problemsMax = 100

/** Thrown when nothing more can be found out. */
export class Stop extends Error {}

export class Report {
  readonly problems: Array<WitSourceError> = []
  /** A gate is looked at more than once. */
  readonly #seen = new Set<string>()
  #items = 0

  /** Notes a problem. @throws Stop after the hundredth */
  add(reason: WitMistakeReason, file: SourceFile, at: number, detail: string, advice: string): void {
    const key = `${at} ${reason} ${file.name} ${detail}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const place = { file: file.name, ...positionAt(file.text, at), detail, excerpt: excerptAt(file.text, at), advice }
    this.problems.push(new WitSourceError(reason, place))
    if (this.problems.length >= problemsMax) throw new Stop()
  }

  /** Notes that a limit is exceeded. @throws Stop, always */
  tooLarge(limit: keyof typeof limits, file: SourceFile): never {
    this.problems.push(new WitSourceError("TooLarge", { file: file.name, limit, ...limits[limit] }))
    throw new Stop()
  }

  /** Counts what is made. @throws Stop beyond `witItemsMax` */
  count(file: SourceFile, items = 1): void {
    this.#items += items
    if (this.#items > limits.witItemsMax.max) this.tooLarge("witItemsMax", file)
  }
}
