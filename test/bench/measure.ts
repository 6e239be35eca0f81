/** Timing for benchmarks: contenders take turns in rounds of one run, so that a busy machine disturbs all alike. */

export interface Sample {
  /** Median, in the unit of the row. */
  readonly median: number
  readonly p99: number
}

/** One line of a benchmark: our figure, the peers' beside it, and the targets they imply. */
export interface Row {
  readonly figure: string
  readonly unit: string
  readonly ours: number | null
  readonly peers: Readonly<Record<string, number>>
  /** By target name: our figure against the peer's as the target states it. */
  readonly ratios: Readonly<Record<string, number>>
  readonly target: string
  /** null: reported only. */
  readonly met: boolean | null
  readonly p99?: Readonly<Record<string, number>>
  readonly note?: string
}

const quantile = (sorted: ReadonlyArray<number>, q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] as number

export function summarize(samples: ReadonlyArray<number>): Sample {
  const sorted = samples.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) }
}

/**
 * Microseconds a call of each contender. Each round times every contender for about `roundMs`, in batches of at least
 * `batchUs` so that the clock's own cost (40 ns) does not show; the p99 is that of batches, of single calls where `batchUs` is 0.
 */
export function compare(
  contenders: Readonly<Record<string, () => unknown>>,
  { batchUs = 20, rounds = 12, roundMs = 25, warmMs = 60 } = {},
): Record<string, Sample> {
  const samples: Record<string, Array<number>> = {}
  const batches: Record<string, number> = {}
  for (const [name, run] of Object.entries(contenders)) {
    const warmUntil = performance.now() + warmMs
    let calls = 0
    const started = performance.now()
    while (performance.now() < warmUntil) {
      run()
      calls++
    }
    const eachUs = ((performance.now() - started) * 1000) / calls
    batches[name] = Math.max(1, Math.round(batchUs / eachUs))
    samples[name] = []
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const batch = batches[name] as number
      const out = samples[name] as Array<number>
      const until = performance.now() + roundMs
      for (;;) {
        const started = performance.now()
        for (let i = 0; i < batch; i++) run()
        const ended = performance.now()
        out.push(((ended - started) * 1000) / batch)
        if (ended > until) break
      }
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summarize(values)]))
}

/** The same for asynchronous contenders, one sample a call. */
export async function compareAsync(contenders: Readonly<Record<string, () => Promise<unknown>>>, { rounds = 60 } = {}): Promise<Record<string, Sample>> {
  const samples: Record<string, Array<number>> = {}
  for (const [name, run] of Object.entries(contenders)) {
    samples[name] = []
    for (let i = 0; i < 5; i++) await run()
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      const started = performance.now()
      await run()
      ;(samples[name] as Array<number>).push((performance.now() - started) * 1000)
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, values]) => [name, summarize(values)]))
}

/** One target: `ratio` is what the target speaks of, `limit` its bound. */
export interface Target {
  readonly name: string
  readonly ratio: number
  readonly atMost?: number
  readonly atLeast?: number
}

export const isMet = ({ ratio, atMost, atLeast }: Target): boolean => (atMost === undefined || ratio <= atMost) && (atLeast === undefined || ratio >= atLeast)

export const targetText = ({ name, atMost, atLeast }: Target): string => `${name} ${atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`}`

/** A row from samples: `ours` against peers, met when every target is. */
export function row(figure: string, unit: string, samples: Readonly<Record<string, Sample>>, targets: ReadonlyArray<Target>, note?: string): Row {
  const { ours, ...peers } = samples
  return {
    figure,
    unit,
    ours: ours === undefined ? null : ours.median,
    peers: Object.fromEntries(Object.entries(peers).map(([name, { median }]) => [name, median])),
    ratios: Object.fromEntries(targets.map(({ name, ratio }) => [name, ratio])),
    target: targets.map(targetText).join(", "),
    met: targets.length === 0 ? null : targets.every(isMet),
    p99: Object.fromEntries(Object.entries(samples).map(([name, { p99 }]) => [name, p99])),
    ...(note === undefined ? {} : { note }),
  }
}

/** A row from one figure: met when every target is; without any it is reported only. */
export const figureRow = (
  figure: string,
  unit: string,
  ours: number,
  peers: Readonly<Record<string, number>>,
  targets: ReadonlyArray<Target>,
  note?: string,
): Row => ({
  figure,
  unit,
  ours,
  peers,
  ratios: Object.fromEntries(targets.map(({ name, ratio }) => [name, ratio])),
  target: targets.map(targetText).join(", "),
  met: targets.length === 0 ? null : targets.every(isMet),
  ...(note === undefined ? {} : { note }),
})
