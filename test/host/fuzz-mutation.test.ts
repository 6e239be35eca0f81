/**
 * Mutants of valid components: a typed error or a result, in bounded time, and nothing else. A mutant is named by the
 * seed and its index; replay one with `STELE_TEST_SEED=… STELE_FUZZ_AT=INDEX node test/host/fuzz-mutation.test.ts`.
 */
import t from "tap"
import { answer } from "./engine.ts"
import { fuzz, type Report } from "./fuzz-program.ts"
import { isFull, seed } from "../seed.ts"

t.setTimeout(3_600_000)
const only = process.env["STELE_FUZZ_AT"]

function judge(t: { comment(text: string): void; same(a: unknown, b: unknown): unknown; ok(value: unknown, text: string): unknown }, report: Report): void {
  const { mutants, outcomes, slowest, seconds, problems } = report
  t.comment(`${mutants} mutants in ${seconds.toFixed(1)} s, seed ${seed}; the slowest took ${Math.round(slowest.ms)} ms, at ${slowest.index}`)
  t.comment(JSON.stringify(outcomes))
  t.same(problems, [])
  if (mutants === 1) return
  // Mutants are worth something only while many get behind the decoder.
  t.ok((outcomes["loaded"] ?? 0) > mutants / 20, "one in twenty loads")
  t.ok((outcomes["answered"] ?? 0) > mutants / 100, "one in a hundred answers")
}

t.test(`\`load()\` and \`call()\` give a typed error or a result when components are mutated (seed ${seed})`, async (t) => {
  judge(t, only === undefined ? await fuzz(seed, 0, isFull ? 100_000 : 600) : await fuzz(seed, Number(only), 1))
})

for (const engine of ["deno", "bun"] as const) {
  t.test(`\`load()\` and \`call()\` give a typed error or a result when components are mutated on ${engine} (seed ${seed})`, async (t) => {
    const [first, total] = only === undefined ? [0, isFull ? 20_000 : 300] : [Number(only), 1]
    judge(t, await answer<Report>(engine, "fuzz-program.ts", [seed, first, total].map(String), { msMax: 1_800_000 }))
  })
}
