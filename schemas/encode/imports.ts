/**
 * The imports of a component. Only what is used is imported: the functions that the core module calls, the types that
 * they and the exports are made of, and the interfaces that have any of these. So what a plugin asks for is what it can
 * reach; wit-component does the same.
 */
import { EncodeError } from "../error/encode.ts"
import type { ExternType, FunctionType, InterfaceType, World } from "../wit/model.ts"
import { resourceFunction } from "../wit/name.ts"
import { children } from "../wit/tree.ts"
import { type ComponentWriter, InstanceTypeWriter, type TypeBound } from "./component-writer.ts"
import type { Match } from "./match.ts"
import { TypeScope } from "./types.ts"
import { aliased, homeless, isShared, type Node, nodeOf, type Owners } from "./world.ts"

/** What functions are made of. */
class Reached {
  readonly nodes = new Set<Node>()
  readonly #owners: Owners

  constructor(owners: Owners) {
    this.#owners = owners
  }

  function(type: FunctionType): void {
    for (const param of type.params) this.node(param.type)
    this.node(type.result)
  }

  node(node: Node | undefined): void {
    if (node === undefined || this.nodes.has(node)) return
    this.nodes.add(node)
    if (node.kind === "resource") return
    if (node.kind === "own" || node.kind === "borrow") this.nodes.add(node.resource)
    for (const child of children(node)) this.node(child)
    this.node(aliased(node, this.#owners))
  }
}

/** The resource in whose name a function is, which may be none that it takes. */
function resourceOf(extern: ExternType | undefined, name: string): Node | undefined {
  const owner = resourceFunction(name)?.resource
  const found = extern?.kind === "interface" && owner !== undefined ? extern.exports.get(owner) : undefined
  return found === undefined ? undefined : nodeOf(found)
}

/** What a component needs of its world's imports. */
class Live {
  readonly #all: Reached
  /** Names of the functions that are called, by interface: two functions may be of one type. */
  readonly #called = new Map<string | undefined, Set<string>>()
  readonly #owners: Owners

  constructor(world: World, match: Match, owners: Owners) {
    this.#owners = owners
    this.#all = new Reached(owners)
    for (const items of match.imports.values()) {
      for (const item of items.values()) {
        if (item.kind === "preview1") continue
        if (item.kind !== "lower") this.#all.node(item.resource)
        else {
          const called = this.#called.get(item.of)
          if (called === undefined) this.#called.set(item.of, new Set([item.name]))
          else called.add(item.name)
          this.#all.function(item.type)
          this.#all.node(resourceOf(item.of === undefined ? undefined : world.imports.get(item.of), item.name))
        }
      }
    }
    // A world's own types are its own to say, whoever uses them.
    for (const extern of world.imports.values()) if (extern.kind !== "interface") this.#all.node(nodeOf(extern))
    for (const extern of world.exports.values()) {
      if (extern.kind === "function") this.#all.function(extern)
      if (extern.kind !== "interface") continue
      for (const item of extern.exports.values()) {
        if (item.kind === "function") this.#all.function(item)
        else this.#all.node(nodeOf(item))
      }
    }
  }

  isCalled(of: string | undefined, name: string): boolean {
    return this.#called.get(of)?.has(name) === true
  }

  /** What is needed of an interface: functions, its own types, and of the types that it uses of others those that these are made of. */
  itemsOf(of: string, type: InterfaceType): ReadonlySet<string> {
    const { exports } = type
    const isOwn = (node: Node): boolean => isShared(node) || this.#owners.get(node)?.of === of
    const here = new Reached(this.#owners)
    for (const [label, item] of exports) {
      const node = nodeOf(item)
      if (item.kind === "function" && this.isCalled(of, label)) {
        here.function(item)
        here.node(resourceOf(type, label))
      } else if (node !== undefined && isOwn(node) && this.#all.nodes.has(node)) here.node(node)
    }
    const isNeeded = (label: string, item: ExternType): boolean => (item.kind === "function" ? this.isCalled(of, label) : here.nodes.has(nodeOf(item) as Node))
    return new Set(Array.from(exports).flatMap(([label, item]) => (isNeeded(label, item) ? [label] : [])))
  }
}

interface ImportedInterface {
  /** Undefined while its type is being written. */
  instance: number | undefined
  readonly types: Map<string, number>
}

export class Imports {
  readonly #out: ComponentWriter
  readonly #world: World
  readonly #owners: Owners
  readonly #live: Live
  readonly #interfaces = new Map<string, ImportedInterface>()
  /** The world's own types: by name, and by node under the first of its names. */
  readonly #labels = new Map<string, number>()
  readonly #types = new Map<Node, number>()
  readonly #functions = new Map<string, number>()
  /** Types in the component's own index space. */
  readonly #scope: TypeScope

  constructor(out: ComponentWriter, world: World, owners: Owners, match: Match, entries: Map<string, number>) {
    this.#out = out
    this.#world = world
    this.#owners = owners
    this.#live = new Live(world, match, owners)
    const at = "its top"
    this.#scope = new TypeScope(
      out,
      { type: (type) => this.worldType(type), resource: (resource) => this.worldType(resource) ?? homeless(resource, at) },
      entries,
    )
    for (const [name, extern] of world.imports) {
      this.#scope.at = `the import "${name}"`
      if (extern.kind === "function") {
        if (this.#live.isCalled(undefined, name)) this.#functions.set(name, out.importFunction(name, this.#scope.function(extern)))
      } else if (extern.kind === "interface") {
        if (this.#live.itemsOf(name, extern).size > 0) this.#interface(name)
      } else this.#ownType(name, nodeOf(extern) as Node)
    }
  }

  /** The index of a type that an import names, for a function of the world itself; undefined for any other. */
  worldType(node: Node): number | undefined {
    return this.#types.get(node) ?? this.type(node)
  }

  /** The same for what is in an interface, which does not see what the world has by another name. */
  type(node: Node): number | undefined {
    const owner = this.#owners.get(node)
    if (owner === undefined) return undefined
    if (owner.of === undefined) return this.#types.get(node) ?? this.#ownType(owner.label, node)
    const found = this.#interface(owner.of)
    let index = found.types.get(owner.label)
    if (index !== undefined) return index
    if (found.instance === undefined) throw new EncodeError("World", { at: `"${owner.of}"`, detail: "it uses types that are made of its own" })
    index = this.#out.alias("type", found.instance, owner.label)
    found.types.set(owner.label, index)
    return index
  }

  /** The index of an imported function. */
  function(of: string | undefined, name: string): number {
    if (of === undefined) return this.#functions.get(name) as number
    return this.#out.alias("func", this.#interface(of).instance as number, name)
  }

  /** A type of the world itself: its own, or one that it uses of an interface. */
  #ownType(label: string, node: Node): number {
    const known = this.#labels.get(label)
    if (known !== undefined) return known
    this.#scope.at = `the import "${label}"`
    const used = this.#types.get(node) ?? (this.#owners.get(node)?.of === undefined ? undefined : this.type(node))
    let bound: TypeBound
    if (used !== undefined) bound = { eq: used }
    else if (node.kind === "resource") bound = "resource"
    else {
      const original = aliased(node, this.#owners)
      bound = { eq: (original === undefined ? undefined : this.type(original)) ?? this.#scope.define(node) }
    }
    const index = this.#out.importType(label, bound)
    this.#labels.set(label, index)
    if (!isShared(node) && !this.#types.has(node)) this.#types.set(node, index)
    return index
  }

  /** Imports an interface, the ones whose types it uses first. */
  #interface(name: string): ImportedInterface {
    const known = this.#interfaces.get(name)
    if (known !== undefined) return known
    const imported: ImportedInterface = { instance: undefined, types: new Map() }
    this.#interfaces.set(name, imported)
    const type = this.#out.defineType(this.#instanceType(name, this.#world.imports.get(name) as InterfaceType))
    imported.instance = this.#out.importInstance(name, type)
    return imported
  }

  #instanceType(of: string, type: InterfaceType): Uint8Array {
    const needed = this.#live.itemsOf(of, type)
    const exports = Array.from(type.exports).filter(([label]) => needed.has(label))
    const out = new InstanceTypeWriter()
    const local = new Map<Node, number>()
    const labels = new Map<Node, string>()
    for (const [label, item] of exports) {
      const node = nodeOf(item)
      if (node !== undefined && !isShared(node) && !labels.has(node)) labels.set(node, label)
    }
    const at = `the import "${of}"`
    const outside = (node: Node): number | undefined => {
      const owner = this.#owners.get(node)
      if (owner === undefined || (owner.of === of && labels.has(node))) return undefined
      const index = this.type(node)
      return index === undefined ? undefined : out.aliasOuterType(index)
    }
    const declare = (label: string, node: Node): number => {
      // A second name for a type of this interface is the type again.
      const source = local.get(node) ?? outside(node)
      let index: number
      if (node.kind === "resource") index = out.exportType(label, source === undefined ? "resource" : { eq: source })
      else {
        const original = source === undefined ? aliased(node, this.#owners) : undefined
        const copied = original === undefined ? undefined : place(original)
        index = out.exportType(label, { eq: source ?? copied ?? scope.define(node) })
      }
      if (!isShared(node) && !local.has(node)) local.set(node, index)
      return index
    }
    /** Where a node is in the instance type, which may have to be made first; undefined when nobody names it. */
    const place = (node: Node): number | undefined => {
      let index = local.get(node)
      if (index !== undefined) return index
      const label = labels.get(node)
      if (label !== undefined) return declare(label, node)
      index = outside(node)
      if (index !== undefined) local.set(node, index)
      return index
    }
    const scope = new TypeScope(out, { type: place, resource: (resource) => place(resource) ?? homeless(resource, at) })
    scope.at = at
    for (const [label, item] of exports) {
      const node = nodeOf(item)
      if (item.kind === "function") out.exportFunction(label, scope.function(item))
      // Its function may have come before it.
      else if (node !== undefined && !(labels.get(node) === label && local.has(node))) declare(label, node)
    }
    return out.entry()
  }
}
