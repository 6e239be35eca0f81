/** Measured speed by size and device as a chart in SVG: both axes logarithmic, a line a device, the sizes at which another takes over marked. */
import { escapeHtml } from "../billing/page.ts"
import type { CutOver, Measurement } from "../../kernels/accelerate/accelerator.ts"

export interface SpeedChart {
  readonly operation: string
  readonly measurements: ReadonlyArray<Measurement>
  readonly cutOvers: ReadonlyArray<CutOver>
  /** Which figure is drawn. */
  readonly unit: "GFLOP/s" | "GB/s"
  /** Begins the ids of its title and its description, one of each on a page; default `speed`. */
  readonly id?: string
  /** Whether it brings `chartStyle`; false where the page has that. Default true. */
  readonly isStyled?: boolean
}

const [width, plotHeight, left, right, top, bottom, rowHeight] = [720, 320, 64, 32, 32, 44, 18] as const
/** Units that a character of 12 has, about: fonts are the reader's. */
const characterWidth = 7.2
/** Characters of a device's name; what is pointed at has all. */
const nameMax = 28

/** Told apart by most people who see colours differently (after Okabe and Ito), on white and, the second, on black. */
const colours = [
  ["#0072b2", "#56b4e9"],
  ["#c04f00", "#ff9a4d"],
  ["#007f5c", "#3fd6a8"],
  ["#a8508a", "#e79ac8"],
  ["#8a6500", "#f0c94a"],
  ["#5b5bd6", "#a9a9ff"],
  ["#444", "#ccc"],
  ["#b3261e", "#ff6f61"],
] as const

const rounded = (value: number): string => String(Math.round(value * 100) / 100)
/** Each device has a mark of its own beside its colour; five of them, and eight colours, so that 40 devices differ. */
const marks = [
  "m-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0",
  "m-3.2-3.2h6.4v6.4h-6.4z",
  "m0-4.5l4.2 7.6h-8.4z",
  "m0-4.6l4.6 4.6-4.6 4.6-4.6-4.6z",
  "m0 4.5l4.2-7.6h-8.4z",
] as const

/** What a chart is coloured by where its reader prefers dark pages; it is whole without. */
export const chartStyle = `@media(prefers-color-scheme:dark){.chart{fill:#ddd}.chart .back{fill:#121212}.chart .grid{stroke:#3a3a3a}.chart .cut{stroke:#aaa}.chart .halo{stroke:#121212}${colours
  .map(([, dark], i) => `.chart .f${i}{fill:${dark}}.chart .s${i}{stroke:${dark}}`)
  .join("")}}`

/** Three digits at most before it is whole: 0.12, 3.4, 120. */
export const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2))
const cut = (name: string): string => (name.length > nameMax ? `${name.slice(0, nameMax - 1)}…` : name)
const widthOf = (text: string): number => text.length * characterWidth

/** The first row in which what reaches `from` one place `to` another is free of what is there; `rows` is where each ends. */
function rowOf(rows: Array<number>, from: number, to: number): number {
  const row = rows.findIndex((end) => end < from)
  const found = row < 0 ? rows.length : row
  rows[found] = to
  return found
}

/** Values of a scale from `low` to `high`, powers of ten: with 2 and 5 between where there are few. */
function steps(low: number, high: number): ReadonlyArray<number> {
  const found: Array<number> = []
  for (let power = low; power <= high; power++)
    for (const times of high - low <= 2 && power < high ? [1, 2, 5] : [1]) found.push(Number((times * 10 ** power).toPrecision(1)))
  return found
}

