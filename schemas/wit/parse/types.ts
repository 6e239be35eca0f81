/**
 * The items of one interface, or a world's own types, as nodes of the model: types after those that they are made of, then
 * functions. A name that failed stays known, so that it is reported once and not at each use.
 */
import { closest } from "../../value/closest.ts"
import type { Case, ExternType, FunctionType, InterfaceType, Labelled, OwnType, ResourceType, TypeName, ValueType } from "../model.ts"
import { primitive, renamed } from "../model.ts"
import { anywhere, children } from "../tree.ts"
import type { NoteSyntax, NoteTable } from "./notes.ts"
import { topological } from "./order.ts"
import { limits, type Report } from "./report.ts"
import { type DeclaredInterface, fold, type Packages, type PackageScope, type Scope } from "./scope.ts"
import type { FunctionItem, FunctionSyntax, Head, InterfaceItem, Member, Name, TypeItem, TypeSyntax, UseItem } from "./syntax.ts"

/** Everything that one parse works with. */
export interface Work {
  readonly report: Report
  readonly packages: Packages
  readonly notes: NoteTable
  /** An interface that is resolved already, since others come before those that use them; undefined when it failed. */
  readonly interface: (declared: DeclaredInterface) => InterfaceType | undefined
}

export interface Place {
  readonly scope: Scope
  readonly package: PackageScope
  /** Whose types these are: an interface's full name, an inline interface's own, nothing for a world. */
  readonly owner: string | undefined
}

type TypeExtern = Extract<ExternType, { readonly kind: "type" | "resource-type" }>
/** A type by its name in this scope; undefined when it failed, "function" when it is none. */
type Entry = TypeExtern | "function" | undefined

const holdsBorrow = anywhere((type) => type.kind === "borrow")
const depths = new WeakMap<ValueType, number>()

/** Levels of a type whose parts were measured before. */
function depthOf(type: ValueType): number {
  let depth = depths.get(type)
  if (depth === undefined) {
    depth = 1
    for (const child of children(type)) depth = Math.max(depth, depthOf(child) + 1)
    depths.set(type, depth)
  }
  return depth
}

type TypeLike = { readonly name: Name; readonly item: TypeItem | UseItem; readonly from?: Name }

/** Names that a type is made of. */
function namesIn(type: TypeSyntax, found: Array<Name> = []): Array<Name> {
  switch (type.kind) {
    case "primitive":
      break
    case "name":
    case "own":
    case "borrow":
      found.push(type.name)
      break
    case "tuple":
      for (const part of type.types) namesIn(part, found)
      break
    case "map":
      namesIn(type.value, namesIn(type.key, found))
      break
    case "result":
      for (const part of [type.ok, type.err]) if (part !== undefined) namesIn(part, found)
      break
    default:
      if (type.type !== undefined) namesIn(type.type, found)
  }
  return found
}

export class Types {
  readonly #work: Work
  readonly #place: Place
  readonly #entries = new Map<string, Entry>()
  readonly #taken = new Map<string, string>()
  readonly exports = new Map<string, ExternType>()
  /** Interfaces whose types are used, in order of first use. */
  readonly uses = new Set<DeclaredInterface>()

  constructor(work: Work, place: Place) {
    this.#work = work
    this.#place = place
  }

