/**
 * Stop soundness: whatever a guest does, two checks are never far apart in time. Each guest runs with every check
 * replaced by a call that reads a clock; the longest time between two readings is the gap. Thread CPU time is read where
 * the platform has it, so that a busy machine does not count; the least of a few attempts is taken, because compiling a
 * function on its first call happens once and belongs to the engine.
 */
import t from "tap"
import { families, type Family, makeGuest } from "./stop-soundness-guests.ts"
import { instantiate } from "./meter-harness.ts"

const seed = Number(process.env["STELE_SEED"] ?? 20_261_120)
const perFamily = Number(process.env["STELE_GUESTS"] ?? 20)
const gapMsMax = 5
const watchMs = 15
const attempts = 6

type CpuUsage = { readonly user: number; readonly system: number }
const threadCpuUsage = (process as unknown as { threadCpuUsage?: () => CpuUsage }).threadCpuUsage?.bind(process)
const nowMs = (): number => {
  if (threadCpuUsage === undefined) return performance.now()
  const usage = threadCpuUsage()
  return (usage.user + usage.system) / 1_000
}

type Test = NonNullable<Parameters<typeof instantiate>[1]["test"]>

/** Longest time between two checks, ms; the run is stopped after `stopMs` unless it ends before. */
function gapOf(bytes: Uint8Array<ArrayBuffer>, omit: Test["omit"], stopMs: number): { readonly gapMs: number; readonly checks: number } {
  let last = 0
  let from = 0
  let gapMs = 0
  let checks = 0
  const tick = (): number => {
    const now = nowMs()
    if (now - last > gapMs) gapMs = now - last
    checks++
    last = now
    return now - from > stopMs ? 1 : 0
  }
  const guest = instantiate(bytes, { tier: "deadline", test: { probe: true, ...(omit === undefined ? {} : { omit }) }, tick })
  from = last = nowMs()
  try {
    guest.exports["run"]?.(1)
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error
  }
  gapMs = Math.max(gapMs, nowMs() - last)
  return { gapMs, checks }
}

function leastGap(bytes: Uint8Array<ArrayBuffer>, omit: Test["omit"], stopMs: number): { readonly gapMs: number; readonly checks: number } {
  let least = { gapMs: Infinity, checks: 0 }
  for (let attempt = 0; attempt < attempts && least.gapMs > gapMsMax; attempt++) {
    const found = gapOf(bytes, omit, stopMs)
    if (found.gapMs < least.gapMs) least = found
  }
  return least
}

t.comment(`seed ${seed}, ${perFamily * families.length} guests`)

for (const family of families)
  t.test(`rewriteCoreModule() leaves at most ${gapMsMax} ms between two checks when a guest is a ${family}`, (t) => {
    let worst = 0
    for (let i = 0; i < perFamily; i++) {
      const guest = makeGuest(family, seed + i * 7_919, true)
      if (guest.work < 1e11) t.fail(`guest ${i} is too short: ${guest.work}`)
      const { gapMs, checks } = leastGap(guest.bytes, undefined, watchMs)
      worst = Math.max(worst, gapMs)
      if (gapMs > gapMsMax || checks === 0) t.fail(`${family}, seed ${seed + i * 7_919}: ${gapMs.toFixed(2)} ms between checks, ${checks} checks`)
    }
    t.ok(worst <= gapMsMax, `longest ${worst.toFixed(2)} ms`)
    t.end()
  })

const rules: ReadonlyArray<readonly [NonNullable<Test["omit"]>, Family]> = [
  ["loop", "loops"],
  ["entry", "mutual recursion"],
  ["bulk", "unrolled bulk"],
  ["straight", "straight giant"],
  ["unwind", "unwinding"],
]
for (const [omit, family] of rules)
  t.test(`rewriteCoreModule() is seen to fail when the rule "${omit}" is left out`, (t) => {
    let worst = 0
    for (let i = 0; i < 8 && worst <= gapMsMax; i++) worst = Math.max(worst, leastGap(makeGuest(family, seed + i * 7_919, false).bytes, omit, 1_000).gapMs)
    t.ok(worst > gapMsMax, `${family} without "${omit}": ${worst.toFixed(2)} ms`)
    t.end()
  })
