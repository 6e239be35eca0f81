/**
 * Stop soundness: whatever a guest does, two checks are never far apart in time. Each guest runs with every check
 * replaced by a call that reads a clock; the longest time between two readings is the gap. A guest meets its checks in
 * the same order every time, so the least time over a few attempts is taken check by check: what a busy machine or the
 * engine's compiler adds falls elsewhere each time, what the guest does itself stays.
 */
import t from "tap"
import { families, type Family, makeGuest } from "./stop-soundness-guests.ts"
import { instantiate } from "./meter-harness.ts"

const seed = Number(process.env["STELE_SEED"] ?? 20_261_120)
const perFamily = Number(process.env["STELE_GUESTS"] ?? 20)
const gapMsMax = 5
const watchMs = 12
const checksMax = 50_000
const attempts = 12

type Omit = NonNullable<NonNullable<Parameters<typeof instantiate>[1]["test"]>["omit"]>

/**
 * Longest time between two checks, ms. The first attempt watches for `watchMs` after its first check; later ones repeat
 * the same checks, in the same order, and the least time seen before each counts.
 */
function gapOf(bytes: Uint8Array<ArrayBuffer>, omit: Omit | undefined, watchMs: number, attempts: number): { readonly gapMs: number; readonly checks: number } {
  let least = new Float64Array(0)
  let gapMs = Infinity
  for (let attempt = 0; attempt < attempts && gapMs > gapMsMax / 4; attempt++) {
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
    const guest = instantiate(bytes, { tier: "deadline", test: { probe: true, ...(omit === undefined ? {} : { omit }) }, tick })
    from = last = performance.now()
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

t.comment(`seed ${seed}, ${perFamily * families.length} guests`)

for (const family of families)
  t.test(`rewriteCoreModule() leaves at most ${gapMsMax} ms between two checks when a guest is a ${family}`, (t) => {
    let worst = 0
    for (let i = 0; i < perFamily; i++) {
      const guest = makeGuest(family, seed + i * 7_919, true)
      if (guest.work < 1e11) t.fail(`guest ${i} is too short: ${guest.work}`)
      const { gapMs, checks } = gapOf(guest.bytes, undefined, watchMs, attempts)
      worst = Math.max(worst, gapMs)
      if (gapMs > gapMsMax || checks < 2) t.fail(`${family}, seed ${seed + i * 7_919}: ${gapMs.toFixed(2)} ms between checks, ${checks} checks`)
    }
    t.ok(worst <= gapMsMax, `longest ${worst.toFixed(2)} ms`)
    t.end()
  })

const rules: ReadonlyArray<readonly [Omit, Family]> = [
  ["loop", "loops"],
  ["entry", "mutual recursion"],
  ["bulk", "unrolled bulk"],
  ["straight", "straight giant"],
  ["unwind", "unwinding"],
]
for (const [omit, family] of rules)
  t.test(`rewriteCoreModule() is seen to fail when the rule "${omit}" is left out`, (t) => {
    let worst = 0
    for (let i = 0; i < 8 && worst <= gapMsMax; i++) worst = Math.max(worst, gapOf(makeGuest(family, seed + i * 7_919, false).bytes, omit, 1_000, 3).gapMs)
    t.ok(worst > gapMsMax, `${family} without "${omit}": ${worst.toFixed(2)} ms`)
    t.end()
  })
