/**
 * WIT text of types, functions, interfaces and worlds: for `stele inspect`, for error messages, and valid input for any
 * WIT parser when the model itself came from valid WIT (WIT.md at the commit pinned in README.md).
 *
 * Named types print by name where they are used and in full where they are defined, so the text is linear in the model.
 */
import type { BorrowType, Case, ExternType, FunctionType, InterfaceType, OwnType, ResourceType, TypeName, ValueType, World } from "./model.ts"
import { isLabel } from "./name.ts"
import { children } from "./tree.ts"

/** WIT.md "Keywords": as an identifier these need a leading `%`. */
export const keywords: ReadonlySet<string> = new Set(
  (
    "as async bool borrow char constructor enum export f32 f64 flags from func future import include interface list option own " +
    "package record resource result s16 s32 s64 s8 static stream string tuple type u16 u32 u64 u8 use variant with world error-context map"
  ).split(" "),
)

/** A label as a WIT identifier; what is no label is quoted, so that a hostile name stays visibly a string. */
export const identifier = (label: string): string => (keywords.has(label) ? `%${label}` : isLabel(label) ? label : JSON.stringify(label))

/** Bounded output: a type of any size costs at most `max` characters of work. */
class Text {
  readonly #max: number
  out = ""
  constructor(max: number) {
    this.#max = max
  }
  get full(): boolean {
    return this.out.length > this.#max
  }
  put(text: string): void {
    if (!this.full) this.out += text
  }
  list<T>(parts: ReadonlyArray<T>, each: (part: T) => void): void {
    for (let i = 0; i < parts.length; i++) {
      if (this.full) return
      if (i > 0) this.put(", ")
      each(parts[i] as T)
    }
  }
  finish(): string {
    return this.full ? `${this.out.slice(0, this.#max)}…` : this.out
  }
}

/** Characters of one type where text is meant to be read back: the decoder's 10,000 leaves a type fit, a type made by a program may not. */
const wholeMax = 1 << 18

const resourceName = (type: ResourceType): string => (type.name === undefined ? "resource" : identifier(type.name.name))
const handle = (type: OwnType | BorrowType): string => (type.kind === "own" ? resourceName(type.resource) : `borrow<${resourceName(type.resource)}>`)

function write(text: Text, type: ValueType, expand: boolean): void {
  if (text.full) return
  if (!expand && type.name !== undefined) return text.put(identifier(type.name.name))
  const inner = (part: ValueType): void => write(text, part, false)
  const wrapped = (head: string, parts: ReadonlyArray<ValueType>): void => {
    text.put(`${head}<`)
    text.list(parts, inner)
    text.put(">")
  }
  switch (type.kind) {
    case "list":
      return wrapped("list", [type.element])
    case "fixed-list":
      text.put("list<")
      inner(type.element)
      return text.put(`, ${type.length}>`)
    case "map":
      return wrapped("map", [type.key, type.value])
    case "stream":
      return type.element === undefined ? text.put("stream") : wrapped("stream", [type.element])
    case "future":
      return type.type === undefined ? text.put("future") : wrapped("future", [type.type])
    case "tuple":
      return wrapped("tuple", type.types)
    case "option":
      return wrapped("option", [type.type])
    case "result":
      if (type.ok === undefined && type.err === undefined) return text.put("result")
      text.put("result<")
      if (type.ok === undefined) text.put("_")
      else inner(type.ok)
      if (type.err !== undefined) {
        text.put(", ")
        inner(type.err)
      }
      return text.put(">")
    case "record":
      text.put("record{")
      text.list(type.fields, (field) => {
        text.put(`${identifier(field.label)}: `)
        inner(field.type)
      })
      return text.put("}")
    case "variant":
      text.put("variant{")
      text.list(type.cases, (part) => {
        text.put(identifier(part.label))
        if (part.type === undefined) return
        text.put("(")
        inner(part.type)
        text.put(")")
      })
      return text.put("}")
    case "enum":
    case "flags":
      text.put(`${type.kind}{`)
      text.list(type.labels, (label) => text.put(identifier(label)))
      return text.put("}")
    case "own":
    case "borrow":
      return text.put(handle(type))
    default:
      return text.put(type.kind)
  }
}

