/**
 * Worlds written out: what they import and export themselves, what `include` adds, and the interfaces that those use.
 *
 * An interface that is used and not named is imported, unless it is exported and an export uses it. Order is that of
 * wit-component: interfaces, each after those it uses; types; functions; exports: functions, then interfaces.
 */
import type { ExternType, FunctionType, InterfaceType, ResourceType, ValueType, World } from "../model.ts"
import { originalOf, renamed } from "../model.ts"
import { anywhere } from "../tree.ts"
import type { NoteSyntax } from "./notes.ts"
import { afterNeeds } from "./order.ts"
import { type DeclaredInterface, type DeclaredWorld, fold } from "./scope.ts"
import type { IncludeItem, Name, PortItem, TypeItem, UseItem } from "./syntax.ts"
import { type Place, takeName, Types, type Work } from "./types.ts"

/** One import or export before the world is in order. */
interface Port {
  readonly key: string
  readonly extern: ExternType
  readonly note: NoteSyntax
  /** Of an interface: those it uses. */
  readonly uses: ReadonlyArray<DeclaredInterface>
  /** The interface that it is; absent for a plain name. */
  readonly declared?: DeclaredInterface
  /** A plain name with an interface that others may have too: its resources are its own. */
  readonly isCopy?: boolean
  /** A type that an interface has; it stands before the world's own. */
  readonly isUsed?: boolean
}

export interface Elaborated {
  readonly world: World
  readonly imports: ReadonlyMap<string, Port>
  readonly exports: ReadonlyMap<string, Port>
}

export interface Sources extends Work {
  readonly uses: (declared: DeclaredInterface) => ReadonlyArray<DeclaredInterface>
  /** A world that is elaborated already; undefined when it failed. */
  readonly world: (declared: DeclaredWorld) => Elaborated | undefined
}

export function elaborateWorld(declared: DeclaredWorld, work: Sources): Elaborated {
  return new Builder(declared, work).build()
}

class Builder {
  readonly #declared: DeclaredWorld
  readonly #work: Sources
  readonly #place: Place
  readonly #imports = new Map<string, Port>()
  readonly #exports = new Map<string, Port>()
  readonly #taken = { import: new Map<string, string>(), export: new Map<string, string>() }

  constructor(declared: DeclaredWorld, work: Sources) {
    this.#declared = declared
    this.#work = work
    this.#place = { scope: declared.block, package: declared.package, owner: undefined }
  }

