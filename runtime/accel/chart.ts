/** Measured speed by size and device as a chart in SVG: both axes logarithmic, a line a device, the sizes at which another takes over marked. */
import { escapeHtml } from "../billing/page.ts"
import type { CutOver, Measurement } from "../../kernels/accelerate/accelerator.ts"

export interface SpeedChart {
  readonly operation: string
  readonly measurements: ReadonlyArray<Measurement>
  readonly cutOvers: ReadonlyArray<CutOver>
  /** Which figure is drawn. */
  readonly unit: "GFLOP/s" | "GB/s"
}

const [width, height, left, right, top, bottom] = [720, 360, 64, 16, 40, 44] as const
/** Told apart by most people who see colours differently (Okabe and Ito), and each by a mark of its own. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] as const

const rounded = (value: number): string => String(Math.round(value * 100) / 100)
const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(2))

/** A chart, 720 by 360 in units of its own, readable without a style sheet; white behind it, so that it reads on any page. */
export function speedChart({ cutOvers, measurements, operation, unit }: SpeedChart): string {
  const valueOf = (of: Measurement): number => (unit === "GFLOP/s" ? of.gigaflops : of.gigabytes)
  const sizes = [...new Set(measurements.map(({ size }) => size))].sort((a, b) => a - b)
  const values = measurements.map(valueOf)
  const [low, high] = [Math.floor(Math.log10(Math.min(...values, 1))), Math.ceil(Math.log10(Math.max(...values, 1) * 1.01))]
  const [first, last] = [Math.log2(sizes[0] ?? 1), Math.log2(sizes.at(-1) ?? 2)]
  const x = (size: number): number => left + ((Math.log2(size) - first) / Math.max(1e-9, last - first)) * (width - left - right)
  const y = (value: number): number => top + (1 - (Math.log10(value) - low) / Math.max(1, high - low)) * (height - top - bottom)
  const rows = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map(
    (value) =>
      `<line x1="${left}" x2="${width - right}" y1="${rounded(y(value))}" y2="${rounded(y(value))}" stroke="#ddd"/><text x="${left - 8}" y="${rounded(y(value))}" dy="4" text-anchor="end">${value}</text>`,
  )
  const marks = sizes.map((size) => `<text x="${rounded(x(size))}" y="${height - 24}" text-anchor="middle">${size}</text>`)
  const devices = [...new Set(measurements.map(({ device }) => device))]
  const lines = devices.map((device, i) => {
    const points = measurements.filter((of) => of.device === device)
    const colour = colours[i % colours.length]
    const path = points.map((of) => `${rounded(x(of.size))},${rounded(y(valueOf(of)))}`).join(" ")
    const dots = points.map(
      (of) =>
        `<circle cx="${rounded(x(of.size))}" cy="${rounded(y(valueOf(of)))}" r="3.5" fill="${colour}"><title>${escapeHtml(`${device}, size ${of.size}: ${figure(valueOf(of))} ${unit}`)}</title></circle>`,
    )
    const legend = `<text x="${left + 8 + i * 120}" y="${top - 16}" fill="${colour}" font-weight="bold">${escapeHtml(device)}</text>`
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join("")}${legend}`
  })
  const cuts = cutOvers
    .filter(({ from }) => from > (sizes[0] ?? 1) && from <= (sizes.at(-1) ?? 1))
    .map(
      ({ device, from }) =>
        `<line x1="${rounded(x(from))}" x2="${rounded(x(from))}" y1="${top}" y2="${height - bottom}" stroke="#555" stroke-dasharray="4 3"/><text x="${rounded(x(from) + 4)}" y="${height - bottom - 6}">${escapeHtml(`${device} from ${from}`)}</text>`,
    )
  const told = devices
    .map((device) => {
      const best = measurements.filter((of) => of.device === device).reduce((most, of) => Math.max(most, valueOf(of)), 0)
      return `${device} up to ${figure(best)} ${unit}`
    })
    .join(", ")
  const title = `${operation}: ${unit} by size`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="speed-title speed-text" font-family="system-ui, sans-serif" font-size="12" fill="#222"><title id="speed-title">${escapeHtml(title)}</title><desc id="speed-text">${escapeHtml(`${told}. ${cutOvers.map(({ device, from }) => `From size ${from}: ${device}`).join(". ")}`)}</desc><rect width="${width}" height="${height}" fill="#fff"/>${rows.join("")}${marks.join("")}<text x="${width / 2}" y="${height - 6}" text-anchor="middle">size of ${escapeHtml(operation)}</text><text x="8" y="${top - 16}">${unit}</text>${lines.join("")}${cuts.join("")}</svg>\n`
}
