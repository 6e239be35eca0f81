/**
 * Stop soundness: whatever a guest does, two checks are never far apart in time; and the measurement would notice if a
 * rule of the rewriter were missing. Measures time, so it runs @alone. `STELE_TEST_SEED` replays a run,
 * `STELE_TEST_RUNS` sets the guests per family.
 */
import t from "tap"
import { answer, type EngineName } from "./engine.ts"
import type { SoundnessReport } from "./stop-soundness-program.ts"
import { replay, runsOf, seed } from "../seed.ts"

t.setTimeout(600_000)

const gapMsMax = 5
/** Instructions or bytes: over ten seconds on any machine of today. */
const workMin = 1e11

const runs: ReadonlyArray<readonly [EngineName, guests: string]> = [
  ["node", String(runsOf(4, 20))],
  ["deno", "4"],
  ["bun", "4"],
]

for (const [engine, guests] of runs) {
  const rules = engine === "node"
  t.test(`\`rewriteCoreModule()\` leaves at most ${gapMsMax} ms between two checks when generated guests run on ${engine}`, async (t) => {
    const report = await answer<SoundnessReport>(engine, "stop-soundness-program.ts", [String(seed), guests, ...(rules ? ["rules"] : [])], { msMax: 500_000 })
    t.comment(`${replay}: ${report.guests} guests, longest gap by family (ms): ${JSON.stringify(report.gapsMs)}`)
    t.ok(report.workMin > workMin, `the shortest guest does ${report.workMin.toExponential(1)}`)
    t.same(report.unmeasured, [], "every guest passed checks")
    for (const [family, gapMs] of Object.entries(report.gapsMs)) t.ok(gapMs > 0 && gapMs <= gapMsMax, `${family}: ${gapMs.toFixed(2)} ms`)
    if (!rules) return
    for (const rule of ["loop", "entry", "bulk", "straight", "unwind"]) {
      const gapMs = report.withoutRuleMs[rule] ?? 0
      t.ok(gapMs > gapMsMax, `without the rule "${rule}": ${gapMs.toFixed(2)} ms`)
    }
  })
}
