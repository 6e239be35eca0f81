import { family, reason, type ReasonSpec } from "./family.ts"

/** Where WIT text is wrong, and how. */
export interface WitMistake {
  readonly file: string
  /** Counted from 1. */
  readonly line: number
  /** In characters of the line, counted from 1. */
  readonly column: number
  /** What is wrong, in words. */
  readonly detail: string
  /** The line, cut around the mistake, and a second line with a caret under it. */
  readonly excerpt: string
  /** What to write instead. */
  readonly advice: string
}

const mistake = (code: `STELE-WIT-${string}`): ReasonSpec<WitMistake> =>
  reason<WitMistake>({
    code,
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read "${d.file}" at line ${d.line}, column ${d.column}: ${d.detail}\n${d.excerpt}`,
    fix: (d) => d.advice,
  })

/** WIT text that is no WIT, or that does not mean anything. */
export class WitSourceError extends family("WitSourceError", {
  Character: mistake("STELE-WIT-0005"),
  Syntax: mistake("STELE-WIT-0006"),
  Name: mistake("STELE-WIT-0007"),
  Duplicate: mistake("STELE-WIT-0008"),
  Unknown: mistake("STELE-WIT-0009"),
  Cycle: mistake("STELE-WIT-0010"),
  Type: mistake("STELE-WIT-0011"),
  Gate: mistake("STELE-WIT-0012"),
  World: mistake("STELE-WIT-0013"),
  Package: mistake("STELE-WIT-0014"),
  TooLarge: reason<{ readonly file: string; readonly limit: "witBytesMax" | "witDepthMax" | "witItemsMax"; readonly unit: string; readonly max: number }>({
    code: "STELE-WIT-0015",
    status: 413,
    exit: 7,
    isRetryable: false,
    message: (d) => `Cannot read WIT beyond "${d.limit}" in "${d.file}": the limit is ${d.max} ${d.unit}`,
    fix: () => "divide it: smaller packages, flatter types, worlds that include less",
  }),
  NoWorld: reason<{ readonly package: string; readonly wanted?: string | undefined; readonly known: ReadonlyArray<string> }>({
    code: "STELE-WIT-0016",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) =>
      d.wanted === undefined
        ? `Cannot choose a world of "${d.package}": it has ${d.known.length === 0 ? "none" : d.known.length}`
        : `Cannot find the world "${d.wanted}" from "${d.package}"`,
    fix: (d) => (d.known.length === 0 ? "declare a world: world plugin { }" : `name a world: ${d.known.slice(0, 10).join(", ")}`),
  }),
  Unreadable: reason<{ readonly path: string; readonly detail: string }>({
    code: "STELE-WIT-0017",
    status: 404,
    exit: 4,
    isRetryable: false,
    message: (d) => `Cannot read WIT from "${d.path}": ${d.detail}`,
    fix: () => "name a file that ends in .wit, or a folder of such files, with its dependencies in the folder deps",
  }),
  Several: reason<{ readonly path: string; readonly problems: ReadonlyArray<unknown> }>({
    code: "STELE-WIT-0018",
    status: 422,
    exit: 3,
    isRetryable: false,
    message: (d) => `Cannot read WIT from "${d.path}": ${d.problems.length} problems`,
    fix: () => "each problem says what to write instead",
  }),
}) {}

/** Reasons that have a place in the text. */
export type WitMistakeReason = Exclude<WitSourceError["reason"]["_tag"], "TooLarge" | "NoWorld" | "Unreadable" | "Several">