  #add(reason: Parameters<Report["add"]>[0], at: number, detail: string, advice: string): void {
    this.#work.report.add(reason, this.#place.scope.file, at, detail, advice)
  }

  #isThere(head: Head): boolean {
    return this.#work.packages.missing(head, this.#place.package, this.#place.scope.file) === undefined
  }

  #note(at: number, head: Head, more: Partial<NoteSyntax> = {}): NoteSyntax {
    return { file: this.#place.scope.file, at, head, ...more }
  }

  /** Takes all items: types, then methods, then functions. */
  interface(items: ReadonlyArray<InterfaceItem>): InterfaceType {
    const functions = items.filter((item): item is FunctionItem => item.kind === "function" && this.#isThere(item.head))
    this.types(
      items.filter((item): item is TypeItem | UseItem => item.kind !== "function"),
      functions.map((item) => item.name),
    )
    for (const { name, type, head } of functions) this.define(name.text, this.function(type, name), this.#note(name.at, head))
    return { kind: "interface", exports: this.exports }
  }

  /** Takes types and what is used, and the methods of resources; `others` are the names of what is no type. */
  types(items: ReadonlyArray<TypeItem | UseItem>, others: ReadonlyArray<Name>): void {
    const found: Array<TypeLike> = []
    for (const item of items) {
      if (!this.#isThere(item.head)) continue
      if (item.kind === "type") found.push({ name: item.name, item })
      else for (const { name, as } of item.names) found.push({ name: as, item, from: name })
    }
    const types = found.filter(({ name }) => this.#take(name))
    for (const name of others) if (this.#take(name)) this.#entries.set(name.text, "function")
    const index = new Map(types.map(({ name }, i) => [name.text, i]))
    const needs = types.map(({ item }) =>
      item.kind === "use" ? [] : this.#namesOf(item).flatMap(({ text }) => (index.has(text) ? [index.get(text) as number] : [])),
    )
    const { order, cycle } = topological(needs)
    if (cycle !== undefined) {
      const names = cycle.map((i) => (types[i] as TypeLike).name)
      const way = [...names, names[0] as Name].slice(0, 10).map(({ text }) => `"${text}"`)
      this.#add("Cycle", (names[0] as Name).at, `a type cannot be made of itself: ${way.join(" → ")}`, "break the circle: hold an index or a resource instead")
    }
    // What stands in a cycle, or needs one that does, failed with it.
    for (const { name } of types) this.#entries.set(name.text, undefined)
    for (const i of order) this.#type(types[i] as TypeLike)
    for (const i of order) this.#methods((types[i] as TypeLike).item)
  }

  /** True when the name is free; reports it otherwise. */
  #take(name: Name): boolean {
    this.#work.report.count(this.#place.scope.file)
    return takeName(this.#taken, name, (detail, advice) => this.#add("Duplicate", name.at, detail, advice))
  }

  #namesOf({ definition }: TypeItem): ReadonlyArray<Name> {
    if (definition.kind === "alias") return namesIn(definition.type)
    if (definition.kind === "resource") return []
    return definition.members.flatMap(({ type }) => (type === undefined ? [] : namesIn(type)))
  }

  define(name: string, extern: ExternType | undefined, note: NoteSyntax): void {
    if (extern === undefined) return
    this.exports.set(name, extern)
    this.#work.notes.setPart(this.exports, name, note)
  }

  // ── Types ─────────────────────────────────────────────────────────────────

  #type({ name, item, from }: TypeLike): void {
    const entry = item.kind === "use" ? this.#used(item, from as Name, name) : this.#defined(item)
    this.#entries.set(name.text, entry?.extern)
    if (entry !== undefined) this.define(name.text, entry.extern, entry.note)
  }

  #named(label: string): TypeName {
    const { owner } = this.#place
    return owner === undefined ? { name: label } : { interface: owner, name: label }
  }

  #used(item: UseItem, from: Name, as: Name): { readonly extern: TypeExtern; readonly note: NoteSyntax } | undefined {
    const declared = this.#work.packages.interface(item.path, this.#place.scope, this.#place.package)
    if (declared === undefined) return undefined
    this.uses.add(declared)
    const type = this.#work.interface(declared)
    if (type === undefined) return undefined
    const extern = type.exports.get(from.text)
    if (extern?.kind !== "type" && extern?.kind !== "resource-type") {
      const known = [...type.exports].filter(([, { kind }]) => kind !== "function").map(([label]) => label)
      const near = closest(from.text, known)
      const detail = extern === undefined ? `"${declared.full}" has no type "${from.text}"` : `"${from.text}" of "${declared.full}" is a function`
      this.#add("Unknown", from.at, detail, near.length === 0 ? "name one of its types" : `did you mean ${near.join(" or ")}?`)
      return undefined
    }
    const note = this.#note(as.at, item.head, { use: { interface: declared.full, name: from.text } })
    if (extern.kind === "resource-type" || from.text === as.text) return { extern, note }
    return { extern: { kind: "type", type: renamed(extern.type, this.#named(as.text)) }, note }
  }

  #defined({ name, head, definition }: TypeItem): { readonly extern: TypeExtern; readonly note: NoteSyntax } | undefined {
    const typeName = this.#named(name.text)
    if (definition.kind === "resource") {
      return { extern: { kind: "resource-type", resource: { kind: "resource", name: typeName } }, note: this.#note(name.at, head) }
    }
    if (definition.kind === "alias") {
      const { type } = definition
      if (type.kind !== "name") {
        const made = this.value(type)
        return made === undefined ? undefined : { extern: { kind: "type", type: renamed(made, typeName) }, note: this.#note(name.at, head) }
      }
      const entry = this.#entry(type.name)
      if (entry === undefined) return undefined
      const extern: TypeExtern = entry.kind === "type" ? { kind: "type", type: renamed(entry.type, typeName) } : entry
      return { extern, note: this.#note(name.at, head, { alias: type.name.text }) }
    }
    const { kind, members } = definition
    const what = kind === "record" ? "field" : kind === "flags" ? "flag" : "case"
    this.#unique(
      members.map((member) => member.name),
      `a ${what} of "${name.text}"`,
    )
    const type = this.#composite(kind, members, typeName)
    if (type === undefined) return undefined
    for (const { name: part, docs } of members) {
      this.#work.notes.setPart(type, part.text, this.#note(part.at, docs === undefined ? {} : { docs }))
    }
    return { extern: { kind: "type", type: this.#measured(type) }, note: this.#note(name.at, head) }
  }

  #composite(kind: "record" | "variant" | "enum" | "flags", members: ReadonlyArray<Member>, name: TypeName): ValueType | undefined {
    if (kind === "enum" || kind === "flags") return { kind, name, labels: members.map((member) => member.name.text) }
    const parts: Array<Case> = []
    let hasFailed = false
    for (const member of members) {
      const type = member.type === undefined ? undefined : this.value(member.type)
      if (member.type !== undefined && type === undefined) hasFailed = true
      parts.push(type === undefined ? { label: member.name.text } : { label: member.name.text, type })
    }
    if (hasFailed) return undefined
    return kind === "record" ? { kind, name, fields: parts as ReadonlyArray<Labelled> } : { kind, name, cases: parts }
  }

  #unique(names: ReadonlyArray<Name>, what: string): void {
    const taken = new Map<string, string>()
    for (const name of names) {
      takeName(taken, name, (detail, advice) => this.#add("Duplicate", name.at, `${what}: ${detail}`, advice))
    }
  }

  #measured<T extends ValueType>(type: T): T {
    if (depthOf(type) > limits.witDepthMax.max) this.#work.report.tooLarge("witDepthMax", this.#place.scope.file)
    return type
  }

  /** What a name means here; reports it when it means no type. */
  #entry(name: Name): TypeExtern | undefined {
    const entry = this.#entries.get(name.text)
    if (entry === "function") {
      this.#add("Unknown", name.at, `"${name.text}" is a function, not a type`, "name a type")
      return undefined
    }
    if (entry === undefined && !this.#entries.has(name.text)) {
      const types = [...this.#entries].flatMap(([label, known]) => (known === "function" ? [] : [label]))
      const near = closest(name.text, [...types, ...Object.keys(primitive)])
      const detail = `there is no type "${name.text}" here`
      this.#add("Unknown", name.at, detail, near.length === 0 ? `declare it, or bring it in: use other.{${name.text}};` : `did you mean ${near.join(" or ")}?`)
    }
    return entry
  }

  #resource(name: Name): ResourceType | undefined {
    const entry = this.#entry(name)
    if (entry?.kind === "type") {
      this.#add("Type", name.at, `"${name.text}" is no resource: only resources have handles`, `write ${name.text} alone`)
      return undefined
    }
    return entry?.resource
  }

  /** The node of a type; undefined when a part of it failed. As deep as the syntax, which the parser bounds. */
  value(type: TypeSyntax): ValueType | undefined {
    const made = this.#make(type)
    return made === undefined ? undefined : this.#measured(made)
  }

  #make(type: TypeSyntax): ValueType | undefined {
    switch (type.kind) {
      case "primitive":
        return type.primitive === "error-context" ? { kind: "error-context" } : primitive[type.primitive]
      case "name": {
        const entry = this.#entry(type.name)
        return entry?.kind === "resource-type" ? own(entry.resource) : entry?.type
      }
      case "own":
      case "borrow": {
        const resource = this.#resource(type.name)
        return resource === undefined ? undefined : { kind: type.kind, resource }
      }
      case "list":
      case "fixed-list": {
        const element = this.value(type.type)
        if (element === undefined) return undefined
        return type.kind === "fixed-list" ? { kind: "fixed-list", element, length: type.length } : { kind: "list", element }
      }
      case "option": {
        const inner = this.value(type.type)
        return inner === undefined ? undefined : { kind: "option", type: inner }
      }
      case "stream":
      case "future":
        return this.#later(type)
      case "map":
        return this.#map(type)
      case "tuple": {
        const types = type.types.map((part) => this.value(part))
        return types.includes(undefined) ? undefined : { kind: "tuple", types: types as ReadonlyArray<ValueType> }
      }
      case "result": {
        const [ok, err] = [type.ok, type.err].map((part) => (part === undefined ? undefined : this.value(part)))
        if ((type.ok !== undefined && ok === undefined) || (type.err !== undefined && err === undefined)) return undefined
        return { kind: "result", ...(ok === undefined ? {} : { ok }), ...(err === undefined ? {} : { err }) }
      }
    }
  }

  #later(type: Extract<TypeSyntax, { readonly kind: "stream" | "future" }>): ValueType | undefined {
    if (type.type === undefined) return { kind: type.kind }
    const inner = this.value(type.type)
    if (inner === undefined) return undefined
    if (type.kind === "stream" && inner.kind === "char") {
      this.#add(
        "Type",
        type.at,
        "a stream cannot carry char: how its bytes are encoded is not decided",
        "write stream<u8>, and say in a comment how characters are encoded",
      )
      return undefined
    }
    if (holdsBorrow(inner)) {
      this.#add("Type", type.at, `a ${type.kind} cannot carry a borrowed handle: it may end after the call`, "carry the resource itself")
      return undefined
    }
    return type.kind === "stream" ? { kind: "stream", element: inner } : { kind: "future", type: inner }
  }

  #map(type: Extract<TypeSyntax, { readonly kind: "map" }>): ValueType | undefined {
    const [key, value] = [this.value(type.key), this.value(type.value)]
    if (type.key.kind !== "primitive" || ["f32", "f64", "error-context"].includes(type.key.primitive)) {
      this.#add("Type", type.key.at, "the key of a map is bool, an integer, char or string", "write map<string, …>, or a list of tuples")
      return undefined
    }
    return key === undefined || value === undefined ? undefined : { kind: "map", key, value }
  }

  // ── Functions ─────────────────────────────────────────────────────────────

  /** The function type of `syntax`; `self` stands before its parameters. Undefined when a part of it failed. */
  function({ isAsync, params, result: syntax }: FunctionSyntax, name: Name, self: ReadonlyArray<Labelled> = []): FunctionType | undefined {
    this.#work.report.count(this.#place.scope.file, params.length)
    this.#unique([...self.map(({ label }) => ({ text: label, at: name.at })), ...params.map((param) => param.name)], `a parameter of "${name.text}"`)
    const types = params.map((param) => this.value(param.type))
    const result = syntax === undefined ? undefined : this.value(syntax)
    if (types.includes(undefined) || (syntax !== undefined && result === undefined)) return undefined
    if (result !== undefined && holdsBorrow(result)) {
      this.#add("Type", (syntax as TypeSyntax).at, `"${name.text}" returns a borrowed handle: it is only lent for a call`, "return the resource itself")
      return undefined
    }
    return {
      kind: "function",
      params: [...self, ...params.map((param, i) => ({ label: param.name.text, type: types[i] as ValueType }))],
      ...(result === undefined ? {} : { result }),
      ...(isAsync ? { isAsync } : {}),
    }
  }

  #methods(item: TypeItem | UseItem): void {
    if (item.kind === "use" || item.definition.kind !== "resource") return
    const { text: label } = item.name
    const entry = this.#entries.get(label)
    if (entry === undefined || entry === "function" || entry.kind !== "resource-type") return
    const { resource } = entry
    // Explainer.md "strongly-unique": `r` and `[method]r.r` are not.
    const taken = new Map([[fold(label), label]])
    for (const { head, name, role, type } of item.definition.methods) {
      if (!this.#isThere(head)) continue
      this.#work.report.count(this.#place.scope.file)
      const note = this.#note(name.at, head)
      if (role === "constructor") {
        if (this.exports.has(`[constructor]${label}`)) {
          this.#add("Duplicate", name.at, `"${label}" has a constructor already`, "make the second one a static function")
          continue
        }
        this.define(`[constructor]${label}`, this.#newHandle(type, name, resource), note)
      } else if (takeName(taken, name, (detail, advice) => this.#add("Duplicate", name.at, detail, advice))) {
        const self = role === "method" ? [{ label: "self", type: { kind: "borrow", resource } as ValueType }] : []
        this.define(`[${role}]${label}.${name.text}`, this.function(type, name, self), note)
      }
    }
  }

  /** Answers a new handle, or a `result` with one. */
  #newHandle(type: FunctionSyntax, name: Name, resource: ResourceType): FunctionType | undefined {
    const func = this.function(type, name)
    if (func === undefined || func.result === undefined) return func === undefined ? undefined : { ...func, result: own(resource) }
    const { result } = func
    if (result.kind === "result" && result.ok?.kind === "own" && result.ok.resource === resource) return func
    const detail = `the constructor of "${name.text}" answers something else than "${name.text}"`
    this.#add("Type", type.result?.at ?? name.at, detail, `leave the result out, or write -> result<${name.text}, …>`)
    return undefined
  }
}

const own = (resource: ResourceType): OwnType => ({ kind: "own", resource })

/** Takes a name of a scope; says what is wrong when it is taken. */
export function takeName(taken: Map<string, string>, { text }: Name, problem: (detail: string, advice: string) => void): boolean {
  const key = fold(text)
  const other = taken.get(key)
  if (other === undefined) {
    taken.set(key, text)
    return true
  }
  const detail = other === text ? `"${text}" is there already` : `"${text}" and "${other}" are one name to those who ignore case and dashes`
  problem(detail, "give it another name")
  return false
}
