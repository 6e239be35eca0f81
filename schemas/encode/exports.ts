/**
 * The exports of a component: functions lifted, and for each interface an instance of them. An interface that names types
 * is made by a nested component: a function that is lifted is of the types that the component has, which have no names,
 * and only what leaves a component gets its types' names. So the nested one imports the functions and exports the types,
 * and the functions again with the types by their names. It takes value types from around it where it can, instead of
 * writing them again.
 */
import { EncodeError } from "../error/encode.ts"
import type { FunctionType, InterfaceType, ResourceType, ValueType, World } from "../wit/model.ts"
import { shapeText } from "../wit/print.ts"
import { children } from "../wit/tree.ts"
import { type CanonicalOptions, ComponentWriter, type Item } from "./component-writer.ts"
import type { Imports } from "./imports.ts"
import type { Lifted, Match } from "./match.ts"
import { isNominal, TypeScope } from "./types.ts"
import { aliased, homeless, isShared, type Node, nodeOf, type Owners } from "./world.ts"

export interface ExportContext {
  readonly out: ComponentWriter
  readonly world: World
  readonly match: Match
  readonly imported: Owners
  readonly exported: Owners
  readonly imports: Imports
  /** Resources that the component defines. */
  readonly resources: ReadonlyMap<ResourceType, number>
  /** The main module's instance. */
  readonly main: number
  readonly optionsOf: (type: FunctionType) => CanonicalOptions
  /** Types of the component's own space by their bytes. */
  readonly entries: Map<string, number>
}

/** What an exported interface has that others use: its instance, and the indexes of types that were taken from it. */
interface ExportedInterface {
  readonly instance: number
  readonly types: Map<string, number>
}

export class Exports {
  readonly #cx: ExportContext
  readonly #done = new Map<string, ExportedInterface>()
  /** Types of exported interfaces as the component has them: without names. */
  readonly #shapes = new Map<ValueType, number>()
  /** Types of the world's own functions, and types of interfaces. */
  readonly #worldScope: TypeScope
  readonly #scope: TypeScope
  /** The interface whose functions are lifted. */
  #of = ""

  constructor(cx: ExportContext) {
    this.#cx = cx
    const { imports, resources, entries } = cx
    const resource = (found: ResourceType): number => resources.get(found) ?? imports.worldType(found) ?? homeless(found, this.#worldScope.at)
    this.#worldScope = new TypeScope(cx.out, { type: (type) => imports.worldType(type), resource }, entries)
    this.#scope = new TypeScope(cx.out, { type: (type) => this.#type(type), resource: (found) => this.#resource(found) }, entries)
  }

  /** Lifts and exports all of the world's exports. */
  write(): void {
    const { world, match, out } = this.#cx
    for (const [name, extern] of world.exports) {
      if (extern.kind === "interface") this.#interface(name, extern)
      else {
        this.#worldScope.at = `the export "${name}"`
        const lifted = match.exports.get(undefined)?.find((each) => each.name === name) as Lifted
        out.export({ name, sort: "func", index: this.#lift(lifted, this.#worldScope) })
      }
    }
  }

  #lift({ type, core, postReturn }: Lifted, scope: TypeScope): number {
    const { out, main, optionsOf } = this.#cx
    const index = scope.function(type)
    const func = out.aliasCore("func", main, core)
    const options = optionsOf(type)
    return out.lift(func, postReturn === undefined ? options : { ...options, postReturn: out.aliasCore("func", main, postReturn) }, index)
  }

  /**
   * What another exported interface calls a type or resource that this one uses of it. What is used of an interface that
   * is imported and exported is the exported one's (WIT.md "Worlds", elaboration of exports).
   */
  #usedOf(node: Node, of: string): { readonly of: string; readonly label: string } | undefined {
    const { imported, exported, world } = this.#cx
    const owner = imported.get(node) ?? exported.get(node)
    if (owner?.of === undefined || owner.of === of) return undefined
    const exporter = world.exports.get(owner.of)
    const item = exporter?.kind === "interface" ? exporter.exports.get(owner.label) : undefined
    return item !== undefined && nodeOf(item) === node ? { of: owner.of, label: owner.label } : undefined
  }

  /** A named type in the component's own space. */
  #type(type: ValueType): number | undefined {
    const shape = this.#shapes.get(type)
    if (shape !== undefined) return shape
    const { imported, exported, imports } = this.#cx
    // An interface that is imported and exported has each type twice.
    const isOwn = exported.get(type) !== undefined && imported.get(type)?.of === this.#of
    if (!isOwn) {
      const index = imports.type(type)
      if (index !== undefined) return index
    }
    if (exported.get(type) === undefined) return undefined
    const original = aliased(type, exported, imported)
    const index = (original === undefined ? undefined : this.#type(original)) ?? this.#scope.define(type)
    this.#shapes.set(type, index)
    return index
  }

  #resource(resource: ResourceType): number {
    return this.#cx.resources.get(resource) ?? this.#cx.imports.type(resource) ?? homeless(resource, this.#scope.at)
  }

