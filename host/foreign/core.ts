/**
 * The blueprint of one core module under a foreign ABI: what it imports is served by raw functions, what it exports is
 * called by the ABI's own bindings, and everything behind (hardening, metering, limits, calls) is that of components.
 */
import { VerifyError } from "../../schemas/error/verify.ts"
import { type FunctionType, primitive, type ValueType } from "../../schemas/wit/model.ts"
import type { ExportBinding } from "../abi/mod.ts"
import { coreMismatch } from "../component/elaborate.ts"
import type { Blueprint, ContextSpec, CoreInstantiation, CoreRef, ExportSpec, LiftSpec, RawSpec } from "../component/blueprint.ts"
import { printable } from "../../schemas/wit/name.ts"
import { type CoreFunctionType, type CoreModule, type CoreValueType } from "../../schemas/wasm/core-module.ts"
import type { RawImport } from "./raw.ts"

/** A core module, decoded, with the bytes it was decoded from. */
export interface Loaded {
  readonly bytes: Uint8Array
  readonly module: CoreModule
}

/** A module that the main one, or another, takes its imports of this name from. */
export interface Library {
  readonly name: string
  readonly loaded: Loaded
  /** Called once it is instantiated: `_initialize`. */
  readonly start: ReadonlyArray<string>
}

/** A function that the plugin exports, over a core function without parameters that its ABI gives a meaning to. */
export interface ForeignExport {
  readonly name: string
  readonly type: FunctionType
  /** Its name in the main module. */
  readonly core: string
  readonly binding?: (name: string) => ExportBinding
}

export interface ForeignParts {
  /** The module of the plugin itself; it becomes the last that is instantiated. */
  readonly main: Loaded
  /** Modules of the ABI's own, instantiated before it, in order: instance numbers 0, 1… */
  readonly before?: ReadonlyArray<Loaded>
  /** Modules of the plugin beside the main one, each behind those that it imports. */
  readonly libraries?: ReadonlyArray<Library>
  /** What serves an import of the plugin's modules, unless a library of that name does. */
  readonly resolve: (module: string, name: string, type: ImportType) => RawImport | CoreRef | undefined
  /** Called once, in order, after instantiation and before any export: `_initialize`. */
  readonly start?: ReadonlyArray<string>
  /** Memory and functions of the ABI's own, for the bindings of its exports and for raw imports that work with them. */
  readonly context?: Omit<ContextSpec, "owner" | "encoding">
  /** Those whose names can be shown as they are; the others are left out: a core module's names are any bytes of UTF-8. */
  readonly exports: ReadonlyArray<ForeignExport>
  /** For the error when an import is served by nothing. */
  readonly abi: string
}

/** What a module says of an import: its kind, and its signature where it is a function. */
export type ImportType = CoreModule["imports"][number]["type"]

const scalars: Partial<Record<CoreValueType, ValueType>> = { i32: primitive.s32, i64: primitive.s64, f32: primitive.f32, f64: primitive.f64 }

/** A core signature as a component-level function of numbers; undefined where it has vectors, references or several results. */
export function scalarType({ params, results }: CoreFunctionType): FunctionType | undefined {
  const types = params.map((param) => scalars[param])
  const result = results.length === 1 ? scalars[results[0] as CoreValueType] : undefined
  if (types.includes(undefined) || results.length > 1 || (results.length === 1 && result === undefined)) return undefined
  return { kind: "function", params: types.map((type, i) => ({ label: `p${i}`, type: type as ValueType })), ...(result === undefined ? {} : { result }) }
}

const isRaw = (item: RawImport | CoreRef): item is RawImport => "call" in item

/** Context number of the ABI's own memory, where it has one; each module of the plugin has a context behind it. */
const ownContext = 0

export function coreBlueprint({ main, before = [], libraries = [], resolve, start = [], context, exports: given, abi }: ForeignParts): Blueprint {
  const exports = given.filter(({ name }) => printable(name) === name)
  const modules = [...before, ...libraries.map(({ loaded }) => loaded), main]
  const instantiations: Array<CoreInstantiation> = before.map((_, module) => ({ kind: "instantiate", module, imports: [] }))
  const contexts: Array<ContextSpec> = context === undefined ? [] : [{ owner: 0, encoding: "utf8", ...context }]
  const raws: Array<RawSpec> = []
  /** Which module is in which instance: steps that start one have a number too. */
  const moduleOf = new Map<number, CoreModule>(before.map(({ module }, i) => [i, module]))
  const instanceOf = new Map<string, number>()

  const typeOf = (ref: CoreRef): ImportType | undefined => (ref.kind === "export" ? moduleOf.get(ref.instance)?.exports.get(ref.name) : undefined)
  const add = (name: string, { module }: Loaded, starts: ReadonlyArray<string>): number => {
    const instance = instantiations.length
    const own = contexts.length
    const memory: CoreRef | undefined = module.exports.get("memory")?.kind === "memory" ? { kind: "export", instance, name: "memory" } : undefined
    contexts.push({ owner: 0, encoding: "utf8", memory, realloc: undefined })
    const rawNumbers = new Map<RawImport, number>()
    const imports = module.imports.map(({ module: from, name: label, type }) => {
      const refuse = (by: string): never => {
        throw new VerifyError("ForeignImport", { import: printable(`${from}#${label}`), abi: by })
      }
      const library = instanceOf.get(from)
      const found = library === undefined ? resolve(from, label, type) : ({ kind: "export", instance: library, name: label } as const)
      if (found === undefined) return refuse(abi)
      const served = isRaw(found) ? ({ kind: "func", type: found.type } as const) : typeOf(found)
      const by = library === undefined ? abi : `the module "${printable(from)}"`
      if (served === undefined) return refuse(by)
      if (coreMismatch(type, served) !== undefined) return refuse(`${by} with that ${type.kind === "func" ? "signature" : "type"}`)
      if (!isRaw(found)) return { module: from, name: label, item: found }
      let raw = rawNumbers.get(found)
      if (raw === undefined) {
        rawNumbers.set(found, (raw = raws.length))
        raws.push({ import: found, context: found.memory === "abi" ? ownContext : own })
      }
      return { module: from, name: label, item: { kind: "raw", raw } as const }
    })
    instantiations.push({ kind: "instantiate", module: before.length + instanceOf.size, imports })
    moduleOf.set(instance, module)
    instanceOf.set(name, instance)
    for (const each of starts) instantiations.push({ kind: "start", func: { kind: "export", instance, name: each } })
    return instance
  }

  for (const { name, loaded, start: starts } of libraries) add(name, loaded, starts)
  const instance = add("", main, start)
  const lifts: Array<LiftSpec> = exports.map(({ type, core, binding }) => ({
    type,
    core: { kind: "export", instance, name: core },
    context: context === undefined ? contexts.length - 1 : ownContext,
    postReturn: undefined,
    ...(binding === undefined ? {} : { binding }),
  }))
  return {
    world: { imports: new Map(), exports: new Map(exports.map(({ name, type }) => [name, type])) },
    coreModules: modules,
    instantiations,
    contexts,
    lifts,
    lowerings: [],
    raws,
    resources: new Map(),
    imports: [],
    resourceImports: [],
    exports: new Map(exports.map(({ name, type }, lift): [string, ExportSpec] => [name, { name, type, source: { kind: "lift", lift } }])),
    componentInstances: 1,
  }
}
