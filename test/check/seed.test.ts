/** A short run asks the same every time, a full one something new, and the variables repeat either. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import t from "tap"

const folder = fileURLToPath(new URL("..", import.meta.url))
const program = `
import fc from "./property.ts"
import { isFull, replay, replayOne, runsOf, sample, sampled, seed } from "./seed.ts"
console.log(JSON.stringify({ isFull, replay, one: replayOne(7), runs: [runsOf(3, 40), runsOf(5)], sample, sampled: sampled([...Array(7).keys()], 3, 1), seed, drawn: fc.sample(fc.nat(), 3) }))
console.log(fc.defaultReportMessage(fc.check(fc.property(fc.nat(), (n) => n < 1_000))))
`
function asked(env: Readonly<Record<string, string>>) {
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: folder,
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
  })
  const [found = "", ...report] = stdout.split("\n")
  if (found === "") return { stderr }
  return { ...(JSON.parse(found) as Readonly<Record<string, unknown>>), report: report.join("\n"), stderr }
}

t.test("a short run has one seed and one sample, and a property that fails tells seed and counterexample", async (t) => {
  const found = asked({})
  t.match(found, { isFull: false, replay: "STELE_TEST_SEED=1", one: "STELE_TEST_SEED=7 STELE_TEST_RUNS=1", runs: [3, 5], sample: 1, sampled: [1, 4], seed: 1 })
  t.match(found, { report: /seed: 1, path: [\s\S]*Counterexample: \[1000\]/ })
  t.same(asked({}), found)
})

t.test("the variables ask something else, again and again the same", async (t) => {
  const env = { STELE_TEST_SEED: "2", STELE_TEST_SAMPLE: "0", STELE_TEST_RUNS: "9" }
  const found = asked(env)
  t.match(found, { replay: "STELE_TEST_SEED=2", runs: [9, 9], sampled: [2, 5], report: /seed: 2,/ })
  t.notSame((found as { drawn?: unknown }).drawn, (asked({}) as { drawn?: unknown }).drawn)
  t.same(asked(env), found)
  t.match(asked({ STELE_TEST_SEED: "x" }), { stderr: 'Cannot read STELE_TEST_SEED as an integer from 0 to 2147483647: current value is "x"' })
})

t.test("a full run has a seed of its own and every case", async (t) => {
  const found = asked({ STELE_TEST_FULL: "1" })
  t.match(found, { isFull: true, runs: [40, 5], sampled: [0, 1, 2, 3, 4, 5, 6] })
  t.not((found as { seed?: unknown }).seed, 1)
  t.match(asked({ STELE_TEST_FULL: "1", STELE_TEST_SEED: "3" }), { seed: 3 })
})