  build(): Elaborated {
    const { items } = this.#declared.syntax
    const types = new Types(this.#work, this.#place)
    types.types(
      items.filter((item): item is TypeItem | UseItem => item.kind === "use" || item.kind === "type"),
      [],
    )
    for (const [key, extern] of types.exports) {
      const note = this.#work.notes.part(types.exports, key) as NoteSyntax
      if (extern.kind !== "function") this.#taken.import.set(fold(key), key)
      this.#imports.set(key, { key, extern, note, uses: [], isUsed: note.use !== undefined })
    }
    for (const item of items) if ((item.kind === "import" || item.kind === "export") && this.#isThere(item)) this.#port(item, types)
    for (const item of items) if (item.kind === "include" && this.#isThere(item)) this.#include(item)
    const imports = this.#orderImports(types.uses)
    const exports = this.#orderExports(imports)
    return { world: this.#world(imports, exports), imports, exports }
  }

  #add(reason: "Duplicate" | "Unknown" | "World", at: number, detail: string, advice: string): void {
    this.#work.report.add(reason, this.#place.scope.file, at, detail, advice)
  }

  #isThere({ head }: PortItem | IncludeItem): boolean {
    return this.#work.packages.missing(head, this.#place.package, this.#place.scope.file) === undefined
  }

  // ── Items ─────────────────────────────────────────────────────────────────

  #port(item: PortItem, types: Types): void {
    const { name, kind } = item
    this.#work.report.count(this.#place.scope.file)
    const port = name === undefined ? this.#path(item) : this.#plain(item, name, types)
    if (port === undefined) return
    const ports = kind === "import" ? this.#imports : this.#exports
    if (name === undefined) {
      if (ports.has(port.key)) return this.#add("Duplicate", item.at, `"${port.key}" is ${kind}ed already`, `leave one ${kind}`)
    } else if (!takeName(this.#taken[kind], name, (detail, advice) => this.#add("Duplicate", name.at, detail, advice))) return
    ports.set(port.key, port)
  }

  #path(item: PortItem): Port | undefined {
    const declared = this.#work.packages.interface(item.path as NonNullable<PortItem["path"]>, this.#place.scope, this.#place.package)
    const extern = declared === undefined ? undefined : this.#work.interface(declared)
    if (declared === undefined || extern === undefined) return undefined
    return { key: declared.full, extern, note: this.#note(item), uses: this.#work.uses(declared), declared }
  }

  #plain(item: PortItem, { text: key, at }: Name, types: Types): Port | undefined {
    if (item.function !== undefined) {
      const extern = types.function(item.function, { text: key, at })
      return extern === undefined ? undefined : { key, extern, note: this.#note(item), uses: [] }
    }
    if (item.interface !== undefined) {
      const inner = new Types(this.#work, { ...this.#place, owner: key })
      return { key, extern: inner.interface(item.interface), note: this.#note(item), uses: [...inner.uses] }
    }
    const found = this.#path(item)
    if (found === undefined) return undefined
    const { extern, uses, declared } = found
    return { key, extern, uses, note: { ...found.note, implements: (declared as DeclaredInterface).full }, isCopy: true }
  }

  #note(item: PortItem): NoteSyntax {
    return { file: this.#place.scope.file, at: item.name?.at ?? item.at, head: item.head }
  }

  #include(item: IncludeItem): void {
    const declared = this.#work.packages.world(item.path, this.#place.scope, this.#place.package)
    const world = declared === undefined ? undefined : this.#work.world(declared)
    if (declared === undefined || world === undefined) return
    const renamed = new Map(item.names.map(({ name, as }) => [name.text, as]))
    for (const { name } of item.names) {
      const found = [world.imports.get(name.text), world.exports.get(name.text)].filter((port) => port !== undefined)
      if (found.length === 0) {
        this.#add(
          "Unknown",
          name.at,
          `"${declared.full}" has no import or export of the name "${name.text}"`,
          "name a plain name of it: interfaces are not renamed",
        )
      } else if (found.some(({ extern }) => extern.kind === "resource-type" || extern.kind === "type")) {
        this.#add("World", name.at, `"${name.text}" is a type, and functions name it`, "rename what has the same name here instead")
      }
    }
    for (const kind of ["import", "export"] as const) {
      const ports = kind === "import" ? this.#imports : this.#exports
      for (const port of (kind === "import" ? world.imports : world.exports).values()) {
        this.#work.report.count(this.#place.scope.file)
        if (port.declared !== undefined) {
          if (!ports.has(port.key)) ports.set(port.key, port)
          continue
        }
        const key = renamed.get(port.key)?.text ?? port.key
        const known = ports.get(key)
        // The same type, come by two ways.
        if (known?.isUsed === true && port.isUsed === true && isSameType(known.extern, port.extern)) continue
        const at = renamed.get(port.key)?.at ?? item.path.name.at
        if (port.extern.kind === "function" && port.key.startsWith("[")) ports.set(key, port)
        else if (
          takeName(this.#taken[kind], { text: key, at }, (detail) =>
            this.#add("Duplicate", at, `${kind} ${detail}`, `rename it: include … with { ${port.key} as … }`),
          )
        ) {
          ports.set(key, { ...port, key })
        }
      }
    }
  }

  // ── Order ─────────────────────────────────────────────────────────────────

  /** An interface that nobody named, and that something here needs. */
  #implied(declared: DeclaredInterface, because: NoteSyntax | undefined): Port | undefined {
    const extern = this.#work.interface(declared)
    if (extern === undefined) return undefined
    this.#work.report.count(this.#place.scope.file)
    const note = because ?? { file: this.#place.scope.file, at: this.#declared.syntax.name.at, head: {} }
    return { key: declared.full, extern, note: { file: note.file, at: note.at, head: {} }, uses: this.#work.uses(declared), declared }
  }

  #orderImports(used: ReadonlySet<DeclaredInterface>): Map<string, Port> {
    const ordered = new Map<string, Port>()
    const before = (needs: Iterable<DeclaredInterface>, because: NoteSyntax | undefined): void => {
      for (const need of needs) {
        afterNeeds(
          need,
          this.#work.uses,
          ({ full }) => ordered.has(full),
          (declared) => {
            const port = this.#imports.get(declared.full) ?? this.#implied(declared, because)
            if (port !== undefined) ordered.set(port.key, port)
          },
        )
      }
    }
    for (const port of this.#imports.values()) {
      if (port.extern.kind !== "interface") continue
      before(port.uses, port.note)
      ordered.set(port.key, port)
    }
    // Of included worlds' types, the interfaces are among their imports.
    before(used, undefined)
    for (const rank of [1, 2, 3, 4]) for (const port of this.#imports.values()) if (rankOf(port) === rank) ordered.set(port.key, port)
    return ordered
  }

  /** Adds what exports need to `imports`, and puts exports in order. */
  #orderExports(imports: Map<string, Port>): Map<string, Port> {
    const ordered = new Map<string, Port>()
    const needed = new Map<string, Port>()
    for (const port of this.#exports.values()) if (port.extern.kind === "function") ordered.set(port.key, port)
    const added: Array<Port> = []
    for (const port of this.#exports.values()) {
      if (port.extern.kind !== "interface") continue
      for (const need of port.uses) this.#exportNeed(need, port, ordered, needed, imports, added)
      this.#put(port, ordered, needed)
    }
    if (added.length === 0) return ordered
    // Interfaces stand before types and functions.
    const rest = [...imports.values()].filter(({ extern }) => extern.kind !== "interface")
    for (const { key } of rest) imports.delete(key)
    for (const port of [...added, ...rest]) imports.set(port.key, port)
    return ordered
  }

  /** What an exported interface uses: exports where there are any, and for the others imports, with all that those use. */
  #exportNeed(
    root: DeclaredInterface,
    because: Port,
    ordered: Map<string, Port>,
    needed: Map<string, Port>,
    imports: Map<string, Port>,
    added: Array<Port>,
  ): void {
    // Of everything in between, whether it is exported decides about what is below it.
    const isExported = (declared: DeclaredInterface): boolean => this.#exports.get(declared.full)?.declared === declared
    const asImport = (declared: DeclaredInterface): void => {
      afterNeeds(
        declared,
        this.#work.uses,
        ({ full }) => needed.has(full),
        (one) => {
          needed.set(one.full, because)
          if (isExported(one)) this.#conflict(one, because)
          if (imports.has(one.full)) return
          const port = this.#implied(one, because.note)
          if (port !== undefined) {
            imports.set(port.key, port)
            added.push(port)
          }
        },
      )
    }
    const exportedNeeds = (declared: DeclaredInterface): ReadonlyArray<DeclaredInterface> => this.#work.uses(declared).filter(isExported)
    if (!isExported(root)) return asImport(root)
    afterNeeds(
      root,
      exportedNeeds,
      ({ full }) => ordered.has(full),
      (one) => {
        for (const need of this.#work.uses(one)) if (!isExported(need)) asImport(need)
        this.#put(this.#exports.get(one.full) as Port, ordered, needed)
      },
    )
  }

  #put(port: Port, ordered: Map<string, Port>, needed: ReadonlyMap<string, Port>): void {
    if (ordered.has(port.key)) return
    ordered.set(port.key, port)
    if (port.declared !== undefined && needed.has(port.key)) this.#conflict(port.declared, needed.get(port.key) as Port)
  }

  #conflict(exported: DeclaredInterface, because: Port): void {
    const detail = `"${exported.full}" is exported, but the export "${because.key}" needs it as an import, by way of an interface that is not exported`
    this.#add("World", this.#declared.syntax.name.at, detail, `export what "${because.key}" uses, too, or do not export "${exported.full}"`)
  }

  // ── The world ─────────────────────────────────────────────────────────────

  #world(imports: ReadonlyMap<string, Port>, exports: ReadonlyMap<string, Port>): World {
    const { notes } = this.#work
    const world = { imports: new Map<string, ExternType>(), exports: new Map<string, ExternType>() }
    for (const [key, { extern, note, isCopy }] of imports) {
      world.imports.set(key, isCopy === true ? this.#copied(extern as InterfaceType, new Copies(undefined)) : extern)
      notes.setPart(world.imports, key, note)
    }
    // Types of an exported interface are those of the export for all exports after it.
    const exported = new Copies(undefined)
    for (const [key, { extern, note, declared }] of exports) {
      const copies = declared === undefined ? new Copies(exported) : exported
      world.exports.set(key, extern.kind === "interface" ? this.#copied(extern, copies) : extern)
      notes.setPart(world.exports, key, note)
    }
    return world
  }

  /** The interface with resources of its own, and copies of the types that reach them. */
  #copied(type: InterfaceType, copies: Copies): InterfaceType {
    for (const [key, extern] of type.exports) {
      // A resource is the interface's own where no other name stands for it.
      const note = this.#work.notes.part(type.exports, key)
      if (extern.kind === "resource-type" && note?.use === undefined && note?.alias === undefined) copies.own(extern.resource)
    }
    if (copies.isEmpty) return type
    this.#work.report.count(this.#place.scope.file, type.exports.size)
    const exports = new Map<string, ExternType>()
    this.#work.notes.share(exports, type.exports)
    for (const [key, extern] of type.exports)
      exports.set(
        key,
        copies.extern(extern, (copy, original) => this.#work.notes.share(copy, original)),
      )
    return { kind: "interface", exports }
  }
}

const isSameType = (a: ExternType, b: ExternType): boolean =>
  (a.kind === "type" && b.kind === "type" && a.type === b.type) || (a.kind === "resource-type" && b.kind === "resource-type" && a.resource === b.resource)

/** 0 for interfaces, 1 for types of interfaces, 2 for the world's own, 3 for functions, 4 for methods. */
const rankOf = ({ key, extern, isUsed }: Port): number =>
  extern.kind === "interface" ? 0 : extern.kind === "function" ? (key.startsWith("[") ? 4 : 3) : isUsed === true ? 1 : 2

/** Resources that are replaced, and the types that hold their handles. */
class Copies {
  readonly #outer: Copies | undefined
  readonly #resources = new Map<ResourceType, ResourceType>()
  readonly #types = new Map<ValueType, ValueType>()
  readonly #isReplaced = (type: ValueType): boolean => (type.kind === "own" || type.kind === "borrow") && this.#resource(type.resource) !== type.resource
  #reaches = anywhere(this.#isReplaced)

  constructor(outer: Copies | undefined) {
    this.#outer = outer
  }

  get isEmpty(): boolean {
    return this.#resources.size === 0 && this.#outer?.isEmpty !== false
  }

  /** Gives a resource that is declared here a copy of its own. */
  own(resource: ResourceType): void {
    this.#resources.set(resource, { ...resource })
    // What was looked through before may reach it now.
    this.#reaches = anywhere(this.#isReplaced)
  }

  #resource(resource: ResourceType): ResourceType {
    return this.#resources.get(resource) ?? (this.#outer === undefined ? resource : this.#outer.#resource(resource))
  }

  /** `copied` hears of each type that is copied. */
  extern(extern: ExternType, copied: (copy: ValueType, original: ValueType) => void): ExternType {
    switch (extern.kind) {
      case "interface":
        return extern
      case "resource-type":
        return { kind: "resource-type", resource: this.#resource(extern.resource) }
      case "type":
        return { kind: "type", type: this.#type(extern.type, copied) }
      case "function":
        return {
          ...extern,
          params: extern.params.map(({ label, type }) => ({ label, type: this.#type(type, copied) })),
          ...(extern.result === undefined ? {} : { result: this.#type(extern.result, copied) }),
        } satisfies FunctionType
    }
  }

  /** As deep as the type, which is bounded. */
  #type(type: ValueType, copied: (copy: ValueType, original: ValueType) => void): ValueType {
    const known = this.#types.get(type) ?? (this.#outer === undefined ? undefined : this.#outer.#types.get(type))
    if (known !== undefined || !this.#reaches(type)) return known ?? type
    const inner = (part: ValueType): ValueType => this.#type(part, copied)
    const original = originalOf(type)
    const copy =
      original === undefined || type.name === undefined ? copyOf(type, inner, (resource) => this.#resource(resource)) : renamed(inner(original), type.name)
    this.#types.set(type, copy)
    copied(copy, type)
    return copy
  }
}

function copyOf(type: ValueType, inner: (part: ValueType) => ValueType, resourceOf: (resource: ResourceType) => ResourceType): ValueType {
  switch (type.kind) {
    case "own":
    case "borrow":
      return { ...type, resource: resourceOf(type.resource) }
    case "list":
    case "fixed-list":
      return { ...type, element: inner(type.element) }
    case "stream":
      return type.element === undefined ? type : { ...type, element: inner(type.element) }
    case "option":
      return { ...type, type: inner(type.type) }
    case "future":
      return type.type === undefined ? type : { ...type, type: inner(type.type) }
    case "map":
      return { ...type, key: inner(type.key), value: inner(type.value) }
    case "tuple":
      return { ...type, types: type.types.map(inner) }
    case "record":
      return { ...type, fields: type.fields.map((field) => ({ ...field, type: inner(field.type) })) }
    case "variant":
      return { ...type, cases: type.cases.map((part) => (part.type === undefined ? part : { ...part, type: inner(part.type) })) }
    case "result":
      return { ...type, ...(type.ok === undefined ? {} : { ok: inner(type.ok) }), ...(type.err === undefined ? {} : { err: inner(type.err) }) }
    default:
      return type
  }
}
