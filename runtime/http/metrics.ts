/** What the service counts, and its text for Prometheus (exposition format 0.0.4). */

/** Upper bounds of the time of a request, in seconds. */
export const secondsBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

/** Series of one name: further ones are counted under `other`, since names of plugins come from outside. */
const seriesMax = 5_000

type Labels = Readonly<Record<string, string>>

const escapeLabel = (text: string): string => text.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))
const labelText = (labels: Labels): string =>
  Object.keys(labels).length === 0
    ? ""
    : `{${Object.entries(labels)
        .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
        .join(",")}}`

export interface Series {
  readonly labels: Labels
  value: number
}

export class Counter {
  readonly name: string
  readonly help: string
  readonly #series = new Map<string, Series>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  /** `key` tells the series apart, and costs less than reading labels. */
  add(key: string, labels: () => Labels): void {
    let series = this.#series.get(key)
    if (series === undefined) {
      if (this.#series.size >= seriesMax) key = "other"
      series = this.#series.get(key) ?? { labels: key === "other" ? { other: "true" } : labels(), value: 0 }
      this.#series.set(key, series)
    }
    series.value++
  }

  get series(): Iterable<Series> {
    return this.#series.values()
  }
}

export interface Distribution {
  readonly labels: Labels
  /** By bound, each without those below; the last is everything above. */
  readonly counts: Array<number>
  sum: number
  count: number
}

export class Histogram {
  readonly name: string
  readonly help: string
  readonly #series = new Map<string, Distribution>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  add(key: string, labels: () => Labels, seconds: number): void {
    let series = this.#series.get(key)
    if (series === undefined) {
      series = { labels: labels(), counts: Array.from({ length: secondsBounds.length + 1 }, () => 0), sum: 0, count: 0 }
      this.#series.set(key, series)
    }
    let bound = 0
    while (bound < secondsBounds.length && seconds > (secondsBounds[bound] as number)) bound++
    series.counts[bound] = (series.counts[bound] as number) + 1
    series.sum += seconds
    series.count++
  }

  get series(): Iterable<Distribution> {
    return this.#series.values()
  }
}

/** A number that is looked at when it is asked for. */
export interface Gauge {
  readonly name: string
  readonly help: string
  readonly value: () => number
}

export class Metrics {
  readonly requests = new Counter("stele_http_requests_total", "Requests answered, by route, method and status")
  readonly seconds = new Histogram("stele_http_request_seconds", "Time from a request's head to its answer, by route")
  readonly calls = new Counter("stele_plugin_calls_total", "Calls of plugins over HTTP, by plugin and outcome")
  readonly gauges: ReadonlyArray<Gauge>

  constructor(gauges: ReadonlyArray<Gauge>) {
    this.gauges = gauges
  }

  text(): string {
    const lines: Array<string> = []
    const head = (name: string, help: string, type: string): void => void lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const { name, help, series } of [this.requests, this.calls]) {
      head(name, help, "counter")
      for (const { labels, value } of series) lines.push(`${name}${labelText(labels)} ${value}`)
    }
    const { name, help, series } = this.seconds
    head(name, help, "histogram")
    for (const { labels, counts, sum, count } of series) {
      let below = 0
      counts.forEach((each, i) => {
        below += each
        lines.push(`${name}_bucket${labelText({ ...labels, le: i < secondsBounds.length ? String(secondsBounds[i]) : "+Inf" })} ${below}`)
      })
      lines.push(`${name}_sum${labelText(labels)} ${sum}`, `${name}_count${labelText(labels)} ${count}`)
    }
    for (const gauge of this.gauges) {
      head(gauge.name, gauge.help, gauge.name.endsWith("_total") ? "counter" : "gauge")
      lines.push(`${gauge.name} ${gauge.value()}`)
    }
    return `${lines.join("\n")}\n`
  }
}
