/** Devices that compute, as people meet them: the commands of `stele accel`, what they refuse and how, and the chart. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import type { Measurement } from "../../kernels/accelerate/accelerator.ts"
import { chartStyle, type SpeedChart, speedChart } from "../../runtime/accel/chart.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { calibrateDevices, explainChoice, measure } from "../../runtime/cli/accel.ts"
import { jsonError, stele } from "./command-line.ts"

t.setTimeout(120_000)
const folder = mkdtempSync(join(tmpdir(), "stele-accel-"))
t.teardown(() => rmSync(folder, { recursive: true }))
const env = { XDG_DATA_HOME: folder }
// The commands that run in this process keep their measurements there, too.
process.env["XDG_DATA_HOME"] = folder

interface Listed {
  readonly devices: ReadonlyArray<{
    readonly name: string
    readonly state: string
    readonly reason?: string
    readonly calibration?: { readonly measuredAt: string }
  }>
}

t.test("`stele accel status` lists every device once, with what it does or why it is not there", async (t) => {
  const { code, stderr, stdout } = stele(["accel", "status", "--json"], { env })
  t.equal(code, 0, stderr)
  const { devices } = JSON.parse(stdout) as Listed
  const names = devices.map(({ name }) => name)
  t.equal(new Set(names).size, names.length)
  for (const { calibration, name, reason, state } of devices) {
    if (state === "ready") t.match(calibration?.measuredAt, /^\d{4}-/, name)
    else t.match(reason, /\w{4}/, `${name} says why`)
  }
  t.ok(names.includes("cpu"))
  t.ok(statSync(join(folder, "stele", "accelerator.json")).isFile(), "what was measured is kept")
  const people = stele(["accel", "status"], { env })
  for (const name of names) t.match(people.stdout, new RegExp(`^${name} `, "m"))
  t.ok(
    people.stdout.split("\n").every((line) => line.length <= 80),
    "as wide as a terminal",
  )
})

t.test("`stele accel explain` says who serves, and of each other device why not", async (t) => {
  const { code, stdout } = stele(["accel", "explain", "matmul", "64", "64", "n=32"], { env })
  t.equal(code, 0)
  t.match(stdout, /^matmul m=64 k=64 n=32 batch=1 transposeA=0 transposeB=0 \(bitexact\): \S+, predicted [\d.]+ (µs|ms)\n/)
  for (const [name, why] of [
    ["cuda", "refused: unavailable: needs a native backend"],
    ["simd-fast", "it does not compute in bitexact"],
  ])
    t.match(
      stdout.split("\n").find((line) => line.trim().startsWith(`${name} `)),
      why,
    )
  const plan = JSON.parse(stele(["accel", "explain", "matmul", "64", "64", "64", "--device", "cpu", "--json"], { env }).stdout) as Record<string, unknown>
  t.match(plan, { operation: "matmul", mode: "bitexact", device: "cpu", confidence: 0.5, shape: { m: 64, k: 64, n: 64, batch: 1 } })
  const listed = JSON.parse(stele(["accel", "explain", "--json"], { env }).stdout) as {
    readonly operations: ReadonlyArray<{ readonly operation: string; readonly parameters: ReadonlyArray<object> }>
  }
  t.strictSame(listed.operations.find(({ operation }) => operation === "add")?.parameters, [{ name: "n", isOptional: false }])
})

t.test("`stele accel calibrate` measures the device that is named, and no other", async (t) => {
  const at = ({ devices }: Listed): Record<string, string> =>
    Object.fromEntries(devices.flatMap(({ calibration, name }) => (calibration === undefined ? [] : [[name, calibration.measuredAt]])))
  const before = at(JSON.parse(stele(["accel", "status", "--json"], { env }).stdout) as Listed)
  const after = at(JSON.parse(stele(["accel", "calibrate", "--device", "cpu", "--json"], { env }).stdout) as Listed)
  t.ok((after["cpu"] as string) > (before["cpu"] as string))
  t.strictSame({ ...after, cpu: "" }, { ...before, cpu: "" })
})

t.test("`stele accel measure` prints a table by size, and writes a chart", async (t) => {
  const output = join(folder, "add.svg")
  const { code, stderr, stdout } = stele(["accel", "measure", "add", "--sizes", "4096,64", "--output", output], { env })
  t.equal(code, 0)
  t.equal(stderr, "Measuring add of 2 sizes; each takes about 0.1 s a device\n")
  t.match(stdout, /^GB\/s .*cpu/)
  t.match(stdout, /^64 /m)
  t.match(stdout, /^from size 1 on \w+ is predicted to serve, copies included$/m)
  const svg = readFileSync(output, "utf8")
  t.match(svg, /<title>cpu, size 4096: [\d.]+ GB\/s<\/title>/)
  const { measurements } = JSON.parse(stele(["accel", "measure", "add", "--sizes", "64", "--json"], { env }).stdout) as {
    readonly measurements: ReadonlyArray<Measurement>
  }
  for (const { device, gigabytes, gigaflops, medianMs, size } of measurements) {
    t.equal(size, 64)
    t.equal(gigabytes.toPrecision(6), ((3 * 4 * 64) / medianMs / 1e6).toPrecision(6), `${device} reads two numbers and writes one`)
    t.equal(gigaflops.toPrecision(6), (64 / medianMs / 1e6).toPrecision(6))
  }
})

const common = { json: true, mode: undefined }
const explained = { ...common, operation: "matmul", sizes: ["1", "2", "3"], device: undefined }
const measured = { ...common, operation: "add", sizes: "64", output: undefined }
/** What somebody mistook, and the code and words he is answered with. */
const mistakes: ReadonlyArray<readonly [what: string, run: () => Promise<void>, code: string, says: string]> = [
  ["an unknown operation", () => explainChoice({ ...explained, operation: "matmull" }), "STELE-KRN-0006", 'operation "matmull": there are add,'],
  ["a size that is missing", () => explainChoice({ ...explained, sizes: ["1", "2"] }), "STELE-CFG-0003", '"n" of matmul'],
  ["a size too many", () => explainChoice({ ...explained, sizes: ["1", "2", "3", "4", "0", "0", "9"] }), "STELE-CFG-0003", '"9"'],
  ["a size that is no number", () => explainChoice({ ...explained, sizes: ["1", "x", "3"] }), "STELE-CFG-0003", '"x"'],
  ["a size without its number", () => explainChoice({ ...explained, sizes: ["1", "k=", "3"] }), "STELE-CFG-0003", '"k="'],
  ["a size below 0", () => explainChoice({ ...explained, sizes: ["m=-1", "2", "3"] }), "STELE-KRN-0003", '"m" is -1'],
  ["a size that is said twice", () => explainChoice({ ...explained, sizes: ["m=1", "2", "m=3"] }), "STELE-CFG-0003", '"m=3"'],
  ["a parameter it does not have", () => explainChoice({ ...explained, sizes: ["1", "2", "3", "depth=4"] }), "STELE-KRN-0006", '"depth": there are m, k, n'],
  ["an unknown device", () => explainChoice({ ...explained, device: "gpu7" }), "STELE-KRN-0006", 'device "gpu7"'],
  ["an unknown device to calibrate", () => calibrateDevices({ ...common, device: "gpu7" }), "STELE-KRN-0006", 'device "gpu7"'],
  ["an unknown mode", () => explainChoice({ ...explained, mode: "quick" }), "STELE-CFG-0002", '"quick" as "--mode": expected bitexact or fast'],
  ["an unknown mode to measure in", () => measure({ ...measured, mode: "quick" }), "STELE-CFG-0002", "bitexact or fast"],
  ...["", "0", "64,", "1.5", "64;128", "-8"].map(
    (sizes) => [`"${sizes}" for sizes`, () => measure({ ...measured, sizes }), "STELE-CFG-0002", '"--sizes"'] as const,
  ),
  ["a size beyond what is computed", () => measure({ ...measured, sizes: "99999999999" }), "STELE-KRN-0003", "2147483647"],
  ["an operation to measure", () => measure({ ...measured, operation: "nothing" }), "STELE-KRN-0006", '"nothing"'],
  ["an output in no folder", () => measure({ ...measured, output: join(folder, "missing", "a.svg") }), "STELE-CFG-0002", "its folder is not there"],
  ["a folder for an output", () => measure({ ...measured, output: folder }), "STELE-CFG-0002", "it is a folder"],
]
for (const [what, run, code, says] of mistakes)
  t.test(`${what} is refused in words`, async (t) => {
    const error: unknown = await run().catch((thrown: unknown) => thrown)
    if (!(error instanceof SteleError)) return t.fail(`not an error of ours: ${String(error)}`)
    t.equal(error.code, code)
    t.ok(error.message.includes(says), error.message)
    t.ok((error.fix ?? "") !== "")
    return
  })

