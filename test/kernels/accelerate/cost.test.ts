/** The cost model: what is predicted, what real runs teach, where one device takes over from another, and calibration within its time. */
import t from "tap"
import { bestOf, type Calibration, calibrate, confidenceOf, cutOver, History, isStale, predict } from "../../../kernels/accelerate/cost.ts"
import { openCpu } from "../../../kernels/accelerate/cpu.ts"
import type { Device } from "../../../kernels/accelerate/device.ts"
import { rates } from "../../../kernels/accelerate/operation.ts"
import { openSimd } from "../../../kernels/accelerate/simd.ts"

const calibration: Calibration = {
  ...{ fingerprint: "x", measuredAt: "", rounds: 1, tookMs: 0, launchMs: 0.5, readMs: 2, upBytesPerMs: 1_000, downBytesPerMs: 500 },
  rates: { arithmetic: 10_000, memory: 100, function: 50, reduction: 200 },
  searchBytesPerMs: 1_000,
}

t.test("a prediction is launch, copies and work", async (t) => {
  const history = new History()
  const tasks = [
    { operation: "matmul", work: 20_000, rate: "arithmetic" },
    { operation: "gelu", work: 100, rate: "function" },
  ] as const
  t.same(predict(calibration, history, tasks, { bytesUp: 3_000, bytesDown: 1_000 }), { launchMs: 0.5, upMs: 3, runMs: 4, downMs: 4, totalMs: 11.5 })
  t.equal(predict(calibration, history, tasks, { bytesUp: 0, bytesDown: 0 }).downMs, 0, "nothing read, nothing waited for")
  t.equal(predict(calibration, history, [{ operation: "search", work: 5_000, rate: "search" }], { bytesUp: 0, bytesDown: 0 }).runMs, 5)
})

t.test("real runs correct it, size by size, and one disturbed run does not undo many", async (t) => {
  const history = new History()
  const [task, larger] = [
    { operation: "matmul", work: 20_000, rate: "arithmetic" },
    { operation: "matmul", work: 200_000, rate: "arithmetic" },
  ] as const
  const run = (): number => predict(calibration, history, [task], { bytesUp: 0, bytesDown: 0 }).runMs
  t.equal(confidenceOf(history, [task]), 0.5)
  history.learn(task, 3)
  t.equal(run(), 6, "the first is believed")
  for (let i = 0; i < 4; i++) history.learn(task, 3)
  t.equal(confidenceOf(history, [task]), 0.9)
  t.equal(confidenceOf(history, [task, larger]), 0.5, "all of a list")
  history.learn(task, 1_000)
  t.ok(run() < 40, "bounded")
  for (let i = 0; i < 20; i++) history.learn(task, 3)
  t.ok(Math.abs(run() - 6) < 0.2, `${run()}`)
  t.equal(history.of(larger).runs, 0)
  t.same(new History(history.entries()).of(task), history.of(task), "what is remembered is the same")
})

t.test("the best of several measurements counts, and what runs taught is kept", async (t) => {
  const slow: Calibration = { ...calibration, launchMs: 5, rates: { ...calibration.rates, arithmetic: 1_000 } }
  const best = bestOf(slow, calibration)
  t.match(best, { rounds: 2, launchMs: 0.5, rates: { arithmetic: 10_000, memory: 100 } })
  t.match(bestOf(calibration, slow), { launchMs: 0.5, rates: { arithmetic: 10_000 } })
  const task = { operation: "matmul", work: 20_000, rate: "arithmetic" } as const
  const history = new History()
  history.learn(task, 0.5)
  const traffic = { bytesUp: 0, bytesDown: 0 }
  t.equal(predict(best, history.rescaled(slow, best), [task], traffic).runMs, predict(slow, history, [task], traffic).runMs)
  const at = (ageMs: number, rounds: number): Calibration => ({ ...calibration, rounds, measuredAt: new Date(1e12 - ageMs).toISOString() })
  t.same(
    [at(0, 2), at(1_000, 3), at(90_000_000, 3), at(-90_000_000, 3), { ...calibration, rounds: 3 }].map((of) => isStale(of, 1e12)),
    [true, false, true, true, true],
  )
})

t.test("a cut-over is the least size", async (t) => {
  for (let wanted = 1; wanted < 300; wanted++)
    t.equal(
      cutOver((size) => size >= wanted, { most: 1_000 }),
      wanted,
    )
  t.equal(
    cutOver((size) => size >= 1_000, { most: 1_000 }),
    1_000,
  )
  t.equal(
    cutOver(() => false, { most: 1_000 }),
    undefined,
  )
  t.equal(
    cutOver((size) => size >= 13, { least: 10, most: 1_000 }),
    13,
  )
  t.equal(
    cutOver(() => true, { least: 10 }),
    10,
  )
})

t.test("calibration measures every rate, within its time", async (t) => {
  for (const device of [openCpu(), (await openSimd()) as Device]) {
    // The first round compiles.
    await calibrate(device)
    const found = await calibrate(device)
    for (const rate of rates) t.ok(found.rates[rate] > 0 && Number.isFinite(found.rates[rate]), `${device.name} ${rate} ${found.rates[rate]}`)
    for (const value of [found.launchMs, found.readMs, found.upBytesPerMs, found.downBytesPerMs]) t.ok(value > 0 && Number.isFinite(value))
    t.equal(found.searchBytesPerMs > 0, device.search !== undefined)
    t.ok(found.tookMs < 500, `${device.name} took ${found.tookMs.toFixed(0)} ms; ten times the budget is for machines that do other things`)
    t.equal(device.memory().arrays, 0)
    t.comment(`${device.name}: ${found.tookMs.toFixed(1)} ms`)
  }
})
