/** Measurements of a plugin's calls: which calls are made, what comes of them, and what they are compared with. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { callsOf } from "../../../runtime/author/bench.ts"
import { compare, keep, type Kept, readKept } from "../../../runtime/author/kept.ts"
import { locate } from "../../../runtime/author/located.ts"
import type { Test } from "../../../runtime/author/test.ts"
import { shortName } from "../../../runtime/service/export.ts"
import { newProject } from "../../journey/author-dev.ts"
import { jsonError, stele } from "../command-line.ts"

t.setTimeout(300_000)

const located = locate('{"tests": []}', "tests/a.json")
const test = (index: number, one: Partial<Test["case"]> & { readonly call: string }): Test => ({
  file: "tests/a.json",
  index,
  line: index + 2,
  name: "",
  case: one,
  located,
})
const u8 = { kind: "u8" } as const
const exported = (name: string, params: number): Parameters<typeof callsOf>[0][number] => ({
  name,
  type: { kind: "function", params: Array.from({ length: params }, (_, i) => ({ label: `p${i}`, type: u8 })) },
})

t.test("`callsOf()` takes the first test with a result, then one with the export's own error, and never one that is stopped", async (t) => {
  const exports = [exported("a:b/api#f", 1), exported("a:b/api#g", 1), exported("a:b/api#h", 0), exported("a:b/api#i", 1)]
  const { calls, skipped } = callsOf(exports, [
    test(0, { call: "f", arguments: [1], error: "no" }),
    test(1, { call: "api#f", arguments: [2], result: 2 }),
    test(2, { call: "f", arguments: [3], result: 3 }),
    test(3, { call: "g", arguments: [4], error: "no" }),
    test(4, { call: "i", arguments: [5], error: "STELE-LIM-0010" }),
    test(5, { call: "gone", arguments: [6], error: "STELE-PLG-0003" }),
  ])
  t.strictSame(
    calls.map(({ export: name, from }) => [name, from]),
    [
      ["a:b/api#f", "tests/a.json:3"],
      ["a:b/api#g", "tests/a.json:5"],
      ["a:b/api#h", "it has no parameters"],
    ],
  )
  t.strictSame(await calls[0]?.arguments(exports[0] as (typeof exports)[number]), [2])
  t.strictSame(skipped, ["a:b/api#i"])
})

t.test("`shortName()` is the shortest that means no other export", async (t) => {
  const exports = ["a:b/api@1.0.0#f", "a:b/other@1.0.0#f", "a:b/api@1.0.0#g"].map((name) => ({ name }))
  t.strictSame(
    exports.map(({ name }) => shortName(exports, name)),
    ["api#f", "other#f", "g"],
  )
})

t.test("`compare()` tells a difference that is larger than the noise of both", async (t) => {
  const kept = (medianUs: number, noise: number, fuel?: string): Kept => ({
    format: 1,
    at: "2026-01-01T00:00:00.000Z",
    machine: "m",
    componentBytes: 1,
    loadMs: 1,
    exports: [{ export: "f", medianUs, noise, ...(fuel === undefined ? {} : { fuel }) }],
  })
  const now = { export: "f", from: "", calls: 1, callsPerSecond: 1, medianUs: 10, p99Us: 10, noise: 0.01, fuel: "50", memoryPeakBytes: 0 }
  t.match(compare(kept(20, 0.01, "100"), now), { ratio: 2, isNoise: false, fuelRatio: 0.5 })
  t.match(compare(kept(10.2, 0, "50"), now), { isNoise: true, fuelRatio: 1 })
  t.match(compare(kept(12, 0.2), now), { isNoise: true, fuelRatio: undefined })
  t.equal(compare({ ...kept(1, 0), exports: [] }, now), undefined)
})

t.test("what is kept is read again, and what is no result is none", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-kept-"))
  t.teardown(() => rm(folder, { recursive: true }))
  t.equal(await readKept({ folder }), undefined)
  const one = { export: "f", from: "", calls: 1, callsPerSecond: 1, medianUs: 10, p99Us: 10, noise: 0, memoryPeakBytes: 0 }
  const result = { componentBytes: 5, packedBytes: 4, loadMs: 3, exports: [one], failed: [], skipped: [] }
  await keep({ folder }, result, undefined)
  await keep({ folder }, { ...result, exports: [{ ...one, export: "g" }] }, await readKept({ folder }))
  t.strictSame(
    (await readKept({ folder }))?.exports.map((kept) => kept.export),
    ["f", "g"],
    "what was not measured again stays",
  )
  await writeFile(join(folder, "build/bench.json"), '{"format": 2}')
  t.equal(await readKept({ folder }), undefined)
})

t.test("`stele bench` measures, keeps the first result, compares later ones, and tells of a call that fails", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "stele-bench-"))
  t.teardown(() => rm(folder, { recursive: true }))
  const project = await newProject(folder, "price-rule")
  const bench = (...words: ReadonlyArray<string>) => stele(["bench", "--time", "100ms", ...words], { cwd: project })
  const first = JSON.parse(bench("--json").stdout) as {
    exports: ReadonlyArray<{ export: string; medianUs: number; p99Us: number; callsPerSecond: number; fuel: string; since: object | null }>
    isKept: boolean
    kept: object | null
    loadMs: number
    componentBytes: number
  }
  t.match(first, {
    isKept: true,
    kept: null,
    exports: [{ export: "acme:price-rule/api#greet", from: "tests/greet.json:4", since: null, memoryPeakBytes: 65_536 }],
  })
  const [one] = first.exports
  t.ok(one !== undefined && one.medianUs > 0 && one.p99Us >= one.medianUs && one.callsPerSecond > 0 && first.loadMs > 0)
  const second = bench()
  t.match(second, { code: 0, stdout: /export +calls\/s +median .*since kept\n *greet .*\n.*component +\d.*\nload .*\nnoise/s })
  for (const line of second.stdout.split("\n")) t.ok(line.length <= 80, line)
  const [, fuel] = /"fuel": "(\d+)"/.exec(await readFile(join(project, "build/bench.json"), "utf8")) ?? []
  t.equal(fuel, one?.fuel, "fuel is exact")
  t.match(JSON.parse(bench("--json", "--call", 'greet {name: "Bo", languages: []}').stdout), { exports: [{ from: "--call", since: { fuelRatio: Number } }] })

  const source = join(project, "src/plugin.ts")
  await writeFile(source, (await readFile(source, "utf8")).replace("let language", "if (visitor.languages.length > 1) unreachable()\n  let language"))
  t.match(bench(), { code: 1, stdout: /FAIL acme:price-rule\/api#greet tests\/greet.json:4 STELE-PLG-\d+/, stderr: /STELE-AUT-0015/ })
  t.match(bench("--call", 'greet "Bo'), { code: 2, stderr: /quote at character 7 does not end/ })
  t.match(stele(["bench", "--time", "1ms"], { cwd: project }), { code: 2, stderr: /from 20ms to 10m/ })
  await rm(join(project, "tests"), { recursive: true })
  t.match(jsonError(bench("--json")), { code: "STELE-AUT-0014", fix: /--call/ })
})