t.test("mistakes exit with 2, and --json tells of them on standard output", async (t) => {
  const ended = stele(["accel", "explain", "matmul", "1", "2", "--json"], { env })
  t.equal(ended.code, 2)
  t.equal(ended.stderr, "")
  t.match(jsonError(ended), { code: "STELE-CFG-0003", fix: /matmul m k n \[batch\]/ })
  const people = stele(["accel", "measure", "add", "--output", join(folder, "missing", "a.svg")], { env })
  t.equal(people.code, 2)
  t.equal(people.stdout, "")
  t.match(people.stderr, /^error\[STELE-CFG-0002\]/)
})

const measurement = (device: string, size: number, gigaflops: number): Measurement => ({
  ...{ operation: "matmul", device, size, shape: {}, medianMs: 1, samples: 3, gigaflops, gigabytes: gigaflops / 8 },
})
const chart = (options: Partial<SpeedChart>): string => speedChart({ operation: "matmul", measurements: [], cutOvers: [], unit: "GFLOP/s", ...options })
interface Point {
  readonly x: number
  readonly y: number
  readonly says: string
}
/** Marks with their titles; those of the legend have none. */
const pointsOf = (svg: string): ReadonlyArray<Point> =>
  [...svg.matchAll(/<path class="f\d" fill="#\w+" d="M([\d.]+) ([\d.]+)[^"]*"><title>([^<]+)<\/title><\/path>/g)].map(([, x, y, says = ""]) => ({
    ...{ x: Number(x), y: Number(y), says },
  }))
