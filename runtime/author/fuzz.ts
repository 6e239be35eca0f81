/**
 * Calls that nobody wrote down: arguments from the types of the exports, each call in the plugin's sandbox. An answer may be
 * a result or the plugin's own error; a trap, a stop or a result that is none is a finding.
 */
import { Host } from "../../host/host.ts"
import type { Description, Plugin } from "../../host/plugin.ts"
import { SteleError } from "../../schemas/error/family.ts"
import { PluginError } from "../../schemas/error/plugin.ts"
import { type Json, toJson } from "../../schemas/value/json.ts"
import type { FunctionType } from "../../schemas/wit/model.ts"
import { fakeWorld, tenant } from "./fakes.ts"
import { loadOptionsOf, type Project } from "./project.ts"
import { Chooser, isMakeable, randomValue, simpler } from "./random-value.ts"

/** Simpler arguments that are tried for one finding. */
const shrinkMax = 300
/** And for how long, ms: each try of a call that never ends takes its whole deadline. */
const shrinkMs = 5_000
/** Findings of one run that are told; each export's first of each code. */
const findingsMax = 20

export interface Finding {
  readonly export: string
  /** JSON forms, after shrinking. */
  readonly arguments: ReadonlyArray<Json>
  readonly code: string
  readonly message: string
  /** `SEED.CASE`: the case again, as it was before shrinking, by `--replay`. */
  readonly replay: string
}

export interface Fuzzed {
  readonly seed: number
  readonly cases: number
  readonly findings: ReadonlyArray<Finding>
  /** Exports whose arguments cannot be made up: they take handles or streams. */
  readonly skipped: ReadonlyArray<string>
}

export interface FuzzOptions {
  readonly seed: number
  /** How long, ms. */
  readonly ms: number
  /** One case alone, as `replay` names it; `ms` then means nothing. */
  readonly only?: number | undefined
  readonly signal?: AbortSignal | undefined
}

type Exported = Description["exports"][number]

/** The case `index` of a run: which export, and with what. */
function caseOf(exports: ReadonlyArray<Exported>, seed: number, index: number): { readonly exported: Exported; readonly args: ReadonlyArray<unknown> } {
  const exported = exports[index % exports.length] as Exported
  const choose = new Chooser((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0)
  return { exported, args: exported.type.params.map(({ type }) => randomValue(type, choose, Math.floor(index / exports.length))) }
}

/** What went wrong with a call, if anything did. */
async function failure(plugin: Plugin, name: string, args: ReadonlyArray<unknown>): Promise<SteleError | undefined> {
  try {
    await plugin.call(name, args)
    return undefined
  } catch (error) {
    if (!(error instanceof SteleError)) throw error
    return error instanceof PluginError && error.reason._tag === "Guest" ? undefined : error
  }
}

/** Simpler arguments that fail with the same code. */
async function shrink(plugin: Plugin, { name, type }: Exported, args: ReadonlyArray<unknown>, code: string): Promise<ReadonlyArray<unknown>> {
  let best = args
  let left = shrinkMax
  const endMs = performance.now() + shrinkMs
  for (let isSimpler = true; isSimpler;) {
    isSimpler = false
    for (const candidate of candidates(type, best)) {
      if (left-- <= 0 || performance.now() > endMs) return best
      if ((await failure(plugin, name, candidate))?.code !== code) continue
      best = candidate
      isSimpler = true
      break
    }
  }
  return best
}

function* candidates({ params }: FunctionType, args: ReadonlyArray<unknown>): Generator<ReadonlyArray<unknown>> {
  for (const [at, { type }] of params.entries()) for (const other of simpler(type, args[at])) yield args.with(at, other)
}

/** Runs cases until the time is over, at least one for each export. */
export async function fuzz(component: Uint8Array, { located, manifest }: Project, { seed, ms, only, signal }: FuzzOptions): Promise<Fuzzed> {
  const { ports } = await fakeWorld({}, located, [])
  await using host = await Host.open({ ports })
  const plugin: Plugin = await host.load(component, { ...loadOptionsOf(manifest), tenant })
  const all = plugin.describe().exports
  const exports = all.filter(({ type }) => type.params.every((param) => isMakeable(param.type)))
  const skipped = all.filter((one) => !exports.includes(one)).map(({ name }) => name)
  const findings = new Map<string, Finding>()
  const endMs = performance.now() + ms
  let cases = 0
  for (let index = only ?? 0; exports.length > 0 && findings.size < findingsMax; index++) {
    if (signal?.aborted === true) break
    const { exported, args } = caseOf(exports, seed, index)
    cases++
    const error = await failure(plugin, exported.name, args)
    if (error !== undefined && !findings.has(`${exported.name} ${error.code}`)) {
      const shrunk = await shrink(plugin, exported, args, error.code)
      findings.set(`${exported.name} ${error.code}`, {
        export: exported.name,
        arguments: exported.type.params.map(({ type }, at) => toJson(type, shrunk[at])),
        code: error.code,
        message: error.message,
        replay: `${seed}.${index}`,
      })
    }
    if (only !== undefined || (index + 1 >= exports.length && performance.now() >= endMs)) break
  }
  return { seed, cases, findings: [...findings.values()], skipped }
}
