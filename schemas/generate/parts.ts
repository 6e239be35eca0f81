/** What every generator asks of a world: its interfaces with short names, its functions, and which type has which name. */
import { GenerateError } from "../error/generate.ts"
import type { ExternType, FunctionType, ResourceType, ValueType, World } from "../wit/model.ts"
import type { Note, Notes } from "../wit/parse/package.ts"
import { camel } from "./file.ts"

/** What each generator of bindings is asked. */
export interface CodeOptions {
  readonly world: World
  /** Its full name, for people. */
  readonly name: string
  /** Documentation and aliases, where the world came from text. */
  readonly notes?: Notes
}

/** One interface in one direction, or the world itself. */
export interface Module {
  /** kebab-case, unique but for the world's own two. */
  readonly file: string
  /** Undefined for the world. */
  readonly full: string | undefined
  readonly isExport: boolean
  readonly externs: ReadonlyMap<string, ExternType>
}

export const noNote: Note = {}

/** `[method]bucket.get` in its parts; a plain function has no resource. */
export function memberOf(name: string): {
  readonly role: "function" | "constructor" | "method" | "static"
  readonly resource?: string
  readonly label: string
} {
  const parts = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(name)
  return parts === null ? { role: "function", label: name } : { role: parts[1] as "method", resource: parts[2] as string, label: parts[3] ?? "" }
}

/** Names for interfaces: the shortest that are different, and none of `taken`. */
export function modulesOf(world: World, taken: ReadonlyArray<string>): ReadonlyArray<Module> {
  const found: Array<{
    readonly full: string
    readonly isExport: boolean
    readonly externs: ReadonlyMap<string, ExternType>
    readonly names: ReadonlyArray<string>
  }> = []
  for (const [isExport, externs] of [
    [false, world.imports],
    [true, world.exports],
  ] as const) {
    for (const [full, extern] of externs) {
      if (extern.kind !== "interface") continue
      const [path = "", version = ""] = full.split("@", 2)
      const words = path.split(/[:/]/)
      // The export of an interface that is imported, too.
      const tail = isExport && world.imports.has(full) ? "-exported" : ""
      const names = words.map((_, at) => words.slice(words.length - 1 - at).join("-") + tail)
      const whole = words.join("-") + (version === "" ? "" : `-${version.replaceAll(/[^0-9A-Za-z]+/g, "-")}`) + tail
      found.push({ full, isExport, externs: extern.exports, names: [...names, whole, `${whole}-${found.length}`] })
    }
  }
  const level = found.map(() => 0)
  // Longer names until no two are alike; the last of each is numbered, so it ends.
  for (;;) {
    const names = found.map(({ names: known }, i) => (known[Math.min(level[i] as number, known.length - 1)] as string).toLowerCase())
    // Files are imported by their names without dashes.
    const short = names.map(camel)
    const clashing = short.map((name, i) => taken.includes(name) || short.indexOf(name) !== i || short.lastIndexOf(name) !== i)
    if (!clashing.some(Boolean)) {
      const modules = found.map(({ full, isExport, externs }, i) => ({ file: names[i] as string, full, isExport, externs }))
      const own = (externs: World["imports"]) => new Map([...externs].filter(([, extern]) => extern.kind !== "interface"))
      return [
        ...modules,
        { file: "world", full: undefined, isExport: false, externs: own(world.imports) },
        { file: "world", full: undefined, isExport: true, externs: own(world.exports) },
      ]
    }
    for (const [i, is] of clashing.entries()) if (is) level[i] = (level[i] as number) + 1
  }
}

