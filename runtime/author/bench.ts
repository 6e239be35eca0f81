/**
 * What a plugin costs where it runs: each export is called in the plugin's sandbox, in rounds until its time is over. A busy machine disturbs some rounds
 * and not their median.
 */
import { gzipSync } from "node:zlib"
import { Host } from "../../host/host.ts"
import type { LoadOptions } from "../../host/options.ts"
import type { Plugin } from "../../host/plugin.ts"
import type { ObserverPort, UsageRecord } from "../../host/port/observer.ts"
import { AuthorError } from "../../schemas/error/author.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import type { Fakes } from "../../schemas/manifest/test.ts"
import { type Exported, findExport } from "../service/export.ts"
import { fakeWorld, tenant } from "./fakes.ts"
import { loadOptionsOf, type Project } from "./project.ts"
import { argumentsOf, type Test } from "./test.ts"

const roundsMax = 12
/** The share of the time in which the runtime compiles what is called often, and of what instances that are used again have. */
const warmUpShare = 0.15
const reusedShare = 0.2
/** Times of single calls that are kept for an export. */
const samplesMax = 500_000
const loadsMax = 7
/** Enough for any call: what is counted here is not bounded by it. */
const fuelMax = Number.MAX_SAFE_INTEGER

/** A call to be measured. */
export interface Call {
  readonly export: string
  /** Where its arguments are from: `tests/greet.json:4`, or `--call`. */
  readonly from: string
  readonly arguments: (exported: Exported) => ReadonlyArray<unknown> | Promise<ReadonlyArray<unknown>>
  readonly fakes: { readonly fakes: Fakes; readonly path: ReadonlyArray<PropertyKey>; readonly of: Pick<Test, "located"> } | undefined
}

export interface Measured {
  readonly export: string
  readonly from: string
  readonly calls: number
  readonly callsPerSecond: number
  /** Of a call in an instance of its own, as hosts make them: the median of the rounds' medians, µs. */
  readonly medianUs: number
  readonly p99Us: number
  /** Half of the distance between the rounds' quartiles, as a part of the median. */
  readonly noise: number
  /** Of the same call in an instance that is used again; absent where it fails there. */
  readonly reusedUs?: number
  /** Exact, the same on every machine: a decimal number. Absent where the call cannot be counted. */
  readonly fuel?: string
  readonly memoryPeakBytes: number
}

export interface BenchInput {
  readonly project: Project
  readonly component: Uint8Array
  readonly calls: ReadonlyArray<Call>
  /** Exports that nothing says how to call. */
  readonly skipped: ReadonlyArray<string>
  /** For each export, ms. */
  readonly timeMs: number
}

/** A call that cannot be measured: it fails. */
export interface Unmeasured {
  readonly export: string
  readonly from: string
  readonly code: string
  readonly message: string
}

export interface Bench {
  readonly componentBytes: number
  readonly packedBytes: number
  /** Checked, instrumented and compiled, nothing of it in a cache: the median, ms. */
  readonly loadMs: number
  /** What an instance of its own adds to a call: the median of the exports, µs. */
  readonly instanceUs?: number
  readonly exports: ReadonlyArray<Measured>
  readonly failed: ReadonlyArray<Unmeasured>
  /** Exports that no test calls. */
  readonly skipped: ReadonlyArray<string>
}