/** One line for a use of `type`: its name if it has one, else its structure with named parts by name. Cut after `max` characters. */
export function typeText(type: ValueType, max = 200): string {
  const text = new Text(max)
  write(text, type, false)
  return text.finish()
}

/** One line for what `type` is made of, even when it has a name: `record{name: string}`. Cut after `max` characters. */
export function shapeText(type: ValueType, max = 200): string {
  const text = new Text(max)
  write(text, type, true)
  return text.finish()
}

/** `func(name: string, n: u32) -> result<greeting, string>`, `async func()`; `skip` leading parameters are left out (a method's `self`), each type is cut after `max` characters. */
export function functionText(func: FunctionType, skip = 0, max = wholeMax): string {
  const params = func.params.slice(skip).map((param) => `${identifier(param.label)}: ${typeText(param.type, max)}`)
  return `${func.isAsync === true ? "async " : ""}func(${params.join(", ")})${func.result === undefined ? "" : ` -> ${typeText(func.result, max)}`}`
}

const caseText = (part: Case): string => (part.type === undefined ? identifier(part.label) : `${identifier(part.label)}(${typeText(part.type, wholeMax)})`)

/** The lines of a type's definition under the name `name`. */
function definition(name: string, type: ValueType): ReadonlyArray<string> {
  const block = (parts: ReadonlyArray<string>): ReadonlyArray<string> => [`${type.kind} ${identifier(name)} {`, ...parts.map((part) => `  ${part},`), "}"]
  const isAlias = type.name !== undefined && type.name.name !== name
  if (!isAlias) {
    switch (type.kind) {
      case "record":
        return block(type.fields.map((field) => `${identifier(field.label)}: ${typeText(field.type, wholeMax)}`))
      case "variant":
        return block(type.cases.map(caseText))
      case "enum":
      case "flags":
        return block(type.labels.map(identifier))
      default:
    }
  }
  const target = isAlias ? typeText(type, wholeMax) : shapeText(type, wholeMax)
  return [`type ${identifier(name)} = ${target};`]
}

/** Splits `[method]counter.increment`; plain functions have no resource. */
const member = (name: string): { readonly role: string; readonly resource: string; readonly name: string } | undefined => {
  const found = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(name)
  return found === null ? undefined : { role: found[1] as string, resource: found[2] as string, name: found[3] ?? "" }
}

/** Named types and resources that `externs` use but do not define, by the interface that owns them. */
function foreign(externs: ReadonlyMap<string, ExternType>, self: string | undefined): ReadonlyMap<string, ReadonlySet<string>> {
  const isForeign = (name: TypeName | undefined): name is TypeName & { readonly interface: string } => name?.interface !== undefined && name.interface !== self
  const own = new Set<ValueType | ResourceType>()
  for (const extern of externs.values()) {
    if (extern.kind === "type" && !isForeign(extern.type.name)) own.add(extern.type)
    if (extern.kind === "resource-type" && !isForeign(extern.resource.name)) own.add(extern.resource)
  }
  const uses = new Map<string, Set<string>>()
  const seen = new Set<ValueType>()
  const note = (name: TypeName | undefined): void => {
    if (!isForeign(name)) return
    uses.set(name.interface, (uses.get(name.interface) ?? new Set()).add(name.name))
  }
  const pending: Array<ValueType> = []
  for (const extern of externs.values()) {
    if (extern.kind === "function") pending.push(...extern.params.map((param) => param.type), ...(extern.result === undefined ? [] : [extern.result]))
    if (extern.kind === "type") pending.push(...(own.has(extern.type) ? children(extern.type) : [extern.type]))
    if (extern.kind === "resource-type") note(extern.resource.name)
  }
  for (let type = pending.pop(); type !== undefined; type = pending.pop()) {
    if (seen.has(type)) continue
    seen.add(type)
    if (type.kind === "own" || type.kind === "borrow") if (!own.has(type.resource)) note(type.resource.name)
    if (own.has(type)) continue
    note(type.name)
    // A named foreign type is used by name: what is inside it is its owner's business.
    if (!isForeign(type.name)) pending.push(...children(type))
  }
  return uses
}

