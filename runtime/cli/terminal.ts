/**
 * Where text goes and how it may look: data on stdout, everything else on stderr, colour only where it is wanted.
 * Guest text passes `escapeText` before it comes here; nothing in this file interprets what it prints.
 */
import { isatty } from "node:tty"

type Paint = (text: string) => string

/** Colours of one stream. All of them return the text unchanged when the stream takes none. */
export interface Palette {
  readonly isColoured: boolean
  readonly bold: Paint
  readonly dim: Paint
  readonly red: Paint
  readonly green: Paint
  readonly yellow: Paint
  readonly blue: Paint
  readonly cyan: Paint
}

const paint =
  (isColoured: boolean, on: number, off: number): Paint =>
  (text) =>
    isColoured && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text

export const palette = (isColoured: boolean): Palette => ({
  isColoured,
  bold: paint(isColoured, 1, 22),
  dim: paint(isColoured, 2, 22),
  red: paint(isColoured, 31, 39),
  green: paint(isColoured, 32, 39),
  yellow: paint(isColoured, 33, 39),
  blue: paint(isColoured, 34, 39),
  cyan: paint(isColoured, 36, 39),
})

type Environment = Readonly<Record<string, string | undefined>>

/** NO_COLOR > FORCE_COLOR > terminal. An empty variable is an unset one (no-color.org). */
export function wantsColour(environment: Environment, isTerminal: boolean): boolean {
  const { NO_COLOR: no = "", FORCE_COLOR: force = "", TERM: term } = environment
  if (no !== "") return false
  if (force !== "") return force !== "0" && force !== "false"
  return isTerminal && term !== "dumb"
}

/** Colours of stdout and of stderr: either may be a file while the other is a terminal. */
export const out = palette(wantsColour(process.env, isatty(1)))
export const err = palette(wantsColour(process.env, isatty(2)))

/** Columns to lay text out in: those of the terminal, at most 120 and at least 40; 80 off a terminal, and on one that does not know (0). */
export const columns = (stream: { readonly isTTY?: boolean; readonly columns?: number }): number =>
  stream.isTTY === true && stream.columns !== undefined && stream.columns > 0 ? Math.max(40, Math.min(120, stream.columns)) : 80

/** One line of data. */
export const printLine = (text: string): void => void process.stdout.write(`${text}\n`)

/** One line that is not data. */
export const noteLine = (text: string): void => void process.stderr.write(`${text}\n`)

/**
 * A reader that goes away (`stele inspect x.wasm | head -1`) ends the program quietly: nobody is left to tell.
 * Call once, at start.
 */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(process.exitCode ?? 0)
      // A full disk is nobody's bug; with stderr gone too there is nobody to tell.
      if (stream === process.stdout) noteLine(`Cannot write to standard output: ${error.message}`)
      process.exit(1)
    })
  }
}

/** Says that something takes time, if it takes longer than this. */
const patienceMs = 300

/**
 * Runs `work`; after 300 ms it says `text` on stderr: on a terminal on a line that goes away again with the seconds
 * passed, elsewhere once. Silent under `--json`. Work that never lets the event loop run says nothing.
 */
export async function withProgress<A>(text: string, isSilent: boolean, work: () => Promise<A>): Promise<A> {
  if (isSilent) return work()
  const { stderr } = process
  const startedMs = performance.now()
  let ticker: NodeJS.Timeout | undefined
  const show = (): void => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    stderr.write(`\r${err.dim(`${text} … ${seconds} s`)}\u001b[K`)
  }
  const patience = setTimeout(() => {
    if (!isatty(2)) return noteLine(`${text} …`)
    show()
    ticker = setInterval(show, 100)
  }, patienceMs)
  try {
    return await work()
  } finally {
    clearTimeout(patience)
    if (ticker !== undefined) {
      clearInterval(ticker)
      stderr.write("\r\u001b[K")
    }
  }
}

/** Breaks `text` at spaces into lines of at most `width` characters; a longer word stays whole. */
export function wrap(text: string, width: number): ReadonlyArray<string> {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line === "") line = word
    else if (line.length + 1 + word.length <= width) line += ` ${word}`
    else {
      lines.push(line)
      line = word
    }
  }
  return [...lines, line]
}

/** Rows in columns as wide as their widest cell, two spaces apart; the last column is wrapped to `width`. */
export function table(rows: ReadonlyArray<ReadonlyArray<string>>, width: number, indent = 2, paints: ReadonlyArray<Paint> = []): ReadonlyArray<string> {
  const count = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: count }, (_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const lead = " ".repeat(indent)
  const before = widths.slice(0, -1).reduce((sum, w) => sum + w + 2, indent)
  const as = (cell: string, i: number): string => paints[i]?.(cell) ?? cell
  return rows.flatMap((row) => {
    const last = row.length - 1
    const head = row.slice(0, last).map((cell, i) => as(cell, i) + " ".repeat((widths[i] as number) - cell.length + 2))
    const wrapped = wrap(row[last] ?? "", Math.max(24, width - before))
    return wrapped.map((line, n) => (n === 0 ? lead + head.join("") : " ".repeat(before)) + as(line, last)).map((line) => line.trimEnd())
  })
}
