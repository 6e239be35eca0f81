// Determinism of the `fuel` tier: the same call has the same result bits, the same fuel and the same outcome on Node,
// Deno and Bun, cold and optimised, and fuel runs out at the same instruction.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { costTable } from "../../host/meter/cost-table.ts"
import { calls, writeDeterminismGuests } from "./determinism-guests.ts"
import type { Report } from "./determinism-program.ts"
import { answer, engines } from "./engine.ts"
import { isFull } from "../seed.ts"

/** Fuel is swept one by one on Node; elsewhere, where an instance takes a millisecond to make, in steps unless the run is full. */
const stepOf = (engine: string): number => (engine === "node" || isFull ? 1 : 37)

t.setTimeout(600_000)
const folder = await mkdtemp(join(tmpdir(), "stele-determinism-"))
t.teardown(() => rm(folder, { recursive: true }))
await writeDeterminismGuests(folder)

const reports = new Map<string, Report>()
for (const engine of engines)
  reports.set(engine, await answer<Report>(engine, "./determinism-program.ts", [folder, JSON.stringify(calls), String(stepOf(engine))]))
const reportOf = (engine: string): Report => reports.get(engine) as Report
const node = reportOf("node")

/** The sequence that `coded` of the program wrote as runs. */
const decoded = (runs: string): ReadonlyArray<string> =>
  runs.split(" ").flatMap((run) => Array<string>(Number(run.slice(run.lastIndexOf("×") + 1))).fill(run.slice(0, run.lastIndexOf("×"))))
const sampled = (sequence: ReadonlyArray<string>, step: number): ReadonlyArray<string> => sequence.filter((_, i) => i % step === 0)

t.comment(`${calls.length} calls on ${engines.join(", ")}; unmetered, ${node.oddNaNsUnmetered} of their NaNs had other bits`)

for (const engine of engines) {
  t.test(`\`fuel\` gives a call the same result, fuel and outcome each time when ${engine} runs it cold and optimised`, async (t) => {
    const { calls: outcomes, oddNaNsUnmetered } = reportOf(engine)
    t.equal(Object.keys(outcomes).length, calls.length)
    for (const [call, outcome] of Object.entries(outcomes)) {
      t.notMatch(outcome, / \/ |untyped/, call)
      t.match(outcome, / fuel \d+/, call)
    }
    t.match(outcomes["floats odd-nans()"], /^0 /, "every NaN that arithmetic makes is the canonical one")
    t.ok(oddNaNsUnmetered > 0, "which is the metering's doing: this processor makes others")
  })
}

for (const engine of ["deno", "bun"] as const) {
  t.test(`\`fuel\` gives every call on ${engine} what it gives on node`, async (t) => {
    for (const [call, outcome] of Object.entries(reportOf(engine).calls)) t.equal(outcome, node.calls[call], call)
    t.equal(reportOf(engine).enough, node.enough)
  })

  t.test(`fuel runs out at the same instruction when ${engine} and node run the same guest`, async (t) => {
    const step = stepOf(engine)
    t.same(decoded(reportOf(engine).marks), sampled(decoded(node.marks), step))
    t.same(decoded(reportOf(engine).progress), sampled(decoded(node.progress), step))
  })
}

t.test("a guest gets further with each unit of fuel, never back, and `used` is exactly what it needs", async (t) => {
  const enough = Number(node.enough)
  const marks = decoded(node.marks)
  t.equal(marks.length, enough + 21)
  const reached = marks.map((mark) => Number.parseInt(mark, 10))
  t.ok(reached.every((count, fuel) => fuel === 0 || count - (reached[fuel - 1] as number) === 0 || count - (reached[fuel - 1] as number) === 1))
  t.equal(reached.at(-1), 12)
  t.same(
    marks.map((mark) => mark.endsWith("!")),
    marks.map((_, fuel) => fuel >= enough),
  )
  const progress = decoded(node.progress)
  const steps = progress.map((one) => Number.parseInt(one, 10))
  t.ok(steps.every((count, fuel) => fuel === 0 || count >= (steps[fuel - 1] as number)))
  t.equal(steps.at(-1), 40)
  t.ok(new Set(progress).size > 50, `${new Set(progress).size} places to stop`)
})

t.test("fuel is the published cost table's until its version changes", async (t) => {
  t.equal(costTable.version, 2)
  const fuel = (call: string) => Number(/ fuel (\d+)/.exec(node.calls[call] ?? "")?.[1])
  t.same(
    [
      "fib(18)",
      "ackermann(2,9)",
      "down()",
      "deep()",
      "integers(20000)",
      "grow-memory()",
      "grow-table()",
      "bulk(300)",
      "marks(200)",
      "texts(200)",
      "switch(5000)",
    ].map((call) => fuel(`work ${call}`)),
    [108_702, 3_460, 394_976, 17_169, 1_740_014, 72_732, 67_453, 263_440, 121_086, 273_995, 208_960],
  )
})
