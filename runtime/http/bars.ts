/** A chart of bars as SVG, to stand in a page: coloured by the page's style sheet, read aloud by its title and description, without a script. */
import { groupedText } from "../billing/decimal.ts"
import { escapeHtml } from "../billing/page.ts"

export interface Bar {
  /** What it is of, such as a day. */
  readonly name: string
  /** From 0. */
  readonly value: bigint
  /** How much of it is drawn as the other part, on top; at most `value`. */
  readonly part: bigint
}

export interface BarChart {
  readonly title: string
  readonly description: string
  /** Begins the ids of its title and its description, one of each on a page; default `chart`. */
  readonly id?: string
  /** What one bar says, when it is pointed at. */
  readonly label: (bar: Bar) => string
  /** What the scale says; default the number. */
  readonly scale?: (value: bigint) => string
}

const [width, height, left, right, top, bottom] = [720, 240, 64, 8, 12, 28] as const

/** Steps of a scale that are easily read: 1, 2 or 5 times a power of ten, at most four of them up to `max`. */
export function stepOf(max: bigint): bigint {
  for (let power = 1n; ; power *= 10n) for (const times of [1n, 2n, 5n]) if (times * power * 4n >= max) return times * power
}

/** With two digits: pixels need no more. */
const place = (value: number): string => String(Math.round(value * 100) / 100)

/** The chart, 720 wide and 240 high in units of its own; classes `bar`, `part`, `grid`, `label` are the page's to colour. Ids are `chart-title`, `chart-text`, or begin with `id`. */
export function bars(of: ReadonlyArray<Bar>, { description, id = "chart", label, scale = (value) => groupedText(String(value)), title }: BarChart): string {
  const max = of.reduce((most, { value }) => (value > most ? value : most), 0n)
  const step = stepOf(max)
  const steps = max === 0n ? 1n : (max + step - 1n) / step
  const whole = steps * step
  const [wide, high] = [width - left - right, height - top - bottom]
  // Six digits of a share are more than a screen has; values may be beyond what a number holds.
  const tall = (value: bigint): number => (Number((value * 1_000_000n) / whole) / 1_000_000) * high
  const each = wide / Math.max(1, of.length)
  const gap = each > 4 ? Math.min(6, each * 0.25) : 0
  const grid = Array.from({ length: Number(steps) + 1 }, (_, i) => {
    const y = place(top + high - (high * i) / Number(steps))
    return `<line class="grid" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/><text class="label" x="${left - 8}" y="${y}" dy="4" text-anchor="end">${escapeHtml(scale(step * BigInt(i)))}</text>`
  })
  const drawn = of.map((bar, i) => {
    const [x, all, part] = [place(left + i * each + gap / 2), tall(bar.value), tall(bar.part)]
    const rect = (name: string, from: number, size: number): string =>
      size === 0 ? "" : `<rect class="${name}" x="${x}" y="${place(top + high - from - size)}" width="${place(each - gap)}" height="${place(size)}"/>`
    return `<g><title>${escapeHtml(label(bar))}</title>${rect("bar", 0, all - part)}${rect("part", all - part, part)}</g>`
  })
  // As many names as there is room for, the first among them.
  const every = Math.max(1, Math.ceil(90 / each))
  const names = of.flatMap(({ name }, i) =>
    i % every === 0 ? [`<text class="label" x="${place(left + (i + 0.5) * each)}" y="${height - 8}" text-anchor="middle">${escapeHtml(name)}</text>`] : [],
  )
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-text" xmlns="http://www.w3.org/2000/svg"><title id="${id}-title">${escapeHtml(title)}</title><desc id="${id}-text">${escapeHtml(description)}</desc>${grid.join("")}${drawn.join("")}${names.join("")}</svg>`
}