function externLines(externs: ReadonlyMap<string, ExternType>, self: string | undefined): ReadonlyArray<string> {
  const lines: Array<string> = []
  for (const [owner, names] of foreign(externs, self)) lines.push(`use ${owner}.{${[...names].map(identifier).join(", ")}};`)
  const members = new Map<string, Array<string>>()
  /** A method of a resource that is printed here; the name of any other is only a name. */
  const isMember = (name: string): boolean => externs.get(member(name)?.resource ?? "")?.kind === "resource-type"
  for (const [name, extern] of externs) {
    const part = member(name)
    if (part === undefined || extern.kind !== "function" || !isMember(name)) continue
    const text = functionText(extern, part.role === "method" ? 1 : 0)
    const line =
      part.role === "constructor"
        ? `constructor${extern.result?.kind === "own" ? text.slice(text.indexOf("(")).replace(/ -> .*$/, "") : text.slice(text.indexOf("("))};`
        : `${identifier(part.name)}: ${part.role === "static" ? "static " : ""}${text};`
    members.set(part.resource, [...(members.get(part.resource) ?? []), `  ${line}`])
  }
  for (const [name, extern] of externs) {
    switch (extern.kind) {
      case "type":
        // `use` has brought a foreign type in under its own name already.
        if (extern.type.name?.interface === undefined || extern.type.name.interface === self || extern.type.name.name !== name)
          lines.push(...definition(name, extern.type))
        break
      case "resource-type": {
        const of = extern.resource.name
        if (of !== undefined && of.name !== name) lines.push(`type ${identifier(name)} = ${identifier(of.name)};`)
        if (of !== undefined && (of.name !== name || (of.interface !== undefined && of.interface !== self))) break
        const body = members.get(name)
        lines.push(...(body === undefined ? [`resource ${identifier(name)};`] : [`resource ${identifier(name)} {`, ...body, "}"]))
        break
      }
      case "function":
        if (!isMember(name)) lines.push(`${identifier(name)}: ${functionText(extern)};`)
        break
      case "interface":
        break
    }
  }
  return lines
}

const indent = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => `  ${line}`)

/** `interface name { … }` with its types, resources and functions, in order. `full` is the interface's full name, which decides what is foreign. */
export function interfaceText(name: string, type: InterfaceType, full: string = name): string {
  return [`interface ${identifier(name)} {`, ...indent(externLines(type.exports, full)), "}"].join("\n")
}

/** Splits `acme:greeter/api@1.0.0`; absent for plain labels and anything else. */
export function splitInterfaceName(name: string): { readonly package: string; readonly interface: string; readonly version: string | undefined } | undefined {
  const found = /^([^/@\s]+:[^/@\s]+)\/([^/@\s]+)(?:@([^\s]+))?$/.exec(name)
  return found === null ? undefined : { package: found[1] as string, interface: found[2] as string, version: found[3] }
}

const worldName = (name: string): string => (splitInterfaceName(name) === undefined ? identifier(name) : name)

/** A world and, before it, the interfaces it names, each in its own `package … { }` block. */
export function worldText(name: string, world: World): string {
  const packages = new Map<string, Map<string, string>>()
  const lines: Array<string> = []
  const plain = new Map<string, ExternType>()
  for (const [direction, externs] of [
    ["import", world.imports],
    ["export", world.exports],
  ] as const) {
    for (const [label, extern] of externs) {
      const parts = splitInterfaceName(label)
      if (extern.kind === "interface" && parts !== undefined) {
        const owner = parts.version === undefined ? parts.package : `${parts.package}@${parts.version}`
        const bodies = packages.get(owner) ?? new Map<string, string>()
        packages.set(owner, bodies.set(parts.interface, bodies.get(parts.interface) ?? interfaceText(parts.interface, extern, label)))
        lines.push(`${direction} ${label};`)
      } else if (extern.kind === "interface") {
        lines.push(`${direction} ${worldName(label)}: interface {`, ...indent(externLines(extern.exports, label)), "}")
      } else if (extern.kind === "function") {
        lines.push(`${direction} ${worldName(label)}: ${functionText(extern)};`)
      } else plain.set(label, extern)
    }
  }
  const blocks = [...packages].map(([owner, bodies]) =>
    [`package ${owner} {`, ...indent([...bodies.values()].flatMap((body) => body.split("\n"))), "}", ""].join("\n"),
  )
  return [...blocks, [`world ${identifier(name)} {`, ...indent([...externLines(plain, undefined), ...lines]), "}"].join("\n")].join("\n")
}
