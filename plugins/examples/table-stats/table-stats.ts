/**
 * `stele:example-table/statistics`: describes a CSV table. TypeScript, compiled into a component with QuickJS.
 *
 * It asks for nothing and so needs no grant. (Componentizing with `stubWasi` replaces every `wasi:` import by a trap,
 * `wasi:logging` included: a QuickJS plugin that wants a capability imports one of another namespace.)
 */

interface Options {
  readonly separator: string
  readonly correlations: boolean
}

interface Numeric {
  readonly mean: number
  readonly standardDeviation: number | undefined
  readonly minimum: number
  readonly lowerQuartile: number
  readonly median: number
  readonly upperQuartile: number
  readonly maximum: number
}

type Content = { readonly tag: "empty" } | { readonly tag: "text"; readonly val: ReadonlyArray<string> } | { readonly tag: "numeric"; readonly val: Numeric }

interface Column {
  readonly name: string
  readonly filled: number
  readonly missing: number
  readonly distinct: number
  readonly content: Content
}

interface Correlation {
  readonly first: string
  readonly second: string
  readonly r: number
  readonly rows: number
}

interface Table {
  readonly rows: number
  readonly columns: ReadonlyArray<Column>
  readonly correlations: ReadonlyArray<Correlation>
}

type Problem =
  | { readonly tag: "no-header" }
  | { readonly tag: "unterminated-quote"; readonly val: number }
  | { readonly tag: "ragged-row"; readonly val: { readonly line: number; readonly expected: number; readonly found: number } }

/** How many sample values of a text column are returned. */
const SAMPLE_MAX = 5

interface Row {
  readonly line: number
  readonly cells: ReadonlyArray<string>
}

/** What the bindings turn into the error side of the export's `result`. */
class Refusal extends Error {
  readonly payload: Problem
  constructor(payload: Problem) {
    super(payload.tag)
    this.payload = payload
  }
}

/** RFC 4180: quoted cells may hold separators, line ends and doubled quotes. Blank lines are skipped. */
function parse(csv: string, separator: string): Array<Row> {
  const rows: Array<Row> = []
  let cells: Array<string> = []
  let cell = ""
  let line = 1
  let rowLine = 1
  let isQuoted = false
  let quoteLine = 1
  const endRow = () => {
    cells.push(cell)
    if (cells.length > 1 || cell !== "") rows.push({ line: rowLine, cells })
    cells = []
    cell = ""
    rowLine = line
  }
  for (let at = 0; at < csv.length; at += 1) {
    const unit = csv[at] as string
    if (unit === "\n") line += 1
    if (isQuoted) {
      if (unit !== '"') cell += unit
      else if (csv[at + 1] === '"') {
        cell += '"'
        at += 1
      } else isQuoted = false
    } else if (unit === '"' && cell === "") {
      isQuoted = true
      quoteLine = line
    } else if (unit === separator) {
      cells.push(cell)
      cell = ""
    } else if (unit === "\n") endRow()
    else if (unit !== "\r") cell += unit
  }
  if (isQuoted) throw new Refusal({ tag: "unterminated-quote", val: quoteLine })
  endRow()
  return rows
}

/** Hyndman and Fan's type 7: linear between the two nearest order statistics. */
function quantile(sorted: ReadonlyArray<number>, share: number): number {
  const position = (sorted.length - 1) * share
  const below = Math.floor(position)
  const low = sorted[below] as number
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number
  return low + (high - low) * (position - below)
}

/** Two passes, so that close numbers far from zero keep their digits. */
function numeric(numbers: ReadonlyArray<number>): Numeric {
  const sorted = [...numbers].sort((a, b) => a - b)
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  const squares = numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0)
  return {
    mean,
    standardDeviation: numbers.length > 1 ? Math.sqrt(squares / (numbers.length - 1)) : undefined,
    minimum: sorted[0] as number,
    lowerQuartile: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    upperQuartile: quantile(sorted, 0.75),
    maximum: sorted[sorted.length - 1] as number,
  }
}

/** A decimal number as measurements write it: no hexadecimal, no words. */
const isNumber = (cell: string) => /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(cell)

function describeColumn(name: string, cells: ReadonlyArray<string>): Column {
  const filled = cells.filter((cell) => cell !== "")
  const distinct = new Set(filled)
  const content: Content =
    filled.length === 0
      ? { tag: "empty" }
      : filled.every(isNumber)
        ? { tag: "numeric", val: numeric(filled.map(Number)) }
        : { tag: "text", val: [...distinct].slice(0, SAMPLE_MAX) }
  return { name, filled: filled.length, missing: cells.length - filled.length, distinct: distinct.size, content }
}

/** Pearson's r; a constant column has none and is left out. */
function correlate(first: Column, second: Column, pairs: ReadonlyArray<readonly [number, number]>): Correlation | undefined {
  const meanX = pairs.reduce((sum, [x]) => sum + x, 0) / pairs.length
  const meanY = pairs.reduce((sum, [, y]) => sum + y, 0) / pairs.length
  let xy = 0
  let xx = 0
  let yy = 0
  for (const [x, y] of pairs) {
    xy += (x - meanX) * (y - meanY)
    xx += (x - meanX) ** 2
    yy += (y - meanY) ** 2
  }
  const r = xy / Math.sqrt(xx * yy)
  return Number.isFinite(r) ? { first: first.name, second: second.name, r, rows: pairs.length } : undefined
}

function correlateAll(columns: ReadonlyArray<Column>, body: ReadonlyArray<ReadonlyArray<string>>): Array<Correlation> {
  const found: Array<Correlation> = []
  columns.forEach((first, x) => {
    columns.slice(x + 1).forEach((second, offset) => {
      if (first.content.tag !== "numeric" || second.content.tag !== "numeric") return
      const y = x + 1 + offset
      const pairs = body.filter((cells) => cells[x] !== "" && cells[y] !== "").map((cells) => [Number(cells[x]), Number(cells[y])] as const)
      const correlation = pairs.length > 1 ? correlate(first, second, pairs) : undefined
      if (correlation !== undefined) found.push(correlation)
    })
  })
  return found
}

function describe(csv: string, options: Options): Table {
  const [header, ...rows] = parse(csv, options.separator)
  if (header === undefined) throw new Refusal({ tag: "no-header" })
  const expected = header.cells.length
  for (const { line, cells } of rows) {
    if (cells.length !== expected) throw new Refusal({ tag: "ragged-row", val: { line, expected, found: cells.length } })
  }
  const body = rows.map((row) => row.cells.map((cell) => cell.trim()))
  const columns = header.cells.map((name, index) =>
    describeColumn(
      name.trim(),
      body.map((cells) => cells[index] as string),
    ),
  )
  return { rows: rows.length, columns, correlations: options.correlations ? correlateAll(columns, body) : [] }
}

export const statistics = { describe }