/** Texts that are seen, with where they begin and end, as wide as letters are here. */
const textsOf = (svg: string): ReadonlyArray<{ readonly text: string; readonly y: number; readonly from: number; readonly to: number }> =>
  [...svg.matchAll(/<text([^>]*)>([^<]*)<\/text>/g)].map(([, of = "", text = ""]) => {
    const number = (name: string): number => Number(new RegExp(` ${name}="([\\d.-]+)"`).exec(of)?.[1])
    const wide = 7 * text.replaceAll(/&\w+;|&#\d+;/g, "x").length
    const from = number("x") - (of.includes('"end"') ? wide : of.includes('"middle"') ? wide / 2 : 0)
    return { text, y: number("y") + (of.includes(" dy=") ? 4 : 0), from, to: from + wide }
  })

t.test("a point is where its size and its speed are, both by powers", async (t) => {
  const svg = chart({
    measurements: [
      measurement("simd", 16, 1),
      measurement("simd", 64, 10),
      measurement("simd", 256, 100),
      measurement("cpu", 16, 0.1),
      measurement("cpu", 64, 0.1),
    ],
    cutOvers: [
      { from: 1, device: "cpu" },
      { from: 32, device: "simd" },
    ],
  })
  const points = pointsOf(svg)
  t.strictSame(
    points.map(({ says }) => says),
    ["simd, size 16: 1.0 GFLOP/s", "simd, size 64: 10.0 GFLOP/s", "simd, size 256: 100 GFLOP/s", "cpu, size 16: 0.10 GFLOP/s", "cpu, size 64: 0.10 GFLOP/s"],
  )
  const [a, b, c, d, e] = points as [Point, Point, Point, Point, Point]
  t.equal(c.x - b.x, b.x - a.x, "four times the size is as far everywhere")
  t.ok(Math.abs(b.y - c.y - (a.y - b.y)) < 0.02 && Math.abs(a.y - b.y - (d.y - a.y)) < 0.02, "and ten times the speed")
  t.strictSame([d.x, e.x, e.y], [a.x, b.x, d.y])
  const [, cutX] = /<line class="cut" x1="([\d.]+)"/.exec(svg) ?? []
  t.equal(Number(cutX), (a.x + b.x) / 2, "32 is half way from 16 to 64")
  t.equal(svg.match(/class="cut"/g)?.length, 1, "the device that serves from the first size on takes over from nobody")
  t.match(
    svg,
    /<desc id="speed-text">simd up to 100 GFLOP\/s, at size 256; cpu up to 0.10 GFLOP\/s, at size 16\. From size 1 on: cpu\. From size 32 on: simd<\/desc>/,
  )
  for (const [, value, y] of svg.matchAll(/text x="[\d.]+" y="([\d.]+)" dy="4" text-anchor="end">([\d.]+)</g))
    if (y === "10") t.equal(Number(value), b.y, "the scale is where it says")
})

t.test("with many and long names nothing that is written covers another", async (t) => {
  const names = Array.from({ length: 12 }, (_, i) => `device-${i} ${"of a long name ".repeat(i % 4)}`.trim())
  const sizes = Array.from({ length: 14 }, (_, i) => 2 ** (i + 7))
  const svg = chart({
    measurements: names.flatMap((name, i) => sizes.map((size) => measurement(name, size, size / (i + 1) / 10))),
    cutOvers: names.map((device, i) => ({ device, from: 130 + i * 3 })),
  })
  const [, wide = "", high = ""] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? []
  const texts = textsOf(svg)
  for (const [i, one] of texts.entries()) {
    t.ok(one.from >= 0 && one.to <= Number(wide) && one.y <= Number(high), `"${one.text}" is inside`)
    for (const other of texts.slice(i + 1))
      t.ok(Math.abs(one.y - other.y) >= 12 || one.to <= other.from || other.to <= one.from, `"${one.text}" beside "${other.text}"`)
  }
  const legends = [...svg.matchAll(/<path class="(f\d)" [^>]*d="M[\d.]+ [\d.]+([^"]*)"><\/path>/g)].map(([, colour, mark]) => `${colour} ${mark}`)
  t.equal(new Set(legends).size, names.length, "each has a colour and a mark that no other has")
})

t.test("a chart holds whatever devices are called, one size, and nothing at all", async (t) => {
  const hostile = `<script>alert(1)</script>"'&`
  const svg = chart({ operation: hostile, measurements: [measurement(hostile, 64, 3)], cutOvers: [{ from: 64, device: hostile }], id: "other" })
  t.notMatch(svg, /<script|"'&(?!amp|lt|gt|quot|#)/)
  t.match(svg, 'aria-labelledby="other-title other-text"')
  for (const drawn of [svg, chart({}), chart({ measurements: [measurement("cpu", 64, 0), measurement("cpu", 128, Number.POSITIVE_INFINITY)] })])
    t.notMatch(drawn, /NaN|Infinity|undefined/)
  t.match(chart({}), ">nothing was measured<")
  t.ok(svg.includes(chartStyle))
  t.notOk(chart({ isStyled: false }).includes("<style"))
})