const quantile = (sorted: ReadonlyArray<number>, q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
const ascending = (values: ReadonlyArray<number>): ReadonlyArray<number> => values.toSorted((a, b) => a - b)
export const median = (values: ReadonlyArray<number>): number => quantile(ascending(values), 0.5)

/** A test may call what is not there: that is what it tests. */
function nameOf(exports: ReadonlyArray<Exported>, wanted: string): string | undefined {
  try {
    return findExport(exports, wanted).name
  } catch {
    return undefined
  }
}

/** The first test of each export that expects a result, else the first that expects an error of the export's own; and exports without parameters. */
export function callsOf(
  exports: ReadonlyArray<Exported>,
  tests: ReadonlyArray<Test>,
): { readonly calls: ReadonlyArray<Call>; readonly skipped: ReadonlyArray<string> } {
  const found = new Map<string, Test>()
  for (const test of tests) {
    const name = nameOf(exports, test.case.call)
    if (name === undefined) continue
    const known = found.get(name)
    const isStop = typeof test.case.error === "string" && test.case.error.startsWith("STELE-")
    if (!isStop && (known === undefined || (Object.hasOwn(test.case, "result") && !Object.hasOwn(known.case, "result")))) found.set(name, test)
  }
  const calls: Array<Call> = []
  const skipped: Array<string> = []
  for (const { name, type } of exports) {
    const test = found.get(name)
    if (test !== undefined)
      calls.push({
        export: name,
        from: `${test.file}:${test.line}`,
        arguments: (exported) => argumentsOf(exported.type, test.case),
        fakes: { fakes: test.case.fakes ?? {}, path: ["tests", test.index, "fakes"], of: test },
      })
    else if (type.params.length === 0) calls.push({ export: name, from: "it has no parameters", arguments: () => [], fakes: undefined })
    else skipped.push(name)
  }
  return { calls, skipped }
}

/** A plugin in a world of its own, for the calls of one export. */
interface Place {
  readonly plugin: Plugin
  readonly host: Host
  readonly exported: Exported
  readonly args: ReadonlyArray<unknown>
  /** Of the last call. */
  readonly usage: () => UsageRecord | undefined
}

async function inWorld<A>({ component, project }: BenchInput, call: Call, options: LoadOptions, work: (place: Place) => Promise<A>): Promise<A> {
  const { fakes = {}, path = [], of = project } = call.fakes ?? {}
  const { ports } = await fakeWorld(fakes, of.located, path)
  let last: UsageRecord | undefined
  const observer: ObserverPort = { dropped: 0, emit: (event) => void (event.type === "usage" && (last = event.record)) }
  await using host = await Host.open({ ports: { ...ports, observer } })
  const plugin: Plugin = await host.load(component, { ...loadOptionsOf(project.manifest), ...options, tenant })
  const exported = findExport(plugin.describe().exports, call.export)
  return await work({ plugin, host, exported, args: await call.arguments(exported), usage: () => last })
}

/** One call after the other until the time is over, at least one; each one's time in µs. An answer may be the export's own error. */
async function timed(call: () => Promise<unknown>, ms: number, into: Array<number>): Promise<void> {
  const endMs = performance.now() + ms
  for (;;) {
    const fromMs = performance.now()
    await call()
    const toMs = performance.now()
    into.push((toMs - fromMs) * 1_000)
    if (toMs >= endMs || into.length >= samplesMax) return
  }
}

const answered = async (plugin: Plugin, name: string, args: ReadonlyArray<unknown>): Promise<void> => {
  try {
    await plugin.call(name, args)
  } catch (error) {
    if (!(error instanceof PluginError && error.reason._tag === "Guest")) throw error
  }
}

/** The same call in an instance that is used again; undefined where that fails: the plugin may count on new ones. */
async function reused({ component, project }: BenchInput, { host, exported, args }: Place, ms: number): Promise<number | undefined> {
  await using plugin: Plugin = await host.load(component, { ...loadOptionsOf(project.manifest), tenant, instances: { reuse: "principal" } })
  const times: Array<number> = []
  try {
    await timed(() => answered(plugin, exported.name, args), ms, times)
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return undefined
  }
  // The first ones make the instance and are compiled.
  return times.length < 3 ? undefined : median(times.slice(Math.ceil(times.length * warmUpShare)))
}

/** The fuel of one call: exact, whatever the machine does. Undefined where counting changes what happens. */
async function fuelOf(input: BenchInput, call: Call): Promise<string | undefined> {
  const limits = { ...loadOptionsOf(input.project.manifest).limits, fuel: fuelMax }
  try {
    return await inWorld(input, call, { metering: "fuel", limits }, async ({ plugin, exported, args, usage }) => {
      await answered(plugin, exported.name, args)
      return usage()?.fuel?.toString()
    })
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return undefined
  }
}

async function measure(input: BenchInput, call: Call): Promise<Measured> {
  const { timeMs } = input
  const fuel = await fuelOf(input, call)
  return inWorld(input, call, {}, async (place) => {
    const { plugin, exported, args, usage } = place
    const once = (): Promise<void> => answered(plugin, exported.name, args)
    const first: Array<number> = []
    await timed(once, timeMs * warmUpShare, first)
    const endMs = performance.now() + timeMs * (1 - warmUpShare - reusedShare)
    const rounds: Array<number> = []
    const all: Array<number> = []
    // Of a call that takes longer than all of its time the first is what there is.
    if (first.length === 1 && (first[0] as number) > timeMs * 1_000) all.push(...first)
    while (performance.now() < endMs && rounds.length < roundsMax && all.length < samplesMax) {
      const times: Array<number> = []
      await timed(once, Math.max(1, (endMs - performance.now()) / (roundsMax - rounds.length)), times)
      rounds.push(median(times))
      for (const time of times) all.push(time)
    }
    const sorted = ascending(rounds.length === 0 ? all : rounds)
    const medianUs = quantile(sorted, 0.5)
    const memoryPeakBytes = usage()?.memoryPeakBytes ?? 0
    const reusedUs = await reused(input, place, timeMs * reusedShare)
    return {
      export: exported.name,
      from: call.from,
      calls: all.length,
      callsPerSecond: (all.length / all.reduce((sum, us) => sum + us, 0)) * 1e6,
      medianUs,
      p99Us: quantile(ascending(all), 0.99),
      noise: (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2 / medianUs,
      ...(reusedUs === undefined ? {} : { reusedUs }),
      ...(fuel === undefined ? {} : { fuel }),
      memoryPeakBytes,
    }
  })
}

/** The time of a load with nothing in a cache, ms: the median of some. */
export async function loadTime({ component, project, timeMs }: Pick<BenchInput, "component" | "project" | "timeMs">): Promise<number> {
  const times: Array<number> = []
  const endMs = performance.now() + timeMs
  do {
    const { ports } = await fakeWorld({}, project.located, [])
    await using host = await Host.open({ ports, cache: false })
    const fromMs = performance.now()
    await host.load(component, { ...loadOptionsOf(project.manifest), tenant })
    times.push(performance.now() - fromMs)
  } while (times.length < loadsMax && performance.now() < endMs)
  return median(times)
}

/**
 * Measures the calls, one export after the other. A call that fails is told and not measured.
 * @throws AuthorError `NoCalls` where nothing can be called; what a load refuses
 */
export async function bench(input: BenchInput): Promise<Bench> {
  const { calls, component, skipped } = input
  if (calls.length === 0) throw new AuthorError("NoCalls", { skipped })
  const loadMs = await loadTime(input)
  const measured: Array<Measured> = []
  const failed: Array<Unmeasured> = []
  for (const call of calls) {
    try {
      measured.push(await measure(input, call))
    } catch (error) {
      if (!(error instanceof SteleError)) throw error
      failed.push({ export: call.export, from: call.from, code: error.code, message: error.message })
    }
  }
  const instances = measured.flatMap(({ medianUs, reusedUs }) => (reusedUs === undefined ? [] : [Math.max(0, medianUs - reusedUs)]))
  return {
    componentBytes: component.length,
    packedBytes: gzipSync(component).length,
    loadMs,
    ...(instances.length === 0 ? {} : { instanceUs: median(instances) }),
    exports: measured,
    failed,
    skipped,
  }
}
