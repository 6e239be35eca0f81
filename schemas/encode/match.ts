/**
 * Which part of a world each import and export of a core module is, by the names of its convention. Every part that does
 * not fit is an error here, so that what is written afterwards is a valid component.
 */
import { EncodeError } from "../error/encode.ts"
import { closest } from "../value/closest.ts"
import type { CoreExternType, CoreFunctionType, CoreModule } from "../wasm/core-module.ts"
import { type CoreSignature, flatResultsMax, flattenExport, flattenImport, layoutOf, paramsLayout } from "../wit/layout.ts"
import type { ExternType, FunctionType, ResourceType, ValueType, World } from "../wit/model.ts"
import { printable } from "../wit/name.ts"
import { typeText } from "../wit/print.ts"
import { anywhere } from "../wit/tree.ts"
import { type Naming, namingOf } from "./naming.ts"
import type { Owners } from "./world.ts"

/** A function that the world imports and the core module calls. */
export interface Lowered {
  readonly kind: "lower"
  readonly of: string | undefined
  readonly name: string
  readonly type: FunctionType
  readonly signature: CoreSignature
}

/** `resource.new`, `resource.drop` or `resource.rep`, which the core module calls. */
export interface ResourceOperation {
  readonly kind: "new" | "drop" | "rep"
  readonly resource: ResourceType
  readonly signature: CoreSignature
}

/** A function of WASI preview 1, which the component answers by itself. */
export interface Adapted {
  readonly kind: "preview1"
  readonly name: string
  readonly signature: CoreSignature
}

export type CoreImportItem = Lowered | ResourceOperation | Adapted

/** A function that the world exports, and the core exports that implement it. */
export interface Lifted {
  readonly name: string
  readonly type: FunctionType
  readonly core: string
  readonly postReturn: string | undefined
}

export interface Match {
  /** What the core module imports, by its module names, in its order. */
  readonly imports: ReadonlyMap<string, ReadonlyMap<string, CoreImportItem>>
  /** Functions exported by interface; undefined for the world's own. */
  readonly exports: ReadonlyMap<string | undefined, ReadonlyArray<Lifted>>
  readonly destructors: ReadonlyMap<ResourceType, string>
  readonly memory: string | undefined
  readonly realloc: { readonly lift: string | undefined; readonly lower: string | undefined }
  readonly initialize: string | undefined
}

const holdsPointer = anywhere((type) => type.kind === "string" || type.kind === "list")
const uncarried: ReadonlySet<ValueType["kind"]> = new Set(["fixed-list", "map", "stream", "future", "error-context"])
const isUncarried = anywhere((type) => uncarried.has(type.kind))
const holdsBorrow = anywhere((type) => type.kind === "borrow")

/** What a lift or lower of this function needs of the core module (CanonicalABI.md, canonopt validation). */
export function needsOf(type: FunctionType, direction: "lift" | "lower"): { readonly memory: boolean; readonly realloc: boolean } {
  const paramsPoint = type.params.some((param) => holdsPointer(param.type))
  const resultPoints = type.result !== undefined && holdsPointer(type.result)
  const paramsSpill = paramsLayout(type).flat === undefined
  const resultSpills = type.result !== undefined && (layoutOf(type.result).flat?.length ?? Infinity) > flatResultsMax
  return {
    memory: paramsPoint || resultPoints || paramsSpill || resultSpills,
    realloc: direction === "lift" ? paramsPoint || paramsSpill : resultPoints,
  }
}

const signatureText = ({ params, results }: CoreFunctionType | CoreSignature): string => `(${params.join(", ")}) -> (${results.join(", ")})`
const externText = (type: CoreExternType): string => (type.kind === "func" ? `the function ${signatureText(type.type)}` : `a ${type.kind}`)
const wantedText = (expected: CoreSignature | "memory"): string => (expected === "memory" ? "a memory" : `the function ${signatureText(expected)}`)
const isSignature = (type: CoreExternType, { params, results }: CoreSignature): boolean =>
  type.kind === "func" && type.type.params.join() === params.join() && type.type.results.join() === results.join()

const nothing: CoreSignature = { params: [], results: [] }
const handle: CoreSignature = { params: ["i32"], results: [] }
const handleToRep: CoreSignature = { params: ["i32"], results: ["i32"] }
const reallocation: CoreSignature = { params: ["i32", "i32", "i32", "i32"], results: ["i32"] }
const operations: ReadonlyArray<readonly ["new" | "drop" | "rep", CoreSignature]> = [
  ["new", handleToRep],
  ["drop", handle],
  ["rep", handleToRep],
]

const full = (of: string | undefined, name: string): string => (of === undefined ? name : `${of}#${name}`)