  #interface(of: string, type: InterfaceType): void {
    if (this.#done.has(of)) return
    const nodes: Array<readonly [label: string, node: Node]> = []
    for (const [label, item] of type.exports) {
      const node = nodeOf(item)
      if (node === undefined) continue
      nodes.push([label, node])
      const used = this.#usedOf(node, of)?.of
      // An interface that is open already uses a type of this one in turn: then each has its own of the same shape.
      if (used === undefined || this.#open.has(used)) continue
      this.#open.add(of)
      this.#interface(used, this.#cx.world.exports.get(used) as InterfaceType)
      this.#open.delete(of)
    }
    const { out, match } = this.#cx
    this.#of = of
    this.#scope.at = `the export "${of}"`
    const functions = (match.exports.get(of) ?? []).map((lifted) => ({ name: lifted.name, type: lifted.type, index: this.#lift(lifted, this.#scope) }))
    const instance =
      nodes.length === 0 ? out.bundle(functions.map(({ name, index }) => ({ name, sort: "func", index }))) : this.#nested(of, type, nodes, functions)
    out.export({ name: of, sort: "instance", index: instance })
    this.#done.set(of, { instance, types: new Map() })
  }

  readonly #open = new Set<string>()

  /** What stands for a type or resource in the component, as an argument of a nested one. */
  #given(node: Node, of: string): number {
    const used = this.#usedOf(node, of)
    const from = used === undefined ? undefined : this.#done.get(used.of)
    if (used !== undefined && from !== undefined) {
      const { label } = used
      let index = from.types.get(label)
      if (index === undefined) from.types.set(label, (index = this.#cx.out.alias("type", from.instance, label)))
      return index
    }
    return node.kind === "resource" ? this.#resource(node) : this.#scope.index(node)
  }

  #nested(
    of: string,
    type: InterfaceType,
    nodes: ReadonlyArray<readonly [label: string, node: Node]>,
    functions: ReadonlyArray<{ readonly name: string; readonly type: FunctionType; readonly index: number }>,
  ): number {
    const { out, imported, exported } = this.#cx
    const at = `the export "${of}"`
    const inner = new ComponentWriter()
    const args: Array<Item> = []
    const entries = new Map<string, number>()
    const labels = new Map<Node, string>()
    for (const [label, node] of nodes) if (!isShared(node) && !labels.has(node)) labels.set(node, label)
    const isForeign = (node: Node): boolean => this.#usedOf(node, of) !== undefined || (imported.get(node) !== undefined && imported.get(node)?.of !== of)
    /** What another interface names may be part of a type that this one uses, without a name here. */
    const needName = (node: Node): void => {
      if (!labels.has(node) && !isForeign(node))
        throw new EncodeError("Unnamed", { at, type: node.kind === "resource" ? (node.name?.name ?? "resource") : shapeText(node) })
    }
    /** Has it no part that goes by a name? Then it is the same type inside and outside, and after its parts are exported. */
    const plain = new Map<ValueType, boolean>()
    const isPlain = (node: ValueType): boolean => {
      let found = plain.get(node)
      if (found === undefined) {
        found = node.kind !== "own" && node.kind !== "borrow" && children(node).every((child) => !labels.has(child) && !isNominal(child) && isPlain(child))
        plain.set(node, found)
      }
      return found
    }
    /** A plain type of the component around. */
    const outer = new Map<ValueType, number>()
    const fromOutside = (node: ValueType): number => {
      let index = outer.get(node)
      if (index === undefined) outer.set(node, (index = inner.aliasOuterType(this.#scope.index(node))))
      return index
    }

    // First what is imported: each type that has to have a name, and each function.
    const taken = new Map<Node, number>()
    const take = (node: Node): number => {
      const known = taken.get(node)
      if (known !== undefined) return known
      const original = node.kind === "resource" ? undefined : aliased(node, exported, imported)
      if (original !== undefined && (labels.has(original) || isForeign(original))) {
        const index = take(original)
        taken.set(node, index)
        return index
      }
      needName(node)
      const bound = node.kind === "resource" ? "resource" : { eq: isPlain(node) ? fromOutside(node) : imports.define(node) }
      const name = `t${args.length}`
      args.push({ name, sort: "type", index: this.#given(node, of) })
      const index = inner.importType(name, bound)
      taken.set(node, index)
      return index
    }
    const imports = new TypeScope(inner, { type: (each) => (isNominal(each) ? take(each) : undefined), resource: take }, entries)
    imports.at = at
    const calls = functions.map((each, i) => {
      const innerType = imports.function(each.type)
      const name = `f${i}`
      args.push({ name, sort: "func", index: each.index })
      return { ...each, innerType, innerIndex: inner.importFunction(name, innerType) }
    })

    // Then what is exported: the types under their names, and the functions of these types.
    const given = new Map<Node, number>()
    const give = (label: string, node: Node): number => {
      let source = given.get(node)
      if (source === undefined) {
        if (node.kind === "resource" || isForeign(node)) source = take(node)
        else {
          const original = aliased(node, exported, imported)
          const isAlias = original !== undefined && (labels.has(original) || isForeign(original))
          source = isAlias ? place(original) : isPlain(node) ? fromOutside(node) : names.define(node)
        }
      }
      const index = inner.export({ name: label, sort: "type", index: source })
      if (!isShared(node) && !given.has(node)) given.set(node, index)
      return index
    }
    const place = (node: Node): number => {
      needName(node)
      const label = labels.get(node)
      return given.get(node) ?? (label === undefined ? take(node) : give(label, node))
    }
    const names = new TypeScope(inner, { type: (each) => (labels.has(each) || isNominal(each) ? place(each) : undefined), resource: place }, entries)
    names.at = at
    const byName = new Map(calls.map((call) => [call.name, call]))
    // Types first: what the functions are made of may be named anywhere.
    for (const [label, node] of nodes) if (!(labels.get(node) === label && given.has(node))) give(label, node)
    for (const [name, item] of type.exports) {
      const call = item.kind === "function" ? byName.get(name) : undefined
      if (call === undefined) continue
      const outerType = names.function(call.type)
      inner.export({ name, sort: "func", index: call.innerIndex }, outerType === call.innerType ? undefined : outerType)
    }
    return out.instantiate(out.component(inner), args)
  }
}
