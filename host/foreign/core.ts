/**
 * The blueprint of one core module under a foreign ABI: what it imports is served by raw functions, what it exports is
 * called by the ABI's own bindings, and everything behind (hardening, metering, limits, calls) is that of components.
 */
import { VerifyError } from "../../schemas/error/verify.ts"
import { type FunctionType, primitive, type ValueType } from "../../schemas/wit/model.ts"
import type { ExportBinding } from "../abi/mod.ts"
import type { Blueprint, ContextSpec, CoreInstantiation, CoreRef, ExportSpec, LiftSpec, RawSpec } from "../component/blueprint.ts"
import { printable } from "../component/name.ts"
import { type CoreFunctionType, type CoreModule, type CoreValueType, isSameSignature } from "../harden/core-module.ts"
import type { RawImport } from "./raw.ts"

/** A core module, decoded, with the bytes it was decoded from. */
export interface Loaded {
  readonly bytes: Uint8Array
  readonly module: CoreModule
}

/** A function that the plugin exports, over a core function without parameters that its ABI gives a meaning to. */
export interface ForeignExport {
  readonly name: string
  readonly type: FunctionType
  readonly core: CoreRef
  readonly binding?: (name: string) => ExportBinding
}

export interface ForeignParts {
  /** The module of the plugin itself; it becomes the last that is instantiated. */
  readonly main: Loaded
  /** Modules of the ABI's own, instantiated before it, in order: instance numbers 0, 1… */
  readonly before?: ReadonlyArray<Loaded>
  /** What serves an import of the main module. */
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

/** The signature of a function that a module of the ABI exports. */
function signatureOf(before: ReadonlyArray<Loaded>, ref: CoreRef): CoreFunctionType | undefined {
  const type = ref.kind === "export" ? before[ref.instance]?.module.exports.get(ref.name) : undefined
  return type?.kind === "func" ? type.type : undefined
}

/** Context number of the main module's memory, and of the ABI's own. */
const mainContext = 0
const ownContext = 1

export function coreBlueprint({ main, before = [], resolve, start = [], context, exports: given, abi }: ForeignParts): Blueprint {
  const exports = given.filter(({ name }) => printable(name) === name)
  const raws: Array<RawSpec> = []
  const rawNumbers = new Map<RawImport, number>()
  const instance = before.length
  const imports = main.module.imports.map(({ module, name, type }) => {
    const found = resolve(module, name, type)
    if (found === undefined) {
      throw new VerifyError("ForeignImport", { import: printable(`${module}#${name}`), abi })
    }
    const served = isRaw(found) ? found.type : signatureOf(before, found)
    if (type.kind !== "func" || served === undefined || !isSameSignature(type.type, served)) {
      throw new VerifyError("ForeignImport", { import: printable(`${module}#${name}`), abi: `${abi} with that signature` })
    }
    if (!isRaw(found)) return { module, name, item: found }
    let raw = rawNumbers.get(found)
    if (raw === undefined) {
      rawNumbers.set(found, (raw = raws.length))
      raws.push({ import: found, context: found.memory === "abi" ? ownContext : mainContext })
    }
    return { module, name, item: { kind: "raw", raw } as const }
  })
  const instantiations: Array<CoreInstantiation> = [
    ...before.map((_, module) => ({ kind: "instantiate", module, imports: [] }) as const),
    { kind: "instantiate", module: instance, imports },
    ...start.map((name) => ({ kind: "start", func: { kind: "export", instance, name } }) as const),
  ]
  const lifts: Array<LiftSpec> = exports.map(({ type, core, binding }) => ({
    type,
    core,
    context: context === undefined ? mainContext : ownContext,
    postReturn: undefined,
    ...(binding === undefined ? {} : { binding }),
  }))
  const memory: CoreRef | undefined = main.module.exports.get("memory")?.kind === "memory" ? { kind: "export", instance, name: "memory" } : undefined
  return {
    world: { imports: new Map(), exports: new Map(exports.map(({ name, type }) => [name, type])) },
    coreModules: [...before, main],
    instantiations,
    contexts: [
      { owner: 0, encoding: "utf8", memory, realloc: undefined },
      ...(context === undefined ? [] : [{ owner: 0, encoding: "utf8", ...context } as const]),
    ],
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
