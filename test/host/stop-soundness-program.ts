/**
 * Measures the longest time between two stop checks of generated guests, on the engine that runs it. Arguments: seed,
 * guests per family, and "rules" to leave rules out as well. Prints one JSON line, a `SoundnessReport`.
 *
 * Every check is replaced by a call that reads a clock; the time between two readings is the gap. A guest meets its
 * checks in the same order every time, so the least time over a few attempts is taken check by check: what a busy
 * machine or the engine's compiler adds falls elsewhere each time, what the guest does itself stays.
 */
import { instantiate } from "./meter-harness.ts"
import { families, type Family, makeGuest } from "./stop-soundness-guests.ts"

export interface SoundnessReport {
  readonly guests: number
  /** Least work of a guest of the endless kind: instructions, or bytes moved. */
  readonly workMin: number
  /** Longest gap by family, ms. */
  readonly gapsMs: Readonly<Record<string, number>>
  /** Guests that passed fewer than two checks: nothing was measured. */
  readonly unmeasured: ReadonlyArray<string>
  /** Longest gap with one rule left out, ms. */
  readonly withoutRuleMs: Readonly<Record<string, number>>
}

const goodMs = 1.25
const watchMs = 12
const checksMax = 50_000

type Omit = NonNullable<NonNullable<Parameters<typeof instantiate>[1]["test"]>["omit"]>

/** Watches for `watchMs` after the first check; later attempts repeat the same checks, until the gap is under `enoughMs`. */
function gapOf(
  bytes: Uint8Array<ArrayBuffer>,
  omit: Omit | undefined,
  watchMs: number,
  attempts: number,
  enoughMs: number,
): { readonly gapMs: number; readonly checks: number } {
  let least = new Float64Array(0)
  let gapMs = Infinity
  for (let attempt = 0; attempt < attempts && gapMs > enoughMs; attempt++) {
    const gaps: Array<number> = []
    let from = 0
    let last = 0
    const tick = (): number => {
      const now = performance.now()
      gaps.push(now - last)
      if (gaps.length === 1) from = now
      if (attempt === 0 ? now - from > watchMs || gaps.length === checksMax : gaps.length >= least.length) return 1
      last = performance.now()
      return 0
    }
    const guest = instantiate(bytes, { tier: "deadline", stackBytes: 400 << 10, test: { probe: true, ...(omit === undefined ? {} : { omit }) }, tick })
    last = performance.now()
    try {
      guest.exports["run"]?.(1)
      gaps.push(performance.now() - last)
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error
    }
    if (attempt === 0) least = Float64Array.from(gaps)
    else for (let i = 0; i < least.length; i++) least[i] = Math.min(least[i] as number, gaps[i] ?? 0)
    gapMs = 0
    for (const gap of least) if (gap > gapMs) gapMs = gap
  }
  return { gapMs, checks: least.length }
}

const rules: ReadonlyArray<readonly [Omit, Family]> = [
  ["loop", "loops"],
  ["entry", "mutual recursion"],
  ["bulk", "unrolled bulk"],
  ["straight", "straight giant"],
  ["unwind", "unwinding"],
]

const [seedText = "1", countText = "1", mode] = process.argv.slice(2)
const seed = Number(seedText)
const seedOf = (i: number): number => seed + i * 7_919
const gapsMs: Record<string, number> = {}
const unmeasured: Array<string> = []
let workMin = Infinity
let guests = 0
for (const family of families) {
  gapsMs[family] = 0
  for (let i = 0; i < Number(countText); i++) {
    const guest = makeGuest(family, seedOf(i), true)
    const { gapMs, checks } = gapOf(guest.bytes, undefined, watchMs, 12, goodMs)
    guests++
    workMin = Math.min(workMin, guest.work)
    gapsMs[family] = Math.max(gapsMs[family] ?? 0, gapMs)
    if (checks < 2) unmeasured.push(`${family}, seed ${seedOf(i)}`)
  }
}
const withoutRuleMs: Record<string, number> = {}
if (mode === "rules")
  for (const [omit, family] of rules) {
    let worst = 0
    for (let i = 0; i < 8 && worst <= 5; i++) worst = Math.max(worst, gapOf(makeGuest(family, seedOf(i), false).bytes, omit, 1_000, 3, goodMs).gapMs)
    withoutRuleMs[omit] = worst
  }
const report: SoundnessReport = { guests, workMin, gapsMs, unmeasured, withoutRuleMs }
console.log(JSON.stringify(report))