/** A chart, 720 wide in units of its own, readable without a style sheet: on white, and on black where `chartStyle` is and its reader has that. */
export function speedChart({ cutOvers, id = "speed", isStyled = true, measurements, operation, unit }: SpeedChart): string {
  const valueOf = (of: Measurement): number => (unit === "GFLOP/s" ? of.gigaflops : of.gigabytes)
  const drawn = measurements.filter((of) => valueOf(of) > 0 && Number.isFinite(valueOf(of)))
  const sizes = [...new Set(drawn.map(({ size }) => size))].sort((a, b) => a - b)
  const values = drawn.map(valueOf)
  const [least, most] = values.length === 0 ? [1, 10] : [Math.min(...values), Math.max(...values)]
  const low = Math.floor(Math.log10(least))
  const high = Math.max(low + 1, Math.ceil(Math.log10(most)))
  const [first, last] = [Math.log2(sizes[0] ?? 1), Math.log2(sizes.at(-1) ?? 2)]
  const [wide, tall] = [width - left - right, plotHeight - top]
  const x = (size: number): number => (last > first ? left + ((Math.log2(size) - first) / (last - first)) * wide : left + wide / 2)
  const y = (value: number): number => top + (1 - (Math.log10(value) - low) / (high - low)) * tall
  const grid = steps(low, high).map(
    (value) =>
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${rounded(y(value))}" y2="${rounded(y(value))}" stroke="#ddd"/><text x="${left - 8}" y="${rounded(y(value))}" dy="4" text-anchor="end">${value}</text>`,
  )
  let reach = Number.NEGATIVE_INFINITY
  const names = sizes.flatMap((size) => {
    const half = widthOf(String(size)) / 2
    if (x(size) - half < reach) return []
    reach = x(size) + half + 4
    return [`<text x="${rounded(x(size))}" y="${plotHeight + 18}" text-anchor="middle">${size}</text>`]
  })

  const devices = [...new Set(drawn.map(({ device }) => device))]
  const legendTop = plotHeight + bottom + rowHeight
  let [legendX, legendRow] = [left, 0]
  const lines = devices.map((device, i) => {
    const points = drawn.filter((of) => of.device === device).sort((a, b) => a.size - b.size)
    const colour = i % colours.length
    const mark = (atX: number, atY: number, title = ""): string =>
      `<path class="f${colour}" fill="${colours[colour]?.[0]}" d="M${rounded(atX)} ${rounded(atY)}${marks[i % marks.length]}">${title}</path>`
    const path = points.map((of) => `${rounded(x(of.size))},${rounded(y(valueOf(of)))}`).join(" ")
    const dots = points.map((of) =>
      mark(x(of.size), y(valueOf(of)), `<title>${escapeHtml(`${device}, size ${of.size}: ${figure(valueOf(of))} ${unit}`)}</title>`),
    )
    const need = 16 + widthOf(cut(device)) + 20
    if (legendX > left && legendX + need > width - right) [legendX, legendRow] = [left, legendRow + 1]
    const legendY = legendTop + legendRow * rowHeight
    const legend = `${mark(legendX + 5, legendY - 4)}<text x="${rounded(legendX + 16)}" y="${legendY}">${escapeHtml(cut(device))}</text>`
    legendX += need
    return `<polyline class="s${colour}" points="${path}" fill="none" stroke="${colours[colour]?.[0]}" stroke-width="2"/>${dots.join("")}${legend}`
  })

  const ends: Array<number> = []
  const cuts = cutOvers
    .filter(({ from }) => from > (sizes[0] ?? 1) && from <= (sizes.at(-1) ?? 1))
    .map(({ device, from }) => {
      const text = `${cut(device)} from ${from}`
      const isLeft = x(from) + 4 + widthOf(text) > width - right
      const begin = isLeft ? x(from) - 4 - widthOf(text) : x(from) + 4
      const textY = plotHeight - 8 - rowOf(ends, begin, begin + widthOf(text)) * 16
      return {
        line: `<line class="cut" x1="${rounded(x(from))}" x2="${rounded(x(from))}" y1="${top}" y2="${plotHeight}" stroke="#555" stroke-dasharray="4 3"/>`,
        text: `<text class="halo" x="${rounded(isLeft ? x(from) - 4 : x(from) + 4)}" y="${rounded(textY)}"${isLeft ? ' text-anchor="end"' : ""} stroke="#fff" stroke-width="4" stroke-linejoin="round" paint-order="stroke">${escapeHtml(text)}</text>`,
      }
    })
  const told = devices
    .map((device) => {
      const best = drawn.filter((of) => of.device === device).reduce((all, of) => (valueOf(of) > valueOf(all) ? of : all))
      return `${device} up to ${figure(valueOf(best))} ${unit}, at size ${best.size}`
    })
    .join("; ")
  const served = cutOvers.map(({ device, from }) => `From size ${from} on: ${device}`).join(". ")
  const description = `${told === "" ? "Nothing was measured" : told}. ${served}`
  const height = legendTop + legendRow * rowHeight + 8
  const style = isStyled ? `<style>${chartStyle}</style>` : ""
  return `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-text" font-family="system-ui, sans-serif" font-size="12" fill="#222"><title id="${id}-title">${escapeHtml(`${operation}: ${unit} by size`)}</title><desc id="${id}-text">${escapeHtml(description)}</desc>${style}<rect class="back" width="${width}" height="${height}" fill="#fff"/>${grid.join("")}${names.join("")}<text x="${left + wide / 2}" y="${plotHeight + 38}" text-anchor="middle">size of ${escapeHtml(operation)}</text><text x="8" y="18" font-weight="bold">${escapeHtml(`${operation}, ${unit}`)}</text>${drawn.length === 0 ? `<text x="${left + wide / 2}" y="${top + tall / 2}" text-anchor="middle">nothing was measured</text>` : ""}${cuts.map(({ line }) => line).join("")}${lines.join("")}${cuts.map(({ text }) => text).join("")}</svg>\n`
}