/** Refuses what no host of ours carries and what the component model does not let a function do. */
function checkCarried(at: string, { params, result, isAsync }: FunctionType): void {
  if (isAsync === true) throw new EncodeError("Unsupported", { at, feature: "an async function" })
  for (const { type } of params) if (isUncarried(type)) throw new EncodeError("Unsupported", { at, feature: `the type ${typeText(type, 200)}` })
  if (result === undefined) return
  if (isUncarried(result)) throw new EncodeError("Unsupported", { at, feature: `the type ${typeText(result, 200)}` })
  if (holdsBorrow(result)) throw new EncodeError("World", { at, detail: "a function returns a borrowed handle" })
}

/** Everything that a core module may import, by module and name. */
function importable(world: World, naming: Naming, imported: Owners, exported: Owners): ReadonlyMap<string, Map<string, CoreImportItem>> {
  const modules = new Map<string, Map<string, CoreImportItem>>()
  const put = (module: string, name: string, item: CoreImportItem): void => {
    let names = modules.get(module)
    if (names === undefined) modules.set(module, (names = new Map()))
    // Two versions of an interface can have one name in a convention: the first is meant.
    if (!names.has(name)) names.set(name, item)
  }
  const add = (of: string | undefined, name: string, extern: ExternType): void => {
    const module = naming.imports(of)
    if (extern.kind === "function") put(module, name, { kind: "lower", of, name, type: extern, signature: nothing })
    else if (extern.kind === "resource-type") put(module, naming.resource.drop(name), { kind: "drop", resource: extern.resource, signature: handle })
  }
  for (const [name, extern] of world.imports) {
    if (extern.kind === "interface") for (const [label, item] of extern.exports) add(name, label, item)
    else add(undefined, name, extern)
  }
  for (const [of, extern] of world.exports) {
    if (extern.kind !== "interface") continue
    for (const [label, item] of extern.exports) {
      if (item.kind !== "resource-type" || imported.get(item.resource) !== undefined || exported.get(item.resource)?.of !== of) continue
      for (const [kind, signature] of operations) put(naming.exported(of), naming.resource[kind](label), { kind, resource: item.resource, signature })
    }
  }
  return modules
}

/** The intrinsics of the async proposal, which no world names. */
const isIntrinsic = (name: string): boolean => /^\[(?!constructor\]|method\]|static\]|resource-)/.test(name)

/** What `preview1.ts` answers, by name; undefined where it is not wanted. */
export type Preview1 = ReadonlyMap<string, CoreSignature> | undefined

function matchImports(module: CoreModule, known: ReadonlyMap<string, Map<string, CoreImportItem>>, preview1: Preview1): Match["imports"] {
  const found = new Map<string, Map<string, CoreImportItem>>()
  for (const wanted of module.imports) {
    const [at, name] = [printable(wanted.module), printable(wanted.name)]
    let item = known.get(wanted.module)?.get(wanted.name)
    const adapted = wanted.module === "wasi_snapshot_preview1" ? preview1?.get(wanted.name) : undefined
    if (adapted !== undefined) item = { kind: "preview1", name: wanted.name, signature: adapted }
    if (item === undefined) {
      if (wanted.module.startsWith("wasi_snapshot_preview1") || wanted.module === "wasi_unstable") throw new EncodeError("Preview1", { module: at, name })
      if (isIntrinsic(wanted.name)) throw new EncodeError("Unsupported", { at: `the core import "${at}"`, feature: `the intrinsic "${name}"` })
      const here = known.get(wanted.module)
      const near = here === undefined ? closest(wanted.module, [...known.keys()]) : closest(wanted.name, [...here.keys()])
      throw new EncodeError("UnknownImport", { module: at, name, found: externText(wanted.type), closest: near })
    }
    if (item.kind === "lower") {
      checkCarried(full(item.of, item.name), item.type)
      item = { ...item, signature: flattenImport(item.type) }
    }
    if (!isSignature(wanted.type, item.signature)) {
      const what =
        item.kind === "preview1"
          ? "WASI preview 1"
          : item.kind === "lower"
            ? full(item.of, item.name)
            : `an operation on the resource "${item.resource.name?.name ?? ""}"`
      const expected = `the function ${signatureText(item.signature)}`
      throw new EncodeError("ImportType", { module: at, name, expected, found: externText(wanted.type), for: what })
    }
    let names = found.get(wanted.module)
    if (names === undefined) found.set(wanted.module, (names = new Map()))
    names.set(wanted.name, item)
  }
  return found
}

/** Looks names up among a module's exports, and knows which were asked for. */
class Exports {
  readonly #exports: CoreModule["exports"]
  readonly asked = new Set<string>()

  constructor(exports: CoreModule["exports"]) {
    this.#exports = exports
  }

