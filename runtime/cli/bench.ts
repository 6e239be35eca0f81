/** `stele bench`: what each export costs in the sandbox, beside what it cost when the result was last kept. */
import { relative } from "node:path"
import { escapeText } from "../../host/port/log.ts"
import { AuthorError } from "../../schemas/error/author.ts"
import { ConfigError } from "../../schemas/error/config.ts"
import { quote } from "../../schemas/value/form.ts"
import { type Bench, bench, type Call, callsOf } from "../author/bench.ts"
import { build } from "../author/build.ts"
import { describe } from "../author/description.ts"
import { compare, type Compared, keep, keptFile, type Kept, machine, readKept } from "../author/kept.ts"
import type { Project } from "../author/project.ts"
import { readTests } from "../author/test.ts"
import { openTools } from "../author/tools.ts"
import { shortName, findExport, type Exported } from "../service/export.ts"
import { splitWords } from "../up/words.ts"
import { parseArguments } from "./argument.ts"
import { projectOf, type ProjectFlags, withPlaces } from "./author.ts"
import { bytesText, countText, parseDuration, timeText } from "./quantity.ts"
import { out, printLine, table, withProgress } from "./terminal.ts"

export interface BenchFlags extends ProjectFlags {
  readonly call: ReadonlyArray<string>
  readonly only?: string | undefined
  readonly time?: string | undefined
  readonly keep: boolean
}

const timeMsDefault = 2_000
const [timeMsMin, timeMsMax] = [20, 600_000]

function timeOf(text: string | undefined): number {
  if (text === undefined) return timeMsDefault
  const ms = parseDuration("--time", text)
  if (ms >= timeMsMin && ms <= timeMsMax) return ms
  throw new ConfigError("Option", { option: "--time", expected: "from 20ms to 10m", actual: quote(text) })
}

/** `--call 'greet {name: "Ada"}'`: the words of a line of stele dev. */
function namedCall(exports: ReadonlyArray<Exported>, line: string): Call {
  const [name = "", ...words] = splitWords(line)
  return {
    export: findExport(exports, name).name,
    from: "--call",
    arguments: (exported) => parseArguments(exported.name, exported.type, words),
    fakes: undefined,
  }
}

async function callsFor(project: Project, exports: ReadonlyArray<Exported>, { call, only }: BenchFlags) {
  if (call.length > 0) return { calls: call.map((line) => namedCall(exports, line)), skipped: [] }
  const { calls, skipped } = callsOf(exports, await readTests(project))
  return { calls: only === undefined ? calls : calls.filter((one) => one.export.includes(only)), skipped }
}

const percent = (part: number): string => `${(part * 100).toFixed(part < 0.0995 ? 1 : 0)} %`

function changeText(compared: Compared | undefined): string {
  if (compared === undefined) return "new"
  const { fuelRatio, isNoise, ratio } = compared
  const speed = isNoise ? "same" : ratio > 1 ? `${ratio.toFixed(2)}× faster` : `${(1 / ratio).toFixed(2)}× slower`
  return fuelRatio === undefined || fuelRatio === 1 ? speed : `${speed}, fuel ${fuelRatio.toFixed(2)}×`
}

function paint(compared: Compared | undefined, text: string): string {
  if (compared === undefined || compared.isNoise) return out.dim(text)
  return compared.ratio > 1 ? out.green(text) : out.yellow(text)
}

/** A table, at most 80 columns wide for names of usual length; what was kept is the last column. */
function benchLines({ exports, failed, skipped, ...whole }: Bench, kept: Kept | undefined): ReadonlyArray<string> {
  const all = [...exports, ...failed].map((one) => ({ name: one.export })).concat(skipped.map((name) => ({ name })))
  const rows = exports.map((one) => {
    const compared = kept === undefined ? undefined : compare(kept, one)
    return [
      escapeText(shortName(all, one.export)),
      countText(Math.round(one.callsPerSecond)),
      timeText(one.medianUs * 1e3),
      timeText(one.p99Us * 1e3),
      one.reusedUs === undefined ? "-" : timeText(one.reusedUs * 1e3),
      one.fuel === undefined ? "-" : countText(BigInt(one.fuel)),
      bytesText(one.memoryPeakBytes),
      ...(kept === undefined ? [] : [paint(compared, changeText(compared))]),
    ]
  })
  const head = ["export", "calls/s", "median", "p99", "reused", "fuel", "memory", ...(kept === undefined ? [] : ["since kept"])]
  const noise = Math.max(0, ...exports.map((one) => one.noise))
  const size = kept === undefined || kept.componentBytes === whole.componentBytes ? "" : `, ${bytesText(kept.componentBytes)} when kept`
  // Numbers stand under each other by their last digits.
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)))
  const aligned = [head, ...rows].map((row) => row.map((cell, at) => (at === 0 || at === 7 ? cell : cell.padStart(widths[at] as number))))
  return [
    ...(rows.length === 0 ? [] : table(aligned, Number.MAX_SAFE_INTEGER, 0).map((line, at) => (at === 0 ? out.dim(line) : line))),
    ...failed.map(({ export: name, from, code, message }) => `${out.red("FAIL")} ${escapeText(name)} ${out.dim(from)} ${escapeText(`${code}: ${message}`)}`),
    ...skipped.map((name) => out.dim(`left out ${escapeText(name)}: no test calls it`)),
    "",
    `component  ${bytesText(whole.componentBytes)}, ${bytesText(whole.packedBytes)} packed${size}`,
    `load       ${timeText(whole.loadMs * 1e6)}: checked, instrumented, compiled, nothing of it in a cache`,
    ...(whole.instanceUs === undefined ? [] : [`instance   ${timeText(whole.instanceUs * 1e3)} of each call: a call has its own`]),
    out.dim(`noise      ±${percent(noise)} at most between rounds; times are medians of rounds`),
  ]
}

export const benchCommand = (flags: BenchFlags): Promise<void> =>
  withPlaces(flags.json, async () => {
    const timeMs = timeOf(flags.time)
    const project = await projectOf(flags)
    await using tools = openTools()
    const component = await withProgress(`Building ${project.manifest.name}`, flags.json, () => build(project, tools))
    const { calls, skipped } = await callsFor(project, (await describe(project, component)).exports, flags)
    const result = await withProgress(`Measuring ${calls.length} calls`, flags.json, () => bench({ project, component, calls, skipped, timeMs }))
    const old = await readKept(project)
    const kept = old?.machine === machine() ? old : undefined
    const isKept = result.exports.length > 0 && (flags.keep || old === undefined)
    if (isKept) await keep(project, result, kept)
    const file = relative(process.cwd(), keptFile(project))
    if (flags.json) {
      const exports = result.exports.map((one) => ({ ...one, since: kept === undefined ? null : (compare(kept, one) ?? null) }))
      printLine(JSON.stringify({ ...result, exports, machine: machine(), kept: kept === undefined ? null : { at: kept.at }, isKept }))
    } else {
      for (const line of benchLines(result, kept)) printLine(line)
      if (isKept) printLine(out.dim(`kept       in ${file}: later ones are compared with it`))
      else if (kept !== undefined) printLine(out.dim(`kept       at ${escapeText(kept.at)}; --keep puts this result in its place`))
      else printLine(out.dim(`kept       on another machine or engine, and not compared; --keep puts this result in its place`))
    }
    if (result.failed.length > 0) throw new AuthorError("Unmeasured", { failed: result.failed.length, of: calls.length })
  })
