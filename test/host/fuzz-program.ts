/**
 * Loads and calls mutants on the engine that runs this file. As a program its arguments are the seed, the first index
 * and the count; the last line it prints is the report as JSON.
 */
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Host, type Plugin, SteleError } from "../../host/mod.ts"
import { propertyName, type ValueType } from "../../schemas/wit/model.ts"
import { guests } from "../hostile/kit.ts"
import { mutations, Random, regionsOf } from "./fuzz-mutator.ts"

/** Load and calls of one mutant, in ms: loads of small components take under 10, each call has 20, and the machine may be busy. */
const msMax = 3_000
const callsMax = 4

/** What became of the mutants. */
export interface Report {
  readonly mutants: number
  /** How many loaded, how many calls answered, and how many errors there were of each code. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly slowest: { readonly ms: number; readonly index: number }
  readonly seconds: number
  /** Untyped errors, mutants over their time, and what was left behind; nothing when all is as it should be. */
  readonly problems: ReadonlyArray<string>
}

/** Small components from this repository's toolchains, and those hostile guests that load. */
async function corpus(): Promise<{ readonly small: ReadonlyArray<Uint8Array>; readonly large: ReadonlyArray<Uint8Array> }> {
  const read = (name: string): Promise<Uint8Array> =>
    readFile(new URL(`../../plugins/examples/${name}/build/${name}.wasm`, import.meta.url)).then((bytes) => new Uint8Array(bytes))
  const examples = await Promise.all(["greeter", "snoop", "spinner", "text-stats"].map(read))
  const small: Array<Uint8Array> = [...examples, ...examples]
  for (const guest of (await guests()).values()) {
    if (!("calls" in guest.expect)) continue
    const bytes = await guest.bytes()
    if (bytes.length < 30_000) small.push(bytes)
  }
  return { small, large: [await read("table-stats")] }
}

/** A value of the type: mostly small, sometimes at an edge. Handles have no value here. */
function valueOf(type: ValueType, random: Random, levels = 0): unknown {
  const child = (inner: ValueType): unknown => valueOf(inner, random, levels + 1)
  switch (type.kind) {
    case "bool":
      return random.below(2) === 1
    case "s64":
    case "u64":
      return BigInt(random.below(5))
    case "s8":
    case "u8":
    case "s16":
    case "u16":
    case "s32":
    case "u32":
    case "f32":
    case "f64":
      return random.below(5)
    case "char":
      return random.pick(["a", "ß", "𝄞"])
    case "string":
      return random.pick(["", "a", "grüße", "x".repeat(300)])
    case "list":
      return Array.from({ length: levels > 6 ? 0 : random.below(4) }, () => child(type.element))
    case "record":
      return Object.fromEntries(type.fields.map(({ label, type: field }) => [propertyName(label), child(field)]))
    case "tuple":
      return type.types.map(child)
    case "variant": {
      const one = random.pick(type.cases)
      return one.type === undefined ? { tag: one.label } : { tag: one.label, val: child(one.type) }
    }
    case "enum":
      return random.pick(type.labels)
    case "flags":
      return Object.fromEntries(type.labels.map((label) => [propertyName(label), random.below(2) === 1]))
    case "option":
      return type.type.kind === "option" ? { tag: "none" } : random.below(2) === 0 ? undefined : child(type.type)
    case "result":
      return { tag: "ok", val: type.ok === undefined ? undefined : child(type.ok) }
    default:
      return undefined
  }
}

/** Runs the mutants `first … first + total − 1` of a seed; stops after ten problems. */
export async function fuzz(seed: number, first: number, total: number): Promise<Report> {
  const { small, large } = await corpus()
  const hosts = await Promise.all([Host.open({ cache: false }), Host.open({ cache: false, stop: "fuel slices" })])
  const neighbours = await Promise.all(hosts.map((host) => host.load(small[2] as Uint8Array)))
  // Those that leave a valid module come often: what runs is worth more than the thousandth refusal.
  const kinds = [...Object.keys(mutations), "operate", "operate", "operate", "operate", "data", "data"]
  const blind = ["flip", "byte", "truncate"]
  const outcomes = new Map<string, number>()
  const count = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1)
  const started = performance.now()
  let slowest = { ms: 0, index: -1 }
  const problems: Array<string> = []

  const check = (index: number, error: unknown, phase: string): void => {
    if (error instanceof SteleError) count(error.code)
    else problems.push(`mutant ${index}: ${phase} threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  }

  const mutate = (index: number): Uint8Array => {
    const random = new Random(seed + index)
    const pool = index % 250 === 249 ? large : small
    let bytes = random.pick(pool)
    for (let left = random.below(4) === 0 ? 1 + random.below(3) : 1; left > 0 && bytes.length > 8; left--) {
      // A large component takes what does not copy it several times; one whose framing is lost takes what needs none.
      const names = regionsOf(bytes).length === 0 ? blind : pool === large ? [...blind, "code", "data"] : kinds
      bytes = (mutations[random.pick(names)] as (typeof mutations)[string])(bytes, random, random.pick(small))
    }
    return bytes
  }

  const run = async (index: number): Promise<void> => {
    const random = new Random(~(seed + index))
    const bytes = mutate(index)
    const startedMs = performance.now()
    let plugin: Plugin | undefined
    try {
      plugin = await (hosts[index % 2] as Host).load(bytes, {
        missing: "trap",
        metering: index % 3 === 0 ? "fuel" : "deadline",
        limits: { deadlineMs: 20, fuel: 50_000_000, memoryBytesMax: 16 << 20 },
        ...(random.below(2) === 0 ? {} : { grants: ["log", "clock:monotonic", "random", "kv:read:*"] }),
      })
    } catch (error) {
      check(index, error, "load")
    }
    if (plugin !== undefined) {
      count("loaded")
      const { exports } = plugin.describe()
      JSON.stringify(exports.map(({ name }) => name))
      for (let left = Math.min(callsMax, exports.length); left > 0; left--) {
        const { name, type } = random.pick(exports)
        try {
          plugin.callSync(name, type.params.map((param) => valueOf(param.type, random)) as never)
          count("answered")
        } catch (error) {
          check(index, error, `calling "${name}"`)
        }
      }
      await plugin.close()
      if (plugin.instances !== 0) problems.push(`mutant ${index}: ${plugin.instances} instances are alive after close`)
    }
    const ms = performance.now() - startedMs
    if (ms > slowest.ms) slowest = { ms, index }
    if (ms > msMax) problems.push(`mutant ${index}: took ${Math.round(ms)} ms`)
    if ((globalThis as { PWN?: unknown }).PWN !== undefined) problems.push(`mutant ${index}: ran code in the host`)
    if (index % 100 === 0) {
      const neighbour = neighbours[index % 2] as Plugin
      if (neighbour.callSync(neighbour.describe().exports[0]?.name ?? "", [0] as never) !== (0n as never))
        problems.push(`mutant ${index}: a healthy plugin no longer works`)
    }
  }

  for (let index = first; index < first + total && problems.length < 10; index++) await run(index)
  for (const host of hosts) await host.close()
  const sorted = Object.fromEntries([...outcomes].sort(([, a], [, b]) => b - a))
  return { mutants: total, outcomes: sorted, slowest, seconds: (performance.now() - started) / 1_000, problems }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [seed = 1, first = 0, total = 1_000] = process.argv.slice(2).map(Number)
  console.log(JSON.stringify(await fuzz(seed, first, total)))
}