  names(): ReadonlyArray<string> {
    return [...this.#exports.keys()]
  }

  /** The name, when there is such an export; it must be of this type. `as` is what it is for. */
  maybe(name: string, expected: CoreSignature | "memory", as: string): string | undefined {
    this.asked.add(name)
    const type = this.#exports.get(name)
    if (type === undefined) return undefined
    if (expected === "memory" ? type.kind !== "memory" : !isSignature(type, expected))
      throw new EncodeError("ExportType", { export: name, as, expected: wantedText(expected), found: externText(type) })
    return name
  }

  need(name: string, expected: CoreSignature | "memory", as: string, because: string): string {
    const found = this.maybe(name, expected, as)
    if (found !== undefined) return found
    const known = this.names().map((each) => printable(each))
    throw new EncodeError("MissingExport", { export: name, expected: wantedText(expected), for: because, closest: closest(name, known) })
  }
}

function matchExports(world: World, naming: Naming, exports: Exports): Match["exports"] {
  const found = new Map<string | undefined, Array<Lifted>>()
  const add = (of: string | undefined, name: string, type: FunctionType): void => {
    const at = full(of, name)
    checkCarried(at, type)
    const signature = flattenExport(type)
    const core = exports.need(naming.lift(of, name), signature, `the world's ${at}`, `the world exports ${at}`)
    const postReturn = exports.maybe(naming.post(core), { params: signature.results, results: [] }, `what frees the result of ${at}`)
    const lifted = { name, type, core, postReturn }
    const known = found.get(of)
    if (known === undefined) found.set(of, [lifted])
    else known.push(lifted)
  }
  for (const [name, extern] of world.exports) {
    if (extern.kind === "function") add(undefined, name, extern)
    if (extern.kind === "interface") for (const [label, item] of extern.exports) if (item.kind === "function") add(name, label, item)
  }
  return found
}

/** The memory and the allocators: named by the first function that needs them when they are not there. */
function matchMemory(naming: Naming, exports: Exports, imports: Match["imports"], lifted: Match["exports"]): Pick<Match, "memory" | "realloc"> {
  const allocator = (names: ReadonlyArray<string>): string | undefined => {
    // Every one is looked at, so that none of a wrong type goes unseen.
    const found = names.map((name) => exports.maybe(name, reallocation, "the allocator"))
    return found.find((name) => name !== undefined)
  }
  const memory = exports.maybe(naming.memory, "memory", "the memory")
  const realloc = { lift: allocator(naming.realloc.lift), lower: allocator(naming.realloc.lower) }
  const check = (at: string, type: FunctionType, direction: "lift" | "lower"): void => {
    const needs = needsOf(type, direction)
    if (needs.memory && memory === undefined) exports.need(naming.memory, "memory", "the memory", `${at} passes values through it`)
    if (needs.realloc && realloc[direction] === undefined)
      exports.need(naming.realloc[direction].at(-1) as string, reallocation, "the allocator", `${at} allocates with it`)
  }
  for (const items of imports.values()) {
    for (const item of items.values())
      if (item.kind === "preview1" && memory === undefined) exports.need(naming.memory, "memory", "the memory", "WASI preview 1 passes values through it")
  }
  for (const items of imports.values()) for (const item of items.values()) if (item.kind === "lower") check(full(item.of, item.name), item.type, "lower")
  for (const [of, functions] of lifted) for (const { name, type } of functions) check(full(of, name), type, "lift")
  return { memory, realloc }
}

/** @throws EncodeError naming the first import or export that does not fit the world. */
export function match(world: World, module: CoreModule, imported: Owners, exported: Owners, preview1?: Preview1): Match {
  const naming = namingOf(module)
  const exports = new Exports(module.exports)
  const imports = matchImports(module, importable(world, naming, imported, exported), preview1)
  const lifted = matchExports(world, naming, exports)
  const destructors = new Map<ResourceType, string>()
  for (const [of, extern] of world.exports) {
    if (extern.kind !== "interface") continue
    for (const [label, item] of extern.exports) {
      if (item.kind !== "resource-type" || imported.get(item.resource) !== undefined || exported.get(item.resource)?.of !== of) continue
      const destructor = exports.maybe(naming.destructor(of, label), handle, `the destructor of ${full(of, label)}`)
      if (destructor !== undefined) destructors.set(item.resource, destructor)
    }
  }
  const memory = matchMemory(naming, exports, imports, lifted)
  const initialize = exports.maybe(naming.initialize, nothing, "the initialiser")
  for (const name of exports.names()) {
    if (/^\[(?:async-lift|callback)/.test(name)) throw new EncodeError("Unsupported", { at: `the core export "${printable(name)}"`, feature: "an async lift" })
    if (naming.isLift(name) && !exports.asked.has(name))
      throw new EncodeError("StrayExport", {
        export: printable(name),
        closest: closest(
          name,
          [...exports.asked].filter((each) => naming.isLift(each) && !module.exports.has(each)),
        ),
      })
  }
  return { imports, exports: lifted, destructors, ...memory, initialize }
}
