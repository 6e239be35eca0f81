interface Row {
  readonly line: number
  readonly cells: ReadonlyArray<string>
}

/** How many values of a column of text are returned. */
const sampleMax = 5

/** RFC 4180: quoted cells may hold separators, line ends and doubled quotes. Blank lines are skipped. */
function parse(csv: string, separator: string): ReadonlyArray<Row> {
  const rows: Array<Row> = []
  const other = `[^\\n\\u{${(separator.codePointAt(0) ?? 0).toString(16)}}]*`
  const cell = new RegExp(`(?:"([^"]*(?:""[^"]*)*)("|$))?(${other})`, "yu")
  let [line, rowLine, cells] = [1, 1, [] as Array<string>]
  for (let at = 0; at <= csv.length;) {
    cell.lastIndex = at
    const [written = "", quoted = "", end, rest = ""] = cell.exec(csv) ?? []
    if (end === "") throw { tag: "unterminated-quote", val: line }
    cells.push(quoted.replaceAll('""', '"') + rest.replace(/\r$/, ""))
    line += written.split("\n").length - 1
    const isInside = csv.startsWith(separator, cell.lastIndex)
    at = cell.lastIndex + (isInside ? separator.length : 1)
    if (isInside) continue
    if (cells.length > 1 || cells[0] !== "") rows.push({ line: rowLine, cells })
    cells = []
    rowLine = ++line
  }
  return rows
}

/** Hyndman and Fan's type 7: linear between the two nearest order statistics. */
function quantile(sorted: ReadonlyArray<number>, share: number): number {
  const position = (sorted.length - 1) * share
  const low = sorted[Math.floor(position)] as number
  return low + ((sorted[Math.ceil(position)] as number) - low) * (position - Math.floor(position))
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)
const meanOf = (numbers: ReadonlyArray<number>): number => sum(numbers) / numbers.length

/** Two passes, so that close numbers far from zero keep their digits. */
function numeric(numbers: ReadonlyArray<number>) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const mean = meanOf(numbers)
  return {
    mean,
    standardDeviation: numbers.length > 1 ? Math.sqrt(sum(numbers.map((number) => (number - mean) ** 2)) / (numbers.length - 1)) : undefined,
    minimum: sorted[0],
    lowerQuartile: quantile(sorted, 0.25),
    median: quantile(sorted, 0.5),
    upperQuartile: quantile(sorted, 0.75),
    maximum: sorted.at(-1),
  }
}

/** A decimal number as measurements write it: no hexadecimal, no words. */
const isNumber = (cell: string): boolean => /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(cell)

function describeColumn(name: string, cells: ReadonlyArray<string>) {
  const filled = cells.filter((cell) => cell !== "")
  const distinct = [...new Set(filled)]
  const text = { tag: "text", val: distinct.slice(0, sampleMax) }
  const content = filled.length === 0 ? { tag: "empty" } : filled.every(isNumber) ? { tag: "numeric", val: numeric(filled.map(Number)) } : text
  return { name, filled: filled.length, missing: cells.length - filled.length, distinct: distinct.length, content }
}

/** Pearson's r over the rows where both have a number; a constant column has none. */
function correlate(first: ReadonlyArray<string>, second: ReadonlyArray<string>) {
  const pairs = first.flatMap((x, at) => (x === "" || second[at] === "" ? [] : [[Number(x), Number(second[at])] as const]))
  const [meanX, meanY] = [meanOf(pairs.map(([x]) => x)), meanOf(pairs.map(([, y]) => y))]
  const moment = (of: (x: number, y: number) => number): number => sum(pairs.map(([x, y]) => of(x - meanX, y - meanY)))
  const r = moment((x, y) => x * y) / Math.sqrt(moment((x) => x * x) * moment((_, y) => y * y))
  return Number.isFinite(r) ? { r, rows: pairs.length } : undefined
}

function describe(csv: string, options: { readonly separator: string; readonly correlations: boolean }) {
  const [header, ...rows] = parse(csv, options.separator)
  if (header === undefined) throw { tag: "no-header" }
  const expected = header.cells.length
  const ragged = rows.find(({ cells }) => cells.length !== expected)
  if (ragged !== undefined) throw { tag: "ragged-row", val: { line: ragged.line, expected, found: ragged.cells.length } }
  const table = header.cells.map((_, at) => rows.map(({ cells }) => (cells[at] as string).trim()))
  const columns = table.map((cells, at) => describeColumn((header.cells[at] as string).trim(), cells))
  const correlations = columns.flatMap((first, x) =>
    columns.slice(x + 1).flatMap((second, offset) => {
      if (!options.correlations || first.content.tag !== "numeric" || second.content.tag !== "numeric") return []
      const found = correlate(table[x] ?? [], table[x + 1 + offset] ?? [])
      return found === undefined ? [] : [{ first: first.name, second: second.name, ...found }]
    }),
  )
  return { rows: rows.length, columns, correlations }
}

/** What the world exports. A thrown value is a function's own error. */
export const statistics = { describe }