/** Names of one scope, each with what has it. */
export class Names {
  readonly #taken = new Map<string, string>()
  readonly #target: string
  constructor(target: string) {
    this.#target = target
  }
  has(name: string): boolean {
    return this.#taken.has(name)
  }
  /** Takes `name` for what `whose` says. */
  take(name: string, whose: string): string {
    const first = this.#taken.get(name)
    if (first !== undefined) throw new GenerateError("Collision", { target: this.#target, name, first, second: whose })
    this.#taken.set(name, whose)
    return name
  }
}

export type Node = ValueType | ResourceType

/** The type or resource that a name stands for; undefined for what is none. */
export const nodeOf = (extern: ExternType | undefined): Node | undefined =>
  extern?.kind === "type" ? extern.type : extern?.kind === "resource-type" ? extern.resource : undefined

/** What has no name of its own: tuples, lists, options, results and primitives are written out where they occur. */
export const isNamed = (node: Node): boolean => ["record", "variant", "enum", "flags", "resource"].includes(node.kind)

/** Types that a type is made of. */
export function partsOf(type: ValueType): ReadonlyArray<ValueType> {
  switch (type.kind) {
    case "record":
      return type.fields.map((field) => field.type)
    case "tuple":
      return type.types
    case "variant":
      return type.cases.flatMap((one) => (one.type === undefined ? [] : [one.type]))
    case "list":
      return [type.element]
    case "option":
      return [type.type]
    case "result":
      return [type.ok, type.err].filter((part) => part !== undefined)
    default:
      return []
  }
}

/** Is it so of a type, or of one that it is made of? */
export const anyPart = (type: ValueType, is: (type: ValueType) => boolean): boolean => is(type) || partsOf(type).some((part) => anyPart(part, is))

const uncarried: ReadonlySet<string> = new Set(["stream", "future", "error-context", "map", "fixed-list"])

/**
 * Refuses a name that the core module's memory has by the build conventions (schemas/encode/naming.ts); every other name that
 * they give has an underscore, which no label has.
 * @throws GenerateError `Collision`
 */
function refuseExport(target: string, { full, isExport }: Module, label: string): void {
  if (isExport && full === undefined && label === "memory")
    throw new GenerateError("Collision", { target, name: label, first: "the memory of the core module", second: "the function that the world exports" })
}

/** Refuses what no language here can hold. @throws GenerateError `Unsupported` */
export function refuseFunction(target: string, type: FunctionType, where: string): void {
  if (type.isAsync === true)
    throw new GenerateError("Unsupported", {
      target,
      type: "an async function",
      where,
      advice: "leave out async: a host may suspend the plugin while it answers",
    })
  refuseTypes(target, type.result === undefined ? type.params.map((param) => param.type) : [...type.params.map((param) => param.type), type.result], where)
}
function refuseTypes(target: string, types: ReadonlyArray<ValueType>, where: string): void {
  const seen = new Set<ValueType>()
  const refuse = (part: ValueType): void => {
    if (seen.has(part)) return
    seen.add(part)
    if (uncarried.has(part.kind))
      throw new GenerateError("Unsupported", {
        target,
        type: part.kind,
        where,
        advice: part.kind === "fixed-list" || part.kind === "map" ? "use a list" : "use a list, or a resource with methods",
      })
    partsOf(part).forEach(refuse)
  }
  types.forEach(refuse)
}
/** Refuses what no language can hold in all of a world: functions, which are called, before types that none of them has. */
export function refuseModules(target: string, modules: ReadonlyArray<Module>): void {
  const placed = modules.flatMap((module) =>
    [...module.externs].map(([name, extern]) => ({ module, name, extern, where: module.full === undefined ? name : `${module.full}#${name}` })),
  )
  for (const { extern, module, name, where } of placed) {
    if (extern.kind !== "function") continue
    refuseExport(target, module, name)
    refuseFunction(target, extern, where)
  }
  for (const { extern, where } of placed) if (extern.kind === "type") refuseTypes(target, [extern.type], where)
}

/** A function of the world, in one direction. */
export interface PlacedFunction {
  readonly module: Module
  /** As the world has it: `[method]bucket.get`. */
  readonly name: string
  readonly role: "function" | "constructor" | "method" | "static"
  readonly resource: ResourceType | undefined
  /** Without its resource: `get`; empty for a constructor. */
  readonly label: string
  readonly type: FunctionType
  readonly note: Note
}

/** A named type or resource at the place that owns it. */
export interface PlacedType {
  readonly module: Module
  readonly label: string
  readonly node: Node
  readonly note: Note
  /** A resource that the plugin implements. */
  readonly isExported: boolean
}

export interface Placed {
  readonly modules: ReadonlyArray<Module>
  /** Each after those that it is made of. */
  readonly types: ReadonlyArray<PlacedType>
  /** Other names of types: aliases, and what `use` brings. `type` is undefined for a resource. */
  readonly aliases: ReadonlyArray<{ readonly module: Module; readonly label: string; readonly node: Node; readonly note: Note }>
  readonly functions: ReadonlyArray<PlacedFunction>
  /** The type whose name this one goes by. */
  real(node: Node): Node
  placeOf(node: Node): PlacedType
}

/** Puts every type and function of a world in its place; refuses what the language cannot hold. */
export function place(target: string, world: World, notes: Notes | undefined, taken: ReadonlyArray<string>): Placed {
  // What the world imports and exports under one name is told apart as an interface is that it imports and exports.
  const isBoth = [...world.imports].some(([label, extern]) => extern.kind !== "interface" && world.exports.has(label))
  const modules = modulesOf(world, [...taken, "world", "worldExported"]).map((module) =>
    isBoth && module.full === undefined && module.isExport ? { ...module, file: "world-exported" } : module,
  )
  refuseModules(target, modules)
  const noteIn = ({ full, externs, isExport }: Module, name: string): Note =>
    notes?.of(full !== undefined ? externs : isExport ? world.exports : world.imports, name) ?? noNote
  const places = new Map<Node, PlacedType>()
  const originals = new Map<Node, Node>()
  const real = (node: Node): Node => {
    let at = node
    for (let next = originals.get(at); next !== undefined; next = originals.get(at)) at = next
    return at
  }
  /** The type that a `use` meant: of the export where the module is one and there is such an export. */
  const used = ({ isExport }: Module, full: string, name: string): Node | undefined => {
    for (const externs of isExport ? [world.exports, world.imports] : [world.imports, world.exports]) {
      const found = externs.get(full)
      const node = nodeOf(found?.kind === "interface" ? found.exports.get(name) : undefined)
      if (node !== undefined) return node
    }
    return undefined
  }
  const aliases: Array<Placed["aliases"][number]> = []
  for (const module of modules) {
    for (const [label, extern] of module.externs) {
      const node = nodeOf(extern)
      if (node === undefined) continue
      const note = noteIn(module, label)
      if (!isNamed(node) || places.has(node)) {
        aliases.push({ module, label, node, note })
        continue
      }
      const original = note.alias === undefined ? note.use && used(module, note.use.interface, note.use.name) : nodeOf(module.externs.get(note.alias))
      if (original !== undefined && original !== node) {
        originals.set(node, original)
        aliases.push({ module, label, node, note })
        continue
      }
      places.set(node, { module, label, node, note, isExported: module.isExport && node.kind === "resource" })
    }
  }
  const functions: Array<PlacedFunction> = []
  for (const module of modules) {
    for (const [name, type] of module.externs) {
      if (type.kind !== "function") continue
      const { role, resource, label } = memberOf(name)
      const extern = resource === undefined ? undefined : module.externs.get(resource)
      functions.push({
        module,
        name,
        role,
        resource: extern?.kind === "resource-type" ? extern.resource : undefined,
        label,
        type,
        note: noteIn(module, name),
      })
    }
  }
  const placeOf = (node: Node): PlacedType => {
    const found = places.get(real(node))
    if (found === undefined) throw new Error(`no place for ${node.kind}`)
    return found
  }
  return { modules, types: inOrder([...places.values()], real), aliases, functions, real, placeOf }
}

/** Types after those that they are made of, otherwise as they come. */
function inOrder(types: ReadonlyArray<PlacedType>, real: (node: Node) => Node): ReadonlyArray<PlacedType> {
  const known = new Map(types.map((type) => [type.node, type] as const))
  const done = new Set<Node>()
  const out: Array<PlacedType> = []
  const visit = (node: Node): void => {
    const own = real(node)
    if (done.has(own)) return
    done.add(own)
    if (own.kind !== "resource") partsOf(own).forEach(visit)
    const type = known.get(own)
    if (type !== undefined) out.push(type)
  }
  for (const { node } of types) visit(node)
  return out
}

/** The core module's name for a function that it exports, and for the module and name of one that it imports. */
export const coreExport = ({ module, name }: PlacedFunction): string => (module.full === undefined ? name : `${module.full}#${name}`)
export const coreImportModule = ({ full }: Module): string => full ?? "$root"

/** Documentation of a thing, as lines. */
export function docLines({ docs, deprecated }: Note): ReadonlyArray<string> {
  const text = [docs, deprecated === undefined ? undefined : `Deprecated since ${deprecated}.`].filter((part) => part !== undefined).join("\n")
  return text === "" ? [] : text.split("\n").map((line) => line.trimEnd())
}

/** Bytes of so many flags, 32 at most (CanonicalABI.md "Element Size"). */
export const flagBytes = (labels: number): 1 | 2 | 4 => (labels <= 8 ? 1 : labels <= 16 ? 2 : 4)
